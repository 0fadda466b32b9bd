//! How a run ends: what is recorded of it, and what is told.

use serde_json::{Value, json};

use super::driver::{DriveResult, Driver};
use super::plan::push_word;
use super::{Phase, PhaseRecords, RunPlan};
use crate::error::{Error, Kind, Result};
use crate::state::{Run, RunStatus, Store};

/// What the record of a phase ends with that a cancel ended.
pub(super) const CANCELLED: &str = "cancelled";

impl Driver<'_> {
    /// Every phase is done.
    pub(super) async fn conclude(&self, records: &PhaseRecords) -> Result<DriveResult> {
        let pushes = pushes(self.plan, records);
        let is_partial = pushes.iter().any(|push| push["ended"] == "partial");
        let (status, error) = if is_partial {
            let error = Error::new(Kind::Partial, "some messages failed");
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

    /// It ends for good, before everything was done.
    pub(super) async fn fail(&self, error: Error) -> Result<DriveResult> {
        let status = match error.kind() {
            Kind::Cancelled => RunStatus::Cancelled,
            Kind::Refused => RunStatus::Refused,
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
    Some(Error::new(Kind::Failed, why).hint(format!(
        "`pushctl runs files {run}` writes them once that is mended"
    )))
}
