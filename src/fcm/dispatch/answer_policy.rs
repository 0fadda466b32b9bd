//! Decides the action for each class of answer.

use std::time::Duration;

use tokio::time::Instant;

use super::{Dispatch, Halt, HaltCause, InFlight};
use crate::advice::Advice;
use crate::fcm::answer::{Code, Platform, PushAnswer};
use crate::fcm::request::{DoubtCause, NoAnswer};
use crate::fcm::{FcmSettings, Outcome, Unsent};

/// How often the service may refuse a stream before the message counts as failed.
const MAX_REFUSED_STREAMS: u32 = 10;
/// The wait after the second refused stream; each further wait doubles.
const REFUSED_STREAM_WAIT: Duration = Duration::from_millis(100);
/// The longest wait that doubling leads to.
const MAX_WAIT: Duration = Duration::from_secs(300);

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
    /// Retry after this wait, if the service said one: it limits the recipient, or, if most recipients are limited, the
    /// whole send, which then pauses.
    Limited(Option<Duration>),
    /// Report a failure, and send nothing more to the platform.
    StopPlatform(Option<Platform>),
    /// Report the outcome, and stop the send.
    Stop(Outcome, Halt),
}

/// Returns the action. `jitter` is between 0 and 1.
pub(super) fn of(
    result: Result<PushAnswer, NoAnswer>,
    message: &InFlight,
    settings: &FcmSettings,
    jitter: f64,
) -> AnswerAction {
    let unsent = Outcome::Unsent {
        why: Unsent::Stopped,
    };
    match result {
        Err(NoAnswer::NotAccepted) => refused(message),
        Err(NoAnswer::InDoubt(doubt)) => {
            AnswerAction::Record(Outcome::InDoubt { code: code(doubt) })
        }
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
            halt.hints.push(Advice::BadMessage.to_string());
            AnswerAction::Stop(Outcome::Failed { code }, halt)
        }
        Ok(PushAnswer::ThirdPartyAuth { platform }) => {
            AnswerAction::StopPlatform(message.job.platform.or(platform))
        }
        Ok(PushAnswer::Unauthenticated) if !message.reauthorized => AnswerAction::Reauthorize,
        Ok(PushAnswer::Unauthenticated) => {
            let reason = "the push service rejects a new bearer token (401)";
            AnswerAction::Stop(unsent, Halt::new(HaltCause::Credentials, reason))
        }
        Ok(PushAnswer::Misconfigured { reason }) => {
            let mut halt = Halt::new(HaltCause::Credentials, reason);
            halt.hints.push(Advice::PushProject.to_string());
            AnswerAction::Stop(unsent, halt)
        }
        Ok(PushAnswer::Quota { retry_after }) => {
            AnswerAction::Limited(retry_after.map(|wait| wait.min(settings.patience)))
        }
        Ok(PushAnswer::ServerError { code, .. }) if message.server_errors + 1 >= settings.tries => {
            AnswerAction::Record(Outcome::Failed { code })
        }
        Ok(PushAnswer::ServerError { retry_after, .. }) => {
            let wait =
                || doubled(settings.backoff, message.server_errors).mul_f64(1.0 + jitter / 2.0);
            AnswerAction::Retry(retry_after.unwrap_or_else(wait))
        }
    }
}

fn refused(message: &InFlight) -> AnswerAction {
    match message.refused_streams {
        0 => AnswerAction::Resend(Duration::ZERO),
        count if count < MAX_REFUSED_STREAMS => {
            AnswerAction::Resend(doubled(REFUSED_STREAM_WAIT, count - 1))
        }
        _ => AnswerAction::Record(Outcome::Failed {
            code: "REFUSED_STREAM".into(),
        }),
    }
}

fn doubled(first: Duration, times: u32) -> Duration {
    first
        .saturating_mul(2_u32.saturating_pow(times))
        .min(MAX_WAIT.max(first))
}

fn code(doubt: DoubtCause) -> Code {
    match doubt {
        DoubtCause::TimedOut => "TIMED_OUT",
        DoubtCause::Reset => "RESET",
        DoubtCause::ConnectionLost => "CONNECTION_LOST",
        DoubtCause::Abandoned => "ABANDONED",
    }
    .into()
}

/// Returns whether a failure's code stands for 401, 403 or 404.
pub(super) fn is_refusal(code: &str) -> bool {
    ["SENDER_ID_MISMATCH", "THIRD_PARTY_AUTH_ERROR"].contains(&code)
        || ["HTTP_401", "HTTP_403", "HTTP_404"].contains(&code)
}

impl Dispatch {
    pub(super) fn apply(&mut self, action: AnswerAction, mut message: InFlight, now: Instant) {
        match action {
            AnswerAction::Record(outcome) => self.report(&message, outcome, now),
            AnswerAction::Retry(wait) => {
                message.server_errors += 1;
                self.repeat(message, wait, now);
            }
            AnswerAction::Resend(wait) => {
                message.refused_streams += 1;
                self.repeat(message, wait, now);
            }
            AnswerAction::Reauthorize => {
                message.reauthorized = true;
                self.drop_bearer(message.generation);
                self.repeat(message, Duration::ZERO, now);
            }
            AnswerAction::Limited(said) if self.quota.is_about_the_project() => {
                let wait = said.unwrap_or(self.settings.quota_pause);
                self.limiter.throttle(message.sent, wait, now);
                self.repeat(message, wait, now);
            }
            AnswerAction::Limited(_) if message.limited + 1 >= self.settings.tries => {
                let code = "QUOTA_EXCEEDED".into();
                self.report(&message, Outcome::Failed { code }, now);
            }
            AnswerAction::Limited(said) => {
                let wait = said.unwrap_or_else(|| doubled(self.settings.backoff, message.limited));
                message.limited += 1;
                self.repeat(message, wait, now);
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
                self.report(&message, Outcome::Failed { code }, now);
            }
            AnswerAction::Stop(outcome, halt) => {
                self.stop(halt, now);
                self.report(&message, outcome, now);
            }
        }
    }

    /// Drops the bearer token that was rejected, unless a newer one is in use already.
    fn drop_bearer(&mut self, generation: u64) {
        if self
            .bearer
            .as_ref()
            .is_some_and(|current| current.generation == generation)
        {
            self.bearer = None;
        }
    }
}
