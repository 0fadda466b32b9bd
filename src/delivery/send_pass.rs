//! One pass of a send over its audience: what the feeder and the recorder share.
//!
//! Both run in one task, side by side: the feeder claims and submits, the recorder writes outcomes into the ledger. So
//! what both change lies behind a lock; what the feeder changes alone is in [`Feeder`](super::feeder::Feeder).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::claim_window::ClaimWindow;
use super::groups::VariantSplit;
use super::while_sending::Stop;
use super::{Order, SendPlan, SourceReader, WhileSending};
use crate::budget::Budget;
use crate::cadence::{Cadence, Layer};
use crate::clock::Clock;
use crate::error::Result;
use crate::fcm::{Client, Composer, SendJob};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::state::Store;
use crate::state::ledger::{Claim, Dismissal, Ending, LedgerPush, Sender, UserKey, Words};

/// How long answers under way are awaited after a stop.
const GRACE: Duration = Duration::from_secs(10);

/// One pass of a send over its audience.
pub(super) struct SendPass<'a> {
    pub(super) order: &'a Order,
    /// The checked file; `None` in a process that only takes from the queue.
    pub(super) plan: Option<&'a SendPlan>,
    pub(super) push: &'a LedgerPush,
    pub(super) layer: Layer,
    pub(super) run: &'a str,
    pub(super) store: &'a Store,
    pub(super) sender: &'a Sender,
    /// The maximum of messages a second, of all processes together that share the send.
    pub(super) rate: u32,
    /// The maximum of messages a second of this process, however large its part of the rate is.
    pub(super) own_rate: f64,
    /// The way to the source, if one is configured.
    pub(super) source_reader: Option<&'a SourceReader<'a>>,
    /// `None`: cadence does not apply.
    pub(super) cadence: Option<&'a Cadence>,
    pub(super) client: &'a Client,
    pub(super) interrupt: &'a Interrupt,
    pub(super) progress: &'a dyn Progress,
    /// The end of the time budget.
    pub(super) until: Option<Instant>,
    /// The part of it that is kept for the last answers and the outcome files.
    pub(super) reserve: Duration,
    pub(super) budget: &'a Budget,
    /// Quiet hours, and the latest instant.
    pub(super) gate: &'a WhileSending,
    pub(super) clock: &'a Arc<dyn Clock>,
    /// The variants of the push.
    pub(super) variants: VariantSplit,
    /// Recipients may have been claimed before this pass.
    pub(super) again: bool,
    pub(super) shared: SharedState,
}

/// What the feeder and the recorder both change.
pub(super) struct SharedState {
    pub(super) window: Arc<ClaimWindow>,
    submitted: Mutex<HashMap<u64, SubmittedMessage>>,
    stop: Mutex<Option<Stop>>,
}

/// A submitted message: the part that its report does not have.
pub(super) struct SubmittedMessage {
    pub(super) claim: Claim,
    pub(super) user: UserKey,
    pub(super) token: String,
    pub(super) words: Option<Words>,
    /// Whether its end is the end of a row of the audience. It is not for a recipient's further devices, nor for a
    /// message that is sent again: those rows count already.
    pub(super) ends_row: bool,
}

impl SharedState {
    pub(super) fn new(rate: u32) -> Self {
        Self {
            window: Arc::new(ClaimWindow::new(rate)),
            submitted: Mutex::default(),
            stop: Mutex::default(),
        }
    }
}

/// The most that is kept of the time budget for the last answers and the outcome files.
const LONGEST_RESERVE: Duration = Duration::from_secs(15);

/// Returns the part of a time budget that is kept for the last answers and the outcome files.
pub(super) fn reserve(budget: &Budget) -> Duration {
    let share = budget.total() / 4;
    share.min(LONGEST_RESERVE)
}

impl SendPass<'_> {
    /// Returns the end of the time for new messages.
    pub(super) fn last_start(&self) -> Option<Instant> {
        self.until.map(|end| end - self.reserve)
    }

    /// Returns how long answers under way are awaited after a stop.
    pub(super) fn time_for_answers(&self) -> Duration {
        let left = self.until.map(|end| {
            let end = end - self.reserve / 3;
            end.saturating_duration_since(Instant::now())
        });
        left.map_or(GRACE, |left| left.min(GRACE))
    }

    /// Stops the pass. The first reason counts.
    pub(super) fn stop(&self, stop: Stop) {
        lock(&self.shared.stop).get_or_insert(stop);
    }

    pub(super) fn is_stopped(&self) -> bool {
        lock(&self.shared.stop).is_some()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        matches!(*lock(&self.shared.stop), Some(Stop::Cancelled(_)))
    }

    /// Takes the reason for which the pass stopped out, at its end.
    pub(super) fn take_stop(&self) -> Option<Stop> {
        lock(&self.shared.stop).take()
    }

    /// Returns the job of a message, and remembers the message until its report.
    pub(super) fn job(&self, message: SubmittedMessage, body: bytes::Bytes) -> SendJob {
        let id = message.claim.id.cast_unsigned();
        lock(&self.shared.submitted).insert(id, message);
        SendJob {
            id,
            body,
            platform: None,
        }
    }

    /// Returns the message of a report.
    pub(super) fn take_submitted(&self, id: u64) -> Option<SubmittedMessage> {
        lock(&self.shared.submitted).remove(&id)
    }

    /// Returns the texts of the row composed last, unless they are the push's own.
    pub(super) fn own_words(&self, composer: &Composer) -> Option<Words> {
        let rendered = composer.rendered();
        let link = (!rendered.deep_link.is_empty()).then(|| rendered.deep_link.clone());
        let own = &self.push.words;
        let same =
            rendered.title == own.title && rendered.body == own.body && link == own.deep_link;
        (!same).then(|| Words {
            title: rendered.title.clone(),
            body: rendered.body.clone(),
            deep_link: link,
        })
    }

    /// Records recipients who get no message.
    pub(super) async fn dismiss(&self, dismissed: Vec<Dismissal>) -> Result<()> {
        if dismissed.is_empty() {
            return Ok(());
        }
        let count = dismissed.len() as u64;
        self.store
            .dismiss(self.push, self.sender, dismissed)
            .await?;
        self.progress.advance(count);
        Ok(())
    }

    /// Records the remaining recipients of a cancelled run as cancelled. After any other stop they stay open: the run
    /// can be resumed.
    pub(super) async fn cancel(&self, users: Vec<UserKey>) -> Result<()> {
        if !self.is_cancelled() || users.is_empty() {
            return Ok(());
        }
        // They are recorded, but nothing was done for them: the progress stays where it is.
        let (ending, code) = (Ending::Cancelled, "cancelled");
        let dismissed = users.into_iter().map(|user| Dismissal {
            user,
            ending,
            code: code.to_owned(),
        });
        self.store
            .dismiss(self.push, self.sender, dismissed.collect())
            .await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
