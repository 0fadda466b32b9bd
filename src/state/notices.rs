//! The outbox of notices: a notice is recorded before it is delivered, so that a slow webhook delays no phase and an
//! unreachable one loses no notice. A process claims a notice for the time of one delivery, so that two do not deliver
//! it at once.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value as Json;

use super::store::Store;
use super::value::{Row, params};
use crate::error::Result;

/// Notices read at once.
const PAGE: u32 = 500;

/// A notice that is not delivered yet.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuedNotice {
    pub id: i64,
    /// Notices to one target are delivered in their order.
    pub target: String,
    pub notice: Json,
    pub queued_at: Timestamp,
    /// Deliveries that were begun.
    pub tries: u32,
}

impl Store {
    /// Records a notice.
    pub async fn queue_notice(&self, target: &str, notice: &Json) -> Result<()> {
        let sql =
            "INSERT INTO pushctl.notices (target, notice, queued_at, tries, claim, claimed_until)
                   VALUES ($1, $2, $3, 0, 0, 0)";
        let values = params![target, notice, self.now()];
        self.execute(sql, values).await.map(drop)
    }

    /// Returns the oldest notices that are not delivered yet.
    pub async fn queued_notices(&self) -> Result<Vec<QueuedNotice>> {
        let sql =
            "SELECT id, target, notice, queued_at, tries FROM pushctl.notices ORDER BY id LIMIT $1";
        let rows = self.query(sql, params![PAGE]).await?;
        rows.iter().map(queued).collect()
    }

    /// Returns the number of notices that are not delivered yet.
    pub async fn queued_notice_count(&self) -> Result<u64> {
        let sql = "SELECT count(*) FROM pushctl.notices";
        let rows = self.query(sql, params![]).await?;
        rows.first().map_or(Ok(0), |row| row.small(0))
    }

    /// Claims a notice for a time. Returns false if it is gone, or if another process delivers it or an earlier one to
    /// the same target.
    pub async fn claim_notice(
        &self,
        notice: &QueuedNotice,
        claim: i64,
        time: Duration,
    ) -> Result<bool> {
        let now = self.now_in_sql();
        let sql = format!(
            "UPDATE pushctl.notices SET claim = $1, claimed_until = {now} + $2, tries = tries + 1
             WHERE id = $3 AND claimed_until <= {now}
               AND NOT EXISTS (SELECT 1 FROM pushctl.notices o
                               WHERE o.target = $4 AND o.id < $3 AND o.claimed_until > {now})
             RETURNING id"
        );
        let time = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let values = params![claim, time, notice.id, &notice.target];
        Ok(!self.returning(&sql, values).await?.is_empty())
    }

    /// Ends the claim of a process on a notice that it could not deliver.
    pub async fn release_notice(&self, id: i64, claim: i64) -> Result<()> {
        let sql =
            "UPDATE pushctl.notices SET claim = 0, claimed_until = 0 WHERE id = $1 AND claim = $2";
        self.execute(sql, params![id, claim]).await.map(drop)
    }

    /// Ends the claims of a process on notices that it has not delivered.
    pub async fn release_notices(&self, claim: i64) -> Result<()> {
        let sql = "UPDATE pushctl.notices SET claim = 0, claimed_until = 0 WHERE claim = $1";
        self.execute(sql, params![claim]).await.map(drop)
    }

    /// Removes a notice that was delivered, or that is not delivered any more.
    pub async fn remove_notice(&self, id: i64) -> Result<()> {
        let sql = "DELETE FROM pushctl.notices WHERE id = $1";
        self.execute(sql, params![id]).await.map(drop)
    }
}

fn queued(row: &Row) -> Result<QueuedNotice> {
    Ok(QueuedNotice {
        id: row.int(0)?,
        target: row.text(1)?,
        notice: row.opt_json(2)?.unwrap_or(Json::Null),
        queued_at: row.time(3)?,
        tries: row.small(4)?,
    })
}
