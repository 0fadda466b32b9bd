//! Decides the action for each class of answer.

use std::time::Duration;

use tokio::time::Instant;

use super::{Dispatch, Halt, HaltCause, InFlight};
use crate::fcm::answer::{Code, Platform, PushAnswer};
use crate::fcm::request::{Broken, Doubt};
use crate::fcm::{FcmSettings, Outcome, Unsent};

/// How often the service may refuse a stream before the message counts as failed.
const REFUSALS: u32 = 10;
/// The wait after the second refused stream; each further wait doubles.
const REFUSAL_WAIT: Duration = Duration::from_millis(100);
/// The longest wait that doubling leads to.
const LONGEST: Duration = Duration::from_secs(300);

/// The action for an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AnswerAction {
    /// Report the outcome.
    Record(Outcome),
    /// Retry after this wait: the service has an internal error.
    Retry(Duration),
    /// Send again after this wait: the service did not process the request.
    Resend(Duration),
    /// Retry with a new bearer token.
    Reauthorize,
    /// Pause the whole send, then retry.
    Pause(Duration),
    /// Report a failure, and send nothing more to the platform.
    StopPlatform(Option<Platform>),
    /// Report the outcome, and stop the send.
    Stop(Outcome, Halt),
}

/// Returns the action. `jitter` is between 0 and 1.
pub(super) fn of(
    result: Result<PushAnswer, Broken>,
    flight: &InFlight,
    settings: &FcmSettings,
    jitter: f64,
) -> AnswerAction {
    let unsent = Outcome::Unsent {
        why: Unsent::Stopped,
    };
    match result {
        Err(Broken::NotAccepted) => refused(flight),
        Err(Broken::InDoubt(doubt)) => AnswerAction::Record(Outcome::InDoubt { code: code(doubt) }),
        Ok(PushAnswer::Accepted { name }) => AnswerAction::Record(Outcome::Accepted { name }),
        Ok(PushAnswer::Dead) => AnswerAction::Record(Outcome::Dead),
        Ok(PushAnswer::Failed { code }) => AnswerAction::Record(Outcome::Failed { code }),
        Ok(PushAnswer::Unclear { code }) => AnswerAction::Record(Outcome::InDoubt { code }),
        Ok(PushAnswer::BadMessage { reason }) => {
            let code = "INVALID_ARGUMENT".into();
            let mut halt = Halt::new(
                HaltCause::BadMessage,
                format!("the push service rejects the message: {reason}"),
            );
            halt.hints.push(
                "it would reject every other message too: change the texts or the data".to_owned(),
            );
            AnswerAction::Stop(Outcome::Failed { code }, halt)
        }
        Ok(PushAnswer::ThirdPartyAuth { platform }) => {
            AnswerAction::StopPlatform(flight.job.platform.or(platform))
        }
        Ok(PushAnswer::Unauthenticated) if !flight.reauthorized => AnswerAction::Reauthorize,
        Ok(PushAnswer::Unauthenticated) => {
            let reason = "the push service rejects a new bearer token (401)";
            AnswerAction::Stop(unsent, Halt::new(HaltCause::Credentials, reason))
        }
        Ok(PushAnswer::Misconfigured { reason }) => {
            let mut halt = Halt::new(HaltCause::Credentials, reason);
            halt.hints.push("check the project id, that the Firebase Cloud Messaging API is enabled in it, and that the service account may send messages".to_owned());
            AnswerAction::Stop(unsent, halt)
        }
        Ok(PushAnswer::Quota { retry_after }) => {
            AnswerAction::Pause(retry_after.unwrap_or(settings.quota_pause))
        }
        Ok(PushAnswer::Trouble { code, .. }) if flight.troubles + 1 >= settings.tries => {
            AnswerAction::Record(Outcome::Failed { code })
        }
        Ok(PushAnswer::Trouble { retry_after, .. }) => {
            let wait = || doubled(settings.backoff, flight.troubles).mul_f64(1.0 + jitter / 2.0);
            AnswerAction::Retry(retry_after.unwrap_or_else(wait))
        }
    }
}

fn refused(flight: &InFlight) -> AnswerAction {
    match flight.refusals {
        0 => AnswerAction::Resend(Duration::ZERO),
        count if count < REFUSALS => AnswerAction::Resend(doubled(REFUSAL_WAIT, count - 1)),
        _ => AnswerAction::Record(Outcome::Failed {
            code: "REFUSED_STREAM".into(),
        }),
    }
}

fn doubled(first: Duration, times: u32) -> Duration {
    first
        .saturating_mul(2_u32.saturating_pow(times))
        .min(LONGEST.max(first))
}

fn code(doubt: Doubt) -> Code {
    match doubt {
        Doubt::TimedOut => "TIMED_OUT",
        Doubt::Reset => "RESET",
        Doubt::ConnectionLost => "CONNECTION_LOST",
        Doubt::Abandoned => "ABANDONED",
    }
    .into()
}

/// Returns whether a failure's code stands for 401, 403 or 404.
pub(super) fn is_refusal(code: &str) -> bool {
    ["SENDER_ID_MISMATCH", "THIRD_PARTY_AUTH_ERROR"].contains(&code)
        || ["HTTP_401", "HTTP_403", "HTTP_404"].contains(&code)
}

impl Dispatch {
    pub(super) fn follow(&mut self, verdict: AnswerAction, mut flight: InFlight, now: Instant) {
        match verdict {
            AnswerAction::Record(outcome) => self.report(&flight, outcome, now),
            AnswerAction::Retry(wait) => {
                flight.troubles += 1;
                self.repeat(flight, wait, now);
            }
            AnswerAction::Resend(wait) => {
                flight.refusals += 1;
                self.repeat(flight, wait, now);
            }
            AnswerAction::Reauthorize => {
                flight.reauthorized = true;
                self.forget_bearer(flight.generation);
                self.repeat(flight, Duration::ZERO, now);
            }
            AnswerAction::Pause(wait) => {
                self.limiter.throttle(flight.sent, wait, now);
                self.repeat(flight, wait, now);
            }
            AnswerAction::StopPlatform(platform) => {
                if let Some(platform) = platform
                    && self.stopped.insert(platform)
                {
                    tracing::warn!(
                        ?platform,
                        "the push service rejects the certificate of this platform; sending to it stops"
                    );
                }
                let code = "THIRD_PARTY_AUTH_ERROR".into();
                self.report(&flight, Outcome::Failed { code }, now);
            }
            AnswerAction::Stop(outcome, halt) => {
                self.stop(halt, now);
                self.report(&flight, outcome, now);
            }
        }
    }

    /// Drops the bearer token that was rejected, unless a newer one is in use already.
    fn forget_bearer(&mut self, generation: u64) {
        if self
            .bearer
            .as_ref()
            .is_some_and(|current| current.generation == generation)
        {
            self.bearer = None;
        }
    }
}
