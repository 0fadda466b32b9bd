//! The ledger's hot path in SQLite: prepared statements for one row at a time, in one transaction for each group.

mod bulk;

use std::collections::HashSet;

use jiff::Timestamp;
use rusqlite::types::{Null, ToSqlOutput};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::claim::{Claimed, Dismissal};
use super::decide::Group;
use super::decide::{Counted, Decision, Device, Guard, Seen, Touch, decide, first_exceeded};
use super::ids::{TokenHash, UserKey};
use super::push::{IS_ALIVE, LedgerPush, lease_name};
use super::queue::{Queued, Taken, Wanted};
use super::record::Claim;
use super::record::Standing;
use super::record::{Answer, Ending, OutcomeRow, lines, senders, table_of};
use crate::error::Result;
use crate::state::sqlite::{Durability, Sqlite, dialect};

const DEVICES: &str = "
    SELECT c.id, c.device, c.token_hash, c.sender, o.state, c.claimed_at
    FROM claims c LEFT JOIN outcomes o ON o.claim = c.id
    WHERE c.user_key = ?1 AND c.push = ?2 ORDER BY c.device";

const TOUCHES: &str = "
    SELECT c.push, p.layer, c.claimed_at
    FROM claims c JOIN pushes p ON p.id = c.push LEFT JOIN outcomes o ON o.claim = c.id
    WHERE c.user_key = ?1 AND c.push <> ?2 AND c.claimed_at > ?3 AND c.sender IS NOT NULL
      AND p.recording <> 0 AND (o.state IS NULL OR o.state IN (1, 6)) AND (o.synced IS NULL OR o.synced > ?4)";

const TOKEN: &str = "SELECT 1 FROM claims WHERE push = ?1 AND token_hash = ?2";

