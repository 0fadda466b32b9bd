//! What came back, into the ledger: reports are gathered, and recorded by one durable commit for many.

use std::time::Duration;

use tokio::time::sleep;

use super::dead_tokens::DeadTokens;
use super::feeder::Feeder;
use crate::error::Result;
use crate::fcm::{MessageReport, Outcome, Reports, Unsent};
use crate::state::ledger::{Answer, Claim, Ending, UserKey, Words};

/// Reports recorded at once at most.
const GROUP: usize = 1_000;
/// How long a few reports wait for company: a commit costs the same for one as for hundreds.
const GATHER: Duration = Duration::from_millis(10);

/// A message that was submitted, and whatever its report does not say.
pub(super) struct SubmittedMessage {
    pub(super) claim: Claim,
    pub(super) user: UserKey,
    pub(super) token: String,
    pub(super) words: Option<Words>,
}

/// Reports on their way into the ledger.
#[derive(Default)]
struct RecordBatch {
    answers: Vec<Answer>,
    /// Claims of messages that certainly did not leave.
    released: Vec<Claim>,
    failed: u64,
}

impl Feeder<'_> {
    /// Records reports until the last; how many there were.
    pub(super) async fn record_all(
        &self,
        reports: &mut Reports,
        dead: &mut DeadTokens,
    ) -> Result<u64> {
        let mut recorded = 0;
        let mut buffer = Vec::with_capacity(GROUP);
        let mut failed = 0;
        loop {
            let count = reports.next_many(&mut buffer, GROUP).await;
            if count == 0 {
                return Ok(recorded);
            }
            recorded += count as u64;
            let landed = self.land_all(buffer.drain(..), dead);
            failed += landed.failed;
            // Before the ledger says so, if it can be: nothing is lost then. It never keeps the ledger from being told.
            dead.flush();
            self.store.record(self.push, landed.answers).await?;
            self.store
                .release(self.push, self.sender, &landed.released)
                .await?;
            self.return_room(count, 0);
            self.progress.advance(count as u64);
            if failed > 0 {
                self.progress.detail(&format!("{failed} failed"));
            }
            if count < GROUP {
                sleep(GATHER).await;
            }
        }
    }

    fn land_all(
        &self,
        reports: impl Iterator<Item = MessageReport>,
        dead: &mut DeadTokens,
    ) -> RecordBatch {
        let mut landed = RecordBatch::default();
        for report in reports {
            let Some(flight) = self.land(report.id) else {
                continue;
            };
            if let Outcome::Unsent {
                why: Unsent::Stopped,
            } = report.outcome
                && !self.is_cancelled()
            {
                landed.released.push(flight.claim);
                continue;
            }
            let ending = ending(&report.outcome);
            match ending {
                Ending::Dead => dead.add(&flight.user, &flight.token),
                Ending::Failed | Ending::InDoubt => landed.failed += 1,
                _ => {}
            }
            landed.answers.push(answer(flight, report, ending));
        }
        landed
    }
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

fn answer(flight: SubmittedMessage, report: MessageReport, ending: Ending) -> Answer {
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
        claim: flight.claim,
        ending,
        code,
        message_name,
        attempts: report.attempts,
        elapsed: report.elapsed,
        words: flight.words,
    }
}
