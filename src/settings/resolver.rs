//! Takes each setting from the first place that has it, and remembers which that was.

use std::collections::BTreeMap;
use std::fmt;

use crate::error::{Error, Result};
use crate::nearest::nearest;

use super::environment::{Environment, Found, read_secret_file};
use super::file::{ConfigFile, Entry};
use super::secret::{MASK, mask_url};

/// One setting: how it is called in each place that it can come from.
#[derive(Debug)]
pub struct Key {
    /// In the configuration file, with the name of its table: `cadence.database_url`.
    pub name: &'static str,
    /// On the command line: `--deadline`; empty where no flag sets it.
    pub flag: &'static str,
    /// In the environment, the first that is set. One that ends in `_FILE` names a file that holds the value.
    pub variables: &'static [&'static str],
    /// What holds when nobody says anything, written as a person would; empty for nothing.
    pub default: &'static str,
    /// How much of it may be shown.
    pub visibility: Visibility,
    /// What it is for, as a phrase.
    pub about: &'static str,
}

/// How much of a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Visibility {
    /// All of it.
    Plain,
    /// A URL: all but its password.
    Url,
    /// Only whether there is one.
    Secret,
}

impl Visibility {
    pub(super) fn stricter(self, other: Self) -> Self {
        self.max(other)
    }

    fn show(self, value: &str) -> String {
        match self {
            Self::Plain => value.to_owned(),
            Self::Url => mask_url(value),
            Self::Secret => MASK.to_owned(),
        }
    }
}

/// A value as it was written: once, or as a list.
#[derive(Clone, PartialEq, Eq)]
pub enum Given {
    /// `deadline = "5m"`, `--deadline 5m`.
    One(String),
    /// `test_users = ["…", "…"]`, a repeated flag.
    Many(Vec<String>),
}

/// What the command line said, by setting.
#[derive(Default)]
pub struct Flags(BTreeMap<&'static str, Given>);

impl Flags {
    /// The flag of `key` was given, if there is a value.
    pub fn set(&mut self, key: &'static Key, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0.insert(key.name, Given::One(value.to_string()));
        }
    }

    /// The flag of `key` was given as often as there are values.
    pub fn set_list(&mut self, key: &'static Key, values: &[impl ToString]) {
        if !values.is_empty() {
            let values = values.iter().map(ToString::to_string).collect();
            self.0.insert(key.name, Given::Many(values));
        }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// This flag.
    Flag(&'static str),
    /// This environment variable.
    Variable(String),
    /// This variable in `.env`.
    DotEnv(String),
    /// This line of the configuration file.
    File {
        /// The file, as it is shown.
        path: String,
        /// From 1.
        line: usize,
    },
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => out.write_str(flag),
            Self::Variable(name) => out.write_str(name),
            Self::DotEnv(name) => write!(out, "{name} in .env"),
            Self::File { path, line } => write!(out, "{path}:{line}"),
            Self::Default => out.write_str("default"),
        }
    }
}

/// A setting, what it came to, and what lost.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// Which one.
    pub key: &'static Key,
    /// What may be shown of its value; `None` for nothing.
    pub shown: Option<String>,
    /// Where that came from.
    pub origin: Origin,
    /// What else was said, strongest first, and where.
    pub overridden: Vec<(Origin, String)>,
}

/// One place's answer.
struct Candidate<'a> {
    given: Given,
    origin: Origin,
    entry: Option<&'a Entry>,
}

/// Reads settings out of the layers, one after the other.
pub struct Resolver<'a> {
    flags: &'a Flags,
    environment: &'a Environment,
    file: Option<&'a ConfigFile>,
    resolved: Vec<Resolved>,
}

impl<'a> Resolver<'a> {
    /// Over these layers.
    pub fn new(
        flags: &'a Flags,
        environment: &'a Environment,
        file: Option<&'a ConfigFile>,
    ) -> Self {
        Self {
            flags,
            environment,
            file,
            resolved: Vec::new(),
        }
    }

