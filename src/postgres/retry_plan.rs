//! The attempts of a connection, laid out so that they fit in the budget before the first one begins.
//!
//! Pure: durations in, steps out. Every attempt is assumed to use all of its time, so a plan is the worst case; where
//! attempts fail sooner, [`RetryPlan::next`] is asked again with what is really left, and allows longer waits and more
//! attempts.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::error::{Error, Result};

/// How long one host may take to let us in, unless it is configured: name, TCP, TLS and authentication together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How many attempts are made at most, unless it is configured.
pub const ATTEMPTS: u32 = 5;
/// An unconfigured `CONNECT_TIMEOUT` shrinks to fit a short budget, but not below this.
const LEAST: Duration = Duration::from_secs(1);
/// The longest wait between two attempts.
const LONGEST_WAIT: Duration = Duration::from_secs(16);

/// Configured limits for the attempts; a limit that is `None` may be shortened to fit.
#[derive(Debug, Clone, Copy, Default)]
pub struct RetryLimits {
    /// For one host, all of its addresses and all phases together. Kept, or refused where it cannot fit.
    pub connect_timeout: Option<Duration>,
    /// The same as the address has it (`connect_timeout=10` in a URL), in place of [`CONNECT_TIMEOUT`]: shortened where
    /// it does not fit, because it was not chosen for this command.
    pub usual_timeout: Option<Duration>,
    /// Attempts in all, the first included.
    pub attempts: Option<NonZeroU32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryStep {
    /// To be slept before it.
    pub wait: Duration,
    /// What each host is given.
    pub timeout: Duration,
}

/// The attempts that fit.
#[derive(Debug, Clone)]
pub struct RetryPlan {
    hosts: u32,
    attempts: u32,
    attempts_are_fixed: bool,
    timeout: Duration,
    timeout_is_fixed: bool,
    steps: Vec<RetryStep>,
}

impl RetryPlan {
    /// Lays out the attempts for `hosts` hosts within `budget`. What was configured is kept; if it cannot fit,
    /// the usage error shows the sum.
    pub fn lay_out(budget: Duration, hosts: usize, patience: &RetryLimits) -> Result<Self> {
        let mut plan = Self {
            hosts: u32::try_from(hosts).unwrap_or(u32::MAX).max(1),
            attempts: patience.attempts.map_or(ATTEMPTS, NonZeroU32::get),
            attempts_are_fixed: patience.attempts.is_some(),
            timeout: patience
                .connect_timeout
                .or(patience.usual_timeout)
                .unwrap_or(CONNECT_TIMEOUT),
            timeout_is_fixed: patience.connect_timeout.is_some(),
            steps: Vec::new(),
        };
        let mut left = budget;
        while let Some(step) = plan.next(plan.laid_out(), left, 1.0) {
            left = left.saturating_sub(step.wait + step.timeout * plan.hosts);
            plan.steps.push(step);
        }
        let must = if plan.attempts_are_fixed {
            plan.attempts
        } else {
            1
        };
        if plan.laid_out() < must {
            return Err(plan.too_long(must, budget));
        }
        Ok(plan)
    }

    /// Returns the attempt that follows `failed` failed ones, if one still fits in `left`.
    /// `jitter`, from 0 to 1, shortens the wait by up to half, so that many runs do not come back at once.
    pub fn next(&self, failed: u32, left: Duration, jitter: f64) -> Option<RetryStep> {
        let remaining = self.attempts.checked_sub(failed).filter(|n| *n > 0)?;
        let least = self.least();
        let must = if self.attempts_are_fixed {
            remaining
        } else {
            1
        };
        let spare = left.checked_sub(least.checked_mul(must)?)?;
        let wait = Self::wait(failed)
            .mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
            .min(spare / 2);
        if self.timeout_is_fixed {
            return Some(RetryStep {
                wait,
                timeout: self.timeout,
            });
        }
        let left = left.saturating_sub(wait);
        let sharers = if self.attempts_are_fixed {
            remaining
        } else {
            remaining.min(2)
        };
        let mut attempt = (left / sharers).max(least).min(self.timeout * self.hosts);
        if left.saturating_sub(attempt) < least {
            attempt = left.min(self.timeout * self.hosts);
        }
        Some(RetryStep {
            wait,
            timeout: attempt / self.hosts,
        })
    }

    /// Returns the worst case: every attempt uses all of its time.
    pub fn steps(&self) -> &[RetryStep] {
        &self.steps
    }

    /// Returns how many attempts are made at most.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Returns the wait before the attempt that follows `failed` failed ones, before jitter: 2, 4, 8, 16 s.
    fn wait(failed: u32) -> Duration {
        match failed {
            0 => Duration::ZERO,
            1..=4 => Duration::from_secs(1 << failed),
            _ => LONGEST_WAIT,
        }
    }

    /// Returns the shortest attempt worth beginning.
    fn least(&self) -> Duration {
        let timeout = if self.timeout_is_fixed {
            self.timeout
        } else {
            self.timeout.min(LEAST)
        };
        timeout.saturating_mul(self.hosts)
    }

