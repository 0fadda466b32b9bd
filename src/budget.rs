//! The time budget of a whole command, shared by all its waits.

use std::time::Duration;

use tokio::time::Instant;

/// A command's time limit and its start.
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

    /// Returns the elapsed time.
    pub fn spent(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the remaining time; zero after the end.
    pub fn left(&self) -> Duration {
        self.total.saturating_sub(self.spent())
    }

    /// Returns the instant at which it ends.
    pub fn end(&self) -> Instant {
        self.started + self.total
    }
}
