//! Copies the pages of a SQLite database into another file, and checks the copy.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

/// Pages copied at once: 4 MiB.
const PAGES_AT_ONCE: i32 = 1024;
/// The wait before a step that found the database locked is repeated.
const RETRY_WAIT: Duration = Duration::from_millis(2);

/// Copies page by page, until `go_on` says no. The copy is complete once all its pages pass SQLite's check.
pub(super) fn copy_pages(
    from: &Connection,
    to: &Path,
    go_on: impl Fn(u64, u64) -> bool,
) -> rusqlite::Result<()> {
    let mut copy = Connection::open(to)?;
    // No side files: the copy is unfinished until it is synced and renamed.
    copy.pragma_update(None, "journal_mode", "OFF")?;
    copy.pragma_update(None, "synchronous", "OFF")?;
    let backup = Backup::new(from, &mut copy)?;
    loop {
        let step = backup.step(PAGES_AT_ONCE)?;
        let progress = backup.progress();
        let pages = |count: i32| u64::try_from(count).unwrap_or(0);
        let total = pages(progress.pagecount);
        if !go_on(total - pages(progress.remaining).min(total), total) {
            return Err(rusqlite::Error::QueryReturnedNoRows);
        }
        match step {
            StepResult::Done => break,
            StepResult::More => {}
            _ => std::thread::sleep(RETRY_WAIT),
        }
    }
    drop(backup);
    drop(copy);
    check_pages(to)
}

/// Checks every page. An immutable database is read without its side files.
fn check_pages(file: &Path) -> rusqlite::Result<()> {
    let mut uri = "file:".to_owned();
    for byte in file.as_os_str().as_encoded_bytes() {
        let _ = write!(uri, "%{byte:02x}");
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let copy = Connection::open_with_flags(uri, flags)?;
    let verdict: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        return Ok(());
    }
    let damaged = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    Err(rusqlite::Error::SqliteFailure(damaged, Some(verdict)))
}
