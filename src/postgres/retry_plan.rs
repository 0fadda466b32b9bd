//! The attempts of a connection, laid out within the deadline.
//!
//! Pure: durations in, steps out. Without `--retries` there are as many attempts as fit, with the waits of
//! [`RetryPolicy::CONNECTION`]; the last one is near the deadline, so that a server that comes back is found. A short
//! deadline gets fewer attempts, not shorter waits.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::clock::text::Seconds;
use crate::error::{Error, Result};
use crate::retry::{LAST, RetryPolicy};

/// How long one host may take to let us in, unless it is configured: name, TCP, TLS and authentication together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// An attempt is not split to make room for another one that would have less than this for each host.
const LEAST: Duration = Duration::from_secs(1);

/// Configured limits for the attempts.
#[derive(Debug, Clone, Copy, Default)]
pub struct RetryLimits {
    /// For one host, all of its addresses and all phases together. Kept, or refused where it cannot fit.
    pub connect_timeout: Option<Duration>,
    /// The same as the address has it (`connect_timeout=10` in a URL), in place of [`CONNECT_TIMEOUT`]: shortened where
    /// it does not fit, because it was not chosen for this command.
    pub usual_timeout: Option<Duration>,
    /// The most attempts, the first included.
    pub attempts: Option<NonZeroU32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryStep {
    /// To be slept before it.
    pub wait: Duration,
    /// What each host is given.
    pub timeout: Duration,
}

/// The attempts of one connection.
#[derive(Debug, Clone)]
pub struct RetryPlan {
    hosts: u32,
    timeout: Duration,
    timeout_is_fixed: bool,
    policy: RetryPolicy,
    jitter: f64,
    failed: u32,
    last_wait: Duration,
}

impl RetryPlan {
    /// Plans the attempts for `hosts` hosts. `jitter` is a factor for the waits, 1 or more.
    pub fn new(hosts: usize, limits: &RetryLimits, jitter: f64) -> Self {
        let timeout = limits.connect_timeout.or(limits.usual_timeout);
        Self {
            hosts: u32::try_from(hosts).unwrap_or(u32::MAX).max(1),
            timeout: timeout.unwrap_or(CONNECT_TIMEOUT),
            timeout_is_fixed: limits.connect_timeout.is_some(),
            policy: RetryPolicy {
                attempts: limits.attempts,
                ..RetryPolicy::CONNECTION
            },
            jitter,
            failed: 0,
            last_wait: Duration::ZERO,
        }
    }

    /// Returns the next attempt, if one fits in `left`. Every call but the first says that the one before has failed.
    pub fn next(&mut self, left: Duration) -> Option<RetryStep> {
        if self.policy.remaining(self.failed) == Some(0) {
            return None;
        }
        let wait = match self.failed {
            0 => Duration::ZERO,
            _ => self.wait(left)?,
        };
        let left = left.checked_sub(wait).filter(|left| !left.is_zero())?;
        self.failed += 1;
        self.last_wait = wait;
        let timeout = self.timeout(left)?;
        Some(RetryStep { wait, timeout })
    }

    /// Returns how many attempts were begun.
    pub fn begun(&self) -> u32 {
        self.failed
    }

    /// Returns the wait before the next attempt: that of the policy, or the one before again where that does not fit.
    /// What is left over lengthens the last waits, so that the last attempt begins shortly before the end.
    fn wait(&self, left: Duration) -> Option<Duration> {
        let usual = self.policy.wait(self.failed).mul_f64(self.jitter);
        let room = left.saturating_sub(self.kept_for_last());
        let shortest = self.last_wait.max(self.policy.wait(1));
        let wait = [usual.max(shortest), shortest]
            .into_iter()
            .find(|wait| *wait <= room);
        let Some(wait) = wait else {
            let fits = !self.timeout_is_fixed && shortest + LEAST * self.hosts <= left;
            return fits.then_some(shortest);
        };
        let fit = room.as_nanos() / wait.as_nanos();
        let grows = self.policy.wait(self.failed) < self.policy.longest;
        if self.policy.attempts.is_some() || (grows && fit > 1) {
            return Some(wait);
        }
        Some(room / u32::try_from(fit).unwrap_or(u32::MAX))
    }

