//! One clock for a whole command: everything that waits draws on the same budget.

use std::time::Duration;

use tokio::time::Instant;

/// How long a command may take, and since when.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    started: Instant,
    total: Duration,
}

impl Budget {
    /// Returns a budget that starts now.
    pub fn start(total: Duration) -> Self {
        Self {
            started: Instant::now(),
            total,
        }
    }

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

    /// Returns the instant at which it ends.
    pub fn end(&self) -> Instant {
        self.started + self.total
    }
}
