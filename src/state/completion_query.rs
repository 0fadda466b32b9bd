//! A glance at an embedded store from outside: what completion offers. It waits for nobody, makes nothing, and whatever
//! is not as expected is nothing seen.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// Longer than any reader has to wait in a store that nobody keeps busy, shorter than a person notices.
const BUSY: Duration = Duration::from_millis(10);

/// A run, as far as a person recognises it by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glimpse {
    /// Its id.
    pub id: String,
    /// Its automation.
    pub automation: String,
    /// What it was for.
    pub occurrence: String,
    /// `open`, `done`, …
    pub status: String,
}

/// The newest runs in the file, at most `most`, newest first.
pub fn newest_runs(path: &Path, most: u32) -> Vec<Glimpse> {
    read(path, most).unwrap_or_default()
}

fn read(path: &Path, most: u32) -> rusqlite::Result<Vec<Glimpse>> {
    // Without CREATE: a file that is not there stays so.
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
