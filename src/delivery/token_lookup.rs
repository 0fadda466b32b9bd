//! The look-up of tokens in the source, for every kind of send.
//!
//! The source is asked about thousands of recipients at once, each batch by two statements (`accounts.sql`,
//! `tokens.sql`), over a connection that is closed before anything is sent. The answers are in an unnamed temporary
//! file, row by row in the order of the audience, so memory does not grow with it. The source has no index on a
//! device's user or token, so a batch scans the table: batches are few and large.
//!
//! "At send time" means: right before the first claim, and again whenever the answers are older than [`FRESH`], for as
//! many rows as are sent in that time. A process that joins a shared send asks about each page of the queue before it
//! takes from it.
//!
//! | the source | the recipient |
//! | --- | --- |
//! | `users.deleted_at` is not 0 | skipped, `deleted` |
//! | no token in `devices`, and none in the file | skipped, `no-token` |
//! | a token, but no row in `users` | skipped, `unknown-user`: an account that was erased is gone from there, too |
//! | the latest registration of each of their tokens is another user's | skipped, `token-moved` |
//! | a token whose latest registration is theirs | sent to: the one used last, or every one |
//! | nothing about a token that stands in the file | sent to, and counted in a note |
//!
//! The latest registration of a token is the row of `devices` with the latest `updated_at`, then the highest `id`.
//!
//! In the temporary file a row is the number of its tokens (one byte), and each token as its length (two bytes, little
//! endian) and its text; for a row without a token the byte says why.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::time::Duration;

use csv::StringRecord;
use tokio::time::Instant;
use uuid::Uuid;

use super::{AudienceReader, Devices, Order, SendPlan};
use crate::budget::Budget;
use crate::csv_writer::fields;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::postgres::SqlError;
use crate::progress::{Progress, Silent};
use crate::source::{Snapshot, Source, Watch};
use crate::state::ledger::UserKey;

const ACCOUNTS: &str = include_str!("accounts.sql");
const TOKENS: &str = include_str!("tokens.sql");
/// The recipients of one question to the source.
pub(super) const BATCH: usize = 32_768;
/// The maximum of devices of a recipient.
const MOST_DEVICES: usize = 100;
/// The time for which an answer of the source is valid.
const FRESH: Duration = Duration::from_secs(600);
const CANNOT_KEEP: &str = "cannot keep tokens in a temporary file";

/// The access to the source during a send.
pub struct SourceReader<'a> {
    /// The source of accounts and tokens.
    pub source: &'a Source,
    /// The budget of one look-up.
    pub budget: &'a Budget,
    /// The log of connection attempts.
    pub watch: &'a dyn Watch,
}

/// The reason why a recipient has no usable token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lacking {
    NoToken,
    Deleted,
    TokenMoved,
    UnknownUser,
}

/// The usable tokens of a recipient, at least one, the last used first; or the reason why there is none.
pub(super) type Tokens = std::result::Result<Vec<String>, Lacking>;

/// A recipient, and their token in the audience file.
#[derive(Debug, Clone, Default)]
pub(super) struct TokenQuery {
    /// `None` for an id that is not a UUID: `users` has no such row.
    pub(super) user: Option<Uuid>,
    pub(super) token: Option<String>,
}

/// The counts of a look-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenCounts {
    /// Rows with a usable token.
    pub with: u64,
    /// Rows without.
    pub without: u64,
    /// Tokens of the file that the source does not know.
    pub unregistered: u64,
}

/// The tokens of an audience, in the order of its rows.
pub struct TokenLookup {
    /// `None`: the tokens of the file are not checked, because no source is configured.
    answers: Option<Answers>,
    found: TokenCounts,
    /// The next row, from 0.
    row: u64,
}

/// The tokens of some rows.
struct Answers {
    spool: BufReader<File>,
    first: u64,
    rows: u64,
    asked_at: Instant,
}

/// The audience of a look-up.
#[derive(Clone, Copy)]
pub(super) struct Audience<'a> {
    pub(super) order: &'a Order,
    pub(super) plan: &'a SendPlan,
}

