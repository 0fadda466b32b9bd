//! The feeder's own state: how many claims it may make now, whether it has to stop, and its part of the rate.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::SendRunPlan;
use super::lead::Lead;
use super::plan::hash;
use super::send_pass::SendPass;
use super::while_sending::Stop;
use crate::cadence::Breakdown;
use crate::error::Result;
use crate::state::ledger::UserKey;

/// The longest wait before the feeder checks again whether it has to stop.
pub(super) const STOP_CHECK: Duration = Duration::from_millis(500);
/// How often the store is asked for a cancellation, at most.
const CANCELLATION_CHECK: Duration = Duration::from_millis(100);
/// How often the feeder checks whether more messages can leave.
const ROOM_CHECK: Duration = Duration::from_millis(1);
/// How often the rate is shared anew among the processes of a send.
pub(super) const RATE_CHECK: Duration = Duration::from_millis(500);

/// The feeder of a pass.
pub(super) struct Feeder<'a> {
    pub(super) pass: &'a SendPass<'a>,
    /// How far claims may run ahead of the messages that have left.
    lead: Lead,
    /// When the store was last asked for a cancellation.
    cancellation_checked: Option<Instant>,
    /// When this process's part of the rate was last worked out.
    rate_shared: Option<Instant>,
    /// Recipients taken from the queue.
    pub(super) taken: u64,
    /// When the history last did not answer, where the send goes on without it.
    pub(super) history_failed: Option<Instant>,
    /// The recipients who are in several rows, and the number of their rows beyond the first.
    pub(super) repeated: HashMap<UserKey, u64>,
    /// The counts of excluded recipients as the history reports them.
    pub(super) breakdown: Breakdown,
    pub(super) notes: Vec<String>,
}

impl<'a> Feeder<'a> {
    pub(super) fn new(pass: &'a SendPass<'a>, history_failed: Option<Instant>) -> Self {
        Self {
            pass,
            lead: Lead::default(),
            cancellation_checked: None,
            rate_shared: None,
            taken: 0,
            history_failed,
            repeated: HashMap::new(),
            breakdown: Breakdown::default(),
            notes: Vec::new(),
        }
    }

    /// Waits until claims may be made whose messages will leave at once. Returns how many, at most `most`; `None` if
    /// the send stopped meanwhile. The caller then makes the claims, and calls [`Feeder::claimed`].
    pub(super) async fn wait_for_room(&mut self, most: usize) -> Result<Option<usize>> {
        let pass = self.pass;
        loop {
            if self.should_stop().await? {
                return Ok(None);
            }
            let window = &pass.shared.window;
            let (progress, now) = (pass.client.progress(), Instant::now());
            let allowance = self.lead.allowance(&progress, window.unrecorded(), now);
            if allowance == 0 {
                tokio::select! {
                    _ = pass.interrupt.wait() => {}
                    () = sleep(ROOM_CHECK) => {}
                }
                continue;
            }
            let group = allowance.min(most);
            tokio::select! {
                () = window.take(group) => {
                    if pass.is_stopped() {
                        return Ok(None);
                    }
                    self.lead.begin(&pass.client.progress(), Instant::now());
                    return Ok(Some(group));
                }
                _ = pass.interrupt.wait() => {}
                () = sleep(STOP_CHECK) => {}
            }
        }
    }

    /// Says that a group was claimed, of which `won` messages are about to be submitted.
    pub(super) fn claimed(&mut self, won: usize) {
        let progress = self.pass.client.progress();
        self.lead.end(won, &progress, Instant::now());
    }

    /// Checks whether the send has to stop.
    pub(super) async fn should_stop(&mut self) -> Result<bool> {
        let pass = self.pass;
        if pass.is_stopped() {
            return Ok(true);
        }
        if let Some(kind) = pass.interrupt.fired() {
            pass.stop(Stop::Interrupted(kind));
        } else if let Some(halt) = pass.client.halted() {
            pass.stop(Stop::Halted(halt));
        } else if pass.last_start().is_some_and(|end| Instant::now() > end) {
            pass.stop(Stop::OutOfTime);
        } else if let Some(stop) = pass.gate.look(pass.clock.now()) {
            pass.stop(stop);
        } else {
            let now = Instant::now();
            let checked = self.cancellation_checked;
            if checked.is_none_or(|checked| now - checked >= CANCELLATION_CHECK) {
                self.cancellation_checked = Some(now);
                if let Some(cancellation) = pass.store.cancellation(pass.run).await? {
                    pass.stop(Stop::Cancelled(cancellation));
                }
                self.share_rate().await?;
            }
        }
        Ok(pass.is_stopped())
    }

    /// Returns as soon as the send has to stop.
    pub(super) async fn until_stopped(&mut self) -> Result<()> {
        while !self.should_stop().await? {
            self.pause(STOP_CHECK).await;
        }
        Ok(())
    }

    /// Waits, unless the process is interrupted.
    pub(super) async fn pause(&self, length: Duration) {
        tokio::select! {
            _ = self.pass.interrupt.wait() => {}
            () = sleep(length) => {}
        }
    }

    /// Limits this process to its part of the recorded rate, which all living processes of the run share equally.
    pub(super) async fn share_rate(&mut self) -> Result<()> {
        let pass = self.pass;
        if !pass.order.shared {
            return Ok(());
        }
        let now = Instant::now();
        if self
            .rate_shared
            .is_some_and(|shared| now - shared < RATE_CHECK)
        {
            return Ok(());
        }
        self.rate_shared = Some(now);
        let (_, of) = pass
            .store
            .place_among_senders(pass.run, pass.sender)
            .await?;
        let part = f64::from(recorded_rate(pass).await?) / f64::from(of);
        pass.client.set_rate(part.min(pass.own_rate));
        Ok(())
    }

    /// Adds a note to the summary, and shows it at once; the same thing is noted once.
    pub(super) fn note_once(&mut self, note: &str) {
        if self.notes.is_empty() {
            self.notes.push(note.to_owned());
            self.pass.progress.note(note);
        }
    }

    /// Returns whether a row's recipient is in an earlier row, and counts the row if so.
    pub(super) fn is_repeated(&mut self, user: &UserKey, seen: &mut HashSet<UserKey>) -> bool {
        let is_repeated = self.is_in_earlier_row(user, seen);
        if is_repeated {
            *self.repeated.entry(user.clone()).or_default() += 1;
        }
        is_repeated
    }

    pub(super) fn is_in_earlier_row(&self, user: &UserKey, seen: &mut HashSet<UserKey>) -> bool {
        let several = self.pass.plan.map(|plan| &plan.several);
        several.is_some_and(|several| several.contains(&hash(user))) && !seen.insert(user.clone())
    }
}

/// Returns the rate of a shared send as it is recorded now: a resume may have changed it.
async fn recorded_rate(pass: &SendPass<'_>) -> Result<u32> {
    let run = pass.store.run(pass.run).await?;
    let recorded = run.as_ref().map(SendRunPlan::of).transpose()?;
    let rate = recorded.and_then(|plan| plan.order.rate);
    Ok(rate.unwrap_or(pass.rate))
}
