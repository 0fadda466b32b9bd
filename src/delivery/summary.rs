//! The counts of a send: every row of the audience is in exactly one of them.
//!
//! All counts that are shown during and after a send. The progress bar, the line at the end, the text, the Markdown
//! table, the JSON document, `runs show`, its page, the notifications and the reasons of a stop are made from these.
//!
//! | shown as | counts |
//! | --- | --- |
//! | rows | records of the file, the header not among them, [`Order::limit`] respected |
//! | repeated | rows whose recipient is in an earlier row |
//! | excluded by cadence | recipients whom a rule of the notification history excludes, by rule |
//! | held out | recipients in the control group |
//! | without a token, token sent to already | recipients without a device; recipients all of whose tokens got this push for another recipient |
//! | skipped | rows without a message, by reason |
//! | accepted, failed, dead | messages by the answer of the push service; a message that never left because its platform is stopped has failed |
//! | in doubt | messages that left, and whose answer was never seen: neither accepted nor failed |
//! | cancelled | recipients who were not sent to because the run was cancelled |
//! | under way | recipients whom another process has claimed, or who wait in its queue |
//! | not attempted | rows that were not reached, and rows claimed and released again |
//! | would be sent | of a dry run: messages that a live send of the same order would submit now; `up to` where the source or the history was not asked |
//! | failed, dead, in doubt beside the bar | the same of the messages of this process, in this pass |
//! | messages | messages of this process that left: accepted, failed, dead, in doubt |
//! | messages a second | accepted, failed and dead answers, by the time from the first request to the last answer; none within less than [`SHORTEST`](crate::count::SHORTEST) |
//! | seconds | from the push service being reached to the files being written |
//! | `sending: N of M rows` | finished rows: repeated, excluded, held out, without a token, skipped, or with a message that left; never released, cancelled or not attempted ones |
//! | `checking`, `reading`, `looking up tokens: N rows` | rows read, to the last one |
//! | N/s beside a stage | its count by its time so far; none in the first second |
//! | of N messages M failed, K in doubt | all messages that left; those that failed; those in doubt |

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::outcome_files::OutcomeFiles;
use super::{Order, Reach};
use crate::cadence::{AppliedRule, Breakdown};
use crate::state::ledger::{Ending, Recipient, Standing, TallyRow};

/// The result of a send. `--json` prints it; `pushctl schema summary` describes it.
///
/// ```text
/// rows + others = repeated + excluded + held_out + without_token + token_taken + skipped
///               + (accepted + failed + dead + in_doubt + cancelled + under_way − further_devices) + not_attempted
/// ```
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
// What an earlier version did not record has its default. Every field is written, so the schema requires it.
#[schemars(!default)]
pub struct Summary {
    /// The run's id.
    pub run: String,
    /// The automation, or `send`.
    pub automation: String,
    /// The occurrence.
    pub occurrence: String,
    /// Its place in the occurrence, from 1.
    pub push: u32,
    /// 1 to 5.
    pub layer: u32,
    /// `live`, `validate-only` or `dry-run`.
    pub mode: String,
    /// How it ended.
    pub ended: SendResult,
    /// The reason for a stop.
    pub reason: Option<String>,
    /// Rows of the audience.
    pub rows: u64,
    /// Rows whose recipient is in an earlier row.
    pub repeated: u64,
    /// Excluded by the notification history.
    pub excluded: u64,
    /// By rule; the sum is `excluded`.
    pub excluded_by_rule: BTreeMap<String, u64>,
    /// The control group.
    pub held_out: u64,
    /// Without a token in the source.
    pub without_token: u64,
    /// All of their tokens got the push for another recipient.
    pub token_taken: u64,
    /// The message could not be rendered, the account is deleted, or the token is registered to another user.
    pub skipped: u64,
    /// By reason; the sum is `skipped`.
    pub skipped_by_reason: BTreeMap<String, u64>,
    /// Accepted by the push service.
    pub accepted: u64,
    /// Refused by the push service, or not accepted after all retries.
    pub failed: u64,
    /// By code; the sum is `failed`.
    pub failed_by_code: BTreeMap<String, u64>,
    /// The token is no longer registered.
    pub dead: u64,
    /// Sent, but the answer was never seen.
    pub in_doubt: u64,
    /// Not sent, because the run was cancelled.
    pub cancelled: u64,
    /// Being sent by another process.
    pub under_way: u64,
    /// Messages to second and further devices of a recipient: counted as messages above, though not as rows.
    pub further_devices: u64,
    /// Rows that were not reached. In a dry run, the messages that a live send would submit.
    pub not_attempted: u64,
    /// In a dry run that did not ask the source or the history, `not_attempted` is an upper bound.
    #[serde(default)]
    pub is_upper_bound: bool,
    /// Recipients of this push who are not in this file.
    pub others: u64,
    /// Where the notification history was: `postgres`, `http`, `embedded` or `off`.
    pub cadence: String,
    /// The outcomes of each variant, if the push has some. With the control group, these are all recipients.
    #[serde(default)]
    pub variants: Vec<VariantOutcome>,
    /// The rules by which the notification history excluded recipients, with the limits at that time.
    #[serde(default)]
    pub cadence_rules: Vec<AppliedRule>,
    /// Notes on the counts.
    pub notes: Vec<String>,
    /// When this run began to send, RFC 3339.
    #[schemars(with = "String")]
    pub began_at: Timestamp,
    /// When it ended, RFC 3339.
    #[schemars(with = "String")]
    pub ended_at: Timestamp,
    /// Seconds between the two.
    pub seconds: f64,
    /// Messages of this process that left: fewer than above, where an earlier run had begun.
    pub messages: u64,
    /// Answers in a second, from the first request to the last answer; 0 where there was less than a second between
    /// them.
    pub messages_per_second: f64,
    /// The outcome files.
    pub files: Option<OutcomeFiles>,
    /// The reason why a file is missing or a list incomplete.
    #[serde(default)]
    pub files_error: Option<String>,
}

