//! Checks a file against the JSON Schema of its format: keys, types, choices and ranges, each with its place.

use std::ops::Range;

use serde_json::{Map, Value};
use toml::de::DeValue;

use super::diagnostic::Findings;
use super::toml_tree::{Node, integer_value, number_value, type_name};
use crate::suggest::nearest;

/// Reports every violation of `schema` in `root`.
pub(super) fn compare(root: &Node<'_>, schema: &Value, findings: &mut Findings<'_>) {
    let mut comparison = Comparison { schema, findings };
    comparison.table(root, schema, "");
}

struct Comparison<'c, 's> {
    /// Of the whole file.
    schema: &'c Value,
    findings: &'c mut Findings<'s>,
}

impl Comparison<'_, '_> {
    /// Checks one value; `name` is its name in messages.
    fn value(&mut self, node: &Node<'_>, schema: &Value, name: &str) {
        if let Some(wanted) = mismatch(node, schema) {
            let got = type_name(node);
            let hint = other_spelling(node, schema);
            self.findings
                .error(
                    "type",
                    &node.span(),
                    format!("{name} must be {wanted}, not {got}"),
                )
                .maybe_hint(hint);
            return;
        }
        match node.get_ref() {
            DeValue::Table(_) => self.table(node, schema, name),
            DeValue::Array(_) => self.array(node, schema, name),
            DeValue::String(text) => self.text(node, text, schema, name),
            _ => self.number(node, schema, name),
        }
    }

    fn table(&mut self, node: &Node<'_>, schema: &Value, name: &str) {
        let DeValue::Table(table) = node.get_ref() else {
            return;
        };
        let no_properties = Map::new();
        let properties = schema["properties"].as_object().unwrap_or(&no_properties);
        let mut misspelt = Vec::new();
        for (key, value) in table {
            match properties.get(key.get_ref().as_ref()) {
                Some(property) => self.value(value, property, &called(key.get_ref(), property)),
                None if schema["additionalProperties"].is_object() => {
                    let property = &schema["additionalProperties"];
                    self.value(value, property, &called(key.get_ref(), property));
                }
                None => {
                    misspelt.extend(self.unknown_key(key.get_ref(), &key.span(), properties, name));
                }
            }
        }
        for key in schema["required"].as_array().into_iter().flatten() {
            let key = key.as_str().unwrap_or_default();
            if !table.contains_key(key) && !misspelt.iter().any(|meant| meant == key) {
                let owner = if name.is_empty() { "the file" } else { name };
                let missing = called(key, &properties[key]);
                self.findings
                    .error("missing", &node.span(), format!("{owner} has no {missing}"))
                    .maybe_hint(first_sentence(&properties[key]));
            }
        }
    }

    /// Returns the key that was probably meant.
    fn unknown_key(
        &mut self,
        key: &str,
        span: &Range<usize>,
        known: &Map<String, Value>,
        table: &str,
    ) -> Option<String> {
        let place = if table.is_empty() {
            "at the top of the file".to_owned()
        } else {
            format!("in {table}")
        };
        let begins = |known: &&str| key.len() > 2 && known.starts_with(key);
        let mut names = known.keys().map(String::as_str);
        let near = names
            .clone()
            .find(begins)
            .or_else(|| nearest(key, names.by_ref()));
        let hint = match (near, self.table_with(key)) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some(owner)) => format!("`{key}` belongs in {owner}"),
            (None, None) => {
                let known: Vec<&str> = known.keys().map(String::as_str).collect();
                format!("known keys: {}", known.join(", "))
            }
        };
        self.findings
            .error("unknown-key", span, format!("unknown key `{key}` {place}"))
            .hint(hint);
        near.map(str::to_owned)
    }

    /// Returns the table of the format that has this key.
    fn table_with(&self, key: &str) -> Option<String> {
        let top = self.schema["properties"].as_object()?;
        if top.contains_key(key) {
            return Some("the top of the file, above the first [table]".to_owned());
        }
        let owner = top.iter().find(|(_, schema)| {
            let entry = if schema["type"] == "array" {
                &schema["items"]
            } else {
                *schema
            };
            entry["properties"].get(key).is_some()
        });
        owner.map(|(name, schema)| called(name, schema))
    }

    fn array(&mut self, node: &Node<'_>, schema: &Value, name: &str) {
        let DeValue::Array(array) = node.get_ref() else {
            return;
        };
        let limit = |key: &str| {
            schema[key]
                .as_u64()
                .and_then(|limit| usize::try_from(limit).ok())
        };
        if limit("minItems").is_some_and(|least| array.len() < least) {
            self.findings
                .error("range", &node.span(), format!("{name} is empty"));
        }
        if let Some(most) = limit("maxItems")
            && let Some(first_too_many) = array.get(most)
        {
            let message = format!(
                "there are {} {name}, and at most {most} are possible",
                array.len()
            );
            self.findings
                .error("range", &first_too_many.span(), message);
        }
        let entry = if schema["items"]["type"] == "object" {
            name.to_owned()
        } else {
            format!("an entry of {name}")
        };
        for item in array {
            self.value(item, &schema["items"], &entry);
        }
    }

    fn text(&mut self, node: &Node<'_>, text: &str, schema: &Value, name: &str) {
        if let Some(choices) = schema["enum"].as_array() {
            let choices: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
            if !choices.contains(&text) {
                let message = format!("{name} must be {}, not \"{text}\"", one_of(&choices));
                self.findings
                    .error("choice", &node.span(), message)
                    .maybe_hint(
                        near_choice(text, &choices).map(|near| format!("did you mean \"{near}\"?")),
                    );
            }
        }
        let letters = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
        if schema["minLength"]
            .as_u64()
            .is_some_and(|least| letters < least)
        {
            self.findings
                .error("range", &node.span(), format!("{name} is empty"));
        }
        if let Some(most) = schema["maxLength"].as_u64().filter(|most| letters > *most) {
            let message =
                format!("{name} has {letters} characters, and at most {most} are possible");
            self.findings.error("range", &node.span(), message);
        }
    }

    fn number(&mut self, node: &Node<'_>, schema: &Value, name: &str) {
        let limit = |key: &str| schema[key].as_f64();
        let (least, most) = (limit("minimum"), limit("maximum"));
        let wanted = match (least, most) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            _ => return,
        };
        let Some(number) = number_value(node) else {
            if node.get_ref().is_integer() {
                self.findings.error(
                    "range",
                    &node.span(),
                    format!("{name} must be {wanted}, and fit into 64 bits"),
                );
            }
            return;
        };
        let inside =
            least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most);
        if !inside {
            let rate = most == Some(1.0) && number > 1.0 && number <= 100.0;
            let hint = rate.then(|| {
                format!(
                    "it is a fraction of one: {number} percent are {}",
                    number / 100.0
                )
            });
            let written =
                integer_value(node).map_or_else(|| number.to_string(), |whole| whole.to_string());
            self.findings
                .error(
                    "range",
                    &node.span(),
                    format!("{name} must be {wanted}, not {written}"),
                )
                .maybe_hint(hint);
        }
    }
}

