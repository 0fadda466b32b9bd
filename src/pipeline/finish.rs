//! The end of a run: its record, its summary and its notices, whether its own process ends it or another one closes it.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize as _;
use serde_json::Value;

use super::notifications::Notifier;
use super::outgoing::Outgoing;
use super::plan::push_phase;
use super::results::{NoResult, RunSummary, TestResult, as_json, summaries};
use super::step;
use super::step::{Lateness, NextStep};
use super::{Phase, PhaseContext, PhaseRecords, RunPlan};
use crate::count::counted;
use crate::delivery::{SendResult, Summary, partial_error};
use crate::error::{Error, ErrorKind, Result};
use crate::guards::Overrides;
use crate::progress::Progress;
use crate::state::{Cancellation, PhaseRecord, Run, RunStatus, Store};

/// The result of a phase that a cancel ended.
const CANCELLED: &str = "cancelled";

/// A run that is over, as it is recorded.
#[derive(Debug)]
pub struct FinishedRun {
    pub summary: RunSummary,
    /// The reason for every status but done. It decides the exit status.
    pub error: Option<Error>,
}

/// Whether a recorded run can still send.
#[derive(Debug)]
pub enum Overdue {
    /// It can, or it was interrupted in the middle of a push and waits for a person.
    No,
    /// It cannot, for this reason.
    For(Error),
}

/// Returns whether an open run is too late to send. A run of `send` has no due time and is never too late.
pub fn overdue(run: &Run, phases: Vec<PhaseRecord>, now: Timestamp) -> Overdue {
    let Ok(plan) = RunPlan::of(run) else {
        return Overdue::No;
    };
    match step::next(&plan, &PhaseRecords(phases), now, Lateness::Counts) {
        NextStep::TooLate(due, phase) => Overdue::For(too_late(run, &plan, due, phase)),
        _ => Overdue::No,
    }
}

/// Returns the error of a cancelled run.
pub fn cancelled_by(cancel: &Cancellation) -> Error {
    let reason = cancel.reason.as_ref().map(|reason| format!(": {reason}"));
    let message = format!(
        "cancelled by {} at {:.0}{}",
        cancel.who,
        cancel.at,
        reason.unwrap_or_default()
    );
    Error::new(ErrorKind::Cancelled, message)
}

/// Returns the refusal of a phase that would begin, or continue, later than the automation allows. Whether a new run is
/// the right answer depends on who has the push already, so the hints name the facts.
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
            "`pushctl resume {}` continues it however late it is, and sends to each recipient once",
            run.id
        ))
        .hint("a run begun with --now is a new occurrence: it would send again to everyone who has this push")
}

/// Closes an open run that no process carries, because it was cancelled or is too late to send. The caller holds the
/// lease of its occurrence.
pub async fn close_run(store: &Store, run: &Run, error: &Error) -> Result<()> {
    let status = status_after(error);
    let records = PhaseRecords(store.phases(&run.id).await?);
    if status == RunStatus::Cancelled {
        // Messages of a process that died may have arrived: they are in doubt, as after a crash.
        for push in store.pushes(&run.automation, &run.occurrence).await? {
            store.settle(&push).await?;
        }
        end_open_phases(store, &run.id, &records).await?;
    }
    let summary = match RunPlan::of(run) {
        Ok(plan) => as_json(&summary(run, &plan, (status, Some(error)), &records))?,
        Err(_) => send_summary(run, error, &records)?,
    };
    end_run(store, run, status, &summary).await
}

/// Sends the notices of a cancelled run that [`close_run`] closed. Only a pipeline's run has notices.
pub async fn notify_cancelled(
    run: &Run,
    cancel: &Cancellation,
    notices: &Outgoing,
    progress: &dyn Progress,
) -> Result<()> {
    let plan = RunPlan::of(run)?;
    let overrides = Overrides::of(&run.plan);
    let notifier = Notifier {
        run,
        plan: &plan,
        notices: Some(notices),
        overrides: &overrides,
        progress,
    };
    let error = cancelled_by(cancel);
    notifier
        .notify_end(RunStatus::Cancelled, Some(&error), &[])
        .await;
    Ok(())
}

/// Ends a run whose phases are all done.
pub(super) async fn conclude(
    phase: &PhaseContext<'_>,
    records: &PhaseRecords,
) -> Result<FinishedRun> {
    let pushes = summaries(&pushes(phase.plan, records));
    let (status, partial) = status_of(&pushes);
    let test = records.done(Phase::Test.as_str());
    let test = test.and_then(|test| TestResult::deserialize(test.detail.as_ref()?).ok());
    let mut results = test.map_or_else(Vec::new, |test| test.pushes);
    results.extend(pushes);
    let error = missing_file(&phase.run.id, &results).or(partial);
    finish(phase, status, error, records).await
}

