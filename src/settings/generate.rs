//! Settings of `generate`.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::csv_writer::LineEnding;
use crate::error::Result;

use super::environment::Environment;
use super::file::ConfigFile;
use super::parse::{choice, text};
use super::resolver::Resolver;
use super::setting::{Flags, Setting, Visibility};

/// The settings for every audience.
#[derive(Debug, Clone)]
pub struct GenerateSettings {
    /// Where files go.
    pub output: OutputTarget,
    /// Directory of query files, which replace built-in ones of the same name.
    pub queries: Option<PathBuf>,
    /// Ids of the users who get a row in every test file.
    pub test_users: Vec<String>,
    /// How lines of a CSV end.
    pub line_ending: LineEnding,
    /// What an audience without rows means.
    pub on_empty: OnEmpty,
}

/// Where files go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputTarget {
    /// Into this directory.
    Directory(PathBuf),
    /// One audience file to standard output.
    Stdout,
}

/// What an audience without rows means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OnEmpty {
    /// Success without a message.
    Ok,
    /// A warning.
    #[default]
    Warn,
    /// Exit status 6.
    Fail,
}

/// `--output`.
pub static OUTPUT: Setting = Setting {
    name: "output",
    flag: "--output",
    variables: &["PUSHCTL_OUTPUT"],
    default: "generated",
    visibility: Visibility::Plain,
    about: "directory for audience files; - for standard output",
};

/// `--queries`.
pub static QUERIES: Setting = Setting {
    name: "queries",
    flag: "--queries",
    variables: &["PUSHCTL_QUERIES"],
    default: "",
    visibility: Visibility::Plain,
    about: "directory with query files of your own",
};

static TEST_USERS: Setting = Setting {
    name: "test_users",
    flag: "",
    variables: &["PUSHCTL_TEST_USERS"],
    default: "",
    visibility: Visibility::Plain,
    about: "ids of the users who get a row in every test file",
};

/// `--line-ending`.
pub static LINE_ENDING: Setting = Setting {
    name: "line_ending",
    flag: "--line-ending",
    variables: &["PUSHCTL_LINE_ENDING"],
    default: "crlf",
    visibility: Visibility::Plain,
    about: "line ending of CSV files: crlf or lf",
};

/// `--on-empty`.
pub static ON_EMPTY: Setting = Setting {
    name: "on_empty",
    flag: "--on-empty",
    variables: &["PUSHCTL_ON_EMPTY"],
    default: "warn",
    visibility: Visibility::Plain,
    about: "outcome of an audience without rows: ok, warn or fail",
};

impl GenerateSettings {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        let output = settings.path(&OUTPUT)?.unwrap_or_default();
        Ok(Self {
            output: if output.file_name().is_some_and(|name| name == "-") {
                OutputTarget::Stdout
            } else {
                OutputTarget::Directory(output)
            },
            queries: settings.path(&QUERIES)?,
            test_users: settings.list(&TEST_USERS, text)?,
            line_ending: settings.value(&LINE_ENDING, choice)?,
            on_empty: settings.value(&ON_EMPTY, choice)?,
        })
    }
}

/// Returns the directory of query files alone, before the command line is parsed.
pub fn queries_ahead(
    flags: &Flags,
    environment: &Environment,
    file: Option<&ConfigFile>,
) -> Result<Option<PathBuf>> {
    Resolver::new(flags, environment, file).path(&QUERIES)
}
