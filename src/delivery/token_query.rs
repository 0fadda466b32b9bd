//! The questions to the source about accounts and tokens, and its answers.
//!
//! The source is asked about thousands of recipients at once, each batch by two statements (`accounts.sql`,
//! `tokens.sql`). It has no index on a device's user or token, so a batch scans the table: batches are few and large.
//!
//! | the source | the recipient |
//! | --- | --- |
//! | `users.deleted_at` is not 0 | skipped, `deleted` |
//! | no token in `devices`, and none in the file | skipped, `no-token` |
//! | a token, but no row in `users` | skipped, `unknown-user`: an account that was erased is gone from there, too |
//! | the latest registration of each of their tokens is another user's | skipped, `token-moved` |
//! | a token whose latest registration is theirs | sent to: the one used last, or every one |
//! | the token was found unregistered lately, and this is not a later registration | skipped, `suppressed` |
//! | nothing about a token that stands in the file | sent to, and counted in a note |
//!
//! The latest registration of a token is the row of `devices` with the latest `updated_at`, then the highest `id`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Devices;
use super::suppressed_tokens::SuppressedTokens;
use crate::budget::Budget;
use crate::csv_writer::fields;
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::postgres::SqlError;
use crate::source::{Reading, Snapshot, Source, Watch};

const ACCOUNTS: &str = include_str!("accounts.sql");
const TOKENS: &str = include_str!("tokens.sql");
/// The recipients of one question to the source.
pub(super) const BATCH: usize = 32_768;
/// The maximum of devices of a recipient.
const MOST_DEVICES: usize = 100;

/// The access to the source during a send.
pub struct SourceReader<'a> {
    /// The source of accounts and tokens.
    pub source: &'a Source,
    /// The budget of one look-up.
    pub budget: &'a Budget,
    /// The log of connection attempts.
    pub watch: &'a dyn Watch,
    /// Tokens that are not tried.
    pub suppressed: &'a Arc<SuppressedTokens>,
}

/// The reason why a recipient has no usable token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum TokenProblem {
    NoToken,
    Deleted,
    TokenMoved,
    UnknownUser,
    Suppressed,
}

/// The usable tokens of a recipient, at least one, the last used first; or the reason why there is none.
pub(super) type Tokens = std::result::Result<Vec<String>, TokenProblem>;

/// A recipient, and their token in the audience file.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenQuery {
    /// `None` for an id that is not a UUID: `users` has no such row.
    pub(super) user: Option<Uuid>,
    pub(super) token: Option<String>,
}

impl TokenProblem {
    /// Returns the code in outcome files and summaries.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::NoToken => "no-token",
            Self::Deleted => "deleted",
            Self::TokenMoved => "token-moved",
            Self::UnknownUser => "unknown-user",
            Self::Suppressed => "suppressed",
        }
    }
}

/// Opens the source for a look-up. An error names the missing table or grant.
pub(super) async fn read_source<T>(
    source_reader: &SourceReader<'_>,
    interrupt: &Interrupt,
    work: impl AsyncFnMut(&Snapshot) -> Result<T>,
) -> Result<T> {
    let source = source_reader.source;
    let read = source.read(source_reader.budget, interrupt, source_reader.watch, work);
    read.await
        .map_err(|error| explain(error, &source.address().user))
}

fn explain(error: Error, role: &str) -> Error {
    let sqlstate = error.find::<SqlError>().map(|error| error.sqlstate.clone());
    match sqlstate.as_deref() {
        // Insufficient privilege, undefined table, undefined column.
        Some("42501" | "42P01" | "42703") => error
            .context("the accounts and tokens cannot be read from the source, so no message is sent")
            .hint(format!(
                "pushctl reads users (id, deleted_at) and devices (id, user_id, token, updated_at): GRANT SELECT ON users, devices TO \"{}\"",
                role.replace('"', "\"\"")
            )),
        _ => error,
    }
}

