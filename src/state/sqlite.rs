//! The embedded store: one SQLite file (WAL), reached through a thread of its own so that nobody's `await` blocks.
//!
//! Several processes may use the file at once: writers queue for SQLite's one write lock. The file is mode 0600,
//! bears the application id `push`, and is refused if it is somebody else's database.
//!
//! While it is open, what was written last stands in a log beside the file (`-wal`). [`Sqlite::close`] moves all of it
//! into the file, so that at rest the file alone is the whole store: a copy of it is a backup.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;

use super::failure;
use super::value::{Cells, Row, Statement, Value};
use crate::error::{Context, Error, ErrorKind, Result};

/// How long a writer waits for the others before it gives up: many times what any group of claims takes.
const BUSY: Duration = Duration::from_secs(30);
/// SQLite's own waiting grows to 100 ms a step, which starves the second of two senders.
const BUSY_STEP: Duration = Duration::from_millis(2);
/// Longer than a new file stays empty until the process that makes it has written its header.
const BEING_MADE: Duration = Duration::from_secs(1);
/// "push", in the file's header.
const APPLICATION_ID: i32 = 0x7075_7368;

/// Whether a commit must be on the disk when it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// It survives the loss of power. For what must be true before something irrevocable is done.
    Disk,
    /// It survives the death of the process; a loss of power may take the last moments.
    Process,
}

/// How long the end of a command waits for another process that is reading or moving the log itself.
const BUSY_AT_END: Duration = Duration::from_millis(100);

enum SqliteJob {
    Work(Work),
    /// The connection is closed, and then this is answered.
    Close(oneshot::Sender<()>),
}

type Work = Box<dyn FnOnce(&mut Connection) + Send>;

/// A handle to the thread that owns the connection; the thread ends with the last handle.
pub(super) struct Sqlite {
    jobs: mpsc::Sender<SqliteJob>,
    path: PathBuf,
}

impl Sqlite {
    /// Opens the file, making it and its directory if need be.
    pub(super) async fn open(path: PathBuf) -> Result<Self> {
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
        outcome.await.map_err(|_| gone())??;
        Ok(Self { jobs, path })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves the log into the file and closes it, after the work that was asked for before. The handle is of no use
    /// afterwards. Where another process has the file open too, the last one to close it moves the rest.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(SqliteJob::Close(done)).is_ok() {
            let _ = closed.await;
        }
    }

    /// Moves the log into the file, as far as other processes let it, and keeps the file open.
    pub(super) async fn rest(&self) {
        let moved = self.run(|connection| {
            move_log(connection);
            queue_for_the_lock(connection)
        });
        let _ = moved.await;
    }

    /// Runs `work` on the store's thread. Dropping the future does not undo the work.
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
        result
            .await
            .map_err(|_| gone())?
            .map_err(|cause| failure::sqlite(cause, &self.path))
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

/// Does the jobs until the last handle is gone, or one of them closes the store.
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