impl Lacking {
    const ALL: [Self; 4] = [
        Self::NoToken,
        Self::Deleted,
        Self::TokenMoved,
        Self::UnknownUser,
    ];

    /// Returns the code in outcome files and summaries.
    pub(super) fn code(self) -> &'static str {
        match self {
            Self::NoToken => "no-token",
            Self::Deleted => "deleted",
            Self::TokenMoved => "token-moved",
            Self::UnknownUser => "unknown-user",
        }
    }

    /// Returns the byte in place of a number of tokens, which is far smaller.
    fn byte(self) -> u8 {
        match self {
            Self::NoToken => 255,
            Self::Deleted => 254,
            Self::TokenMoved => 253,
            Self::UnknownUser => 252,
        }
    }
}

impl TokenLookup {
    /// Uses the tokens of the file unchecked.
    pub fn unchecked(plan: &SendPlan) -> Self {
        let found = TokenCounts {
            with: plan.rows,
            ..TokenCounts::default()
        };
        Self {
            answers: None,
            found,
            row: 0,
        }
    }

    /// Looks up the tokens of every row of an audience.
    pub async fn look_up(
        order: &Order,
        plan: &SendPlan,
        reading: &SourceReader<'_>,
        interrupt: &Interrupt,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let audience = Audience { order, plan };
        let (answers, found) =
            ask_rows(audience, (0, plan.rows), reading, interrupt, progress).await?;
        Ok(Self {
            answers: Some(answers),
            found,
            row: 0,
        })
    }

    /// Returns the counts of the look-up.
    pub fn found(&self) -> TokenCounts {
        self.found
    }

    /// Returns the notes for the summary.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.answers.is_none() {
            notes.push(
                "accounts and tokens were not checked: the file has a token column, and no source is configured"
                    .to_owned(),
            );
        }
        match self.found.unregistered {
            0 => {}
            1 => {
                notes
                    .push("1 token of the file is not in devices; it is used unchecked".to_owned());
            }
            many => notes.push(format!(
                "{many} tokens of the file are not in devices; they are used unchecked"
            )),
        }
        notes
    }

    /// Starts again with the first row.
    pub fn rewind(&mut self) -> Result<()> {
        self.row = 0;
        match &mut self.answers {
            Some(answers) if answers.first == 0 => {
                answers.spool.rewind().kind(ErrorKind::Failed, cannot_read)
            }
            _ => Ok(()),
        }
    }

    /// Makes the next [`TokenLookup::renew`] ask the source again.
    pub(super) fn expire(&mut self) {
        if let Some(answers) = &mut self.answers {
            answers.rows = 0;
        }
    }

    /// Asks the source again, unless it has valid answers about the next `wanted` rows. `rate` decides how many rows it
    /// asks about; `until` is the end of the time budget.
    pub(super) async fn renew(
        &mut self,
        audience: Audience<'_>,
        wanted: u64,
        reading: Option<&SourceReader<'_>>,
        interrupt: &Interrupt,
        (rate, until): (u32, Option<Instant>),
    ) -> Result<()> {
        let (Some(answers), Some(reading)) = (&self.answers, reading) else {
            return Ok(());
        };
        let rows = audience.plan.rows;
        let Some(count) = answers.lacks((self.row, wanted, rows), rate) else {
            return Ok(());
        };
        let budget = fresh_budget(reading.budget, until);
        let reading = SourceReader {
            budget: &budget,
            ..*reading
        };
        let rows = (self.row, count);
        let (answers, _) = ask_rows(audience, rows, &reading, interrupt, &Silent).await?;
        self.answers = Some(answers);
        Ok(())
    }

    /// Returns the tokens of the next row, which is `row`.
    pub(super) fn next(&mut self, reader: &AudienceReader, row: &StringRecord) -> Result<Tokens> {
        self.row += 1;
        match &mut self.answers {
            None => Ok(reader
                .token(row)
                .map(|token| vec![token.to_owned()])
                .ok_or(Lacking::NoToken)),
            Some(answers) => read_tokens(&mut answers.spool).kind(ErrorKind::Failed, cannot_read),
        }
    }
}

