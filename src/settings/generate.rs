//! Settings of `generate`.

use std::path::PathBuf;

use clap::{ValueEnum, ValueHint};

use crate::csv_writer::LineEnding;
use crate::error::Result;

use super::environment::Environment;
use super::file::ConfigFile;
use super::parse::{choice, text};
use super::resolver::Resolver;
use super::setting::{Flags, Setting};

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

impl OutputTarget {
    /// Returns what a value of `--output` names.
    pub fn of(output: PathBuf) -> Self {
        if output.file_name().is_some_and(|name| name == "-") {
            Self::Stdout
        } else {
            Self::Directory(output)
        }
    }
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
pub static OUTPUT: Setting = Setting::new(
    "output",
    "Directory for audience files; - for one of them on standard output",
)
.flag("--output", "DIR")
.short('o')
.hint(ValueHint::DirPath)
.variables(&["PUSHCTL_OUTPUT"])
.default("generated");

/// `--queries`.
pub static QUERIES: Setting = Setting::new(
    "queries",
    "Directory of your own query files, which replace built-in ones of the same name",
)
.flag("--queries", "DIR")
.hint(ValueHint::DirPath)
.variables(&["PUSHCTL_QUERIES"]);

static TEST_USERS: Setting = Setting::new(
    "test_users",
    "Ids of the users who get a row in every test file",
)
.variables(&["PUSHCTL_TEST_USERS"]);

/// `--line-ending`.
pub static LINE_ENDING: Setting = Setting::new("line_ending", "Line ending of CSV files")
    .flag("--line-ending", "ENDING")
    .choice::<LineEnding>()
    .variables(&["PUSHCTL_LINE_ENDING"])
    .default("crlf");

/// `--on-empty`.
pub static ON_EMPTY: Setting = Setting::new("on_empty", "Outcome of an audience without rows")
    .flag("--on-empty", "MEANS")
    .choice::<OnEmpty>()
    .variables(&["PUSHCTL_ON_EMPTY"])
    .default("warn");

impl GenerateSettings {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        Ok(Self {
            output: OutputTarget::of(settings.path(&OUTPUT)?.unwrap_or_default()),
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
