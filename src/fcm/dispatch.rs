//! What is queued, what waits, what is under way, and what each answer leads to. Pure: it is told what time it is,
//! and nothing in here waits, sends or prints.
//!
//! Lanes (connections) ask for work in turn. The first one that has room gets it, so that few connections are used
//! as long as few are enough, and a further one is opened only when all are full.

mod answer_policy;
mod connection_pool;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::mem;
use std::task::Waker;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

pub(super) use connection_pool::PoolSlot;

use super::answer::{Platform, PushAnswer};
use super::auth::Bearer;
use super::failure_guard::{FailureGuard, Sign};
use super::rate_limiter::RateLimiter;
use super::request::Broken;
use super::{FcmSettings, MessageReport, Outcome, SendJob, Unsent};
use crate::error::{Error, ErrorKind};

/// A send of more than this many seconds is large, and ramped up.
const LARGE: u64 = 10;

/// Messages that may wait for a connection that is still to be opened.
const FURTHER: usize = 10;

/// A job on its way, with what has happened to it.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) job: SendJob,
    pub(super) attempts: u32,
    /// When the first and the latest request left.
    pub(super) first: Option<Instant>,
    pub(super) sent: Instant,
    /// Which bearer token the latest request carried.
    pub(super) generation: u64,
    troubles: u32,
    refusals: u32,
    /// Sent again with a new bearer token because the service refused the old one.
    reauthorized: bool,
}

/// Why a client stopped before everything was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// Which of the reasons there are.
    pub cause: HaltCause,
    /// In words.
    pub reason: String,
    /// What to do about it.
    pub hints: Vec<String>,
}

/// The reasons there are to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HaltCause {
    /// The caller asked for it.
    Asked,
    /// The project, the API or the service account is refused.
    Credentials,
    /// The service refuses the message whoever it is for.
    BadMessage,
    /// The service was out of reach for too long.
    Unreachable,
    /// The run watched itself and did not like what it saw.
    Safeguard,
    /// The caller's right to send has ended.
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
            "the lease that it sends under was not renewed in time, because this process stood still or could not reach \
             the state store; nothing has left since then",
        );
        let hint = "`pushctl status` shows whether another process goes on with it";
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

    /// As an error; its kind decides the exit status.
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

/// What a lane should do when it has taken what there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// There may be more: ask again as soon as there is room.
    More,
    /// Ask again at this time, or when woken.
    Wait(Instant),
    /// Ask again when woken.
    Idle,
    /// There is nothing left to do, for good.
    Done,
}

/// The bearer token in use.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) header: HeaderValue,
    pub(super) generation: u64,
}

/// Everything that lanes share.
pub(super) struct Dispatch {
    fresh: VecDeque<InFlight>,
    later: BTreeMap<(Instant, u64), InFlight>,
    sequence: u64,
    under_way: usize,
    /// Messages that were taken for the first time.
    left: u64,
    limiter: RateLimiter,
    watch: FailureGuard,
    bearer: Option<Current>,
    generation: u64,
    stopped: HashSet<Platform>,
    halt: Option<Halt>,
    closed: bool,
    lanes: Vec<(PoolSlot, Option<Waker>)>,
    reports: Vec<MessageReport>,
    settings: FcmSettings,
}

impl Dispatch {
    pub(super) fn new(settings: FcmSettings, now: Instant) -> Self {
        let large = settings
            .expected
            .is_some_and(|count| count > u64::from(settings.rate) * LARGE);
        Self {
            fresh: VecDeque::new(),
            later: BTreeMap::new(),
            sequence: 0,
            under_way: 0,
            left: 0,
            limiter: RateLimiter::new(settings.rate, large.then_some(settings.ramp), now),
            watch: FailureGuard::new(settings.limits.clone(), settings.expected),
            bearer: None,
            generation: 0,
            stopped: HashSet::new(),
            halt: None,
            closed: false,
            lanes: vec![(PoolSlot::Closed, None); settings.connections],
            reports: Vec::new(),
            settings,
        }
    }

