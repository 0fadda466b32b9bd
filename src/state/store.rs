//! The common interface to both databases.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::migrations::Lack;
use super::postgres::PostgresStore;
use super::sqlite::Sqlite;
use super::value::{Row, Statement, Value};
use crate::budget::Budget;
use crate::clock::Clock;
use crate::error::Result;
use crate::postgres::Address;

/// The location of the state store.
#[derive(Debug, Clone)]
pub enum Location {
    /// A SQLite file; it and its directory are created on first use.
    Embedded(PathBuf),
    /// A PostgreSQL database, with the privilege to create the schema `pushctl` or to use it.
    Postgres(Box<Address>),
}

/// The time without a renewal after which a holder counts as dead, unless a setting changes it. A lease is renewed
/// three times in this time.
pub const LEASE_TTL: Duration = Duration::from_secs(30);

/// A handle to the state store; clones share it.
#[derive(Clone)]
pub struct Store {
    pub(super) backend: Arc<Backend>,
    clock: Arc<dyn Clock>,
    lease: Duration,
    budget: Budget,
}

/// The time for one operation, unless the command that uses the store has a budget.
const OPERATION: Duration = Duration::from_secs(20);

pub(super) enum Backend {
    Sqlite(Sqlite),
    Postgres(Box<PostgresStore>),
}

impl Store {
    /// Opens the store. An empty store is migrated, and one that lacks only new tables; one with other pending
    /// migrations is an error that names the command to run.
    pub async fn open(location: &Location, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::open_within(location, clock, Budget::open(OPERATION)).await
    }

    /// Like [`Store::open`]; the opening and every later operation end with the budget.
    pub async fn open_within(
        location: &Location,
        clock: Arc<dyn Clock>,
        budget: Budget,
    ) -> Result<Self> {
        let store = Self::open_as_it_is(location, clock, budget).await?;
        match store.ready().await {
            Ok(()) => Ok(store),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    /// Opens the store without checking its migrations: for `state migrate`, `status` and `rollback`.
    pub async fn open_as_it_is(
        location: &Location,
        clock: Arc<dyn Clock>,
        budget: Budget,
    ) -> Result<Self> {
        let backend = Backend::open(location, &budget).await?;
        Ok(Self::on(backend, clock, budget))
    }

    /// Opens the store for a dry run, which neither creates nor migrates it. Instead of one that does not exist, or
    /// that holds nothing and lacks migrations, it gets an empty one in memory.
    pub async fn open_existing(
        location: &Location,
        clock: Arc<dyn Clock>,
        budget: Budget,
    ) -> Result<Self> {
        let found = match location {
            Location::Embedded(path) => {
                let sqlite = Sqlite::open_existing(path.clone(), budget.clone()).await?;
                sqlite.map(Backend::Sqlite)
            }
            Location::Postgres(_) => Some(Backend::open(location, &budget).await?),
        };
        if let Some(backend) = found {
            let store = Self::on(backend, Arc::clone(&clock), budget.clone());
            // A dry run reads no table that it may lack.
            if store.lack().await? != Lack::Everything {
                store.whole().await?;
                return Ok(store);
            }
        }
        let sqlite = Sqlite::in_memory(budget.clone()).await?;
        let empty = Self::on(Backend::Sqlite(sqlite), clock, budget);
        empty.migrate().await?;
        Ok(empty)
    }

    fn on(backend: Backend, clock: Arc<dyn Clock>, budget: Budget) -> Self {
        Self {
            backend: Arc::new(backend),
            clock,
            lease: LEASE_TTL,
            budget,
        }
    }

    /// Rejects a store that this process cannot write to. A SQLite store is rejected when it is opened.
    pub async fn check_writable(&self) -> Result<()> {
        match &*self.backend {
            Backend::Sqlite(_) => Ok(()),
            Backend::Postgres(postgres) => postgres.check_writable().await,
        }
    }

    /// Returns the same store, with leases that last for `ttl` without a renewal.
    #[must_use]
    pub fn with_leases_of(self, ttl: Duration) -> Self {
        Self { lease: ttl, ..self }
    }

    /// Returns the budget of its operations.
    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Returns how long a lease lasts without a renewal.
    pub(super) fn lease_ttl(&self) -> Duration {
        self.lease
    }

    /// Before a long wait: closes a network connection, which the next use opens again, or moves the log of an embedded
    /// store into its file.
    pub async fn rest(&self) {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.rest().await,
            Backend::Postgres(postgres) => postgres.close().await,
        }
    }

    /// At the end of a command: makes an embedded store complete in its one file. No clone can be used afterwards.
    pub async fn close(&self) {
        if let Backend::Sqlite(sqlite) = &*self.backend {
            sqlite.close().await;
        }
    }

    /// Returns the present instant on the process's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns an SQL expression for the present instant in microseconds, on the clock that all users of the store
    /// share: the PostgreSQL server's, read while the statement runs; or, with SQLite, the machine's.
    pub(super) fn now_in_sql(&self) -> String {
        match &*self.backend {
            Backend::Sqlite(_) => self.now().as_microsecond().to_string(),
            Backend::Postgres(_) => {
                "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)".to_owned()
            }
        }
    }

    /// Executes a query.
    pub(super) async fn query(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.query(sql, params).await,
            Backend::Postgres(postgres) => postgres.query(sql, params).await,
        }
    }

    /// Executes a statement durably and returns its rows.
    pub(super) async fn returning(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.returning(sql, params).await,
            Backend::Postgres(postgres) => postgres.returning(sql, params).await,
        }
    }

    /// Executes a statement durably and returns the number of changed rows.
    pub(super) async fn execute(&self, sql: &'static str, params: Vec<Value>) -> Result<u64> {
        let changed = self.transact(vec![(sql.into(), params)]).await?;
        Ok(changed.first().copied().unwrap_or(0))
    }

    /// Executes statements in one durable transaction and returns how many rows each changed.
    pub(super) async fn transact(&self, statements: Vec<Statement>) -> Result<Vec<u64>> {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.transact(statements).await,
            Backend::Postgres(postgres) => postgres.transact(statements).await,
        }
    }

    /// Executes a script of several statements without parameters in one transaction.
    pub(super) async fn script(&self, text: String) -> Result<()> {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.script(text).await,
            Backend::Postgres(postgres) => postgres.script(text).await,
        }
    }
}

impl Backend {
    async fn open(location: &Location, budget: &Budget) -> Result<Self> {
        let budget = budget.clone();
        Ok(match location {
            Location::Embedded(path) => Self::Sqlite(Sqlite::open(path.clone(), budget).await?),
            Location::Postgres(address) => {
                let store = PostgresStore::open((**address).clone(), budget).await?;
                Self::Postgres(Box::new(store))
            }
        })
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
