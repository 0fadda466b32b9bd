//! Writes outcomes and history rows: one statement over arrays each.

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error as Refusal};

use super::rows::int;
use crate::state::ledger::record::{Answer, Ending, OutcomeRow};

const OUTCOMES: &str = "
    INSERT INTO pushctl.outcomes AS known (claim, state, code, message_name, attempts, millis, ended_at)
    SELECT new.*, $1 FROM unnest($2, $3, $4, $5, $6, $7) AS new
    ON CONFLICT (claim) DO UPDATE SET state = excluded.state, code = excluded.code,
        message_name = excluded.message_name, attempts = excluded.attempts, millis = excluded.millis,
        ended_at = excluded.ended_at
    WHERE known.state <> 1";

const DEAD_TOKENS: &str = "
    INSERT INTO pushctl.dead_tokens (token_hash, found_at)
    SELECT token_hash, $1 FROM pushctl.claims WHERE id = ANY ($2) AND token_hash IS NOT NULL ORDER BY token_hash
    ON CONFLICT (token_hash) DO UPDATE SET found_at = excluded.found_at";

pub(super) async fn write_outcomes(
    client: &Client,
    now: i64,
    answers: &[Answer],
) -> Result<(), Refusal> {
    let claims: Vec<i64> = answers.iter().map(|one| one.claim.id).collect();
    let states: Vec<i64> = answers.iter().map(|one| one.ending.number()).collect();
    let codes: Vec<Option<&str>> = answers.iter().map(|one| one.code.as_deref()).collect();
    let names: Vec<Option<&str>> = answers
        .iter()
        .map(|one| one.message_name.as_deref())
        .collect();
    let attempts: Vec<i64> = answers.iter().map(|one| one.attempts.into()).collect();
    let millis: Vec<i64> = answers
        .iter()
        .map(|one| i64::try_from(one.elapsed.as_millis()).unwrap_or(i64::MAX))
        .collect();
    let values = [
        int(&now),
        (&claims as &(dyn ToSql + Sync), Type::INT8_ARRAY),
        (&states, Type::INT8_ARRAY),
        (&codes, Type::TEXT_ARRAY),
        (&names, Type::TEXT_ARRAY),
        (&attempts, Type::INT8_ARRAY),
        (&millis, Type::INT8_ARRAY),
    ];
    client.execute_typed(OUTCOMES, &values).await.map(drop)
}

/// Records the tokens of dead answers. In the order of their hashes, so that two processes that find the same tokens do
/// not wait for each other in a circle.
pub(super) async fn write_dead_tokens(
    client: &Client,
    now: i64,
    answers: &[Answer],
) -> Result<(), Refusal> {
    let dead = answers.iter().filter(|one| one.ending == Ending::Dead);
    let dead: Vec<i64> = dead.map(|one| one.claim.id).collect();
    if dead.is_empty() {
        return Ok(());
    }
    let values = [int(&now), (&dead, Type::INT8_ARRAY)];
    client.execute_typed(DEAD_TOKENS, &values).await.map(drop)
}

pub(super) async fn write_lines(
    client: &Client,
    now: i64,
    table: &'static str,
    lines: &[OutcomeRow],
) -> Result<(), Refusal> {
    let sql = format!(
        "INSERT INTO pushctl.{table} (claim, sent_at, title, body, deep_link)
         SELECT new.claim, $1, new.title, new.body, new.deep_link
         FROM unnest($2, $3, $4, $5) AS new (claim, title, body, deep_link) ON CONFLICT DO NOTHING"
    );
    let claims: Vec<i64> = lines.iter().map(|line| line.first).collect();
    let titles: Vec<Option<&str>> = lines.iter().map(|line| line.title.as_deref()).collect();
    let bodies: Vec<Option<&str>> = lines.iter().map(|line| line.body.as_deref()).collect();
    let deep: Vec<Option<&str>> = lines.iter().map(|line| line.deep_link.as_deref()).collect();
    let values = [
        int(&now),
        (&claims as &(dyn ToSql + Sync), Type::INT8_ARRAY),
        (&titles, Type::TEXT_ARRAY),
        (&bodies, Type::TEXT_ARRAY),
        (&deep, Type::TEXT_ARRAY),
    ];
    client.execute_typed(&sql, &values).await.map(drop)
}
