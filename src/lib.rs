//! pushctl: audiences out of PostgreSQL, pushes to phones. This page is the map.
//!
//! # What lives where
//! ```text
//!  automations/*.toml ──► automation ──► pipeline ─┬─► audience ─┬─► source ──► PostgreSQL (read only)
//!  queries/*.sql ──────────────────────────────────┼─────┘       └─► csv_file ──► publish ──► files, manifest
//!  flags, env, config ──► settings                 └─► delivery ─┬─► cadence ──► the notification history
//!                            │                         template ◄┼─► state ──► SQLite, PostgreSQL
//!                            ▼                                   └─► fcm ──► the push service
//!                           cli uses all of these ──► ui, report ──► stdout, stderr
//! ```
//! Arrows point one way. Each outside thing has one room that knows it: only [`source`] knows the source database, only
//! [`fcm`] the push service, only [`state`] where state is kept, only [`cadence`] who keeps the history, only [`notify`]
//! webhooks and heartbeats, only [`atomic_publish`] how files appear, and only [`cli`] reads the environment, touches the
//! streams and decides the exit status. What is below `cli` is handed settings, a [`progress::Progress`], a
//! [`budget::Budget`], an [`interrupt::Interrupt`] and a [`clock::Clock`].
//!
//! | to change … | start in |
//! | --- | --- |
//! | who is in an audience | `queries/NAME.sql`; the format is told in [`audience::definition`] |
//! | what is asked of the database | [`audience::statement`] |
//! | how it is reached, retried, encrypted, given up | [`source`] |
//! | a failure's kind, message or advice | [`source::failure`]; exit statuses in [`exit`] |
//! | files and their names | [`audience::files`], [`audience::names`], [`atomic_publish`] |
//! | variables and filters of a push's words, what a message may hold | [`template`], [`template::push`] |
//! | from a file to phones, step by step, and its counts | [`delivery`] |
//! | what a message looks like on the wire; what an answer means; how fast; when to stop | [`fcm`] |
//! | who has had enough, and who keeps that | [`cadence`] |
//! | claims, outcomes, runs, leases, cancels | [`state`]; who may be claimed in [`state::ledger`], tables in its `migrations/` |
//! | what an automation file may say, and the words for what is wrong | [`automation`] |
//! | when an automation is for, and what a scheduler is told | [`automation::schedule`], [`automation::timetable`] |
//! | phases, safeguards, what a start does next | [`pipeline`]; the decision is [`pipeline::step`] |
//! | who else is told of a run | [`notify`] |
//! | a flag or a command | [`cli`], one file a subcommand |
//! | a setting | [`settings`], one file a room |
//! | what is told about a run | [`report::gather`], where it comes from; [`report::run`], what it is |
//! | what a person sees | [`ui`] for the streams, [`report`] for words and pictures |
//!
//! # What always holds
//! Each has a test that would fail without it.
//! 1. The source is never written to: every statement runs in a read-only transaction, as `COPY (query) TO STDOUT`.
//! 2. No file under its final name is ever incomplete, and none appears without its companions.
//! 3. No command outlives its budget; a pipeline, which waits for its time, has one for each phase.
//! 4. A push is claimed durably before its request leaves, and a claim is unique on automation, occurrence, push and user.
//!    What was claimed and never answered is in doubt: told, and never sent again unless somebody says so.
//! 5. Counts add up to the input, whatever was killed when.
//! 6. A secret is never shown: it is a [`settings::secret::Secret`], whose `Debug` is a mask. Device tokens are kept as
//!    hashes; only the list of dead ones holds them, in a file of mode 0600.
//! 7. A permanent failure is not retried; a transient one ends a run only when the budget has no room for another try.
//! 8. The same `--as-of` over the same data gives the same bytes, and only the bytes that were tested are sent.
//! 9. stdout is data, stderr is talk; `-q` and success print nothing.
//! 10. Nothing is sent by default: it takes a confirmed count, `--yes`, or an enabled automation; and a history that
//!     cannot be asked stops a send, unless the sender has said otherwise.

mod atomic_file;
pub mod atomic_publish;
pub mod audience;
pub mod automation;
pub mod budget;
pub mod cadence;
pub mod cli;
pub mod clock;
pub mod count;
pub mod csv_diff;
pub mod csv_line;
pub mod csv_writer;
pub mod delivery;
pub mod error;
pub mod exit;
pub mod fcm;
pub mod interrupt;
pub mod notify;
pub mod pipeline;
pub mod postgres;
pub mod progress;
pub mod report;
pub mod settings;
pub mod snippet;
pub mod source;
pub mod state;
pub mod suggest;
pub mod template;
pub mod ui;
