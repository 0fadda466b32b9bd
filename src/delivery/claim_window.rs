//! The room for claims that have no outcome yet: how many a crash can leave in doubt.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;

/// Claims without an outcome, at most.
const MOST: usize = 8_000;

/// The room for claims without an outcome. The feeder takes room, the recorder returns it.
pub(super) struct ClaimWindow {
    free: Semaphore,
    size: usize,
    /// Room that was used without having been taken: a recipient's further devices are known only once they are
    /// claimed.
    owed: Mutex<usize>,
}

impl ClaimWindow {
    /// Returns a window of one second's messages.
    pub(super) fn new(rate: u32) -> Self {
        let size = usize::try_from(rate).unwrap_or(MOST).clamp(20, MOST);
        Self {
            free: Semaphore::new(size),
            size,
            owed: Mutex::default(),
        }
    }

    /// Waits for room for `count` claims, and takes it.
    pub(super) async fn take(&self, count: usize) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        if let Ok(permit) = self.free.acquire_many(count).await {
            permit.forget();
        }
    }

    /// Returns how many claims have no outcome yet.
    pub(super) fn unrecorded(&self) -> usize {
        self.size.saturating_sub(self.free.available_permits())
    }

    /// Returns the room of `taken` claims of which `needed` are still without an outcome. Where more is needed than was
    /// taken, the rest is owed, and paid out of what is returned later.
    pub(super) fn return_room(&self, taken: usize, needed: usize) {
        let mut owed = self.owed.lock().unwrap_or_else(PoisonError::into_inner);
        *owed += needed.saturating_sub(taken);
        let back = taken.saturating_sub(needed);
        let paid = back.min(*owed);
        *owed -= paid;
        self.free.add_permits(back - paid);
        *owed -= self.free.forget_permits(*owed);
    }
}
