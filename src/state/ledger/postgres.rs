//! The ledger's hot path in PostgreSQL: a few statements over arrays for each group.
//!
//! Claims exclude one another by an advisory lock, so data read before is still valid when it is written. A separate
//! statement takes the lock: the snapshot of the next one is then newer than the previous holder's commit.

mod outcomes;
mod rows;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error as Refusal};

use super::claim::{Claimed, Dismissal};
use super::decide::Group;
use super::decide::{Decision, Guard, Seen, Touch, decide, first_exceeded};
use super::ids::{TokenHash, UserKey};
use super::push::{IS_ALIVE, LedgerPush, lease_name};
use super::queue::{Queued, Taken, Wanted};
use super::record::{Answer, Ending, lines, senders, table_of};
use crate::error::Result;
use crate::postgres::session::{BEGIN, Parameter};
use crate::state::postgres::PostgresStore;
use outcomes::{write_dead_tokens, write_lines, write_outcomes};
use rows::{device, hash, int, place};

/// Taken by each claiming transaction, until it ends. A group of hundreds needs nested loops, also while the planner
/// has no statistics and takes the tables for empty.
const LOCK: &str = "SET LOCAL enable_seqscan = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; \
     SELECT pg_advisory_xact_lock(1886745448, 1)";

/// `OFFSET 0` makes the planner look up each user by itself: without statistics, reading every claim seems as cheap.
/// `push + 0` keeps it from the index that begins with the push, which seems as good as the one by user.
const DEVICES: &str = "
    SELECT asked.place, c.id, c.device, c.token_hash, c.sender, c.state, c.claimed_at
    FROM unnest($1) WITH ORDINALITY AS asked (user_key, place)
    CROSS JOIN LATERAL (
        SELECT c.id, c.device, c.token_hash, c.sender, o.state, c.claimed_at
        FROM pushctl.claims c LEFT JOIN pushctl.outcomes o ON o.claim = c.id
        WHERE c.user_key = asked.user_key AND c.push + 0 = $2 OFFSET 0) AS c
    ORDER BY asked.place, c.device";

const TOUCHES: &str = "
    SELECT asked.place, c.push, p.layer, c.claimed_at
    FROM unnest($1) WITH ORDINALITY AS asked (user_key, place)
    CROSS JOIN LATERAL (
        SELECT c.push, c.claimed_at
        FROM pushctl.claims c LEFT JOIN pushctl.outcomes o ON o.claim = c.id
        WHERE c.user_key = asked.user_key AND c.push <> $2 AND c.claimed_at > $3 AND c.sender IS NOT NULL
            AND (o.state IS NULL OR o.state IN (1, 6)) AND (o.synced IS NULL OR o.synced > $4) OFFSET 0) AS c
    JOIN pushctl.pushes p ON p.id = c.push AND p.recording <> 0";

const TOKENS: &str = "
    SELECT c.token_hash FROM unnest($2) AS asked (token_hash)
    CROSS JOIN LATERAL (
        SELECT c.token_hash FROM pushctl.claims c
        WHERE c.push = $1 AND c.token_hash = asked.token_hash OFFSET 0) AS c";

const CLAIM: &str = "
    INSERT INTO pushctl.claims (push, user_key, device, token_hash, sender, claimed_at)
    SELECT $1, new.user_key, new.device, new.token_hash, $2, $3
    FROM unnest($4, $5, $6) AS new (user_key, device, token_hash)
    RETURNING id, user_key, device";

const DISMISS: &str = "
    WITH asked AS (SELECT * FROM unnest($4, $5, $6) AS asked (user_key, state, code)),
    claimed AS (
        INSERT INTO pushctl.claims (push, user_key, device, sender, claimed_at)
        SELECT $1, user_key, 0, $2, $3 FROM asked
        ON CONFLICT DO NOTHING RETURNING id, user_key)
    INSERT INTO pushctl.outcomes (claim, state, code, attempts, millis, ended_at)
    SELECT claimed.id, asked.state, asked.code, 0, 0, $3 FROM claimed JOIN asked USING (user_key)";