const CLAIM: &str = "
    INSERT INTO claims (push, user_key, device, token_hash, sender, claimed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

const TAKE: &str = "
    UPDATE claims SET sender = ?1, claimed_at = ?2
    WHERE id IN (SELECT id FROM claims WHERE push = ?3 AND sender IS NULL ORDER BY id LIMIT ?4)
    RETURNING id, user_key, token_hash";

const TAKE_THIS: &str = "
    UPDATE claims SET sender = ?1, claimed_at = ?2
    WHERE user_key = ?3 AND push = ?4 AND device = 0 AND sender IS NULL
    RETURNING id, user_key, token_hash";

/// Changes nothing if another recipient of the push has the token.
const TAKE_WITH: &str = "UPDATE OR IGNORE claims SET token_hash = ?1 WHERE id = ?2";

const OUTCOME: (&str, &str) = (
    "INSERT INTO outcomes (claim, state, code, message_name, attempts, millis, ended_at) VALUES",
    "ON CONFLICT (claim) DO UPDATE SET state = excluded.state, code = excluded.code,
        message_name = excluded.message_name, attempts = excluded.attempts, millis = excluded.millis,
        ended_at = excluded.ended_at
    WHERE outcomes.state <> 1",
);

const DEAD_TOKEN: &str = "
    INSERT INTO dead_tokens (token_hash, found_at)
    SELECT token_hash, ?1 FROM claims WHERE id = ?2 AND token_hash IS NOT NULL
    ON CONFLICT (token_hash) DO UPDATE SET found_at = excluded.found_at";

impl Sqlite {
    /// Returns `None` if the sender was declared dead.
    pub(super) async fn claim(&self, group: Group) -> Result<Option<Vec<Claimed>>> {
        let claimed = self
            .write(Durability::Disk, move |connection| {
                if !is_alive(connection, group.sender)? {
                    return Ok(None);
                }
                if let Some(ids) = bulk::claim_all(connection, &group)? {
                    let decisions = ids.iter().map(|_| Decision::Insert(vec![0])).collect();
                    let ids: Vec<Vec<i64>> = ids.into_iter().map(|id| vec![id]).collect();
                    return Ok(Some((group, decisions, ids)));
                }
                let decisions = read_and_decide(connection, &group)?;
                let ids = insert(connection, &group, &decisions)?;
                Ok(Some((group, decisions, ids)))
            })
            .await?;
        let Some((group, decisions, ids)) = claimed else {
            return Ok(None);
        };
        let id = |index: usize, device| ids.get(index)?.get(device).copied();
        group.conclude(decisions, id).map(Some)
    }

    /// Returns false if the sender was declared dead.
    pub(super) async fn dismiss(
        &self,
        push: i64,
        sender: i64,
        now: i64,
        dismissals: Vec<Dismissal>,
    ) -> Result<bool> {
        self.write(Durability::Disk, move |connection| {
            if !is_alive(connection, sender)? {
                return Ok(false);
            }
            let mut claim = connection.prepare_cached(
                "INSERT OR IGNORE INTO claims (push, user_key, device, sender, claimed_at) VALUES (?1, ?2, 0, ?3, ?4)",
            )?;
            let mut outcomes = Vec::with_capacity(dismissals.len());
            for Dismissal { user, ending, code } in &dismissals {
                if claim.execute(params![push, user.bytes(), sender, now])? > 0 {
                    let id = connection.last_insert_rowid();
                    outcomes.push([
                        id.into(),
                        ending.number().into(),
                        code.as_str().into(),
                        Null.into(),
                        0_i64.into(),
                        0_i64.into(),
                        now.into(),
                    ]);
                }
            }
            bulk::insert(connection, OUTCOME, &outcomes).map(|_| true)
        })
        .await
    }

    /// Not forced to the disk: the next claims are, which also saves these. Outcomes lost with the power are in doubt.
    pub(super) async fn record(
        &self,
        now: i64,
        push: LedgerPush,
        answers: Vec<Answer>,
    ) -> Result<()> {
        self.write(Durability::Process, move |connection| {
            let answers = own(connection, answers)?;
            let outcomes: Vec<_> = answers.iter().map(|answer| outcome(answer, now)).collect();
            bulk::insert(connection, OUTCOME, &outcomes)?;
            let mut payload = connection.prepare_cached("DELETE FROM payloads WHERE claim = ?1")?;
            for answer in &answers {
                if answer.claim.queued && answer.ending != Ending::InDoubt {
                    payload.execute(params![answer.claim.id])?;
                }
            }
            let mut dead = connection.prepare_cached(DEAD_TOKEN)?;
            for answer in answers
                .iter()
                .filter(|answer| answer.ending == Ending::Dead)
            {
                dead.execute(params![now, answer.claim.id])?;
            }
            let (table, lines) = (table_of(&push), lines(&push, &answers));
            let head = format!(
                "INSERT OR IGNORE INTO {table} (claim, sent_at, title, body, deep_link) VALUES"
            );
            let lines: Vec<_> = lines.iter().map(|line| history_line(line, now)).collect();
            bulk::insert(connection, (&head, ""), &lines).map(drop)
        })
        .await
    }

    pub(super) async fn enqueue(&self, push: i64, now: i64, recipients: Vec<Queued>) -> Result<()> {
        self.write(Durability::Disk, move |connection| {
            let mut claim = connection.prepare_cached(
                "INSERT OR IGNORE INTO claims (push, user_key, device, token_hash, claimed_at) VALUES (?1, ?2, 0, ?3, ?4)",
            )?;
            let mut payload = connection.prepare_cached("INSERT INTO payloads (claim, counted, payload) VALUES (?1, ?2, ?3)")?;
            for one in recipients {
                let hash = one.token.as_ref().map(TokenHash::bytes);
                if claim.execute(params![push, one.user.bytes(), hash, now])? > 0 {
                    payload.execute(params![connection.last_insert_rowid(), one.counted.pack(), one.payload])?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Returns `None` if the sender was declared dead.
    pub(super) async fn take(&self, group: Group, most: u32) -> Result<Option<Vec<Taken>>> {
        self.write(Durability::Disk, move |connection| {
            if !is_alive(connection, group.sender)? {
                return Ok(None);
            }
            let mut taken = connection
                .prepare_cached(TAKE)?
                .query_map(
                    params![group.sender, group.stamp, group.push, most],
                    |row| waiting(row, group.sender),
                )?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            taken.sort_by_key(|one| one.claim.id);
            complete(connection, &group, &mut taken)?;
            Ok(Some(taken))
        })
        .await
    }

    /// Returns `None` if the sender was declared dead.
    pub(super) async fn take_these(
        &self,
        group: Group,
        wanted: Vec<Wanted>,
    ) -> Result<Option<Vec<Taken>>> {
        self.write(Durability::Disk, move |connection| {
            if !is_alive(connection, group.sender)? {
                return Ok(None);
            }
            let mut take = connection.prepare_cached(TAKE_THIS)?;
            let mut rename = connection.prepare_cached(TAKE_WITH)?;
            let mut taken = Vec::with_capacity(wanted.len());
            for one in &wanted {
                let mine = params![group.sender, group.stamp, one.user.bytes(), group.push];
                let got = take.query_row(mine, |row| waiting(row, group.sender));
                let Some(mut got) = got.optional()? else {
                    continue;
                };
                if let Some(token) = one.token.filter(|token| got.token != Some(*token))
                    && rename.execute(params![token.bytes(), got.claim.id])? > 0
                {
                    got.token = Some(token);
                }
                taken.push(got);
            }
            complete(connection, &group, &mut taken)?;
            Ok(Some(taken))
        })
        .await
    }

    /// Returns, for each user, the pushes that count under `guard`, without the push `but`.
    pub(in crate::state) async fn touches(
        &self,
        users: Vec<UserKey>,
        but: Option<i64>,
        guard: Guard,
    ) -> Result<Vec<Vec<Touch>>> {
        self.run(move |connection| {
            users
                .iter()
                .map(|user| touches(connection, user, but.unwrap_or(-1), &guard))
                .collect()
        })
        .await
    }
}

fn is_alive(connection: &Connection, sender: i64) -> rusqlite::Result<bool> {
    let mut lease = connection.prepare_cached(&dialect(IS_ALIVE))?;
    lease.exists([lease_name(sender)])
}

/// Keeps the answers for claims that still belong to their senders. All claims of a living sender do.
fn own(connection: &Connection, answers: Vec<Answer>) -> rusqlite::Result<Vec<Answer>> {
    let mut dead = HashSet::new();
    for sender in senders(&answers) {
        if !is_alive(connection, sender)? {
            dead.insert(sender);
        }
    }
    if dead.is_empty() {
        return Ok(answers);
    }
    let mut claim =
        connection.prepare_cached("SELECT 1 FROM claims WHERE id = ?1 AND sender = ?2")?;
    let mut own = Vec::with_capacity(answers.len());
    for answer in answers {
        let Claim { id, sender, .. } = answer.claim;
        if !dead.contains(&sender) || claim.exists([id, sender])? {
            own.push(answer);
        }
    }
    Ok(own)
}

fn outcome(answer: &Answer, now: i64) -> [ToSqlOutput<'_>; 7] {
    let millis = i64::try_from(answer.elapsed.as_millis()).unwrap_or(i64::MAX);
    [
        answer.claim.id.into(),
        answer.ending.number().into(),
        text(answer.code.as_ref()),
        text(answer.message_name.as_ref()),
        i64::from(answer.attempts).into(),
        millis.into(),
        now.into(),
    ]
}

fn history_line(line: &OutcomeRow, now: i64) -> [ToSqlOutput<'_>; 5] {
    [
        line.first.into(),
        now.into(),
        text(line.title.as_ref()),
        text(line.body.as_ref()),
        text(line.deep_link.as_ref()),
    ]
}

fn text(text: Option<&String>) -> ToSqlOutput<'_> {
    text.map_or(Null.into(), |text| text.as_str().into())
}

fn read_and_decide(connection: &Connection, group: &Group) -> rusqlite::Result<Vec<Decision>> {
    let mut devices = connection.prepare_cached(DEVICES)?;
    let mut owner = connection.prepare_cached(TOKEN)?;
    let mut seen = Vec::with_capacity(group.candidates.len());
    let mut taken = HashSet::new();
    for candidate in &group.candidates {
        let mut one = Seen::default();
        let mut rows = devices.query(params![candidate.user.bytes(), group.push])?;
        while let Some(row) = rows.next()? {
            one.see(device(row)?, row.get(5)?, group);
        }
        if one.devices.is_empty() {
            for hash in &candidate.tokens {
                let found = owner
                    .query_row(params![group.push, hash.bytes()], |_| Ok(()))
                    .optional()?;
                taken.extend(found.map(|()| *hash));
            }
            one.touches = touches(connection, &candidate.user, group.push, &group.guard)?;
        }
        seen.push(one);
    }
    Ok(decide(&group.candidates, seen, taken, &group.guard.limits))
}

/// Inserts claims and returns their numbers, by candidate and device.
fn insert(
    connection: &Connection,
    group: &Group,
    decisions: &[Decision],
) -> rusqlite::Result<Vec<Vec<i64>>> {
    let mut claim = connection.prepare_cached(CLAIM)?;
    let mut ids = vec![Vec::new(); decisions.len()];
    for (index, decision) in decisions.iter().enumerate() {
        let Decision::Insert(tokens) = decision else {
            continue;
        };
        let candidate = &group.candidates[index];
        for (device, token) in (0_i64..).zip(tokens) {
            let hash = candidate.tokens[*token];
            claim.execute(params![
                group.push,
                candidate.user.bytes(),
                device,
                hash.bytes(),
                group.sender,
                group.stamp
            ])?;
            ids[index].push(connection.last_insert_rowid());
        }
    }
    Ok(ids)
}

fn touches(
    connection: &Connection,
    user: &UserKey,
    but: i64,
    guard: &Guard,
) -> rusqlite::Result<Vec<Touch>> {
    let Some(since) = guard.since() else {
        return Ok(Vec::new());
    };
    let synced = guard.basis.synced();
    connection
        .prepare_cached(TOUCHES)?
        .query_map(
            params![user.bytes(), but, since.as_microsecond(), synced],
            |row| {
                Ok(Touch {
                    push: row.get(0)?,
                    layer: row.get(1)?,
                    at: Timestamp::from_microsecond(row.get(2)?).unwrap_or(Timestamp::MAX),
                })
            },
        )?
        .collect()
}

/// Adds the data of the message, and whether a limit forbids it.
fn complete(connection: &Connection, group: &Group, taken: &mut [Taken]) -> rusqlite::Result<()> {
    let mut payload =
        connection.prepare_cached("SELECT payload, counted FROM payloads WHERE claim = ?1")?;
    for one in taken {
        let stored = payload.query_row(params![one.claim.id], |row| Ok((row.get(0)?, row.get(1)?)));
        let counted;
        (one.payload, counted) = stored?;
        let touches = touches(connection, &one.user, group.push, &group.guard)?;
        one.over = first_exceeded(&group.guard.limits, Counted::unpack(counted), &touches);
    }
    Ok(())
}

/// Reads a recipient out of the queue, without payload.
fn waiting(row: &Row<'_>, sender: i64) -> rusqlite::Result<Taken> {
    let id = row.get(0)?;
    let user: Vec<u8> = row.get(1)?;
    Ok(Taken {
        claim: Claim {
            id,
            first: id,
            queued: true,
            sender,
        },
        user: UserKey::from_bytes(&user),
        token: hash(row.get(2)?),
        payload: Vec::new(),
        over: None,
    })
}

fn hash(bytes: Option<Vec<u8>>) -> Option<TokenHash> {
    bytes.and_then(|bytes| TokenHash::from_bytes(&bytes).ok())
}

fn device(row: &Row<'_>) -> rusqlite::Result<Device> {
    let id = row.get(0)?;
    let sender: Option<i64> = row.get(3)?;
    Ok(Device {
        claim: Claim {
            id,
            first: id,
            queued: false,
            sender: sender.unwrap_or_default(),
        },
        device: row.get(1)?,
        token: hash(row.get(2)?),
        standing: Standing::of(sender, row.get(4)?),
        sender,
    })
}
