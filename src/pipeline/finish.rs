//! How a run ends: what is recorded of it, and what is told.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::notifications::News;
use super::plan::push_word;
use super::step;
use super::step::{Lateness, NextStep};
use super::{Phase, PhaseContext, PhaseRecords, RunPlan};
use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};
use crate::state::{PhaseRecord, Run, RunStatus, Store};

/// What the record of a phase ends with that a cancel ended.
pub(super) const CANCELLED: &str = "cancelled";

const SOME_FAILED: &str = "some messages failed";

/// A run that is over, as it is recorded.
pub(super) struct FinishedRun {
    pub(super) status: RunStatus,
    pub(super) summary: Value,
    /// Why it was not simply done.
    pub(super) error: Option<Error>,
}

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

/// The refusal of what begins, or goes on, later than the automation allows. Whether another run should be begun depends
/// on who has got the push already, so the hint names the facts.
pub(super) fn too_late(run: &Run, plan: &RunPlan, due: Timestamp, phase: Phase) -> Error {
    let zone = plan.times.zone();
    let clock = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%H:%M %Z").to_string();
    let lateness = plan.times.lateness();
    let minutes = |time: SignedDuration| counted(time.as_mins().unsigned_abs(), "minutes");
    let message = if phase == Phase::Window {
        format!(
            "too late: the cancellation window of {} would end after {} (send time {}, max_lateness_minutes = {})",
            minutes(plan.times.window()),
            clock(step::after(plan.times.send_at, lateness)),
            clock(plan.times.send_at),
            lateness.as_mins()
        )
    } else {
        format!(
            "too late: {} was due at {}, and max_lateness_minutes allows {}",
            phase.as_str(),
            clock(due),
            minutes(lateness)
        )
    };
    Error::new(ErrorKind::Refused, message)
        .hint(format!(
            "`pushctl resume {}` goes on with it however late it is, and sends to nobody twice",
            run.id
        ))
        .hint("a run begun with --now is an occurrence of its own: it would send again to everyone who has this push")
}

/// Every phase is done.
pub(super) async fn conclude(
    phase: &PhaseContext<'_>,
    records: &PhaseRecords,
) -> Result<FinishedRun> {
    let pushes = pushes(phase.plan, records);
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
    let error = missing_file(&phase.run.id, told).or(error);
    close(phase, status, error, records).await
}

/// Corrects how a run ended that is over: its messages in doubt have an answer now.
pub(super) async fn correct(phase: &PhaseContext<'_>) -> Result<()> {
    let records = PhaseRecords(phase.context.store.phases(&phase.run.id).await?);
    let is_partial = |push: &Value| push["ended"] == "partial";
    let status = if pushes(phase.plan, &records).iter().any(is_partial) {
        RunStatus::Partial
    } else {
        RunStatus::Done
    };
    let error = Error::new(ErrorKind::Partial, SOME_FAILED);
    let error = (status == RunStatus::Partial).then_some(&error);
    let summary = summary(phase.run, phase.plan, (status, error), &records);
    let store = phase.context.store;
    store.correct_run(&phase.run.id, status, &summary).await
}

/// It ends for good, before everything was done.
pub(super) async fn fail(phase: &PhaseContext<'_>, error: Error) -> Result<FinishedRun> {
    let status = match error.kind() {
        ErrorKind::Cancelled => RunStatus::Cancelled,
        ErrorKind::Refused => RunStatus::Refused,
        _ => RunStatus::Failed,
    };
    let records = PhaseRecords(phase.context.store.phases(&phase.run.id).await?);
    close(phase, status, Some(error), &records).await
}

async fn close(
    phase: &PhaseContext<'_>,
    status: RunStatus,
    error: Option<Error>,
    records: &PhaseRecords,
) -> Result<FinishedRun> {
    if status == RunStatus::Cancelled {
        end_open_phases(phase.context.store, &phase.run.id, records).await?;
    }
    let summary = summary(phase.run, phase.plan, (status, error.as_ref()), records);
    phase
        .context
        .store
        .end_run(&phase.run.id, status, &summary)
        .await?;
    // What a safeguard stopped may go on, from any machine.
    if status != RunStatus::Refused {
        phase.context.store.forget_files(&phase.run.id).await?;
    }
    News::of(phase)
        .tell_end(status, error.as_ref(), &summary)
        .await;
    phase.context.progress.finish();
    Ok(FinishedRun {
        status,
        summary,
        error,
    })
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
