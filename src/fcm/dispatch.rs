//! Keeps the queue, the retries and the messages in flight, and decides the action for each answer. Pure: the caller
//! passes the time in, and nothing in here waits, sends or prints.
//!
//! Connections ask for work in the order of their slots. The first one with capacity gets it, so that few connections
//! are used while few are enough, and another one is opened only when all are full.

mod answer_policy;
mod connection_pool;
mod quota;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::mem;
use std::task::Waker;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

pub(super) use connection_pool::PoolSlot;

use quota::QuotaWatch;

use super::answer::{Platform, PushAnswer};
use super::auth::Bearer;
use super::failure_guard::{Ended, FailureGuard, Sign};
use super::rate_limiter::RateLimiter;
use super::request::NoAnswer;
use super::{FcmSettings, MessageReport, Outcome, SendJob, Unsent};
use crate::error::{Error, ErrorKind};

/// A send that takes more seconds than this at the full rate is ramped up.
const RAMP_ABOVE_SECONDS: u64 = 10;

/// Messages that may wait for a connection that is not open yet.
const MAX_WAITING: usize = 10;

/// A job and the history of its attempts.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) job: SendJob,
    pub(super) attempts: u32,
    /// How many messages left before its first attempt.
    pub(super) place: u64,
    /// When the first request was sent; `sent` is when the latest one was.
    pub(super) first: Option<Instant>,
    pub(super) sent: Instant,
    /// The generation of the bearer token in the latest request.
    pub(super) generation: u64,
    server_errors: u32,
    refused_streams: u32,
    /// 429s that were about its recipient alone.
    limited: u32,
    /// Whether it was already retried with a new bearer token because the service rejected the old one.
    reauthorized: bool,
}

/// The reason why a client stopped before everything was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// The kind of reason.
    pub cause: HaltCause,
    /// The text for people.
    pub reason: String,
    /// Advice, one sentence each.
    pub hints: Vec<String>,
}

/// The kinds of reasons to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HaltCause {
    /// The caller stopped it.
    Asked,
    /// The service rejects the project, the API or the service account.
    Credentials,
    /// The service rejects the message, for every recipient.
    BadMessage,
    /// The service was unreachable for too long.
    Unreachable,
    /// Too many messages failed.
    Safeguard,
    /// The caller's lease has expired.
    Lapsed,
}

impl Halt {
    pub(super) fn new(cause: HaltCause, reason: impl Into<String>) -> Self {
        Self {
            cause,
            reason: reason.into(),
            hints: Vec::new(),
        }
    }

    pub(super) fn lapsed() -> Self {
        let mut halt = Self::new(
            HaltCause::Lapsed,
            "the lease was not renewed in time, because this process was suspended or could not reach \
             the state store; no message was sent after the lease expired",
        );
        let hint = "`pushctl status` shows whether another process continues this run";
        halt.hints.push(hint.to_owned());
        halt
    }

    pub(super) fn of(cause: HaltCause, error: &Error) -> Self {
        Self {
            cause,
            reason: format!("{error:#}"),
            hints: error.hints().to_vec(),
        }
    }

    /// Returns it as an error, whose kind decides the exit status.
    pub fn error(&self) -> Error {
        let kind = match self.cause {
            HaltCause::Asked => ErrorKind::Interrupted,
            HaltCause::Credentials => ErrorKind::Credentials,
            HaltCause::BadMessage => ErrorKind::Usage,
            HaltCause::Unreachable => ErrorKind::Unreachable,
            HaltCause::Safeguard => ErrorKind::Refused,
            HaltCause::Lapsed => ErrorKind::Locked,
        };
        let error = Error::new(kind, &self.reason).context("the send stopped");
        self.hints.iter().fold(error, Error::hint)
    }
}

/// When a connection asks for work again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// As soon as it has capacity: there may be more.
    More,
    /// At this time, or when woken.
    Wait(Instant),
    /// When woken.
    Idle,
    /// Never: nothing is left to send.
    Done,
}

/// The bearer token in use.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) header: HeaderValue,
    pub(super) generation: u64,
}

/// The state that all connections share.
pub(super) struct Dispatch {
    fresh: VecDeque<InFlight>,
    later: BTreeMap<(Instant, u64), InFlight>,
    sequence: u64,
    under_way: usize,
    /// Messages that were taken for their first attempt.
    left: u64,
    limiter: RateLimiter,
    watch: FailureGuard,
    quota: QuotaWatch,
    bearer: Option<Current>,
    generation: u64,
    stopped: HashSet<Platform>,
    halt: Option<Halt>,
    closed: bool,
    slots: Vec<(PoolSlot, Option<Waker>)>,
    reports: Vec<MessageReport>,
    settings: FcmSettings,
}

