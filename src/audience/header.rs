//! The header of a query file as TOML; [`super::definition`] documents its meaning.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::parameters::Declaration;

/// The header, as written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// One line for lists.
    pub title: String,
    /// A paragraph for the help.
    #[serde(default)]
    pub about: String,
    /// The users that the `SELECT` considers.
    #[serde(default = "everyone")]
    pub base: String,
    /// `ORDER BY` of every file.
    pub order: Spanned<String>,
    /// Columns that are instants: written in UTC, to the microsecond.
    #[serde(default)]
    pub times: Vec<String>,
    /// Between stem, test marker and time.
    #[serde(default = "underscore")]
    pub name_separator: String,
    /// Marks a test file's name.
    #[serde(default = "test_marker")]
    pub test_marker: String,
    /// Whether the files partition the base; a run then proves it.
    #[serde(default)]
    pub partition: bool,
    /// Session settings for this audience's transaction.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Leaves out users by their notification history.
    pub history: Option<HistoryRule>,
    /// Checks before anything is read.
    #[serde(default)]
    pub checks: Vec<Check>,
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, Spanned<Declaration>>,
    /// In order: a user that fails a stage is counted out there.
    #[serde(default)]
    pub stages: Vec<DeclaredStage>,
    pub files: Vec<OutputFile>,
}

/// The rule that leaves out users with recent pushes of a layer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryRule {
    /// The layer whose pushes count.
    pub layer: i32,
    /// The integer parameter with the number of pushes.
    pub at_least: Spanned<String>,
    /// The integer parameter with the number of days.
    pub within_days: Spanned<String>,
}

/// A statement that must be true before anything is read.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub sql: Spanned<String>,
    /// The error message if it is not true; `{parameter}` is replaced.
    pub error: String,
    /// The hint of the error.
    pub hint: Option<String>,
}

/// One condition between the base and the files.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredStage {
    /// A short name for the users that pass.
    pub name: String,
    /// SQL over the body's columns and parameters.
    pub keep: Spanned<String>,
    /// The reason why users fail it.
    pub left: String,
    /// Columns whose values `why` prints.
    #[serde(default)]
    pub show: Vec<Spanned<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutputFile {
    pub stem: Spanned<String>,
    /// The condition of its rows; none for the only file.
    pub when: Option<Spanned<String>>,
    /// A description of its users.
    #[serde(default)]
    pub help: String,
    pub columns: Spanned<Vec<Spanned<String>>>,
}

impl OutputFile {
    /// Returns the names of its columns, in order.
    pub fn column_names(&self) -> impl Iterator<Item = &str> {
        self.columns
            .get_ref()
            .iter()
            .map(|name| name.get_ref().as_str())
    }
}

fn everyone() -> String {
    "every user that the query returns".into()
}

fn underscore() -> String {
    "_".into()
}

fn test_marker() -> String {
    "TEST".into()
}
