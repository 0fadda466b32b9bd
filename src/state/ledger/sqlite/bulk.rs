//! Inserts many rows with one statement: the fixed cost of a statement (binding, the sequence, its journal) is paid
//! once for dozens of rows.

use std::collections::HashSet;

use rusqlite::types::ToSqlOutput;
use rusqlite::{Connection, params_from_iter};

use super::super::decide::Group;
use super::super::decide::first_exceeded;
use super::touches;

/// Rows in one statement.
const ROWS: usize = 32;

/// Runs `head (?, …), (?, …) … tail` for all rows and returns how many were changed.
pub(super) fn insert<const N: usize>(
    connection: &Connection,
    (head, tail): (&str, &str),
    rows: &[[ToSqlOutput<'_>; N]],
) -> rusqlite::Result<usize> {
    let mut changed = 0;
    let (many, few) = rows.split_at(rows.len() - rows.len() % ROWS);
    for (group, size) in [(many, ROWS), (few, 1)] {
        if group.is_empty() {
            continue;
        }
        let row = format!("({})", vec!["?"; N].join(", "));
        let sql = format!("{head} {} {tail}", vec![row.as_str(); size].join(", "));
        let mut statement = connection.prepare_cached(&sql)?;
        for chunk in group.chunks(size) {
            changed += statement.execute(params_from_iter(chunk.iter().flatten()))?;
        }
    }
    Ok(changed)
}

const CLAIMS: &str = "
    INSERT OR IGNORE INTO claims (push, user_key, device, token_hash, sender, claimed_at) VALUES";

/// Claims a whole group of recipients with one token each, if nothing prevents any of them, which the unique indexes
/// check for less than a query for each. Returns the claims' numbers in order; `None`, with nothing claimed, otherwise.
pub(super) fn claim_all(
    connection: &Connection,
    group: &Group,
) -> rusqlite::Result<Option<Vec<i64>>> {
    if !are_plain(group) || !are_within_limits(connection, group)? {
        return Ok(None);
    }
    connection.execute_batch("SAVEPOINT claims")?;
    let rows: Vec<[ToSqlOutput<'_>; 6]> = group
        .candidates
        .iter()
        .map(|candidate| {
            [
                group.push.into(),
                candidate.user.bytes().into(),
                0_i64.into(),
                candidate.tokens[0].bytes().into(),
                group.sender.into(),
                group.stamp.into(),
            ]
        })
        .collect();
    let claimed = insert(connection, (CLAIMS, ""), &rows)?;
    if claimed < rows.len() {
        connection.execute_batch("ROLLBACK TO claims; RELEASE claims")?;
        return Ok(None);
    }
    connection.execute_batch("RELEASE claims")?;
    // The row numbers of one transaction are consecutive.
    let last = connection.last_insert_rowid();
    let count = i64::try_from(rows.len()).unwrap_or_default();
    Ok(Some((last - count + 1..=last).collect()))
}

/// Returns whether each user occurs once, with one token.
fn are_plain(group: &Group) -> bool {
    let mut users = HashSet::with_capacity(group.candidates.len());
    let mut candidates = group.candidates.iter();
    candidates.all(|candidate| candidate.tokens.len() == 1 && users.insert(&candidate.user))
}

fn are_within_limits(connection: &Connection, group: &Group) -> rusqlite::Result<bool> {
    let limits = &group.guard.limits;
    if limits.is_empty() {
        return Ok(true);
    }
    for candidate in &group.candidates {
        let counted = touches(connection, &candidate.user, group.push, &group.guard)?;
        if first_exceeded(limits, candidate.counted, &counted).is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}
