//! The results that phases record, and the summary of a run: kept as JSON, read back through these types.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Mode;
use super::plan::GeneratedFiles;
use crate::delivery::SendResult;
use crate::error::{Context as _, ErrorKind, Result};

/// How a push ended, and its counts, as the detail of its record says. A detail may lack any of them: the record of an
/// error has none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PushResult {
    pub(super) ended: Option<SendResult>,
    /// Why an outcome file is missing.
    pub(super) files_error: Option<String>,
    pub(super) rows: u64,
    pub(super) accepted: u64,
    pub(super) failed: u64,
    pub(super) dead: u64,
    pub(super) in_doubt: u64,
    pub(super) excluded: u64,
    pub(super) without_token: u64,
    pub(super) repeated: u64,
    pub(super) held_out: u64,
    pub(super) token_taken: u64,
    pub(super) skipped: u64,
    pub(super) cancelled: u64,
    pub(super) under_way: u64,
    pub(super) not_attempted: u64,
}

impl PushResult {
    /// Reads the details of pushes.
    pub fn read(details: &[Value]) -> Vec<Self> {
        let one = |detail: &Value| Self::deserialize(detail).unwrap_or_default();
        details.iter().map(one).collect()
    }

    /// Returns whether some messages failed or are in doubt.
    pub fn is_partial(&self) -> bool {
        self.ended == Some(SendResult::Partial)
    }
}

/// The result of the test phase. It is written with the summaries of its pushes and read with their results.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TestResult<P> {
    #[serde(default)]
    pub(super) accepted: u64,
    #[serde(default)]
    pub(super) of: u64,
    #[serde(default)]
    pub(super) problems: Vec<String>,
    #[serde(default)]
    pub(super) pushes: Vec<P>,
}

/// The result of the generate phase. Later phases read the files alone.
#[derive(Debug, Serialize)]
pub(super) struct GenerateResult<'a, F> {
    #[serde(flatten)]
    pub(super) files: &'a GeneratedFiles,
    pub(super) funnel: &'a F,
}

/// The result of the cleanup phase.
#[derive(Debug, Serialize)]
pub(super) struct CleanupResult {
    pub(super) files_removed: u64,
    pub(super) runs_forgotten: u64,
    pub(super) pushes_forgotten: u64,
    pub(super) notes: Vec<String>,
}

/// The summary of a run that is over. The details of its phases are in it as they are recorded.
#[derive(Debug, Serialize)]
pub(super) struct RunSummary<'a> {
    pub(super) run: &'a str,
    pub(super) automation: &'a str,
    pub(super) occurrence: &'a str,
    pub(super) mode: Mode,
    pub(super) status: &'static str,
    pub(super) reason: Option<String>,
    pub(super) audience: Option<Value>,
    pub(super) test: Option<Value>,
    pub(super) pushes: Vec<Value>,
    pub(super) cleanup: Option<Value>,
}

/// The summary of a send that was cancelled before it recorded one.
#[derive(Debug, Serialize)]
pub(super) struct CancelledSend<'a> {
    pub(super) run: &'a str,
    pub(super) automation: &'a str,
    pub(super) occurrence: &'a str,
    pub(super) ended: SendResult,
    pub(super) reason: String,
}

/// Returns a result as the store keeps it.
pub(super) fn as_json(result: &impl Serialize) -> Result<Value> {
    serde_json::to_value(result).kind(
        ErrorKind::Bug,
        || "the result of a phase cannot be written as JSON",
    )
}