/// Returns the name of a key in messages: `[schedule]`, `[[push]]`, `send_at` in backquotes.
fn called(key: &str, schema: &Value) -> String {
    if schema["type"] == "object" && schema["additionalProperties"] == false {
        format!("[{key}]")
    } else if schema["items"]["type"] == "object" {
        format!("[[{key}]]")
    } else {
        format!("`{key}`")
    }
}

/// Returns the format's description of a key, for a hint.
fn first_sentence(schema: &Value) -> Option<&str> {
    let first = schema["description"].as_str()?.split(". ").next()?;
    Some(first.trim_end_matches('.'))
}

/// Returns the types a schema allows.
fn types(schema: &Value) -> Vec<&str> {
    match schema["anyOf"].as_array() {
        Some(choices) => choices
            .iter()
            .filter_map(|choice| choice["type"].as_str())
            .collect(),
        None => schema["type"].as_str().into_iter().collect(),
    }
}

/// Returns the expected type, if the value has none of the types.
fn mismatch(node: &Node<'_>, schema: &Value) -> Option<String> {
    let types = types(schema);
    let fits = types.iter().any(|name| match *name {
        "string" => node.get_ref().is_str(),
        "integer" => node.get_ref().is_integer(),
        "number" => node.get_ref().is_integer() || node.get_ref().is_float(),
        "boolean" => node.get_ref().is_bool(),
        "array" => node.get_ref().is_array(),
        "object" => node.get_ref().is_table(),
        _ => false,
    });
    if fits {
        return None;
    }
    let wanted = types.iter().map(|name| match *name {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" if schema["items"]["type"] == "object" => "a list of tables",
        "array" => "a list",
        _ => "a table",
    });
    Some(wanted.collect::<Vec<_>>().join(" or "))
}

/// Returns a hint how to write the value with the right type.
fn other_spelling(node: &Node<'_>, schema: &Value) -> Option<String> {
    let wanted = types(schema);
    let wants = |name: &str| wanted.contains(&name);
    match node.get_ref() {
        DeValue::String(text) if wants("integer") && integer_text(text) => {
            Some(format!("write it without quotes: {text}"))
        }
        DeValue::String(text) if wants("number") && text.parse::<f64>().is_ok() => {
            Some(format!("write it without quotes: {text}"))
        }
        DeValue::String(text) if wants("boolean") && matches!(text.as_ref(), "true" | "false") => {
            Some(format!("write it without quotes: {text}"))
        }
        DeValue::Integer(_) if wants("string") => {
            integer_value(node).map(|number| format!("write it in quotes: \"{number}\""))
        }
        DeValue::String(text) if wants("array") => {
            Some(format!("write it in brackets: [\"{text}\"]"))
        }
        DeValue::Table(_) if schema["items"]["type"] == "object" => {
            Some("write its name in double brackets".to_owned())
        }
        _ => None,
    }
}

fn integer_text(text: &str) -> bool {
    text.parse::<i64>().is_ok()
}

fn one_of(choices: &[&str]) -> String {
    let quoted: Vec<String> = choices
        .iter()
        .map(|choice| format!("\"{choice}\""))
        .collect();
    match quoted.as_slice() {
        [rest @ .., last] if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// Finds the nearest choice; also accepts `Monday` for `mon`.
fn near_choice<'a>(text: &str, choices: &[&'a str]) -> Option<&'a str> {
    let lower = text.to_lowercase();
    let begins = choices.iter().find(|choice| lower.starts_with(**choice));
    begins
        .copied()
        .or_else(|| nearest(text, choices.iter().copied()))
}
