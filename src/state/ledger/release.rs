//! Releases claims whose messages were certainly not sent, because the sender ended first.

use super::push::{LedgerPush, Sender, lease_name};
use super::record::Claim;
use crate::error::Result;
use crate::state::store::Store;
use crate::state::value::Statement;
use crate::state::value::params;

/// Claims released in one transaction.
const GROUP: usize = 500;

impl Store {
    /// Releases claims of this sender without an outcome, so that they can be claimed again, and returns how many. To
    /// be called only for messages that were certainly not sent. A claim out of the queue goes back into it. If the
    /// sender was declared dead, nothing is released: its claims are in doubt, and another process decides about them.
    ///
    /// If another device of the same user has an outcome already, the claim on the user has to stay: it is recorded as
    /// skipped (`not-sent`), and not counted.
    pub async fn release(
        &self,
        push: &LedgerPush,
        sender: &Sender,
        claims: &[Claim],
    ) -> Result<u64> {
        let mut released = 0;
        for group in claims.chunks(GROUP) {
            let changed = self
                .transact(self.release_statements(push, sender, group))
                .await?;
            released += changed.iter().skip(1).take(3).sum::<u64>();
        }
        Ok(released)
    }

    /// Statements in this order: claims back into the queue; further devices; users without any outcome; the rest.
    fn release_statements(
        &self,
        push: &LedgerPush,
        sender: &Sender,
        claims: &[Claim],
    ) -> Vec<Statement> {
        let list: Vec<String> = claims.iter().map(|claim| claim.id.to_string()).collect();
        // The plus sign keeps the planners on the primary key.
        let unanswered = format!(
            "id IN ({}) AND +push = $1 AND sender = $2
             AND NOT EXISTS (SELECT 1 FROM pushctl.outcomes o WHERE o.claim = id)
             AND EXISTS (SELECT 1 FROM pushctl.leases WHERE name = $3)",
            list.join(",")
        );
        let requeue = format!(
            "UPDATE pushctl.claims SET sender = NULL WHERE {unanswered}
             AND EXISTS (SELECT 1 FROM pushctl.payloads y WHERE y.claim = id)"
        );
        let devices = format!("DELETE FROM pushctl.claims WHERE {unanswered} AND device <> 0");
        let users = format!(
            "DELETE FROM pushctl.claims WHERE {unanswered} AND device = 0
             AND NOT EXISTS (SELECT 1 FROM pushctl.claims d
                             WHERE d.user_key = pushctl.claims.user_key AND d.push = $1 AND d.device <> 0)"
        );
        let rest = format!(
            "INSERT INTO pushctl.outcomes (claim, state, code, attempts, millis, ended_at)
             SELECT id, 4, 'not-sent', 0, 0, $4 FROM pushctl.claims WHERE {unanswered}
             ON CONFLICT DO NOTHING"
        );
        let name = lease_name(sender.id);
        let mine = || params![push.id, sender.id, &name];
        let rest_of_mine = params![push.id, sender.id, &name, self.now()];
        vec![
            sender.renewal(),
            (requeue.into(), mine()),
            (devices.into(), mine()),
            (users.into(), mine()),
            (rest.into(), rest_of_mine),
        ]
    }
}
