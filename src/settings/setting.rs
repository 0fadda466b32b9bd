//! A setting: its names, its given values with their origins, and its result.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use super::secret::{MASK, holds_secret, is_address, kind_of, mask_url, show_path};

/// One setting with its name in each origin.
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
    /// Whether its value may be shown.
    pub visibility: Visibility,
    /// Its help text, a noun phrase.
    pub about: &'static str,
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
            Self::Place if !is_address(value) => value.to_owned(),
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
    /// `test_users = ["…", "…"]`, a repeated flag.
    Many(Vec<String>),
}

/// The flags of the command line, by setting.
#[derive(Default)]
pub struct Flags(pub(super) BTreeMap<&'static str, SettingSource>);

impl Flags {
    /// Records the flag of `key`, if it has a value.
    pub fn set(&mut self, key: &'static Setting, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.0
                .insert(key.name, SettingSource::One(value.to_string()));
        }
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
