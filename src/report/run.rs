//! The report of a run, which `runs show` prints as text, JSON and an HTML page.
//!
//! It is filled from the state store and reads nothing itself. Rows of a push are never lost: each is counted under
//! exactly one [`Outcome`], and [`RunReport::adds_up`] checks that.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::delivery::VariantOutcome;
use crate::guards::Overrides;

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    pub run: String,
    pub automation: String,
    pub description: Option<String>,
    /// The occurrence it carries out.
    pub occurrence: String,
    /// `live-send`, `real-dry-run`, …
    pub mode: String,
    /// `open`, `done`, `partial`, `failed`, `refused`, `cancelled`.
    pub status: String,
    /// Of an open run: `running`, `waiting`, `interrupted`, or `cancelled` where only its end is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Who began it: `alice@worker-1`.
    pub begun_by: String,
    pub begun_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// The IANA name of the zone in which times are shown; UTC without one.
    pub zone: Option<String>,
    /// Phases in the order in which they were begun.
    pub phases: Vec<PhaseReport>,
    /// The users stage by stage, the base first.
    pub funnel: Vec<FunnelStage>,
    pub files: Vec<FileReport>,
    /// Pushes in order.
    pub pushes: Vec<PushReport>,
    /// Answers of the push service, second by second; seconds without any are left out.
    pub rate: Vec<RatePoint>,
    pub cancel: Option<CancelReport>,
    #[serde(default)]
    pub overrides: Overrides,
    /// The errors, in order.
    pub errors: Vec<ErrorReport>,
}

/// One attempt at a phase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseReport {
    /// `generate`, `test`, `window`, `send`, `cleanup`.
    pub phase: String,
    /// 1, and more where it was begun again.
    pub attempt: u32,
    pub begun_at: Timestamp,
    /// When it ended; none while it lasts, and for ever after a crash.
    pub ended_at: Option<Timestamp>,
    /// `done`, `failed`, …
    pub result: Option<String>,
    /// A note: `1,234 users in 3 files`.
    pub note: Option<String>,
}

/// Users that remain after a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunnelStage {
    /// The condition of the stage.
    pub name: String,
    /// The number of users.
    pub people: u64,
    /// Why the others left.
    pub left: Option<String>,
}

/// A file of the audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileReport {
    /// Its name without the date.
    pub name: String,
    pub rows: u64,
}

/// A push and the outcomes of its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushReport {
    /// Its place in the sequence, from 1.
    pub number: u32,
    /// The audience file it went to.
    pub file: String,
    /// Its cadence layer.
    pub layer: u8,
    /// Its title, as the template is written.
    pub title: String,
    /// The rows of its file.
    pub rows: u64,
    /// The outcomes of the rows.
    pub outcomes: Vec<OutcomeCount>,
    /// The outcomes of each variant, if it has some.
    #[serde(default)]
    pub variants: Vec<VariantOutcome>,
}

/// How many rows ended one way, for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCount {
    pub outcome: Outcome,
    /// The reason: `UNREGISTERED`, `l3Cooldown`, a variable's name.
    pub code: Option<String>,
    pub count: u64,
}

/// The outcome of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The push service accepted it.
    Accepted,
    /// The push service rejected it, or did not accept it before the retries ended.
    Failed,
    /// The token is dead.
    Dead,
    /// No answer was received: it may have been accepted.
    InDoubt,
    /// The run was cancelled before.
    Cancelled,
    /// Excluded by a cadence rule.
    Excluded,
    /// The recipient is in the control group.
    Holdout,
    /// The recipient has no token.
    NoToken,
    /// The message could not be rendered for this row.
    Skipped,
    /// Not sent yet.
    Waiting,
}

impl Outcome {
    /// Every one, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Accepted,
        Self::Failed,
        Self::Dead,
        Self::InDoubt,
        Self::Cancelled,
        Self::Excluded,
        Self::Holdout,
        Self::NoToken,
        Self::Skipped,
        Self::Waiting,
    ];

    /// Returns the outcome in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::Dead => "dead token",
            Self::InDoubt => "in doubt",
            Self::Cancelled => "cancelled",
            Self::Excluded => "excluded by cadence",
            Self::Holdout => "held out",
            Self::NoToken => "without a token",
            Self::Skipped => "skipped",
            Self::Waiting => "waiting",
        }
    }
}

/// The answers of the push service within a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RatePoint {
    /// The second.
    pub at: Timestamp,
    pub accepted: u64,
    /// All other answers.
    pub other: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelReport {
    pub who: String,
    pub at: Timestamp,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReport {
    pub at: Option<Timestamp>,
    pub phase: Option<String>,
    pub message: String,
}

impl RunReport {
    /// Returns the rows of all pushes by outcome; only outcomes that occurred.
    pub fn totals(&self) -> BTreeMap<Outcome, u64> {
        let mut totals = BTreeMap::new();
        let counted = self.pushes.iter().flat_map(|push| &push.outcomes);
        for count in counted.filter(|count| count.count > 0) {
            *totals.entry(count.outcome).or_default() += count.count;
        }
        totals
    }

    /// Returns whether every row of every push is counted once.
    pub fn adds_up(&self) -> bool {
        let counted =
            |push: &PushReport| push.outcomes.iter().map(|count| count.count).sum::<u64>();
        self.pushes.iter().all(|push| counted(push) == push.rows)
    }

    /// Returns the rows of all pushes.
    pub fn rows(&self) -> u64 {
        self.pushes.iter().map(|push| push.rows).sum()
    }

    /// Returns the rows of the audience's files; of a run without files of its own the rows of its pushes.
    pub fn audience(&self) -> u64 {
        if self.files.is_empty() {
            return self.rows();
        }
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Returns how long it took, if it is over.
    pub fn took(&self) -> Option<SignedDuration> {
        Some(self.ended_at?.duration_since(self.begun_at))
    }

    /// Returns the document of `--json`: every field, `totals` by outcome, and `adds_up`.
    pub fn document(&self) -> Value {
        let mut document = serde_json::to_value(self).unwrap_or_default();
        document["totals"] = serde_json::to_value(self.totals()).unwrap_or_default();
        document["adds_up"] = self.adds_up().into();
        document
    }

    /// Returns the state that is shown: the activity of an open run, else its status.
    pub fn standing(&self) -> &str {
        self.state.as_deref().unwrap_or(&self.status)
    }

    /// Returns the commands for a run that no process carries, each with its purpose.
    pub fn commands(&self) -> Vec<(&'static str, String)> {
        let command = |verb: &str| format!("pushctl {verb} {}", self.run);
        match self.standing() {
            "interrupted" => vec![
                ("To continue", command("resume")),
                ("To cancel", command("cancel")),
            ],
            "waiting" => vec![("To cancel", command("cancel"))],
            _ => Vec::new(),
        }
    }

    /// Returns an instant in the report's zone.
    pub fn local(&self, at: Timestamp) -> Zoned {
        let named = self
            .zone
            .as_deref()
            .and_then(|name| TimeZone::get(name).ok());
        at.to_zoned(named.unwrap_or(TimeZone::UTC))
    }
}

/// Returns a duration as text: `12.3 s`, `25 min`, `1 h 3 min`.
pub fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs();
    let tenths = duration.subsec_millis() / 100;
    match seconds {
        ..60 if tenths > 0 => format!("{seconds}.{tenths} s"),
        ..60 => format!("{seconds} s"),
        60..3600 if seconds % 60 == 0 => format!("{} min", seconds / 60),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}
