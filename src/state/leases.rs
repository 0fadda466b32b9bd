//! Leases: a name has at most one living holder. The holder renews its lease while it lives; another process takes it
//! over when it has expired, or at once when the holder is known to be dead.
//!
//! Two clocks are used and never compared. The store's clock (see [`Store::now_in_sql`]) decides when a lease was taken
//! and whether it has expired, so a machine with a wrong clock neither loses a lease nor takes one too early. The
//! holder's monotonic clock, from before each renewal request, decides how long the holder may rely on its lease.

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

/// The result of trying to take a lease.
#[derive(Debug)]
pub enum Taking {
    /// This process holds it until it is released or lost.
    Taken(Lease),
    /// Another process holds it.
    Held(HeldBy),
}

/// A lease and its living holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBy {
    /// The lease's name.
    pub name: String,
    /// The process that holds it.
    pub holder: ProcessId,
    /// When it was taken.
    pub since: Timestamp,
    /// When it expires unless it is renewed.
    pub until: Timestamp,
    pub(super) fence: i64,
}

/// A lease held by this process. If dropped without [`Lease::release`], it is released in the background.
pub struct Lease {
    store: Store,
    name: String,
    fence: i64,
    ttl: Duration,
    /// The state as the renewing task sees it; [`Expiry`] is the same for frequent checks.
    state: watch::Receiver<LeaseState>,
    expiry: Expiry,
    renewal: JoinHandle<()>,
    released: bool,
}

/// The state of a lease, as its holder sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeaseState {
    /// No other process can have taken it over before this time since boot.
    CertainUntil(Duration),
    /// This process was suspended beyond the expiry. A renewal may succeed, but work begun under the lease must not
    /// continue.
    Lapsed,
    /// Another process has taken it over.
    Lost,
}

impl Store {
    /// Takes the lease `name` unless a living process holds it.
    pub async fn take_lease(&self, name: &str, holder: &ProcessId) -> Result<Taking> {
        self.take_lease_for(name, holder, self.lease_ttl()).await
    }

    /// Like [`Store::take_lease`], with another expiry time.
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
                // It was released in between: try again.
                None => {}
            }
        }
    }

    /// Returns the holder of the lease `name`, if it has not expired.
    pub async fn lease(&self, name: &str) -> Result<Option<HeldBy>> {
        Ok(self
            .leases(name)
            .await?
            .into_iter()
            .find(|held| held.name == name))
    }

    /// Returns the unexpired leases whose names begin with `prefix`.
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

    /// Tries to take a lease with one statement, so that two processes cannot both succeed. `dead` is the fence of a
    /// holder known to be dead.
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
    /// `asked` is the time since boot, from before the lease was requested.
    fn begin(store: &Store, name: &str, fence: i64, ttl: Duration, asked: Duration) -> Self {
        let (changing, state) = watch::channel(LeaseState::CertainUntil(asked + ttl));
        let expiry = Expiry::new(asked, ttl);
        let publisher = Publisher {
            state: changing,
            expiry: expiry.clone(),
        };
        let held = (store.clone(), name.to_owned(), fence);
        let renewal = tokio::spawn(renew(held, ttl, asked, publisher));
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

    /// Returns when it expires, as far as this process can be certain.
    pub fn expiry(&self) -> &Expiry {
        &self.expiry
    }

    /// Returns the renewal, as the first statement of a transaction; it changes no row once another process has taken
    /// the lease over. The row stays locked until the transaction ends, so no process can take it over meanwhile.
    pub(super) fn renewal(&self) -> Statement {
        renewal(&self.store, &self.name, self.fence, self.ttl)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Waits until this process certainly holds the lease: at once, unless the store was unreachable for longer than
    /// the lease lasts. Fails if the lease was lost, or if this process was suspended for so long that it cannot know
    /// what it missed. To be called before work is begun under the lease.
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
                "this process was suspended for longer than its lease lasts, so another process may have continued the run",
            )
            .hint("`pushctl status` shows whether another process continues this run")),
            Ok(LeaseState::Lost) | Err(_) => Err(lost()),
        }
    }

    /// Waits until another process has taken it over.
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

    /// Releases the lease.
    pub async fn release(mut self) -> Result<()> {
        self.released = true;
        self.renewal.abort();
        release(&self.store, &self.name, self.fence).await
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
            runtime.spawn(async move { release(&store, &name, fence).await });
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Lease({})", self.name)
    }
}

