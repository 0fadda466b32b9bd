//! A push of an occurrence, for which recipients are claimed, and a sender, which claims them.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

use crate::error::{Error, ErrorKind, Result};
use crate::expiry::Expiry;
use crate::state::leases::{Lease, Taking};
use crate::state::process_id::ProcessId;
use crate::state::store::Store;
use crate::state::value::Statement;
use crate::state::value::{Row, params};

/// A push to open: unique by automation, occurrence and number.
#[derive(Debug, Clone)]
pub struct NewPush {
    /// The automation's name, or a generated name for sends without an automation.
    pub automation: String,
    /// The occurrence's instant as text.
    pub occurrence: String,
    /// The number among the occurrence's pushes, from 1.
    pub number: u32,
    /// The run that opens it.
    pub run: String,
    /// 1 to 5.
    pub layer: u32,
    /// The history that records accepted pushes.
    pub recording: Recording,
    /// The templates, before rendering.
    pub words: Words,
    /// The audience's name for the history.
    pub audience: Option<String>,
}

/// The texts of a push.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    pub title: String,
    pub body: String,
    /// The link that a tap opens.
    pub deep_link: Option<String>,
}

/// The history that records accepted pushes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// None, and the pushes count for no limit: cadence is off, or it is a dry run.
    Nowhere,
    /// A remote history, by way of the outbox.
    Elsewhere,
    /// The store's own history.
    Here,
}

/// A recorded push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerPush {
    /// Its number in the ledger.
    pub(in crate::state) id: i64,
    /// A number below those of the push's claims.
    pub(in crate::state) first_claim: i64,
    pub automation: String,
    pub occurrence: String,
    pub number: u32,
    /// The run that opened it.
    pub run: String,
    pub layer: u32,
    pub recording: Recording,
    /// The templates; a resume compares them with its own.
    pub words: Words,
    pub audience: Option<String>,
    pub opened_at: Timestamp,
}

/// A process that sends for a run. While it lives its claims are in flight; after its death they are in doubt.
#[derive(Debug)]
pub struct Sender {
    pub(in crate::state) id: i64,
    lease: Lease,
    stamp: AtomicI64,
}

macro_rules! push_columns {
    () => {
        "p.id, p.first_claim, p.automation, p.occurrence, p.number, p.run, p.layer, p.recording,
         p.title, p.body, p.deep_link, p.audience, p.opened_at"
    };
}

impl Store {
    /// Opens a push, or returns it as it was opened before, possibly by another run.
    pub async fn open_push(&self, new: &NewPush) -> Result<LedgerPush> {
        let sql = "INSERT INTO pushctl.pushes
                       (automation, occurrence, number, run, layer, recording, title, body, deep_link, audience, opened_at, first_claim)
                   SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, coalesce(max(id), 0) FROM pushctl.claims
                   WHERE true
                   ON CONFLICT DO NOTHING";
        let values = params![
            &new.automation,
            &new.occurrence,
            new.number,
            &new.run,
            new.layer,
            new.recording.number(),
            &new.words.title,
            &new.words.body,
            new.words.deep_link.as_deref(),
            new.audience.as_deref(),
            self.now()
        ];
        self.execute(sql, values).await?;
        let opened = self.pushes(&new.automation, &new.occurrence).await?;
        let mut numbered = opened.into_iter().filter(|push| push.number == new.number);
        numbered.next().ok_or_else(|| {
            Error::new(
                ErrorKind::Bug,
                "the ledger lacks a push that was just opened",
            )
        })
    }

    /// Returns the pushes of an occurrence, by number.
    pub async fn pushes(&self, automation: &str, occurrence: &str) -> Result<Vec<LedgerPush>> {
        let sql = concat!(
            "SELECT ",
            push_columns!(),
            " FROM pushctl.pushes p WHERE p.automation = $1 AND p.occurrence = $2 ORDER BY p.number"
        );
        let rows = self.query(sql, params![automation, occurrence]).await?;
        rows.iter().map(push).collect()
    }

