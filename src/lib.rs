//! pushctl: audiences out of PostgreSQL, pushes to phones.

pub mod automation;
pub mod budget;
pub mod clock;
pub mod error;
pub mod exit;
pub mod nearest;
pub mod settings;