    fn laid_out(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    fn too_long(&self, must: u32, budget: Duration) -> Error {
        let attempt = self.least();
        let hosts = match self.hosts {
            1 => String::new(),
            n => format!(" ({n} hosts, {:?} each)", attempt / n),
        };
        let attempts = if must == 1 {
            "one attempt".to_owned()
        } else {
            format!("{must} attempts")
        };
        Error::usage(format!(
            "the connection plan does not fit: {attempts} of {attempt:?}{hosts} = {:?}, but the deadline is {budget:?}",
            attempt.saturating_mul(must),
        ))
        .hint("raise --deadline, or lower --connect-timeout or --retries")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(values: &[f64]) -> Vec<Duration> {
        values
            .iter()
            .copied()
            .map(Duration::from_secs_f64)
            .collect()
    }

    fn patience(connect_timeout: Option<u64>, attempts: Option<u32>) -> RetryLimits {
        RetryLimits {
            connect_timeout: connect_timeout.map(Duration::from_secs),
            attempts: attempts.and_then(NonZeroU32::new),
            usual_timeout: None,
        }
    }

    #[test]
    fn the_usual_plan_is_five_attempts_of_ten_seconds_with_doubling_waits() {
        let plan =
            RetryPlan::lay_out(Duration::from_secs(300), 1, &RetryLimits::default()).unwrap();
        let waits: Vec<_> = plan.steps().iter().map(|step| step.wait).collect();
        assert_eq!(waits, seconds(&[0.0, 2.0, 4.0, 8.0, 16.0]));
        assert!(
            plan.steps()
                .iter()
                .all(|step| step.timeout == CONNECT_TIMEOUT)
        );
    }

    #[test]
    fn a_short_budget_shrinks_attempts_without_a_configured_limit() {
        let plan = RetryPlan::lay_out(Duration::from_secs(5), 1, &RetryLimits::default()).unwrap();
        let times: Vec<_> = plan
            .steps()
            .iter()
            .flat_map(|step| [step.wait, step.timeout])
            .collect();
        assert_eq!(times, seconds(&[0.0, 2.5, 0.75, 1.75]));
    }

    #[test]
    fn what_the_address_asks_for_is_shortened_to_fit() {
        let patience = RetryLimits {
            usual_timeout: Some(Duration::from_secs(120)),
            ..RetryLimits::default()
        };
        let plan = RetryPlan::lay_out(Duration::from_secs(300), 1, &patience).unwrap();
        let times: Vec<_> = plan
            .steps()
            .iter()
            .flat_map(|step| [step.wait, step.timeout])
            .collect();
        assert_eq!(
            times,
            seconds(&[0.0, 120.0, 2.0, 89.0, 4.0, 42.5, 8.0, 17.25, 8.125, 9.125])
        );
    }

    #[test]
    fn the_plan_that_was_always_killed_is_a_usage_error_with_its_sum() {
        let error = RetryPlan::lay_out(Duration::from_secs(300), 1, &patience(Some(120), Some(3)))
            .unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Usage);
        assert_eq!(
            error.to_string(),
            "the connection plan does not fit: 3 attempts of 120s = 360s, but the deadline is 300s"
        );
    }

    #[test]
    fn one_configured_attempt_longer_than_the_deadline_cannot_fit() {
        let error =
            RetryPlan::lay_out(Duration::from_secs(5), 2, &patience(Some(3), None)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("one attempt of 6s (2 hosts, 3s each) = 6s"),
            "{error}"
        );
    }

    #[test]
    fn attempts_that_fail_at_once_are_followed_by_more_while_budget_remains() {
        let plan = RetryPlan::lay_out(Duration::from_secs(5), 1, &RetryLimits::default()).unwrap();
        let mut left = Duration::from_secs(5);
        let mut failed = 0;
        while let Some(step) = plan.next(failed, left, 1.0) {
            left -= step.wait;
            failed += 1;
        }
        assert!(failed >= 4, "only {failed}");
    }

    proptest! {
        #[test]
        fn no_plan_is_longer_than_its_budget(
            budget in 0_u64..400_000, hosts in 1_usize..4,
            timeout in proptest::option::of(1_u64..130), attempts in proptest::option::of(1_u32..9), jitter in 0.0..1.0,
        ) {
            let budget = Duration::from_millis(budget);
            let Ok(plan) = RetryPlan::lay_out(budget, hosts, &patience(timeout, attempts)) else { return Ok(()) };
            let hosts = u32::try_from(hosts).unwrap();
            let sum: Duration = plan.steps().iter().map(|step| step.wait + step.timeout * hosts).sum();
            prop_assert!(sum <= budget, "{sum:?} of {budget:?}");
            if let Some(attempts) = attempts {
                prop_assert_eq!(plan.steps().len(), attempts as usize);
            }
            let mut left = budget;
            let mut failed = 0;
            while let Some(step) = plan.next(failed, left, jitter) {
                prop_assert!(step.wait + step.timeout * hosts <= left);
                left -= step.wait + step.timeout * hosts;
                failed += 1;
            }
            prop_assert!(failed >= u32::try_from(plan.steps().len()).unwrap().min(1));
        }
    }
}