impl HeldBy {
    /// Returns the error for a process that needs the lease.
    pub fn error(&self) -> Error {
        Error::from_cause(ErrorKind::Locked, self.clone()).hint(format!(
            "wait until that process has ended; if it is dead, its lease expires {} s after its last renewal",
            LEASE_TTL.as_secs()
        ))
    }
}

impl fmt::Display for HeldBy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.replacen('/', " ", 1);
        let (holder, since) = (&self.holder, self.since);
        write!(out, "the {name} is held by {holder} since {since:.0}")
    }
}

impl std::error::Error for HeldBy {}

/// The state that the renewing task publishes.
struct Publisher {
    state: watch::Sender<LeaseState>,
    expiry: Expiry,
}

/// Returns the error for a process whose lease was taken over.
pub(super) fn lost() -> Error {
    Error::new(
        ErrorKind::Locked,
        "another process took over the lease of this one, which had not renewed it in time because it was suspended or could \
         not reach the state store",
    )
    .hint("`pushctl status` shows the process that continues this run")
}

fn renewal(store: &Store, name: &str, fence: i64, ttl: Duration) -> Statement {
    // A SQLite store reads its clock here, a PostgreSQL one when the statement runs.
    let sql = format!(
        "UPDATE pushctl.leases SET expires_at = {} + $1 WHERE name = $2 AND fence = $3",
        store.now_in_sql()
    );
    (sql.into(), params![micros(ttl), name, fence])
}

impl Publisher {
    /// Marks the lease as lapsed if this process was suspended until it expired; called after each wait.
    fn check_suspension(&self, was_suspended: bool) {
        if was_suspended && self.expiry.is_past() {
            self.expiry.revoke();
            self.state.send_replace(LeaseState::Lapsed);
        }
    }

    fn renewed(&self, end: Duration) {
        self.expiry.renew(end);
        self.state.send_if_modified(|state| {
            let is_held = matches!(state, LeaseState::CertainUntil(_));
            if is_held {
                *state = LeaseState::CertainUntil(end);
            }
            is_held
        });
    }
}

/// Awaits `work`. Also returns whether this process was suspended meanwhile for half the time a lease lasts. An
/// unreachable store does not count as that, because a send can continue after it.
async fn watched<T>(work: impl Future<Output = T>, ttl: Duration) -> (T, bool) {
    let mut work = std::pin::pin!(work);
    let mut was_suspended = false;
    let mut last = since_boot();
    loop {
        let done = tokio::select! {
            value = &mut work => Some(value),
            () = sleep(ttl / 6) => None,
        };
        let now = since_boot();
        was_suspended |= now.saturating_sub(last) > ttl / 2;
        last = now;
        if let Some(value) = done {
            return (value, was_suspended);
        }
    }
}

/// Renews the lease, also after it has expired, until another process has taken it over.
async fn renew(
    (store, name, fence): (Store, String, i64),
    ttl: Duration,
    mut asked: Duration,
    publisher: Publisher,
) {
    loop {
        // After a slow answer the next renewal is due at once.
        let rest = (asked + ttl / 3).saturating_sub(since_boot());
        let ((), was_suspended) = watched(sleep(rest), ttl).await;
        publisher.check_suspension(was_suspended);
        asked = since_boot();
        let statement = renewal(&store, &name, fence, ttl);
        let (renewed, was_suspended) = watched(store.transact(vec![statement]), ttl).await;
        publisher.check_suspension(was_suspended);
        match renewed.as_deref() {
            Ok([0]) => {
                publisher.expiry.revoke();
                publisher.state.send_replace(LeaseState::Lost);
                return;
            }
            Ok(_) => publisher.renewed(asked + ttl),
            Err(error) => tracing::debug!("cannot renew the lease {name}: {error:#}"),
        }
    }
}

fn micros(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX)
}

async fn release(store: &Store, name: &str, fence: i64) -> Result<()> {
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
