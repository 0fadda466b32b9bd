//! Identifies a store and its progress, to tell it from another store and from an older copy of itself.

use jiff::Timestamp;

use super::store::{Backend, Store};
use super::value::params;
use crate::error::Result;

impl Store {
    /// Returns the location for messages.
    pub fn place(&self) -> String {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.path().display().to_string(),
            Backend::Postgres(_) => "in PostgreSQL".to_owned(),
        }
    }

    /// Returns the store's identity: the microsecond in which it was created. A copy of its file or database has the
    /// same identity; a store that was filled by an import has a new one.
    pub async fn identity(&self) -> Result<String> {
        let applied = self.migrations().await?.applied;
        let made_at = applied.first().map_or(0, |first| first.at.as_microsecond());
        Ok(format!("{made_at:x}"))
    }

    /// Returns the number of the newest sender, 0 in a new store. It only grows, also when old senders are deleted, so
    /// an earlier copy has a lower one.
    pub async fn newest_sender(&self) -> Result<i64> {
        let sql = match &*self.backend {
            Backend::Sqlite(_) => {
                "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'senders'"
            }
            Backend::Postgres(_) => {
                "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM pushctl.senders_id_seq"
            }
        };
        let rows = self.query(sql, params![]).await?;
        rows.first().map_or(Ok(0), |row| row.int(0))
    }

    /// Returns when the newest push was opened. The store's record of sent pushes is complete at least until then.
    pub async fn newest_push(&self) -> Result<Option<Timestamp>> {
        let sql = "SELECT max(opened_at) FROM pushctl.pushes";
        let rows = self.query(sql, params![]).await?;
        rows.first().map_or(Ok(None), |row| row.opt_time(0))
    }
}
