//! The embedded store: one SQLite file (WAL), used from a thread of its own so that it never blocks an async task.
//!
//! Several processes may use the file at once: writers queue for SQLite's one write lock. The file has mode 0600 and
//! the application id `push`; a file that belongs to another application is rejected.
//!
//! While it is open, the latest writes are in a log beside the file (`-wal`). [`Sqlite::close`] moves all of them into
//! the file, so that afterwards the file alone is the whole store: a copy of it is a backup.

use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;

use super::failure;
use super::value::{Cells, Row, Statement, Value};
use crate::budget::Budget;
use crate::error::{Context, Error, ErrorKind, Result};

/// The timeout for the write lock: many times longer than any group of claims takes.
const LOCK_TIMEOUT: Duration = Duration::from_secs(30);
/// The wait between two attempts. SQLite's own waits grow to 100 ms, which starves the second of two senders.
const LOCK_RETRY_WAIT: Duration = Duration::from_millis(2);
/// "push", in the file's header.
const APPLICATION_ID: i32 = 0x7075_7368;

/// How durable a commit is when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// It survives a loss of power. For records that must exist before an irrevocable action.
    Disk,
    /// It survives the death of the process; a loss of power may lose the last moments.
    Process,
}

/// The timeout for moving the log at the end of a command, while another process reads or moves it.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);

enum SqliteJob {
    Work(Work),
    /// Close the connection, then notify.
    Close(oneshot::Sender<()>),
}

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle to the thread that owns the connection; the thread ends with the last handle.
pub(super) struct Sqlite {
    jobs: mpsc::Sender<SqliteJob>,
    path: PathBuf,
    /// The file's name, as waits name it.
    named: Arc<str>,
    budget: Budget,
}

impl Sqlite {
    /// Opens the file, and creates it and its directory if they do not exist.
    pub(super) async fn open(path: PathBuf, budget: Budget) -> Result<Self> {
        Self::start(path, connect, budget).await
    }

    /// Opens the file if there is one. It may be read-only.
    pub(super) async fn open_existing(path: PathBuf, budget: Budget) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        Self::start(path, connect_existing, budget).await.map(Some)
    }

    /// Opens a store in memory, which ends with its last handle.
    pub(super) async fn in_memory(budget: Budget) -> Result<Self> {
        let open = |path: &Path| {
            Connection::open_in_memory().map_err(|cause| failure::sqlite(cause, path))
        };
        Self::start(PathBuf::from("in memory"), open, budget).await
    }

    async fn start(
        path: PathBuf,
        connect: impl FnOnce(&Path) -> Result<Connection> + Send + 'static,
        budget: Budget,
    ) -> Result<Self> {
        let named: Arc<str> = format!("the state store {}", path.display()).into();
        let (jobs, queue) = mpsc::channel::<SqliteJob>();
        let (opened, outcome) = oneshot::channel();
        let file = path.clone();
        std::thread::Builder::new()
            .name("state".to_owned())
            .spawn(move || match connect(&file) {
                Ok(connection) => {
                    if opened.send(Ok(())).is_ok() {
                        serve(connection, &queue);
                    }
                }
                Err(error) => drop(opened.send(Err(error))),
            })
            .kind(
                ErrorKind::Failed,
                || "cannot start the state store's thread",
            )?;
        let opening = async { outcome.await.map_err(|_| gone())? };
        budget.wait_with_grace(Arc::clone(&named), opening).await?;
        Ok(Self {
            jobs,
            path,
            named,
            budget,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the log into the file and closes it, after the queued work. The handle cannot be used afterwards. If
    /// another process has the file open too, the last one to close it moves the rest.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(SqliteJob::Close(done)).is_ok() {
            let _ = closed.await;
        }
    }

    /// Moves the log into the file, as far as other processes allow it, and keeps the file open.
    pub(super) async fn rest(&self) {
        let moved = self.run(|connection| {
            move_log(connection);
            queue_for_the_lock(connection)
        });
        let _ = moved.await;
    }

    /// Runs `work` on the store's thread. Dropping the future, or the end of the budget, does not undo the work.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let (done, result) = oneshot::channel();
        self.jobs
            .send(SqliteJob::Work(Box::new(move |connection| {
                drop(done.send(work(connection)));
            })))
            .map_err(|_| gone())?;
        let answer = async {
            let answer = result.await.map_err(|_| gone())?;
            answer.map_err(|cause| failure::sqlite(cause, &self.path))
        };
        self.budget
            .wait_with_grace(Arc::clone(&self.named), answer)
            .await
    }

    /// Runs `work` in one write transaction.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(move |connection| {
            connection.pragma_update(None, "synchronous", durability.pragma())?;
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = work(&transaction)?;
            transaction.commit()?;
            Ok(value)
        })
        .await
    }

    pub(super) async fn query(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        let sql = dialect(sql);
        self.run(move |connection| rows(connection, &sql, params))
            .await
    }

    pub(super) async fn returning(&self, sql: &str, params: Vec<Value>) -> Result<Vec<Row>> {
        let sql = dialect(sql);
        self.write(Durability::Disk, move |connection| {
            rows(connection, &sql, params)
        })
        .await
    }

    pub(super) async fn transact(&self, statements: Vec<Statement>) -> Result<Vec<u64>> {
        self.write(Durability::Disk, move |connection| {
            statements
                .into_iter()
                .map(|(sql, params)| {
                    let mut statement = connection.prepare_cached(&dialect(&sql))?;
                    let changed = statement.execute(rusqlite::params_from_iter(params))?;
                    Ok(changed as u64)
                })
                .collect()
        })
        .await
    }

    pub(super) async fn script(&self, text: String) -> Result<()> {
        self.write(Durability::Disk, move |connection| {
            connection.execute_batch(&text)
        })
        .await
    }
}

