//! How a run ends: what is recorded of it, and what is told.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::driver::{DriveResult, Driver, too_late};
use super::plan::push_word;
use super::step;
use super::step::{Lateness, NextStep};
use super::{Phase, PhaseRecords, RunPlan};
use crate::error::{Error, ErrorKind, Result};
use crate::state::{PhaseRecord, Run, RunStatus, Store};

/// What the record of a phase ends with that a cancel ended.
pub(super) const CANCELLED: &str = "cancelled";

const SOME_FAILED: &str = "some messages failed";

/// Whether a recorded run can still send.
#[derive(Debug)]
pub enum Overdue {
    /// It can, or it was interrupted in the middle of a push and waits for a person.
    No,
    /// It cannot, for this reason.
    For(Error),
}

/// Returns whether an open run is too late to send. A run that is not a pipeline's has no time.
pub fn overdue(run: &Run, phases: Vec<PhaseRecord>, now: Timestamp) -> Overdue {
    let Ok(plan) = RunPlan::of(run) else {
        return Overdue::No;
    };
    match step::next(&plan, &PhaseRecords(phases), now, Lateness::Counts) {
        NextStep::TooLate(due, phase) => Overdue::For(too_late(run, &plan, due, phase)),
        _ => Overdue::No,
    }
}

/// Closes a run that is too late to send, or that was cancelled while no process carried it.
pub async fn close_overdue(store: &Store, run: &Run, error: &Error) -> Result<()> {
    let status = match error.kind() {
        ErrorKind::Cancelled => RunStatus::Cancelled,
        _ => RunStatus::Refused,
    };
    let summary = match RunPlan::of(run) {
        Ok(plan) => {
            let records = PhaseRecords(store.phases(&run.id).await?);
            summary(run, &plan, (status, Some(error)), &records)
        }
        Err(_) => {
            json!({ "run": run.id, "status": status.as_str(), "reason": format!("{error:#}") })
        }
    };
    store.end_run(&run.id, status, &summary).await?;
    if status != RunStatus::Refused {
        store.forget_files(&run.id).await?;
    }
    Ok(())
}

impl Driver<'_> {
    /// Every phase is done.
    pub(super) async fn conclude(&self, records: &PhaseRecords) -> Result<DriveResult> {
        let pushes = pushes(self.plan, records);
        let is_partial = pushes.iter().any(|push| push["ended"] == "partial");
        let (status, error) = if is_partial {
            let error = Error::new(ErrorKind::Partial, SOME_FAILED);
            (RunStatus::Partial, Some(error))
        } else {
            (RunStatus::Done, None)
        };
        let test = records.done(Phase::Test.as_str());
        let tests = test.and_then(|test| test.detail.as_ref()?.get("pushes")?.as_array());
        let told = tests.into_iter().flatten().chain(&pushes);
        let error = missing_file(&self.run.id, told).or(error);
        self.close(status, error, records).await
    }

    /// Corrects how a run ended that is over: its messages in doubt have an answer now.
    pub(super) async fn correct(&self) -> Result<()> {
        let records = PhaseRecords(self.context.store.phases(&self.run.id).await?);
        let is_partial = |push: &Value| push["ended"] == "partial";
        let status = if pushes(self.plan, &records).iter().any(is_partial) {
            RunStatus::Partial
        } else {
            RunStatus::Done
        };
        let error = Error::new(ErrorKind::Partial, SOME_FAILED);
        let error = (status == RunStatus::Partial).then_some(&error);
        let summary = summary(self.run, self.plan, (status, error), &records);
        let store = self.context.store;
        store.correct_run(&self.run.id, status, &summary).await
    }

    /// It ends for good, before everything was done.
    pub(super) async fn fail(&self, error: Error) -> Result<DriveResult> {
        let status = match error.kind() {
            ErrorKind::Cancelled => RunStatus::Cancelled,
            ErrorKind::Refused => RunStatus::Refused,
            _ => RunStatus::Failed,
        };
        let records = PhaseRecords(self.context.store.phases(&self.run.id).await?);
        self.close(status, Some(error), &records).await
    }

    async fn close(
        &self,
        status: RunStatus,
        error: Option<Error>,
        records: &PhaseRecords,
    ) -> Result<DriveResult> {
        if status == RunStatus::Cancelled {
            end_open_phases(self.context.store, &self.run.id, records).await?;
        }
        let summary = summary(self.run, self.plan, (status, error.as_ref()), records);
        self.context
            .store
            .end_run(&self.run.id, status, &summary)
            .await?;
        // What a safeguard stopped may go on, from any machine.
        if status != RunStatus::Refused {
            self.context.store.forget_files(&self.run.id).await?;
        }
        self.tell_end(status, error.as_ref(), &summary).await;
        self.context.progress.finish();
        Ok(DriveResult::Over {
            status,
            summary,
            error,
        })
    }
}

/// Ends what was begun and has no end: a phase that was cancelled is over.
pub(super) async fn end_open_phases(
    store: &Store,
    run: &str,
    records: &PhaseRecords,
) -> Result<()> {
    for open in records.0.iter().filter(|record| record.ended_at.is_none()) {
        let detail = json!({ "note": "the run was cancelled" });
        store
            .end_phase(run, &open.phase, open.attempt, CANCELLED, &detail)
            .await?;
    }
    Ok(())
}

/// The last that was recorded of each push that was begun.
fn pushes(plan: &RunPlan, records: &PhaseRecords) -> Vec<Value> {
    let last = |place: usize| {
        let word = push_word(place);
        let record = records.0.iter().rev().find(|record| record.phase == word)?;
        record.detail.clone()
    };
    (0..plan.automation.push.len()).filter_map(last).collect()
}

/// What the store keeps of a run that is over.
pub(super) fn summary(
    run: &Run,
    plan: &RunPlan,
    (status, error): (RunStatus, Option<&Error>),
    records: &PhaseRecords,
) -> Value {
    let detail = |phase: Phase| {
        let record = records
            .0
            .iter()
            .rev()
            .find(|record| record.phase == phase.as_str());
        record.and_then(|record| record.detail.clone())
    };
    json!({
        "run": run.id,
        "automation": run.automation,
        "occurrence": run.occurrence,
        "mode": plan.mode,
        "status": status.as_str(),
        "reason": error.map(|error| format!("{error:#}")),
        "audience": detail(Phase::Generate),
        "test": detail(Phase::Test),
        "pushes": pushes(plan, records),
        "cleanup": detail(Phase::Cleanup),
    })
}

/// An outcome file that could not be written, as the summaries of pushes tell. A run is done all the same: the ledger knows
/// what became of everyone.
pub(super) fn missing_file<'a>(
    run: &str,
    pushes: impl IntoIterator<Item = &'a Value>,
) -> Option<Error> {
    let mut told = pushes.into_iter();
    let why = told.find_map(|push| push["files_error"].as_str())?;
    Some(Error::new(ErrorKind::Failed, why).hint(format!(
        "`pushctl runs files {run}` writes them once that is mended"
    )))
}
