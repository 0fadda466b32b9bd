//! Numbered migrations, up and down. Each is applied in one transaction together with its row in the table
//! `migrations`.
//!
//! `migrations/DATABASE/NNNN_name.{up,down}.sql` are compiled in. A released migration never changes; a new one is
//! added.

use jiff::Timestamp;

use super::failure;
use super::store::{Backend, Store};
use super::value::params;
use crate::error::{Error, ErrorKind, Result};

struct Migration {
    version: u32,
    name: &'static str,
    /// The tables that it creates, in an order in which rows can be imported.
    tables: &'static [&'static str],
    /// It creates tables and touches no existing one, so that the first use applies it also where there are rows.
    adds_only: bool,
    sqlite: Script,
    postgres: Script,
}

struct Script {
    up: &'static str,
    down: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal, $tables:expr) => {
        migration!($version, $name, $tables, false)
    };
    ($version:literal, $name:literal, $tables:expr, $adds_only:literal) => {
        Migration {
            adds_only: $adds_only,
            version: $version,
            name: $name,
            tables: &$tables,
            sqlite: Script {
                up: include_str!(concat!("migrations/sqlite/", $name, ".up.sql")),
                down: include_str!(concat!("migrations/sqlite/", $name, ".down.sql")),
            },
            postgres: Script {
                up: include_str!(concat!("migrations/postgres/", $name, ".up.sql")),
                down: include_str!(concat!("migrations/postgres/", $name, ".down.sql")),
            },
        }
    };
}

const MIGRATIONS: &[Migration] = &[
    migration!(
        1,
        "0001_runs",
        ["runs", "phases", "leases", "cancels", "pauses", "breakers"]
    ),
    migration!(
        2,
        "0002_ledger",
        ["pushes", "senders", "claims", "outcomes", "payloads"]
    ),
    migration!(3, "0003_history", ["outbox", "history", "deliveries"]),
    migration!(4, "0004_files", ["files"]),
    migration!(5, "0005_notices", ["notices"], true),
    migration!(6, "0006_dead_tokens", ["dead_tokens"], true),
];

/// The migration that this version of pushctl needs.
pub const NEEDED: u32 = 6;

/// The lock that prevents two processes from migrating PostgreSQL at the same time.
const MIGRATION_LOCK: &str = "SELECT pg_advisory_xact_lock(1886745448, 0);";

/// The applied and the pending migrations of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// The applied migrations, by number.
    pub applied: Vec<Applied>,
    /// The names of pending migrations, in the order in which they will be applied.
    pub pending: Vec<&'static str>,
}

impl MigrationStatus {
    /// Returns the status of a store that does not exist yet.
    pub fn of_nothing() -> Self {
        Self {
            applied: Vec::new(),
            pending: MIGRATIONS.iter().map(|migration| migration.name).collect(),
        }
    }
}

/// A row of the table `migrations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub version: u32,
    /// `NNNN_name`.
    pub name: String,
    pub at: Timestamp,
}

/// What a store lacks that this version can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    Nothing,
    /// Tables that earlier versions did not have; it may have rows.
    NewTables,
    /// It is empty, and lacks migrations.
    Everything,
}

/// Whether a rollback may destroy rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Only empty tables may be dropped.
    Refused,
    /// Tables may be dropped with their rows.
    Accepted,
}

impl Store {
    /// Returns the store's migrations, and those that this version would apply.
    pub async fn migrations(&self) -> Result<MigrationStatus> {
        let applied = self.applied().await?;
        let version = applied.last().map_or(0, |last| last.version);
        let pending = MIGRATIONS
            .iter()
            .filter(|migration| migration.version > version)
            .map(|migration| migration.name)
            .collect();
        Ok(MigrationStatus { applied, pending })
    }