    /// Queues a job; once stopped, reports it unsent instead.
    pub(super) fn submit(&mut self, job: SendJob, now: Instant) {
        self.fresh.push_back(InFlight {
            job,
            attempts: 0,
            first: None,
            sent: now,
            generation: 0,
            troubles: 0,
            refusals: 0,
            reauthorized: false,
        });
        if self.halt.is_some() {
            self.return_unsent(now);
        }
    }

    /// No more jobs will come.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Moves work for `lane` into `taken`, at most `room`.
    pub(super) fn take(
        &mut self,
        lane: usize,
        room: usize,
        now: Instant,
        taken: &mut Vec<InFlight>,
    ) -> Next {
        if self.is_done() {
            return Next::Done;
        }
        let before = self.lanes.iter().take(lane);
        let waits_its_turn = before.into_iter().any(|(slot, _)| *slot == PoolSlot::Room);
        if self.halt.is_some() || self.bearer.is_none() || waits_its_turn {
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
            let Some(flight) = self.pop(now) else { break };
            self.under_way += 1;
            self.left += u64::from(flight.attempts == 0);
            unused -= 1;
            taken.push(flight);
        }
        self.limiter.give_back(unused);
        // Asked again at once: either there is no room then, or nothing is ready.
        next.map_or(Next::More, Next::Wait)
    }

    /// How much could leave now, counted up to `most`.
    fn count_ready(&self, most: usize, now: Instant) -> usize {
        let due = self.later.keys().take_while(|(due, _)| *due <= now);
        let due = due.take(most).count();
        (due + self.fresh.len().min(self.fresh_room())).min(most)
    }

    /// How many messages may leave for the first time: few until the first answers have been judged.
    fn fresh_room(&self) -> usize {
        let open = self.under_way + self.later.len();
        self.watch.most_open().saturating_sub(open)
    }

    /// Repeats first. What belongs to a stopped platform is reported on the way.
    fn pop(&mut self, now: Instant) -> Option<InFlight> {
        loop {
            let may_begin = self.fresh_room() > 0;
            let due = self
                .later
                .first_entry()
                .filter(|entry| entry.key().0 <= now);
            let flight = match due {
                Some(entry) => entry.remove(),
                None if !may_begin => return None,
                None => self.fresh.pop_front()?,
            };
            match flight.job.platform {
                Some(platform) if self.stopped.contains(&platform) => {
                    let why = Unsent::PlatformStopped(platform);
                    self.report(&flight, Outcome::Unsent { why }, now);
                }
                _ => return Some(flight),
            }
        }
    }

    /// A flight came back, with an answer or without.
    pub(super) fn land(
        &mut self,
        flight: InFlight,
        result: Result<PushAnswer, Broken>,
        now: Instant,
    ) {
        self.under_way -= 1;
        let verdict = answer_policy::of(result, &flight, &self.settings, fastrand::f64());
        self.follow(verdict, flight, now);
    }

    /// Work that was taken but never left: it is next again.
    pub(super) fn put_back(&mut self, flight: InFlight, now: Instant) {
        self.under_way -= 1;
        self.left -= u64::from(flight.attempts == 0);
        self.limiter.give_back(1);
        self.repeat(flight, Duration::ZERO, now);
    }

    /// Whether a bearer token must be fetched before anything more can leave.
    pub(super) fn needs_bearer(&self) -> bool {
        self.bearer.is_none() && self.halt.is_none()
    }

    /// The token to send with.
    pub(super) fn bearer(&self) -> Option<Current> {
        self.bearer.clone()
    }

    /// A new token is there.
    pub(super) fn authorize(&mut self, bearer: &Bearer) {
        self.generation += 1;
        self.bearer = Some(Current {
            header: bearer.header.clone(),
            generation: self.generation,
        });
    }

