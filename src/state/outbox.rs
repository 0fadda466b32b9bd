//! The outbox: accepted pushes that are not yet recorded in a remote history. Until then they count from here.
//!
//! Deliveries are numbered. A reader of the remote history reads the number first: pushes of a later delivery may be
//! missing from the answer, so the ledger still counts them. A push may briefly count twice, but never not at all.

use jiff::Timestamp;
use uuid::Uuid;

use super::ledger::{UserKey, Words};
use super::store::Store;
use super::value::{Row, params};
use crate::error::Result;
use crate::named_uuid::named_uuid;

/// An accepted push to record in the remote history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// The claim: the start of the next page, and the argument of [`Store::delivered`].
    pub claim: i64,
    /// The same for every delivery of one push of an occurrence to one user, so the receiver can detect a repetition.
    pub id: Uuid,
    pub user: UserKey,
    /// 1 to 5.
    pub layer: u32,
    /// The rendered texts.
    pub words: Words,
    /// The name of the audience.
    pub audience: Option<String>,
    pub sent_at: Timestamp,
}

impl Store {
    /// Returns the next pushes in the outbox: at most `limit` after claim number `after`.
    pub async fn owed(&self, after: i64, limit: u32) -> Result<Vec<Owed>> {
        let sql = "SELECT x.claim, c.user_key, p.layer, coalesce(x.title, p.title), coalesce(x.body, p.body),
                          coalesce(x.deep_link, p.deep_link), p.audience, x.sent_at, p.automation, p.occurrence, p.number
                   FROM pushctl.outbox x JOIN pushctl.claims c ON c.id = x.claim JOIN pushctl.pushes p ON p.id = c.push
                   WHERE x.claim > $1 ORDER BY x.claim LIMIT $2";
        self.query(sql, params![after, limit])
            .await?
            .iter()
            .map(owed)
            .collect()
    }

    /// Returns the number of pushes in the outbox.
    pub async fn owed_count(&self) -> Result<u64> {
        let rows = self
            .query("SELECT count(*) FROM pushctl.outbox", params![])
            .await?;
        rows.first().map_or(Ok(0), |row| row.small(0))
    }

    /// Removes pushes from the outbox that the remote history has recorded.
    pub async fn delivered(&self, claims: &[i64]) -> Result<()> {
        if claims.is_empty() {
            return Ok(());
        }
        let list: Vec<String> = claims.iter().map(i64::to_string).collect();
        let list = list.join(",");
        let count = "UPDATE pushctl.deliveries SET number = number + 1";
        let mark = format!(
            "UPDATE pushctl.outcomes SET synced = (SELECT number FROM pushctl.deliveries) WHERE claim IN
                 (SELECT every.id FROM pushctl.claims first
                  JOIN pushctl.claims every ON every.user_key = first.user_key AND every.push = first.push
                  WHERE first.id IN ({list}))"
        );
        let remove = format!("DELETE FROM pushctl.outbox WHERE claim IN ({list})");
        let statements = vec![
            (count.into(), params![]),
            (mark.into(), params![]),
            (remove.into(), params![]),
        ];
        self.transact(statements).await.map(drop)
    }

    /// Returns the number of the last delivery; to be read before the remote history.
    pub async fn deliveries(&self) -> Result<i64> {
        let rows = self
            .query("SELECT number FROM pushctl.deliveries", params![])
            .await?;
        rows.first().map_or(Ok(0), |row| row.int(0))
    }
}

fn owed(row: &Row) -> Result<Owed> {
    let user = UserKey::from_bytes(&row.blob(1)?);
    let number = row.int(10)?.to_string();
    let place = [row.text(8)?, row.text(9)?, number, user.to_string()];
    Ok(Owed {
        claim: row.int(0)?,
        id: named_uuid(&place.join("\0")),
        user,
        layer: row.small(2)?,
        words: Words {
            title: row.text(3)?,
            body: row.text(4)?,
            deep_link: row.opt_text(5)?,
        },
        audience: row.opt_text(6)?,
        sent_at: row.time(7)?,
    })
}
