//! The loop of a send: read a batch, sift it, claim a group, submit it; and know when to stop.
//!
//! Claims run ahead of answers by a second's worth of messages at most, and ahead of what has left by what leaves while a
//! group is claimed (`lead`), so that a crash leaves few in doubt beside what was on the wire. A stop lets nothing more leave, and waits for the answers of what has left.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use csv::StringRecord;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use super::eligibility::Person;
use super::lead::Lead;
use super::plan::hash;
use super::recorder::{SubmittedMessage, Traffic};
use super::stop_reason::Stop;
use super::token_lookup::Audience;
use super::{AudienceReader, Order, Reach, Reading, SendPlan, TokenLookup, WhileSending};
use crate::cadence::{Breakdown, Cadence, Layer};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
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
    /// Messages a second at most, of all processes together that share the send.
    pub(super) rate: u32,
    /// Messages a second at most of this process, whatever its part of the rate is.
    pub(super) own_rate: f64,
    /// The way to the source, if one is configured.
    pub(super) reading: Option<&'a Reading<'a>>,
    /// `None`: cadence does not apply.
    pub(super) cadence: Option<&'a Cadence>,
    pub(super) client: &'a Client,
    pub(super) interrupt: &'a Interrupt,
    pub(super) progress: &'a dyn Progress,
    /// When the budget ends.
    pub(super) until: Option<Instant>,
    /// Quiet hours, and the latest instant.
    pub(super) gate: &'a WhileSending,
    pub(super) clock: &'a Arc<dyn Clock>,
    /// Somebody may have been claimed before this pass.
    pub(super) again: bool,
    pub(super) state: FeederState,
}

/// What a pass has to do.
pub(super) enum Recipients<'w> {
    /// Claim and send to every row.
    Send(&'w mut TokenLookup),
    /// Enter every row into the queue, and take from it together with those that join.
    Share(&'w mut TokenLookup),
    /// Take from the queue.
    Join,
}

/// What becomes of a batch of rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Handling {
    /// Claimed, and sent to.
    Send,
    /// Entered into the queue.
    Enter,
    /// Taken from the queue, and sent to.
    Take,
}

/// What changes while it goes.
pub(super) struct FeederState {
    /// Room for claims whose answer is not recorded yet.
    pub(super) window: Semaphore,
    /// All the room that there is.
    pub(super) room: usize,
    /// How far claims may run ahead of what has left.
    pub(super) lead: Mutex<Lead>,
    /// Room that was used and is still to be taken: further devices are known only once they are claimed.
    pub(super) owed: Mutex<usize>,
    pub(super) flights: Mutex<HashMap<u64, SubmittedMessage>>,
    pub(super) stop: Mutex<Option<Stop>>,
    pub(super) notes: Mutex<Vec<String>>,
    pub(super) looked: Mutex<Option<Instant>>,
    /// When this process's part of the rate was last worked out.
    pub(super) rated: Mutex<Option<Instant>>,
    /// Recipients taken from the queue.
    pub(super) taken: Mutex<u64>,
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
            room: ahead(rate),
            lead: Mutex::default(),
            owed: Mutex::default(),
            flights: Mutex::default(),
            stop: Mutex::default(),
            notes: Mutex::default(),
            looked: Mutex::default(),
            rated: Mutex::default(),
            taken: Mutex::default(),
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
        match (work, self.plan, self.reading) {
            (Recipients::Send(tokens), Some(plan), _) => {
                self.feed_rows((plan, tokens), Handling::Send).await
            }
            (Recipients::Share(tokens), Some(plan), _) => self.share(plan, tokens).await,
            (Recipients::Join, _, Some(reading)) => self.join(reading).await,
            _ => Err(Error::new(
                ErrorKind::Bug,
                "a send of rows without a plan, or of a queue without a way to the source",
            )),
        }
    }

    pub(super) async fn feed_rows(
        &self,
        (plan, tokens): (&SendPlan, &mut TokenLookup),
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
            let asked = self.renew(plan, tokens).await;
            if self.look().await? {
                if handling != Handling::Take {
                    self.cancel_rest(&mut reader, left, &mut seen).await?;
                }
                if handling != Handling::Send {
                    self.cancel_queue().await?;
                }
                return Ok(false);
            }
            asked?;
            let batch = self.read(&mut reader, tokens, &mut left, (&mut seen, handling))?;
            let rest = match handling {
                Handling::Send => self.send_batch(&mut composer, batch).await?,
                Handling::Enter => {
                    self.enter_batch(&mut composer, batch).await?;
                    Vec::new()
                }
                Handling::Take => {
                    if !self.take_batch(batch).await? {
                        self.cancel_queue().await?;
                        return Ok(false);
                    }
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

    /// What the source said about the next rows may be too old, or not asked yet.
    async fn renew(&self, plan: &SendPlan, tokens: &mut TokenLookup) -> Result<()> {
        let order = self.order;
        let rate = (self.rate, self.until);
        tokens
            .renew(
                Audience { order, plan },
                BATCH as u64,
                self.reading,
                self.interrupt,
                rate,
            )
            .await
            .map_err(|error| {
                error.context(
                    "the source cannot be asked for tokens again, so nobody more is sent to",
                )
            })
    }

    /// The next rows, each person once.
    fn read(
        &self,
        reader: &mut AudienceReader,
        tokens: &mut TokenLookup,
        left: &mut u64,
        (seen, handling): (&mut HashSet<UserKey>, Handling),
    ) -> Result<Vec<Person>> {
        let mut people = Vec::with_capacity(BATCH);
        while people.len() < BATCH && *left > 0 {
            let mut row = StringRecord::new();
            reader.next_of(&mut row, *left)?;
            *left -= 1;
            let tokens = tokens.next(reader, &row)?;
            let user = UserKey::of(reader.user(&row));
            // Rows that repeat somebody were counted when everybody was entered.
            let is_repeated = match handling {
                Handling::Take => self.stands_above(&user, seen),
                Handling::Send | Handling::Enter => self.is_repeated(&user, seen),
            };
            if !is_repeated {
                people.push(Person::new(row, user, tokens));
            } else if handling != Handling::Take {
                self.progress.advance(1);
            }
        }
        Ok(people)
    }

    /// Whether the person of a row stands in an earlier row; that is counted.
    pub(super) fn is_repeated(&self, user: &UserKey, seen: &mut HashSet<UserKey>) -> bool {
        let is_repeated = self.stands_above(user, seen);
        if is_repeated {
            *lock(&self.state.repeated).entry(user.clone()).or_default() += 1;
        }
        is_repeated
    }

    fn stands_above(&self, user: &UserKey, seen: &mut HashSet<UserKey>) -> bool {
        let several = self.plan.map(|plan| &plan.several);
        several.is_some_and(|several| several.contains(&hash(user))) && !seen.insert(user.clone())
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}