impl Answers {
    /// Returns how many rows to ask about, if the answers about `wanted` rows from `row` on are missing or too old; the
    /// audience has `rows` rows.
    fn lacks(&self, (row, wanted, rows): (u64, u64, u64), rate: u32) -> Option<u64> {
        let end = rows.min(row + wanted);
        let are_there = self.first <= row && end <= self.first + self.rows;
        let are_enough = are_there && self.asked_at.elapsed() < FRESH;
        (row < end && !are_enough).then(|| worth_asking(rate).max(wanted).min(rows - row))
    }
}

/// Returns the budget of a further look-up during a send.
pub(super) fn fresh_budget(first: &Budget, until: Option<Instant>) -> Budget {
    let left = until.map(|end| end.saturating_duration_since(Instant::now()));
    first.step(left.unwrap_or(Duration::MAX))
}

/// Returns how many rows are sent while an answer is valid, and at least a batch.
fn worth_asking(rate: u32) -> u64 {
    (u64::from(rate) * FRESH.as_secs()).max(BATCH as u64)
}

fn cannot_read() -> &'static str {
    "cannot read the tokens back"
}

/// Asks about `count` rows from row `first` on, over one connection.
async fn ask_rows(
    audience: Audience<'_>,
    (first, count): (u64, u64),
    reading: &SourceReader<'_>,
    interrupt: &Interrupt,
    progress: &dyn Progress,
) -> Result<(Answers, TokenCounts)> {
    let keep = || CANNOT_KEEP;
    let mut spool = tempfile::tempfile().kind(ErrorKind::Failed, keep)?;
    let asked_at = Instant::now();
    let place = reading.source.place();
    progress.stage(&format!("connecting to the source {place}"));
    let found = read_source(reading, interrupt, async |snapshot| {
        progress.stage("looking up tokens");
        progress.total(Some(count));
        // After a failure the look-up starts again.
        spool
            .set_len(0)
            .and_then(|()| spool.rewind())
            .kind(ErrorKind::Failed, keep)?;
        let mut out = BufWriter::new(&mut spool);
        let found = ask_all(audience, (first, count), snapshot, &mut out, progress).await?;
        out.flush().kind(ErrorKind::Failed, keep)?;
        Ok(found)
    })
    .await?;
    spool.rewind().kind(ErrorKind::Failed, keep)?;
    let answers = Answers {
        spool: BufReader::with_capacity(1 << 16, spool),
        first,
        rows: count,
        asked_at,
    };
    Ok((answers, found))
}