    /// The environment itself, for the rooms that have variables of a family of their own.
    pub fn environment(&self) -> &Environment {
        self.environment
    }

    /// What the flag of `key` said, as it was written.
    pub fn flag(&self, key: &Key) -> Option<String> {
        match self.flags.0.get(key.name)? {
            Given::One(text) => Some(text.clone()),
            Given::Many(items) => items.last().cloned(),
        }
    }

    /// What the configuration file says under names that begin with `prefix`.
    pub fn in_file(&self, prefix: &str) -> impl Iterator<Item = (&str, &Given)> {
        let entries = self.file.map_or(&[][..], ConfigFile::entries);
        entries
            .iter()
            .filter(move |entry| entry.name.starts_with(prefix))
            .filter_map(|entry| Some((entry.name.as_str(), entry.given.as_ref()?)))
    }

    /// The file's directory, for paths that are given in it; the working directory for all others.
    fn base(&self, origin: &Origin) -> &std::path::Path {
        match (origin, self.file) {
            (Origin::File { .. }, Some(file)) => {
                file.path().parent().unwrap_or(self.environment.directory())
            }
            _ => self.environment.directory(),
        }
    }

    /// A setting that always has a value.
    pub fn value<T>(
        &mut self,
        key: &'static Key,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T> {
        self.optional(key, read)?
            .ok_or_else(|| Error::usage(format!("{} is not set", key.name)))
    }

    /// A setting that may be absent.
    pub fn optional<T>(
        &mut self,
        key: &'static Key,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>> {
        self.first(key, |given, _| match given {
            Given::One(text) => read(text),
            Given::Many(_) => Err("expected one value, not a list".to_owned()),
        })
    }

    /// A setting of which only what somebody said is wanted, not the default.
    pub fn explicit<T>(
        &mut self,
        key: &'static Key,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>> {
        let value = self.optional(key, read)?;
        let by_default = self
            .resolved
            .last()
            .is_some_and(|resolved| resolved.origin == Origin::Default);
        Ok(value.filter(|_| !by_default))
    }

    /// A setting that names a file or directory. In the configuration file a relative path starts at that file.
    pub fn path(&mut self, key: &'static Key) -> Result<Option<std::path::PathBuf>> {
        self.first(key, |given, base| match given {
            Given::One(text) => Ok(base.join(text)),
            Given::Many(_) => Err("expected one path, not a list".to_owned()),
        })
    }

    /// A setting with any number of values: a list in the file, a repeated flag, or one text with commas.
    pub fn list<T>(
        &mut self,
        key: &'static Key,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>> {
        let items = self.first(key, |given, _| {
            let items: Vec<&str> = match given {
                Given::One(text) => vec![text.as_str()],
                Given::Many(items) => items.iter().map(String::as_str).collect(),
            };
            let split = items.iter().flat_map(|item| item.split(',')).map(str::trim);
            split.filter(|item| !item.is_empty()).map(&read).collect()
        })?;
        Ok(items.unwrap_or_default())
    }

    /// Ends the reading: every setting in the order it was asked for, or what in the file nobody asked for.
    pub fn finish(self) -> Result<Vec<Resolved>> {
        let keys: Vec<&Key> = self.resolved.iter().map(|resolved| resolved.key).collect();
        for name in self.flags.0.keys() {
            debug_assert!(
                keys.iter().any(|key| key.name == *name),
                "the flag of {name} is never read"
            );
        }
        let Some(file) = self.file else {
            return Ok(self.resolved);
        };
        let unknown = file
            .entries()
            .iter()
            .filter(|entry| keys.iter().all(|key| key.name != entry.name));
        let problems: Vec<String> = unknown
            .map(|entry| file.point_at(&entry.key_span, &unknown_name(&entry.name, &keys), &keys))
            .collect();
        if problems.is_empty() {
            return Ok(self.resolved);
        }
        Err(Error::usage(problems.join("\n"))
            .hint("`pushctl config show` lists every setting by its name"))
    }

