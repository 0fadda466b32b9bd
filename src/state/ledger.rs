//! The ledger: the recipients claimed for each push, and the outcome of each claim. It makes a push happen once.
//!
//! A claim is durable before its request is sent. It is unique on (automation, occurrence, push, user), and within a
//! push a token is claimed once too. The outcome follows as a separate record. A claim without an outcome is in flight
//! while its sender lives, and in doubt once the sender is dead; pushctl never guesses the outcome of one in doubt.
//!
//! `decide` decides about claims, from data read in the same transaction that writes them; the databases differ only in
//! how they read and write. That transaction excludes every other claim (SQLite's write lock, an advisory lock in
//! PostgreSQL), so checking a user's limits and claiming the user are one step.

mod claim;
mod decide;
mod ids;
mod in_doubt;
mod postgres;
mod push;
mod queries;
mod queue;
mod record;
mod release;
mod sqlite;

pub use claim::{Claimed, Dismissal, Won};
pub use decide::{
    Basis, Candidate, Counted, Device, Guard, Limit, MOST_LIMITS, Touch, first_exceeded,
};
pub use ids::{TokenHash, UserKey};
pub use push::{LedgerPush, NewPush, Recording, Sender, Words};
pub use queries::{Recipient, TallyRow, UserClaim};
pub use queue::{Queued, Taken, Waiting, Wanted};
pub use record::{Answer, Claim, Ending, Standing};
