//! Deletes old runs and pushes, in transactions so small that a sender beside it hardly waits.
//!
//! SQLite keeps the space of deleted rows in its file and fills it with later ones.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, sleep};

use super::migrations::Lack;
use super::store::Store;
use super::value::{Statement, params};
use crate::error::Result;
use crate::progress::Progress;

/// A transaction is made shorter or longer towards this time: a tenth of a second is what a sender may wait.
const WANTED: Duration = Duration::from_millis(30);
/// The claims of the first transaction, and the fewest and the most of any.
const FIRST_STEP: i64 = 250;
const FEWEST: i64 = 50;
const MOST: i64 = 4_000;
/// Runs, or senders, deleted by one transaction.
const GROUP: i64 = 100;

/// The numbers of deleted records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Runs, with their phases.
    pub runs: u64,
    /// Pushes, with their claims, outcomes and history.
    pub pushes: u64,
    /// It was asked to stop before everything old was deleted.
    pub stopped: bool,
}

/// How a deletion of old records is watched and stopped.
pub struct Pruning<'a> {
    /// Counts deleted claims.
    pub progress: &'a dyn Progress,
    /// Asked after each transaction.
    pub should_stop: &'a (dyn Fn() -> bool + Sync),
}

impl Store {
    /// Deletes runs that ended and pushes that were opened before an instant, except pushes in the outbox and those of
    /// open runs. `before` must be earlier than any cadence limit looks back. What a stop leaves, the next call
    /// deletes.
    pub async fn prune(&self, before: Timestamp, pruning: &Pruning<'_>) -> Result<Pruned> {
        let mut pruned = Pruned {
            runs: self.prune_runs(before, pruning).await?,
            ..Pruned::default()
        };
        let old = "SELECT p.id FROM pushctl.pushes p WHERE p.opened_at < $1
                   AND NOT EXISTS (SELECT 1 FROM pushctl.runs r WHERE r.id = p.run AND r.ended_at IS NULL)
                   AND p.id NOT IN (SELECT c.push FROM pushctl.outbox x CROSS JOIN pushctl.claims c WHERE c.id = x.claim)
                   ORDER BY p.id";
        let mut step = FIRST_STEP;
        for row in self.query(old, params![before]).await? {
            let push = row.int(0)?;
            if !self.prune_claims(push, pruning, &mut step).await? {
                pruned.stopped = true;
                return Ok(pruned);
            }
            // Last, so that a stop leaves no claims without their push.
            self.execute("DELETE FROM pushctl.pushes WHERE id = $1", params![push])
                .await?;
            pruned.pushes += 1;
        }
        pruned.stopped = (pruning.should_stop)();
        Ok(pruned)
    }

    /// Deletes the claims of a push, from the oldest on; returns false if it was stopped.
    async fn prune_claims(&self, push: i64, pruning: &Pruning<'_>, step: &mut i64) -> Result<bool> {
        let range = "SELECT min(id), max(id) FROM pushctl.claims WHERE push = $1";
        let rows = self.query(range, params![push]).await?;
        let Some((mut next, last)) = rows
            .first()
            .and_then(|row| row.int(0).ok().zip(row.int(1).ok()))
        else {
            return Ok(true);
        };
        while next <= last {
            if (pruning.should_stop)() {
                return Ok(false);
            }
            let end = next.saturating_add(*step);
            let began = Instant::now();
            let deleted = self.transact(claims_between(push, next, end)).await?;
            let took = began.elapsed();
            pruning
                .progress
                .advance(deleted.last().copied().unwrap_or(0));
            *step = match took {
                slow if slow > WANTED => *step / 2,
                fast if fast < WANTED / 2 => *step * 2,
                _ => *step,
            }
            .clamp(FEWEST, MOST);
            next = end;
            yield_to_senders(took).await;
        }
        Ok(true)
    }

    async fn prune_runs(&self, before: Timestamp, pruning: &Pruning<'_>) -> Result<u64> {
        let old = "(SELECT id FROM pushctl.runs WHERE ended_at < $1 ORDER BY id LIMIT $2)";
        let mut runs = 0;
        while !(pruning.should_stop)() {
            let statements = [
                format!("DELETE FROM pushctl.files WHERE run IN {old}"),
                format!("DELETE FROM pushctl.phases WHERE run IN {old}"),
                format!("DELETE FROM pushctl.runs WHERE id IN {old}"),
            ];
            let statements = statements.map(|sql| (sql.into(), params![before, GROUP]));
            let deleted = self.transact(statements.into()).await?;
            let found = deleted.last().copied().unwrap_or(0);
            runs += found;
            if found == 0 {
                break;
            }
        }
        let senders = "DELETE FROM pushctl.senders WHERE id IN (SELECT s.id FROM pushctl.senders s WHERE s.begun_at < $1
                       AND NOT EXISTS (SELECT 1 FROM pushctl.runs r WHERE r.id = s.run) ORDER BY s.id LIMIT $2)";
        while !(pruning.should_stop)() && self.execute(senders, params![before, GROUP]).await? > 0 {
        }
        // A dry run does not migrate the store.
        let has_tokens = self.lack().await? == Lack::Nothing;
        let tokens = "DELETE FROM pushctl.dead_tokens WHERE token_hash IN
                      (SELECT token_hash FROM pushctl.dead_tokens WHERE found_at < $1 LIMIT $2)";
        while has_tokens
            && !(pruning.should_stop)()
            && self.execute(tokens, params![before, GROUP]).await? > 0
        {}
        // Leases are written by the store's clock: a machine whose clock is ahead must not delete a living one.
        let age = self.now().as_microsecond() - before.as_microsecond();
        let leases = format!(
            "DELETE FROM pushctl.leases WHERE expires_at < {} - $1",
            self.now_in_sql()
        );
        self.transact(vec![(leases.into(), params![age])]).await?;
        Ok(runs)
    }
}

/// Deletes the claims of a push with the ids from `first` to before `end`, and what hangs on them. The sign hides the
/// column from the planner, which would read all claims of the push instead of this range.
fn claims_between(push: i64, first: i64, end: i64) -> Vec<Statement> {
    let range = "id >= $2 AND id < $3 AND +push = $1";
    let of_claims = ["history", "payloads", "outcomes"].map(|table| {
        format!("DELETE FROM pushctl.{table} WHERE claim IN (SELECT id FROM pushctl.claims WHERE {range})")
    });
    of_claims
        .into_iter()
        .chain([format!("DELETE FROM pushctl.claims WHERE {range}")])
        .map(|sql| (sql.into(), params![push, first, end]))
        .collect()
}

/// Leaves the store to others for as long as it was used. SQLite's lock goes to who asks first, and a sender asks only
/// once every few milliseconds.
async fn yield_to_senders(took: Duration) {
    sleep(took.clamp(Duration::from_millis(5), Duration::from_millis(100))).await;
}
