//! The queries of a snapshot: settings, small results, and a stream of CSV.
//!
//! A caller's SQL is only ever run as `COPY (…) TO STDOUT`: one statement, which cannot end the transaction, and which
//! the server rejects unless it is a query. No prepared statement outlives the transaction.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::transaction::GOODBYE;
use crate::count::{counted, number};
use crate::error::{Error, Result};
use crate::postgres::failure::{Failure, FailureCause, Seconds};

/// The wrapper of a statement. The line break keeps a trailing line comment from hiding the closing bracket.
const BEFORE: &str = "COPY (";
const AFTER_AS_CSV: &str = "\n) TO STDOUT (FORMAT csv)";
const AFTER_AS_TEXT: &str = "\n) TO STDOUT";

/// One consistent view of the source: a `REPEATABLE READ, READ ONLY` transaction.
pub struct Snapshot {
    client: Client,
    task: tokio::sync::Mutex<Option<Task>>,
    host: String,
    version: String,
    parameters: Mutex<Vec<String>>,
    running: Arc<Mutex<Option<Running>>>,
}

/// The task of the connection; its error is often more precise than the client's.
pub(super) type Task = JoinHandle<Result<(), tokio_postgres::Error>>;

/// A small result: every value as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rows {
    pub columns: Vec<String>,
    /// The rows; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// A table or view that a query reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// With its schema, quoted as SQL needs it.
    pub name: String,
    /// Whether the role may read every column.
    pub is_readable: bool,
}

/// The statement that is running.
#[derive(Debug, Clone, Copy)]
pub(super) struct Running {
    since: Instant,
    rows: u64,
    last_row: Option<Instant>,
}

impl Snapshot {
    pub(super) fn new(client: Client, task: Task, host: String, version: String) -> Self {
        Self {
            client,
            task: tokio::sync::Mutex::new(Some(task)),
            host,
            version,
            parameters: Mutex::default(),
            running: Arc::default(),
        }
    }

    /// Begins the transaction with these statements.
    pub(super) async fn open(&self, statements: &str) -> Result<()> {
        let started = self.begin();
        let result = self.client.batch_execute(statements).await;
        self.end();
        log(statements, &[], started, 0);
        match result {
            Ok(()) => Ok(()),
            Err(cause) => Err(self.failed(cause, 0, 0).await),
        }
    }

    /// Ends the transaction and the connection. Errors are ignored: the transaction only read.
    pub(super) async fn commit(self) {
        let _ = self.client.batch_execute("COMMIT").await;
        drop(self.client);
        if let Some(task) = self.task.into_inner() {
            let _ = task.await;
        }
    }

    /// Closes the connection without waiting for data in transit.
    pub(super) async fn abandon(self) {
        if let Some(task) = self.task.into_inner() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Returns the server's version as it reports it: `15.14 (Debian 15.14-0+deb12u1)`.
    pub fn server_version(&self) -> &str {
        &self.version
    }

    /// Returns the server's `host:port`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Sets a server setting (`work_mem`, `enable_nestloop`, …) until the snapshot ends.
    pub async fn set_local(&self, name: &str, value: &str) -> Result<()> {
        self.set(&[(name, value.to_owned())]).await
    }

    /// Sets parameters that statements read with `current_setting('pushctl.…')`. The values are bound, never part of a
    /// text.
    pub async fn set_parameters(&self, parameters: &[(&str, String)]) -> Result<()> {
        self.set(parameters).await?;
        let mut known = lock(&self.parameters);
        for (name, _) in parameters {
            if !known.iter().any(|known| known == name) {
                known.push((*name).to_owned());
            }
        }
        Ok(())
    }

    /// Returns the names of a query's columns, found without running it.
    pub async fn columns(&self, query: &str) -> Result<Vec<String>> {
        const OPEN: &str = "COPY (SELECT * FROM (";
        const CLOSE: &str = "\n) AS q LIMIT 0) TO STDOUT (FORMAT csv, HEADER)";
        let mut header = Vec::new();
        self.copy(OPEN, query, CLOSE, &mut |chunk: &[u8]| {
            header.extend_from_slice(chunk);
            Ok(())
        })
        .await?;
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(header.as_slice());
        let names = reader.records().next().and_then(std::result::Result::ok);
        Ok(names
            .map(|names| names.iter().map(str::to_owned).collect())
            .unwrap_or_default())
    }

    /// Plans a query without running it: fails as the query would, for a missing privilege too.
    pub async fn explain(&self, query: &str) -> Result<()> {
        const BEFORE: &str = "EXPLAIN SELECT * FROM (";
        let query = query.trim_end().trim_end_matches(';');
        let statement = format!("{BEFORE}{query}\n) AS q");
        self.one(&statement, BEFORE.len(), query.chars().count())
            .await
            .map(drop)
    }

    /// Returns the tables and views that a query reads, without running it and without a privilege on them.
    ///
    /// The server parses the query and so locks what it names for reading. A savepoint ends these locks.
    pub async fn relations(&self, query: &str) -> Result<Vec<Relation>> {
        const BEFORE: &str = "PREPARE pushctl_relations AS SELECT * FROM (";
        const LOCKED: &str = "
            SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname),
                   pg_catalog.has_table_privilege(c.oid, 'SELECT')
              FROM pg_catalog.pg_locks l
              JOIN pg_catalog.pg_class c ON c.oid = l.relation
              JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
             WHERE l.pid = pg_catalog.pg_backend_pid() AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
               AND n.nspname NOT IN ('pg_catalog', 'information_schema')
             ORDER BY 1";
        let query = query.trim_end().trim_end_matches(';');
        let statement = format!("{BEFORE}{query}\n) AS q");
        self.one("SAVEPOINT relations", 0, 0).await?;
        let parsed = self
            .one(&statement, BEFORE.len(), query.chars().count())
            .await;
        let found = match parsed {
            Ok(_) => self.one(LOCKED, 0, 0).await,
            Err(error) => Err(error),
        };
        self.one("ROLLBACK TO relations", 0, 0).await?;
        let rows = found?;
        self.one("DEALLOCATE pushctl_relations", 0, 0).await?;
        let relation = |row: &tokio_postgres::Row| Relation {
            name: row.get(0),
            is_readable: row.get(1),
        };
        Ok(rows.iter().map(relation).collect())
    }

