//! What a setting is: its names, what was given for it where, and what it came to.

use std::collections::BTreeMap;
use std::fmt;

use super::secret::{MASK, mask_url};

/// One setting: how it is called in each place that it can come from.
#[derive(Debug)]
pub struct Setting {
    /// In the configuration file, with the name of its table: `cadence.database_url`.
    pub name: &'static str,
    /// On the command line: `--deadline`; empty where no flag sets it.
    pub flag: &'static str,
    /// In the environment, the first that is set. One that ends in `_FILE` names a file that holds the value.
    pub variables: &'static [&'static str],
    /// The default, as text; empty for none.
    pub default: &'static str,
    /// How much of it may be shown.
    pub visibility: Visibility,
    /// What it is for, as a phrase.
    pub about: &'static str,
}

/// How much of a value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Visibility {
    Plain,
    /// A path, all of it; or a URL, all but its password.
    Place,
    /// A URL: all but its password.
    Url,
    /// Only whether there is one.
    Secret,
}

impl Visibility {
    pub(super) fn stricter(self, other: Self) -> Self {
        self.max(other)
    }

    pub(super) fn show(self, value: &str) -> String {
        match self {
            Self::Plain => value.to_owned(),
            Self::Place if !value.contains("://") => value.to_owned(),
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
    /// `test_users = ["…", "…"]`, a repeated flag.
    Many(Vec<String>),
}

/// What the command line said, by setting.
#[derive(Default)]
pub struct Flags(pub(super) BTreeMap<&'static str, SettingSource>);

impl Flags {
    /// The flag of `key` was given, if there is a value.
    pub fn set(&mut self, key: &'static Setting, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0
                .insert(key.name, SettingSource::One(value.to_string()));
        }
    }
}

/// Where a value came from.
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

/// A setting, what it came to, and what lost.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub key: &'static Setting,
    /// What may be shown of its value; `None` for nothing.
    pub shown: Option<String>,
    /// Where that came from.
    pub origin: Origin,
    /// What else was said, strongest first, and where.
    pub overridden: Vec<(Origin, String)>,
}
