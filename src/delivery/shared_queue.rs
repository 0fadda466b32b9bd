//! A send that several processes share: one enters everybody into the queue of the state store, each takes from it.
//!
//! What is queued is the whole message but its token: nothing of the kind is stored in clear. So a process takes only
//! recipients whose token it knows by then, and claims those very people:
//!
//! - The process with the audience file goes through it a second time, with tokens that the source was asked for anew.
//!   It alone decides that a recipient has no token.
//! - One that joins pages through the queue from its end, asks the source about a page, and takes from it whose queued
//!   token is theirs, and whose account is deleted. Everybody else (the token changed, or stands only in the file) it
//!   leaves to the first.
//!
//! One that joins goes on until the process with the file has ended, which it sees by the lease of the occurrence; if that
//! process is dead, until there is nothing left that it may take. Whom nobody took waits for `pushctl resume`. A person's
//! further devices are not sent to.
//!
//! The rate is that of the send: each of the living senders gets the same part of it.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::eligibility::Person;
use super::feeder::{Feeder, Handling, lock};
use super::recorder::SubmittedMessage;
use super::stop_reason::LOOK;
use super::token_lookup::{Asked, BATCH, Lacking, Tokens, ask, fresh_budget, read_source};
use super::{Devices, InDoubt, Reading, SendPlan, TokenLookup, lease_name};
use crate::cadence::Screen;
use crate::error::Result;
use crate::fcm::{Composer, SendJob};
use crate::state::ledger::{
    Answer, Dismissal, Ending, Guard, Queued, Standing, Taken, TokenHash, UserKey, Waiting, Wanted,
    Words,
};

/// The place of the token in a message that has none yet.
const HOLE: &[u8] = b"\"token\":\"\"";
/// Taken from the queue at once at most.
const GROUP: usize = 500;
/// What is looked up in the queue at once is sent in about this time, so that the answers hold and little is looked up
/// that another process takes meanwhile.
const PAGE: Duration = Duration::from_secs(30);
/// How long a queue is left alone in which there is nobody but whom this process may not take.
const IDLE: Duration = Duration::from_secs(3);
/// How often it is looked who takes part.
const RATE_LOOK: Duration = Duration::from_millis(500);

/// A recipient who may wait in the queue, and what is known of their token.
struct Known {
    user: UserKey,
    token: std::result::Result<String, Lacking>,
}

