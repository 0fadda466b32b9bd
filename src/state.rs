//! The state store: runs and their phases, leases, cancels, pauses, the ledger of claims and outcomes, the store's own
//! notification history, the outbox for a remote history, audience files of open runs, notices that are
//! not delivered yet, and the circuit breaker.
//!
//! [`Store`] is one interface to two databases: a SQLite file for one machine, or PostgreSQL (schema `pushctl`) for
//! several. Both have the same tables, described in `migrations/*/NNNN_name.up.sql`; times are microseconds since 1970,
//! documents are JSON text. Most statements are one SQL text for both databases; only the ledger's hot path is written
//! twice, around one shared decision ([`ledger`]).
//!
//! Deliberately absent: tokens (only the first half of their SHA-256 is stored), and any data of the source database.

mod backup;
mod breaker;
mod cancels;
pub mod completion_query;
mod dead_tokens;
mod failure;
mod files;
mod identity;
mod inspect;
mod leases;
pub mod ledger;
mod lock_holders;
pub mod migrations;
mod notices;
mod outbox;
mod page_copy;
mod postgres;
pub mod process_id;
mod retention;
mod runs;
mod sqlite;
mod store;
pub mod transfer;
mod value;

pub use backup::Replacing;
pub use breaker::{Admission, BreakerProbe};
pub use cancels::{CancelTarget, Cancellation, Pause};
pub use inspect::Missing;
pub use leases::{HeldBy, Lease, Taking};
pub use notices::QueuedNotice;
pub use outbox::Owed;
pub use retention::{Pruned, Pruning};
pub use runs::{Begun, BegunAlone, NewRun, PhaseRecord, Run, RunFilter, RunStatus};
pub use store::{LEASE_TTL, Location, Store};