/// Returns what a send reads from the source, as a send of no rows would.
pub(crate) async fn reads(snapshot: &Snapshot) -> Result<Reading> {
    let none = |name| (name, "{}".to_owned());
    let parameters = ["pushctl.recipients", "pushctl.look_up", "pushctl.tokens"].map(none);
    let mut reading = Reading::default();
    for sql in [ACCOUNTS, TOKENS] {
        let statement = crate::audience::sql::statement(sql);
        reading
            .add(snapshot, &[], &parameters, statement.trim())
            .await?;
    }
    Ok(reading)
}

/// Returns the tokens of a batch, in its order, and the number of tokens of the file that the source does not know.
pub(super) async fn ask(
    snapshot: &Snapshot,
    batch: &[TokenQuery],
    devices: Devices,
    suppressed: &SuppressedTokens,
) -> Result<(Vec<Tokens>, u64)> {
    let look_up: HashSet<Uuid> = batch
        .iter()
        .filter(|one| one.token.is_none())
        .filter_map(|one| one.user)
        .collect();
    let everyone = batch.iter().filter_map(|one| one.user);
    // PostgreSQL has no text with a zero byte, so it cannot know such a token.
    let brought = batch.iter().filter_map(|one| one.token.as_deref());
    let brought = brought.filter(|token| !token.contains('\0'));
    snapshot
        .set_parameters(&[
            (
                "pushctl.recipients",
                array(everyone.map(|id| id.to_string())),
            ),
            (
                "pushctl.look_up",
                array(look_up.iter().map(Uuid::to_string)),
            ),
            ("pushctl.tokens", array(brought.map(str::to_owned))),
        ])
        .await?;
    let mut answer = SourceAnswer::default();
    snapshot
        .copy_out(ACCOUNTS, &mut |line| {
            if let [user, deleted] = columns(line).as_slice()
                && let Ok(user) = Uuid::try_parse(user)
            {
                answer.accounts.insert(user, deleted == "t");
            }
            Ok(())
        })
        .await?;
    snapshot
        .copy_out(TOKENS, &mut |line| {
            if let Some((user, at, token)) = registration(line) {
                answer.add(user, (token, at), look_up.contains(&user));
            }
            Ok(())
        })
        .await?;
    let unregistered = batch.iter().filter_map(|one| one.token.as_ref());
    let unregistered = unregistered.filter(|token| !answer.owners.contains_key(*token));
    let unregistered = unregistered.count() as u64;
    let tokens = batch
        .iter()
        .map(|one| answer.about(one, devices, suppressed));
    let tokens = tokens.collect();
    Ok((tokens, unregistered))
}

/// The answer of the source about a batch.
#[derive(Debug, Default)]
struct SourceAnswer {
    /// The accounts, and whether they are deleted.
    accounts: HashMap<Uuid, bool>,
    /// The user of the latest registration of each token, and its time.
    owners: HashMap<String, (Uuid, Option<Timestamp>)>,
    /// The tokens of each user, the latest first.
    registered: HashMap<Uuid, Vec<String>>,
}

impl SourceAnswer {
    /// Adds a registration. The caller adds the latest first.
    fn add(&mut self, user: Uuid, (token, at): (String, Option<Timestamp>), is_looked_up: bool) {
        if is_looked_up {
            let theirs = self.registered.entry(user).or_default();
            if theirs.len() < MOST_DEVICES && !theirs.contains(&token) {
                theirs.push(token.clone());
            }
        }
        self.owners.entry(token).or_insert((user, at));
    }

    fn about(&self, asked: &TokenQuery, devices: Devices, suppressed: &SuppressedTokens) -> Tokens {
        let account = asked.user.and_then(|user| self.accounts.get(&user));
        if account == Some(&true) {
            return Err(TokenProblem::Deleted);
        }
        let tokens: &[String] = match (&asked.token, asked.user) {
            (Some(token), _) => std::slice::from_ref(token),
            (None, Some(user)) => self.registered.get(&user).map_or(&[], Vec::as_slice),
            (None, None) => &[],
        };
        if tokens.is_empty() {
            return Err(TokenProblem::NoToken);
        }
        if account.is_none() {
            return Err(TokenProblem::UnknownUser);
        }
        let most = match devices {
            Devices::Latest => 1,
            Devices::All => MOST_DEVICES,
        };
        let is_theirs = |token: &&String| {
            let owner = self.owners.get(*token);
            owner.is_none_or(|(owner, _)| Some(*owner) == asked.user)
        };
        let mut theirs: Vec<String> = tokens
            .iter()
            .filter(is_theirs)
            .take(most)
            .cloned()
            .collect();
        if theirs.is_empty() {
            return Err(TokenProblem::TokenMoved);
        }
        theirs.retain(|token| {
            let registered_at = self.owners.get(token).and_then(|(_, at)| *at);
            !suppressed.contains(token, registered_at)
        });
        if theirs.is_empty() {
            return Err(TokenProblem::Suppressed);
        }
        Ok(theirs)
    }
}