    /// Applies the pending migrations and returns their names. A store of a newer pushctl is rejected.
    pub async fn migrate(&self) -> Result<Vec<&'static str>> {
        let mut done = Vec::new();
        self.known_version().await?;
        loop {
            let version = self.version().await?;
            let Some(next) = MIGRATIONS.iter().find(|one| one.version == version + 1) else {
                return Ok(done);
            };
            match self.apply(next).await {
                Ok(()) => done.push(next.name),
                // Another process applied it meanwhile.
                Err(_) if self.version().await? > version => {}
                Err(error) => {
                    return Err(error.context(format!("migration {} failed", next.name)));
                }
            }
        }
    }

    /// Undoes migrations, newest first, down to `version`, and returns their names.
    pub async fn rollback(&self, version: u32, loss: Loss) -> Result<Vec<&'static str>> {
        let current = self.known_version().await?;
        let undone: Vec<&'static Migration> = MIGRATIONS
            .iter()
            .rev()
            .filter(|one| one.version > version && one.version <= current)
            .collect();
        if loss == Loss::Refused {
            for migration in &undone {
                self.refuse_loss(migration).await?;
            }
        }
        for migration in &undone {
            let down = self.script_of(migration).down;
            let forget = format!(
                "DELETE FROM {}migrations WHERE version = {}",
                self.schema(),
                migration.version
            );
            self.script(format!("{down}; {forget}"))
                .await
                .map_err(|error| {
                    error.context(format!("cannot undo migration {}", migration.name))
                })?;
        }
        Ok(undone.iter().map(|migration| migration.name).collect())
    }

    /// Migrates an empty store; rejects one that does not fit this version, or that contains an incomplete import.
    pub(super) async fn ready(&self) -> Result<()> {
        self.fit().await?;
        self.whole().await
    }

    /// Rejects a store with an incomplete import.
    pub(super) async fn whole(&self) -> Result<()> {
        if self.is_half_imported().await? {
            return Err(Error::new(
                ErrorKind::Failed,
                "an import into the state store was interrupted, so its records are incomplete",
            )
            .hint("run `pushctl state import` again with the same export"));
        }
        Ok(())
    }

    /// Migrates an empty store, and one that lacks only new tables; rejects one that does not fit this version.
    pub(super) async fn fit(&self) -> Result<()> {
        if self.lack().await? != Lack::Nothing {
            self.check_writable().await?;
            self.migrate().await?;
        }
        Ok(())
    }

    /// Returns what the store lacks. Rejects one with rows whose tables this version would have to change.
    pub(super) async fn lack(&self) -> Result<Lack> {
        loop {
            let version = self.known_version().await?;
            if version == NEEDED {
                return Ok(Lack::Nothing);
            }
            let mut pending = MIGRATIONS.iter().filter(|one| one.version > version);
            if version > 0 && pending.all(|one| one.adds_only) {
                return Ok(Lack::NewTables);
            }
            if version == 0 || self.is_empty(version).await? {
                return Ok(Lack::Everything);
            }
            // Another process may have migrated it, and written rows, between the two questions.
            if self.known_version().await? == version {
                return Err(Error::usage(format!(
                    "the state store is at migration {version}, and this pushctl needs {NEEDED}"
                ))
                .hint("run `pushctl state export` for a backup, then `pushctl state migrate`"));
            }
        }
    }

    /// Returns the store's version, or an error if it is newer than this pushctl knows.
    pub(super) async fn known_version(&self) -> Result<u32> {
        let mut version = self.version().await?;
        if version == 0 {
            let foreign = self.foreign_tables().await?;
            // Another process may have migrated it between the two questions.
            version = self.version().await?;
            if version == 0 && !foreign.is_empty() {
                return Err(failure::foreign_schema(&foreign.join(", ")));
            }
        }
        if version > NEEDED {
            return Err(newer(&self.place(), version));
        }
        Ok(version)
    }

    /// Returns some tables of a schema without migrations. Another application's SQLite file is recognised when it is
    /// opened.
    async fn foreign_tables(&self) -> Result<Vec<String>> {
        if matches!(&*self.backend, Backend::Sqlite(_)) {
            return Ok(Vec::new());
        }
        // After a rollback of everything only the list of migrations is left.
        let sql = "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                   WHERE n.nspname = 'pushctl' AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT (c.relname = 'migrations'
                   AND EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'applied_at'))
                   ORDER BY 1 LIMIT 5";
        let rows = self.query(sql, params![]).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    async fn version(&self) -> Result<u32> {
        Ok(self.applied().await?.last().map_or(0, |last| last.version))
    }

    async fn applied(&self) -> Result<Vec<Applied>> {
        let known = match &*self.backend {
            Backend::Sqlite(_) => "SELECT count(*) FROM sqlite_master WHERE name = 'migrations'",
            Backend::Postgres(_) => {
                "SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = 'pushctl' AND c.relname = 'migrations' AND a.attname = 'applied_at'"
            }
        };
        if !self.counts_any(known).await? {
            return Ok(Vec::new());
        }
        let sql = "SELECT version, name, applied_at FROM pushctl.migrations ORDER BY version";
        let rows = self.query(sql, params![]).await?;
        rows.iter()
            .map(|row| {
                Ok(Applied {
                    version: row.small(0)?,
                    name: row.text(1)?,
                    at: row.time(2)?,
                })
            })
            .collect()
    }

    async fn apply(&self, migration: &'static Migration) -> Result<()> {
        let schema = self.schema();
        let ground = match &*self.backend {
            Backend::Sqlite(_) => String::new(),
            Backend::Postgres(_) => format!("{MIGRATION_LOCK} {}", self.missing_schema().await?),
        };
        let up = self.script_of(migration).up;
        self.script(format!(
            "{ground}
             CREATE TABLE IF NOT EXISTS {schema}migrations
                 (version bigint NOT NULL PRIMARY KEY, name text NOT NULL, applied_at bigint NOT NULL);
             {up};
             INSERT INTO {schema}migrations VALUES ({}, '{}', {})",
            migration.version,
            migration.name,
            self.now().as_microsecond(),
        ))
        .await
    }

    /// Returns SQL that creates the schema, only if it is missing: creating it needs a privilege on the whole database.
    async fn missing_schema(&self) -> Result<&'static str> {
        let sql = "SELECT count(*) FROM pg_namespace WHERE nspname = 'pushctl'";
        Ok(if self.counts_any(sql).await? {
            ""
        } else {
            "CREATE SCHEMA IF NOT EXISTS pushctl;"
        })
    }

    pub(super) async fn is_empty(&self, version: u32) -> Result<bool> {
        for migration in MIGRATIONS.iter().filter(|one| one.version <= version) {
            if self.first_with_rows(migration).await?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn refuse_loss(&self, migration: &Migration) -> Result<()> {
        let Some(table) = self.first_with_rows(migration).await? else {
            return Ok(());
        };
        Err(Error::new(
            ErrorKind::Refused,
            format!(
                "undoing migration {} would destroy rows of {table}",
                migration.name
            ),
        )
        .hint("run `pushctl state export` for a backup, then repeat the rollback with --yes"))
    }

    async fn first_with_rows(&self, migration: &Migration) -> Result<Option<&'static str>> {
        // That table has one row from the beginning.
        let counted = migration
            .tables
            .iter()
            .filter(|table| **table != "deliveries");
        for table in counted {
            let sql =
                format!("SELECT count(*) FROM (SELECT 1 FROM pushctl.{table} LIMIT 1) AS first");
            if self.counts_any(&sql).await? {
                return Ok(Some(table));
            }
        }
        Ok(None)
    }

    async fn counts_any(&self, sql: &str) -> Result<bool> {
        let rows = self.query(sql, params![]).await?;
        Ok(rows.first().map_or(Ok(0), |row| row.int(0))? > 0)
    }

    fn script_of(&self, migration: &'static Migration) -> &'static Script {
        match &*self.backend {
            Backend::Sqlite(_) => &migration.sqlite,
            Backend::Postgres(_) => &migration.postgres,
        }
    }

    fn schema(&self) -> &'static str {
        match &*self.backend {
            Backend::Sqlite(_) => "",
            Backend::Postgres(_) => "pushctl.",
        }
    }
}

