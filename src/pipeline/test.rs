//! The test phase: sends the test files. If the push service does not accept every message, nothing is sent live.

use serde_json::Value;

use super::file_handoff::fetch_file;
use super::notifications::notify_tested;
use super::plan::{DONE, GeneratedFile, GeneratedFiles, PAUSED};
use super::results::{TestResult, as_json};
use super::safeguards::while_sending;
use super::send::{deliver, dry_run_push, order};
use super::step::is_quiet;
use super::{Mode, Phase, PhaseContext, PhaseRecords};
use crate::count::number;
use crate::delivery::{InDoubt, Order, SendResult, TEST_LAYER, TEST_SUFFIX, WhileSending};
use crate::error::{Error, ErrorKind, Result};

/// Sends the test push of each push. Returns the result of the attempt and its detail.
pub(super) async fn run(
    phase: &PhaseContext<'_>,
    records: &PhaseRecords,
) -> Result<(&'static str, Value)> {
    let files = records.files()?;
    let earlier = records.refusals(Phase::Test.as_str());
    let mut tested = TestResult::default();
    for (place, push) in files.pushes.iter().enumerate() {
        match &push.test {
            Some(file) => {
                let order = test_order(phase, order(phase, place, &files, file), earlier);
                if test_push(phase, (&files, file), &order, &mut tested).await? == State::Paused {
                    return Ok((PAUSED, as_json(&tested)?));
                }
            }
            None if push.live.is_some() => {
                let problem = format!("{} has no test file", push.audience_file);
                tested.problems.push(problem);
            }
            // The push has no recipients, so there is nothing to test.
            None => {}
        }
    }
    if phase.plan.mode.reaches_phones() {
        notify_tested(phase, tested.accepted, tested.of).await;
        if !tested.problems.is_empty() && phase.plan.automation.test.required {
            return Err(Error::new(ErrorKind::Refused, tested.problems.join("; "))
                    .context("a test push was not accepted, so nothing is sent live")
                    .hint("the test users need a device with a valid token; `pushctl send --users ID --layer 4 …` tests one"));
        }
    }
    Ok((DONE, as_json(&tested)?))
}

/// The state of a test push after an attempt.
#[derive(PartialEq, Eq)]
enum State {
    /// It is over, with or without problems.
    Over,
    /// It waits for the end of the quiet hours.
    Paused,
}

async fn test_push(
    phase: &PhaseContext<'_>,
    (files, file): (&GeneratedFiles, &GeneratedFile),
    order: &Order,
    tested: &mut TestResult,
) -> Result<State> {
    fetch_file(phase, files, file).await?;
    if phase.plan.mode == Mode::TestDryRun {
        tested.pushes.push(dry_run_push(phase, order).await?);
        return Ok(State::Over);
    }
    let gate = match phase.plan.mode {
        Mode::LiveSend => while_sending(&phase.plan.automation, None),
        _ => WhileSending::default(),
    };
    let sent = deliver(phase, order, &gate).await?;
    if sent.paused_until.is_some() {
        return Ok(State::Paused);
    }
    let summary = sent.summary;
    match (summary.ended, sent.error) {
        // After a signal or an unreachable service the test phase can continue.
        (SendResult::Cancelled | SendResult::Stopped, Some(error)) => return Err(error),
        (SendResult::Refused, Some(error)) if is_quiet(phase.plan, phase.context.clock.now()) => {
            return Err(error);
        }
        (_, error) if summary.accepted < summary.rows => {
            let unsendable = summary.without_token + summary.skipped;
            let why = if unsendable > 0 {
                let mut reasons = summary.skipped_by_reason.clone();
                if summary.without_token > 0 {
                    reasons.insert("without a token".to_owned(), summary.without_token);
                }
                let reasons_text = reasons
                    .iter()
                    .map(|(code, count)| format!("{} {code}", number(*count)));
                format!(" ({})", reasons_text.collect::<Vec<_>>().join(", "))
            } else {
                error.map_or_else(String::new, |error| format!(" ({error:#})"))
            };
            tested.problems.push(format!(
                "push {} to {}: the push service accepted {} of {}{why}",
                order.number,
                file.name,
                number(summary.accepted),
                number(summary.rows)
            ));
        }
        _ => {}
    }
    tested.accepted += summary.accepted;
    tested.of += summary.rows;
    tested.pushes.push(summary);
    Ok(State::Over)
}

/// Returns the order of a test push: the same text to the test users, as a separate push that no rule limits. After a
/// refused test it is a new push, so that test users with a valid token by now get it.
fn test_order(phase: &PhaseContext<'_>, order: Order, earlier: usize) -> Order {
    let again = match earlier {
        0 => String::new(),
        earlier => format!("#{}", earlier + 1),
    };
    Order {
        occurrence: format!("{}{again}{TEST_SUFFIX}", phase.run.occurrence),
        layer: TEST_LAYER,
        in_doubt: InDoubt::Retry,
        holdout_percent: 0.0,
        max_failure_rate: None,
        overlap: None,
        ..order
    }
}
