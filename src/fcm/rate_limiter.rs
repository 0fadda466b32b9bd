//! How fast messages may leave, for the whole project. Pure: it is told what time it is.
//!
//! A bucket fills at the rate that was asked for. A large send ramps up to it over the first minute. A 429 stops
//! everything for as long as the service says, halves the rate, and from there the rate grows back steadily.

use std::time::Duration;

use tokio::time::Instant;

/// The bucket holds what flows in during this time, so that waking up late costs no throughput, nor does a caller that
/// brings what it has claimed in groups: a group whose claim took less than this leaves at once.
const BURST: Duration = Duration::from_millis(200);
/// Nobody is woken for less than this.
const NAP: Duration = Duration::from_millis(2);
/// A ramp starts at this share of the rate.
const RAMP_START: f64 = 0.1;
/// A halved rate is back at its full height after about a minute.
const RECOVERY: f64 = 1.0 / 120.0;
const MIN_RATE: f64 = 1.0;

/// The pace of one send.
#[derive(Debug, Clone)]
pub(super) struct RateLimiter {
    full: f64,
    /// What the service seems to take at present; at most `full`.
    allowed: f64,
    ramp: Option<(Instant, Duration)>,
    tokens: f64,
    filled: Instant,
    /// Nothing was asked for yet, and nothing is saved up before.
    idle: bool,
    paused: Option<Instant>,
    cut: Option<Instant>,
}

impl RateLimiter {
    /// Messages a second, and over how long the rate is ramped up to.
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

    /// Changes the rate that was asked for. What the service seems to take changes with it.
    pub(super) fn set_full(&mut self, full: f64, now: Instant) {
        self.fill(now);
        let full = full.max(f64::MIN_POSITIVE);
        self.allowed = (self.allowed * full / self.full).min(full);
        self.full = full;
    }

    /// Messages a second at present.
    pub(super) fn rate(&self, now: Instant) -> f64 {
        let Some((start, length)) = self.ramp else {
            return self.allowed;
        };
        let passed = now.saturating_duration_since(start).as_secs_f64();
        let share = (passed / length.as_secs_f64()).min(1.0);
        self.allowed
            .min(self.full * (RAMP_START + (1.0 - RAMP_START) * share))
    }

    /// Until when everything waits.
    pub(super) fn paused_until(&self, now: Instant) -> Option<Instant> {
        self.paused.filter(|until| now < *until)
    }

    /// How many of `wanted` messages may leave now; if fewer, when to ask again.
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
        let next = Duration::from_secs_f64(missing).max(NAP);
        (granted, Some(now + next))
    }

    /// How many messages could leave now.
    pub(super) fn available(&self, now: Instant) -> usize {
        if self.paused_until(now).is_some() {
            return 0;
        }
        let mut filled = self.clone();
        filled.fill(now);
        whole(filled.tokens)
    }

    /// Gives back what [`RateLimiter::take`] granted and was not used.
    pub(super) fn give_back(&mut self, unused: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a handful of messages")]
        {
            self.tokens += unused as f64;
        }
    }

    /// A 429 for a message that left at `sent`: everything waits. The rate is cut once for all that were under way.
    pub(super) fn throttle(&mut self, sent: Instant, wait: Duration, now: Instant) {
        let until = now + wait;
        self.paused = Some(self.paused.map_or(until, |before| before.max(until)));
        if self.cut.is_none_or(|cut| sent > cut) {
            self.allowed = (self.rate(now) / 2.0).max(MIN_RATE);
            self.cut = Some(now);
        }
        // What was saved up before must not burst out afterwards, nor may the pause itself fill the bucket.
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
    // A wake-up at the very instant a message is due must find it.
    (tokens.max(0.0) + 1e-6) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// How many leave during `length`, asked as the sender asks.
    fn sent(limiter: &mut RateLimiter, now: &mut Instant, length: Duration) -> usize {
        let end = *now + length;
        let mut sent = 0;
        loop {
            let (granted, next) = limiter.take(1_000, *now);
            sent += granted;
            let next = next.unwrap_or(*now + NAP);
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
            let asked = rate as usize * 10;
            assert!(
                count <= asked + 1 && count + asked / 50 + 1 >= asked,
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
        let flying = now;
        now += Duration::from_millis(50);
        limiter.throttle(flying, SECOND * 60, now);
        assert_eq!(limiter.take(10, now), (0, Some(now + SECOND * 60)));
        assert_eq!(sent(&mut limiter, &mut now, SECOND * 59), 0);
        now += SECOND;
        let first = sent(&mut limiter, &mut now, SECOND);
        assert!((480..=520).contains(&first), "{first}");
        let recovered = (0..61).map(|_| sent(&mut limiter, &mut now, SECOND)).last();
        assert!(recovered.is_some_and(|count| count >= 980), "{recovered:?}");
    }

    #[test]
    fn messages_that_were_under_way_together_cut_the_rate_once() {
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
    fn a_rate_that_is_changed_is_kept_from_then_on() {
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