    /// Returns the pushes of an automation with a number that live runs opened from an instant on, the latest last.
    pub async fn live_pushes_since(
        &self,
        automation: &str,
        number: u32,
        since: Timestamp,
    ) -> Result<Vec<LedgerPush>> {
        let sql = concat!(
            "SELECT ",
            push_columns!(),
            " FROM pushctl.pushes p JOIN pushctl.runs r ON r.id = p.run AND r.mode = 'live-send'
             WHERE p.automation = $1 AND p.number = $2 AND p.opened_at >= $3 ORDER BY p.id"
        );
        let rows = self.query(sql, params![automation, number, since]).await?;
        rows.iter().map(push).collect()
    }

    /// Registers this process as a sender of a run.
    pub async fn enlist(&self, run: &str, holder: &ProcessId) -> Result<Sender> {
        let sql =
            "INSERT INTO pushctl.senders (run, holder, begun_at) VALUES ($1, $2, $3) RETURNING id";
        let rows = self
            .returning(sql, params![run, &holder.to_text(), self.now()])
            .await?;
        let id = rows.first().map_or(Ok(0), |row| row.int(0))?;
        match self.take_lease(&lease_name(id), holder).await? {
            Taking::Taken(lease) => Ok(Sender {
                id,
                lease,
                stamp: AtomicI64::new(0),
            }),
            Taking::Held(held) => Err(held.error()),
        }
    }
}

impl Sender {
    /// Returns its number, which is higher than that of every sender registered before.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Ends the sender. Its claims without an outcome are in doubt from now on.
    pub async fn leave(self) -> Result<()> {
        self.lease.release().await
    }

    /// Returns when its lease expires, for the code that sends messages.
    pub fn expiry(&self) -> &Expiry {
        self.lease.expiry()
    }

    /// See [`Lease::renewal`].
    pub(super) fn renewal(&self) -> Statement {
        self.lease.renewal()
    }

    /// Returns whether other processes count it as living, by a query to the store.
    pub async fn is_alive(&self, store: &Store) -> Result<bool> {
        let renewed = store.transact(vec![self.renewal()]).await?;
        Ok(renewed != [0])
    }

    /// Waits until other processes certainly count it as living. Fails if one has declared it dead: it must not claim
    /// more.
    pub(super) async fn hold(&self) -> Result<()> {
        self.lease.hold().await
    }

    /// Returns the time of a group of claims, in microseconds; no two groups of a sender have the same.
    pub(super) fn stamp(&self, now: Timestamp) -> i64 {
        let now = now.as_microsecond();
        let last = self
            .stamp
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(now.max(last + 1))
            });
        now.max(last.unwrap_or_default() + 1)
    }
}

impl Recording {
    fn number(self) -> i64 {
        match self {
            Self::Nowhere => 0,
            Self::Elsewhere => 1,
            Self::Here => 2,
        }
    }

    fn from_number(number: i64) -> Self {
        match number {
            1 => Self::Elsewhere,
            2 => Self::Here,
            _ => Self::Nowhere,
        }
    }
}

/// Returns the name of the lease that shows whether a sender lives.
pub(super) fn lease_name(sender: i64) -> String {
    format!("{SENDER_LEASES}{sender}")
}

/// Returns a row unless the sender was declared dead. Only with it may a sender claim, and only then are its claims
/// certainly its own: the transaction that deletes the lease also records the sender's claims as in doubt.
pub(super) const IS_ALIVE: &str = "SELECT 1 FROM pushctl.leases WHERE name = $1";

/// The prefix of those names.
pub(super) const SENDER_LEASES: &str = "sender/";

fn push(row: &Row) -> Result<LedgerPush> {
    Ok(LedgerPush {
        id: row.int(0)?,
        first_claim: row.int(1)?,
        automation: row.text(2)?,
        occurrence: row.text(3)?,
        number: row.small(4)?,
        run: row.text(5)?,
        layer: row.small(6)?,
        recording: Recording::from_number(row.int(7)?),
        words: Words {
            title: row.text(8)?,
            body: row.text(9)?,
            deep_link: row.opt_text(10)?,
        },
        audience: row.opt_text(11)?,
        opened_at: row.time(12)?,
    })
}