/// Opens the source for a look-up. An error names the missing table or grant.
pub(super) async fn read_source<T>(
    reading: &SourceReader<'_>,
    interrupt: &Interrupt,
    work: impl AsyncFnMut(&Snapshot) -> Result<T>,
) -> Result<T> {
    let source = reading.source;
    let read = source.read(reading.budget, interrupt, reading.watch, work);
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

async fn ask_all(
    Audience { order, plan: _ }: Audience<'_>,
    (first, count): (u64, u64),
    snapshot: &Snapshot,
    out: &mut BufWriter<&mut File>,
    progress: &dyn Progress,
) -> Result<TokenCounts> {
    let mut reader = AudienceReader::open(&order.input)?;
    let mut row = StringRecord::new();
    for skipped in 0..first {
        reader.next_of(&mut row, first + count - skipped)?;
    }
    let mut left = count;
    let mut found = TokenCounts::default();
    while left > 0 {
        let mut batch = Vec::with_capacity(BATCH);
        while batch.len() < BATCH && left > 0 {
            reader.next_of(&mut row, left)?;
            left -= 1;
            batch.push(TokenQuery {
                user: UserKey::of(reader.user(&row)).uuid(),
                token: reader.token(&row).map(str::to_owned),
            });
        }
        let (tokens, unregistered) = ask(snapshot, &batch, order.devices).await?;
        found.unregistered += unregistered;
        for each in &tokens {
            *if each.is_ok() {
                &mut found.with
            } else {
                &mut found.without
            } += 1;
            write_tokens(out, each)?;
        }
        progress.advance(batch.len() as u64);
    }
    Ok(found)
}

fn write_tokens(out: &mut BufWriter<&mut File>, tokens: &Tokens) -> Result<()> {
    let mut bytes = Vec::new();
    match tokens {
        Err(lacking) => bytes.push(lacking.byte()),
        Ok(tokens) => {
            bytes.push(u8::try_from(tokens.len().min(MOST_DEVICES)).unwrap_or_default());
            for token in tokens.iter().take(MOST_DEVICES) {
                let length = u16::try_from(token.len())
                    .map_err(|_| Error::new(ErrorKind::Failed, "a token is longer than 64 KiB"))?;
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(token.as_bytes());
            }
        }
    }
    out.write_all(&bytes)
        .kind(ErrorKind::Failed, || CANNOT_KEEP)
}

fn read_tokens(spool: &mut BufReader<File>) -> std::io::Result<Tokens> {
    let mut count = [0];
    spool.read_exact(&mut count)?;
    if let Some(lacking) = Lacking::ALL.iter().find(|one| one.byte() == count[0]) {
        return Ok(Err(*lacking));
    }
    let mut tokens = Vec::with_capacity(usize::from(count[0]));
    for _ in 0..count[0] {
        let mut length = [0; 2];
        spool.read_exact(&mut length)?;
        let mut token = vec![0; usize::from(u16::from_le_bytes(length))];
        spool.read_exact(&mut token)?;
        tokens.push(String::from_utf8_lossy(&token).into_owned());
    }
    Ok(Ok(tokens))
}

/// Returns the tokens of a batch, in its order, and the number of tokens of the file that the source does not know.
pub(super) async fn ask(
    snapshot: &Snapshot,
    batch: &[TokenQuery],
    devices: Devices,
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
            if let Some((user, deleted)) = split(line) {
                answer.accounts.insert(user, deleted == "t");
            }
            Ok(())
        })
        .await?;
    snapshot
        .copy_out(TOKENS, &mut |line| {
            if let Some((user, token)) = split(line) {
                answer.registration(user, token, look_up.contains(&user));
            }
            Ok(())
        })
        .await?;
    let unregistered = batch.iter().filter_map(|one| one.token.as_ref());
    let unregistered = unregistered.filter(|token| !answer.owners.contains_key(*token));
    let unregistered = unregistered.count() as u64;
    let tokens = batch.iter().map(|one| answer.about(one, devices)).collect();
    Ok((tokens, unregistered))
}

/// The answer of the source about a batch.
#[derive(Debug, Default)]
struct SourceAnswer {
    /// The accounts, and whether they are deleted.
    accounts: HashMap<Uuid, bool>,
    /// The user of the latest registration of each token.
    owners: HashMap<String, Uuid>,
    /// The tokens of each user, the latest first.
    registered: HashMap<Uuid, Vec<String>>,
}

impl SourceAnswer {
    /// Adds a registration. The caller adds the latest first.
    fn registration(&mut self, user: Uuid, token: String, is_looked_up: bool) {
        if is_looked_up {
            let theirs = self.registered.entry(user).or_default();
            if theirs.len() < MOST_DEVICES && !theirs.contains(&token) {
                theirs.push(token.clone());
            }
        }
        self.owners.entry(token).or_insert(user);
    }

