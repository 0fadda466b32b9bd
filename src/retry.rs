//! When a failed attempt is repeated: one policy for every peer.
//!
//! The waits double up to a longest one and never fall. They are lengthened by a random part, which is drawn once for
//! each sequence of attempts, so that many processes do not come back at once.

use std::hash::{BuildHasher as _, RandomState};
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{Instant, sleep};

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

impl From<&Error> for Again {
    fn from(error: &Error) -> Self {
        if error.is_retryable() {
            Self::Later
        } else {
            Self::Never
        }
    }
}

/// Repeats `attempt` until it succeeds or fails for good, or until the next wait would not end before `end`.
pub async fn retry<T>(
    policy: RetryPolicy,
    end: Instant,
    attempt: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    retry_when(policy, end, |error| Again::from(error), attempt).await
}

/// Like [`retry`], for failures of any type; `judge` decides about each.
pub async fn retry_when<T, E>(
    policy: RetryPolicy,
    end: Instant,
    judge: impl Fn(&E) -> Again,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let jitter = jitter();
    let mut failed = 0;
    loop {
        let error = match attempt().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        failed += 1;
        let wait = match judge(&error) {
            Again::Never => return Err(error),
            Again::Later => policy.wait(failed).mul_f64(jitter),
            Again::After(asked) => asked,
        };
        if policy.remaining(failed) == Some(0) || Instant::now() + wait >= end {
            return Err(error);
        }
        tracing::debug!(
            failed,
            wait_ms = wait.as_millis(),
            "an attempt failed and is repeated"
        );
        sleep(wait).await;
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
        let mut attempts = 0;
        let mut fail = async |error: Error| {
            attempts += 1;
            Err::<(), _>(error)
        };
        let end = Instant::now() + Duration::from_secs(5);
        let unreachable = || Error::new(ErrorKind::Unreachable, "away");
        let _ = retry(RetryPolicy::CONNECTION, end, async || {
            fail(unreachable()).await
        })
        .await;
        assert!(Instant::now() < end);
        // At 0 s and after 2 s; the wait of 4 s does not fit.
        assert_eq!(attempts, 2);
        let mut fail = async |error: Error| {
            attempts += 1;
            Err::<(), _>(error)
        };
        let permanent = || unreachable().permanent();
        let _ = retry(RetryPolicy::CONNECTION, end, async || {
            fail(permanent()).await
        })
        .await;
        assert_eq!(attempts, 3);
    }
}
