//! pushctl: audiences out of PostgreSQL, pushes to phones.

pub mod budget;
pub mod caret;
pub mod cli;
pub mod clock;
pub mod error;
pub mod exit;
pub mod interrupt;
pub mod nearest;
pub mod progress;
pub mod settings;
pub mod ui;
