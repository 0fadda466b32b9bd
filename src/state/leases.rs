//! Leases: at most one living holder of a name. Renewed while the holder lives; taken over when it stopped renewing,
//! or at once when it is known to be dead.
//!
//! Two clocks, which are never compared. When a lease was taken, and whether it has ended, is decided on the store's clock
//! (see [`Store::now_in_sql`]), so a machine whose own clock is wrong neither loses a lease nor takes one too early. For how
//! long the holder may be certain is measured on the holder's monotonic clock, from before the renewal was asked for.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::process_id::ProcessId;
use super::store::{LEASE_TTL, Store};
use super::value::Statement;
use super::value::{Row, params};
use crate::clock::since_boot;
use crate::error::{Error, ErrorKind, Result};
use crate::expiry::Expiry;

/// What came of asking for a lease.
#[derive(Debug)]
pub enum Taking {
    /// It is ours until it is released or lost.
    Taken(Lease),
    /// Somebody else has it.
    Held(HeldBy),
}

/// A lease and its living holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBy {
    /// What is held.
    pub name: String,
    /// By whom.
    pub holder: ProcessId,
    /// Since when.
    pub since: Timestamp,
    /// When it ends unless it is renewed.
    pub until: Timestamp,
    pub(super) fence: i64,
}

/// A lease that is ours. Dropped without [`Lease::release`], it is given back soon after, if the process lives.
pub struct Lease {
    store: Store,
    name: String,
    fence: i64,
    ttl: Duration,
    /// What is known of it, by the renewing task; [`Expiry`] is the same for those who look often.
    state: watch::Receiver<LeaseState>,
    expiry: Expiry,
    renewal: JoinHandle<()>,
    released: bool,
}

/// What we know about a lease of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeaseState {
    /// It cannot have been taken over before this time since boot.
    CertainUntil(Duration),
    /// This process stood still for longer than that. It may be ours again; what was begun under it must not go on.
    Lapsed,
    /// Another process has taken it over.
    Lost,
}

impl Store {
    /// Takes the lease `name`, if nobody alive has it.
    pub async fn take_lease(&self, name: &str, holder: &ProcessId) -> Result<Taking> {
        self.take_lease_for(name, holder, self.lease_ttl()).await
    }

    /// As [`Store::take_lease`], with another time after which a silent holder counts as dead.
    pub async fn take_lease_for(
        &self,
        name: &str,
        holder: &ProcessId,
        ttl: Duration,
    ) -> Result<Taking> {
        let fence = uuid::Uuid::new_v4().as_u64_pair().0.cast_signed();
        let mut dead = fence;
        loop {
            let asked = since_boot();
            if self.try_take(name, holder, ttl, fence, dead).await? {
                return Ok(Taking::Taken(Lease::begin(self, name, fence, ttl, asked)));
            }
            match self.lease(name).await? {
                Some(held) if held.holder.is_known_dead() && held.fence != dead => {
                    dead = held.fence;
                }
                Some(held) => return Ok(Taking::Held(held)),
                // Released in between.
                None => {}
            }
        }
    }

    /// Who has the lease `name`, if it has not ended.
    pub async fn lease(&self, name: &str) -> Result<Option<HeldBy>> {
        Ok(self
            .leases(name)
            .await?
            .into_iter()
            .find(|held| held.name == name))
    }

    /// The living leases whose names begin with `prefix`.
    pub async fn leases(&self, prefix: &str) -> Result<Vec<HeldBy>> {
        let sql = format!(
            "SELECT name, holder, taken_at, expires_at, fence FROM pushctl.leases
             WHERE substr(name, 1, CAST($1 AS INTEGER)) = $2 AND expires_at > {} ORDER BY name",
            self.now_in_sql()
        );
        let length = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
        let rows = self.query(&sql, params![length, prefix]).await?;
        rows.iter().map(held_by).collect()
    }

