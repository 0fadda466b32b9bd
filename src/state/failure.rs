//! Translates database errors into messages that name the store and the fix.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::advice::Advice;
use crate::error::{Error, ErrorKind};

const PRIMARY: &str = "name the primary in PUSHCTL_STATE_URL, or add target_session_attrs=read-write to it; default_transaction_read_only must be off";

/// A SQLite error about the store at `path`.
pub(super) fn sqlite(cause: rusqlite::Error, path: &Path) -> Error {
    let place = path.display();
    let code = cause.sqlite_error_code();
    let error = |kind, message: String| Error::from_cause(kind, cause).context(message);
    match code {
        Some(ErrorCode::DiskFull) => error(
            ErrorKind::Failed,
            format!("the disk is full: cannot write the state store {place}"),
        )
        .hint(Advice::StoreDiskFull),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => error(
            ErrorKind::Failed,
            format!("the state store {place} is damaged"),
        )
        .hint(Advice::DamagedStore),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => error(
            ErrorKind::Failed,
            format!("cannot write the state store {place}"),
        )
        .hint(Advice::OtherStore),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => error(
            ErrorKind::Locked,
            format!("another process has locked the state store {place} for too long"),
        ),
        _ => error(ErrorKind::Failed, format!("the state store {place} failed")),
    }
}

/// The store's file or directory cannot be created.
pub(super) fn file(cause: &std::io::Error, path: &Path) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("cannot create the state store {}: {cause}", path.display()),
    )
    .hint(Advice::OtherStore)
}

/// The store's file can be read but not written.
pub(super) fn read_only(path: &Path) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!("the state store {} is read-only", path.display()),
    )
    .hint(Advice::OtherStore)
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
        "{} is a database, but not a pushctl state store",
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
        ErrorKind::Failed,
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
        return Error::from_cause(ErrorKind::Unreachable, cause)
            .context("cannot reach the state store")
            .hint(Advice::AskDoctorAboutState);
    };
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
        .hint(Advice::StorePrivilege),
        b"3F000" | b"42P01" | b"42703" => error(
            ErrorKind::Failed,
            "the state store lacks a migration that this version needs",
        )
        .hint(Advice::Migrate),
        [b'0', b'8', ..] | [b'5', b'7', b'P', ..] | b"53300" => error(
            ErrorKind::Unreachable,
            "the state store accepts no connections at present",
        ),
        b"25006" => error(
            ErrorKind::Failed,
            "the state store is read-only: the server accepts no writes",
        )
        .hint(PRIMARY),
        b"53100" => error(ErrorKind::Failed, "the disk of the state store is full"),
        _ => error(ErrorKind::Failed, "the state store failed"),
    }
}
