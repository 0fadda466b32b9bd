//! A generation's request, and the results of its snapshot.

use std::fs::File;
use std::time::Duration;

use jiff::Timestamp;

use super::files::{Base, Filled};
use super::funnel::Funnel;
use super::manifest::{HistoryNote, Timings};
use super::query_context::QueryContext;
use crate::csv_writer::{LineEnding, Written};

/// What a run shall generate.
pub struct Request<'a> {
    /// The audience, its parameters and its instant.
    pub question: QueryContext<'a>,
    /// The maximum of rows per file.
    pub limit: Option<u64>,
    /// The line ending of a record.
    pub ending: LineEnding,
    /// The users in the test files; empty for no test files.
    pub test_users: &'a [String],
    /// Whether to count the funnel even if the audience does not need it.
    pub funnel: bool,
    pub run_id: &'a str,
    /// What may be used if the source stays unreachable; without it, nothing.
    pub fallback: Option<Fallback>,
}

/// An earlier audience may be used that is no older than this.
#[derive(Debug, Clone, Copy)]
pub struct Fallback {
    /// The present time.
    pub now: Timestamp,
    /// The greatest age.
    pub max_age: Duration,
}

/// The results of one snapshot.
pub(super) struct StreamedFile {
    pub(super) as_of: String,
    pub(super) filled: Vec<Filled>,
    pub(super) test_files: Vec<Option<(File, Written)>>,
    pub(super) missing_test_users: Vec<String>,
    pub(super) funnel: Option<Funnel>,
    pub(super) base: Option<Base>,
    pub(super) history: Option<HistoryNote>,
    pub(super) server_version: String,
    pub(super) timings: Timings,
}