const ENQUEUE: &str = "
    WITH asked AS (SELECT * FROM unnest($3, $4, $5, $6) WITH ORDINALITY AS asked (user_key, token_hash, counted, payload, place)),
    claimed AS (
        INSERT INTO pushctl.claims (push, user_key, device, token_hash, claimed_at)
        SELECT $1, user_key, 0, token_hash, $2 FROM asked ORDER BY place
        ON CONFLICT DO NOTHING RETURNING id, user_key)
    INSERT INTO pushctl.payloads (claim, counted, payload)
    SELECT claimed.id, asked.counted, asked.payload FROM claimed JOIN asked USING (user_key)";

const TAKE: &str = "
    WITH c AS (
        UPDATE pushctl.claims SET sender = $1, claimed_at = $2
        WHERE id IN (SELECT id FROM pushctl.claims WHERE push = $3 AND sender IS NULL
                     ORDER BY id LIMIT $4 FOR UPDATE SKIP LOCKED)
        RETURNING id, user_key, token_hash)
    SELECT c.id, c.user_key, c.token_hash, y.counted, y.payload
    FROM c JOIN pushctl.payloads y ON y.claim = c.id ORDER BY c.id";

/// A token that another recipient of the push has stays with that recipient.
const TAKE_THESE: &str = "
    WITH wanted AS (SELECT * FROM unnest($4, $5) AS wanted (user_key, token_hash)),
    c AS (
        UPDATE pushctl.claims AS mine SET sender = $1, claimed_at = $2,
            token_hash = CASE WHEN wanted.token_hash IS NULL OR EXISTS (
                    SELECT FROM pushctl.claims other
                    WHERE other.push = $3 AND other.token_hash = wanted.token_hash AND other.id <> mine.id)
                THEN mine.token_hash ELSE wanted.token_hash END
        FROM wanted
        WHERE mine.user_key = wanted.user_key AND mine.push = $3 AND mine.device = 0 AND mine.sender IS NULL
        RETURNING mine.id, mine.user_key, mine.token_hash)
    SELECT c.id, c.user_key, c.token_hash, y.counted, y.payload
    FROM c JOIN pushctl.payloads y ON y.claim = c.id ORDER BY c.id";

/// The claims of an earlier attempt whose answer was lost.
const TAKEN: &str = "
    SELECT c.id, c.user_key, c.token_hash, y.counted, y.payload
    FROM pushctl.claims c JOIN pushctl.payloads y ON y.claim = c.id
    WHERE c.sender = $1 AND c.claimed_at = $2 AND c.push = $3 ORDER BY c.id";

impl PostgresStore {
    /// Returns `None` if the sender was declared dead.
    pub(super) async fn claim(&self, group: Group) -> Result<Option<Vec<Claimed>>> {
        let asked = &group;
        let claimed = self
            .with(|client| async move {
                begin_locked(&client).await?;
                let (alive, decisions) = tokio::try_join!(
                    is_alive(&client, asked.sender),
                    read_and_decide(&client, asked)
                )?;
                if !alive {
                    client.batch_execute("ROLLBACK").await?;
                    return Ok(None);
                }
                let ids = insert(&client, asked, &decisions).await?;
                client.batch_execute("COMMIT").await?;
                Ok(Some((decisions, ids)))
            })
            .await?;
        let Some((decisions, ids)) = claimed else {
            return Ok(None);
        };
        let id = |index: usize, device| {
            let user = group.candidates.get(index)?.user.bytes();
            ids.get(&(user.to_vec(), i64::try_from(device).ok()?))
                .copied()
        };
        group.conclude(decisions, id).map(Some)
    }

