//! The expiry of a lease: written by the task that renews the lease, and read as late as possible by the code that acts
//! under it.
//!
//! It is measured on a clock that also runs while the machine is suspended, so a process that was suspended for any
//! reason finds its lease expired at the first check.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::since_boot;

/// The instant at which a lease expires; clones share it. A check costs an atomic load and a reading of the clock.
#[derive(Debug, Clone)]
pub struct Expiry(Arc<AtomicU64>);

/// The value of a revoked lease.
const REVOKED: u64 = 0;

impl Expiry {
    /// Expires `length` after `start`, which is a time since boot.
    pub(crate) fn new(start: Duration, length: Duration) -> Self {
        Self(Arc::new(AtomicU64::new(micros(start + length))))
    }

    /// Moves the expiry to `end`, unless the lease was revoked.
    pub(crate) fn renew(&self, end: Duration) {
        let _ = self
            .0
            .fetch_update(Ordering::Release, Ordering::Acquire, |known| {
                (known != REVOKED).then_some(micros(end))
            });
    }

    /// Makes it expired for good, because another process holds the lease.
    pub(crate) fn revoke(&self) {
        self.0.store(REVOKED, Ordering::Release);
    }

    /// Returns whether the lease has expired.
    pub fn is_past(&self) -> bool {
        micros(since_boot()) >= self.0.load(Ordering::Acquire)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_expires_unless_it_is_renewed_and_a_revoked_one_is_never_renewed() {
        let now = since_boot();
        let hour = Duration::from_secs(3600);
        let expiry = Expiry::new(now.saturating_sub(hour), hour);
        let other = expiry.clone();
        assert!(expiry.is_past());
        expiry.renew(now + hour);
        assert!(!other.is_past());
        expiry.revoke();
        expiry.renew(now + hour);
        assert!(other.is_past());
    }
}
