//! Carries out a run step by step until it waits or is over. The caller holds the lease of the occurrence.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use super::file_handoff::fetch_file;
use super::finish;
use super::finish::FinishedRun;
use super::notifications::{notify_start, notify_window};
use super::plan::{DONE, PAUSED, REFUSED, push_phase};
use super::results::{NoResult, as_json};
use super::safeguards::{AudienceFacts, apply_overrides, check_audience, while_sending};
use super::send::PushState;
use super::step::{Lateness, NextStep};
use super::{Phase, PhaseContext, PhaseRecords, PipelineContext, RunPlan, cancelled_by};
use super::{cleanup, generate, send, step, test};
use crate::count::counted;
use crate::delivery::{InDoubt, Order, SendResult, Summary, is_unwritable};
use crate::error::{Error, ErrorKind, Result};
use crate::guards::{Guard, Overrides};
use crate::interrupt::Interrupt;
use crate::state::{Run, Store};

/// How often a waiting run checks for a cancel.
const CANCEL_INTERVAL: Duration = Duration::from_secs(2);
/// The pause before a phase is retried that failed for a transient reason.
const RETRY_PAUSE: Duration = Duration::from_secs(60);

/// How a run is driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DriveOptions {
    /// Whether to wait until the next phase is due, or leave it to the next start.
    pub wait_for_due: bool,
    /// Stop once this phase is done.
    pub until: Option<Phase>,
    /// Whether lateness matters.
    pub lateness: Lateness,
}

/// The state of a run when its driver returns.
#[derive(Debug)]
pub enum DriveResult {
    /// The phase is due at this instant.
    Waiting(Timestamp, Phase),
    /// The phase of [`DriveOptions::until`] is done.
    Reached(Phase),
    /// The run is over. The error decides the exit status.
    Over(Box<FinishedRun>),
}

/// Carries out one run.
struct Driver<'a> {
    phase: PhaseContext<'a>,
}

/// Carries out a run until it waits or is over.
///
/// # Errors
/// The run stopped and can be resumed: a signal, an unreachable service, rejected credentials.
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
            let note = format!("{error:#}; retrying in a minute");
            context.progress.note(&note);
            let waiting = driver.wait_to_try_again();
            context
                .budget
                .watch("another attempt", || true, waiting)
                .await;
        } else if is_final(error.kind()) && !is_unwritable(&error) {
            let finished = finish::fail(&driver.phase, error).await?;
            return Ok(DriveResult::Over(Box::new(finished)));
        } else {
            // The records of a dry run end with it.
            return Err(if plan.mode.reaches_phones() {
                error.hint(format!("`pushctl resume {}` continues the run", run.id))
            } else {
                error
            });
        }
    }
}

/// Sends the messages in doubt of a run that is over again, corrects its status, and returns the summary of each push.
/// `overrides` are those of this start alone: the overrides of the run itself do not count.
///
/// # Errors
/// A guard refuses, or a send stopped.
pub async fn resend_in_doubt(
    run: &Run,
    context: &PipelineContext<'_>,
    overrides: &Overrides,
) -> Result<Vec<Summary>> {
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
    finish::missing_file(&run.id, &summaries).map_or(Ok(summaries), Err)
}

/// Returns the plan of a run without the limits that were overridden.
fn effective_plan(run: &Run, overrides: &Overrides) -> Result<RunPlan> {
    let mut plan = RunPlan::of(run)?;
    plan.automation = apply_overrides(plan.automation, overrides);
    if overrides.lift(Guard::Window) {
        plan.times.window_seconds = 0;
    }
    Ok(plan)
}

