//! The end of a right that lasts only while it is renewed: written by the task that renews it, read by whatever acts
//! under it, as late as it can be.
//!
//! It is measured on a clock that also runs while the machine is suspended, so a process that stood still for any reason
//! finds its right ended at the first look.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::since_boot;

/// When a right ends; clones share it. A look costs two loads and a reading of the clock.
#[derive(Debug, Clone)]
pub struct Expiry(Arc<AtomicU64>);

/// In place of an end: revoked, for good.
const REVOKED: u64 = 0;

impl Expiry {
    /// Ends `length` after `start`, which is a time since boot.
    pub(crate) fn new(start: Duration, length: Duration) -> Self {
        Self(Arc::new(AtomicU64::new(micros(start + length))))
    }

    /// A right that lasts for `length` from now.
    pub fn lasting(length: Duration) -> Self {
        Self::new(since_boot(), length)
    }

    /// It was renewed: it ends at `end`, unless it was revoked.
    pub(crate) fn renew(&self, end: Duration) {
        let _ = self
            .0
            .fetch_update(Ordering::Release, Ordering::Acquire, |known| {
                (known != REVOKED).then_some(micros(end))
            });
    }

    /// It is another's now, and never comes back.
    pub(crate) fn revoke(&self) {
        self.0.store(REVOKED, Ordering::Release);
    }

    /// Whether it has ended.
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
    fn a_right_ends_unless_it_is_renewed_and_once_revoked_is_never_renewed() {
        let now = since_boot();
        let hour = Duration::from_secs(3600);
        let right = Expiry::new(now.saturating_sub(hour), hour);
        let other = right.clone();
        assert!(right.is_past());
        right.renew(now + hour);
        assert!(!other.is_past());
        right.revoke();
        right.renew(now + hour);
        assert!(other.is_past());
    }
}
