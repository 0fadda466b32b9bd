//! Counts earlier pushes in the ledger: the store's own history, and pushes that a remote history lacks.

use jiff::Timestamp;

use super::ledger::{Basis, Guard, LedgerPush, Touch, UserKey};
use super::store::{Backend, Store};
use super::value::params;
use crate::error::Result;

impl Store {
    /// Returns, for each user, the pushes in the ledger that count under `guard`: accepted, in flight or in doubt, and
    /// recent enough for one of its limits.
    pub async fn touches(
        &self,
        users: &[UserKey],
        but: Option<&LedgerPush>,
        guard: &Guard,
    ) -> Result<Vec<Vec<Touch>>> {
        let but = but.map(|push| push.id);
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.touches(users.to_vec(), but, guard.clone()).await,
            Backend::Postgres(postgres) => postgres.touches(users, but, guard).await,
        }
    }

    /// Returns every user with at least `at_least` pushes of a layer since an instant, with the count, ordered by user.
    pub async fn users_reached(
        &self,
        layer: u32,
        at_least: u32,
        since: Timestamp,
        basis: Basis,
    ) -> Result<Vec<(UserKey, u32)>> {
        let synced = match basis {
            Basis::Here => -1,
            Basis::Elsewhere { synced } => synced,
        };
        let sql = "SELECT c.user_key, count(DISTINCT c.push)
                   FROM pushctl.pushes p JOIN pushctl.claims c ON c.push = p.id
                   LEFT JOIN pushctl.outcomes o ON o.claim = c.id
                   WHERE p.layer = $1 AND p.recording <> 0 AND c.claimed_at > $2 AND c.sender IS NOT NULL
                     AND (o.state IS NULL OR o.state IN (1, 6)) AND (o.synced IS NULL OR o.synced > $3)
                   GROUP BY c.user_key HAVING count(DISTINCT c.push) >= $4 ORDER BY c.user_key";
        let rows = self
            .query(sql, params![layer, since, synced, at_least])
            .await?;
        rows.iter()
            .map(|row| Ok((UserKey::from_bytes(&row.blob(0)?), row.small(1)?)))
            .collect()
    }
}
