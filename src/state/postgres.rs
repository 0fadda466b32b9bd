//! The store in PostgreSQL, schema `pushctl`: for several machines, or one without a disk.
//!
//! One connection, opened when it is first needed and again when it was lost; everybody in the process takes turns.
//! Every piece of work can be repeated, so a connection that dies in the middle (a restart, a failover) costs time and
//! nothing else. Statements are unnamed and everything else is in one transaction, so a pooler may stand between.

mod connect;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::Mutex;
use tokio::sync::mpsc::Sender;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Error as Refusal};

use self::connect::{Connector, Session};
use super::failure;
use super::store::Statement;
use super::transfer::Cells;
use super::value::{Row, Value};
use crate::error::{Error, Result};
use crate::settings::secret::Secret;

/// How long an operation keeps trying to reach the server: past a managed database's failover.
const PATIENCE: Duration = Duration::from_secs(150);
/// The same for the first connection: a wrong address should not take minutes to say so.
const FIRST_PATIENCE: Duration = Duration::from_secs(20);
/// One try of one operation. The server's own limit is a little shorter, so that it is the one to say what is slow.
const TRY: Duration = Duration::from_secs(60);
/// What opens every transaction.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '50s'; SET LOCAL lock_timeout = '40s'; \
     SET LOCAL idle_in_transaction_session_timeout = '20s'";

/// A handle to the server.
pub(super) struct Postgres {
    connector: Connector,
    session: Mutex<Option<Session>>,
}

impl Postgres {
    /// Connects once, to know that the address works.
    pub(super) async fn open(url: &Secret) -> Result<Self> {
        let postgres = Self {
            connector: Connector::new(url)?,
            session: Mutex::new(None),
        };
        postgres
            .patiently(FIRST_PATIENCE, &|client: Arc<Client>| async move { client.check_connection().await })
            .await?;
        Ok(postgres)
    }

    pub(super) async fn disconnect(&self) {
        *self.session.lock().await = None;
    }

    pub(super) async fn query(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        let (sql, params) = (&sql, &params);
        let rows = self
            .with(|client| async move { client.query_typed(sql, &typed(params)).await })
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

    /// Sends every row of `tables`, as they are at one instant. On a connection of its own, and once.
    pub(super) async fn dump(&self, tables: Vec<&'static str>, out: Sender<(&'static str, Cells)>) -> Result<()> {
        let session = self.connector.connect().await.map_err(|trouble| trouble.error)?;
        let client = &session.client;
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        client.batch_execute(begin).await.map_err(failure::postgres)?;
        for table in tables {
            let sql = format!("SELECT * FROM pushctl.{table} ORDER BY 1");
            let rows = client.query_typed_raw(&sql, Vec::<(i64, Type)>::new()).await;
            let mut rows = std::pin::pin!(rows.map_err(failure::postgres)?);
            while let Some(found) = rows.next().await {
                let found = found.map_err(failure::postgres)?;
                let names = found.columns().iter().map(|column| column.name().to_owned());
                let cells = names.zip(row(&found)?.0).collect();
                if out.send((table, cells)).await.is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Runs `work` on the connection, again on a new one if it was lost. `work` must be harmless when repeated,
    /// and must end the transaction that it begins.
    pub(super) async fn with<T, F>(&self, work: impl Fn(Arc<Client>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        self.patiently(PATIENCE, &work).await
    }

    async fn patiently<T, F>(&self, patience: Duration, work: &impl Fn(Arc<Client>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        let mut slot = self.session.lock().await;
        let end = Instant::now() + patience;
        let mut pause = Duration::from_millis(50);
        loop {
            let trouble = match self.attempt(slot.take(), work).await {
                Ok((session, value)) => {
                    *slot = Some(session);
                    return Ok(value);
                }
                Err(trouble) => trouble,
            };
            if !trouble.passes || Instant::now() + pause > end {
                return Err(trouble.error);
            }
            tracing::debug!("the state store did not answer, trying again: {:#}", trouble.error);
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// A session is handed back only after success: whatever went wrong, the next one starts clean.
    async fn attempt<T, F>(
        &self,
        session: Option<Session>,
        work: &impl Fn(Arc<Client>) -> F,
    ) -> Result<(Session, T), Trouble>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        let session = match session.filter(|session| !session.client.is_closed()) {
            Some(session) => session,
            None => self.connector.connect().await?,
        };
        match timeout(TRY, work(Arc::clone(&session.client))).await {
            Ok(Ok(value)) => Ok((session, value)),
            Ok(Err(refusal)) => Err(Trouble {
                passes: passes(&refusal),
                error: failure::postgres(refusal),
            }),
            Err(_) => Err(Trouble {
                passes: true,
                error: failure::silent(TRY),
            }),
        }
    }
}

/// Why one try failed, and whether another may succeed.
pub(super) struct Trouble {
    pub(super) passes: bool,
    pub(super) error: Error,
}

/// A lost connection, a server that is starting or stopping, a conflict with somebody else's transaction.
pub(super) fn passes(refusal: &Refusal) -> bool {
    let Some(state) = refusal.code() else {
        return true;
    };
    let code = state.code();
    code.starts_with("08")
        || code.starts_with("57P")
        || code.starts_with("58")
        || [
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
            SqlState::QUERY_CANCELED,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
            // After a failover the old primary may answer for a moment.
            SqlState::READ_ONLY_SQL_TRANSACTION,
        ]
        .contains(state)
}

fn typed(params: &[Value]) -> Vec<(&(dyn ToSql + Sync), Type)> {
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
