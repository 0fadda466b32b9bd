//! One clock for a whole command: everything that waits draws on the same budget.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// How long a command may take, and since when.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    started: Instant,
    total: Duration,
}

/// The budget ended before the work did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

impl Budget {
    /// A budget that starts now.
    pub fn start(total: Duration) -> Self {
        Self {
            started: Instant::now(),
            total,
        }
    }

    /// All of it.
    pub fn total(&self) -> Duration {
        self.total
    }

    /// What has been used.
    pub fn spent(&self) -> Duration {
        self.started.elapsed()
    }

    /// What is left; zero once it has ended.
    pub fn left(&self) -> Duration {
        self.total.saturating_sub(self.spent())
    }

    /// The instant at which it ends.
    pub fn end(&self) -> Instant {
        self.started + self.total
    }

    /// Awaits `work`, but not past the end of the budget.
    pub async fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Exhausted> {
        tokio::time::timeout_at(self.end(), work)
            .await
            .map_err(|_| Exhausted)
    }
}