    /// Stops for good; the first reason counts. What is not under way is reported unsent.
    pub(super) fn stop(&mut self, halt: Halt, now: Instant) {
        if self.halt.is_none() {
            self.halt = Some(halt);
        }
        self.return_unsent(now);
    }

    /// Why it stopped.
    pub(super) fn halted(&self) -> Option<&Halt> {
        self.halt.as_ref()
    }

    fn return_unsent(&mut self, now: Instant) {
        let waiting = mem::take(&mut self.later).into_values();
        let queued: Vec<InFlight> = waiting.chain(mem::take(&mut self.fresh)).collect();
        for flight in &queued {
            let why = Unsent::Stopped;
            self.report(flight, Outcome::Unsent { why }, now);
        }
    }

    fn repeat(&mut self, flight: InFlight, wait: Duration, now: Instant) {
        if self.halt.is_some() {
            let why = Unsent::Stopped;
            self.report(&flight, Outcome::Unsent { why }, now);
            return;
        }
        self.sequence += 1;
        self.later.insert((now + wait, self.sequence), flight);
    }

    fn report(&mut self, flight: &InFlight, outcome: Outcome, now: Instant) {
        let sign = match &outcome {
            Outcome::Accepted { .. } => Some(Sign::Good),
            Outcome::Dead => Some(Sign::Dead),
            Outcome::Failed { code } if answer_policy::is_refusal(code) => Some(Sign::Refused),
            Outcome::Failed { .. } => Some(Sign::Failed),
            Outcome::InDoubt { .. } => Some(Sign::InDoubt),
            Outcome::Unsent { .. } => None,
        };
        let reason = sign.and_then(|sign| self.watch.count(sign, outcome.code(), now));
        let elapsed = flight.first.map_or(Duration::ZERO, |first| now - first);
        self.reports.push(MessageReport {
            id: flight.job.id,
            outcome,
            attempts: flight.attempts,
            elapsed,
        });
        // A stop that spares nobody would only hide that everything was sent.
        let all_left = self.closed && self.queued() == 0;
        if let Some(reason) = reason.filter(|_| self.halt.is_none() && !all_left) {
            self.stop(Halt::new(HaltCause::Safeguard, reason), now);
        }
    }

    /// Whether there are reports that have not been handed on.
    pub(super) fn has_reports(&self) -> bool {
        !self.reports.is_empty()
    }

    /// Hands them on.
    pub(super) fn reports(&mut self) -> std::vec::Drain<'_, MessageReport> {
        self.reports.drain(..)
    }

    /// Whether nothing is left, and nothing more will come.
    pub(super) fn is_done(&self) -> bool {
        self.closed && self.queued() == 0 && self.under_way == 0
    }

    /// Whether anything waits to be sent.
    pub(super) fn queued(&self) -> usize {
        self.fresh.len() + self.later.len()
    }

    /// How much waits to be sent for the first time.
    pub(super) fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// Whether a message is to leave now, as far as the pace and its own wait go.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.limiter.paused_until(now).is_none() && self.count_ready(1, now) > 0
    }

    /// How many messages have left for the first time.
    pub(super) fn left(&self) -> u64 {
        self.left
    }

    /// How many more could leave at once, by the pace and by the room on the connections. While a further connection may
    /// be opened there is room for a few more: what waits for room is what opens it.
    pub(super) fn vacant(&self, now: Instant) -> usize {
        let open = self.connections();
        let further = if open < self.lanes.len() { FURTHER } else { 0 };
        let room = open.max(1) * self.settings.streams + further;
        self.limiter
            .available(now)
            .min(room.saturating_sub(self.under_way))
    }

    /// How many requests are under way.
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Changes how many messages a second may leave.
    pub(super) fn set_rate(&mut self, rate: f64, now: Instant) {
        self.limiter.set_full(rate, now);
    }

    /// The pace.
    pub(super) fn limiter(&self) -> &RateLimiter {
        &self.limiter
    }
}