    fn about(&self, asked: &TokenQuery, devices: Devices) -> Tokens {
        let account = asked.user.and_then(|user| self.accounts.get(&user));
        if account == Some(&true) {
            return Err(Lacking::Deleted);
        }
        let tokens: &[String] = match (&asked.token, asked.user) {
            (Some(token), _) => std::slice::from_ref(token),
            (None, Some(user)) => self.registered.get(&user).map_or(&[], Vec::as_slice),
            (None, None) => &[],
        };
        if tokens.is_empty() {
            return Err(Lacking::NoToken);
        }
        if account.is_none() {
            return Err(Lacking::UnknownUser);
        }
        let most = match devices {
            Devices::Latest => 1,
            Devices::All => MOST_DEVICES,
        };
        let is_theirs = |token: &&String| {
            let owner = self.owners.get(*token);
            owner.is_none_or(|owner| Some(*owner) == asked.user)
        };
        let theirs: Vec<String> = tokens
            .iter()
            .filter(is_theirs)
            .take(most)
            .cloned()
            .collect();
        if theirs.is_empty() {
            return Err(Lacking::TokenMoved);
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

/// Returns the two fields of a line.
fn split(line: &[u8]) -> Option<(Uuid, String)> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut ranges = Vec::new();
    fields(line, &mut ranges);
    let user = Uuid::try_parse_ascii(line.get(ranges.first()?.clone())?).ok()?;
    let text = String::from_utf8(line.get(ranges.get(1)?.clone())?.to_vec()).ok()?;
    let text = match text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => text,
    };
    Some((user, text))
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
            answer.registration(id(*n), (*token).to_owned(), true);
        }
        answer
    }

    #[test]
    fn a_token_belongs_to_the_user_of_its_latest_registration() {
        let answer = source_answer(
            &[(1, false), (2, false), (3, true), (4, false)],
            &[(2, "x"), (1, "x"), (1, "old"), (3, "y"), (5, "z")],
        );
        let theirs = |n| answer.about(&asked(n), Devices::Latest);
        assert_eq!(theirs(1), Ok(vec!["old".to_owned()]));
        assert_eq!(theirs(2), Ok(vec!["x".to_owned()]));
        assert_eq!(theirs(3), Err(Lacking::Deleted));
        assert_eq!(theirs(4), Err(Lacking::NoToken));
        assert_eq!(theirs(5), Err(Lacking::UnknownUser));
        assert_eq!(theirs(6), Err(Lacking::NoToken));
    }

    #[test]
    fn a_token_of_the_file_is_checked_and_an_unknown_one_is_used() {
        let answer = source_answer(&[(1, false), (2, false)], &[(2, "x"), (1, "x")]);
        let brings = |n, token: &str| {
            let token = Some(token.to_owned());
            answer.about(&TokenQuery { token, ..asked(n) }, Devices::Latest)
        };
        assert_eq!(brings(1, "x"), Err(Lacking::TokenMoved));
        assert_eq!(brings(2, "x"), Ok(vec!["x".to_owned()]));
        assert_eq!(brings(1, "mine"), Ok(vec!["mine".to_owned()]));
        assert_eq!(brings(9, "mine"), Err(Lacking::UnknownUser));
    }

    #[test]
    fn missing_and_old_answers_are_looked_up_again() {
        let answers = |first, rows, age| Answers {
            spool: BufReader::new(tempfile::tempfile().unwrap()),
            first,
            rows,
            asked_at: Instant::now().checked_sub(age).unwrap(),
        };
        let young = Duration::from_secs(5);
        let all = answers(0, 100_000, young);
        assert_eq!(all.lacks((96_000, 4_000, 100_000), 100), None);
        assert_eq!(all.lacks((100_000, 4_000, 100_000), 100), None);
        let old = answers(0, 100_000, FRESH);
        // As many as are sent while an answer holds, though no more than there are.
        assert_eq!(old.lacks((20_000, 4_000, 100_000), 100), Some(60_000));
        assert_eq!(old.lacks((90_000, 4_000, 100_000), 100), Some(10_000));
        assert_eq!(old.lacks((0, 4_000, 100_000), 1), Some(BATCH as u64));
        let some = answers(20_000, 60_000, young);
        assert_eq!(some.lacks((76_000, 4_000, 100_000), 100), None);
        assert_eq!(some.lacks((78_000, 4_000, 100_000), 100), Some(22_000));
        assert_eq!(some.lacks((0, 4_000, 100_000), 100), Some(60_000));
    }

    #[test]
    fn an_array_quotes_its_values() {
        let values = ["a\"b", "c\\d", "e,f"].map(str::to_owned);
        assert_eq!(array(values.into_iter()), r#"{"a\"b","c\\d","e,f"}"#);
        assert_eq!(array(std::iter::empty()), "{}");
    }

    #[test]
    fn reasons_and_numbers_of_tokens_have_different_bytes() {
        let most = u8::try_from(MOST_DEVICES).unwrap();
        assert!(Lacking::ALL.iter().all(|one| one.byte() > most));
    }
}
