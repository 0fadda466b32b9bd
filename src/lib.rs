//! pushctl: audiences out of PostgreSQL, pushes to phones.

pub mod budget;
pub mod clock;
pub mod error;
pub mod exit;
pub mod fcm;
pub mod settings;
pub mod template;