    /// One statement: two processes cannot both take it. `dead` is the fence of a holder known to be dead.
    async fn try_take(
        &self,
        name: &str,
        holder: &ProcessId,
        ttl: Duration,
        fence: i64,
        dead: i64,
    ) -> Result<bool> {
        let now = self.now_in_sql();
        let sql = format!(
            "INSERT INTO pushctl.leases AS held (name, holder, fence, taken_at, expires_at)
             VALUES ($1, $2, $3, {now}, {now} + $4)
             ON CONFLICT (name) DO UPDATE
                 SET holder = excluded.holder, fence = excluded.fence,
                     taken_at = excluded.taken_at, expires_at = excluded.expires_at
                 WHERE held.expires_at <= excluded.taken_at OR held.fence = excluded.fence OR held.fence = $5
             RETURNING fence"
        );
        let values = params![name, &holder.to_text(), fence, micros(ttl), dead];
        Ok(!self.returning(&sql, values).await?.is_empty())
    }
}

impl Lease {
    /// `asked` is the time since boot before it was asked for.
    fn begin(store: &Store, name: &str, fence: i64, ttl: Duration, asked: Duration) -> Self {
        let (changing, state) = watch::channel(LeaseState::CertainUntil(asked + ttl));
        let expiry = Expiry::new(asked, ttl);
        let known = Known {
            state: changing,
            expiry: expiry.clone(),
        };
        let held = (store.clone(), name.to_owned(), fence);
        let renewal = tokio::spawn(renew(held, ttl, asked, known));
        Self {
            store: store.clone(),
            name: name.to_owned(),
            fence,
            ttl,
            state,
            expiry,
            renewal,
            released: false,
        }
    }

    /// When it ends, as far as this process can be certain.
    pub fn expiry(&self) -> &Expiry {
        &self.expiry
    }

    /// Renews it, as the first statement of a transaction; changes no row once another process has taken it over. The
    /// row stays locked until the transaction ends, so that no other can take it over meanwhile.
    pub(super) fn renewal(&self) -> Statement {
        renewal(&self.store, &self.name, self.fence, self.ttl)
    }

    /// What is held.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns once it is certain that the lease is ours, which is at once unless the store was out of reach for longer
    /// than the lease lasts. An error if it was lost, or this process stood still for so long: it cannot know what it missed.
    /// To be awaited before work is begun under it.
    pub async fn hold(&self) -> Result<()> {
        let mut state = self.state.clone();
        let certain = state.wait_for(|state| match state {
            LeaseState::CertainUntil(end) => since_boot() < *end,
            LeaseState::Lapsed | LeaseState::Lost => true,
        });
        match certain.await.map(|state| *state) {
            Ok(LeaseState::CertainUntil(_)) => Ok(()),
            Ok(LeaseState::Lapsed) => Err(Error::new(
                ErrorKind::Locked,
                "this process stood still for longer than its lease lasts, so another may have gone on",
            )
            .hint("`pushctl status` shows whether another process goes on with it")),
            Ok(LeaseState::Lost) | Err(_) => Err(lost()),
        }
    }

    /// Whether somebody else has taken it over.
    pub fn is_lost(&self) -> bool {
        *self.state.borrow() == LeaseState::Lost
    }

    /// Returns when somebody else has taken it over; never while it is kept.
    pub async fn lost(&self) {
        let mut state = self.state.clone();
        if state
            .wait_for(|state| *state == LeaseState::Lost)
            .await
            .is_err()
        {
            std::future::pending::<()>().await;
        }
    }