impl Feeder<'_> {
    /// Enters everybody into the queue, and takes from it until nobody is left and everybody who joined is done. False if
    /// it stopped before.
    pub(super) async fn share(&self, plan: &SendPlan, tokens: &mut TokenLookup) -> Result<bool> {
        if !self.feed_rows((plan, tokens), Handling::Enter).await? {
            return Ok(false);
        }
        if self.order.in_doubt == InDoubt::Retry {
            self.store.requeue(self.push).await?;
        }
        // How much of the queue this process takes is known when it is empty.
        self.progress.stage("sending");
        self.progress.total(None);
        let mut somebody_was_left = false;
        loop {
            tokens.rewind()?;
            tokens.expire();
            let before = *lock(&self.state.taken);
            if !self.feed_rows((plan, tokens), Handling::Take).await? {
                return Ok(false);
            }
            let is_idle = *lock(&self.state.taken) == before;
            match self.wait_for_others().await? {
                Others::Stopped => {
                    self.cancel_queue().await?;
                    return Ok(false);
                }
                Others::Done => return Ok(true),
                // Who waited before this pass, and still does, is not in this file.
                Others::Left(left) if somebody_was_left && is_idle => {
                    lock(&self.state.notes).push(format!(
                        "{left} recipients of another file still wait in the queue of this push"
                    ));
                    return Ok(true);
                }
                // Given back by a process that stopped.
                Others::Left(_) => somebody_was_left = true,
            }
        }
    }

    /// Enters a batch into the queue. Who stands in the ledger for this push already is left as they are.
    pub(super) async fn enter_batch(
        &self,
        composer: &mut Composer,
        batch: Vec<Person>,
    ) -> Result<()> {
        let mut sifted = self.sift(composer, batch).await?;
        self.exclude(composer, &mut sifted).await?;
        self.dismiss(std::mem::take(&mut sifted.dismissed)).await?;
        let mut queued = Vec::with_capacity(sifted.ready.len());
        let mut taken = Vec::with_capacity(sifted.ready.len());
        for one in sifted.ready {
            let Ok(payload) = composer.compose("", &one.person.row) else {
                continue;
            };
            taken.push(Dismissal::skipped(one.person.user.clone(), "token-taken"));
            queued.push(Queued {
                token: one.person.tokens.first().map(|token| TokenHash::of(token)),
                user: one.person.user,
                counted: one.counted,
                payload: payload.to_vec(),
            });
        }
        let entered = queued.len() as u64;
        self.store.enqueue(self.push, queued).await?;
        self.progress.advance(entered);
        // Whoever is not in the queue now shares a token with somebody who is.
        self.store.dismiss(self.push, self.sender, taken).await
    }

    /// Takes those of a batch of the file who still wait in the queue; false if it stopped before the end.
    pub(super) async fn take_batch(&self, batch: Vec<Person>) -> Result<bool> {
        let known = batch.into_iter().map(|person| Known {
            user: person.user,
            token: person.tokens.into_iter().next().ok_or(person.lacking),
        });
        self.take_known(known.collect()).await
    }

    /// Takes part in a send that another process has begun; false if it stopped before there was nothing to do.
    pub(super) async fn join(&self, reading: &Reading<'_>) -> Result<bool> {
        self.share_rate().await?;
        // The others slow down before this one begins.
        sleep(RATE_LOOK * 2).await;
        loop {
            // Asked first: what its holder entered before it ended is seen by the sweep that follows.
            let first_lives = self.first_lives().await?;
            let (place, of) = self
                .store
                .place_among_senders(self.run, self.sender)
                .await?;
            let before = *lock(&self.state.taken);
            let is_idle = || *lock(&self.state.taken) == before;
            let mut left = self.sweep(reading, (place, of)).await?;
            if is_idle() && of > 1 && left.is_some() {
                left = self.sweep(reading, (0, 1)).await?;
            }
            match left {
                // Another that joined is still at work, and may give back what it took.
                Some(_) if is_idle() && !first_lives && self.somebody_waits().await? => {
                    self.pause(LOOK).await;
                }
                Some(0) if is_idle() && !first_lives => return Ok(true),
                Some(left) if is_idle() && !first_lives => {
                    lock(&self.state.notes).push(format!(
                        "{left} recipients still wait in the queue, because their token is not the one they were entered with; `pushctl resume {}` sees to them",
                        self.run
                    ));
                    return Ok(true);
                }
                Some(0) if is_idle() => self.pause(LOOK).await,
                // They are left to the process with the file: to ask about them all the time helps nobody.
                Some(_) if is_idle() => self.pause(IDLE).await,
                Some(_) | None => {}
            }
            if self.look().await? {
                self.cancel_queue().await?;
                return Ok(false);
            }
        }
    }

    /// Goes through the queue once, from its end, page by page: looks tokens up, and takes whom it may. Returns how many it
    /// left; `None` if it stopped.
    async fn sweep(&self, reading: &Reading<'_>, part: (u32, u32)) -> Result<Option<u64>> {
        let mut before = i64::MAX;
        let mut left = 0;
        loop {
            let rate = self.client.progress().rate;
            let page = self
                .store
                .waiting(self.push, before, page_of(rate), part)
                .await?;
            let Some(last) = page.last() else {
                return Ok(Some(left));
            };
            before = last.claim;
            let count = page.len();
            let known = match self.look_page_up(reading, page).await {
                Ok(known) => known,
                Err(error) => {
                    let stopped = self.look().await?;
                    return if stopped { Ok(None) } else { Err(error) };
                }
            };
            left += (count - known.len()) as u64;
            if !self.take_known(known).await? {
                return Ok(None);
            }
        }
    }

    /// Asks the source about a page of the queue. Only those come back of whom it is certain what is to be done.
    async fn look_page_up(&self, reading: &Reading<'_>, page: Vec<Waiting>) -> Result<Vec<Known>> {
        let asked: Vec<Asked> = page
            .iter()
            .map(|one| Asked {
                user: one.user.uuid(),
                token: None,
            })
            .collect();
        let budget = fresh_budget(reading.budget, self.until);
        let reading = Reading {
            budget: &budget,
            ..*reading
        };
        let answers = read_source(&reading, self.interrupt, async |snapshot| {
            ask(snapshot, &asked, Devices::All).await
        });
        let (answers, _) = answers.await?;
        let known = page.into_iter().zip(answers).filter_map(|(one, tokens)| {
            let token = certain(&one, tokens)?;
            Some(Known {
                user: one.user,
                token,
            })
        });
        Ok(known.collect())
    }

    /// Takes those of `known` who still wait, group by group, and submits their messages. False if it stopped.
    async fn take_known(&self, mut known: Vec<Known>) -> Result<bool> {
        while !known.is_empty() {
            let Some(group) = self.wait_for_room(known.len().min(GROUP)).await? else {
                return Ok(false);
            };
            let rest = known.split_off(known.len().min(group));
            let screen = match self.cadence {
                Some(cadence) => Some(cadence.screen(self.layer).await?),
                None => None,
            };
            let guard = screen.as_ref().map_or_else(Guard::none, Screen::guard);
            let wanted = known.iter().map(|one| Wanted {
                user: one.user.clone(),
                token: one.token.as_deref().ok().map(TokenHash::of),
            });
            let won = self
                .store
                .take_these(self.push, self.sender, wanted.collect(), &guard)
                .await?;
            self.claimed(won.len());
            *lock(&self.state.taken) += won.len() as u64;
            let mut known_tokens: HashMap<UserKey, _> =
                known.into_iter().map(|one| (one.user, one.token)).collect();
            let mut jobs = Vec::with_capacity(won.len());
            let mut skipped = Vec::new();
            for one in won {
                let token = known_tokens
                    .remove(&one.user)
                    .unwrap_or(Err(Lacking::NoToken));
                match sendable(&one, token, screen.as_ref()) {
                    Ok(token) => jobs.push(self.take_from_queue(one, token)),
                    Err(code) => skipped.push(not_sent(&one, Ending::Skipped, code)),
                }
            }
            self.return_room(group, jobs.len());
            self.client.submit_all(jobs).await;
            self.progress.advance(skipped.len() as u64);
            self.store.record(self.push, skipped).await?;
            known = rest;
        }
        Ok(true)
    }

    fn take_from_queue(&self, one: Taken, token: String) -> SendJob {
        let words = words_of(&one.payload);
        let body = fill(&one.payload, &token);
        let flight = SubmittedMessage {
            claim: one.claim,
            user: one.user,
            token,
            words,
            ends_row: true,
        };
        self.take_off(flight, body)
    }

    /// Of a cancelled run everybody who still waits is recorded as such.
    pub(super) async fn cancel_queue(&self) -> Result<()> {
        let most = u32::try_from(GROUP).unwrap_or(u32::MAX);
        while self.is_cancelled() {
            let nobody = Guard::none();
            let taken = self
                .store
                .take(self.push, self.sender, most, &nobody)
                .await?;
            if taken.is_empty() {
                break;
            }
            let cancelled = taken
                .iter()
                .map(|one| not_sent(one, Ending::Cancelled, "cancelled"));
            self.store.record(self.push, cancelled.collect()).await?;
        }
        Ok(())
    }

    /// Whether a living process still waits for an answer.
    async fn somebody_waits(&self) -> Result<bool> {
        self.store.settle(self.push).await?;
        let tally = self.store.tally(self.push).await?;
        Ok(tally.iter().any(|row| row.standing == Standing::Unanswered))
    }

    /// Waits until every message of everybody who takes part is answered or given up, or until somebody is in the queue
    /// again whom no process has taken.
    async fn wait_for_others(&self) -> Result<Others> {
        loop {
            self.store.settle(self.push).await?;
            let tally = self.store.tally(self.push).await?;
            let count = |standing: Standing| -> u64 {
                let rows = tally.iter().filter(|row| row.standing == standing);
                rows.map(|row| row.count).sum()
            };
            match (count(Standing::Queued), count(Standing::Unanswered)) {
                (0, 0) => return Ok(Others::Done),
                (0, _) => {}
                (left, _) => return Ok(Others::Left(left)),
            }
            self.pause(LOOK).await;
            if self.look().await? {
                return Ok(Others::Stopped);
            }
        }
    }

    async fn pause(&self, length: Duration) {
        tokio::select! {
            _ = self.interrupt.wait() => {}
            () = sleep(length) => {}
        }
    }

    /// Whether the process with the audience file is at work.
    async fn first_lives(&self) -> Result<bool> {
        let lease = lease_name(&self.order.automation, &self.order.occurrence);
        self.store.is_held(&lease).await
    }

    /// Keeps the rate to this process's part of it: as many senders of the run as live share it.
    pub(super) async fn share_rate(&self) -> Result<()> {
        if !self.order.shared {
            return Ok(());
        }
        let now = Instant::now();
        if lock(&self.state.rated).is_some_and(|rated| now - rated < RATE_LOOK) {
            return Ok(());
        }
        *lock(&self.state.rated) = Some(now);
        let (_, of) = self
            .store
            .place_among_senders(self.run, self.sender)
            .await?;
        let part = f64::from(self.rate) / f64::from(of);
        self.client.set_rate(part.min(self.own_rate));
        Ok(())
    }
}

