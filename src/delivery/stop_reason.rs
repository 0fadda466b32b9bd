//! Why a send ends before its last row, and how it hears of that.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::feeder::{Feeder, lock};
use crate::error::{Error, ErrorKind, Result};
use crate::fcm::Halt;
use crate::state::Cancellation;

/// How often somebody is asked whether the run was cancelled, while it waits.
pub(super) const LOOK: Duration = Duration::from_millis(500);
/// How soon it is looked again whether more can leave.
const TURN: Duration = Duration::from_millis(1);
/// What of a budget is kept for the answers, and for summing up.
const RESERVE: Duration = Duration::from_secs(15);

/// Why a send ended before its last row.
#[derive(Debug)]
pub(super) enum Stop {
    /// A signal.
    Interrupted(ErrorKind),
    /// Somebody cancelled.
    Cancelled(Cancellation),
    /// The push service, or the watch over its answers.
    Halted(Halt),
    /// The budget.
    OutOfTime,
    /// Quiet hours began; with an end where they are waited for.
    Quiet {
        hours: String,
        until: Option<Timestamp>,
    },
    /// No message may leave after this instant.
    Late(Timestamp),
    /// Our own side: the history, the store, the file.
    Failed(Error),
}

impl Feeder<'_> {
    /// Waits until claims may be made that will leave at once; how many, at most `most`. `None` if it was stopped meanwhile.
    /// The claim is then to be made, and its end to be said by [`Feeder::claimed`].
    pub(super) async fn wait_for_room(&self, most: usize) -> Result<Option<usize>> {
        loop {
            if self.look().await? {
                return Ok(None);
            }
            let (progress, now) = (self.client.progress(), Instant::now());
            let allowance = lock(&self.state.lead).allowance(&progress, self.unrecorded(), now);
            if allowance == 0 {
                tokio::select! {
                    _ = self.interrupt.wait() => {}
                    () = sleep(TURN) => {}
                }
                continue;
            }
            let group = allowance.min(most);
            let count = u32::try_from(group).unwrap_or(u32::MAX);
            tokio::select! {
                permit = self.state.window.acquire_many(count) => {
                    // The semaphore is never closed.
                    if let Ok(permit) = permit {
                        permit.forget();
                    }
                    if self.is_stopped() {
                        return Ok(None);
                    }
                    let (progress, now) = (self.client.progress(), Instant::now());
                    lock(&self.state.lead).begin(&progress, now);
                    return Ok(Some(group));
                }
                _ = self.interrupt.wait() => {}
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Claims that have no outcome yet.
    fn unrecorded(&self) -> usize {
        let room = self.state.window.available_permits();
        self.state.room.saturating_sub(room)
    }

    /// A group was claimed, and `won` messages of it are about to be submitted.
    pub(super) fn claimed(&self, won: usize) {
        let (progress, now) = (self.client.progress(), Instant::now());
        lock(&self.state.lead).end(won, &progress, now);
    }

    /// Some of the room that was taken is not needed, or more is: what is not there is owed, and paid out of what comes back.
    pub(super) fn return_room(&self, taken: usize, needed: usize) {
        let mut owed = lock(&self.state.owed);
        *owed += needed.saturating_sub(taken);
        let back = taken.saturating_sub(needed);
        let paid = back.min(*owed);
        *owed -= paid;
        self.state.window.add_permits(back - paid);
        *owed -= self.state.window.forget_permits(*owed);
    }

    /// Whether it is to stop. The store is asked before every claim, though not more often than makes a difference.
    pub(super) async fn look(&self) -> Result<bool> {
        if self.is_stopped() {
            return Ok(true);
        }
        if let Some(kind) = self.interrupt.fired() {
            self.stop(Stop::Interrupted(kind));
        } else if let Some(halt) = self.client.halted() {
            self.stop(Stop::Halted(halt));
        } else if self.until.is_some_and(|end| Instant::now() + RESERVE > end) {
            self.stop(Stop::OutOfTime);
        } else if let Some(stop) = self.gate.look(self.clock.now()) {
            self.stop(stop);
        } else {
            let now = Instant::now();
            let recent = lock(&self.state.looked).is_some_and(|looked| now - looked < LOOK / 5);
            if !recent {
                *lock(&self.state.looked) = Some(now);
                if let Some(cancellation) = self.store.cancellation(self.run).await? {
                    self.stop(Stop::Cancelled(cancellation));
                }
                self.share_rate().await?;
            }
        }
        Ok(self.is_stopped())
    }

    /// Returns when it is to stop.
    pub(super) async fn until_stopped(&self) -> Result<()> {
        while !self.look().await? {
            tokio::select! {
                _ = self.interrupt.wait() => {}
                () = sleep(LOOK) => {}
            }
        }
        Ok(())
    }

    pub(super) fn stop(&self, stop: Stop) {
        lock(&self.state.stop).get_or_insert(stop);
    }

    pub(super) fn is_stopped(&self) -> bool {
        lock(&self.state.stop).is_some()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        matches!(*lock(&self.state.stop), Some(Stop::Cancelled(_)))
    }

    /// Something for the summary, said once however often it is so.
    pub(super) fn note_once(&self, note: &str) {
        let mut notes = lock(&self.state.notes);
        if notes.is_empty() {
            notes.push(note.to_owned());
            self.progress.note(note);
        }
    }
}
