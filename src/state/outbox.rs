//! Accepted pushes that a history elsewhere has not been told of yet. Until then they count from here.
//!
//! Deliveries are numbered. Who asks a history elsewhere reads the number first: what a later delivery carried may be
//! missing in the answer, and still counts. So a push may for a moment count twice, never not at all.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::ledger::{UserKey, Words};
use super::store::Store;
use super::value::{Row, params};
use crate::error::Result;

/// An accepted push as the history is to be told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Its claim: where the next page begins, and what [`Store::delivered`] wants.
    pub claim: i64,
    /// Always the same for one push of an occurrence to one user, whoever works it out: telling twice can be noticed.
    pub id: Uuid,
    /// Who got it.
    pub user: UserKey,
    /// 1 to 5.
    pub layer: u32,
    /// As they read it.
    pub words: Words,
    /// Whom it was for.
    pub audience: Option<String>,
    /// When it was accepted.
    pub sent_at: Timestamp,
}

impl Store {
    /// The next accepted pushes that are owed to the history elsewhere: at most `limit` after claim number `after`.
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

    /// How many are owed.
    pub async fn owed_count(&self) -> Result<u64> {
        let rows = self
            .query("SELECT count(*) FROM pushctl.outbox", params![])
            .await?;
        rows.first().map_or(Ok(0), |row| row.small(0))
    }

    /// The history elsewhere has these now.
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

    /// The number of the last delivery; to be read before a history elsewhere is asked.
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
        id: name(&place),
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

/// A UUID made from what a push is identified by. Zero bytes keep the parts apart.
fn name(parts: &[String]) -> Uuid {
    let digest = Sha256::digest(parts.join("\0").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
