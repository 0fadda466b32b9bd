//! Deletes old runs and pushes.

use jiff::Timestamp;

use super::store::Store;
use super::value::params;
use crate::error::Result;

/// The numbers of deleted records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Runs, with their phases.
    pub runs: u64,
    /// Pushes, with their claims, outcomes and history.
    pub pushes: u64,
}

impl Store {
    /// Deletes runs that ended and pushes that were opened before an instant, except pushes in the outbox and those of
    /// open runs. `before` must be earlier than any cadence limit looks back.
    pub async fn prune(&self, before: Timestamp) -> Result<Pruned> {
        let old = "SELECT p.id FROM pushctl.pushes p WHERE p.opened_at < $1
                   AND NOT EXISTS (SELECT 1 FROM pushctl.runs r WHERE r.id = p.run AND r.ended_at IS NULL)
                   AND NOT EXISTS (SELECT 1 FROM pushctl.outbox x JOIN pushctl.claims c ON c.id = x.claim WHERE c.push = p.id)";
        let mut pruned = Pruned::default();
        for row in self.query(old, params![before]).await? {
            let push = row.int(0)?;
            let of_claims = ["history", "payloads", "outcomes"].map(|table| {
                let sql = format!("DELETE FROM pushctl.{table} WHERE claim IN (SELECT id FROM pushctl.claims WHERE push = $1)");
                (sql.into(), params![push])
            });
            let mut statements = Vec::from(of_claims);
            statements.push((
                "DELETE FROM pushctl.claims WHERE push = $1".into(),
                params![push],
            ));
            statements.push((
                "DELETE FROM pushctl.pushes WHERE id = $1".into(),
                params![push],
            ));
            self.transact(statements).await?;
            pruned.pushes += 1;
        }
        pruned.runs = self.prune_runs(before).await?;
        Ok(pruned)
    }

    async fn prune_runs(&self, before: Timestamp) -> Result<u64> {
        let phases = "DELETE FROM pushctl.phases WHERE run IN (SELECT id FROM pushctl.runs WHERE ended_at < $1)";
        let runs = "DELETE FROM pushctl.runs WHERE ended_at < $1";
        let senders = "DELETE FROM pushctl.senders WHERE begun_at < $1
                       AND NOT EXISTS (SELECT 1 FROM pushctl.runs r WHERE r.id = pushctl.senders.run)";
        let files = "DELETE FROM pushctl.files WHERE run IN (SELECT id FROM pushctl.runs WHERE ended_at < $1)";
        let mut statements =
            Vec::from([files, phases, runs, senders].map(|sql| (sql.into(), params![before])));
        // Leases are written by the store's clock: a machine whose clock is ahead must not delete a living one.
        let age = self.now().as_microsecond() - before.as_microsecond();
        let leases = format!(
            "DELETE FROM pushctl.leases WHERE expires_at < {} - $1",
            self.now_in_sql()
        );
        statements.push((leases.into(), params![age]));
        Ok(self.transact(statements).await?[2])
    }
}