    fn first<T>(
        &mut self,
        key: &'static Key,
        read: impl Fn(&Given, &std::path::Path) -> Result<T, String>,
    ) -> Result<Option<T>> {
        let mut candidates = self.candidates(key)?.into_iter();
        let Some(winner) = candidates.next() else {
            self.resolved.push(Resolved {
                key,
                shown: None,
                origin: Origin::Default,
                overridden: Vec::new(),
            });
            return Ok(None);
        };
        let value = read(&winner.given, self.base(&winner.origin))
            .map_err(|message| self.refuse(key, &winner, &message))?;
        self.resolved.push(Resolved {
            key,
            shown: Some(show(key, &winner.given)),
            origin: winner.origin,
            overridden: candidates
                .map(|lost| (lost.origin, show(key, &lost.given)))
                .collect(),
        });
        Ok(Some(value))
    }

    /// Every place that says something about `key`, strongest first.
    fn candidates(&self, key: &'static Key) -> Result<Vec<Candidate<'a>>> {
        let mut candidates = Vec::new();
        let mut add = |given, origin, entry| {
            candidates.push(Candidate {
                given,
                origin,
                entry,
            })
        };
        if let Some(given) = self.flags.0.get(key.name) {
            add(given.clone(), Origin::Flag(key.flag), None);
        }
        let mut from_variables = self.variables(key)?;
        from_variables.sort_by_key(|(found, ..)| *found == Found::DotEnv);
        for (_, origin, value) in from_variables {
            add(Given::One(value), origin, None);
        }
        if let Some(file) = self.file
            && let Some(entry) = file.entries().iter().find(|entry| entry.name == key.name)
        {
            let origin = Origin::File {
                path: file.shown().to_owned(),
                line: file.line(&entry.key_span),
            };
            let given = entry.given.clone().ok_or_else(|| {
                let message = format!("{} cannot be a value of this type", key.name);
                Error::usage(file.point_at(&entry.value_span, &message, &[key]))
            })?;
            add(given, origin, Some(entry));
        }
        if !key.default.is_empty() {
            add(Given::One(key.default.to_owned()), Origin::Default, None);
        }
        Ok(candidates)
    }

    fn variables(&self, key: &Key) -> Result<Vec<(Found, Origin, String)>> {
        let origin = |name: String, found| match found {
            Found::Process => Origin::Variable(name),
            Found::DotEnv => Origin::DotEnv(name),
        };
        let mut values = Vec::new();
        for name in key.variables {
            let Some((mut value, found)) = self.environment.get(name)? else {
                continue;
            };
            if name.ends_with("_FILE") {
                value = read_secret_file(self.environment.directory(), name, &value)?;
            }
            values.push((found, origin((*name).to_owned(), found), value));
        }
        Ok(values)
    }

    fn refuse(&self, key: &'static Key, winner: &Candidate<'_>, message: &str) -> Error {
        if let (Some(entry), Some(file)) = (winner.entry, self.file) {
            let message = format!("{}: {message}", key.name);
            return Error::usage(file.point_at(&entry.value_span, &message, &[key]));
        }
        let value = match key.visibility {
            Visibility::Plain => format!(" {:?}", show(key, &winner.given)),
            Visibility::Url | Visibility::Secret => String::new(),
        };
        Error::usage(format!(
            "invalid value{value} for {}: {message}",
            winner.origin
        ))
    }
}

fn show(key: &Key, given: &Given) -> String {
    match given {
        Given::One(text) => key.visibility.show(text),
        Given::Many(items) => {
            let shown: Vec<String> = items.iter().map(|item| key.visibility.show(item)).collect();
            shown.join(",")
        }
    }
}

fn unknown_name(name: &str, keys: &[&Key]) -> String {
    let names = || keys.iter().map(|key| key.name);
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned);
    // A misspelt one, or one that stands in the wrong table, or in none.
    let meant = nearest(name, names()).or_else(|| names().find(|known| last(known) == last(name)));
    match meant {
        Some(known) => format!("no setting is called \"{name}\"; did you mean \"{known}\"?"),
        None => format!("no setting is called \"{name}\""),
    }
}
