//! Looks at a store for `pushctl doctor`: creates nothing, migrates nothing, changes nothing.

use std::sync::Arc;

use rusqlite::TransactionBehavior;

use super::migrations::tables;
use super::store::{Backend, Location, Store};
use super::value::params;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};

/// A privilege that a role lacks in a store in PostgreSQL: `INSERT` on `pushctl.claims`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    pub privilege: String,
    pub on: String,
}

impl Store {
    /// Opens a store without checking its migrations; `None` for a file that does not exist yet.
    pub async fn open_if_any(
        location: &Location,
        clock: Arc<dyn Clock>,
        budget: Budget,
    ) -> Result<Option<Self>> {
        match location {
            Location::Embedded(path) if !path.exists() => Ok(None),
            _ => Self::open_as_it_is(location, clock, budget).await.map(Some),
        }
    }

    /// Writes into the store and takes it back.
    pub async fn try_writing(&self) -> Result<()> {
        match &*self.backend {
            Backend::Sqlite(sqlite) => {
                sqlite
                    .run(|connection| {
                        let behavior = TransactionBehavior::Immediate;
                        let transaction = connection.transaction_with_behavior(behavior)?;
                        transaction.execute_batch("CREATE TABLE doctor (written blob)")?;
                        transaction.execute("INSERT INTO doctor VALUES (zeroblob(4096))", [])?;
                        transaction.rollback()
                    })
                    .await
            }
            Backend::Postgres(_) => {
                let sql =
                    "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'";
                let rows = self.query(sql, params![]).await?;
                if rows.first().map_or(Ok(0), |row| row.int(0))? == 0 {
                    return Ok(());
                }
                let message = "the server of the state store is read-only: a standby, or a database or role with default_transaction_read_only";
                Err(Error::new(ErrorKind::Failed, message))
            }
        }
    }

    /// Returns the privileges on the store's schema, tables and sequences that the role lacks. None with SQLite.
    pub async fn missing_privileges(&self, version: u32) -> Result<Vec<Missing>> {
        if let Backend::Sqlite(_) = &*self.backend {
            return Ok(Vec::new());
        }
        if version == 0 {
            return self.missing_to_create().await;
        }
        let names: Vec<String> = tables(version)
            .map(|table| format!("('pushctl.{table}')"))
            .collect();
        let sql = format!(
            "SELECT privilege, name FROM (VALUES {}) AS store (name),
                    unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
              WHERE NOT has_table_privilege(name, privilege)
             UNION ALL
             SELECT 'USAGE or SELECT', 'SEQUENCE ' || s.schemaname || '.' || s.sequencename FROM pg_sequences s
              WHERE s.schemaname = 'pushctl'
                AND NOT (has_sequence_privilege(s.schemaname || '.' || s.sequencename, 'USAGE')
                         AND has_sequence_privilege(s.schemaname || '.' || s.sequencename, 'SELECT'))
             ORDER BY 2, 1",
            names.join(", ")
        );
        self.privileges(&sql).await
    }

    async fn missing_to_create(&self) -> Result<Vec<Missing>> {
        let sql = "SELECT 'CREATE', 'DATABASE ' || quote_ident(current_database())
                    WHERE NOT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = 'pushctl')
                      AND NOT has_database_privilege(current_database(), 'CREATE')
                   UNION ALL
                   SELECT 'CREATE', 'SCHEMA pushctl' FROM pg_namespace
                    WHERE nspname = 'pushctl' AND NOT has_schema_privilege(oid, 'CREATE')";
        self.privileges(sql).await
    }

    async fn privileges(&self, sql: &str) -> Result<Vec<Missing>> {
        let rows = self.query(sql, params![]).await?;
        rows.iter()
            .map(|row| {
                Ok(Missing {
                    privilege: row.text(0)?,
                    on: row.text(1)?,
                })
            })
            .collect()
    }
}