/// Corrects the status of a run that is over: its messages in doubt have been sent again.
pub(super) async fn correct(phase: &PhaseContext<'_>) -> Result<()> {
    let store = phase.context.store;
    let records = PhaseRecords(store.phases(&phase.run.id).await?);
    let pushes = summaries(&pushes(phase.plan, &records));
    let (status, partial) = status_of(&pushes);
    let summary = summary(phase.run, phase.plan, (status, partial.as_ref()), &records);
    store
        .correct_run(&phase.run.id, status, &as_json(&summary)?)
        .await
}

/// Ends a run for good before all of its phases are done.
pub(super) async fn fail(phase: &PhaseContext<'_>, error: Error) -> Result<FinishedRun> {
    let records = PhaseRecords(phase.context.store.phases(&phase.run.id).await?);
    finish(phase, status_after(&error), Some(error), &records).await
}

async fn finish(
    phase: &PhaseContext<'_>,
    status: RunStatus,
    error: Option<Error>,
    records: &PhaseRecords,
) -> Result<FinishedRun> {
    let store = phase.context.store;
    if status == RunStatus::Cancelled {
        end_open_phases(store, &phase.run.id, records).await?;
    }
    let summary = summary(phase.run, phase.plan, (status, error.as_ref()), records);
    end_run(store, phase.run, status, &as_json(&summary)?).await?;
    let pushes = summaries(&pushes(phase.plan, records));
    Notifier::of(phase)
        .notify_end(status, error.as_ref(), &pushes)
        .await;
    phase.context.progress.finish();
    Ok(FinishedRun { summary, error })
}

async fn end_run(store: &Store, run: &Run, status: RunStatus, summary: &Value) -> Result<()> {
    store.end_run(&run.id, status, summary).await?;
    // A refused run may be resumed, from any machine, and then needs its files.
    if status != RunStatus::Refused {
        store.forget_files(&run.id).await?;
    }
    Ok(())
}

/// Ends the phases that are open: those of a cancelled run are over.
async fn end_open_phases(store: &Store, run: &str, records: &PhaseRecords) -> Result<()> {
    for open in records.0.iter().filter(|record| record.ended_at.is_none()) {
        let detail = as_json(&NoResult {
            note: Some("the run was cancelled".to_owned()),
            ..NoResult::default()
        })?;
        store
            .end_phase(run, &open.phase, open.attempt, CANCELLED, &detail)
            .await?;
    }
    Ok(())
}

fn status_after(error: &Error) -> RunStatus {
    match error.kind() {
        ErrorKind::Cancelled => RunStatus::Cancelled,
        ErrorKind::Refused => RunStatus::Refused,
        _ => RunStatus::Failed,
    }
}

fn status_of(pushes: &[Summary]) -> (RunStatus, Option<Error>) {
    match partial_error(pushes) {
        Some(error) => (RunStatus::Partial, Some(error)),
        None => (RunStatus::Done, None),
    }
}

/// Returns the latest detail of each push that was begun.
fn pushes(plan: &RunPlan, records: &PhaseRecords) -> Vec<Value> {
    let latest = |place: usize| records.latest_detail(&push_phase(place));
    (0..plan.automation.push.len()).filter_map(latest).collect()
}

/// Returns the summary that the store keeps of a run that is over.
fn summary(
    run: &Run,
    plan: &RunPlan,
    (status, error): (RunStatus, Option<&Error>),
    records: &PhaseRecords,
) -> RunSummary {
    RunSummary {
        run: run.id.clone(),
        automation: run.automation.clone(),
        occurrence: run.occurrence.clone(),
        mode: Some(plan.mode),
        status: status.as_str().to_owned(),
        reason: error.map(|error| format!("{error:#}")),
        audience: records.latest_detail(Phase::Generate.as_str()),
        test: records.latest_detail(Phase::Test.as_str()),
        pushes: pushes(plan, records),
        cleanup: records.latest_detail(Phase::Cleanup.as_str()),
    }
}

/// Returns the summary of a cancelled send: that of its latest attempt, if one recorded a summary.
fn send_summary(run: &Run, error: &Error, records: &PhaseRecords) -> Result<Value> {
    let details = records.0.iter().rev().filter_map(|one| one.detail.as_ref());
    let mut latest = details.filter_map(|detail| Summary::deserialize(detail).ok());
    let summary = latest.find(|summary| summary.push > 0);
    as_json(&Summary {
        ended: SendResult::Cancelled,
        reason: Some(format!("{error:#}")),
        ..summary.unwrap_or_else(|| Summary {
            run: run.id.clone(),
            automation: run.automation.clone(),
            occurrence: run.occurrence.clone(),
            ..Summary::default()
        })
    })
}

/// Returns the error of an outcome file that could not be written. The status of the run is not affected: the ledger
/// holds every outcome.
pub(super) fn missing_file(run: &str, pushes: &[Summary]) -> Option<Error> {
    let why = pushes.iter().find_map(|push| push.files_error.as_deref())?;
    Some(Error::new(ErrorKind::Failed, why).hint(format!(
        "repair the cause, then `pushctl runs files {run}` writes the files"
    )))
}
