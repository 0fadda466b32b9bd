//! pushctl: audiences out of PostgreSQL, pushes to phones.

pub mod audience;
pub mod automation;
pub mod budget;
pub mod caret;
pub mod cli;
pub mod clock;
pub mod csv_diff;
pub mod csv_file;
pub mod error;
pub mod exit;
pub mod interrupt;
pub mod nearest;
pub mod notify;
pub mod progress;
pub mod publish;
pub mod report;
pub mod settings;
pub mod source;
pub mod template;
pub mod ui;
