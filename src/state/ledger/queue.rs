//! The queue of a shared send: recipients are entered by one process and claimed by several.

use std::collections::HashSet;

use super::claim::first_of_each;
use super::decide::{Counted, Guard};
use super::ids::{TokenHash, UserKey};
use super::push::{LedgerPush, Sender};
use super::record::Claim;
use crate::error::Result;
use crate::state::leases::lost;
use crate::state::store::{Backend, Store};
use crate::state::value::params;

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

/// A recipient who waits in the queue, as a process sees it that is about to look their token up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The number of their claim.
    pub claim: i64,
    /// Who.
    pub user: UserKey,
    /// The hash of the token with which they were entered.
    pub token: Option<TokenHash>,
}

/// A recipient whose token is known, and who is to be taken out of the queue.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Who.
    pub user: UserKey,
    /// The token that the message goes to, in place of the one they were entered with; `None` leaves that.
    pub token: Option<TokenHash>,
}

/// Somebody taken out of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// To record the outcome by.
    pub claim: Claim,
    /// Who.
    pub user: UserKey,
    /// As it was entered, or as it was wanted. If it is neither, the token that was wanted is another recipient's.
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

    /// Claims those of `wanted` who still wait in the queue, in one durable transaction.
    pub async fn take_these(
        &self,
        push: &LedgerPush,
        sender: &Sender,
        wanted: Vec<Wanted>,
        guard: &Guard,
    ) -> Result<Vec<Taken>> {
        let group = self.group(push, sender, Vec::new(), guard).await?;
        let mut wanted = first_of_each(wanted, |one| &one.user);
        let mut tokens = HashSet::new();
        for one in &mut wanted {
            // A token is claimed once within a push: the second recipient keeps the one they have.
            one.token = one.token.filter(|token| tokens.insert(*token));
        }
        let taken = match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.take_these(group, wanted).await?,
            Backend::Postgres(postgres) => postgres.take_these(&group, &wanted).await?,
        };
        taken.ok_or_else(lost)
    }

    /// Returns recipients who wait, from the end of the queue on: at most `limit` before claim number `before`. Of every
    /// `of` claims in a row only one belongs to a part, so that processes with different parts want different recipients.
    pub async fn waiting(
        &self,
        push: &LedgerPush,
        before: i64,
        limit: u32,
        (part, of): (u32, u32),
    ) -> Result<Vec<Waiting>> {
        let sql = "SELECT c.id, c.user_key, c.token_hash FROM pushctl.claims c
                   WHERE c.push = $1 AND c.sender IS NULL AND c.id < $2 AND c.id % $3 = $4
                   ORDER BY c.id DESC LIMIT $5";
        let values = params![push.id, before, of.max(1), part, limit];
        let rows = self.query(sql, values).await?;
        rows.iter()
            .map(|row| {
                let token = row.opt_blob(2)?;
                Ok(Waiting {
                    claim: row.int(0)?,
                    user: UserKey::from_bytes(&row.blob(1)?),
                    token: token
                        .map(|bytes| TokenHash::from_bytes(&bytes))
                        .transpose()?,
                })
            })
            .collect()
    }

    /// The place of a sender among the living senders of a run, from 0, and how many there are.
    pub async fn place_among_senders(&self, run: &str, sender: &Sender) -> Result<(u32, u32)> {
        let living = self.living_senders().await?;
        let sql = "SELECT id FROM pushctl.senders WHERE run = $1 ORDER BY id";
        let (mut place, mut count) = (0, 0);
        for row in self.query(sql, params![run]).await? {
            let id = row.int(0)?;
            // One who asks lives, even if its lease has just ended.
            if id == sender.id || living.contains_key(&id) {
                if id < sender.id {
                    place += 1;
                }
                count += 1;
            }
        }
        Ok((place, count.max(1)))
    }

    /// Whether a lease has a holder that is not known to be dead.
    pub async fn is_held(&self, lease: &str) -> Result<bool> {
        let held = self.lease(lease).await?;
        Ok(held.is_some_and(|held| !held.holder.is_known_dead()))
    }
}
