//! `{audience}_{time}.manifest.json`: a run's files, their source, and hashes.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::funnel::Funnel;
use crate::atomic_publish::MANIFEST;
use crate::clock::text::show_age;

/// The version of the format; raised when a field changes its meaning.
pub const MANIFEST_VERSION: u32 = 1;

/// The manifest, which is published last: without it, the run is not complete.
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
    /// The instant at which all windows end, RFC 3339.
    pub as_of: String,
    /// SHA-256 of the query file, in hexadecimal.
    pub query_sha256: String,
    /// The files, production and test, in the order they are declared.
    pub files: Vec<FileEntry>,
    /// Stems whose file would be empty and was not written.
    pub empty: Vec<String>,
    /// The funnel, with `--funnel`.
    pub funnel: Option<Funnel>,
    /// The partition proof of a partitioned audience.
    pub partition: Option<Partition>,
    /// The users that the notification history left out, if the audience uses it.
    pub history: Option<HistoryNote>,
    /// Configured test users that are not in the source.
    pub missing_test_users: Vec<String>,
    /// The limit of rows per file, if there was one.
    pub limit: Option<u64>,
    /// The earlier run whose audience this is, because the source stayed unreachable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// Version of the database server.
    pub server_version: String,
    /// Durations of the parts.
    pub timings: Timings,
}

impl Manifest {
    /// Says that the audience is an earlier one, how old it is, and why, if it is.
    pub fn fallback_note(&self, now: Timestamp) -> Option<String> {
        let fallback = self.fallback.as_ref()?;
        let as_of: Result<Timestamp, _> = self.as_of.parse();
        let age = as_of.map_or_else(
            |_| "unknown".to_owned(),
            |at| show_age(now.duration_since(at).unsigned_abs()),
        );
        Some(format!(
            "the source stayed unreachable, so the audience as of {} was used again ({age} old, made by run {}): {}",
            self.as_of, fallback.run_id, fallback.reason
        ))
    }
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
    /// SHA-256 of the whole file, in hexadecimal.
    pub sha256: String,
    /// Columns in order.
    pub columns: Vec<String>,
}

impl FileEntry {
    /// Returns whether the name is a plain one: a path could lead out of the directory.
    pub fn is_plain(&self) -> bool {
        !self.name.contains(['/', '\\'])
    }
}

/// The purpose of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// For the users of the audience.
    Production,
    /// For the configured test users.
    Test,
}

/// The proof that the files partition the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Partition {
    /// Users that pass every stage.
    pub base: u64,
    /// Rows of each stem.
    pub levels: BTreeMap<String, u64>,
    /// The sum of the levels.
    pub sum: u64,
    /// Users in more than one file.
    pub in_two: u64,
    /// Whether base = sum and no user is in two files.
    pub holds: bool,
}

/// Why the audience of an earlier run was published once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fallback {
    /// The run that read the source.
    pub run_id: String,
    /// The manifest of that run, in the same directory.
    pub manifest: String,
    /// Why the source could not be read.
    pub reason: String,
}

/// The use of the notification history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HistoryNote {
    /// The history: `postgres`, or `none` if none is configured.
    pub from: String,
    /// The number of users left out.
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

/// Returns every manifest in a directory that can be read, with the name of its file.
pub fn manifests_in(directory: &Path) -> Vec<(String, Manifest)> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let read = |name: String| {
        let text = std::fs::read(directory.join(&name)).ok()?;
        Some((name, serde_json::from_slice(&text).ok()?))
    };
    names
        .filter(|name| name.ends_with(MANIFEST))
        .filter_map(read)
        .collect()
}