/// Moves the log into the file and empties it. What another process keeps from being moved stays in the log, which is
/// as safe, and is moved by that process.
fn move_log(connection: &Connection) {
    let moved = connection.busy_timeout(BUSY_AT_END).and_then(|()| {
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
            row.get::<_, i64>(0)
        })
    });
    if let Err(error) = moved {
        tracing::debug!("the state store's log stays beside it: {error}");
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

/// The shared SQL text as SQLite reads it: no schema, `?1` for `$1`.
pub(super) fn dialect(sql: &str) -> String {
    sql.replace("pushctl.", "").replace('$', "?")
}

fn connect(path: &Path) -> Result<Connection> {
    create(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let told = |cause| failure::sqlite(cause, path);
    let mut connection = Connection::open_with_flags(path, flags).map_err(told)?;
    if connection.is_readonly("main").map_err(told)? {
        return Err(failure::read_only(path));
    }
    configure(&mut connection).map_err(told)?;
    claim_file(&connection)
        .map_err(told)?
        .then_some(connection)
        .ok_or_else(|| failure::not_ours(path))
}

/// The file and its directory, readable by their owner only; SQLite gives its side files the same mode. An empty file that
/// was there before is no store: it may be a copy that was made without the log, and would send to everybody again.
fn create(path: &Path) -> Result<()> {
    let cannot = |cause: std::io::Error| failure::file(&cause, path);
    if let Some(directory) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(directory).map_err(cannot)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => has_content(path),
        Err(error) => Err(cannot(error)),
    }
}

/// Refuses an empty file without a log. One that another process is making at this moment is empty for an instant.
fn has_content(path: &Path) -> Result<()> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    // What is no file, or cannot be looked at, is for SQLite to complain about.
    let is_empty =
        |path: &Path| std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == 0);
    let has_log = || std::fs::metadata(&log).is_ok_and(|file| file.len() > 0);
    let began = Instant::now();
    while is_empty(path) && !has_log() {
        if began.elapsed() > BEING_MADE {
            return Err(failure::empty(path));
        }
        std::thread::sleep(BUSY_STEP);
    }
    Ok(())
}

fn queue_for_the_lock(connection: &mut Connection) -> rusqlite::Result<()> {
    let most = BUSY.as_millis() / BUSY_STEP.as_millis();
    connection.busy_handler(Some(move |tries: i32| {
        std::thread::sleep(BUSY_STEP);
        u128::try_from(tries).is_ok_and(|tries| tries < most)
    }))
}

fn configure(connection: &mut Connection) -> rusqlite::Result<()> {
    queue_for_the_lock(connection)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Otherwise a statement is planned anew for each value that is bound to it, which costs more than running it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // 8 MiB of cache; the log is folded back every 16 MiB and its file kept below 64.
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4096)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)
}

/// Marks an empty file as ours; false for a database that somebody else filled.
fn claim_file(connection: &Connection) -> rusqlite::Result<bool> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id == APPLICATION_ID {
        return Ok(true);
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    if tables > 0 || id != 0 {
        return Ok(false);
    }
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    Ok(true)
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
    use super::*;

    async fn scratch() -> (tempfile::TempDir, Sqlite) {
        let directory = tempfile::tempdir().unwrap();
        let store = Sqlite::open(directory.path().join("state.db"))
            .await
            .unwrap();
        (directory, store)
    }

    #[tokio::test]
    async fn a_full_disk_is_called_by_its_name() {
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
    async fn a_damaged_file_is_called_by_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        std::fs::write(
            &path,
            b"this is not a database, whatever its name says".repeat(99),
        )
        .unwrap();
        let error = Sqlite::open(path).await.err().unwrap();
        assert!(error.to_string().contains("damaged"), "{error:#}");
        assert!(error.hints().iter().any(|hint| hint.contains("import")));
    }

    #[tokio::test]
    async fn an_empty_file_is_not_taken_for_a_new_store() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.db");
        std::fs::write(&path, "").unwrap();
        let error = Sqlite::open(path.clone()).await.err().unwrap();
        assert!(error.to_string().contains("is an empty file"), "{error:#}");
        assert!(error.hints().iter().any(|hint| hint.contains("remove")));
    }

    #[tokio::test]
    async fn the_file_alone_is_whole_once_the_store_is_closed_or_rests() {
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
    async fn somebody_elses_database_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("theirs.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE accounts (id INTEGER)")
            .unwrap();
        let error = Sqlite::open(path).await.err().unwrap();
        assert!(error.to_string().contains("not a pushctl state store"));
    }

    #[tokio::test]
    async fn a_place_that_cannot_be_written_is_named_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Sqlite::open(file.join("state.db")).await.err().unwrap();
        assert!(error.to_string().contains("state.db"), "{error:#}");
        assert!(error.hints().iter().any(|hint| hint.contains("--state")));
    }
}
