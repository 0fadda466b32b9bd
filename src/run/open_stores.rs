//! The state stores that a command has opened.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::budget::Budget;
use crate::state::Store;

/// Time limit for closing the state store at the end: a busy store or a slow disk must not delay the exit. A store that
/// is not closed in time is as safe as after a crash.
const CLOSING: Duration = Duration::from_millis(900);

/// The state stores that a command has opened; clones share them.
#[derive(Clone, Default)]
pub struct OpenStores {
    stores: Arc<Mutex<Vec<Store>>>,
    is_dry_run: Arc<AtomicBool>,
}

impl OpenStores {
    pub fn add(&self, store: &Store) {
        self.stores().push(store.clone());
    }

    /// Notes that the command is a dry run, which creates no store.
    pub fn create_none(&self) {
        self.is_dry_run.store(true, Ordering::Relaxed);
    }

    /// Returns whether a store that does not exist may be created.
    pub fn may_create(&self) -> bool {
        !self.is_dry_run.load(Ordering::Relaxed)
    }

    /// Returns the store that was opened first, if any is.
    pub fn first(&self) -> Option<Store> {
        self.stores().first().cloned()
    }

    /// Closes all of them, also after an error.
    pub async fn close(&self, budget: &Budget) {
        let stores = std::mem::take(&mut *self.stores());
        let closing = async {
            for store in stores {
                store.close().await;
            }
        };
        let end = Instant::now() + CLOSING;
        let end = budget
            .deadline()
            .map_or(end, |deadline| end.min(deadline + CLOSING));
        if timeout_at(end, closing).await.is_err() {
            tracing::debug!("the state store is still busy, and is left as it is");
        }
    }

    fn stores(&self) -> MutexGuard<'_, Vec<Store>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
