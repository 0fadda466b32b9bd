//! An automation: an audience, the pushes it gets, and the time somebody else's scheduler is asked to keep.

pub mod cron;
pub mod quiet;
pub mod schedule;
