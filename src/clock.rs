//! Civil time and waiting, replaceable: production uses [`System`], tests bring their own.
//!
//! Budgets and time-outs do not pass through here: they measure durations, on tokio's monotonic clock.

pub mod text;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use jiff::Timestamp;

/// What time it is, and how to wait.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;

    /// Returns after `duration` has passed on this clock.
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

#[derive(Debug, Default, Clone, Copy)]
pub struct System;

impl Clock for System {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(duration))
    }
}
