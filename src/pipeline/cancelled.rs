//! A cancelled run that no process carries: the cancel itself ends it, as the process would have. The caller holds the
//! occurrence's lease, so no process takes the run up meanwhile.

use serde_json::{Value, json};

use super::finish::{end_open_phases, summary};
use super::notifications::News;
use super::{PhaseRecords, RunPlan};
use crate::error::{Error, ErrorKind, Result};
use crate::guards::Overrides;
use crate::notify::Notices;
use crate::progress::Progress;
use crate::state::{Cancellation, Run, RunStatus, Store};

/// The error of a run that was cancelled.
pub fn cancelled_by(cancel: &Cancellation) -> Error {
    let why = cancel.reason.as_ref().map(|why| format!(": {why}"));
    let message = format!(
        "cancelled by {} at {:.0}{}",
        cancel.who,
        cancel.at,
        why.unwrap_or_default()
    );
    Error::new(ErrorKind::Cancelled, message)
}

/// Ends an open run as cancelled: its phases, its claims without an answer, its record.
pub async fn close_cancelled(store: &Store, run: &Run, cancel: &Cancellation) -> Result<()> {
    // A dead sender's messages may have arrived: they are in doubt, like those of a crash.
    for push in store.pushes(&run.automation, &run.occurrence).await? {
        store.settle(&push).await?;
    }
    let records = PhaseRecords(store.phases(&run.id).await?);
    end_open_phases(store, &run.id, &records).await?;
    let error = cancelled_by(cancel);
    let summary = match RunPlan::of(run) {
        Ok(plan) => summary(run, &plan, (RunStatus::Cancelled, Some(&error)), &records),
        Err(_) => of_send(run, &error, &records),
    };
    store
        .end_run(&run.id, RunStatus::Cancelled, &summary)
        .await?;
    store.forget_files(&run.id).await
}

/// Sends the notices of a run that [`close_cancelled`] ended; those of a run without an automation are none.
pub async fn tell_cancelled(
    run: &Run,
    cancel: &Cancellation,
    notices: &Notices,
    progress: &dyn Progress,
) -> Result<()> {
    let plan = RunPlan::of(run)?;
    let overrides = Overrides::of(&run.plan);
    let news = News {
        run,
        plan: &plan,
        notices,
        overrides: &overrides,
        progress,
    };
    news.tell_end(
        RunStatus::Cancelled,
        Some(&cancelled_by(cancel)),
        &Value::Null,
    )
    .await;
    Ok(())
}

/// What an earlier attempt said of a send, if one ended by itself, and that it was cancelled.
fn of_send(run: &Run, error: &Error, records: &PhaseRecords) -> Value {
    let said = records
        .0
        .iter()
        .rev()
        .filter_map(|record| record.detail.clone())
        .find(|detail| detail.get("rows").is_some());
    let mut summary = said.unwrap_or_else(
        || json!({ "run": run.id, "automation": run.automation, "occurrence": run.occurrence }),
    );
    summary["ended"] = "cancelled".into();
    summary["reason"] = format!("{error:#}").into();
    summary
}