impl Sqlite {
    /// Sends every row of `tables`, as they are at one instant.
    pub(super) async fn dump(
        &self,
        tables: Vec<&'static str>,
        out: Sender<(&'static str, Cells)>,
    ) -> Result<()> {
        self.run(move |connection| {
            let snapshot = connection.transaction()?;
            for table in tables {
                let mut statement =
                    snapshot.prepare(&format!("SELECT * FROM {table} ORDER BY 1"))?;
                let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    let cell = |(column, name): (usize, &String)| {
                        Ok((name.clone(), row.get_ref(column)?.try_into()?))
                    };
                    let cells: rusqlite::Result<Cells> =
                        names.iter().enumerate().map(cell).collect();
                    if out.blocking_send((table, cells?)).is_err() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        })
        .await
    }
}

impl Durability {
    fn pragma(self) -> &'static str {
        match self {
            Self::Disk => "FULL",
            Self::Process => "NORMAL",
        }
    }
}

/// Runs jobs until the last handle is dropped, or a job closes the store.
fn serve(mut connection: Connection, queue: &mpsc::Receiver<SqliteJob>) {
    let mut closing = None;
    for job in queue {
        match job {
            SqliteJob::Work(work) => work(&mut connection),
            SqliteJob::Close(done) => {
                closing = Some(done);
                break;
            }
        }
    }
    move_log(&connection);
    drop(connection);
    if let Some(done) = closing {
        let _ = done.send(());
    }
}

/// Moves the log into the file and empties it. A part that another process still reads stays in the log, where it is as
/// safe, and that process moves it later.
fn move_log(connection: &Connection) {
    let moved = connection.busy_timeout(CLOSE_TIMEOUT).and_then(|()| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
            row.get::<_, i64>(0)
        })
    });
    if let Err(error) = moved {
        tracing::debug!("cannot move the state store's log into its file: {error}");
    }
}

fn rows(connection: &Connection, sql: &str, params: Vec<Value>) -> rusqlite::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.column_count();
    let mut rows = statement.query(rusqlite::params_from_iter(params))?;
    let mut answer = Vec::new();
    while let Some(row) = rows.next()? {
        let cells: rusqlite::Result<Vec<Value>> = (0..columns)
            .map(|column| row.get_ref(column)?.try_into())
            .collect();
        answer.push(Row(cells?));
    }
    Ok(answer)
}

/// Translates shared SQL for SQLite: no schema, `?1` for `$1`.
pub(super) fn dialect(sql: &str) -> String {
    sql.replace("pushctl.", "").replace('$', "?")
}

