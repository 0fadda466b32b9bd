//! An audience's parameters: their declarations and the values of a run.
//!
//! Values reach PostgreSQL as settings of the transaction (`pushctl.NAME`): bound, never inserted into the
//! statement, and the planner treats them like literals.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::suggest::nearest;

/// The type of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Type {
    /// A whole number of 32 bits.
    Integer,
    /// Any text without a NUL character.
    Text,
    Uuid,
    /// An instant, RFC 3339.
    Timestamp,
    /// A switch, off by default.
    Boolean,
}

impl Type {
    /// Returns the SQL type a setting's text is cast to.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Integer => "integer",
            Self::Text => "text",
            Self::Uuid => "uuid",
            Self::Timestamp => "timestamptz",
            Self::Boolean => "boolean",
        }
    }

    /// Returns the placeholder of help texts.
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Integer => "N",
            Self::Text => "TEXT",
            Self::Uuid => "UUID",
            Self::Timestamp => "TIME",
            Self::Boolean => "BOOL",
        }
    }
}

/// One parameter of an audience.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// Its name in the SQL, after the colon.
    #[serde(skip)]
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: Type,
    default: Option<toml::Value>,
    /// Whether a run must set it.
    #[serde(default)]
    pub required: bool,
    pub min: Option<i64>,
    pub max: Option<i64>,
    /// One line for the help.
    pub help: String,
}

/// Checked values by parameter name, as text that PostgreSQL reads.
pub type Values = BTreeMap<String, String>;

impl Declaration {
    /// Sets the declaration's name and checks it; the error is a complete message.
    pub(super) fn named(mut self, name: String) -> Result<Self, String> {
        let well_formed = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if !well_formed || matches!(name.as_str(), "as_of" | "already_sent") {
            return Err(format!(
                "{name:?} cannot be a parameter's name: use lower-case letters, digits and _, not as_of or already_sent"
            ));
        }
        self.name = name;
        if self.required == self.default.is_some() && self.kind != Type::Boolean {
            return Err(format!(
                "the parameter {} needs either a default or `required = true`",
                self.name
            ));
        }
        if let Some(default) = self.default_text() {
            self.check(&default)
                .map_err(|why| format!("the default of {}: {why}", self.name))?;
        }
        Ok(self)
    }

    /// Returns the flag on the command line, without dashes.
    pub fn flag(&self) -> String {
        self.name.replace('_', "-")
    }

    /// Returns the default, as text.
    pub fn default_text(&self) -> Option<String> {
        match &self.default {
            Some(toml::Value::String(text)) => Some(text.clone()),
            Some(value) => Some(value.to_string()),
            None if self.kind == Type::Boolean => Some("false".into()),
            None => None,
        }
    }

    /// Checks a value as typed; returns it in the form that PostgreSQL reads and file names show.
    pub fn check(&self, typed: &str) -> Result<String, String> {
        match self.kind {
            Type::Integer => self.check_integer(typed),
            Type::Text if typed.contains('\0') => Err("text cannot hold a NUL character".into()),
            Type::Text => Ok(typed.into()),
            Type::Uuid => uuid::Uuid::try_parse(typed.trim())
                .map(|id| id.to_string())
                .map_err(|_| {
                    format!("{typed:?} is not an id like 0b54ae58-8e5a-4d3e-9b3c-2f6f6f0a1c11")
                }),
            Type::Timestamp => typed
                .parse::<Timestamp>()
                .map(|at| at.to_string())
                .map_err(|_| format!("{typed:?} is not a time like 2026-11-21T13:33:00Z")),
            Type::Boolean => match typed {
                "true" | "false" => Ok(typed.into()),
                _ => Err(format!("{typed:?} is neither true nor false")),
            },
        }
    }

    fn check_integer(&self, typed: &str) -> Result<String, String> {
        let number: i64 = typed
            .trim()
            .parse()
            .map_err(|_| format!("{typed:?} is not a whole number"))?;
        let low = self.min.unwrap_or(i64::from(i32::MIN));
        let high = self.max.unwrap_or(i64::from(i32::MAX));
        if (low..=high).contains(&number) {
            return Ok(number.to_string());
        }
        Err(format!("{number} is not between {low} and {high}"))
    }
}

