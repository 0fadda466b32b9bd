//! The look-up of tokens in the source, for every kind of send.
//!
//! The source is asked (`token_query`) over a connection that is closed before anything is sent. The answers are in an
//! unnamed temporary file, row by row in the order of the audience, so memory does not grow with it.
//!
//! "At send time" means: right before the first claim, and again whenever the answers are older than [`FRESH`], for as
//! many rows as are sent in that time. A process that joins a shared send asks about each page of the queue before it
//! takes from it.
//!
//! In the temporary file each row of the audience is a line of JSON.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Seek as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use csv::StringRecord;
use tokio::time::Instant;

use super::suppressed_tokens::SuppressedTokens;
use super::token_query::{BATCH, SourceReader, TokenProblem, TokenQuery, Tokens, ask, read_source};
use super::{AudienceReader, Order, SendPlan};
use crate::budget::Budget;
use crate::error::{Context as _, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::progress::{Progress, Silent};
use crate::source::Snapshot;
use crate::state::ledger::UserKey;

/// The time for which an answer of the source is valid.
const FRESH: Duration = Duration::from_secs(600);
const CANNOT_KEEP: &str = "cannot keep tokens in a temporary file";

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
    /// Tokens that are not tried.
    suppressed: Arc<SuppressedTokens>,
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

impl TokenLookup {
    /// Uses the tokens of the file unchecked.
    pub fn unchecked(plan: &SendPlan, suppressed: Arc<SuppressedTokens>) -> Self {
        let found = TokenCounts {
            with: plan.rows,
            ..TokenCounts::default()
        };
        Self {
            answers: None,
            found,
            row: 0,
            suppressed,
        }
    }

    /// Looks up the tokens of every row of an audience.
    pub async fn look_up(
        order: &Order,
        plan: &SendPlan,
        source_reader: &SourceReader<'_>,
        interrupt: &Interrupt,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let audience = Audience { order, plan };
        let (answers, found) =
            ask_rows(audience, (0, plan.rows), source_reader, interrupt, progress).await?;
        Ok(Self {
            answers: Some(answers),
            found,
            row: 0,
            suppressed: Arc::clone(source_reader.suppressed),
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
        source_reader: Option<&SourceReader<'_>>,
        interrupt: &Interrupt,
        (rate, until): (u32, Option<Instant>),
    ) -> Result<()> {
        let (Some(answers), Some(source_reader)) = (&self.answers, source_reader) else {
            return Ok(());
        };
        let rows = audience.plan.rows;
        let Some(count) = answers.lacks((self.row, wanted, rows), rate) else {
            return Ok(());
        };
        let budget = fresh_budget(source_reader.budget, until);
        let source_reader = SourceReader {
            budget: &budget,
            ..*source_reader
        };
        let rows = (self.row, count);
        let (answers, _) = ask_rows(audience, rows, &source_reader, interrupt, &Silent).await?;
        self.answers = Some(answers);
        Ok(())
    }

    /// Returns the tokens of the next row, which is `row`.
    pub(super) fn next(&mut self, reader: &AudienceReader, row: &StringRecord) -> Result<Tokens> {
        self.row += 1;
        match &mut self.answers {
            None => Ok(match reader.token(row) {
                None => Err(TokenProblem::NoToken),
                Some(token) if self.suppressed.contains(token, None) => {
                    Err(TokenProblem::Suppressed)
                }
                Some(token) => Ok(vec![token.to_owned()]),
            }),
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
    source_reader: &SourceReader<'_>,
    interrupt: &Interrupt,
    progress: &dyn Progress,
) -> Result<(Answers, TokenCounts)> {
    let keep = || CANNOT_KEEP;
    let mut spool = tempfile::tempfile().kind(ErrorKind::Failed, keep)?;
    let asked_at = Instant::now();
    let place = source_reader.source.place();
    progress.stage(&format!("connecting to the source {place}"));
    let found = read_source(source_reader, interrupt, async |snapshot| {
        progress.stage("looking up tokens");
        progress.total(Some(count));
        // After a failure the look-up starts again.
        spool
            .set_len(0)
            .and_then(|()| spool.rewind())
            .kind(ErrorKind::Failed, keep)?;
        let mut out = BufWriter::new(&mut spool);
        let found = ask_all(
            (audience, source_reader.suppressed),
            (first, count),
            snapshot,
            &mut out,
            progress,
        )
        .await?;
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

async fn ask_all(
    (Audience { order, plan: _ }, suppressed): (Audience<'_>, &SuppressedTokens),
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
        let (tokens, unregistered) = ask(snapshot, &batch, order.devices, suppressed).await?;
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
    let line = serde_json::to_string(tokens).kind(ErrorKind::Bug, || CANNOT_KEEP)?;
    writeln!(out, "{line}").kind(ErrorKind::Failed, || CANNOT_KEEP)
}

fn read_tokens(spool: &mut BufReader<File>) -> std::io::Result<Tokens> {
    let mut line = String::new();
    spool.read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