    /// Returns false if the sender was declared dead.
    pub(super) async fn dismiss(
        &self,
        push: i64,
        sender: i64,
        now: i64,
        dismissals: &[Dismissal],
    ) -> Result<bool> {
        let users: Vec<&[u8]> = dismissals.iter().map(|one| one.user.bytes()).collect();
        let states: Vec<i64> = dismissals.iter().map(|one| one.ending.number()).collect();
        let codes: Vec<&str> = dismissals.iter().map(|one| one.code.as_str()).collect();
        let values = &[
            (&push as &(dyn ToSql + Sync), Type::INT8),
            (&sender, Type::INT8),
            (&now, Type::INT8),
            (&users, Type::BYTEA_ARRAY),
            (&states, Type::INT8_ARRAY),
            (&codes, Type::TEXT_ARRAY),
        ];
        self.with(|client| async move {
            begin_locked(&client).await?;
            let alive = is_alive(&client, sender).await?;
            if alive {
                client.execute_typed(DISMISS, values).await?;
            }
            client.batch_execute("COMMIT").await?;
            Ok(alive)
        })
        .await
    }

    pub(super) async fn enqueue(&self, push: i64, now: i64, recipients: &[Queued]) -> Result<()> {
        let users: Vec<&[u8]> = recipients.iter().map(|one| one.user.bytes()).collect();
        let tokens: Vec<Option<&[u8]>> = recipients
            .iter()
            .map(|one| one.token.as_ref().map(TokenHash::bytes))
            .collect();
        let counts: Vec<i64> = recipients.iter().map(|one| one.counted.pack()).collect();
        let payloads: Vec<&[u8]> = recipients
            .iter()
            .map(|one| one.payload.as_slice())
            .collect();
        let values = &[
            (&push as &(dyn ToSql + Sync), Type::INT8),
            (&now, Type::INT8),
            (&users, Type::BYTEA_ARRAY),
            (&tokens, Type::BYTEA_ARRAY),
            (&counts, Type::INT8_ARRAY),
            (&payloads, Type::BYTEA_ARRAY),
        ];
        self.with(|client| async move {
            begin_locked(&client).await?;
            client.execute_typed(ENQUEUE, values).await?;
            client.batch_execute("COMMIT").await
        })
        .await
    }

    pub(super) async fn take(&self, group: &Group, most: u32) -> Result<Option<Vec<Taken>>> {
        let most = i64::from(most);
        self.take_by(group, TAKE, &[int(&most)]).await
    }

    pub(super) async fn take_these(
        &self,
        group: &Group,
        wanted: &[Wanted],
    ) -> Result<Option<Vec<Taken>>> {
        let users: Vec<&[u8]> = wanted.iter().map(|one| one.user.bytes()).collect();
        let tokens = wanted.iter().map(|one| one.token.as_ref());
        let tokens: Vec<Option<&[u8]>> = tokens.map(|token| token.map(TokenHash::bytes)).collect();
        let values = [
            (&users as &(dyn ToSql + Sync), Type::BYTEA_ARRAY),
            (&tokens, Type::BYTEA_ARRAY),
        ];
        self.take_by(group, TAKE_THESE, &values).await
    }

