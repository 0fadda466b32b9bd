//! Records outcomes in the ledger: reports are collected, and many are recorded in one durable commit.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::send_pass::{SendPass, SubmittedMessage};
use super::token_lists::TokenLists;
use crate::count::{per_second, several};
use crate::error::Result;
use crate::fcm::{MessageReport, Outcome, Reports, Unsent};
use crate::state::ledger::{Answer, Claim, Ending};

/// The maximum of reports in a commit.
const GROUP: usize = 1_000;
/// The wait for further reports: a commit costs the same for one as for hundreds.
const GATHER: Duration = Duration::from_millis(10);

/// The code of a token that the push service rejects. Where the message is to blame, the send stops.
const INVALID_TOKEN: &str = "INVALID_ARGUMENT";

/// Reports on their way into the ledger.
#[derive(Default)]
struct RecordBatch {
    answers: Vec<Answer>,
    /// Claims of messages that certainly did not leave.
    released: Vec<Claim>,
    /// Finished rows of the audience: answered, refused or in doubt, but neither released nor cancelled.
    rows: u64,
}

/// The messages of this process that left, by outcome. The progress bar, the summary's `messages` and the rate are all
/// made from these.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Traffic {
    accepted: u64,
    failed: u64,
    dead: u64,
    in_doubt: u64,
    first_request: Option<Instant>,
    last_answer: Option<Instant>,
}

impl Traffic {
    /// Counts a message that ended at an instant, unless it never left.
    fn count(&mut self, report: &MessageReport, ending: Ending, at: Instant) {
        if matches!(report.outcome, Outcome::Unsent { .. }) {
            return;
        }
        let began = at.checked_sub(report.elapsed).unwrap_or(at);
        self.first_request = Some(self.first_request.map_or(began, |first| first.min(began)));
        match ending {
            Ending::Accepted => self.accepted += 1,
            Ending::Dead => self.dead += 1,
            Ending::InDoubt => self.in_doubt += 1,
            _ => self.failed += 1,
        }
        if ending != Ending::InDoubt {
            self.last_answer = self.last_answer.max(Some(at));
        }
    }

    /// Returns the traffic of two passes as one.
    pub(super) fn and(self, later: Self) -> Self {
        let first = [self.first_request, later.first_request];
        Self {
            accepted: self.accepted + later.accepted,
            failed: self.failed + later.failed,
            dead: self.dead + later.dead,
            in_doubt: self.in_doubt + later.in_doubt,
            first_request: first.into_iter().flatten().min(),
            last_answer: self.last_answer.max(later.last_answer),
        }
    }

    /// Returns how many messages left.
    pub(super) fn messages(&self) -> u64 {
        self.accepted + self.failed + self.dead + self.in_doubt
    }

    /// Returns the answers in a second, from the first request to the last answer; none over too short a time.
    pub(super) fn answers_per_second(&self) -> Option<f64> {
        let time = self
            .last_answer?
            .checked_duration_since(self.first_request?)?;
        per_second(self.accepted + self.failed + self.dead, time)
    }

    /// Returns the text beside the progress bar: the messages that were not accepted, as the summary names them.
    fn detail(&self) -> String {
        several(&[
            (self.failed, "failed"),
            (self.dead, "dead"),
            (self.in_doubt, "in doubt"),
        ])
    }
}

/// Records reports until the last. Returns the messages by outcome.
pub(super) async fn record_all(
    pass: &SendPass<'_>,
    reports: &mut Reports,
    lists: &mut TokenLists,
) -> Result<Traffic> {
    let what: Arc<str> = "answers of the push service".into();
    let mut traffic = Traffic::default();
    let mut buffer = Vec::with_capacity(GROUP);
    loop {
        let is_idle = || {
            let progress = pass.client.progress();
            progress.under_way + progress.queued > 0
        };
        let next = reports.next_many(&mut buffer, GROUP);
        let count = pass.budget.watch(Arc::clone(&what), is_idle, next).await;
        if count == 0 {
            return Ok(traffic);
        }
        let batch = collect_reports(pass, buffer.drain(..), &mut traffic, lists);
        // Before the ledger, so that a crash loses no token. A failure to write does not keep the ledger from
        // recording.
        lists.flush();
        pass.store.record(pass.push, batch.answers).await?;
        pass.store
            .release(pass.push, pass.sender, &batch.released)
            .await?;
        pass.shared.window.return_room(count, 0);
        pass.progress.advance(batch.rows);
        pass.progress.detail(&traffic.detail());
        if count < GROUP {
            sleep(GATHER).await;
        }
    }
}

fn collect_reports(
    pass: &SendPass<'_>,
    reports: impl Iterator<Item = MessageReport>,
    traffic: &mut Traffic,
    lists: &mut TokenLists,
) -> RecordBatch {
    let mut batch = RecordBatch::default();
    let now = Instant::now();
    for report in reports {
        let Some(message) = pass.take_submitted(report.id) else {
            continue;
        };
        if let Outcome::Unsent {
            why: Unsent::Stopped,
        } = report.outcome
            && !pass.is_cancelled()
        {
            batch.released.push(message.claim);
            continue;
        }
        let ending = ending(&report.outcome);
        traffic.count(&report, ending, now);
        batch.rows += u64::from(message.ends_row && ending != Ending::Cancelled);
        match (ending, report.outcome.code()) {
            (Ending::Dead, _) => lists.dead.add(&message.user, &message.token),
            (Ending::Failed, INVALID_TOKEN) => lists.invalid.add(&message.user, &message.token),
            _ => {}
        }
        batch.answers.push(answer(message, report, ending));
    }
    batch
}

fn ending(outcome: &Outcome) -> Ending {
    match outcome {
        Outcome::Accepted { .. } => Ending::Accepted,
        Outcome::Dead => Ending::Dead,
        Outcome::Failed { .. }
        | Outcome::Unsent {
            why: Unsent::PlatformStopped(_),
        } => Ending::Failed,
        Outcome::InDoubt { .. } => Ending::InDoubt,
        Outcome::Unsent {
            why: Unsent::Stopped,
        } => Ending::Cancelled,
    }
}

fn answer(message: SubmittedMessage, report: MessageReport, ending: Ending) -> Answer {
    let code = match ending {
        Ending::Accepted => None,
        Ending::Cancelled => Some("cancelled".to_owned()),
        _ => Some(report.outcome.code().to_owned()),
    };
    let message_name = match report.outcome {
        Outcome::Accepted { name } => Some(name),
        _ => None,
    };
    Answer {
        claim: message.claim,
        ending,
        code,
        message_name,
        attempts: report.attempts,
        elapsed: report.elapsed,
        words: message.words,
    }
}
