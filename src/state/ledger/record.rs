//! Records the outcomes of claims, in groups.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::push::{LedgerPush, Recording, Words};
use crate::error::Result;
use crate::state::store::{Backend, Store};

/// The outcome of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ending {
    /// The push service accepted the message.
    Accepted,
    /// The push service rejected the message, or every attempt failed.
    Failed,
    /// The token is no longer registered.
    Dead,
    /// Nothing was sent, for the reason in the code.
    Skipped,
    /// Nothing was sent, because the run was cancelled.
    Cancelled,
    /// The message was sent and no answer came, so the service may or may not have accepted it.
    InDoubt,
}

/// A claim of this process, by which its outcome is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    pub id: i64,
    /// The number of the claim for the user's first device: several devices are one push in the history.
    pub first: i64,
    /// Whether it came out of the queue.
    pub(super) queued: bool,
    /// The sender that made it. An outcome is recorded only while the claim belongs to this sender.
    pub(super) sender: i64,
}

/// The present state of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// It waits in the queue for a sender.
    Queued,
    /// It was claimed and has no outcome: in flight, unless its sender is dead (see [`Store::settle`]).
    Unanswered,
    /// It has an outcome.
    Ended(Ending),
}

/// The outcome of a claim, to be recorded.
#[derive(Debug, Clone)]
pub struct Answer {
    pub claim: Claim,
    /// The outcome. An accepted claim stays accepted, also if another outcome is recorded later.
    pub ending: Ending,
    /// `UNREGISTERED`, `timed-out`, …
    pub code: Option<String>,
    /// The push service's name for the message. Never a token.
    pub message_name: Option<String>,
    /// The number of requests that were sent.
    pub attempts: u32,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// The rendered texts; stored in the history if the push was accepted.
    pub words: Option<Words>,
}

/// A row of the history for an accepted push; texts equal to the push's own are left out.
#[derive(Debug, Clone)]
pub(super) struct OutcomeRow {
    pub(super) first: i64,
    pub(super) title: Option<String>,
    pub(super) body: Option<String>,
    pub(super) deep_link: Option<String>,
}

impl Standing {
    /// Returns the word for files and summaries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Unanswered => "under_way",
            Self::Ended(Ending::Accepted) => "accepted",
            Self::Ended(Ending::Failed) => "failed",
            Self::Ended(Ending::Dead) => "dead",
            Self::Ended(Ending::Skipped) => "skipped",
            Self::Ended(Ending::Cancelled) => "cancelled",
            Self::Ended(Ending::InDoubt) => "in_doubt",
        }
    }

    pub(super) fn of(sender: Option<i64>, state: Option<i64>) -> Self {
        match (state.and_then(Ending::from_number), sender) {
            (Some(ending), _) => Self::Ended(ending),
            (None, Some(_)) => Self::Unanswered,
            (None, None) => Self::Queued,
        }
    }
}

impl Ending {
    pub(super) const ALL: [(Self, i64); 6] = [
        (Self::Accepted, 1),
        (Self::Failed, 2),
        (Self::Dead, 3),
        (Self::Skipped, 4),
        (Self::Cancelled, 5),
        (Self::InDoubt, 6),
    ];

    pub(super) fn number(self) -> i64 {
        let known = Self::ALL.iter().find(|(ending, _)| *ending == self);
        known.map_or(0, |(_, number)| *number)
    }

    pub(super) fn from_number(number: i64) -> Option<Self> {
        let known = Self::ALL.iter().find(|(_, known)| *known == number);
        known.map(|(ending, _)| *ending)
    }
}

impl Store {
    /// Records a group of outcomes in one transaction, together with the history rows of accepted pushes. Repeating it
    /// is harmless. The outcome of a claim that another sender has taken over meanwhile is ignored: the other sender's
    /// outcome counts.
    pub async fn record(&self, push: &LedgerPush, answers: Vec<Answer>) -> Result<()> {
        let now = self.now().as_microsecond();
        // One statement cannot write a row twice.
        let last: HashMap<i64, usize> = answers
            .iter()
            .enumerate()
            .map(|(index, one)| (one.claim.id, index))
            .collect();
        let mut index = 0..;
        let mut answers = answers;
        answers.retain(|answer| index.next() == last.get(&answer.claim.id).copied());
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.record(now, push.clone(), answers).await,
            Backend::Postgres(postgres) => postgres.record(now, push, answers).await,
        }
    }
}

/// Returns the table for the accepted messages of a push.
pub(super) fn table_of(push: &LedgerPush) -> &'static str {
    if push.recording == Recording::Here {
        "history"
    } else {
        "outbox"
    }
}

/// Returns the senders of some answers, each once.
pub(super) fn senders(answers: &[Answer]) -> HashSet<i64> {
    answers.iter().map(|one| one.claim.sender).collect()
}

pub(super) fn lines(push: &LedgerPush, answers: &[Answer]) -> Vec<OutcomeRow> {
    if push.recording == Recording::Nowhere {
        return Vec::new();
    }
    let accepted = answers
        .iter()
        .filter(|answer| answer.ending == Ending::Accepted);
    let mut lines: Vec<OutcomeRow> = accepted
        .map(|answer| {
            let words = answer.words.as_ref().unwrap_or(&push.words);
            let own = &push.words;
            OutcomeRow {
                first: answer.claim.first,
                title: (words.title != own.title).then(|| words.title.clone()),
                body: (words.body != own.body).then(|| words.body.clone()),
                deep_link: words
                    .deep_link
                    .clone()
                    .filter(|link| Some(link) != own.deep_link.as_ref()),
            }
        })
        .collect();
    lines.sort_by_key(|line| line.first);
    lines.dedup_by_key(|line| line.first);
    lines
}
