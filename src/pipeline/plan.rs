//! What a run is about, and what its phases came to: everything that is needed to go on after a crash. It is kept as JSON,
//! the course in the run's plan, the results in the details of its phases.

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

/// What a run is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunPlan {
    /// The automation as its file was when the run began: a file that changes later does not change the run.
    pub automation: AutomationFile,
    /// How much of it is real.
    pub mode: Mode,
    /// When its phases are due.
    pub times: Times,
}

/// When the phases of a run are due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Generation begins.
    pub generate_at: Timestamp,
    /// The tests are sent.
    pub test_at: Timestamp,
    /// People receive it.
    pub send_at: Timestamp,
    /// A push that could not begin so long after it was due does not begin.
    pub lateness_seconds: i64,
    /// So long there is to cancel.
    pub window_seconds: i64,
    /// The zone of quiet hours, an IANA name.
    pub zone: String,
}

/// What the generate phase made; the detail of its record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratedFiles {
    /// Where the files are.
    pub directory: PathBuf,
    /// The manifest's name there.
    pub manifest: Option<String>,
    /// The instant of all windows.
    pub as_of: String,
    /// Rows of all files that get a push.
    pub rows: u64,
    /// One for each push, in order.
    pub pushes: Vec<PushFiles>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// The files of one push.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushFiles {
    /// As the automation names it.
    pub audience_file: String,
    /// Its people; `None` if there are none.
    pub live: Option<GeneratedFile>,
    /// The test users' rows.
    pub test: Option<GeneratedFile>,
}

/// A file, as it was when it was written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GeneratedFile {
    /// Its name in the directory.
    pub name: String,
    /// Records without the header.
    pub rows: u64,
    /// Of its content, in hexadecimal.
    pub sha256: String,
}

impl Times {
    /// Those of an occurrence.
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

    /// The same, for a run that waits for nothing.
    #[must_use]
    pub fn at_once(mut self, now: Timestamp) -> Self {
        self.generate_at = now;
        self.test_at = now;
        self
    }

    /// The zone.
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
    /// The course of a recorded run.
    pub fn of(run: &Run) -> Result<Self> {
        let plan = run.plan.get("course").cloned().unwrap_or(Value::Null);
        serde_json::from_value(plan).kind(ErrorKind::Usage, || {
            format!("run {} is not a pipeline's", run.id)
        })
    }

    /// As the plan of a run.
    pub fn plan(&self) -> Result<Value> {
        let plan = serde_json::to_value(self)
            .kind(ErrorKind::Bug, || "a course that cannot be written down")?;
        Ok(serde_json::json!({ "course": plan }))
    }

    /// The hours in which nobody is to be woken.
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

/// What a phase's record ends with when nothing is left to do about it.
pub(super) const DONE: &str = "done";
/// And when a safeguard ended the attempt.
pub(super) const REFUSED: &str = "refused";

impl PhaseRecords {
    /// The record of a phase that is done.
    pub fn done(&self, phase: &str) -> Option<&state::PhaseRecord> {
        let is_done = |record: &&state::PhaseRecord| {
            record.phase == phase && record.result.as_deref() == Some(DONE)
        };
        self.0.iter().find(is_done)
    }

    /// How many attempts of a phase a safeguard ended.
    pub(super) fn refusals(&self, phase: &str) -> usize {
        let refused = |record: &&state::PhaseRecord| {
            record.phase == phase && record.result.as_deref() == Some(REFUSED)
        };
        self.0.iter().filter(refused).count()
    }

    /// When a phase was first begun.
    pub fn begun(&self, phase: &str) -> Option<Timestamp> {
        let first = self.0.iter().find(|record| record.phase == phase);
        first.map(|record| record.begun_at)
    }

    /// When a phase was done.
    pub fn ended(&self, phase: &str) -> Option<Timestamp> {
        self.done(phase)?.ended_at
    }

    /// The attempt that was begun and not ended, if its process is gone or still at it.
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

    /// What generation made.
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

/// How a push's own record is called; `place` counts from 0.
pub(super) fn push_phase(place: usize) -> String {
    format!("push-{}", place + 1)
}
