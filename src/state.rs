//! What must outlive a process: runs and their phases, leases, cancels, pauses, the ledger of claims and outcomes,
//! this store's own notification history, the outbox of a history elsewhere, and the breaker. Nothing else.
//!
//! One interface, [`Store`], over two databases: a SQLite file for one machine, PostgreSQL (schema `pushctl`)
//! for several. The tables are the same in both and are described in `migrations/*/NNNN_name.up.sql`; times are
//! microseconds since 1970, documents are JSON text. Ordinary records are one SQL text for both; only the ledger's
//! hot path is written twice, around one decision ([`ledger`]).
//!
//! Deliberately absent: tokens (only the first half of their SHA-256 is kept), and anything of the source database.

mod breaker;
mod cancels;
pub mod completion_query;
mod failure;
mod files;
mod history;
mod identity;
mod leases;
pub mod ledger;
pub mod migrations;
mod outbox;
mod postgres;
pub mod process_id;
mod retention;
mod runs;
mod sqlite;
mod store;
pub mod transfer;
mod value;

pub use breaker::{Admission, BreakerProbe};
pub use cancels::{CancelTarget, Cancellation, Pause};
pub use leases::{HeldBy, Lease, Taking};
pub use outbox::Owed;
pub use retention::Pruned;
pub use runs::{Begun, BegunAlone, NewRun, PhaseRecord, Run, RunFilter, RunStatus};
pub use store::{LEASE_TTL, Location, Store};