/// The outcomes of one variant of a push.
///
/// ```text
/// recipients + further_devices = accepted + failed + dead + in_doubt + cancelled + under_way + not_sent
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VariantOutcome {
    /// Its name.
    pub name: String,
    /// Its recipients who were finished or claimed, without the control group.
    pub recipients: u64,
    /// Messages to second and further devices of a recipient.
    pub further_devices: u64,
    /// Messages that the push service accepted.
    pub accepted: u64,
    /// Messages that it refused, or did not accept after all retries.
    pub failed: u64,
    /// Messages to tokens that are no longer registered.
    pub dead: u64,
    /// Messages whose answer was never seen.
    pub in_doubt: u64,
    /// Recipients who get none, because the run was cancelled.
    pub cancelled: u64,
    /// Messages being sent by another process.
    pub under_way: u64,
    /// Recipients without a message: excluded, without a token, or skipped.
    pub not_sent: u64,
}

impl VariantOutcome {
    pub(super) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, recipient: &Recipient) {
        if recipient.device == 0 {
            self.recipients += 1;
        } else {
            self.further_devices += 1;
        }
        let count = match recipient.standing {
            Standing::Ended(Ending::Accepted) => &mut self.accepted,
            Standing::Ended(Ending::Failed) => &mut self.failed,
            Standing::Ended(Ending::Dead) => &mut self.dead,
            Standing::Ended(Ending::InDoubt) => &mut self.in_doubt,
            Standing::Ended(Ending::Cancelled) => &mut self.cancelled,
            Standing::Ended(Ending::Skipped) => &mut self.not_sent,
            Standing::Unanswered | Standing::Queued => &mut self.under_way,
        };
        *count += 1;
    }
}

/// How a send ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SendResult {
    /// Every row is finished, and no message failed.
    Done,
    /// Every row is finished; some messages failed or are in doubt.
    Partial,
    /// Stopped; can be resumed.
    #[default]
    Stopped,
    /// Stopped by a guard.
    Refused,
    /// Cancelled.
    Cancelled,
    /// A dry run: nothing was sent.
    #[serde(rename = "rehearsed")]
    DryRun,
}

/// The counts of the ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OutcomeSums {
    pub(super) excluded: BTreeMap<String, u64>,
    pub(super) held_out: u64,
    pub(super) without_token: u64,
    pub(super) token_taken: u64,
    pub(super) skipped: BTreeMap<String, u64>,
    pub(super) accepted: u64,
    pub(super) failed: BTreeMap<String, u64>,
    pub(super) dead: u64,
    pub(super) in_doubt: u64,
    pub(super) cancelled: u64,
    pub(super) under_way: u64,
}

