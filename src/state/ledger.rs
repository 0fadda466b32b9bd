//! The ledger: who was claimed for which push, and what came of it. What makes a push happen once.
//!
//! A claim is durable before its request leaves, and unique on (automation, occurrence, push, user); within a push a
//! token is claimed once too. Its outcome follows in a log of its own. A claim without an outcome is in flight while
//! its sender lives, and in doubt once the sender is dead: that is never guessed away.
//!
//! Claims are decided in one place (`decide`) from what was read in the same transaction that writes them; the
//! databases only differ in how they read and write. That transaction excludes every other claim (SQLite's write
//! lock, an advisory lock in PostgreSQL), so the check of somebody's limits and the claim are one step.

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
pub use queries::{Recipient, TallyRow};
pub use queue::{Queued, Taken, Waiting, Wanted};
pub use record::{Answer, Claim, Ending, Standing};
