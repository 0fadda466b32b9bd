//! The loop of a send: read a batch, sift it, claim a group, submit it; and know when to stop.
//!
//! Claims run ahead of answers by a second's worth of messages at most, and by much less ahead of what has left, so that a
//! crash leaves few in doubt. A stop lets nothing more leave, and waits for the answers of what has left.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use csv::StringRecord;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::eligibility::Person;
use super::plan::hash;
use super::recorder::{SubmittedMessage, Traffic};
use super::shared_queue::QueueTokens;
use super::stop_reason::Stop;
use super::{Addresses, AudienceReader, Order, Reach, SendPlan};
use crate::cadence::{Breakdown, Cadence, Layer};
use crate::error::{Error, Kind, Result};
use crate::fcm::{Client, Composer, Delivery, Reports};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::state::Store;
use crate::state::ledger::{LedgerPush, Sender, UserKey};

/// Rows read, and asked the history about, at once.
pub(super) const BATCH: usize = 4_000;
/// Claims whose answer is not recorded yet, at most.
const AHEAD: usize = 8_000;
/// How long answers under way are awaited after a stop.
const GRACE: Duration = Duration::from_secs(10);

/// One push on its way.
pub(super) struct Feeder<'a> {
    pub(super) order: &'a Order,
    /// What the file holds; `None` for whoever only takes from the queue.
    pub(super) plan: Option<&'a SendPlan>,
    pub(super) push: &'a LedgerPush,
    pub(super) layer: Layer,
    pub(super) run: &'a str,
    pub(super) store: &'a Store,
    pub(super) sender: &'a Sender,
    /// Messages a second at most.
    pub(super) rate: u32,
    /// `None`: cadence does not apply.
    pub(super) cadence: Option<&'a Cadence>,
    pub(super) client: &'a Client,
    pub(super) interrupt: &'a Interrupt,
    pub(super) progress: &'a dyn Progress,
    /// When the budget ends.
    pub(super) until: Option<Instant>,
    /// Somebody may have been claimed before this pass.
    pub(super) again: bool,
    pub(super) state: FeederState,
}

/// What a pass has to do.
pub(super) enum Recipients<'w> {
    /// Claim and send to every row.
    Send(&'w mut Addresses),
    /// Enter every row into the queue.
    Enter(&'w mut Addresses),
    /// Send to whoever waits in the queue.
    Queue(&'w mut QueueTokens),
}

#[derive(Clone, Copy)]
enum Handling {
    Send,
    Enter,
}

/// What changes while it goes.
pub(super) struct FeederState {
    /// Room for claims whose answer is not recorded yet.
    pub(super) window: Semaphore,
    /// Room that was used and is still to be taken: further devices are known only once they are claimed.
    pub(super) owed: Mutex<usize>,
    pub(super) flights: Mutex<HashMap<u64, SubmittedMessage>>,
    pub(super) stop: Mutex<Option<Stop>>,
    pub(super) notes: Mutex<Vec<String>>,
    pub(super) looked: Mutex<Option<Instant>>,
    /// When the history was last found out of reach, where that stops nobody.
    pub(super) away: Mutex<Option<Instant>>,
    pub(super) repeated: Mutex<HashMap<UserKey, u64>>,
    /// Whom the history held back, as it says itself.
    pub(super) breakdown: Mutex<Breakdown>,
}

/// What a pass over the file came to.
pub(super) struct PassResult {
    /// Every row was taken.
    pub(super) complete: bool,
    pub(super) stop: Option<Stop>,
    pub(super) notes: Vec<String>,
    /// What came of the messages.
    pub(super) traffic: Traffic,
    /// People who stand in several rows, and how many of those are too many.
    pub(super) repeated: HashMap<UserKey, u64>,
    /// Whom the history held back, as it says itself.
    pub(super) breakdown: Breakdown,
}

impl FeederState {
    pub(super) fn new(rate: u32, away: Option<Instant>) -> Self {
        Self {
            window: Semaphore::new(ahead(rate)),
            owed: Mutex::default(),
            flights: Mutex::default(),
            stop: Mutex::default(),
            notes: Mutex::default(),
            looked: Mutex::default(),
            away: Mutex::new(away),
            repeated: Mutex::default(),
            breakdown: Mutex::default(),
        }
    }
}

/// A second's worth, which is what a crash leaves in doubt at most.
pub(super) fn ahead(rate: u32) -> usize {
    usize::try_from(rate).unwrap_or(AHEAD).clamp(20, AHEAD)
}

/// Claims that may wait to leave, at so many messages a second: a twentieth of a second's worth, so that there is always
/// something to send while the next group is claimed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is at most 100,000 a second"
)]
pub(super) fn lead(rate: f64) -> usize {
    ((rate / 20.0) as usize).clamp(10, AHEAD)
}