fn connect(path: &Path) -> Result<Connection> {
    create(path)?;
    let failed = |cause| failure::sqlite(cause, path);
    let mut connection = open(path).map_err(failed)?;
    if connection.is_readonly("main").map_err(failed)? {
        return Err(failure::read_only(path));
    }
    let ours = configure(&mut connection).and_then(|()| mark(&connection));
    ours.map_err(failed)?
        .then_some(connection)
        .ok_or_else(|| failure::not_ours(path))
}

fn connect_existing(path: &Path) -> Result<Connection> {
    refuse_empty(path)?;
    let failed = |cause| failure::sqlite(cause, path);
    let mut connection = open(path).map_err(failed)?;
    let id = configure(&mut connection).and_then(|()| application_id(&connection));
    (id.map_err(failed)? == APPLICATION_ID)
        .then_some(connection)
        .ok_or_else(|| failure::not_ours(path))
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
}

/// Creates the file and its directory, readable by their owner only; SQLite gives its side files the same mode. The
/// file appears under its name once it is marked as a state store and has its journal mode, so that of several
/// processes that begin at once none sees a part of it. An empty file that existed before is rejected.
fn create(path: &Path) -> Result<()> {
    if path.exists() {
        return refuse_empty(path);
    }
    let cannot = |cause: std::io::Error| failure::file(&cause, path);
    let directory = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    if let Some(directory) = directory {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).map_err(cannot)?;
    }
    let file = tempfile::Builder::new()
        .prefix(".pushctl-state-")
        .tempfile_in(directory.unwrap_or(Path::new(".")))
        .map_err(cannot)?;
    let marked = Connection::open(file.path()).and_then(|connection| {
        mark(&connection)?;
        connection.close().map_err(|(_, error)| error)
    });
    marked.map_err(|cause| failure::sqlite(cause, path))?;
    match file.into_temp_path().persist_noclobber(path) {
        Ok(()) => Ok(()),
        // Another process created it meanwhile.
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(cannot(error.error)),
    }
}

/// Marks a database without a table as a state store, and sets its journal mode; returns false for a database of another
/// application.
fn mark(connection: &Connection) -> rusqlite::Result<bool> {
    // In this order: another process may mark it, and then make tables.
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    match application_id(connection)? {
        APPLICATION_ID => {}
        0 if tables == 0 => connection.pragma_update(None, "application_id", APPLICATION_ID)?,
        _ => return Ok(false),
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    Ok(true)
}

fn application_id(connection: &Connection) -> rusqlite::Result<i32> {
    connection.pragma_query_value(None, "application_id", |row| row.get(0))
}

/// Rejects an empty file without a log: it may be a copy made without the log, and would send to every recipient again.
fn refuse_empty(path: &Path) -> Result<()> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // If it is not a file, or cannot be read, SQLite reports the error.
    let is_empty = std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == 0);
    let has_log = std::fs::metadata(&log).is_ok_and(|file| file.len() > 0);
    if is_empty && !has_log {
        return Err(failure::empty(path));
    }
    Ok(())
}

fn queue_for_the_lock(connection: &mut Connection) -> rusqlite::Result<()> {
    let most = LOCK_TIMEOUT.as_millis() / LOCK_RETRY_WAIT.as_millis();
    connection.busy_handler(Some(move |tries: i32| {
        std::thread::sleep(LOCK_RETRY_WAIT);
        u128::try_from(tries).is_ok_and(|tries| tries < most)
    }))
}

fn configure(connection: &mut Connection) -> rusqlite::Result<()> {
    queue_for_the_lock(connection)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Without this a statement is planned again for each bound value, which costs more than running it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // 8 MiB of cache; the log is moved into the file every 16 MiB, and its file is kept below 64 MiB.
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4096)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)
}

fn gone() -> Error {
    Error::new(ErrorKind::Bug, "the state store's thread ended")
}

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(value) => ValueRef::Integer(*value),
            Self::Text(value) => ValueRef::Text(value.as_bytes()),
            Self::Blob(value) => ValueRef::Blob(value),
        }))
    }
}

