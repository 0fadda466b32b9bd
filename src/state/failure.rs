//! Translates database errors into messages that name the store and the fix.

use std::io::Write as _;
use std::path::Path;

use rusqlite::ErrorCode;

use super::lock_holders;
use crate::advice::Advice;
use crate::error::{Error, ErrorKind};
use crate::limits;

const PRIMARY: &str = "this server is a standby, or default_transaction_read_only is on for the database or the role: name the primary in PUSHCTL_STATE_URL, or add target_session_attrs=read-write to it";

/// The bytes of a test write: enough that the file system has to find room for them.
const PROBE: usize = 1 << 16;

/// A SQLite error about the store at `path`.
pub(super) fn sqlite(cause: rusqlite::Error, path: &Path) -> Error {
    let place = path.display();
    let error = |kind, message: String| Error::new(kind, &cause).context(message);
    match cause.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => error(
            ErrorKind::Failed,
            format!("the disk is full: cannot write the state store {place}"),
        )
        .hint(Advice::StoreDiskFull),
        Some(ErrorCode::NotADatabase) => not_a_database(path),
        Some(ErrorCode::DatabaseCorrupt) => damaged(path, &cause),
        Some(
            ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::CannotOpen
            | ErrorCode::SystemIoFailure,
        ) => unwritable(path, &cause),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => locked(path),
        Some(ErrorCode::OutOfMemory) => error(
            ErrorKind::Failed,
            "not enough memory for the state store".to_owned(),
        )
        .hint("raise the memory limit of this process (`ulimit -v`, or the container's)"),
        _ => Error::from_cause(ErrorKind::Failed, cause)
            .context(format!("the state store {place} failed")),
    }
}

/// Another program has kept its lock on the file.
fn locked(path: &Path) -> Error {
    let holders = lock_holders::of(path);
    let by = match holders.as_slice() {
        [] => "another process has".to_owned(),
        [one] => format!("{one} has"),
        several => format!("{} have", several.join(", ")),
    };
    Error::new(
        ErrorKind::Locked,
        format!(
            "{by} locked the state store {} for too long",
            path.display()
        ),
    )
    .hint("end or wait for that process, then run the command again; nothing was changed meanwhile")
}

/// The file cannot be written. SQLite does not say why, so the operating system is asked.
fn unwritable(path: &Path, cause: &rusqlite::Error) -> Error {
    let error = match why_unwritable(path) {
        Some(reason) => Error::from_cause(ErrorKind::Failed, reason),
        None => Error::new(ErrorKind::Failed, cause),
    };
    error
        .context(format!("cannot write the state store {}", path.display()))
        .hint(Advice::OtherStore)
}

/// Returns why the file or its directory refuses a write, found by trying one of each.
fn why_unwritable(path: &Path) -> Option<std::io::Error> {
    let directory = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let probe = || {
        match std::fs::OpenOptions::new().write(true).open(path) {
            // It is about to be created.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            other => drop(other?),
        }
        let mut file = tempfile::tempfile_in(directory.unwrap_or(Path::new(".")))?;
        file.write_all(&vec![0; PROBE])?;
        file.sync_all()
    };
    probe().err().or_else(|| limits::too_large(path))
}

/// A page of the file is not what SQLite wrote.
pub(super) fn damaged(path: &Path, cause: impl std::fmt::Display) -> Error {
    let place = path.display();
    Error::new(ErrorKind::Failed, cause)
        .context(format!("the state store {place} is damaged"))
        .hint(format!(
            "move {place} and the files {place}-wal and {place}-shm aside; then copy a file of `pushctl state backup` to {place}, or import an export with `pushctl state import`"
        ))
        .hint("a restored store does not know the pushes since then: https://www.sqlite.org/recovery.html describes how to recover rows of the damaged file")
}

/// A backup of the store failed, because of the store or of the copy.
pub(super) fn backup(cause: &rusqlite::Error, store: &Path, copy: &Path) -> Error {
    match cause.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => damaged(store, cause),
        _ => match why_unwritable(copy) {
            Some(reason) => Error::from_cause(ErrorKind::Failed, reason),
            None => Error::new(ErrorKind::Failed, cause),
        }
        .context("cannot write the copy")
        .hint("name a file on another disk"),
    }
}

/// The store's file or directory cannot be created.
pub(super) fn file(cause: std::io::Error, path: &Path) -> Error {
    Error::from_cause(ErrorKind::Failed, cause)
        .context(format!("cannot create the state store {}", path.display()))
        .hint(Advice::OtherStore)
}