    /// Gives it back.
    pub async fn release(mut self) -> Result<()> {
        self.released = true;
        self.renewal.abort();
        give_back(&self.store, &self.name, self.fence).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.renewal.abort();
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.released {
            let (store, name, fence) = (
                self.store.clone(),
                std::mem::take(&mut self.name),
                self.fence,
            );
            runtime.spawn(async move { give_back(&store, &name, fence).await });
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Lease({})", self.name)
    }
}

impl HeldBy {
    /// The error of whoever wanted it too.
    pub fn error(&self) -> Error {
        Error::new(
            ErrorKind::Locked,
            format!(
                "{} is held by {} since {}",
                self.name, self.holder, self.since
            ),
        )
        .hint(format!(
            "If that process is dead, it is taken over {} s after its last sign of life",
            LEASE_TTL.as_secs()
        ))
    }
}

/// Where the renewing task says what it knows.
struct Known {
    state: watch::Sender<LeaseState>,
    expiry: Expiry,
}

/// The error of a process that finds its lease gone.
pub(super) fn lost() -> Error {
    Error::new(
        ErrorKind::Locked,
        "another process took this over: this one had not renewed its lease in time, because it stood still or could \
         not reach the state store",
    )
    .hint("`pushctl status` shows who goes on with it")
}

fn renewal(store: &Store, name: &str, fence: i64, ttl: Duration) -> Statement {
    // A SQLite store reads its clock here, a PostgreSQL one when the statement runs.
    let sql = format!(
        "UPDATE pushctl.leases SET expires_at = {} + $1 WHERE name = $2 AND fence = $3",
        store.now_in_sql()
    );
    (sql.into(), params![micros(ttl), name, fence])
}

impl Known {
    /// After each wait: had the process stood still until the lease ended, it must not come back to life.
    fn woke(&self, stood_still: bool) {
        if stood_still && self.expiry.is_past() {
            self.expiry.revoke();
            self.state.send_replace(LeaseState::Lapsed);
        }
    }

    fn renewed(&self, end: Duration) {
        self.expiry.renew(end);
        self.state.send_if_modified(|state| {
            let goes_on = matches!(state, LeaseState::CertainUntil(_));
            if goes_on {
                *state = LeaseState::CertainUntil(end);
            }
            goes_on
        });
    }
}

/// Awaits `work`; whether the process stood still meanwhile for half the time a lease lasts. A store that is out of reach
/// does not look like that, and a send outlives it.
async fn watched<T>(work: impl Future<Output = T>, ttl: Duration) -> (T, bool) {
    let mut work = std::pin::pin!(work);
    let mut stood_still = false;
    let mut last = since_boot();
    loop {
        let done = tokio::select! {
            value = &mut work => Some(value),
            () = sleep(ttl / 6) => None,
        };
        let now = since_boot();
        stood_still |= now.saturating_sub(last) > ttl / 2;
        last = now;
        if let Some(value) = done {
            return (value, stood_still);
        }
    }
}

/// Extends the lease, also when it has ended meanwhile, until another process took it over.
async fn renew(
    (store, name, fence): (Store, String, i64),
    ttl: Duration,
    mut asked: Duration,
    known: Known,
) {
    loop {
        // After a slow answer the next one is due at once.
        let rest = (asked + ttl / 3).saturating_sub(since_boot());
        let ((), stood_still) = watched(sleep(rest), ttl).await;
        known.woke(stood_still);
        asked = since_boot();
        let statement = renewal(&store, &name, fence, ttl);
        let (renewed, stood_still) = watched(store.transact(vec![statement]), ttl).await;
        known.woke(stood_still);
        match renewed.as_deref() {
            Ok([0]) => {
                known.expiry.revoke();
                known.state.send_replace(LeaseState::Lost);
                return;
            }
            Ok(_) => known.renewed(asked + ttl),
            Err(error) => tracing::debug!("cannot renew the lease {name}: {error:#}"),
        }
    }
}

fn micros(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX)
}

async fn give_back(store: &Store, name: &str, fence: i64) -> Result<()> {
    let sql = "DELETE FROM pushctl.leases WHERE name = $1 AND fence = $2";
    store.execute(sql, params![name, fence]).await.map(drop)
}

fn held_by(row: &Row) -> Result<HeldBy> {
    Ok(HeldBy {
        name: row.text(0)?,
        holder: ProcessId::from_text(&row.text(1)?),
        since: row.time(2)?,
        until: row.time(3)?,
        fence: row.int(4)?,
    })
}
