//! An automation: an audience, the pushes it gets, and the time somebody else's scheduler is asked to keep.

pub mod cron;
mod document;
pub mod file;
pub mod finding;
pub mod quiet;
pub mod render;
pub mod schedule;
mod structure;
