//! pushctl: audiences out of PostgreSQL, pushes to phones. This page is the map.
//!
//! # What lives where
//! ```text
//!  flags, env, config ──► settings ──┐
//!                                    ├─► cli ──► audience ──► source ──► PostgreSQL (read only)
//!  queries/*.sql ────────────────────┘     │        └──► csv_file ──► publish ──► files, manifest
//!                                          └──► ui, report ──► stdout, stderr
//! ```
//! Arrows point one way. Each outside thing has one room that knows it: only [`source`] knows the database, only
//! [`publish`] knows how files appear, only [`cli`] reads the environment, touches the streams and decides the exit
//! status. What is below `cli` is handed settings, a [`progress::Progress`], a [`budget::Budget`], an
//! [`interrupt::Interrupt`] and a [`clock::Clock`].
//!
//! | to change … | start in |
//! | --- | --- |
//! | who is in an audience | `queries/NAME.sql`; the format is told in [`audience::definition`] |
//! | what is asked of the database | [`audience::statement`] |
//! | how it is reached, retried, encrypted, given up | [`source`] |
//! | a failure's kind, message or advice | [`source::failure`]; exit statuses in [`exit`] |
//! | files and their names | [`audience::files`], [`audience::names`], [`publish`] |
//! | what an automation file may say, and the words for what is wrong | [`automation`] |
//! | a flag or a command | [`cli`], one file a subcommand |
//! | a setting | [`settings`], one file a room |
//! | what is told about a run | [`report::gather`], where it comes from; [`report::run`], what it is |
//! | what a person sees | [`ui`] for the streams, [`report`] for words and pictures |
//!
//! # What always holds
//! Each has a test that would fail without it.
//! 1. The source is never written to: every statement runs in a read-only transaction, as `COPY (query) TO STDOUT`.
//! 2. No file under its final name is ever incomplete, and none appears without its companions.
//! 3. No command outlives its budget.
//! 4. Counts add up to the input.
//! 5. A secret is never shown: it is a [`settings::secret::Secret`], whose `Debug` is a mask.
//! 6. A permanent failure is not retried; a transient one ends a run only when the budget has no room for another try.
//! 7. The same `--as-of` over the same data gives the same bytes.
//! 8. stdout is data, stderr is talk; `-q` and success print nothing.

pub mod audience;
pub mod automation;
pub mod budget;
pub mod cadence;
pub mod caret;
pub mod cli;
pub mod clock;
pub mod csv_diff;
pub mod csv_file;
pub mod delivery;
pub mod error;
pub mod exit;
pub mod fcm;
pub mod interrupt;
mod link;
pub mod nearest;
pub mod notify;
pub mod pipeline;
pub mod progress;
pub mod publish;
pub mod report;
pub mod settings;
pub mod source;
pub mod state;
pub mod template;
pub mod ui;