impl TryFrom<ValueRef<'_>> for Value {
    type Error = rusqlite::Error;

    fn try_from(value: ValueRef<'_>) -> rusqlite::Result<Self> {
        Ok(match value {
            ValueRef::Null => Self::Null,
            ValueRef::Integer(value) => Self::Int(value),
            ValueRef::Real(value) => Self::Text(value.to_string()),
            ValueRef::Text(bytes) => Self::Text(
                std::str::from_utf8(bytes)
                    .map_err(|cause| rusqlite::Error::Utf8Error(0, cause))?
                    .to_owned(),
            ),
            ValueRef::Blob(bytes) => Self::Blob(bytes.to_vec()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    async fn open(path: PathBuf) -> Result<Sqlite> {
        Sqlite::open(path, Budget::open(Duration::from_secs(60))).await
    }

    async fn scratch() -> (tempfile::TempDir, Sqlite) {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path().join("state.db")).await.unwrap();
        (directory, store)
    }

    #[tokio::test]
    async fn a_full_disk_is_named_in_the_error() {
        let (_directory, store) = scratch().await;
        let error = store
            .run(|connection| {
                connection.execute_batch("CREATE TABLE t (x BLOB); PRAGMA max_page_count = 4")?;
                connection.execute("INSERT INTO t VALUES (zeroblob(100000))", [])
            })
            .await
            .unwrap_err();
        assert!(error.to_string().contains("disk is full"), "{error:#}");
    }

    #[tokio::test]
    async fn a_damaged_file_is_named_in_the_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        std::fs::write(
            &path,
            b"this is not a database, whatever its name says".repeat(99),
        )
        .unwrap();
        let error = open(path).await.err().unwrap();
        assert!(error.to_string().contains("damaged"), "{error:#}");
        assert!(error.hints().iter().any(|hint| hint.contains("import")));
    }

    #[tokio::test]
    async fn an_empty_file_is_not_taken_for_a_new_store() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        std::fs::write(&path, "").unwrap();
        let error = open(path.clone()).await.err().unwrap();
        assert!(error.to_string().contains("is an empty file"), "{error:#}");
        assert!(error.hints().iter().any(|hint| hint.contains("remove")));
    }

    #[tokio::test]
    async fn the_file_alone_is_complete_once_the_store_is_closed_or_at_rest() {
        let (directory, store) = scratch().await;
        let path = directory.path().join("state.db");
        let rows_of_a_copy = || {
            let copy = directory.path().join("copy.db");
            std::fs::copy(&path, &copy).unwrap();
            let copy = Connection::open(copy).unwrap();
            copy.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0))
                .unwrap()
        };
        let insert = "INSERT INTO t VALUES (1)";
        store
            .script(format!("CREATE TABLE t (x); {insert}"))
            .await
            .unwrap();
        store.rest().await;
        assert_eq!(rows_of_a_copy(), 1);
        store.script(insert.to_owned()).await.unwrap();
        store.close().await;
        assert_eq!(rows_of_a_copy(), 2);
        assert!(store.script(insert.to_owned()).await.is_err());
    }

    #[tokio::test]
    async fn a_store_is_closed_while_another_process_reads_it() {
        let (directory, store) = scratch().await;
        let other = Connection::open(directory.path().join("state.db")).unwrap();
        store.script("CREATE TABLE t (x)".to_owned()).await.unwrap();
        other.execute_batch("BEGIN; SELECT * FROM t").unwrap();
        store
            .script("INSERT INTO t VALUES (1)".to_owned())
            .await
            .unwrap();
        let began = Instant::now();
        store.close().await;
        assert!(began.elapsed() < Duration::from_secs(1));
        drop(other);
        let rows = Connection::open(directory.path().join("state.db"))
            .unwrap()
            .query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
        assert_eq!(rows, Ok(1));
    }

    #[tokio::test]
    async fn a_database_of_another_application_is_not_changed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("theirs.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE accounts (id INTEGER)")
            .unwrap();
        let error = open(path).await.err().unwrap();
        assert!(error.to_string().contains("not a pushctl state store"));
    }

    #[tokio::test]
    async fn a_path_that_cannot_be_written_is_named_with_a_hint() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = open(file.join("state.db")).await.err().unwrap();
        assert!(error.to_string().contains("state.db"), "{error:#}");
        assert!(error.hints().iter().any(|hint| hint.contains("--state")));
    }
}