impl Feeder<'_> {
    /// One pass over the audience: everybody who was not claimed before is. Ends when every message that left is answered
    /// or given up.
    pub(super) async fn pass(
        mut self,
        work: Recipients<'_>,
        reports: &mut Reports,
        dead: &mut super::dead_tokens::DeadTokens,
    ) -> Result<PassResult> {
        let complete = RefCell::new(false);
        let feeding = async {
            match self.feed(work).await {
                Ok(all) => *complete.borrow_mut() = all,
                Err(error) => self.stop(Stop::Failed(error)),
            }
            self.client.close();
            // Everything may have been submitted by now, and most of it wait its turn: a stop is heard until the last answer.
            if let Err(error) = self.until_stopped().await {
                self.stop(Stop::Failed(error));
            }
            self.client.stop();
            sleep(GRACE).await;
            self.client.abandon();
        };
        let recording = self.record_all(reports, dead);
        let traffic;
        {
            let (mut feeding, mut recording) = (std::pin::pin!(feeding), std::pin::pin!(recording));
            let mut fed = false;
            loop {
                tokio::select! {
                    () = &mut feeding, if !fed => fed = true,
                    done = &mut recording => {
                        traffic = done?;
                        break;
                    }
                }
            }
        }
        let state = std::mem::replace(&mut self.state, FeederState::new(1, None));
        let halt = self
            .client
            .halted()
            .filter(|halt| halt.cause != crate::fcm::HaltCause::Asked);
        let stop = into_inner(state.stop).or(halt.map(Stop::Halted));
        Ok(PassResult {
            complete: complete.into_inner(),
            stop,
            notes: into_inner(state.notes),
            traffic,
            repeated: into_inner(state.repeated),
            breakdown: into_inner(state.breakdown),
        })
    }

    /// False if it stopped before the end.
    async fn feed(&self, work: Recipients<'_>) -> Result<bool> {
        match (work, self.plan) {
            (Recipients::Queue(tokens), _) => self.feed_queue(tokens).await,
            (Recipients::Send(addresses), Some(plan)) => {
                self.feed_rows((plan, addresses), Handling::Send).await
            }
            (Recipients::Enter(addresses), Some(plan)) => {
                self.feed_rows((plan, addresses), Handling::Enter).await
            }
            _ => Err(Error::new(Kind::Bug, "a send of rows without a plan")),
        }
    }

    async fn feed_rows(
        &self,
        (plan, addresses): (&SendPlan, &mut Addresses),
        handling: Handling,
    ) -> Result<bool> {
        let mut reader = AudienceReader::open(&self.order.input)?;
        let delivery = match self.order.reach {
            Reach::Live => Delivery::Live,
            Reach::ValidateOnly => Delivery::ValidateOnly,
        };
        let collapse = self.order.collapse_id();
        let mut composer = Composer::new(plan.push.clone(), delivery, Some(&collapse));
        let mut left = plan.rows;
        let mut seen = HashSet::new();
        while left > 0 {
            if self.look().await? {
                self.cancel_rest(&mut reader, left, &mut seen).await?;
                return Ok(false);
            }
            let batch = self.read(&mut reader, addresses, &mut left, &mut seen)?;
            let rest = match handling {
                Handling::Send => self.send_batch(&mut composer, batch).await?,
                Handling::Enter => {
                    self.enter_batch(&mut composer, batch).await?;
                    Vec::new()
                }
            };
            if !rest.is_empty() {
                self.cancel(rest).await?;
                self.cancel_rest(&mut reader, left, &mut seen).await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The next rows, each person once.
    fn read(
        &self,
        reader: &mut AudienceReader,
        addresses: &mut Addresses,
        left: &mut u64,
        seen: &mut HashSet<UserKey>,
    ) -> Result<Vec<Person>> {
        let mut people = Vec::with_capacity(BATCH);
        while people.len() < BATCH && *left > 0 {
            let mut row = StringRecord::new();
            reader.next_of(&mut row, *left)?;
            *left -= 1;
            let mut tokens = Vec::new();
            addresses.next(reader, &row, &mut tokens)?;
            let user = UserKey::of(reader.user(&row));
            if self.is_repeated(&user, seen) {
                self.progress.advance(1);
                continue;
            }
            people.push(Person { row, user, tokens });
        }
        Ok(people)
    }

    pub(super) fn is_repeated(&self, user: &UserKey, seen: &mut HashSet<UserKey>) -> bool {
        let several = self.plan.map(|plan| &plan.several);
        if several.is_none_or(|several| !several.contains(&hash(user))) || seen.insert(user.clone())
        {
            return false;
        }
        *lock(&self.state.repeated).entry(user.clone()).or_default() += 1;
        true
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}