/// The store's file can be read but not written.
pub(super) fn read_only(path: &Path) -> Error {
    let message = format!("the state store {} is read-only", path.display());
    match why_unwritable(path) {
        Some(reason) => Error::from_cause(ErrorKind::Failed, reason).context(message),
        None => Error::new(ErrorKind::Failed, message),
    }
    .hint(Advice::OtherStore)
}

/// There is something else than a database at the path.
pub(super) fn not_a_database(path: &Path) -> Error {
    let place = path.display();
    if path.is_dir() {
        return Error::usage(format!("{place} is a directory, and not a state store"))
            .hint(format!("name a file in it: --state {place}/state.db"));
    }
    Error::usage(format!(
        "{place} is not a SQLite database, and therefore not a state store"
    ))
    .hint(Advice::OtherStore)
    .hint(format!("if it was a state store, it is damaged: move it aside and copy a file of `pushctl state backup` to {place}"))
}

/// The file exists and is empty.
pub(super) fn empty(path: &Path) -> Error {
    let place = path.display();
    Error::new(
        ErrorKind::Failed,
        format!("the state store {place} is an empty file; with it every recipient would count as not sent to"),
    )
    .hint(format!(
        "if it is a copy, restore a complete one: an export of `pushctl state export`, or the file together with {place}-wal"
    ))
    .hint(format!("to begin with a new store, remove {place}"))
}

/// The file is a database of another application.
pub(super) fn not_ours(path: &Path) -> Error {
    Error::usage(format!(
        "{} is a SQLite database of another application, and not a pushctl state store",
        path.display()
    ))
    .hint(Advice::OtherStore)
}

/// The PostgreSQL server, or this role's sessions on it, are read-only.
pub(super) fn accepts_no_writes(place: &str) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("cannot write the state store at {place}: the server accepts no writes"),
    )
    .hint(PRIMARY)
}

/// The role may not write to these tables.
pub(super) fn lacks_privilege(place: &str, role: &str, tables: &str) -> Error {
    Error::new(
        ErrorKind::Credentials,
        format!(
            "cannot write the state store at {place}: the role {role} may not write to {tables}"
        ),
    )
    .hint(format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pushctl TO {role}"
    ))
}

/// A PostgreSQL error about the store.
pub(super) fn postgres(cause: tokio_postgres::Error) -> Error {
    let Some(state) = cause.code().map(|state| state.code().to_owned()) else {
        return Error::from_cause(ErrorKind::Unreachable, cause).hint(Advice::AskDoctorAboutState);
    };
    let missing = missing_privilege(&cause);
    let error = |kind, message: &str| Error::from_cause(kind, cause).context(message);
    match state.as_bytes() {
        [b'2', b'8', ..] => error(
            ErrorKind::Credentials,
            "the state store rejects the credentials",
        )
        .hint(Advice::StorePassword),
        b"42501" => error(
            ErrorKind::Credentials,
            "the role lacks a privilege in the state store",
        )
        .hint(missing),
        b"25006" => error(
            ErrorKind::Failed,
            "the state store is read-only: the server accepts no writes",
        )
        .hint(PRIMARY),
        b"3F000" | b"42P01" | b"42703" => error(
            ErrorKind::Failed,
            "the state store lacks a migration that this version needs",
        )
        .hint(Advice::Migrate),
        b"53300" | b"53400" => error(
            ErrorKind::Unreachable,
            "the state store has no free connection",
        )
        .hint(Advice::StoreConnections),
        [b'0', b'8', ..] | [b'5', b'7', b'P', ..] => error(
            ErrorKind::Unreachable,
            "the state store accepts no connections at present",
        ),
        b"53100" => error(ErrorKind::Failed, "the disk of the state store is full"),
        _ => error(ErrorKind::Failed, "the state store failed"),
    }
}

/// Returns the grant that a role lacks. The server's message names the object.
fn missing_privilege(cause: &tokio_postgres::Error) -> Advice {
    let message = cause.as_db_error().map_or("", |refusal| refusal.message());
    if message.contains("database") {
        Advice::StoreSchema
    } else {
        Advice::StorePrivilege
    }
}

/// The schema contains tables that pushctl did not make.
pub(super) fn foreign_schema(tables: &str) -> Error {
    Error::usage(format!(
        "the schema pushctl of the state store's database has tables that pushctl did not make: {tables}"
    ))
    .hint("set PUSHCTL_STATE_URL to another database, or rename that schema; nothing was changed")
}
