//! Open runs and their activity, as `status` and `runs` show them.

use jiff::Timestamp;

use crate::delivery::lease_name;
use crate::error::Result;
use crate::pipeline::{Activity, PhaseRecords, activity};
use crate::state::{Cancellation, HeldBy, PhaseRecord, Run, RunFilter, RunStatus, Store};

use super::run_selector;

/// The prefix of the leases on occurrences.
const OCCURRENCES: &str = "occurrence/";

/// An open run, and the process that works on it.
pub(super) struct OpenRun {
    pub(super) run: Run,
    /// The latest phase, without the records of single pushes.
    pub(super) phase: Option<PhaseRecord>,
    pub(super) held: Option<HeldBy>,
    pub(super) cancelled: Option<Cancellation>,
    pub(super) activity: Activity,
}

/// Returns every open run, newest first.
pub(super) async fn all(store: &Store, now: Timestamp) -> Result<Vec<OpenRun>> {
    let open = RunFilter {
        status: Some(RunStatus::Open),
        ..RunFilter::default()
    };
    of(store, store.runs(&open).await?, now).await
}

/// Returns the open ones of `runs`.
pub(super) async fn of(
    store: &Store,
    runs: impl IntoIterator<Item = Run>,
    now: Timestamp,
) -> Result<Vec<OpenRun>> {
    let mut leases = Vec::new();
    let mut open = Vec::new();
    for run in runs {
        if run.status != RunStatus::Open {
            continue;
        }
        if open.is_empty() {
            leases = store.leases(OCCURRENCES).await?;
        }
        let name = lease_name(&run.automation, &run.occurrence);
        // The lease of a dead process is left until it expires.
        let occurrence = leases
            .iter()
            .find(|held| held.name == name && !held.holder.is_known_dead())
            .cloned();
        let held = match occurrence {
            Some(held) => Some(held),
            None => store.senders_of(&run.id).await?.into_iter().next(),
        };
        let records = PhaseRecords(store.phases(&run.id).await?);
        open.push(OpenRun {
            activity: activity(&run, &records, held.is_some(), now),
            phase: run_selector::latest_phase(records.0),
            held,
            cancelled: store.cancellation(&run.id).await?,
            run,
        });
    }
    Ok(open)
}

impl OpenRun {
    /// Returns `running`, `waiting`, `interrupted`, or `cancelled` once a cancel is recorded.
    pub(super) fn as_str(&self) -> &'static str {
        match &self.cancelled {
            Some(_) => RunStatus::Cancelled.as_str(),
            None => self.activity.as_str(),
        }
    }

    /// Returns the phase: `send`, or `after generate` between two phases.
    pub(super) fn phase(&self) -> String {
        match &self.phase {
            None => "begun".to_owned(),
            Some(phase) if phase.ended_at.is_none() => phase.phase.clone(),
            Some(phase) => format!("after {}", phase.phase),
        }
    }

    /// Returns the start of the phase, or of the pause after it.
    pub(super) fn since(&self) -> Timestamp {
        let last = self.phase.as_ref();
        last.map_or(self.run.begun_at, |phase| {
            phase.ended_at.unwrap_or(phase.begun_at)
        })
    }

    /// Returns the command that resumes it.
    pub(super) fn resume(&self) -> String {
        format!("pushctl resume {}", self.run.id)
    }

    /// Returns the command that cancels it.
    pub(super) fn cancel(&self) -> String {
        format!("pushctl cancel {}", self.run.id)
    }
}
