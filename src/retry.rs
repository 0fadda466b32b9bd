//! When a failed attempt is repeated: one policy for every peer.
//!
//! The waits double up to a longest one and never fall. They are lengthened by a random part, which is drawn once for
//! each sequence of attempts, so that many processes do not come back at once.

use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::clock::text::Seconds;
use crate::error::{Error, Result};

/// The waits between attempts, and how many there are.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// The wait after the first failure.
    pub first: Duration,
    pub longest: Duration,
    /// Attempts in all, the first included; `None` for as many as the time allows.
    pub attempts: Option<NonZeroU32>,
}

/// The time that is kept for the last attempt.
pub const LAST: Duration = Duration::from_secs(2);
/// The part by which jitter lengthens a wait at most.
const JITTER: f64 = 0.2;

impl RetryPolicy {
    /// For connections to a database: 2, 4, 8, 16, 30, 30 … s.
    pub const CONNECTION: Self = Self::of(2_000, 30_000);
    /// For statements, which a conflict with another transaction or a lost connection may end at any time.
    pub const STATEMENT: Self = Self::of(50, 2_000);
    /// For requests over HTTP.
    pub const REQUEST: Self = Self::of(500, 10_000);

    const fn of(first: u64, longest: u64) -> Self {
        Self {
            first: Duration::from_millis(first),
            longest: Duration::from_millis(longest),
            attempts: None,
        }
    }

    /// Returns the wait after `failed` failed attempts, before jitter.
    pub fn wait(&self, failed: u32) -> Duration {
        let doublings = failed.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }

    /// Returns how many attempts may follow `failed` failed ones; `None` for any number.
    pub fn remaining(&self, failed: u32) -> Option<u32> {
        Some(self.attempts?.get().saturating_sub(failed))
    }
}

/// Returns the factor for the waits of one sequence of attempts, different in every process and at every call.
pub fn jitter() -> f64 {
    let random = RandomState::new().hash_one(0_u8) >> 32;
    let random = f64::from(u32::try_from(random).unwrap_or(0)) / f64::from(u32::MAX);
    1.0 + random * JITTER
}

/// Whether and when an attempt is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It would fail in the same way.
    Never,
    /// After the wait of the policy.
    Later,
    /// After this wait, which the other side asked for.
    After(Duration),
}

/// A sequence of attempts until an instant. The caller makes them, and calls [`Retries::after`] after each failure.
#[derive(Debug)]
pub struct Retries {
    policy: RetryPolicy,
    began: Instant,
    end: Instant,
    jitter: f64,
    failed: u32,
    last_wait: Duration,
}

impl Retries {
    pub fn new(policy: RetryPolicy, end: Instant) -> Self {
        Self {
            policy,
            began: Instant::now(),
            end,
            jitter: jitter(),
            failed: 0,
            last_wait: policy.first,
        }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// The failure is permanent, or no further attempt fits: the error is that of the last attempt.
    pub async fn after(&mut self, error: Error) -> Result<()> {
        let again = if error.is_retryable() {
            Again::Later
        } else {
            Again::Never
        };
        if self.wait(again).await {
            tracing::debug!(failed = self.failed, "trying again after: {error:#}");
            return Ok(());
        }
        Err(match again {
            Again::Never => error,
            _ => given_up(error, self.failed, self.began.elapsed()),
        })
    }

    /// Waits before the next attempt; returns false if there is none.
    pub async fn wait(&mut self, again: Again) -> bool {
        self.failed += 1;
        let wait = match again {
            Again::Never => return false,
            Again::Later => self.policy.wait(self.failed).mul_f64(self.jitter),
            Again::After(asked) => asked,
        };
        let left = self.end.saturating_duration_since(Instant::now());
        // A wait that does not fit is shortened to make room for a last attempt, but not below the one before.
        let wait = if wait < left {
            wait.max(self.last_wait)
        } else {
            left.saturating_sub(LAST).max(self.last_wait)
        };
        if self.policy.remaining(self.failed) == Some(0) || wait >= left {
            return false;
        }
        self.last_wait = wait;
        sleep(wait).await;
        true
    }
}

/// Adds how often and how long a thing was tried, where it was tried more than once.
pub fn given_up(error: Error, attempts: u32, time: Duration) -> Error {
    match attempts {
        0 | 1 => error,
        _ => error.context(format!(
            "gave up after {attempts} attempts in {}",
            Seconds(time)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn the_waits_of_a_connection_double_and_end_at_thirty_seconds() {
        let waits: Vec<u64> = (1..=7)
            .map(|failed| RetryPolicy::CONNECTION.wait(failed).as_secs())
            .collect();
        assert_eq!(waits, [2, 4, 8, 16, 30, 30, 30]);
        assert!(
            (0..100)
                .map(|_| jitter())
                .all(|factor| (1.0..=1.2).contains(&factor))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_transient_failure_is_repeated_until_the_end_and_a_permanent_one_never() {
        let end = Instant::now() + Duration::from_secs(4);
        let unreachable = || Error::new(ErrorKind::Unreachable, "away");
        let mut retries = Retries::new(RetryPolicy::CONNECTION, end);
        assert!(retries.after(unreachable()).await.is_ok());
        // A wait of 4 s does not fit, and a shorter one than before would be no wait.
        let error = retries.after(unreachable()).await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("gave up after 2 attempts in 2"),
            "{error}"
        );
        let mut retries = Retries::new(RetryPolicy::CONNECTION, end + Duration::from_secs(60));
        let error = retries.after(unreachable().permanent()).await.unwrap_err();
        assert_eq!(error.to_string(), "away");
    }
}
