//! The queue of a shared send: one process enters recipients, and several claim them.

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

/// A recipient to enter into the queue.
#[derive(Debug, Clone)]
pub struct Queued {
    pub user: UserKey,
    /// The hash of the token, if it is known already.
    pub token: Option<TokenHash>,
    /// The pushes in a remote history that count for the guard's limits.
    pub counted: Counted,
    /// The data of the message. It must not contain a token: those are never stored in clear.
    pub payload: Vec<u8>,
}

/// A recipient in the queue, for a process that is about to look up the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The claim's number.
    pub claim: i64,
    pub user: UserKey,
    /// The hash of the token with which the recipient was entered.
    pub token: Option<TokenHash>,
}

/// A recipient to take out of the queue, with a token that was looked up.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub user: UserKey,
    /// The token to use in place of the one in the queue; `None` keeps that one.
    pub token: Option<TokenHash>,
}

/// A recipient taken out of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// The claim, by which the outcome is recorded.
    pub claim: Claim,
    pub user: UserKey,
    /// The token as entered or as requested. If it is neither, the requested token belongs to another recipient.
    pub token: Option<TokenHash>,
    /// The data of the message, as entered.
    pub payload: Vec<u8>,
    /// The index of the exceeded limit: record [`Ending::Skipped`](super::Ending::Skipped) instead of sending.
    pub over: Option<usize>,
}

impl Store {
    /// Enters a group. Recipients in the ledger for this push already are not changed.
    pub async fn enqueue(&self, push: &LedgerPush, recipients: Vec<Queued>) -> Result<()> {
        let now = self.now().as_microsecond();
        let recipients = first_of_each(recipients, |one| &one.user);
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.enqueue(push.id, now, recipients).await,
            Backend::Postgres(postgres) => postgres.enqueue(push.id, now, &recipients).await,
        }
    }

    /// Claims the next recipients of the queue, at most `most`, in one durable transaction. Returns none if the queue
    /// is empty (claims of other senders may still come back through [`Store::requeue`]).
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

    /// Claims those of `wanted` that still wait in the queue, in one durable transaction.
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
            // A token is claimed once within a push: the second recipient keeps the token in the queue.
            one.token = one.token.filter(|token| tokens.insert(*token));
        }
        let taken = match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.take_these(group, wanted).await?,
            Backend::Postgres(postgres) => postgres.take_these(&group, &wanted).await?,
        };
        taken.ok_or_else(lost)
    }

    /// Returns waiting recipients, from the end of the queue on: at most `limit` before claim number `before`. A part
    /// contains one of every `of` consecutive claims, so processes with different parts look up different recipients.
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

    /// Returns the index of a sender among the living senders of a run, and their number.
    pub async fn place_among_senders(&self, run: &str, sender: &Sender) -> Result<(u32, u32)> {
        let living = self.living_senders().await?;
        let sql = "SELECT id FROM pushctl.senders WHERE run = $1 ORDER BY id";
        let (mut place, mut count) = (0, 0);
        for row in self.query(sql, params![run]).await? {
            let id = row.int(0)?;
            // The calling sender lives, even if its lease has just expired.
            if id == sender.id || living.contains_key(&id) {
                if id < sender.id {
                    place += 1;
                }
                count += 1;
            }
        }
        Ok((place, count.max(1)))
    }

    /// Returns whether a lease has a holder that is not known to be dead.
    pub async fn is_held(&self, lease: &str) -> Result<bool> {
        let held = self.lease(lease).await?;
        Ok(held.is_some_and(|held| !held.holder.is_known_dead()))
    }
}
