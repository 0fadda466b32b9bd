//! The one interface to both databases.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::postgres::PostgresStore;
use super::sqlite::Sqlite;
use super::value::{Row, Statement, Value};
use crate::clock::Clock;
use crate::error::Result;
use crate::postgres::Address;

/// Where state is kept.
#[derive(Debug, Clone)]
pub enum Location {
    /// One SQLite file; it and its directory are made on first use.
    Embedded(PathBuf),
    /// A PostgreSQL, with the right to make the schema `pushctl`, or to use it.
    Postgres(Box<Address>),
}

/// After this long without a renewal a holder counts as dead, unless the store was told another time. Renewed three times
/// as often.
pub const LEASE_TTL: Duration = Duration::from_secs(30);

/// A handle to the state store; clones share it.
#[derive(Clone)]
pub struct Store {
    pub(super) backend: Arc<Backend>,
    clock: Arc<dyn Clock>,
    lease: Duration,
}

pub(super) enum Backend {
    Sqlite(Sqlite),
    Postgres(Box<PostgresStore>),
}

impl Store {
    /// Opens the store ready for use. An empty one is migrated; one that is behind is an error that says what to run.
    pub async fn open(location: &Location, clock: Arc<dyn Clock>) -> Result<Self> {
        let store = Self::open_as_it_is(location, clock).await?;
        match store.ready().await {
            Ok(()) => Ok(store),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    /// Opens the store without looking at its migrations: for `state migrate`, `status` and `rollback`.
    pub async fn open_as_it_is(location: &Location, clock: Arc<dyn Clock>) -> Result<Self> {
        let backend = match location {
            Location::Embedded(path) => Backend::Sqlite(Sqlite::open(path.clone()).await?),
            Location::Postgres(address) => {
                Backend::Postgres(Box::new(PostgresStore::open((**address).clone()).await?))
            }
        };
        Ok(Self {
            backend: Arc::new(backend),
            clock,
            lease: LEASE_TTL,
        })
    }

    /// The same store, whose leases last for `ttl` without a renewal.
    #[must_use]
    pub fn with_leases_of(self, ttl: Duration) -> Self {
        Self { lease: ttl, ..self }
    }

    /// How long a lease lasts without a renewal.
    pub(super) fn lease_ttl(&self) -> Duration {
        self.lease
    }

    /// Closes a network connection, if there is one; the next use opens it again. Moves the log of an embedded store into
    /// its file. For long waits.
    pub async fn rest(&self) {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.rest().await,
            Backend::Postgres(postgres) => postgres.close().await,
        }
    }

    /// Leaves an embedded store whole in its one file; for the end of a command. No clone is of any use afterwards.
    pub async fn close(&self) {
        if let Backend::Sqlite(sqlite) = &*self.backend {
            sqlite.close().await;
        }
    }

    /// The present instant on the store's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The present instant in microseconds, as an expression of SQL, on the one clock that all who use the store share:
    /// a PostgreSQL server's own, read while the statement runs; with SQLite, which serves one machine, the machine's.
    pub(super) fn now_in_sql(&self) -> String {
        match &*self.backend {
            Backend::Sqlite(_) => self.now().as_microsecond().to_string(),
            Backend::Postgres(_) => {
                "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)".to_owned()
            }
        }
    }

    /// Reads.
    pub(super) async fn query(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.query(sql, params).await,
            Backend::Postgres(postgres) => postgres.query(sql, params).await,
        }
    }

    /// Writes one statement, durably; the rows that it returns.
    pub(super) async fn returning(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.returning(sql, params).await,
            Backend::Postgres(postgres) => postgres.returning(sql, params).await,
        }
    }

    /// How many rows were changed.
    pub(super) async fn execute(&self, sql: &'static str, params: Vec<Value>) -> Result<u64> {
        let changed = self.transact(vec![(sql.into(), params)]).await?;
        Ok(changed.first().copied().unwrap_or(0))
    }

    /// All or none, durably; how many rows each statement changed.
    pub(super) async fn transact(&self, statements: Vec<Statement>) -> Result<Vec<u64>> {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.transact(statements).await,
            Backend::Postgres(postgres) => postgres.transact(statements).await,
        }
    }

    /// A script of several statements without parameters, in one transaction.
    pub(super) async fn script(&self, text: String) -> Result<()> {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.script(text).await,
            Backend::Postgres(postgres) => postgres.script(text).await,
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &*self.backend {
            Backend::Sqlite(_) => "embedded",
            Backend::Postgres(_) => "postgres",
        };
        write!(out, "Store({kind})")
    }
}
