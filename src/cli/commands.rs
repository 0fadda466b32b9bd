//! The subcommands, one file each.

pub mod audiences;
pub mod cancel;
pub mod check;
pub mod completions;
pub mod config;
pub mod diff;
pub mod generate;
pub mod man;
pub mod pause;
pub mod preview;
pub mod resume;
pub mod run_pipeline;
pub mod runs;
pub mod schedule;
pub mod schema;
pub mod send;
pub mod state;
pub mod status;
pub mod sync;
pub mod why;
