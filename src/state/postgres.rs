//! The store in PostgreSQL, schema `pushctl`: for several machines, or one without a disk.

use std::ops::Deref;

use futures_util::StreamExt;
use tokio::sync::mpsc::Sender;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use super::failure;
use super::value::{Cells, Row, Statement, Value};
use crate::budget::Budget;
use crate::error::Result;
use crate::postgres::Address;
use crate::postgres::session::{BEGIN, Parameter, ReconnectingSession};

/// Whether the server accepts writes, the role, and the tables that it may not write to. An owner of the database who
/// has not migrated it yet has none.
const WRITABLE: &str = "SELECT current_setting('transaction_read_only') = 'on', current_user::text, string_agg(c.relname, ', ' ORDER BY c.relname)
     FROM (SELECT 1) AS one
     LEFT JOIN pg_class c ON c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'pushctl')
         AND c.relkind = 'r' AND c.relname <> 'migrations'
         AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
             AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))";

pub(super) struct PostgresStore(ReconnectingSession);

impl Deref for PostgresStore {
    type Target = ReconnectingSession;

    fn deref(&self) -> &ReconnectingSession {
        &self.0
    }
}

impl PostgresStore {
    /// Connects once, to check the address.
    pub(super) async fn open(address: Address, budget: Budget) -> Result<Self> {
        let link = ReconnectingSession::new(address, "the state store", failure::postgres, budget);
        let postgres = Self(link);
        postgres.0.open().await?;
        Ok(postgres)
    }

    pub(super) async fn query(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        let (sql, params) = (&sql, &params);
        let rows = self
            .with(|client| async move { client.query_typed(sql, &typed(params)).await })
            .await?;
        rows.iter().map(row).collect()
    }

    pub(super) async fn returning(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        let (sql, params) = (&sql, &params);
        let rows = self
            .with(|client| async move {
                client.batch_execute(BEGIN).await?;
                let rows = client.query_typed(sql, &typed(params)).await?;
                client.batch_execute("COMMIT").await?;
                Ok(rows)
            })
            .await?;
        rows.iter().map(row).collect()
    }

    pub(super) async fn transact(&self, statements: Vec<Statement>) -> Result<Vec<u64>> {
        let statements = &statements;
        self.with(|client| async move {
            client.batch_execute(BEGIN).await?;
            let mut changed = Vec::with_capacity(statements.len());
            for (sql, params) in statements {
                changed.push(client.execute_typed(sql, &typed(params)).await?);
            }
            client.batch_execute("COMMIT").await?;
            Ok(changed)
        })
        .await
    }

    pub(super) async fn script(&self, text: String) -> Result<()> {
        let text = &format!("{BEGIN}; {text}; COMMIT");
        self.with(|client| async move { client.batch_execute(text).await })
            .await
    }

    /// Rejects a server that accepts no writes, and a role that lacks a privilege on a table.
    pub(super) async fn check_writable(&self) -> Result<()> {
        let rows = self.query(WRITABLE, Vec::new()).await?;
        let Some(row) = rows.first() else {
            return Ok(());
        };
        if row.int(0)? != 0 {
            return Err(failure::accepts_no_writes(&self.place()));
        }
        match row.opt_text(2)? {
            None => Ok(()),
            Some(tables) => Err(failure::lacks_privilege(
                &self.place(),
                &row.text(1)?,
                &tables,
            )),
        }
    }

    /// Sends every row of `tables`, as they are at one instant. On a connection of its own, and without retries.
    pub(super) async fn dump(
        &self,
        tables: Vec<&'static str>,
        out: Sender<(&'static str, Cells)>,
    ) -> Result<()> {
        let session = self.another().await?;
        let client = &session.client;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        client
            .batch_execute(begin)
            .await
            .map_err(failure::postgres)?;
        for table in tables {
            let sql = format!("SELECT * FROM pushctl.{table} ORDER BY 1");
            let rows = client
                .query_typed_raw(&sql, Vec::<(i64, Type)>::new())
                .await;
            let mut rows = std::pin::pin!(rows.map_err(failure::postgres)?);
            while let Some(found) = rows.next().await {
                let found = found.map_err(failure::postgres)?;
                let names = found
                    .columns()
                    .iter()
                    .map(|column| column.name().to_owned());
                let cells = names.zip(row(&found)?.0).collect();
                if out.send((table, cells)).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn typed(params: &[Value]) -> Vec<Parameter<'_>> {
    params
        .iter()
        .map(|value| {
            let kind = match value {
                Value::Null => Type::UNKNOWN,
                Value::Int(_) => Type::INT8,
                Value::Text(_) => Type::TEXT,
                Value::Blob(_) => Type::BYTEA,
            };
            (value as &(dyn ToSql + Sync), kind)
        })
        .collect()
}

fn row(row: &tokio_postgres::Row) -> Result<Row> {
    (0..row.len())
        .map(|column| row.try_get::<_, Value>(column).map_err(failure::postgres))
        .collect::<Result<Vec<Value>>>()
        .map(Row)
}

type Cause = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Value {
    fn to_sql(&self, kind: &Type, out: &mut bytes::BytesMut) -> Result<IsNull, Cause> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(value) => value.to_sql(kind, out),
            Self::Text(value) => value.to_sql(kind, out),
            Self::Blob(value) => value.to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(kind: &Type, raw: &'a [u8]) -> Result<Self, Cause> {
        Ok(match *kind {
            Type::INT8 => Self::Int(i64::from_sql(kind, raw)?),
            Type::INT4 => Self::Int(i32::from_sql(kind, raw)?.into()),
            Type::BOOL => Self::Int(bool::from_sql(kind, raw)?.into()),
            Type::BYTEA => Self::Blob(raw.to_vec()),
            _ => Self::Text(String::from_sql(kind, raw)?),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Cause> {
        Ok(Self::Null)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::INT8
            || *kind == Type::INT4
            || *kind == Type::BOOL
            || *kind == Type::BYTEA
            || <String as FromSql>::accepts(kind)
    }
}