/// Returns whether an error ends a run for good. The other errors leave the run open.
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
    fn store(&self) -> &Store {
        self.phase.context.store
    }

    /// Carries out one step; returns the state of the run if that was the last one.
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
                let finished = finish::conclude(&self.phase, &records).await?;
                return Ok(Some(DriveResult::Over(Box::new(finished))));
            }
            NextStep::Wait(at, phase) if !options.wait_for_due => {
                return Ok(Some(DriveResult::Waiting(at, phase)));
            }
            NextStep::Wait(at, phase) => {
                let note = self.waiting_note(at, phase, &records);
                self.wait(at, &note).await?;
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

    /// Returns an error after a signal or a cancel.
    async fn check_interrupts(&self) -> Result<()> {
        if let Some(kind) = self.phase.context.interrupt.fired() {
            return Err(Interrupt::error(kind));
        }
        let Some(cancel) = self.store().cancellation(&self.phase.run.id).await? else {
            return Ok(());
        };
        Err(cancelled_by(&cancel))
    }

    /// Returns the note of a wait: the phase, its time, the recipients, and the command that cancels.
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

    /// Waits until an instant, and checks for a cancel meanwhile. No connection to the store is kept open.
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
            self.check_time_left(Duration::ZERO, what)?;
            self.pause(left.unsigned_abs().min(CANCEL_INTERVAL)).await;
            // The caller's loop checks both again and returns the error.
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
            () = self.deadline() => {}
        }
    }

    /// Returns at the end of the command's time, if it has one.
    async fn deadline(&self) {
        match self.phase.context.budget.deadline() {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    }

    /// Returns an error if the command's time ends within `time`.
    fn check_time_left(&self, time: Duration, what: &str) -> Result<()> {
        match self.phase.context.budget.deadline() {
            Some(end) if Instant::now() + time >= end => {
                let error = self.phase.context.budget.out_of_time();
                Err(error.context(format!("stopped while waiting ({what})")))
            }
            _ => Ok(()),
        }
    }

    /// Waits a minute before a retry, and checks for a cancel meanwhile. An unreachable store does not end the wait.
    async fn wait_to_try_again(&self) {
        let mut left = RETRY_PAUSE;
        while !left.is_zero() {
            self.pause(left.min(CANCEL_INTERVAL)).await;
            left = left.saturating_sub(CANCEL_INTERVAL);
            let cancelled = self.store().cancellation(&self.phase.run.id).await;
            if self.phase.context.interrupt.fired().is_some() || matches!(cancelled, Ok(Some(_))) {
                return;
            }
        }
    }

    /// Returns whether an error is transient and a retry would not be too late for the last push.
    fn is_worth_retrying(&self, error: &Error) -> bool {
        let times = &self.phase.plan.times;
        let delays = self.phase.plan.automation.push.iter();
        let delays = delays.map(|push| i64::from(push.delay_minutes)).sum();
        let last = step::after(times.send_at, SignedDuration::from_mins(delays));
        let end = step::after(last, times.lateness());
        error.is_retryable()
            && self
                .check_time_left(RETRY_PAUSE, "for another attempt")
                .is_ok()
            && step::after(
                self.phase.context.clock.now(),
                RETRY_PAUSE.try_into().unwrap_or_default(),
            ) < end
    }

    fn quiet_hours_error(&self, place: Option<usize>) -> Error {
        let safeguards = &self.phase.plan.automation.safeguards;
        let hours = safeguards.quiet_hours.as_deref().unwrap_or_default();
        let what = match place {
            None => "the test pushes".to_owned(),
            Some(place) => format!("push {}", place + 1),
        };
        Error::new(
            ErrorKind::Refused,
            format!("{what} would be sent now, within quiet_hours = \"{hours}\""),
        )
        .hint("quiet_hours_action = \"delay\" delays them until the quiet hours end")
    }

    /// Runs a phase, and records its beginning and its end.
    async fn run_phase(&self, phase: Phase, records: &PhaseRecords) -> Result<()> {
        match phase {
            Phase::Generate => {
                if records.begun(Phase::Generate.as_str()).is_none() {
                    notify_start(&self.phase).await;
                }
                let work = async { Ok((DONE, generate::run(&self.phase).await?)) };
                self.record(phase.as_str(), Box::pin(work)).await
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
                let work = async { Ok((DONE, cleanup::run(&self.phase).await?)) };
                self.record(phase.as_str(), Box::pin(work)).await
            }
        }
    }

    /// Returns the open attempt of a phase, or begins one.
    async fn open_attempt(&self, phase: &str, records: &PhaseRecords) -> Result<u32> {
        match records.open(phase) {
            Some(attempt) => Ok(attempt),
            None => self.store().begin_phase(&self.phase.run.id, phase).await,
        }
    }

    async fn end(&self, phase: &str, attempt: u32, result: &str, detail: &Value) -> Result<()> {
        self.store()
            .end_phase(&self.phase.run.id, phase, attempt, result, detail)
            .await
    }

    async fn record(
        &self,
        phase: &str,
        work: impl Future<Output = Result<(&'static str, Value)>>,
    ) -> Result<()> {
        let attempt = self.store().begin_phase(&self.phase.run.id, phase).await?;
        let result = work.await;
        self.phase.context.progress.finish();
        match result {
            Ok((result, detail)) => self.end(phase, attempt, result, &detail).await,
            Err(error) => {
                let detail = NoResult::of(&error);
                // The error of the phase matters more than a failure to record it.
                let result = match error.kind() {
                    ErrorKind::Refused => REFUSED,
                    _ => "failed",
                };
                let _ = self.end(phase, attempt, result, &detail).await;
                Err(error)
            }
        }
    }

    /// Opens the cancellation window, or closes it.
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

    /// Returns the error of a push that a crash interrupted. Which recipients have it is not known, so a person
    /// decides.
    fn interrupted_push(&self, place: usize) -> Error {
        Error::new(
            ErrorKind::Locked,
            format!(
                "run {} was interrupted in the middle of push {}, and it is too late to continue without a person",
                self.phase.run.id,
                place + 1
            ),
        )
        .hint(format!(
            "until it is resumed or cancelled, no other run of {} begins; `pushctl cancel {}` ends it",
            self.phase.run.automation, self.phase.run.id
        ))
    }

    /// Sends the messages in doubt of one push of a run that is over again.
    async fn resend(&self, place: usize, order: &Order) -> Result<Summary> {
        let gate = while_sending(&self.phase.plan.automation, None);
        let word = push_phase(place);
        loop {
            let attempt = self.store().begin_phase(&self.phase.run.id, &word).await?;
            let sent = Box::pin(send::deliver(&self.phase, order, &gate)).await?;
            self.phase.context.progress.finish();
            let over = matches!(sent.summary.ended, SendResult::Done | SendResult::Partial);
            let detail = as_json(&sent.summary)?;
            let result = if over { DONE } else { "stopped" };
            self.end(&word, attempt, result, &detail).await?;
            match (sent.paused_until, sent.error) {
                (Some(until), _) => {
                    let what = format!(
                        "{}: quiet hours until {}, then push {} continues; to stop: pushctl cancel {}",
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
                (None, _) => return Ok(sent.summary),
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
        let attempt = self.store().begin_phase(&self.phase.run.id, &word).await?;
        let result = Box::pin(send::run(&self.phase, place, records, lateness)).await;
        self.phase.context.progress.finish();
        let (result, detail, error) = match result {
            Ok((detail, PushState::Done)) => (DONE, detail, None),
            Ok((detail, PushState::Paused)) => (PAUSED, detail, None),
            Ok((detail, PushState::Stopped(error))) => ("stopped", detail, Some(error)),
            Err(error) => ("failed", NoResult::of(&error), Some(error)),
        };
        let ended = self.end(&word, attempt, result, &detail).await;
        error.map_or(ended, Err)
    }
}
