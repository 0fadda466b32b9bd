//! `{audience}_{time}.manifest.json`: what a run made, from what, and the proof of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::funnel::Funnel;

/// The version of the format; raised when a field changes its meaning.
pub const MANIFEST_VERSION: u32 = 1;

/// The last file of a run to appear: while it is missing, the run is not complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "pushctl manifest")]
pub struct Manifest {
    /// Version of this format.
    pub manifest_version: u32,
    /// The program and its version.
    pub generator: String,
    /// The run that made the files.
    pub run_id: String,
    /// The audience's name.
    pub audience: String,
    /// The audience's title.
    pub title: String,
    /// Every parameter with its value.
    pub parameters: BTreeMap<String, String>,
    /// The instant from which all windows are measured, RFC 3339.
    pub as_of: String,
    /// SHA-256 of the query file, in hexadecimal.
    pub query_sha256: String,
    /// The files, production and test, in the order they are declared.
    pub files: Vec<FileEntry>,
    /// Stems whose file would be empty, and so was not written.
    pub empty: Vec<String>,
    /// Present where `--funnel` was asked for.
    pub funnel: Option<Funnel>,
    /// For an audience whose files share out its base: that they do.
    pub partition: Option<Partition>,
    /// What the notification history left out, where the audience asks it.
    pub history: Option<HistoryNote>,
    /// Configured test users that the source does not know.
    pub missing_test_users: Vec<String>,
    /// The most rows a file was allowed, if that was bounded.
    pub limit: Option<u64>,
    /// Version of the database server.
    pub server_version: String,
    /// How long the parts took.
    pub timings: Timings,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileEntry {
    /// Its name, in the manifest's directory.
    pub name: String,
    /// Its stem.
    pub stem: String,
    /// Production or test.
    pub kind: FileKind,
    /// Records without the header.
    pub rows: u64,
    /// Size.
    pub bytes: u64,
    /// Of the whole file, in hexadecimal.
    pub sha256: String,
    /// Columns in order.
    pub columns: Vec<String>,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// For the people of the audience.
    Production,
    /// For the configured test users.
    Test,
}

/// The proof that the files share out the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Partition {
    /// People who pass every stage.
    pub base: u64,
    /// Rows of each stem.
    pub levels: BTreeMap<String, u64>,
    /// The sum of the levels.
    pub sum: u64,
    /// People who are in more than one file.
    pub in_two: u64,
    /// Whether base = sum and no user is in two files.
    pub holds: bool,
}

/// What was asked of the notification history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryNote {
    /// Where it was read: `postgres`, or `none` if none is configured.
    pub from: String,
    /// How many people had been sent enough.
    pub already_sent: u64,
}

/// Milliseconds of each part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Timings {
    /// Until the snapshot was open.
    pub connect_ms: u64,
    /// From the query to its last row.
    pub rows_ms: u64,
    /// The funnel, if it was counted.
    pub funnel_ms: u64,
    /// From the start of the command to the manifest.
    pub total_ms: u64,
}
