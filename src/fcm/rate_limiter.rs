//! Limits the rate of messages, for all connections together. Pure: the caller passes the time in.
//!
//! A token bucket fills at the configured rate. A large send ramps up to it over the first minute. While the
//! project is limited, a 429 pauses everything for as long as the service says and halves the rate; after that the rate
//! grows back steadily.

use std::time::Duration;

use tokio::time::Instant;

/// The bucket holds at most what flows in during this time. A late wake-up then costs no throughput, nor does a caller
/// that submits messages in groups: a group whose claim took less than this is sent at once.
const BURST: Duration = Duration::from_millis(200);
/// The shortest wait, so that no task is woken for less.
const MIN_WAIT: Duration = Duration::from_millis(2);
/// The share of the rate at which a ramp starts.
const RAMP_START: f64 = 0.1;
/// The share of the full rate that is regained each second: a halved rate is back after about a minute.
const RECOVERY: f64 = 1.0 / 120.0;
const MIN_RATE: f64 = 1.0;

/// The rate limiter of one send.
#[derive(Debug, Clone)]
pub(super) struct RateLimiter {
    full: f64,
    /// The rate that the service seems to accept at present; at most `full`.
    allowed: f64,
    ramp: Option<(Instant, Duration)>,
    tokens: f64,
    filled: Instant,
    /// Whether nothing was requested yet: the bucket does not fill before the first message.
    idle: bool,
    paused: Option<Instant>,
    cut: Option<Instant>,
}

impl RateLimiter {
    /// `rate` is in messages a second; with `ramp` it is reached only after that time.
    pub(super) fn new(rate: u32, ramp: Option<Duration>, now: Instant) -> Self {
        let full = f64::from(rate.max(1));
        Self {
            full,
            allowed: full,
            ramp: ramp.map(|length| (now, length)),
            tokens: 1.0,
            filled: now,
            idle: true,
            paused: None,
            cut: None,
        }
    }

    /// Changes the full rate. The rate that the service seems to accept changes in proportion.
    pub(super) fn set_full(&mut self, full: f64, now: Instant) {
        self.fill(now);
        let full = full.max(f64::MIN_POSITIVE);
        self.allowed = (self.allowed * full / self.full).min(full);
        self.full = full;
    }

    /// Returns the present rate, in messages a second.
    pub(super) fn rate(&self, now: Instant) -> f64 {
        let Some((start, length)) = self.ramp else {
            return self.allowed;
        };
        let passed = now.saturating_duration_since(start).as_secs_f64();
        let share = (passed / length.as_secs_f64()).min(1.0);
        self.allowed
            .min(self.full * (RAMP_START + (1.0 - RAMP_START) * share))
    }

    /// Returns the end of the pause after a 429, if there is one.
    pub(super) fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.paused.filter(|until| now < *until)
    }

    /// Takes up to `wanted` messages from the bucket. Returns how many may be sent now and, if fewer, when to retry.
    pub(super) fn take(&mut self, wanted: usize, now: Instant) -> (usize, Option<Instant>) {
        if let Some(until) = self.paused_until(now) {
            return (0, Some(until));
        }
        self.fill(now);
        self.idle = false;
        let granted = whole(self.tokens).min(wanted);
        #[expect(clippy::cast_precision_loss, reason = "a handful of messages")]
        {
            self.tokens -= granted as f64;
        }
        if granted == wanted {
            return (granted, None);
        }
        let missing = (1.0 - self.tokens).max(0.0) / self.rate(now);
        let next = Duration::from_secs_f64(missing).max(MIN_WAIT);
        (granted, Some(now + next))
    }

    /// Returns how many messages could be sent now.
    pub(super) fn available(&self, now: Instant) -> usize {
        if self.paused_until(now).is_some() {
            return 0;
        }
        let mut filled = self.clone();
        filled.fill(now);
        whole(filled.tokens)
    }

    /// Returns messages to the bucket that [`RateLimiter::take`] granted and that were not sent.
    pub(super) fn give_back(&mut self, unused: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a handful of messages")]
        {
            self.tokens += unused as f64;
        }
    }

    /// Pauses everything after a 429 for a message sent at `sent`. All messages in flight together cut the rate once.
    pub(super) fn throttle(&mut self, sent: Instant, wait: Duration, now: Instant) {
        let until = now + wait;
        self.paused = Some(self.paused.map_or(until, |before| before.max(until)));
        if self.cut.is_none_or(|cut| sent > cut) {
            self.allowed = (self.rate(now) / 2.0).max(MIN_RATE);
            self.cut = Some(now);
        }
        // Neither what the bucket held before nor what it would gain during the pause may cause a burst afterwards.
        self.tokens = self.tokens.min(1.0);
        self.filled = self.paused.unwrap_or(now);
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        if passed <= 0.0 {
            return;
        }
        if self.idle {
            self.filled = now;
            return;
        }
        let rate = self.rate(now);
        let most = (rate * BURST.as_secs_f64()).max(1.0);
        self.tokens = (self.tokens + rate * passed).min(most);
        self.allowed = (self.allowed + self.full * RECOVERY * passed).min(self.full);
        self.filled = now;
    }
}

