//! A setting: its names, its given values with their origins, and its result.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use clap::{ValueEnum, ValueHint};

use super::parse::words;
use super::secret::{MASK, METADATA, holds_secret, is_address, kind_of, mask_url, show_path};

/// One setting: the only declaration of its flag, variables, key, default and help.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// In the configuration file, with the name of its table: `cadence.database_url`.
    pub name: &'static str,
    /// Its help text, a noun phrase.
    pub about: &'static str,
    /// On the command line: `--deadline`; empty where no flag sets it.
    pub flag: &'static str,
    /// The short form of the flag.
    pub short: Option<char>,
    /// Stands for the value in the help: `DURATION`.
    pub value_name: &'static str,
    /// What a shell completes the value with.
    pub hint: ValueHint,
    /// The possible values, if they are a few words.
    pub words: Option<fn() -> Vec<String>>,
    /// In the environment, the first that is set. One that ends in `_FILE` names a file that holds the value.
    pub variables: &'static [&'static str],
    /// Whether the configuration file may have it.
    pub in_file: bool,
    /// The default, as text; empty for none.
    pub default: &'static str,
    /// What holds without a value and without a default, in words.
    pub otherwise: &'static str,
    /// Whether its value may be shown.
    pub visibility: Visibility,
}

impl Setting {
    /// Declares a setting of the configuration file.
    pub const fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            flag: "",
            short: None,
            value_name: "",
            hint: ValueHint::Unknown,
            words: None,
            variables: &[],
            in_file: true,
            default: "",
            otherwise: "",
            visibility: Visibility::Plain,
        }
    }

    pub(super) const fn flag(self, flag: &'static str, value_name: &'static str) -> Self {
        Self {
            flag,
            value_name,
            ..self
        }
    }

    pub(super) const fn short(self, short: char) -> Self {
        Self {
            short: Some(short),
            ..self
        }
    }

    pub(super) const fn hint(self, hint: ValueHint) -> Self {
        Self { hint, ..self }
    }

    /// Declares that its value is one of the words of `T`.
    pub(super) const fn choice<T: ValueEnum>(self) -> Self {
        Self {
            words: Some(words::<T>),
            ..self
        }
    }

    pub(super) const fn variables(self, variables: &'static [&'static str]) -> Self {
        Self { variables, ..self }
    }

    pub(super) const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    pub(super) const fn otherwise(self, otherwise: &'static str) -> Self {
        Self { otherwise, ..self }
    }

    pub(super) const fn visibility(self, visibility: Visibility) -> Self {
        Self { visibility, ..self }
    }

    pub(super) const fn not_in_file(self) -> Self {
        Self {
            in_file: false,
            ..self
        }
    }

    /// Returns what holds without a value, as help texts show it.
    pub fn shown_default(&self) -> &'static str {
        if self.default.is_empty() {
            self.otherwise
        } else {
            self.default
        }
    }
}

/// Which part of a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Visibility {
    Plain,
    /// A path, all of it; or a URL, all but its password.
    Place,
    /// The path of a file with a secret, in place of which the secret itself may stand.
    KeyFile,
    /// A URL: all but its password.
    Url,
    /// Only whether it is set.
    Secret,
}

impl Visibility {
    pub(super) fn stricter(self, other: Self) -> Self {
        self.max(other)
    }

    pub(super) fn show(self, value: &str) -> String {
        match self {
            Self::Plain if holds_secret(value) => kind_of(value),
            Self::Plain => value.to_owned(),
            Self::Place if holds_secret(value) && !is_address(value) => kind_of(value),
            Self::Place if !is_address(value) => value.to_owned(),
            Self::KeyFile if value == METADATA => value.to_owned(),
            Self::KeyFile => show_path(Path::new(""), value),
            Self::Place | Self::Url => mask_url(value),
            Self::Secret => MASK.to_owned(),
        }
    }
}

/// A value as it was written: once, or as a list.
#[derive(Clone, PartialEq, Eq)]
pub enum SettingSource {
    /// `deadline = "5m"`, `--deadline 5m`.
    One(String),
    /// `test_users = ["…", "…"]`.
    Many(Vec<String>),
}

/// The flags of the command line, by the names of their settings.
#[derive(Default)]
pub struct Flags(pub(super) BTreeMap<String, String>);

impl Flags {
    /// Records the flag of a setting.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// Returns the flag of a setting, as it was written.
    pub fn get(&self, setting: &Setting) -> Option<&str> {
        self.0.get(setting.name).map(String::as_str)
    }
}

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Flag(&'static str),
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

/// A setting with its result and the overridden values.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub key: &'static Setting,
    /// Its value as it may be shown; `None` if it is not set.
    pub shown: Option<String>,
    /// The origin of the value.
    pub origin: Origin,
    /// The overridden values, strongest first, with their origins.
    pub overridden: Vec<(Origin, String)>,
}
