//! The result of an examination as data. It is the document of `pushctl doctor --json`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::advice::Advice;
use crate::error::{Error, ErrorKind};
use crate::exit::ExitStatus;

/// The version of this document.
const SCHEMA_VERSION: u32 = 1;

/// What every step saw.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Report {
    pub schema_version: u32,
    /// When the examination began, RFC 3339.
    pub at: String,
    pub ms: f64,
    /// Whether no step failed. Warnings do not count.
    pub ok: bool,
    /// 0, or the exit status of the first step that failed.
    pub exit_status: u8,
    pub counts: Counts,
    pub sections: Vec<Section>,
}

/// How many steps ended in each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    pub ok: usize,
    pub warning: usize,
    pub failed: usize,
    pub skipped: usize,
}

/// One part: `source`, `state`, `history`, `push`, `files` or `automations`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Section {
    pub name: String,
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Step {
    /// Such as `tcp`; with several hosts `tcp db1.example.com:5432`.
    pub name: String,
    pub status: Status,
    /// What was seen, or why it failed, in one sentence.
    pub seen: String,
    /// How long it took, if that says something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
    /// What to do next, most useful first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// The step that failed before it, for a skipped one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The exit status of a failure of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<u8>,
    /// What was seen, for programs: addresses, counts, days.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, Value>,
    #[serde(skip)]
    pub(super) kind: Option<ErrorKind>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Ok,
    /// It works, and something about it needs attention.
    Warning,
    Failed,
    /// A step that it needs has failed, or there is nothing to check.
    Skipped,
}

impl Report {
    pub(super) fn new(at: Timestamp, took: Duration, sections: Vec<Section>) -> Self {
        let mut counts = Counts::default();
        let mut first = None;
        for step in sections.iter().flat_map(|section| &section.steps) {
            let count = match step.status {
                Status::Ok => &mut counts.ok,
                Status::Warning => &mut counts.warning,
                Status::Failed => &mut counts.failed,
                Status::Skipped => &mut counts.skipped,
            };
            *count += 1;
            first = first.or(step.exit_status);
        }
        Self {
            schema_version: SCHEMA_VERSION,
            at: at.to_string(),
            ms: millis(took),
            ok: counts.failed == 0,
            exit_status: first.unwrap_or(0),
            counts,
            sections,
        }
    }

    /// Returns every step with the name of its section.
    pub fn steps(&self) -> impl Iterator<Item = (&str, &Step)> {
        self.sections.iter().flat_map(|section| {
            let name = section.name.as_str();
            section.steps.iter().map(move |step| (name, step))
        })
    }

    /// Returns the error to end with: the first failure.
    pub fn failure(&self) -> Option<Error> {
        let is_failed = |(_, step): &(&str, &Step)| step.status == Status::Failed;
        let (section, step) = self.steps().find(is_failed)?;
        let error = Error::new(step.kind.unwrap_or(ErrorKind::Failed), &step.seen);
        let more = match self.counts.failed - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let error = error.context(format!("{section} {} failed{more}", step.name));
        Some(step.hints.iter().fold(error, Error::hint))
    }
}

impl Step {
    pub(super) fn new(name: &str, status: Status, seen: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            status,
            seen: seen.into(),
            ms: None,
            hints: Vec::new(),
            because: None,
            exit_status: None,
            details: BTreeMap::new(),
            kind: None,
        }
    }

    pub(super) fn failed(name: &str, error: &Error) -> Self {
        Self {
            hints: error.hints().to_vec(),
            exit_status: Some(ExitStatus::from(error.kind()).code()),
            kind: Some(error.kind()),
            ..Self::new(name, Status::Failed, format!("{error:#}"))
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Turns a step that is ok into a warning with this advice, if there is a reason to.
    pub(super) fn warn_if(self, is_concerning: bool, advice: Advice) -> Self {
        if !is_concerning {
            return self;
        }
        Self {
            status: Status::Warning,
            ..self.hint(advice)
        }
    }

    pub(super) fn took(mut self, time: Duration) -> Self {
        self.ms = Some(millis(time));
        self
    }

    pub(super) fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