/// Whole messages in the bucket.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative, and at most a burst"
)]
fn whole(tokens: f64) -> usize {
    // The tolerance is for rounding: a wake-up at exactly the time at which a message is due must find it.
    (tokens.max(0.0) + 1e-6) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Returns how many messages are sent during `length`, with the calls that a connection makes.
    fn sent(limiter: &mut RateLimiter, now: &mut Instant, length: Duration) -> usize {
        let end = *now + length;
        let mut sent = 0;
        loop {
            let (granted, next) = limiter.take(1_000, *now);
            sent += granted;
            let next = next.unwrap_or(*now + MIN_WAIT);
            if next >= end {
                *now = end;
                return sent;
            }
            *now = next;
        }
    }

    #[test]
    fn the_rate_is_kept() {
        for rate in [1, 7, 5_000, 40_000] {
            let mut now = Instant::now();
            let mut limiter = RateLimiter::new(rate, None, now);
            let count = sent(&mut limiter, &mut now, SECOND * 10);
            let limit = rate as usize * 10;
            assert!(
                count <= limit + 1 && count + limit / 50 + 1 >= limit,
                "{rate}/s: {count} in ten seconds"
            );
        }
    }

    #[test]
    fn a_large_send_ramps_up_over_its_first_minute() {
        let mut now = Instant::now();
        let mut limiter = RateLimiter::new(1_000, Some(SECOND * 60), now);
        let per_second: Vec<usize> = (0..70)
            .map(|_| sent(&mut limiter, &mut now, SECOND))
            .collect();
        assert!((90..=130).contains(&per_second[0]), "{}", per_second[0]);
        assert!(
            per_second[..60]
                .windows(2)
                .all(|pair| pair[1] + 2 >= pair[0])
        );
        assert!((520..=580).contains(&per_second[30]), "{}", per_second[30]);
        assert!(
            (980..=1_001).contains(&per_second[65]),
            "{}",
            per_second[65]
        );
    }

    #[test]
    fn a_429_stops_everything_then_halves_the_rate_and_lets_it_grow_back() {
        let mut now = Instant::now();
        let mut limiter = RateLimiter::new(1_000, None, now);
        sent(&mut limiter, &mut now, SECOND);
        let sent_at = now;
        now += Duration::from_millis(50);
        limiter.throttle(sent_at, SECOND * 60, now);
        assert_eq!(limiter.take(10, now), (0, Some(now + SECOND * 60)));
        assert_eq!(sent(&mut limiter, &mut now, SECOND * 59), 0);
        now += SECOND;
        let first = sent(&mut limiter, &mut now, SECOND);
        assert!((480..=520).contains(&first), "{first}");
        let recovered = (0..61).map(|_| sent(&mut limiter, &mut now, SECOND)).last();
        assert!(recovered.is_some_and(|count| count >= 980), "{recovered:?}");
    }

    #[test]
    fn messages_in_flight_together_cut_the_rate_once() {
        let start = Instant::now();
        let mut limiter = RateLimiter::new(1_000, None, start);
        let now = start + SECOND;
        for _ in 0..50 {
            limiter.throttle(start, SECOND, now);
        }
        assert!((limiter.rate(now) - 500.0).abs() < 1.0);
        limiter.throttle(now + SECOND, SECOND, now + SECOND * 2);
        assert!((limiter.rate(now + SECOND * 2) - 250.0).abs() < 1.0);
    }

    #[test]
    fn a_changed_rate_is_kept() {
        let mut now = Instant::now();
        let mut limiter = RateLimiter::new(1_000, None, now);
        sent(&mut limiter, &mut now, SECOND * 2);
        for (rate, expected) in [(250.0, 2_500), (0.5, 5), (1_000.0, 10_000)] {
            limiter.set_full(rate, now);
            let count = sent(&mut limiter, &mut now, SECOND * 10);
            assert!(count.abs_diff(expected) <= 21, "{rate}/s: {count}");
        }
    }

    #[test]
    fn a_shorter_pause_does_not_shorten_a_longer_one() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(1_000, None, now);
        limiter.throttle(now, SECOND * 60, now);
        limiter.throttle(now, SECOND, now);
        assert_eq!(limiter.paused_until(now), Some(now + SECOND * 60));
    }
}
