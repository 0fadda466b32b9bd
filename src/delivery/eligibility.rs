//! The eligible recipients of a batch, and the reasons for which the others get no message.
//!
//! The notification history is asked about thousands of recipients at once. The claim applies its rules again, through
//! the [`Guard`] of the screen, so a push between the two is not missed.

use std::time::Duration;

use bytes::Bytes;
use csv::StringRecord;
use tokio::time::{Instant, timeout};

use super::feeder::Feeder;
use super::groups::is_held_out;
use super::plan::skip_code;
use super::send_pass::SendPass;
use super::token_query::{TokenProblem, Tokens};
use super::{CadenceFailure, Order};
use crate::budget::Budget;
use crate::cadence::{CadenceDecision, Screen};
use crate::clock::text::Seconds;
use crate::error::{Error, ErrorKind, Result};
use crate::fcm::Composer;
use crate::state::ledger::{Counted, Dismissal, Ending, Guard, UserKey, Words};

/// The time for which a history that did not answer is not asked again, where the send goes on without it: every
/// attempt costs a timeout.
const AWAY: Duration = Duration::from_secs(60);

/// A recipient, with the row and the tokens.
pub(super) struct AudienceRecipient {
    pub(super) row: StringRecord,
    pub(super) user: UserKey,
    pub(super) tokens: Vec<String>,
    /// The reason, if there is no token.
    pub(super) problem: TokenProblem,
}

impl AudienceRecipient {
    pub(super) fn new(row: StringRecord, user: UserKey, tokens: Tokens) -> Self {
        let (tokens, problem) = match tokens {
            Ok(tokens) => (tokens, TokenProblem::NoToken),
            Err(problem) => (Vec::new(), problem),
        };
        Self {
            row,
            user,
            tokens,
            problem,
        }
    }
}

/// A recipient who may be sent to.
pub(super) struct EligibleRow {
    pub(super) recipient: AudienceRecipient,
    pub(super) counted: Counted,
    /// The message to the first token.
    pub(super) body: Bytes,
    /// The recipient's texts, where they differ from the push's own.
    pub(super) words: Option<Words>,
}

/// A batch after screening.
pub(super) struct ScreenedBatch<'a> {
    pub(super) ready: Vec<EligibleRow>,
    pub(super) dismissed: Vec<Dismissal>,
    /// Excluded by the history, perhaps only because of this same push before.
    pub(super) excluded: Vec<(AudienceRecipient, Dismissal)>,
    pub(super) guard: Guard,
    pub(super) screen: Option<Screen<'a>>,
}

/// Screens a batch. After an error, which is the history's, no recipient of the batch may be sent to.
pub(super) async fn select_eligible<'a>(
    feeder: &mut Feeder<'a>,
    composer: &mut Composer,
    people: Vec<AudienceRecipient>,
) -> Result<ScreenedBatch<'a>> {
    let (screen, decisions) = ask_history(feeder, &people).await?;
    let guard = screen.as_ref().map_or_else(Guard::none, Screen::guard);
    let mut screened = ScreenedBatch {
        ready: Vec::with_capacity(people.len()),
        dismissed: Vec::new(),
        excluded: Vec::new(),
        guard,
        screen,
    };
    for (recipient, decision) in people.into_iter().zip(decisions) {
        screen_recipient(feeder.pass, composer, recipient, decision, &mut screened);
    }
    Ok(screened)
}

async fn ask_history<'a>(
    feeder: &mut Feeder<'a>,
    people: &[AudienceRecipient],
) -> Result<(Option<Screen<'a>>, Vec<CadenceDecision>)> {
    let all_eligible = || vec![CadenceDecision::Eligible(Counted::default()); people.len()];
    let pass = feeder.pass;
    let Some(cadence) = pass.cadence else {
        return Ok((None, all_eligible()));
    };
    let asked_lately = feeder
        .history_failed
        .is_some_and(|since| since.elapsed() < AWAY);
    if asked_lately {
        return Ok((None, all_eligible()));
    }
    let ids: Vec<String> = people
        .iter()
        .map(|recipient| recipient.user.to_string())
        .collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let asked = async {
        let screen = cadence.screen(pass.layer).await?.beside(pass.push);
        let filtered = screen.filter(&ids).await?;
        Ok::<_, Error>((screen, filtered))
    };
    match asked_in_time(pass.order, pass.budget, asked).await {
        Ok((screen, filtered)) => {
            feeder.breakdown += filtered.breakdown;
            Ok((Some(screen), filtered.verdicts))
        }
        Err(error) if pass.order.cadence_failure == CadenceFailure::Send => {
            feeder.history_failed = Some(Instant::now());
            feeder.note_once(&sent_anyway(&error));
            Ok((None, all_eligible()))
        }
        Err(error) => Err(error
            .context("the notification history does not answer, so no further message is sent")
            .hint("run `pushctl resume` once it answers; --cadence-failure send sends without asking it")),
    }
}

fn screen_recipient(
    pass: &SendPass<'_>,
    composer: &mut Composer,
    recipient: AudienceRecipient,
    decision: CadenceDecision,
    screened: &mut ScreenedBatch<'_>,
) {
    let dismiss = |recipient: &AudienceRecipient, code: String| Dismissal {
        user: recipient.user.clone(),
        ending: Ending::Skipped,
        code,
    };
    if is_held_out(pass.order, &recipient.user) {
        screened
            .dismissed
            .push(dismiss(&recipient, "holdout".to_owned()));
        return;
    }
    let counted = match decision {
        CadenceDecision::Eligible(counted) => counted,
        CadenceDecision::Excluded(exclusion) => {
            let dismissal = dismiss(&recipient, exclusion.key().to_owned());
            screened.excluded.push((recipient, dismissal));
            return;
        }
    };
    let Some(token) = recipient.tokens.first() else {
        let code = recipient.problem.code().to_owned();
        screened.dismissed.push(dismiss(&recipient, code));
        return;
    };
    let variant = pass.variants.place(&recipient.user);
    match composer.compose(token, &recipient.row, variant) {
        Ok(body) => {
            let words = pass.own_words(composer);
            screened.ready.push(EligibleRow {
                recipient,
                counted,
                body,
                words,
            });
        }
        Err(skip) => screened
            .dismissed
            .push(dismiss(&recipient, skip_code(&skip))),
    }
}

/// How long a send waits for a history that it can go on without; under a short deadline a quarter of what is left.
const HASTE: Duration = Duration::from_secs(10);

/// Asks the history. A send that can go on without it does not wait until its deadline.
pub(super) async fn asked_in_time<T>(
    order: &Order,
    budget: &Budget,
    asked: impl Future<Output = Result<T>>,
) -> Result<T> {
    if order.cadence_failure == CadenceFailure::Abort {
        return asked.await;
    }
    asked_in_haste(budget, asked).await
}

/// Asks the history, for a few seconds at most.
pub(super) async fn asked_in_haste<T>(
    budget: &Budget,
    asked: impl Future<Output = Result<T>>,
) -> Result<T> {
    let limit = HASTE.min(budget.left() / 4);
    let silent = |_| {
        let message = format!("it has not answered for {}", Seconds(limit));
        Err(Error::new(ErrorKind::Unreachable, message))
    };
    timeout(limit, asked).await.unwrap_or_else(silent)
}

/// Returns the note for the summary of a send that goes on without the history.
pub(super) fn sent_anyway(error: &Error) -> String {
    format!(
        "the notification history does not answer, and cadence_failure = \"send\": sent without regard to earlier pushes ({error:#})"
    )
}