    /// Runs work whose failure leaves the transaction usable.
    pub async fn attempt<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.one("SAVEPOINT attempt", 0, 0).await?;
        let outcome = work.await;
        self.one("ROLLBACK TO attempt", 0, 0).await?;
        outcome
    }

    /// Runs a statement of the extended protocol, which takes exactly one. `before` and `length`: where in it the
    /// caller's query begins, and how long that is.
    async fn one(
        &self,
        statement: &str,
        before: usize,
        length: usize,
    ) -> Result<Vec<tokio_postgres::Row>> {
        let started = self.begin();
        let result = self.client.query_typed(statement, &[]).await;
        self.end();
        log(statement, &[], started, 0);
        match result {
            Ok(rows) => Ok(rows),
            Err(cause) => Err(self.failed(cause, before, length).await),
        }
    }

    /// Runs a query whose result is small, and returns all of it.
    pub async fn query(&self, query: &str) -> Result<Rows> {
        let columns = self.columns(query).await?;
        let mut rows = Vec::new();
        self.copy(BEFORE, query, AFTER_AS_TEXT, &mut |chunk: &[u8]| {
            rows.push(text_row(chunk, columns.len()));
            Ok(())
        })
        .await?;
        Ok(Rows { columns, rows })
    }

    /// Streams a query's rows as the server's CSV, without a header: `sink` gets each row's bytes, line break included,
    /// as they arrive. Returns the number of rows. An error of the sink ends the stream.
    pub async fn copy_out(
        &self,
        query: &str,
        sink: &mut impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<u64> {
        self.copy(BEFORE, query, AFTER_AS_CSV, sink).await
    }

    async fn set(&self, settings: &[(&str, String)]) -> Result<()> {
        const SET: &str = "SELECT pg_catalog.set_config(name, value, true) \
                           FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS setting (name, value)";
        if settings.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = settings.iter().map(|(name, _)| *name).collect();
        let values: Vec<&str> = settings.iter().map(|(_, value)| value.as_str()).collect();
        let started = self.begin();
        let result = self
            .client
            .query_typed(
                SET,
                &[(&names, Type::TEXT_ARRAY), (&values, Type::TEXT_ARRAY)],
            )
            .await;
        self.end();
        log(SET, &names, started, 0);
        match result {
            Ok(_) => Ok(()),
            Err(cause) => Err(self.failed(cause, 0, 0).await),
        }
    }

    async fn copy(
        &self,
        before: &str,
        query: &str,
        after: &str,
        sink: &mut impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<u64> {
        let query = query.trim_end().trim_end_matches(';');
        let statement = format!("{before}{query}{after}");
        let started = self.begin();
        let result = self.stream(&statement, sink).await;
        if let Ok(Ok(rows)) = &result {
            self.end();
            let known = lock(&self.parameters);
            let used: Vec<&str> = known
                .iter()
                .map(String::as_str)
                .filter(|name| query.contains(*name))
                .collect();
            log(&statement, &used, started, *rows);
        }
        match result {
            Ok(outcome) => outcome,
            Err(cause) => {
                self.end();
                Err(self
                    .failed(cause, before.chars().count(), query.chars().count())
                    .await)
            }
        }
    }

    /// Streams the rows into the sink. The outer error is the connection's, the inner one the sink's.
    async fn stream(
        &self,
        statement: &str,
        sink: &mut impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<Result<u64>, tokio_postgres::Error> {
        /// The arrival time is taken only once in so many rows, because reading the clock costs time.
        const NOTE_EVERY: u64 = 256;
        let mut chunks = pin!(self.client.copy_out(statement).await?);
        let mut rows = 0;
        while let Some(chunk) = chunks.next().await {
            if let Err(error) = sink(&chunk?) {
                return Ok(Err(error));
            }
            rows += 1;
            if rows % NOTE_EVERY == 1 {
                self.note(rows);
            }
        }
        Ok(Ok(rows))
    }

    /// Converts the driver's error. For "connection closed" it takes the reason from the connection's task.
    async fn failed(&self, cause: tokio_postgres::Error, before: usize, length: usize) -> Error {
        let mut failure = Failure::driver(&cause);
        if matches!(failure.trouble, FailureCause::Closed)
            && let Some(task) = self.task.lock().await.take()
            && let Ok(Ok(Err(cause))) = timeout(GOODBYE, task).await
        {
            failure = Failure::driver(&cause);
        }
        if let FailureCause::Sql(error) = &mut failure.trouble {
            error.unwrap_position(before, length);
        }
        failure.into_error(format!("reading from {} failed", self.host))
    }

    fn begin(&self) -> Instant {
        let since = Instant::now();
        *lock(&self.running) = Some(Running {
            since,
            rows: 0,
            last_row: None,
        });
        since
    }

    fn note(&self, rows: u64) {
        if let Some(running) = &mut *lock(&self.running) {
            running.rows = rows;
            running.last_row = Some(Instant::now());
        }
    }

    fn end(&self) {
        *lock(&self.running) = None;
    }

    /// Returns the statement that is running, if any.
    pub(super) fn running(&self) -> Option<Running> {
        *lock(&self.running)
    }

    /// Returns the running statement for a holder that outlives the snapshot.
    pub(super) fn watch_running(&self) -> Arc<Mutex<Option<Running>>> {
        Arc::clone(&self.running)
    }
}

impl Running {
    /// Describes the statement for the error of an ended deadline.
    pub(super) fn describe(&self) -> String {
        let ran = Seconds(self.since.elapsed());
        match self.last_row {
            None => format!("a statement ran for {ran} without a row"),
            Some(at) if at.elapsed() > Duration::from_secs(1) => {
                format!(
                    "after about {}, no data came for {}",
                    counted(self.rows, "rows"),
                    Seconds(at.elapsed())
                )
            }
            Some(_) => format!(
                "rows were still arriving, about {} in {ran}",
                number(self.rows)
            ),
        }
    }

    /// Returns whether it has sent nothing for seconds.
    pub(super) fn is_silent(&self) -> bool {
        self.last_row.unwrap_or(self.since).elapsed() > Duration::from_secs(5)
    }

    /// Returns whether the rows had begun and then stopped.
    pub(super) fn stalled(&self) -> bool {
        self.last_row
            .is_some_and(|at| at.elapsed() > Duration::from_secs(1))
    }
}

fn log(statement: &str, parameters: &[&str], started: Instant, rows: u64) {
    tracing::debug!(
        target: "pushctl::sql",
        ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        rows,
        parameters = parameters.join(", "),
        "{}",
        statement.split_whitespace().collect::<Vec<_>>().join(" ")
    );
}

/// COPY's text format: values divided by tabs, a line break at the end, `\N` for NULL, backslash escapes.
fn text_row(line: &[u8], columns: usize) -> Vec<Option<String>> {
    if columns == 0 {
        return Vec::new();
    }
    let line = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned();
    line.split('\t')
        .map(|field| (field != "\\N").then(|| unescape(field)))
        .collect()
}

fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next().map(|escaped| match escaped {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                other => other,
            })),
            other => text.push(other),
        }
    }
    text
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