    /// Takes recipients with a statement whose first parameters are sender, stamp and push. Returns `None` if the
    /// sender was declared dead.
    async fn take_by(
        &self,
        group: &Group,
        sql: &'static str,
        more: &[Parameter<'_>],
    ) -> Result<Option<Vec<Taken>>> {
        let tried = AtomicBool::new(false);
        let tried = &tried;
        self.with(|client| async move {
            begin_locked(&client).await?;
            if !is_alive(&client, group.sender).await? {
                client.batch_execute("ROLLBACK").await?;
                return Ok(None);
            }
            let mine = [int(&group.sender), int(&group.stamp), int(&group.push)];
            let mut taken = if tried.swap(true, Ordering::Relaxed) {
                rows::taken(&client.query_typed(TAKEN, &mine).await?, group.sender)?
            } else {
                Vec::new()
            };
            if taken.is_empty() {
                let values: Vec<Parameter<'_>> =
                    mine.into_iter().chain(more.iter().cloned()).collect();
                taken = rows::taken(&client.query_typed(sql, &values).await?, group.sender)?;
            }
            let users: Vec<UserKey> = taken.iter().map(|(one, _)| one.user.clone()).collect();
            let touches = touches(&client, &users, group.push, &group.guard).await?;
            client.batch_execute("COMMIT").await?;
            let judged = taken
                .into_iter()
                .zip(touches)
                .map(|((mut one, counted), touches)| {
                    one.over = first_exceeded(&group.guard.limits, counted, &touches);
                    one
                });
            Ok(Some(judged.collect()))
        })
        .await
    }

    pub(super) async fn record(
        &self,
        now: i64,
        push: &LedgerPush,
        answers: Vec<Answer>,
    ) -> Result<()> {
        let answers = &answers;
        self.with(|client| async move {
            let ((), dead) =
                tokio::try_join!(client.batch_execute(BEGIN), dead_senders(&client, answers))?;
            if dead.is_empty() {
                write(&client, now, push, answers).await?;
            } else {
                let own = own(&client, answers, &dead).await?;
                write(&client, now, push, &own).await?;
            }
            client.batch_execute("COMMIT").await
        })
        .await
    }

    /// Returns, for each user, the pushes that count under `guard`, without the push `but`.
    pub(in crate::state) async fn touches(
        &self,
        users: &[UserKey],
        but: Option<i64>,
        guard: &Guard,
    ) -> Result<Vec<Vec<Touch>>> {
        self.with(|client| async move { touches(&client, users, but.unwrap_or(-1), guard).await })
            .await
    }
}

/// Begins a transaction and takes the lock in one round trip.
async fn begin_locked(client: &Client) -> Result<(), Refusal> {
    tokio::try_join!(client.batch_execute(BEGIN), client.batch_execute(LOCK)).map(drop)
}

/// Returns whether a sender is alive; no process can change that until the transaction ends.
async fn is_alive(client: &Client, sender: i64) -> Result<bool, Refusal> {
    let name = lease_name(sender);
    let sql = format!("{IS_ALIVE} FOR SHARE");
    let rows = client.query_typed(&sql, &[(&name, Type::TEXT)]).await?;
    Ok(!rows.is_empty())
}

/// Returns the senders of these answers that were declared dead.
async fn dead_senders(client: &Client, answers: &[Answer]) -> Result<HashSet<i64>, Refusal> {
    let mut dead = HashSet::new();
    for sender in senders(answers) {
        if !is_alive(client, sender).await? {
            dead.insert(sender);
        }
    }
    Ok(dead)
}

/// Keeps the answers for claims that still belong to their senders. All claims of a living sender do.
async fn own(
    client: &Client,
    answers: &[Answer],
    dead: &HashSet<i64>,
) -> Result<Vec<Answer>, Refusal> {
    let doubtful = answers
        .iter()
        .filter(|one| dead.contains(&one.claim.sender));
    let (ids, senders): (Vec<i64>, Vec<i64>) =
        doubtful.map(|one| (one.claim.id, one.claim.sender)).unzip();
    let sql = "SELECT c.id FROM unnest($1, $2) AS mine (id, sender)
               JOIN pushctl.claims c ON c.id = mine.id AND c.sender = mine.sender FOR SHARE OF c";
    let values = [
        (&ids as &(dyn ToSql + Sync), Type::INT8_ARRAY),
        (&senders, Type::INT8_ARRAY),
    ];
    let rows = client.query_typed(sql, &values).await?;
    let own: Result<HashSet<i64>, Refusal> = rows.iter().map(|row| row.try_get(0)).collect();
    let own = own?;
    let kept = answers
        .iter()
        .filter(|one| !dead.contains(&one.claim.sender) || own.contains(&one.claim.id));
    Ok(kept.cloned().collect())
}

/// Writes outcomes and history rows, and deletes payloads that are no longer needed.
async fn write(
    client: &Client,
    now: i64,
    push: &LedgerPush,
    answers: &[Answer],
) -> Result<(), Refusal> {
    write_outcomes(client, now, answers).await?;
    write_dead_tokens(client, now, answers).await?;
    let lines = lines(push, answers);
    if !lines.is_empty() {
        write_lines(client, now, table_of(push), &lines).await?;
    }
    let finished: Vec<i64> = answers
        .iter()
        .filter(|one| one.claim.queued && one.ending != Ending::InDoubt)
        .map(|one| one.claim.id)
        .collect();
    if !finished.is_empty() {
        let sql = "DELETE FROM pushctl.payloads WHERE claim = ANY ($1)";
        client
            .execute_typed(sql, &[(&finished, Type::INT8_ARRAY)])
            .await?;
    }
    Ok(())
}

async fn read_and_decide(client: &Client, group: &Group) -> Result<Vec<Decision>, Refusal> {
    let users: Vec<UserKey> = group
        .candidates
        .iter()
        .map(|one| one.user.clone())
        .collect();
    let tokens: Vec<&[u8]> = group
        .candidates
        .iter()
        .flat_map(|one| one.tokens.iter().map(TokenHash::bytes))
        .collect();
    let keys: Vec<&[u8]> = users.iter().map(UserKey::bytes).collect();
    let about_users = [
        (&keys as &(dyn ToSql + Sync), Type::BYTEA_ARRAY),
        int(&group.push),
    ];
    let about_tokens = [
        int(&group.push),
        (&tokens as &(dyn ToSql + Sync), Type::BYTEA_ARRAY),
    ];
    let (devices, taken, touches) = tokio::try_join!(
        client.query_typed(DEVICES, &about_users),
        client.query_typed(TOKENS, &about_tokens),
        touches(client, &users, group.push, &group.guard),
    )?;
    let mut seen: Vec<Seen> = touches
        .into_iter()
        .map(|touches| Seen {
            touches,
            ..Seen::default()
        })
        .collect();
    for row in &devices {
        if let Some(seen) = seen.get_mut(place(row)?) {
            seen.see(device(row)?, row.try_get(6)?, group);
        }
    }
    let taken: Result<HashSet<TokenHash>, Refusal> = taken
        .iter()
        .filter_map(|row| hash(row, 0).transpose())
        .collect();
    Ok(decide(&group.candidates, seen, taken?, &group.guard.limits))
}

/// Inserts claims and returns their numbers, by user and device.
async fn insert(
    client: &Client,
    group: &Group,
    decisions: &[Decision],
) -> Result<HashMap<(Vec<u8>, i64), i64>, Refusal> {
    let (mut users, mut devices, mut tokens) = (Vec::new(), Vec::new(), Vec::new());
    for (candidate, decision) in group.candidates.iter().zip(decisions) {
        if let Decision::Insert(won) = decision {
            for (device, token) in (0_i64..).zip(won) {
                users.push(candidate.user.bytes());
                devices.push(device);
                tokens.push(candidate.tokens[*token].bytes());
            }
        }
    }
    if users.is_empty() {
        return Ok(HashMap::new());
    }
    let values = [
        int(&group.push),
        int(&group.sender),
        int(&group.stamp),
        (&users as &(dyn ToSql + Sync), Type::BYTEA_ARRAY),
        (&devices, Type::INT8_ARRAY),
        (&tokens, Type::BYTEA_ARRAY),
    ];
    let rows = client.query_typed(CLAIM, &values).await?;
    rows.iter()
        .map(|row| Ok(((row.try_get(1)?, row.try_get(2)?), row.try_get(0)?)))
        .collect()
}

async fn touches(
    client: &Client,
    users: &[UserKey],
    but: i64,
    guard: &Guard,
) -> Result<Vec<Vec<Touch>>, Refusal> {
    let mut touches = vec![Vec::new(); users.len()];
    let Some(since) = guard.since().map(Timestamp::as_microsecond) else {
        return Ok(touches);
    };
    let synced = guard.basis.synced();
    let keys: Vec<&[u8]> = users.iter().map(UserKey::bytes).collect();
    let values = [
        (&keys as &(dyn ToSql + Sync), Type::BYTEA_ARRAY),
        int(&but),
        int(&since),
        int(&synced),
    ];
    for row in client.query_typed(TOUCHES, &values).await? {
        let layer: i64 = row.try_get(2)?;
        if let Some(touches) = touches.get_mut(place(&row)?) {
            touches.push(Touch {
                push: row.try_get(1)?,
                layer: u32::try_from(layer).unwrap_or(0),
                at: Timestamp::from_microsecond(row.try_get(3)?).unwrap_or(Timestamp::MAX),
            });
        }
    }
    Ok(touches)
}
