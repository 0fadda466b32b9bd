//! The circuit breaker of a host: after several commands in a row could not reach it, further commands do not try for a
//! while; then one of them probes the host, and the others wait for its result.

use std::time::Duration;

use jiff::Timestamp;

use super::store::Store;
use super::value::params;
use crate::error::Result;

/// Whether a command may try a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The command may try.
    Go,
    /// The command may try as the only one: the others wait for its result.
    Probe,
    /// The command must not try before `until`: the last `failures` commands could not reach the host.
    Refused {
        /// The end of the cool-off, or of another command's probe.
        until: Timestamp,
        /// The number of failures in a row.
        failures: u32,
    },
}

/// The result of a command's attempt to reach a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerProbe {
    /// The host answered, with success or with an error.
    Reached,
    /// The host could not be reached: a transient failure.
    Unreached,
}

impl Store {
    /// Returns whether a command may try `host`. It is refused for `cool_off` after `threshold` failures in a row.
    pub async fn admission(
        &self,
        host: &str,
        threshold: u32,
        cool_off: Duration,
    ) -> Result<Admission> {
        let sql = "SELECT failures, failed_at, probing_until FROM pushctl.breakers WHERE host = $1";
        let rows = self.query(sql, params![host]).await?;
        let Some(row) = rows.first() else {
            return Ok(Admission::Go);
        };
        let failures: u32 = row.small(0)?;
        if failures < threshold {
            return Ok(Admission::Go);
        }
        let now = self.now();
        let until = row.opt_time(2)?.unwrap_or(row.time(1)? + cool_off);
        // A longer wait than the cool-off means that the clock was set back.
        if now < until && until <= now + cool_off {
            return Ok(Admission::Refused { until, failures });
        }
        let probe = "UPDATE pushctl.breakers SET probing_until = $1
                     WHERE host = $2 AND coalesce(probing_until, 0) <= $3";
        let until = now + cool_off;
        let first = self.execute(probe, params![until, host, now]).await? > 0;
        Ok(if first {
            Admission::Probe
        } else {
            Admission::Refused { until, failures }
        })
    }

    /// Records the result of an attempt: a success closes the breaker, a failure counts.
    pub async fn attempted(&self, host: &str, attempt: BreakerProbe) -> Result<()> {
        match attempt {
            BreakerProbe::Reached => {
                let sql = "DELETE FROM pushctl.breakers WHERE host = $1";
                self.execute(sql, params![host]).await?;
            }
            BreakerProbe::Unreached => {
                let sql = "INSERT INTO pushctl.breakers AS known (host, failures, failed_at) VALUES ($1, 1, $2)
                           ON CONFLICT (host) DO UPDATE SET failures = known.failures + 1,
                               failed_at = excluded.failed_at, probing_until = NULL";
                self.execute(sql, params![host, self.now()]).await?;
            }
        }
        Ok(())
    }
}
