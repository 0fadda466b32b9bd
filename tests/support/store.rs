//! An empty state store for a test, in either database, with a clock that the test moves.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use pushctl::budget::Budget;
use pushctl::clock::Clock;
use pushctl::postgres::Address;
use pushctl::postgres::address::Inputs;
use pushctl::settings::secret::Secret;
use pushctl::state::{Location, Store};
use tempfile::TempDir;

use super::postgres::{Database, Postgres};

/// The location and the clock of a test's store.
pub(crate) struct Place {
    pub(crate) location: Location,
    pub(crate) clock: Arc<Hand>,
    /// The database of a PostgreSQL store.
    pub(crate) database: Option<Database>,
    directory: Option<TempDir>,
}

/// A clock that the test moves.
pub(crate) struct Hand(AtomicI64);

impl Place {
    /// A SQLite file.
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            location: Location::Embedded(directory.path().join("pushctl/state.db")),
            clock: Arc::new(Hand::at("2026-11-21T13:33:00-06:00")),
            database: None,
            directory: Some(directory),
        }
    }

    /// A database in the cluster that all tests share.
    pub(crate) fn postgres() -> Self {
        Self::in_cluster(Postgres::shared())
    }

    /// A database in a separate cluster.
    pub(crate) fn in_cluster(cluster: &Postgres) -> Self {
        let database = cluster.database("state");
        database.execute(&format!(
            "GRANT CREATE ON DATABASE {} TO tls_only",
            database.name
        ));
        Self {
            location: Location::Postgres(Box::new(address(
                &database.url_with("tls_only", "sslmode=require"),
            ))),
            clock: Arc::new(Hand::at("2026-11-21T13:33:00-06:00")),
            database: Some(database),
            directory: None,
        }
    }

    /// Opens the store as another process would.
    pub(crate) async fn open(&self) -> Store {
        Store::open(&self.location, Arc::clone(&self.clock) as Arc<dyn Clock>)
            .await
            .unwrap()
    }

    /// The same, with so much time for each operation.
    pub(crate) async fn open_for(&self, operation: Duration) -> Store {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Store::open_within(&self.location, clock, Budget::open(operation))
            .await
            .unwrap()
    }

    /// Returns the value for `--state`: the file, or the URL.
    pub(crate) fn setting(&self) -> String {
        match (&self.database, self.file()) {
            (Some(database), _) => database.url_with("tls_only", "sslmode=require"),
            (None, file) => file.unwrap().display().to_string(),
        }
    }

    /// Deletes the store.
    pub(crate) fn remove(&self) {
        match (&self.database, self.file()) {
            (Some(database), _) => database.execute("DROP SCHEMA IF EXISTS pushctl CASCADE"),
            (None, file) => drop(std::fs::remove_dir_all(file.unwrap().parent().unwrap())),
        }
    }

    /// Deletes the row that marks a complete store.
    pub(crate) fn forget_deliveries(&self) {
        self.execute("DELETE FROM pushctl.deliveries");
    }

    /// Changes rows behind the program's back.
    pub(crate) fn execute(&self, sql: &str) {
        match (&self.database, self.file()) {
            (Some(database), _) => database.execute(sql),
            (None, file) => {
                let file = rusqlite::Connection::open(file.unwrap()).unwrap();
                file.execute(&sql.replace("pushctl.", ""), []).unwrap();
            }
        }
    }

    /// Lets time pass in the store: on the clock that the test moves, and for its leases, which in PostgreSQL expire by
    /// the server's own clock.
    pub(crate) fn let_pass(&self, time: Duration) {
        self.clock.advance(time);
        if let Some(database) = &self.database {
            age_leases(database, time);
        }
    }

    /// The file of a SQLite store.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        self.directory
            .as_ref()
            .map(|directory| directory.path().join("pushctl/state.db"))
    }
}

/// Ages the leases, because the server's clock cannot be moved.
pub(crate) fn age_leases(database: &Database, by: Duration) {
    let by = by.as_micros();
    database.execute(&format!(
        "UPDATE pushctl.leases SET taken_at = taken_at - {by}, expires_at = expires_at - {by}"
    ));
}

impl Hand {
    pub(crate) fn at(instant: &str) -> Self {
        let instant: Timestamp = instant.parse().unwrap();
        Self(AtomicI64::new(instant.as_microsecond()))
    }

    /// Moves the clock forward.
    pub(crate) fn advance(&self, by: Duration) {
        let micros = i64::try_from(by.as_micros()).unwrap();
        self.0.fetch_add(micros, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(self.0.load(Ordering::SeqCst)).unwrap()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.advance(duration);
        Box::pin(std::future::ready(()))
    }
}

/// Makes the address that the command line makes of this URL.
pub(crate) fn address(url: &str) -> Address {
    Address::resolve(&Inputs {
        url: Some(&Secret::new(url)),
        url_origin: "--state",
        environment: &|_| None,
        home: None,
        config: &BTreeMap::new(),
    })
    .unwrap()
}