    /// Returns what each host is given. Where another attempt would fit only if this one is shorter, both are.
    fn timeout(&self, left: Duration) -> Option<Duration> {
        let longest = self.timeout * self.hosts;
        if self.timeout_is_fixed {
            return (longest <= left).then_some(self.timeout);
        }
        let next_wait = self
            .policy
            .wait(self.failed)
            .mul_f64(self.jitter)
            .max(self.last_wait);
        let half = left.saturating_sub(next_wait) / 2;
        let others = self.policy.remaining(self.failed) != Some(0);
        let attempt = if others && half >= LEAST * self.hosts {
            half
        } else {
            left
        };
        Some(attempt.min(longest) / self.hosts)
    }

    fn kept_for_last(&self) -> Duration {
        let each = if self.timeout_is_fixed {
            self.timeout
        } else {
            self.timeout.min(LAST)
        };
        each * self.hosts
    }

    /// Refuses a connect timeout that was asked for if it, with the number of attempts that was asked for, is longer
    /// than `deadline`: the usage error shows the sum.
    pub fn check(&self, deadline: Duration) -> Result<()> {
        let attempts = self.policy.attempts.map_or(1, NonZeroU32::get);
        let attempt = self.timeout.saturating_mul(self.hosts);
        let waits: Duration = (1..attempts).map(|failed| self.policy.wait(failed)).sum();
        let sum = attempt.saturating_mul(attempts).saturating_add(waits);
        if !self.timeout_is_fixed || sum <= deadline {
            return Ok(());
        }
        let hosts = match self.hosts {
            1 => String::new(),
            n => format!(" ({n} hosts, {} each)", Seconds(self.timeout)),
        };
        let told = if attempts == 1 {
            format!("one attempt of {}{hosts}", Seconds(attempt))
        } else {
            format!(
                "{attempts} attempts of {}{hosts} and {} of waits",
                Seconds(attempt),
                Seconds(waits)
            )
        };
        Err(Error::usage(format!(
            "the connection plan does not fit: {told} = {}, but the deadline is {}",
            Seconds(sum),
            Seconds(deadline)
        ))
        .hint("raise --deadline, or lower --connect-timeout or --retries"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limits(connect_timeout: Option<u64>, attempts: Option<u32>) -> RetryLimits {
        RetryLimits {
            connect_timeout: connect_timeout.map(Duration::from_secs),
            attempts: attempts.and_then(NonZeroU32::new),
            usual_timeout: None,
        }
    }

    /// Returns the waits and timeouts, in seconds, where each attempt takes this share of its time.
    fn played(deadline: f64, share: f64, limits: &RetryLimits) -> Vec<(f64, f64)> {
        let mut left = Duration::from_secs_f64(deadline);
        let mut plan = RetryPlan::new(1, limits, 1.0);
        let mut steps = Vec::new();
        while let Some(step) = plan.next(left) {
            left -= step.wait + step.timeout.mul_f64(share);
            steps.push((step.wait.as_secs_f64(), step.timeout.as_secs_f64()));
        }
        steps
    }

    fn waits(deadline: f64, share: f64, limits: &RetryLimits) -> Vec<f64> {
        let steps = played(deadline, share, limits);
        steps
            .into_iter()
            .map(|(wait, _)| (wait * 10.0).round() / 10.0)
            .collect()
    }

    #[test]
    fn a_server_that_refuses_is_asked_until_the_deadline() {
        let default = RetryLimits::default();
        assert_eq!(
            waits(300.0, 0.0, &default),
            [
                0.0, 2.0, 4.0, 8.0, 16.0, 33.5, 33.5, 33.5, 33.5, 33.5, 33.5, 33.5, 33.5
            ]
        );
        assert_eq!(waits(60.0, 0.0, &default), [0.0, 2.0, 4.0, 8.0, 16.0, 28.0]);
        assert_eq!(waits(14.0, 0.0, &default), [0.0, 2.0, 4.0, 6.0]);
        assert_eq!(waits(5.0, 0.0, &default), [0.0, 3.0]);
    }

    #[test]
    fn a_server_that_is_silent_gets_ten_seconds_and_less_within_a_short_deadline() {
        let default = RetryLimits::default();
        let steps = played(300.0, 1.0, &default);
        assert!(
            steps.iter().all(|(_, timeout)| *timeout >= 2.0),
            "{steps:?}"
        );
        assert_eq!(steps[..3], [(0.0, 10.0), (2.0, 10.0), (4.0, 10.0)]);
        assert_eq!(played(5.0, 1.0, &default), [(0.0, 1.5), (2.0, 1.5)]);
        assert_eq!(played(1.0, 1.0, &default), [(0.0, 1.0)]);
    }

    #[test]
    fn what_the_address_asks_for_is_shortened_to_fit() {
        let limits = RetryLimits {
            usual_timeout: Some(Duration::from_secs(120)),
            ..RetryLimits::default()
        };
        let steps = played(300.0, 1.0, &limits);
        assert_eq!(steps[..2], [(0.0, 120.0), (2.0, 87.0)]);
    }

    #[test]
    fn the_number_of_attempts_is_bounded_by_what_was_asked_for() {
        assert_eq!(waits(300.0, 0.0, &limits(None, Some(3))), [0.0, 2.0, 4.0]);
        assert_eq!(waits(300.0, 0.0, &limits(None, Some(1))), [0.0]);
        // Fewer fit, and that is no error: only the number was asked for.
        assert_eq!(waits(5.0, 0.0, &limits(None, Some(9))), [0.0, 2.0, 2.0]);
    }

    #[test]
    fn the_plan_that_was_always_killed_is_a_usage_error_with_its_sum() {
        let deadline = Duration::from_secs(300);
        let plan = RetryPlan::new(1, &limits(Some(120), Some(3)), 1.0);
        let error = plan.check(deadline).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Usage);
        assert_eq!(
            error.to_string(),
            "the connection plan does not fit: 3 attempts of 120 s and 6 s of waits = 366 s, but the deadline is 300 s"
        );
        let deadline = Duration::from_secs(5);
        let plan = RetryPlan::new(2, &limits(Some(3), None), 1.0);
        let error = plan.check(deadline).unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("one attempt of 6 s (2 hosts, 3 s each) = 6 s"),
            "{told}"
        );
    }

    proptest! {
        #[test]
        fn no_plan_is_longer_than_its_deadline_and_no_wait_falls(
            deadline in 1_u64..400_000, hosts in 1_usize..4, jitter in 1.0..1.2, share in 0.0..1.0,
            timeout in proptest::option::of(1_u64..130), attempts in proptest::option::of(1_u32..9),
        ) {
            let deadline = Duration::from_millis(deadline);
            let limits = limits(timeout, attempts);
            let mut plan = RetryPlan::new(hosts, &limits, jitter);
            if plan.check(deadline).is_err() {
                prop_assert!(timeout.is_some());
                return Ok(());
            }
            let hosts = u32::try_from(hosts).unwrap();
            let (mut left, mut begun, mut last) = (deadline, 0, Duration::ZERO);
            while let Some(step) = plan.next(left) {
                let most = step.timeout * hosts;
                prop_assert!(step.wait + most <= left);
                prop_assert!(step.wait >= last);
                prop_assert!(begun == 0 || step.wait >= Duration::from_secs(2));
                prop_assert!(timeout.is_none_or(|timeout| step.timeout == Duration::from_secs(timeout)));
                left -= step.wait + most.mul_f64(share);
                last = step.wait;
                begun += 1;
            }
            prop_assert!(begun >= 1);
            prop_assert!(attempts.is_none_or(|attempts| begun <= attempts));
            // What is not used is less than another wait and another attempt.
            if attempts.is_none() && timeout.is_none() {
                prop_assert!(left <= last.max(Duration::from_secs(2)) + (LAST + LEAST) * hosts, "{left:?} after {last:?}");
            }
        }
    }
}
