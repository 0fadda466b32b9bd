//! What went wrong with a store, in words that name the fix.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::error::{Error, ErrorKind};

const ELSEWHERE: &str =
    "Give another place with --state, or a PostgreSQL store with PUSHCTL_STATE_URL";

/// A SQLite error about the store at `path`.
pub(super) fn sqlite(cause: rusqlite::Error, path: &Path) -> Error {
    let place = path.display();
    let code = cause.sqlite_error_code();
    let told = |kind, message: String| Error::from_cause(kind, cause).context(message);
    match code {
        Some(ErrorCode::DiskFull) => told(
            ErrorKind::Failed,
            format!("the disk is full: cannot write the state store {place}"),
        )
        .hint("Free some space and start again: what was recorded stays recorded"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => told(
            ErrorKind::Failed,
            format!("the state store {place} is damaged"),
        )
        .hint("Move the file aside, and bring a backup back with `pushctl state import`"),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => told(
            ErrorKind::Failed,
            format!("cannot write the state store {place}"),
        )
        .hint(ELSEWHERE),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => told(
            ErrorKind::Locked,
            format!("another process has kept the state store {place} busy for too long"),
        ),
        _ => told(ErrorKind::Failed, format!("the state store {place} failed")),
    }
}

/// The store's file or directory cannot be made.
pub(super) fn file(cause: &std::io::Error, path: &Path) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("cannot make the state store {}: {cause}", path.display()),
    )
    .hint(ELSEWHERE)
}

/// The store's file may be read, not written.
pub(super) fn read_only(path: &Path) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("the state store {} is read-only", path.display()),
    )
    .hint(ELSEWHERE)
}

/// The file is there, and holds nothing.
pub(super) fn empty(path: &Path) -> Error {
    let place = path.display();
    Error::new(
        ErrorKind::Failed,
        format!("the state store {place} is an empty file: everyone would count as never sent to"),
    )
    .hint(format!(
        "if it is a copy, restore one that is whole: `pushctl state export`, or the file together with {place}-wal"
    ))
    .hint(format!("remove {place} to begin with a new store"))
}

/// The file is a database, but not one of ours.
pub(super) fn not_ours(path: &Path) -> Error {
    Error::usage(format!(
        "{} is a database, but not a pushctl state store",
        path.display()
    ))
    .hint(ELSEWHERE)
}

/// A PostgreSQL error about the store.
pub(super) fn postgres(cause: tokio_postgres::Error) -> Error {
    let Some(state) = cause.code().map(|state| state.code().to_owned()) else {
        return Error::from_cause(ErrorKind::Unreachable, cause)
            .context("cannot reach the state store")
            .hint("`pushctl doctor --only state` shows how far it gets");
    };
    let told = |kind, message: &str| Error::from_cause(kind, cause).context(message);
    match state.as_bytes() {
        [b'2', b'8', ..] => told(ErrorKind::Credentials, "the state store refused the credentials")
            .hint("Check PUSHCTL_STATE_URL"),
        b"42501" => told(
            ErrorKind::Credentials,
            "the role may not do that in the state store",
        )
        .hint("GRANT CREATE ON DATABASE … TO the role, or have its owner make the schema: CREATE SCHEMA pushctl AUTHORIZATION …"),
        b"3F000" | b"42P01" | b"42703" => told(
            ErrorKind::Failed,
            "the state store is not migrated as this version needs it",
        )
        .hint("`pushctl state migrate`"),
        [b'0', b'8', ..] | [b'5', b'7', b'P', ..] | b"53300" => {
            told(ErrorKind::Unreachable, "the state store is not taking connections")
        }
        b"53100" => told(ErrorKind::Failed, "the disk of the state store is full"),
        _ => told(ErrorKind::Failed, "the state store failed"),
    }
}
