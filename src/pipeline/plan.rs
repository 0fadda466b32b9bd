//! The plan of a run and the records of its phases: everything that a later start needs to continue it after a crash.
//! Both are kept as JSON, in the plan of the run and in the details of its phases.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Mode, Phase};
use crate::automation::AutomationFile;
use crate::automation::quiet_hours::QuietHours;
use crate::automation::schedule::Occurrence;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::state::{self, Run};

/// The plan of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// The automation as its file was when the run began: a file that changes later does not change the run.
    pub automation: AutomationFile,
    /// How much of the run is real.
    pub mode: Mode,
    /// The times at which its phases are due.
    pub times: Times,
}

/// The plan as a run records it.
#[derive(Serialize, Deserialize)]
struct RecordedPlan {
    course: RunPlan,
}

/// The times at which the phases of a run are due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// The start of the generate phase.
    pub generate_at: Timestamp,
    /// The time of the test pushes.
    pub test_at: Timestamp,
    /// The time of the first live push.
    pub send_at: Timestamp,
    /// How late a push may begin.
    pub lateness_seconds: i64,
    /// The length of the cancellation window.
    pub window_seconds: i64,
    /// The time zone of the quiet hours, an IANA name.
    pub zone: String,
}

/// The files of the generate phase, as the detail of its record holds them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratedFiles {
    /// The directory of the files.
    pub directory: PathBuf,
    /// The name of the manifest in it.
    pub manifest: Option<String>,
    /// The instant that all time windows of the query end at.
    #[serde(default)]
    pub as_of: String,
    /// Rows of all files that a push goes to.
    #[serde(default)]
    pub rows: u64,
    /// The files of each push, in order.
    pub pushes: Vec<PushFiles>,
    /// Warnings and notes for a person.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The files of one push.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushFiles {
    /// The name that the automation uses.
    pub audience_file: String,
    /// The file of its recipients; `None` if there are none.
    pub live: Option<GeneratedFile>,
    /// The file of the test users.
    pub test: Option<GeneratedFile>,
}

/// A file, as it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratedFile {
    /// The name in the directory.
    pub name: String,
    /// Rows without the header.
    pub rows: u64,
    /// The SHA-256 of the content, in hexadecimal.
    pub sha256: String,
}

impl Times {
    /// Returns the times of an occurrence.
    pub fn of(occurrence: &Occurrence) -> Self {
        let zone = occurrence.send_at.time_zone();
        let send_at = occurrence.send_at.timestamp();
        Self {
            generate_at: occurrence.generate_at,
            test_at: occurrence.test_at,
            send_at,
            lateness_seconds: occurrence.latest.duration_since(send_at).as_secs(),
            window_seconds: send_at.duration_since(occurrence.test_at).as_secs(),
            zone: zone.iana_name().unwrap_or("UTC").to_owned(),
        }
    }

    /// Returns the same times for a run that waits for nothing.
    #[must_use]
    pub fn at_once(mut self, now: Timestamp) -> Self {
        self.generate_at = now;
        self.test_at = now;
        self
    }

    /// Returns the time zone.
    pub fn zone(&self) -> TimeZone {
        TimeZone::get(&self.zone).unwrap_or(TimeZone::UTC)
    }

    pub(super) fn lateness(&self) -> SignedDuration {
        SignedDuration::from_secs(self.lateness_seconds)
    }

    pub(super) fn window(&self) -> SignedDuration {
        SignedDuration::from_secs(self.window_seconds)
    }
}

impl RunPlan {
    /// Returns the plan of a recorded run.
    pub fn of(run: &Run) -> Result<Self> {
        let plan = RecordedPlan::deserialize(&run.plan);
        let plan = plan.kind(ErrorKind::Usage, || {
            format!("run {} was not started by run-pipeline", run.id)
        })?;
        Ok(plan.course)
    }

    /// Returns the plan as a run records it.
    pub fn recorded(self) -> Result<Value> {
        serde_json::to_value(RecordedPlan { course: self }).kind(
            ErrorKind::Bug,
            || "the plan of a run cannot be written as JSON",
        )
    }

    /// Returns the quiet hours of the automation.
    pub fn quiet_hours(&self) -> Option<QuietHours> {
        self.automation
            .safeguards
            .quiet_hours
            .as_ref()?
            .parse()
            .ok()
    }
}

/// The records of a run's phases, in the order in which they began.
#[derive(Debug, Clone, Default)]
pub struct PhaseRecords(pub Vec<state::PhaseRecord>);

/// The result of a phase that is done.
pub(super) const DONE: &str = "done";
/// The result of an attempt that waits for the end of the quiet hours.
pub(super) const PAUSED: &str = "paused";
/// The result of an attempt that a safeguard ended.
pub(super) const REFUSED: &str = "refused";

impl PhaseRecords {
    /// Returns the record of a phase, if it is done.
    pub fn done(&self, phase: &str) -> Option<&state::PhaseRecord> {
        let is_done = |record: &&state::PhaseRecord| {
            record.phase == phase && record.result.as_deref() == Some(DONE)
        };
        self.0.iter().find(is_done)
    }

    /// Returns how many attempts of a phase a safeguard ended.
    pub(super) fn refusals(&self, phase: &str) -> usize {
        let refused = |record: &&state::PhaseRecord| {
            record.phase == phase && record.result.as_deref() == Some(REFUSED)
        };
        self.0.iter().filter(refused).count()
    }

    /// Returns when a phase was first begun.
    pub fn begun(&self, phase: &str) -> Option<Timestamp> {
        let first = self.0.iter().find(|record| record.phase == phase);
        first.map(|record| record.begun_at)
    }

    /// Returns when a phase was done.
    pub fn ended(&self, phase: &str) -> Option<Timestamp> {
        self.done(phase)?.ended_at
    }

    /// Returns the attempt of a phase that was begun and has not ended.
    pub(super) fn open(&self, phase: &str) -> Option<u32> {
        let open =
            |record: &&state::PhaseRecord| record.phase == phase && record.ended_at.is_none();
        self.0.iter().rev().find(open).map(|record| record.attempt)
    }

    /// Returns the detail of the latest attempt of a phase.
    pub(super) fn latest_detail(&self, phase: &str) -> Option<Value> {
        let latest = self.0.iter().rev().find(|record| record.phase == phase)?;
        latest.detail.clone()
    }

    /// Returns the files of the generate phase.
    pub fn files(&self) -> Result<GeneratedFiles> {
        let detail = self
            .done(Phase::Generate.as_str())
            .and_then(|record| record.detail.clone());
        serde_json::from_value(detail.unwrap_or(Value::Null)).map_err(|error| {
            Error::from_cause(ErrorKind::Failed, error)
                .context("the record of the generated files cannot be read")
        })
    }
}

/// Returns the phase name of the record of one push; `place` counts from 0.
pub(super) fn push_phase(place: usize) -> String {
    format!("push-{}", place + 1)
}
