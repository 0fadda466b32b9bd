//! The result of a send, its error, and the notes at its end.

use super::SendResult;
use super::row_loop::PassResult;
use super::summary::{OutcomeSums, Summary};
use super::while_sending::Stop;
use crate::cadence::{Breakdown, Exclusion, Rule};
use crate::count::{counted, several};
use crate::error::{Error, ErrorKind};
use crate::fcm;
use crate::interrupt::Interrupt;

/// Joins the error of a send with that of its missing files. The reason for a stop comes first.
pub(super) fn with_missing_files(error: Option<Error>, missing: Option<Error>) -> Option<Error> {
    match (error, missing) {
        (Some(error), Some(missing)) if error.kind() == ErrorKind::Partial => {
            Some(missing.context(error))
        }
        (Some(error), Some(missing)) => {
            let error = error.hint(format!("{missing:#}"));
            Some(missing.hints().iter().fold(error, Error::hint))
        }
        (error, missing) => error.or(missing),
    }
}

/// Returns the note on a cadence service that reports counts by rule, and not the recipients.
pub(super) fn breakdown_note(breakdown: &Breakdown) -> String {
    let rules = Rule::ALL.map(|rule| (rule.key(), breakdown.of(Exclusion::Rule(rule))));
    let said: Vec<String> = rules
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(key, count)| format!("{key} {}", crate::count::number(*count)))
        .collect();
    format!(
        "the cadence service does not report the rule for each recipient; its counts by rule: {}",
        said.join(", ")
    )
}

/// Returns the result of a send, and its error.
pub(super) fn end(
    passed: &PassResult,
    sums: &OutcomeSums,
    run: &str,
) -> (SendResult, Option<Error>) {
    let resume = format!("`pushctl resume {run}` sends the rest; no recipient gets the push twice");
    match &passed.stop {
        Some(Stop::Interrupted(kind)) => (
            SendResult::Stopped,
            Some(Interrupt::error(*kind).hint(resume)),
        ),
        Some(Stop::Cancelled(cancellation)) => {
            let why = cancellation.reason.as_ref().map(|why| format!(": {why}"));
            let message = format!(
                "cancelled by {}{}",
                cancellation.who,
                why.unwrap_or_default()
            );
            (
                SendResult::Cancelled,
                Some(Error::new(ErrorKind::Cancelled, message)),
            )
        }
        Some(Stop::Halted(halt)) => {
            let error = halt.error();
            let ended = if error.kind() == ErrorKind::Refused {
                SendResult::Refused
            } else {
                SendResult::Stopped
            };
            let error = if halt.cause == fcm::HaltCause::Safeguard {
                error
                    .hint(format!("fix the cause first: `pushctl runs export {run}` lists every answer"))
                    .hint(format!(
                        "`pushctl resume {run} --override failures --reason TEXT` sends the rest without the failure guard"
                    ))
            } else {
                error
            };
            (ended, Some(error.hint(resume)))
        }
        Some(Stop::OutOfTime) => {
            let error = Error::new(
                ErrorKind::Unreachable,
                "the deadline passed before the last message was sent",
            );
            (
                SendResult::Stopped,
                Some(error.hint(resume).hint("increase --deadline or --rate")),
            )
        }
        Some(Stop::Quiet {
            hours,
            until: Some(until),
        }) => {
            let message =
                format!("the quiet hours {hours} have begun; the send continues at {until:.0}");
            let error = Error::new(ErrorKind::Refused, message);
            (SendResult::Stopped, Some(error.hint(resume)))
        }
        Some(Stop::Quiet { hours, until: None }) => {
            let message =
                format!("the quiet hours {hours} have begun; no further message was sent");
            let error = Error::new(ErrorKind::Refused, message)
                .hint(format!("{resume}, after the quiet hours"))
                .hint("quiet_hours_action = \"delay\" makes a send wait until they end");
            (SendResult::Refused, Some(error))
        }
        Some(Stop::Late(latest)) => {
            let message = format!(
                "too late: max_lateness_minutes allows messages until {latest:.0}; no further message was sent"
            );
            let error = Error::new(ErrorKind::Refused, message);
            (SendResult::Refused, Some(error.hint(resume)))
        }
        Some(Stop::Overlap(text)) => {
            let error = Error::new(ErrorKind::Refused, format!("{text}; no message was sent"))
                .hint(format!(
                    "if they are to get it again: `pushctl resume {run} --override overlap --reason TEXT`"
                ))
                .hint("the limit is max_overlap_percent in [safeguards] of an automation, and 50 % for other sends");
            (SendResult::Refused, Some(error))
        }
        Some(Stop::Failed(error)) => (
            SendResult::Stopped,
            Some(copy_of(error).context("the send stopped").hint(resume)),
        ),
        None => finished(sums, run),
    }
}

/// Returns the result of a send that every recipient has passed through.
fn finished(sums: &OutcomeSums, run: &str) -> (SendResult, Option<Error>) {
    let failed: u64 = sums.failed.values().sum();
    if failed + sums.in_doubt == 0 {
        return (SendResult::Done, None);
    }
    let error = partly_failed(sums.messages(), failed, sums.in_doubt, run);
    (SendResult::Partial, Some(error))
}

/// Returns the error of a run of which some messages failed or are in doubt, over all its pushes.
pub fn partial_error(pushes: &[Summary]) -> Option<Error> {
    let partial = pushes
        .iter()
        .find(|push| push.ended == SendResult::Partial)?;
    let sum = |count: fn(&Summary) -> u64| pushes.iter().map(count).sum();
    let (failed, in_doubt) = (sum(|push| push.failed), sum(|push| push.in_doubt));
    let answered: u64 = sum(|push| push.accepted + push.dead);
    let all = answered + failed + in_doubt;
    Some(partly_failed(all, failed, in_doubt, &partial.run))
}

fn partly_failed(all: u64, failed: u64, in_doubt: u64, run: &str) -> Error {
    let counts = several(&[(failed, "failed"), (in_doubt, "in doubt")]);
    let message = format!("of {} {counts}", counted(all, "messages"));
    let mut error = Error::new(ErrorKind::Partial, message);
    if failed > 0 {
        error = error.hint(format!("`pushctl runs export {run}` lists every answer"));
    }
    if in_doubt > 0 {
        error = error.hint(format!(
            "in doubt are messages without an answer: `pushctl resume {run} --in-doubt retry` sends them again"
        ));
    }
    error
}

/// Returns a copy of an error, which is in the summary and ends the command.
pub(super) fn copy_of(error: &Error) -> Error {
    let same = Error::new(error.kind(), format!("{error:#}"));
    error.hints().iter().fold(same, Error::hint)
}
