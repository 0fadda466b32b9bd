//! The results that phases record, and the summary of a run. The store keeps them as JSON, and they are read back
//! through these types. What an earlier version did not write has its default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Mode;
use super::plan::GeneratedFiles;
use crate::audience::funnel::Funnel;
use crate::delivery::Summary;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::state::Run;

/// The result of the generate phase.
#[derive(Debug, Serialize, Deserialize)]
pub struct GenerateResult {
    #[serde(flatten)]
    pub files: GeneratedFiles,
    /// The funnel of the manifest.
    #[serde(default)]
    pub funnel: Option<Funnel>,
    /// Every parameter of the audience with its value.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// The result of the test phase.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TestResult {
    /// Accepted test pushes.
    pub accepted: u64,
    /// All test pushes.
    pub of: u64,
    pub(super) problems: Vec<String>,
    /// The summary of each push.
    pub pushes: Vec<Summary>,
}

/// The result of the cleanup phase.
#[derive(Debug, Serialize)]
pub(super) struct CleanupResult {
    pub(super) files_removed: u64,
    pub(super) runs_forgotten: u64,
    pub(super) pushes_forgotten: u64,
    pub(super) notes: Vec<String>,
}

/// The detail of a phase that has no result.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NoResult {
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Another reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The summary of a run that is over. The details of its phases are in it as they are recorded.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunSummary {
    pub run: String,
    pub automation: String,
    pub occurrence: String,
    /// How much of it was real.
    pub mode: Option<Mode>,
    pub status: String,
    /// The reason for every status but done.
    pub reason: Option<String>,
    pub(super) audience: Option<Value>,
    pub(super) test: Option<Value>,
    pub(super) pushes: Vec<Value>,
    pub(super) cleanup: Option<Value>,
}

impl RunSummary {
    /// Returns the rows of all files that a push goes to.
    pub fn rows(&self) -> Option<u64> {
        let result = GenerateResult::deserialize(self.audience.as_ref()?);
        Some(result.ok()?.files.rows)
    }

    /// Returns the result of the test phase.
    pub fn test(&self) -> TestResult {
        let test = self.test.as_ref().map(TestResult::deserialize);
        test.and_then(std::result::Result::ok).unwrap_or_default()
    }

    /// Returns whether the live phase was begun.
    pub fn has_pushes(&self) -> bool {
        !self.pushes.is_empty()
    }

    /// Returns the summaries of the live pushes. A push that failed before it sent, or has no recipients, has none.
    pub fn pushes(&self) -> Vec<Summary> {
        let mut pushes = summaries(&self.pushes);
        pushes.retain(|push| push.push > 0);
        pushes
    }
}

/// The state in which a start left a run.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum RunDocument {
    /// The run is over.
    Over(Box<RunSummary>),
    /// The run waits, is interrupted, or was over before.
    Open(OpenRun),
}

/// A run without a summary of this start.
#[derive(Debug, Serialize)]
pub struct OpenRun {
    pub run: String,
    pub automation: String,
    pub occurrence: String,
    pub status: String,
    /// The next phase, or the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<&'static str>,
    /// When the next phase is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<jiff::Timestamp>,
    /// The summaries of pushes whose messages in doubt were sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushes: Option<Vec<Summary>>,
}

impl RunDocument {
    /// Returns the summary; that of a run that is not over has fewer facts.
    pub fn summary(&self) -> RunSummary {
        match self {
            Self::Over(summary) => (**summary).clone(),
            Self::Open(run) => RunSummary {
                run: run.run.clone(),
                automation: run.automation.clone(),
                occurrence: run.occurrence.clone(),
                status: run.status.clone(),
                pushes: (run.pushes.iter().flatten())
                    .filter_map(|push| as_json(push).ok())
                    .collect(),
                ..RunSummary::default()
            },
        }
    }
}

impl NoResult {
    /// Returns the detail of a phase that an error ended.
    pub fn of(error: &Error) -> Value {
        serde_json::json!({ "error": format!("{error:#}") })
    }
}

impl OpenRun {
    /// Returns the document of a run in a state.
    pub fn of(run: &Run, status: &str) -> Self {
        Self {
            run: run.id.clone(),
            automation: run.automation.clone(),
            occurrence: run.occurrence.clone(),
            status: status.to_owned(),
            phase: None,
            due_at: None,
            pushes: None,
        }
    }
}

/// Reads the details of pushes.
pub(super) fn summaries(details: &[Value]) -> Vec<Summary> {
    let one = |detail: &Value| Summary::deserialize(detail).unwrap_or_default();
    details.iter().map(one).collect()
}

/// Returns a result as the store keeps it.
pub fn as_json(result: &impl Serialize) -> Result<Value> {
    serde_json::to_value(result).kind(
        ErrorKind::Bug,
        || "the result of a phase cannot be written as JSON",
    )
}