/// Returns the text of a PostgreSQL array.
fn array(values: impl Iterator<Item = String>) -> String {
    let quoted = values.map(|value| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{value}\"")
    });
    format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
}

/// Returns a registration: user, time, token.
fn registration(line: &[u8]) -> Option<(Uuid, Option<Timestamp>, String)> {
    let [user, at, token] = <[String; 3]>::try_from(columns(line)).ok()?;
    let at = at.parse().ok();
    let at = at.and_then(|at| Timestamp::from_microsecond(at).ok());
    Some((Uuid::try_parse(&user).ok()?, at, token))
}

/// Returns the columns of a line, unquoted.
fn columns(line: &[u8]) -> Vec<String> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut ranges = Vec::new();
    fields(line, &mut ranges);
    let unquoted = |range| {
        let text = String::from_utf8_lossy(&line[range]);
        match text
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
        {
            Some(quoted) => quoted.replace("\"\"", "\""),
            None => text.into_owned(),
        }
    };
    ranges.into_iter().map(unquoted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u64) -> Uuid {
        Uuid::from_u64_pair(7, n)
    }

    fn asked(n: u64) -> TokenQuery {
        TokenQuery {
            user: Some(id(n)),
            token: None,
        }
    }

    fn source_answer(accounts: &[(u64, bool)], registrations: &[(u64, &str)]) -> SourceAnswer {
        let mut answer = SourceAnswer::default();
        answer
            .accounts
            .extend(accounts.iter().map(|(n, deleted)| (id(*n), *deleted)));
        for (n, token) in registrations {
            answer.add(id(*n), ((*token).to_owned(), None), true);
        }
        answer
    }

    #[test]
    fn a_token_belongs_to_the_user_of_its_latest_registration() {
        let answer = source_answer(
            &[(1, false), (2, false), (3, true), (4, false)],
            &[(2, "x"), (1, "x"), (1, "old"), (3, "y"), (5, "z")],
        );
        let theirs = |n| answer.about(&asked(n), Devices::Latest, &SuppressedTokens::default());
        assert_eq!(theirs(1), Ok(vec!["old".to_owned()]));
        assert_eq!(theirs(2), Ok(vec!["x".to_owned()]));
        assert_eq!(theirs(3), Err(TokenProblem::Deleted));
        assert_eq!(theirs(4), Err(TokenProblem::NoToken));
        assert_eq!(theirs(5), Err(TokenProblem::UnknownUser));
        assert_eq!(theirs(6), Err(TokenProblem::NoToken));
    }

    #[test]
    fn a_token_of_the_file_is_checked_and_an_unknown_one_is_used() {
        let answer = source_answer(&[(1, false), (2, false)], &[(2, "x"), (1, "x")]);
        let brings = |n, token: &str| {
            let token = Some(token.to_owned());
            let none = SuppressedTokens::default();
            answer.about(&TokenQuery { token, ..asked(n) }, Devices::Latest, &none)
        };
        assert_eq!(brings(1, "x"), Err(TokenProblem::TokenMoved));
        assert_eq!(brings(2, "x"), Ok(vec!["x".to_owned()]));
        assert_eq!(brings(1, "mine"), Ok(vec!["mine".to_owned()]));
        assert_eq!(brings(9, "mine"), Err(TokenProblem::UnknownUser));
    }

    #[test]
    fn an_array_quotes_its_values() {
        let values = ["a\"b", "c\\d", "e,f"].map(str::to_owned);
        assert_eq!(array(values.into_iter()), r#"{"a\"b","c\\d","e,f"}"#);
        assert_eq!(array(std::iter::empty()), "{}");
    }
}
