//! One run, step by step, until it waits for a time, or is over. Whoever calls holds the occurrence's lease.

use std::pin::Pin;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::file_handoff::fetch_file;
use super::finish;
use super::finish::FinishedRun;
use super::notifications::{notify_start, notify_window};
use super::plan::{DONE, REFUSED, push_phase};
use super::results::{PushResult, as_json};
use super::safeguards::{AudienceFacts, apply_overrides, check_audience, while_sending};
use super::send::Sending;
use super::step::{Lateness, NextStep};
use super::{Phase, PhaseContext, PhaseRecords, PipelineContext, RunPlan, cancelled_by};
use super::{cleanup, generate, send, step, test};
use crate::count::counted;
use crate::delivery::{InDoubt, Order, SendResult, is_unwritable};
use crate::error::{Error, ErrorKind, Result};
use crate::guards::{Guard, Overrides};
use crate::interrupt::Interrupt;
use crate::state::{Run, RunStatus};

/// How often somebody is asked whether the run was cancelled, while it waits.
const CANCEL_INTERVAL: Duration = Duration::from_secs(2);
/// Between two tries of a phase that failed for a reason that may pass.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// How a run is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriveOptions {
    /// Wait for what is due later, or leave that to the next start.
    pub wait_for_due: bool,
    /// Stop once this phase is done.
    pub until: Option<Phase>,
    /// Whether lateness matters.
    pub lateness: Lateness,
}

/// Where a run stands when its driver leaves it.
#[derive(Debug)]
pub enum DriveResult {
    /// Something is due then.
    Waiting(Timestamp, Phase),
    /// The phase that it was to stop after is done.
    Reached(Phase),
    /// It is over. The error decides the exit status.
    Over {
        /// How it ended.
        status: RunStatus,
        /// What it did: the run's summary in the store.
        summary: Value,
        /// Why it was not simply done.
        error: Option<Error>,
    },
}

impl From<FinishedRun> for DriveResult {
    fn from(finished: FinishedRun) -> Self {
        let FinishedRun {
            status,
            summary,
            error,
        } = finished;
        Self::Over {
            status,
            summary,
            error,
        }
    }
}

/// A run being driven.
struct Driver<'a> {
    phase: PhaseContext<'a>,
}

/// Drives a run.
///
/// # Errors
/// It stopped, and can go on: a signal, a service out of reach, credentials that were refused.
pub async fn drive(
    run: &Run,
    context: &PipelineContext<'_>,
    mut options: DriveOptions,
) -> Result<DriveResult> {
    let overrides = Overrides::of(&run.plan);
    let plan = effective_plan(run, &overrides)?;
    if overrides.lift(Guard::Lateness) {
        options.lateness = Lateness::Waived;
    }
    let driver = Driver {
        phase: PhaseContext {
            run,
            plan: &plan,
            overrides: &overrides,
            context,
        },
    };
    loop {
        let error = match driver.advance(options).await {
            Ok(Some(ending)) => return Ok(ending),
            Ok(None) => continue,
            Err(error) => error,
        };
        if options.wait_for_due && driver.is_worth_retrying(&error) {
            let told = format!("{error:#}; trying again in a minute");
            context.progress.note(&told);
            driver.wait_to_try_again().await;
        } else if is_final(error.kind()) && !is_unwritable(&error) {
            return Ok(finish::fail(&driver.phase, error).await?.into());
        } else {
            return Err(error.hint(format!("`pushctl resume {}` goes on", run.id)));
        }
    }
}

/// Sends again what is in doubt of a run that is over, and corrects how it ended; the summaries, push by push. `overrides`
/// are those of this start alone: what was overridden for the run itself is asked again.
///
/// # Errors
/// A guard refuses, or a send stopped.
pub async fn resend_in_doubt(
    run: &Run,
    context: &PipelineContext<'_>,
    overrides: &Overrides,
) -> Result<Vec<Value>> {
    let plan = effective_plan(run, overrides)?;
    let driver = Driver {
        phase: PhaseContext {
            run,
            plan: &plan,
            overrides,
            context,
        },
    };
    let records = PhaseRecords(context.store.phases(&run.id).await?);
    let files = records.files()?;
    let facts = AudienceFacts {
        rows: files.rows,
        ..AudienceFacts::default()
    };
    check_audience(&plan.automation.safeguards, &facts).error(&run.automation)?;
    let mut summaries = Vec::new();
    for (place, push) in files.pushes.iter().enumerate() {
        let begun = records.begun(&push_phase(place)).is_some();
        if let Some(file) = push.live.as_ref().filter(|_| begun) {
            fetch_file(&driver.phase, &files, file).await?;
            let mut order = send::order(&driver.phase, place, &files, file);
            order.in_doubt = InDoubt::Retry;
            summaries.push(driver.resend(place, &order).await?);
        }
    }
    finish::correct(&driver.phase).await?;
    finish::missing_file(&run.id, &PushResult::read(&summaries)).map_or(Ok(summaries), Err)
}