impl Dispatch {
    pub(super) fn new(settings: FcmSettings, now: Instant) -> Self {
        let large = settings
            .expected
            .is_some_and(|count| count > u64::from(settings.rate) * RAMP_ABOVE_SECONDS);
        Self {
            fresh: VecDeque::new(),
            later: BTreeMap::new(),
            sequence: 0,
            under_way: 0,
            left: 0,
            limiter: RateLimiter::new(settings.rate, large.then_some(settings.ramp), now),
            watch: FailureGuard::new(settings.limits.clone(), settings.expected),
            quota: QuotaWatch::default(),
            bearer: None,
            generation: 0,
            stopped: HashSet::new(),
            halt: None,
            closed: false,
            slots: vec![(PoolSlot::Closed, None); settings.connections],
            reports: Vec::new(),
            settings,
        }
    }

    /// Queues a job; after a stop, reports it unsent instead.
    pub(super) fn submit(&mut self, job: SendJob, now: Instant) {
        self.fresh.push_back(InFlight {
            job,
            attempts: 0,
            place: 0,
            first: None,
            sent: now,
            generation: 0,
            server_errors: 0,
            refused_streams: 0,
            limited: 0,
            reauthorized: false,
        });
        if self.halt.is_some() {
            self.return_unsent(now);
        }
    }

    /// Records that no more jobs will come.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Moves at most `room` messages for connection `number` into `taken`.
    pub(super) fn take(
        &mut self,
        number: usize,
        room: usize,
        now: Instant,
        taken: &mut Vec<InFlight>,
    ) -> Next {
        if self.is_done() {
            return Next::Done;
        }
        let before = self.slots.iter().take(number);
        let earlier_has_room = before.into_iter().any(|(slot, _)| *slot == PoolSlot::Room);
        if self.halt.is_some() || self.bearer.is_none() || earlier_has_room {
            return Next::Idle;
        }
        let ready = self.count_ready(room.max(1), now);
        if ready == 0 {
            return self
                .later
                .first_key_value()
                .map_or(Next::Idle, |((due, _), _)| Next::Wait(*due));
        }
        if room == 0 {
            return Next::More;
        }
        let (granted, next) = self.limiter.take(ready, now);
        let mut unused = granted;
        for _ in 0..granted {
            let Some(mut message) = self.pop(now) else {
                break;
            };
            self.under_way += 1;
            if message.attempts == 0 {
                message.place = self.left;
                self.left += 1;
            }
            unused -= 1;
            taken.push(message);
        }
        self.limiter.give_back(unused);
        // On the next call there is either no capacity or nothing ready.
        next.map_or(Next::More, Next::Wait)
    }

    /// Counts the messages that could be sent now, up to `most`.
    fn count_ready(&self, most: usize, now: Instant) -> usize {
        let due = self.later.keys().take_while(|(due, _)| *due <= now);
        let due = due.take(most).count();
        (due + self.fresh.len().min(self.fresh_room())).min(most)
    }

    /// Returns how many messages may be sent for the first time: few until the first answers have been judged.
    fn fresh_room(&self) -> usize {
        let open = self.under_way + self.later.len();
        self.watch.most_open().saturating_sub(open)
    }

    /// Returns the next message, retries first. Messages for a stopped platform are reported on the way.
    fn pop(&mut self, now: Instant) -> Option<InFlight> {
        loop {
            let may_start_fresh = self.fresh_room() > 0;
            let due = self
                .later
                .first_entry()
                .filter(|entry| entry.key().0 <= now);
            let message = match due {
                Some(entry) => entry.remove(),
                None if !may_start_fresh => return None,
                None => self.fresh.pop_front()?,
            };
            match message.job.platform {
                Some(platform) if self.stopped.contains(&platform) => {
                    let why = Unsent::PlatformStopped(platform);
                    self.report(&message, Outcome::Unsent { why }, now);
                }
                _ => return Some(message),
            }
        }
    }

    /// Handles the answer to a message, or its absence.
    pub(super) fn handle_answer(
        &mut self,
        message: InFlight,
        result: Result<PushAnswer, NoAnswer>,
        now: Instant,
    ) {
        self.under_way -= 1;
        if let Ok(answer) = &result {
            let is_429 = matches!(answer, PushAnswer::Quota { .. });
            if !is_429 || message.limited == 0 {
                self.quota.record(is_429);
            }
        }
        let action = answer_policy::of(result, &message, &self.settings, fastrand::f64());
        self.apply(action, message, now);
    }

    /// Takes back a message that was taken but not sent; it is sent next.
    pub(super) fn put_back(&mut self, message: InFlight, now: Instant) {
        self.under_way -= 1;
        self.left -= u64::from(message.attempts == 0);
        self.limiter.give_back(1);
        self.repeat(message, Duration::ZERO, now);
    }

