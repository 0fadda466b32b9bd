//! The queue of a shared send: recipients are entered by one process and claimed by several.

use super::claim::{Claim, first_of_each};
use super::decide::{Counted, Guard};
use super::ids::{TokenHash, UserKey};
use super::push::{LedgerPush, Sender};
use crate::error::Result;
use crate::state::leases::lost;
use crate::state::store::{Backend, Store};

/// Somebody who waits for a sender.
#[derive(Debug, Clone)]
pub struct Queued {
    /// Who.
    pub user: UserKey,
    /// The hash of their token, where it is known already.
    pub token: Option<TokenHash>,
    /// What a history elsewhere counts for the guard's limits.
    pub counted: Counted,
    /// What the message is made from. Never a token: nothing of the kind is stored in clear.
    pub payload: Vec<u8>,
}

/// Somebody taken out of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// To record the outcome by.
    pub claim: Claim,
    /// Who.
    pub user: UserKey,
    /// As it was entered.
    pub token: Option<TokenHash>,
    /// As it was entered.
    pub payload: Vec<u8>,
    /// The limit of the guard that forbids it: record [`Ending::Skipped`](super::Ending::Skipped) instead of sending.
    pub over: Option<usize>,
}

impl Store {
    /// Enters a group; who is in the ledger for this push already is left as they are.
    pub async fn enqueue(&self, push: &LedgerPush, recipients: Vec<Queued>) -> Result<()> {
        let now = self.now().as_microsecond();
        let recipients = first_of_each(recipients, |one| &one.user);
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.enqueue(push.id, now, recipients).await,
            Backend::Postgres(postgres) => postgres.enqueue(push.id, now, &recipients).await,
        }
    }

    /// Claims the next recipients of the queue, at most `most`, in one durable transaction. None: the queue is empty
    /// (what other senders took may still come back through [`Store::requeue`]).
    pub async fn take(
        &self,
        push: &LedgerPush,
        sender: &Sender,
        most: u32,
        guard: &Guard,
    ) -> Result<Vec<Taken>> {
        let group = self.group(push, sender, Vec::new(), guard).await?;
        let taken = match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.take(group, most).await?,
            Backend::Postgres(postgres) => postgres.take(&group, most).await?,
        };
        taken.ok_or_else(lost)
    }
}