/// The course of a run as it counts: what was overridden does not limit it.
fn effective_plan(run: &Run, overrides: &Overrides) -> Result<RunPlan> {
    let mut plan = RunPlan::of(run)?;
    plan.automation = apply_overrides(plan.automation, overrides);
    if overrides.lift(Guard::Window) {
        plan.times.window_seconds = 0;
    }
    Ok(plan)
}

/// Whether an error ends a run for good. The others leave it open: it can go on.
fn is_final(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Unreachable
        | ErrorKind::Credentials
        | ErrorKind::Locked
        | ErrorKind::Interrupted
        | ErrorKind::Terminated => false,
        ErrorKind::Failed
        | ErrorKind::Usage
        | ErrorKind::Partial
        | ErrorKind::Nothing
        | ErrorKind::Refused
        | ErrorKind::Cancelled
        | ErrorKind::Bug => true,
    }
}

impl Driver<'_> {
    /// One step; where the run stands, if that was the last one.
    async fn advance(&self, options: DriveOptions) -> Result<Option<DriveResult>> {
        let context = self.phase.context;
        self.check_interrupts().await?;
        let records = PhaseRecords(context.store.phases(&self.phase.run.id).await?);
        let step = step::next(
            self.phase.plan,
            &records,
            context.clock.now(),
            options.lateness,
        );
        let reached = options
            .until
            .filter(|phase| *phase != Phase::Cleanup && records.done(phase.as_str()).is_some());
        if let Some(phase) = reached {
            return Ok(Some(DriveResult::Reached(phase)));
        }
        match step {
            NextStep::Over => {
                return Ok(Some(finish::conclude(&self.phase, &records).await?.into()));
            }
            NextStep::Wait(at, phase) if !options.wait_for_due => {
                return Ok(Some(DriveResult::Waiting(at, phase)));
            }
            NextStep::Wait(at, phase) => {
                self.wait(at, &self.waiting_note(at, phase, &records))
                    .await?
            }
            NextStep::TooLate(due, phase) => {
                return Err(finish::too_late(
                    self.phase.run,
                    self.phase.plan,
                    due,
                    phase,
                ));
            }
            NextStep::QuietHours(place) => return Err(self.quiet_hours_error(place)),
            NextStep::Do(phase) => Box::pin(self.run_phase(phase, &records)).await?,
            NextStep::InterruptedPush(place) => return Err(self.interrupted_push(place)),
            NextStep::Push(place) => self.run_push(place, &records, options.lateness).await?,
        }
        Ok(None)
    }

    /// A signal, or a cancel.
    async fn check_interrupts(&self) -> Result<()> {
        if let Some(kind) = self.phase.context.interrupt.fired() {
            return Err(Interrupt::error(kind));
        }
        let Some(cancel) = self
            .phase
            .context
            .store
            .cancellation(&self.phase.run.id)
            .await?
        else {
            return Ok(());
        };
        Err(cancelled_by(&cancel))
    }

    /// Returns what is waited for, to whom it will go, and how to stop it.
    fn waiting_note(&self, at: Timestamp, phase: Phase, records: &PhaseRecords) -> String {
        let name = &self.phase.run.automation;
        let local = at.to_zoned(self.phase.plan.times.zone());
        let local = local.strftime("%H:%M:%S %Z");
        let files = records.files().unwrap_or_default();
        let recipients = |rows| counted(rows, "recipients");
        let stop = format!("to stop: pushctl cancel {name}");
        match phase {
            Phase::Generate => format!("{name}: the audience is generated at {local}; {stop}"),
            Phase::Test => format!(
                "{name}: the test pushes are sent at {local}, before {}; {stop}",
                recipients(files.rows)
            ),
            Phase::Window => format!(
                "{name}: cancellation window until {local} ({}); {stop}",
                recipients(files.rows)
            ),
            Phase::Send | Phase::Cleanup => {
                let mut pushes = files.pushes.iter().enumerate();
                let next = pushes.find(|(place, _)| records.ended(&push_phase(*place)).is_none());
                let rows = next.and_then(|(_, push)| push.live.as_ref());
                let place = next.map_or(0, |(place, _)| place + 1);
                format!(
                    "{name}: push {place} is sent at {local} ({}); {stop}",
                    recipients(rows.map_or(0, |file| file.rows))
                )
            }
        }
    }

    /// Waits, and looks for a cancel all the while. Nothing is kept open.
    async fn wait(&self, at: Timestamp, what: &str) -> Result<()> {
        let context = self.phase.context;
        context.progress.note(what);
        context.progress.stage(what);
        context.store.rest().await;
        loop {
            let left = at.duration_since(context.clock.now());
            if !left.is_positive() {
                return Ok(());
            }
            self.pause(left.unsigned_abs().min(CANCEL_INTERVAL)).await;
            // The loop of the caller hears the same, and knows what to do.
            if context.interrupt.fired().is_some()
                || context
                    .store
                    .cancellation(&self.phase.run.id)
                    .await?
                    .is_some()
            {
                return Ok(());
            }
            context.store.rest().await;
        }
    }

    async fn pause(&self, time: Duration) {
        tokio::select! {
            _ = self.phase.context.interrupt.wait() => {}
            () = self.phase.context.clock.sleep(time) => {}
        }
    }

    /// Waits a minute, and looks for a cancel all the while; a store that is out of reach has none to tell.
    async fn wait_to_try_again(&self) {
        let mut left = RETRY_PAUSE;
        while !left.is_zero() {
            self.pause(left.min(CANCEL_INTERVAL)).await;
            left = left.saturating_sub(CANCEL_INTERVAL);
            let cancelled = self
                .phase
                .context
                .store
                .cancellation(&self.phase.run.id)
                .await;
            if self.phase.context.interrupt.fired().is_some() || matches!(cancelled, Ok(Some(_))) {
                return;
            }
        }
    }

    /// Whether what failed is worth another try before it would be too late for the last push.
    fn is_worth_retrying(&self, error: &Error) -> bool {
        let times = &self.phase.plan.times;
        let delays = self.phase.plan.automation.push.iter();
        let delays = delays.map(|push| i64::from(push.delay_minutes)).sum();
        let last = step::after(times.send_at, SignedDuration::from_mins(delays));
        let end = step::after(last, times.lateness());
        error.is_retryable()
            && step::after(
                self.phase.context.clock.now(),
                RETRY_PAUSE.try_into().unwrap_or_default(),
            ) < end
    }

    fn quiet_hours_error(&self, place: usize) -> Error {
        let hours = self
            .phase
            .plan
            .automation
            .safeguards
            .quiet_hours
            .as_deref()
            .unwrap_or_default();
        Error::new(
            ErrorKind::Refused,
            format!(
                "push {} would go out now, within quiet_hours = \"{hours}\"",
                place + 1
            ),
        )
        .hint("quiet_hours_action = \"delay\" makes such pushes wait until the hours are over")
    }

    /// Does a phase, and records its beginning and its end.
    async fn run_phase(&self, phase: Phase, records: &PhaseRecords) -> Result<()> {
        match phase {
            Phase::Generate => {
                if records.begun(Phase::Generate.as_str()).is_none() {
                    notify_start(&self.phase).await;
                }
                self.record(phase.as_str(), Box::pin(generate::run(&self.phase)))
                    .await
            }
            Phase::Test => {
                self.record(phase.as_str(), Box::pin(test::run(&self.phase, records)))
                    .await
            }
            Phase::Window => self.window(records).await,
            Phase::Send => {
                let attempt = self.open_attempt(phase.as_str(), records).await?;
                self.end(phase.as_str(), attempt, DONE, &json!({})).await
            }
            Phase::Cleanup => {
                self.record(phase.as_str(), Box::pin(cleanup::run(&self.phase)))
                    .await
            }
        }
    }

    /// The attempt that is open, or a new one.
    async fn open_attempt(&self, phase: &str, records: &PhaseRecords) -> Result<u32> {
        match records.open(phase) {
            Some(attempt) => Ok(attempt),
            None => {
                self.phase
                    .context
                    .store
                    .begin_phase(&self.phase.run.id, phase)
                    .await
            }
        }
    }

    async fn end(&self, phase: &str, attempt: u32, result: &str, detail: &Value) -> Result<()> {
        self.phase
            .context
            .store
            .end_phase(&self.phase.run.id, phase, attempt, result, detail)
            .await
    }

    async fn record(
        &self,
        phase: &str,
        work: Pin<Box<dyn Future<Output = Result<Value>> + '_>>,
    ) -> Result<()> {
        let attempt = self
            .phase
            .context
            .store
            .begin_phase(&self.phase.run.id, phase)
            .await?;
        let result = work.await;
        self.phase.context.progress.finish();
        match result {
            Ok(detail) => self.end(phase, attempt, DONE, &detail).await,
            Err(error) => {
                let detail = json!({ "error": format!("{error:#}") });
                // What went wrong matters more than that it could not be written down.
                let result = match error.kind() {
                    ErrorKind::Refused => REFUSED,
                    _ => "failed",
                };
                let _ = self.end(phase, attempt, result, &detail).await;
                Err(error)
            }
        }
    }

    /// Opens the window, or closes it.
    async fn window(&self, records: &PhaseRecords) -> Result<()> {
        let word = Phase::Window.as_str();
        let is_new = records.begun(word).is_none();
        let attempt = self.open_attempt(word, records).await?;
        let closes = step::window_closes(self.phase.plan, records);
        if is_new && self.phase.context.clock.now() < closes {
            let files = records.files()?;
            notify_window(&self.phase, &files, closes).await;
            return Ok(());
        }
        self.end(word, attempt, DONE, &json!({ "closed_at": closes }))
            .await
    }

    /// A crash in the middle of a push leaves open who has got it: a person decides.
    fn interrupted_push(&self, place: usize) -> Error {
        Error::new(
            ErrorKind::Locked,
            format!(
                "run {} was interrupted in the middle of push {}, and it is too late to go on by itself",
                self.phase.run.id,
                place + 1
            ),
        )
        .hint(format!(
            "until then no other run of {} begins; `pushctl cancel {}` ends it",
            self.phase.run.automation, self.phase.run.id
        ))
    }

    /// One push of a run that is over, once more.
    async fn resend(&self, place: usize, order: &Order) -> Result<Value> {
        let gate = while_sending(&self.phase.plan.automation, None);
        let word = push_phase(place);
        loop {
            let attempt = self
                .phase
                .context
                .store
                .begin_phase(&self.phase.run.id, &word)
                .await?;
            let sent = Box::pin(send::deliver(&self.phase, order, &gate)).await?;
            self.phase.context.progress.finish();
            let over = matches!(sent.summary.ended, SendResult::Done | SendResult::Partial);
            let detail = as_json(&sent.summary)?;
            let result = if over { DONE } else { "stopped" };
            self.end(&word, attempt, result, &detail).await?;
            match (sent.paused_until, sent.error) {
                (Some(until), _) => {
                    let what = format!(
                        "{}: the quiet hours end at {}, and push {} goes on; to stop: pushctl cancel {}",
                        self.phase.run.automation,
                        until
                            .to_zoned(self.phase.plan.times.zone())
                            .strftime("%H:%M:%S %Z"),
                        place + 1,
                        self.phase.run.automation
                    );
                    self.wait(until, &what).await?;
                    self.check_interrupts().await?;
                }
                (None, Some(error)) if !over => return Err(error),
                (None, _) => return Ok(detail),
            }
        }
    }

    async fn run_push(
        &self,
        place: usize,
        records: &PhaseRecords,
        lateness: Lateness,
    ) -> Result<()> {
        self.open_attempt(Phase::Send.as_str(), records).await?;
        let word = push_phase(place);
        let attempt = self
            .phase
            .context
            .store
            .begin_phase(&self.phase.run.id, &word)
            .await?;
        let result = Box::pin(send::run(&self.phase, place, records, lateness)).await;
        self.phase.context.progress.finish();
        let (result, detail, error) = match result {
            Ok((detail, Sending::Done)) => (DONE, detail, None),
            Ok((detail, Sending::Paused)) => ("paused", detail, None),
            Ok((detail, Sending::Stopped(error))) => ("stopped", detail, Some(error)),
            Err(error) => (
                "failed",
                json!({ "error": format!("{error:#}") }),
                Some(error),
            ),
        };
        let ended = self.end(&word, attempt, result, &detail).await;
        error.map_or(ended, Err)
    }
}