impl OutcomeSums {
    pub(super) fn of(tally: &[TallyRow]) -> Self {
        let mut sums = Self::default();
        for row in tally {
            sums.add(row);
        }
        sums
    }

    fn add(&mut self, row: &TallyRow) {
        let code = row.code.clone().unwrap_or_default();
        let add =
            |map: &mut BTreeMap<String, u64>| *map.entry(code.clone()).or_default() += row.count;
        match row.standing {
            Standing::Ended(Ending::Skipped) => match code.as_str() {
                "no-token" => self.without_token += row.count,
                "token-taken" => self.token_taken += row.count,
                "holdout" => self.held_out += row.count,
                key if Breakdown::is_key(key) => add(&mut self.excluded),
                _ => add(&mut self.skipped),
            },
            Standing::Ended(Ending::Accepted) => self.accepted += row.count,
            Standing::Ended(Ending::Failed) => add(&mut self.failed),
            Standing::Ended(Ending::Dead) => self.dead += row.count,
            Standing::Ended(Ending::InDoubt) => self.in_doubt += row.count,
            Standing::Ended(Ending::Cancelled) => self.cancelled += row.count,
            Standing::Unanswered | Standing::Queued => self.under_way += row.count,
        }
    }

    /// Returns the messages that left, of all processes.
    pub(super) fn messages(&self) -> u64 {
        let failed: u64 = self.failed.values().sum();
        self.accepted + failed + self.dead + self.in_doubt
    }

    /// Returns the number of claims.
    pub(super) fn claims(&self) -> u64 {
        let sum = |map: &BTreeMap<String, u64>| map.values().sum::<u64>();
        sum(&self.excluded)
            + self.held_out
            + self.without_token
            + self.token_taken
            + sum(&self.skipped)
            + self.accepted
            + sum(&self.failed)
            + self.dead
            + self.in_doubt
            + self.cancelled
            + self.under_way
    }
}

/// A count of a summary: its name, and where it is.
pub(crate) type SummaryCount = (&'static str, fn(&Summary) -> u64);

impl Summary {
    /// Returns a summary without counts.
    pub(super) fn blank(order: &Order, run: &str, now: Timestamp) -> Self {
        Self {
            run: run.to_owned(),
            automation: order.automation.clone(),
            occurrence: order.occurrence.clone(),
            push: order.number,
            layer: order.layer,
            mode: match order.reach {
                Reach::Live => "live".to_owned(),
                Reach::ValidateOnly => "validate-only".to_owned(),
            },
            began_at: now,
            ended_at: now,
            ..Self::default()
        }
    }

    /// Adds the counts of the ledger.
    pub(super) fn add(&mut self, sums: &OutcomeSums) {
        let merge = |into: &mut BTreeMap<String, u64>, from: &BTreeMap<String, u64>| {
            for (key, count) in from {
                *into.entry(key.clone()).or_default() += count;
            }
            into.values().sum()
        };
        self.excluded = merge(&mut self.excluded_by_rule, &sums.excluded);
        self.held_out += sums.held_out;
        self.without_token += sums.without_token;
        self.token_taken += sums.token_taken;
        self.skipped = merge(&mut self.skipped_by_reason, &sums.skipped);
        self.accepted += sums.accepted;
        self.failed = merge(&mut self.failed_by_code, &sums.failed);
        self.dead += sums.dead;
        self.in_doubt += sums.in_doubt;
        self.cancelled += sums.cancelled;
        self.under_way += sums.under_way;
    }

    /// The counts of rows by outcome, with their names: every row is in one of them.
    pub const OUTCOMES: [SummaryCount; 13] = [
        ("accepted", |push| push.accepted),
        ("failed", |push| push.failed),
        ("dead", |push| push.dead),
        ("in_doubt", |push| push.in_doubt),
        ("excluded", |push| push.excluded),
        ("without_token", |push| push.without_token),
        ("repeated", |push| push.repeated),
        ("held_out", |push| push.held_out),
        ("token_taken", |push| push.token_taken),
        ("skipped", |push| push.skipped),
        ("cancelled", |push| push.cancelled),
        ("under_way", |push| push.under_way),
        ("not_attempted", |push| push.not_attempted),
    ];

    /// Returns whether every row is in exactly one count.
    pub fn adds_up(&self) -> bool {
        let counted = Self::OUTCOMES.iter().map(|(_, count)| count(self));
        self.rows + self.others + self.further_devices == counted.sum::<u64>()
    }
}