    /// Returns whether nothing can be sent before a bearer token is fetched.
    pub(super) fn needs_bearer(&self) -> bool {
        self.bearer.is_none() && self.halt.is_none()
    }

    /// Returns the bearer token in use.
    pub(super) fn bearer(&self) -> Option<Current> {
        self.bearer.clone()
    }

    /// Sets a new bearer token.
    pub(super) fn authorize(&mut self, bearer: &Bearer) {
        self.generation += 1;
        self.bearer = Some(Current {
            header: bearer.header.clone(),
            generation: self.generation,
        });
    }

    /// Stops for good; the first reason is kept. Messages that are not in flight are reported unsent.
    pub(super) fn stop(&mut self, halt: Halt, now: Instant) {
        if self.halt.is_none() {
            self.halt = Some(halt);
        }
        self.return_unsent(now);
    }

    /// Returns the reason for the stop.
    pub(super) fn halted(&self) -> Option<&Halt> {
        self.halt.as_ref()
    }

    fn return_unsent(&mut self, now: Instant) {
        let waiting = mem::take(&mut self.later).into_values();
        let queued: Vec<InFlight> = waiting.chain(mem::take(&mut self.fresh)).collect();
        for message in &queued {
            let why = Unsent::Stopped;
            self.report(message, Outcome::Unsent { why }, now);
        }
    }

    fn repeat(&mut self, message: InFlight, wait: Duration, now: Instant) {
        if self.halt.is_some() {
            let why = Unsent::Stopped;
            self.report(&message, Outcome::Unsent { why }, now);
            return;
        }
        self.sequence += 1;
        self.later.insert((now + wait, self.sequence), message);
    }

    fn report(&mut self, message: &InFlight, outcome: Outcome, now: Instant) {
        let sign = match &outcome {
            Outcome::Accepted { .. } => Some(Sign::Good),
            Outcome::Dead => Some(Sign::Dead),
            Outcome::Failed { code } if answer_policy::is_refusal(code) => Some(Sign::Refused),
            Outcome::Failed { .. } => Some(Sign::Failed),
            Outcome::InDoubt { .. } => Some(Sign::InDoubt),
            Outcome::Unsent { .. } => None,
        };
        let ended = sign.map(|sign| Ended {
            sign,
            code: outcome.code(),
            place: message.place,
            is_retried: message.attempts > 1,
        });
        let reason = ended.and_then(|ended| self.watch.count(ended, now));
        let elapsed = message.first.map_or(Duration::ZERO, |first| now - first);
        self.reports.push(MessageReport {
            id: message.job.id,
            outcome,
            attempts: message.attempts,
            elapsed,
        });
        // Once every message was sent a stop would prevent nothing, and hide that the send is complete.
        let all_left = self.closed && self.queued() == 0;
        if let Some(reason) = reason.filter(|_| self.halt.is_none() && !all_left) {
            self.stop(Halt::new(HaltCause::Safeguard, reason), now);
        }
    }

    /// Returns whether there are reports to deliver.
    pub(super) fn has_reports(&self) -> bool {
        !self.reports.is_empty()
    }

    /// Returns the reports and removes them.
    pub(super) fn reports(&mut self) -> std::vec::Drain<'_, MessageReport> {
        self.reports.drain(..)
    }

    /// Returns whether every message is reported and no more will come.
    pub(super) fn is_done(&self) -> bool {
        self.closed && self.queued() == 0 && self.under_way == 0
    }

    /// Returns how many messages wait to be sent, for the first time or as a retry.
    pub(super) fn queued(&self) -> usize {
        self.fresh.len() + self.later.len()
    }

    /// Returns how many messages wait to be sent for the first time.
    pub(super) fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// Returns whether a message can be sent now, by the rate limit and its own wait.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.limiter.paused_until(now).is_none() && self.count_ready(1, now) > 0
    }

    /// Returns how many messages were sent at least once.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// Returns how many more messages could be sent at once, by the rate limit and the capacity of the connections.
    /// While another connection may be opened there is room for a few more, because waiting messages are what opens it.
    pub(super) fn vacant(&self, now: Instant) -> usize {
        let open = self.open_connections();
        let further = if open < self.slots.len() {
            MAX_WAITING
        } else {
            0
        };
        let room = open.max(1) * self.settings.streams + further;
        self.limiter
            .available(now)
            .min(room.saturating_sub(self.under_way))
    }

    /// Returns how many messages are in flight.
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Changes the rate limit.
    pub(super) fn set_rate(&mut self, rate: f64, now: Instant) {
        self.limiter.set_full(rate, now);
    }

    pub(super) fn limiter(&self) -> &RateLimiter {
        &self.limiter
    }
}
