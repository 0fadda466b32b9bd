//! pushctl turns a query file into an audience, an audience into CSV files, a CSV file into push notifications, and an
//! automation file into all of these steps at a given time. This page is the map of the source.
//!
//! # Rooms
//! ```text
//!  automations/*.toml ─► automation ─► run ─┬─► audience ─► source ─► postgres ─► PostgreSQL (read only)
//!  queries/*.sql ───────────────────────────┤        └─► csv_writer ─► atomic_publish ─► files, manifest
//!  flags, env, config ─► settings           └─► delivery ─┬─► cadence ─► notification history
//!                                                         ├─► state ───► SQLite | PostgreSQL
//!  cli/commands/* call run, report and ui                 └─► fcm ─────► push service
//! ```
//! Imports point one way: [`cli`] → [`doctor`] → [`run`] → [`pipeline`] → [`delivery`] → [`cadence`] →
//! [`automation`], [`state`], [`audience`] → [`fcm`], [`source`] → [`postgres`] → [`settings`], [`template`], [`ui`] →
//! the leaves. Each outside
//! system has one room that knows it: the source database [`source`], the push service [`fcm`], the state store
//! [`state`], the notification history [`cadence`], webhooks and heartbeats [`notify`], the way files appear
//! [`atomic_publish`]. Only [`cli`] reads the environment, prints and decides the exit status. The rooms below it
//! receive settings, a [`progress::Progress`], an [`interrupt::Interrupt`], a [`budget::Budget`] and a
//! [`clock::Clock`].
//!
//! # Where to start
//! | to change | start in |
//! | --- | --- |
//! | the members of an audience | `queries/NAME.sql`; the header's format is in [`audience::definition`] |
//! | the statement sent for an audience | [`audience::statement`] |
//! | addresses, TLS, retries and timeouts of PostgreSQL connections | [`postgres`] |
//! | the kind, the message or the advice of a connection failure | [`postgres::failure`]; exit statuses in [`exit`] |
//! | the hint of a failure | [`advice`] |
//! | audience files and their names | [`audience::files`], [`audience::file_names`], [`atomic_publish`] |
//! | template variables, filters, limits of a message | [`template`], [`template::push`] |
//! | expiry, sound, image and the other options of a message | [`template::message_options`], [`settings::message`] |
//! | the steps from an audience file to recipients, and the counts | [`delivery`] |
//! | the log-in at the push service, the shapes of a private key | `src/fcm/login.rs`, `src/fcm/login/key.rs` |
//! | the request to the push service, its answers, the rate, the failure guard | [`fcm`] |
//! | the rules that limit pushes per recipient, and where the history is | [`cadence`] |
//! | claims, outcomes, runs, leases, cancels | [`state`]; the ledger in [`state::ledger`], tables in `src/state/migrations/` |
//! | what an automation file may contain, and the messages about it | [`automation`] |
//! | what `pushctl new` writes | `src/audience/starter.sql`, `src/automation/starter.rs` |
//! | how a JSON automation becomes a TOML file | [`automation::conversion`] |
//! | when an automation is due, and the lines for a scheduler | [`automation::schedule`], [`automation::scheduler_export`] |
//! | which guard applies on which way to start a push | [`run::gates`] |
//! | a run's lifecycle: lease, record, finish | [`run::session`] |
//! | phases, safeguards, the next step of a run | [`pipeline`]; the decision is [`pipeline::step`] |
//! | notices and heartbeats | [`notify`]; when they are delivered, [`pipeline::outgoing`] |
//! | metrics | [`report::gather::metrics`] |
//! | a command or a flag | `src/cli/commands/`, one file a subcommand |
//! | a setting | [`settings`], one file a room |
//! | the report of a run | [`report::gather`] collects it, [`report::run`] is its type |
//! | what `pushctl doctor` tests | [`doctor`] |
//! | the deadline of a command, and what it says while it waits | [`budget`]; the waits between attempts in [`retry`] |
//! | terminal output | [`ui`] for streams, colour and progress, [`report`] for texts and pages |
//!
//! # Invariants
//! Each has a test that fails without it.
//! 1. The source is never written to: every statement runs in a read-only transaction, as `COPY (query) TO STDOUT`.
//! 2. A file under its final name is complete, and it does not appear without the files that belong to it.
//! 3. A command does not outlive its deadline, whichever peer is silent. A send or a pipeline without one of its own
//!    has the deadline for each step.
//! 4. A push is claimed durably before its request leaves. A claim is unique on automation, occurrence, push and user,
//!    and a
//!    token on a push. A claim without an answer is in doubt: it is reported, and sent again only on request.
//! 5. Counts add up to the input, whichever process was killed at whichever moment.
//! 6. A secret is never printed: it is a [`settings::secret::Secret`], whose `Debug` is a mask. Device tokens are
//!    stored as
//!    hashes; only the dead-token list contains them, in a file of mode 0600.
//! 7. A permanent failure is not retried. A transient one is retried until the deadline leaves no room for another
//!    attempt.
//! 8. The same `--as-of` over the same data gives the same bytes, and the bytes that were tested are the bytes that are
//!    sent.
//! 9. stdout is data, stderr is messages; `-q` and success print nothing.
//! 10. Nothing is sent by default: a push needs a confirmed count, `--yes`, or an enabled automation.
//! 11. No guard can be walked around: every way to start a push passes every gate that applies to it.
//! 12. A recipient who has a token is never recorded as having none.
//! 13. A side file (outcomes, dead tokens, notices) that cannot be written never costs the ledger its truth.

pub mod advice;
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
pub mod csv_input;
pub mod csv_line;
pub mod csv_writer;
pub mod delivery;
mod disk;
pub mod doctor;
pub mod error;
pub mod exit;
pub mod expiry;
pub mod fcm;
pub mod guards;
pub mod interrupt;
mod limits;
mod loopback;
mod named_uuid;
pub mod notify;
pub mod pipeline;
pub mod postgres;
pub mod progress;
pub mod report;
pub mod retry;
pub mod run;
pub mod settings;
pub mod snippet;
pub mod source;
pub mod state;
pub mod stray_files;
pub mod suggest;
pub mod template;
pub mod ui;
