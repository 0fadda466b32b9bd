//! Claims in doubt, whose answer never came: finds and counts them, and takes them up again only on request.

use std::collections::{HashMap, HashSet};

use super::decide::Device;
use super::push::{LedgerPush, SENDER_LEASES, Sender, lease_name};
use super::record::Claim;
use crate::error::Result;
use crate::state::leases::{HeldBy, lost};
use crate::state::store::Store;
use crate::state::value::params;

/// The state of a sender whose lease has not expired.
pub(super) enum Life {
    Alive,
    /// Its process has ended on this machine; the fence of its lease.
    KnownDead(i64),
}

impl Store {
    /// Records claims without an outcome as in doubt if their sender is dead, and returns how many. Claims of living
    /// senders stay in flight. To be called before a push is resumed or counted.
    pub async fn settle(&self, push: &LedgerPush) -> Result<u64> {
        let living = self.living_senders().await?;
        let mut settled = 0;
        for sender in self.senders_with_open_claims(push).await? {
            match living.get(&sender) {
                Some(Life::Alive) => {}
                Some(Life::KnownDead(fence)) => {
                    settled += self.declare_dead(push, sender, Some(*fence)).await?;
                }
                None => settled += self.declare_dead(push, sender, None).await?,
            }
        }
        Ok(settled)
    }

    /// Settles the push, and returns whether another living sender than this one still has claims without an outcome.
    pub async fn has_claims_of_others(&self, push: &LedgerPush, own: &Sender) -> Result<bool> {
        self.settle(push).await?;
        let senders = self.senders_with_open_claims(push).await?;
        Ok(senders.iter().any(|sender| *sender != own.id))
    }

    /// Returns the senders that have claims without an outcome.
    async fn senders_with_open_claims(&self, push: &LedgerPush) -> Result<Vec<i64>> {
        let sql = "SELECT DISTINCT c.sender FROM pushctl.claims c LEFT JOIN pushctl.outcomes o ON o.claim = c.id
                   WHERE +c.push = $1 AND c.id > $2 AND o.claim IS NULL AND c.sender IS NOT NULL";
        let rows = self.query(sql, params![push.id, push.first_claim]).await?;
        rows.iter().map(|row| row.int(0)).collect()
    }

    /// Takes over claims in doubt for this sender and returns those to send again. A claim that another process took
    /// over meanwhile is not returned.
    pub async fn retry(&self, sender: &Sender, devices: &[Device]) -> Result<Vec<Claim>> {
        sender.hold().await?;
        let stamp = sender.stamp(self.now());
        let take =
            "UPDATE pushctl.claims SET sender = $1, claimed_at = $2 WHERE id = $3
                    AND (sender = $4 AND EXISTS (SELECT 1 FROM pushctl.outcomes WHERE claim = $3 AND state = 6)
                         OR sender = $1 AND claimed_at = $2)
                    AND EXISTS (SELECT 1 FROM pushctl.leases WHERE name = $5)";
        let forget = "DELETE FROM pushctl.outcomes WHERE claim = $1 AND state = 6
                      AND EXISTS (SELECT 1 FROM pushctl.claims WHERE id = $1 AND sender = $2)";
        let mut statements = vec![sender.renewal()];
        let name = lease_name(sender.id);
        for device in devices {
            let id = device.claim.id;
            let taken_up = params![sender.id, stamp, id, device.sender, &name];
            statements.push((take.into(), taken_up));
            statements.push((forget.into(), params![id, sender.id]));
        }
        let changed = self.transact(statements).await?;
        if changed[0] == 0 {
            return Err(lost());
        }
        let taken = devices.iter().zip(changed[1..].chunks(2));
        let mine = |device: &Device| Claim {
            sender: sender.id,
            ..device.claim
        };
        Ok(taken
            .filter(|(_, changed)| changed[0] > 0)
            .map(|(device, _)| mine(device))
            .collect())
    }

    /// Puts a shared push's recipients in doubt back into the queue, for processes that join; returns how many.
    pub async fn requeue(&self, push: &LedgerPush) -> Result<u64> {
        let back = "UPDATE pushctl.claims SET sender = NULL WHERE push = $1 AND id IN
                        (SELECT o.claim FROM pushctl.outcomes o JOIN pushctl.payloads y ON y.claim = o.claim WHERE o.state = 6)";
        let forget = "DELETE FROM pushctl.outcomes WHERE state = 6 AND claim IN
                          (SELECT id FROM pushctl.claims WHERE push = $1 AND sender IS NULL)";
        let statements = vec![
            (back.into(), params![push.id]),
            (forget.into(), params![push.id]),
        ];
        Ok(self.transact(statements).await?[0])
    }

    /// Returns the living senders of a run. A shared send may have some although no process holds its occurrence any
    /// more.
    pub async fn senders_of(&self, run: &str) -> Result<Vec<HeldBy>> {
        let rows = self
            .query(
                "SELECT id FROM pushctl.senders WHERE run = $1",
                params![run],
            )
            .await?;
        let ids = rows.iter().map(|row| row.int(0));
        let names = ids
            .map(|id| Ok(lease_name(id?)))
            .collect::<Result<HashSet<String>>>()?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut leases = self.leases(SENDER_LEASES).await?;
        leases.retain(|held| names.contains(&held.name) && !held.holder.is_known_dead());
        Ok(leases)
    }

    /// Returns the senders whose leases have not expired.
    pub(super) async fn living_senders(&self) -> Result<HashMap<i64, Life>> {
        let leases = self.leases(SENDER_LEASES).await?;
        let living = leases.iter().filter_map(|held| {
            let sender = held.name.strip_prefix(SENDER_LEASES)?.parse().ok()?;
            let life = if held.holder.is_known_dead() {
                Life::KnownDead(held.fence)
            } else {
                Life::Alive
            };
            Some((sender, life))
        });
        Ok(living.collect())
    }

    /// Declares a sender dead, if it still is: one transaction deletes its lease and records its open claims as in
    /// doubt. A sender that renews its lease at the last moment keeps both. One that wakes up later finds its lease
    /// gone: it claims nothing more, and records only outcomes of claims that are still its own.
    async fn declare_dead(
        &self,
        push: &LedgerPush,
        sender: i64,
        fence: Option<i64>,
    ) -> Result<u64> {
        let gone = format!(
            "DELETE FROM pushctl.leases WHERE name = $1 AND (expires_at <= {} OR fence = $2)",
            self.now_in_sql()
        );
        let doubt = "INSERT INTO pushctl.outcomes (claim, state, code, attempts, millis, ended_at)
                   SELECT c.id, 6, 'sender-died', 0, 0, $1
                   FROM pushctl.claims c LEFT JOIN pushctl.outcomes o ON o.claim = c.id
                   WHERE +c.push = $2 AND c.id > $3 AND c.sender = $4 AND o.claim IS NULL
                     AND NOT EXISTS (SELECT 1 FROM pushctl.leases WHERE name = $5)
                   ON CONFLICT DO NOTHING";
        let name = lease_name(sender);
        let values = params![self.now(), push.id, push.first_claim, sender, &name];
        // If no fence is known, a number that no lease has: `fence = NULL` would need a type.
        let statements = vec![
            (gone.into(), params![&name, fence.unwrap_or_default()]),
            (doubt.into(), values),
        ];
        Ok(self.transact(statements).await?[1])
    }
}