/// Returns the values of a run: the checked given ones, and defaults for the rest.
///
/// # Errors
/// An unknown name (with the nearest), a value that does not fit, a required one that is missing.
pub fn resolve(
    audience: &str,
    declared: &[Declaration],
    given: &BTreeMap<String, String>,
) -> Result<Values> {
    for name in given.keys() {
        if !declared.iter().any(|d| d.name == *name) {
            let error = Error::usage(format!("the audience {audience} has no parameter {name}"));
            return Err(
                match nearest(name, declared.iter().map(|d| d.name.as_str())) {
                    Some(near) => error.hint(format!("did you mean {near}?")),
                    None => error.hint(format!(
                        "`pushctl audiences {audience}` lists its parameters"
                    )),
                },
            );
        }
    }
    let mut values = Values::new();
    for declaration in declared {
        let flag = declaration.flag();
        let value = match given.get(&declaration.name) {
            Some(typed) => declaration
                .check(typed)
                .map_err(|why| Error::usage(format!("--{flag}: {why}")).hint(&declaration.help))?,
            None => declaration.default_text().ok_or_else(|| {
                Error::usage(format!(
                    "the audience {audience} needs --{flag} {}",
                    declaration.kind.placeholder()
                ))
                .hint(&declaration.help)
            })?,
        };
        values.insert(declaration.name.clone(), value);
    }
    Ok(values)
}

/// Replaces `{name}` by the parameter's value, `{name:8}` by its first 8 characters.
pub fn fill(template: &str, values: &Values) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, name, length, after)) = next_placeholder(rest) {
        out.push_str(before);
        let value = values.get(name).map_or("", String::as_str);
        out.extend(value.chars().take(length.unwrap_or(usize::MAX)));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Returns the names in braces of a stem or message.
pub fn placeholders(template: &str) -> Vec<String> {
    let (mut names, mut rest) = (Vec::new(), template);
    while let Some((_, name, _, after)) = next_placeholder(rest) {
        names.push(name.to_owned());
        rest = after;
    }
    names
}

fn next_placeholder(text: &str) -> Option<(&str, &str, Option<usize>, &str)> {
    let (before, rest) = text.split_once('{')?;
    let (inside, after) = rest.split_once('}')?;
    let (name, length) = match inside.split_once(':') {
        Some((name, length)) => (name, length.parse().ok()),
        None => (inside, None),
    };
    Some((before, name, length, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days() -> Declaration {
        toml::from_str::<Declaration>(
            "type = 'integer'\ndefault = 7\nmin = 1\nmax = 365\nhelp = 'Days'",
        )
        .unwrap()
        .named("lookback_days".into())
        .unwrap()
    }

    fn resolve_one(name: &str, value: &str) -> Result<Values> {
        resolve(
            "layer2",
            &[days()],
            &BTreeMap::from([(name.into(), value.into())]),
        )
    }

    #[test]
    fn a_value_outside_its_bounds_names_flag_and_bounds() {
        let error = resolve_one("lookback_days", "0").unwrap_err();
        assert_eq!(
            error.to_string(),
            "--lookback-days: 0 is not between 1 and 365"
        );
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_one() {
        let error = resolve_one("lokback_days", "7").unwrap_err();
        assert_eq!(error.hints(), ["did you mean lookback_days?"]);
    }

    #[test]
    fn defaults_fill_what_was_not_given() {
        let values = resolve("layer2", &[days()], &BTreeMap::new()).unwrap();
        assert_eq!(values["lookback_days"], "7");
    }

    #[test]
    fn stems_take_the_beginning_of_a_value() {
        let values = Values::from([("product_id".into(), "0b54ae58-8e5a".into())]);
        assert_eq!(fill("haves_{product_id:8}", &values), "haves_0b54ae58");
        assert_eq!(fill("no braces", &values), "no braces");
    }
}