/// What became of the other processes.
enum Others {
    Done,
    /// So many wait in the queue again.
    Left(u64),
    /// This one is to stop.
    Stopped,
}

/// How many recipients are looked up at once.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is at most 100,000 a second"
)]
fn page_of(rate: f64) -> u32 {
    let most = u32::try_from(BATCH).unwrap_or(u32::MAX);
    ((rate * PAGE.as_secs_f64()) as u32).clamp(500, most)
}

/// The token of one who waits, or why there is none; nothing where the process with the file has to say.
fn certain(one: &Waiting, tokens: Tokens) -> Option<std::result::Result<String, Lacking>> {
    match tokens {
        Err(Lacking::Deleted) => Some(Err(Lacking::Deleted)),
        Err(_) => None,
        Ok(tokens) => tokens
            .into_iter()
            .find(|token| one.token == Some(TokenHash::of(token)))
            .map(Ok),
    }
}

/// The token to send to, or the code that says why not.
fn sendable(
    one: &Taken,
    token: std::result::Result<String, Lacking>,
    screen: Option<&Screen<'_>>,
) -> std::result::Result<String, &'static str> {
    if let Some(limit) = one.over {
        return Err(screen.map_or("cadence", |screen| screen.exclusion(limit).key()));
    }
    let token = token.map_err(Lacking::code)?;
    // Another recipient of the push has it, so it was not put in the place of the one they were entered with.
    if one
        .token
        .is_some_and(|queued| queued != TokenHash::of(&token))
    {
        return Err("token-taken");
    }
    Ok(token)
}

fn not_sent(one: &Taken, ending: Ending, code: &str) -> Answer {
    Answer {
        claim: one.claim,
        ending,
        code: Some(code.to_owned()),
        message_name: None,
        attempts: 0,
        elapsed: Duration::ZERO,
        words: None,
    }
}

/// The message with its token. A token is printable ASCII; whatever else there might be is written as JSON wants it.
fn fill(payload: &[u8], token: &str) -> bytes::Bytes {
    let Some(at) = memchr::memmem::find(payload, HOLE) else {
        return bytes::Bytes::copy_from_slice(payload);
    };
    let quoted = Value::String(token.to_owned()).to_string();
    let hole = at + HOLE.len() - 2;
    [&payload[..hole], quoted.as_bytes(), &payload[hole + 2..]]
        .concat()
        .into()
}

/// What the person reads.
fn words_of(payload: &[u8]) -> Option<Words> {
    let message: Value = serde_json::from_slice(payload).ok()?;
    let text = |pointer: &str| Some(message.pointer(pointer)?.as_str()?.to_owned());
    Some(Words {
        title: text("/message/notification/title")?,
        body: text("/message/notification/body")?,
        deep_link: text("/message/data/url"),
    })
}
