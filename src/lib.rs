//! pushctl: audiences out of PostgreSQL, pushes to phones.

pub mod budget;
pub mod cadence;
pub mod clock;
pub mod error;
pub mod exit;
pub mod interrupt;
mod link;
pub mod settings;
pub mod source;
pub mod state;
