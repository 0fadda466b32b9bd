//! What is claimed: a push of an occurrence. And who claims: a sender.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

use crate::error::{Error, ErrorKind, Result};
use crate::expiry::Expiry;
use crate::state::leases::{Lease, Taking};
use crate::state::process_id::ProcessId;
use crate::state::store::Store;
use crate::state::value::Statement;
use crate::state::value::{Row, params};

/// A push that is to be sent: unique by automation, occurrence and number.
#[derive(Debug, Clone)]
pub struct NewPush {
    /// The automation's name, or a name for sends without one.
    pub automation: String,
    /// The instant it is for, as text.
    pub occurrence: String,
    /// Its place among the occurrence's pushes, from 1.
    pub number: u32,
    /// The run that opens it.
    pub run: String,
    /// 1 to 5.
    pub layer: u32,
    /// Where an accepted push goes down in history.
    pub recording: Recording,
    /// The templates, before rendering.
    pub words: Words,
    /// What the history says about whom it was for.
    pub audience: Option<String>,
}

/// The words of a push.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// The first line.
    pub title: String,
    /// The text.
    pub body: String,
    /// Where a tap leads.
    pub deep_link: Option<String>,
}

/// Where accepted pushes go down in history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recording {
    /// Nowhere, and they count for nobody's limits: cadence is off, or nothing is really sent.
    Nowhere,
    /// In a database or service elsewhere, by way of the outbox.
    Elsewhere,
    /// In this store.
    Here,
}

/// A push as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerPush {
    /// Its number in the ledger.
    pub(in crate::state) id: i64,
    /// Its claims have higher numbers.
    pub(in crate::state) first_claim: i64,
    /// See [`NewPush::automation`].
    pub automation: String,
    /// See [`NewPush::occurrence`].
    pub occurrence: String,
    /// See [`NewPush::number`].
    pub number: u32,
    /// The run that opened it.
    pub run: String,
    /// See [`NewPush::layer`].
    pub layer: u32,
    /// See [`NewPush::recording`].
    pub recording: Recording,
    /// See [`NewPush::words`]. To be compared on the way back from a crash.
    pub words: Words,
    /// See [`NewPush::audience`].
    pub audience: Option<String>,
    /// When it was opened.
    pub opened_at: Timestamp,
}

/// One process at work on a run's claims. While it lives they are in flight; after its death, in doubt.
#[derive(Debug)]
pub struct Sender {
    pub(super) id: i64,
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
    /// Opens a push, or finds it as it was opened before, be it by another run.
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
        numbered
            .next()
            .ok_or_else(|| Error::new(ErrorKind::Bug, "a push was opened and cannot be found"))
    }

    /// The pushes of an occurrence, by number.
    pub async fn pushes(&self, automation: &str, occurrence: &str) -> Result<Vec<LedgerPush>> {
        let sql = concat!(
            "SELECT ",
            push_columns!(),
            " FROM pushctl.pushes p WHERE p.automation = $1 AND p.occurrence = $2 ORDER BY p.number"
        );
        let rows = self.query(sql, params![automation, occurrence]).await?;
        rows.iter().map(push).collect()
    }

    /// Enrols this process as a sender of a run.
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
    /// Its number: higher than that of every sender that was enrolled before.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Ends it in order. Claims without an outcome are in doubt from now on.
    pub async fn leave(self) -> Result<()> {
        self.lease.release().await
    }

    /// When it may send no more, unless its lease is renewed: for whatever puts messages on the wire.
    pub fn expiry(&self) -> &Expiry {
        self.lease.expiry()
    }

    /// See [`Lease::renewal`].
    pub(super) fn renewal(&self) -> Statement {
        self.lease.renewal()
    }

    /// Whether others count it as living, asked of the store itself.
    pub async fn is_alive(&self, store: &Store) -> Result<bool> {
        let renewed = store.transact(vec![self.renewal()]).await?;
        Ok(renewed != [0])
    }

    /// Waits until it is certain that others count it as living; an error if one has declared it dead: no more claims.
    pub(super) async fn hold(&self) -> Result<()> {
        self.lease.hold().await
    }

    /// The time of a group of claims, in microseconds; no two groups of a sender have the same.
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

/// The lease that shows whether a sender lives.
pub(super) fn lease_name(sender: i64) -> String {
    format!("{SENDER_LEASES}{sender}")
}

/// True while a sender was not declared dead. Only then may it claim, and only then are its claims certainly its own: what
/// it left is taken up by others only after its lease is gone, which one transaction deletes with recording the doubt.
pub(super) const IS_ALIVE: &str = "SELECT 1 FROM pushctl.leases WHERE name = $1";

/// What those names begin with.
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
