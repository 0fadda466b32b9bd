//! Reads the ledger: recipients page by page, totals, the rate over time, and earlier pushes of users.

use std::time::Duration;

use jiff::Timestamp;

use super::decide::{Guard, Touch};
use super::ids::{TokenHash, UserKey};
use super::push::LedgerPush;
use super::record::{Ending, Standing};
use crate::error::Result;
use crate::state::store::{Backend, Store};
use crate::state::value::{Row, params};

/// A claim with its outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// Its number: the start of the next page.
    pub claim: i64,
    pub user: UserKey,
    /// 0 for a user's first device.
    pub device: u32,
    /// The hash of its token; `None` for a skipped recipient.
    pub token: Option<TokenHash>,
    pub standing: Standing,
    /// `UNREGISTERED`, `no-token`, …
    pub code: Option<String>,
    /// The push service's name for the message.
    pub message_name: Option<String>,
    pub attempts: u32,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    pub claimed_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// A claim of one user, with the run whose process made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserClaim {
    pub recipient: Recipient,
    /// `None` while it waits in the queue, and for a run that is deleted.
    pub run: Option<String>,
}

/// The number of claims with one standing and one code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TallyRow {
    pub standing: Standing,
    pub code: Option<String>,
    pub count: u64,
}

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

    /// Returns a push's recipients in the order of their claims: at most `limit` after claim number `after` (0 to
    /// begin).
    pub async fn recipients(
        &self,
        push: &LedgerPush,
        after: i64,
        limit: u32,
    ) -> Result<Vec<Recipient>> {
        // The plus sign keeps both planners on the primary key, which gives the requested order.
        let sql = "SELECT c.id, c.user_key, c.device, c.token_hash, c.sender, o.state, o.code, o.message_name,
                          o.attempts, o.millis, c.claimed_at, o.ended_at
                   FROM pushctl.claims c LEFT JOIN pushctl.outcomes o ON o.claim = c.id
                   WHERE +c.push = $1 AND c.id > $2 ORDER BY c.id LIMIT $3";
        let values = params![push.id, after.max(push.first_claim), limit];
        self.query(sql, values)
            .await?
            .iter()
            .map(recipient)
            .collect()
    }

    /// Returns the claims of one user for a push, by device.
    pub async fn claims_of(&self, push: &LedgerPush, user: &UserKey) -> Result<Vec<UserClaim>> {
        // By the index on users, whatever the planner knows about the size of the push.
        let sql = "SELECT c.id, c.user_key, c.device, c.token_hash, c.sender, o.state, o.code, o.message_name,
                          o.attempts, o.millis, c.claimed_at, o.ended_at, s.run
                   FROM pushctl.claims c LEFT JOIN pushctl.outcomes o ON o.claim = c.id
                                         LEFT JOIN pushctl.senders s ON s.id = c.sender
                   WHERE c.user_key = $1 AND c.push = $2 ORDER BY c.user_key, c.push, c.device";
        let rows = self.query(sql, params![user.bytes(), push.id]).await?;
        let claim = |row: &Row| {
            Ok(UserClaim {
                recipient: recipient(row)?,
                run: row.opt_text(12)?,
            })
        };
        rows.iter().map(claim).collect()
    }

    /// Passes every recipient of a push to `sink`, in the order of their claims, without collecting them. Returns their
    /// number.
    pub async fn each_recipient(
        &self,
        push: &LedgerPush,
        mut sink: impl FnMut(&Recipient) -> Result<()>,
    ) -> Result<u64> {
        /// Rows read at once.
        const PAGE: u32 = 2_000;
        let (mut after, mut count) = (0, 0);
        loop {
            let page = self.recipients(push, after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(count);
            };
            after = last.claim;
            count += page.len() as u64;
            page.iter().try_for_each(&mut sink)?;
        }
    }

    /// Counts the claims of a push by standing and code.
    pub async fn tally(&self, push: &LedgerPush) -> Result<Vec<TallyRow>> {
        let sql = "SELECT o.state, o.code, CASE WHEN c.sender IS NULL THEN NULL ELSE 1 END AS taken, count(*)
                   FROM pushctl.claims c LEFT JOIN pushctl.outcomes o ON o.claim = c.id
                   WHERE +c.push = $1 AND c.id > $2 GROUP BY o.state, o.code, taken";
        let rows = self.query(sql, params![push.id, push.first_claim]).await?;
        let tally: Result<Vec<TallyRow>> = rows.iter().map(tally_row).collect();
        let mut tally = tally?;
        tally.sort();
        Ok(tally)
    }

    /// Counts the claims for second and further devices of a user.
    pub async fn further_devices(&self, push: &LedgerPush) -> Result<u64> {
        let sql = "SELECT count(*) FROM pushctl.claims WHERE +push = $1 AND id > $2 AND device > 0";
        let rows = self.query(sql, params![push.id, push.first_claim]).await?;
        rows.first()
            .map_or(Ok(0), |row| Ok(row.int(0)?.unsigned_abs()))
    }

    /// Counts the claims that ended in each step of time: `(beginning of the step, ending, count)`.
    pub async fn timeline(
        &self,
        push: &LedgerPush,
        step: Duration,
    ) -> Result<Vec<(Timestamp, Ending, u64)>> {
        let sql = "SELECT o.ended_at / $1 * $1 AS step, o.state, count(*)
                   FROM pushctl.claims c JOIN pushctl.outcomes o ON o.claim = c.id
                   WHERE +c.push = $2 AND c.id > $3 GROUP BY step, o.state ORDER BY step, o.state";
        let step = i64::try_from(step.as_micros()).unwrap_or(i64::MAX).max(1);
        let rows = self
            .query(sql, params![step, push.id, push.first_claim])
            .await?;
        rows.iter()
            .map(|row| {
                let ending = Ending::from_number(row.int(1)?).unwrap_or(Ending::InDoubt);
                Ok((row.time(0)?, ending, row.small(2)?))
            })
            .collect()
    }
}

fn recipient(row: &Row) -> Result<Recipient> {
    let token = row.opt_blob(3)?;
    Ok(Recipient {
        claim: row.int(0)?,
        user: UserKey::from_bytes(&row.blob(1)?),
        device: row.small(2)?,
        token: token
            .map(|bytes| TokenHash::from_bytes(&bytes))
            .transpose()?,
        standing: Standing::of(row.opt_int(4)?, row.opt_int(5)?),
        code: row.opt_text(6)?,
        message_name: row.opt_text(7)?,
        attempts: row
            .opt_int(8)?
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(0),
        elapsed: Duration::from_millis(row.opt_int(9)?.map_or(0, i64::unsigned_abs)),
        claimed_at: row.time(10)?,
        ended_at: row.opt_time(11)?,
    })
}

fn tally_row(row: &Row) -> Result<TallyRow> {
    Ok(TallyRow {
        standing: Standing::of(row.opt_int(2)?, row.opt_int(0)?),
        code: row.opt_text(1)?,
        count: row.small(3)?,
    })
}
