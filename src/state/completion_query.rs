//! Reads an embedded store for shell completion: it waits for no other process, creates nothing, and returns nothing if
//! anything fails.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// The timeout for a lock: longer than a reader usually waits, shorter than a person notices.
const BUSY: Duration = Duration::from_millis(10);

/// The parts of a run by which a person recognises it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glimpse {
    pub id: String,
    pub automation: String,
    pub occurrence: String,
    /// `open`, `done`, …
    pub status: String,
}

/// Returns the newest runs in the file, at most `most`, newest first.
pub fn newest_runs(path: &Path, most: u32) -> Vec<Glimpse> {
    read(path, most).unwrap_or_default()
}

fn read(path: &Path, most: u32) -> rusqlite::Result<Vec<Glimpse>> {
    // Without CREATE, so that a missing file is not created.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    let sql = "SELECT id, automation, occurrence, status FROM runs ORDER BY begun_at DESC, id DESC LIMIT ?1";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([most], |row| {
        Ok(Glimpse {
            id: row.get(0)?,
            automation: row.get(1)?,
            occurrence: row.get(2)?,
            status: row.get(3)?,
        })
    })?;
    rows.collect()
}