/// Returns the error about a store of a newer pushctl.
pub fn newer(place: &str, version: u32) -> Error {
    Error::usage(format!(
        "the state store {place} was made by a newer pushctl: it is at migration {version}, and this pushctl ({}) knows only up to {NEEDED}",
        env!("CARGO_PKG_VERSION")
    ))
    .hint(format!(
        "use the newer pushctl, or undo its migrations with it: `pushctl state rollback --to {NEEDED}`"
    ))
}

/// Returns every table of a version, in an order in which rows can be imported.
pub(super) fn tables(version: u32) -> impl Iterator<Item = &'static str> {
    MIGRATIONS
        .iter()
        .filter(move |migration| migration.version <= version)
        .flat_map(|migration| migration.tables.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_without_gaps_and_named_by_their_number() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version as usize, index + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", index + 1)));
        }
        assert_eq!(MIGRATIONS.len(), NEEDED as usize);
    }

    #[test]
    fn both_databases_have_the_same_tables_columns_and_indexes() {
        let plain = |script: &str| {
            script
                .replace("pushctl.", "")
                .replace(
                    "bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
                    "INTEGER PRIMARY KEY AUTOINCREMENT",
                )
                .to_lowercase()
                .replace("bigint", "integer")
                .replace("bytea", "blob")
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        for migration in MIGRATIONS {
            assert_eq!(plain(migration.sqlite.up), plain(migration.postgres.up));
            assert_eq!(plain(migration.sqlite.down), plain(migration.postgres.down));
        }
    }
}
