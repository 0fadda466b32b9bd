//! From an answer to what is done about it: the right-hand column of the answer table.

use std::time::Duration;

use tokio::time::Instant;

use super::{Cause, Dispatch, Flight, Halt};
use crate::fcm::answer::{Answer, Code, Platform};
use crate::fcm::request::{Broken, Doubt};
use crate::fcm::{Outcome, Settings, Unsent};

/// How often the service may refuse a stream before the message counts as failed.
const REFUSALS: u32 = 10;
/// The wait after a second refusal; each further one doubles.
const REFUSAL_WAIT: Duration = Duration::from_millis(100);
/// No doubling goes beyond this.
const LONGEST: Duration = Duration::from_secs(300);

/// What is done about an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The message has ended.
    Record(Outcome),
    /// The service has trouble: it is sent again after a while.
    Retry(Duration),
    /// It was not even looked at: it is sent again.
    Resend(Duration),
    /// It is sent again with a new bearer token.
    Reauthorize,
    /// Everything waits, then this message is sent again.
    Pause(Duration),
    /// The message has ended, and so has sending to a platform.
    StopPlatform(Option<Platform>),
    /// The message has ended, and so has the run.
    Stop(Outcome, Halt),
}

/// Decides. `jitter` is between 0 and 1.
pub(super) fn of(
    result: Result<Answer, Broken>,
    flight: &Flight,
    settings: &Settings,
    jitter: f64,
) -> Verdict {
    let unsent = Outcome::Unsent {
        why: Unsent::Stopped,
    };
    match result {
        Err(Broken::NotAccepted) => refused(flight),
        Err(Broken::InDoubt(doubt)) => Verdict::Record(Outcome::InDoubt { code: code(doubt) }),
        Ok(Answer::Accepted { name }) => Verdict::Record(Outcome::Accepted { name }),
        Ok(Answer::Dead) => Verdict::Record(Outcome::Dead),
        Ok(Answer::Failed { code }) => Verdict::Record(Outcome::Failed { code }),
        Ok(Answer::Unclear { code }) => Verdict::Record(Outcome::InDoubt { code }),
        Ok(Answer::BadMessage { reason }) => {
            let code = "INVALID_ARGUMENT".into();
            let mut halt = Halt::new(
                Cause::BadMessage,
                format!("the message is refused: {reason}"),
            );
            halt.hints.push(
                "every other message would be refused too: change the texts or the data".to_owned(),
            );
            Verdict::Stop(Outcome::Failed { code }, halt)
        }
        Ok(Answer::ThirdPartyAuth { platform }) => {
            Verdict::StopPlatform(flight.job.platform.or(platform))
        }
        Ok(Answer::Unauthenticated) if !flight.reauthorized => Verdict::Reauthorize,
        Ok(Answer::Unauthenticated) => {
            let reason = "the service refuses a bearer token that was just lent (401)";
            Verdict::Stop(unsent, Halt::new(Cause::Credentials, reason))
        }
        Ok(Answer::Misconfigured { reason }) => {
            let mut halt = Halt::new(Cause::Credentials, reason);
            halt.hints.push("check the project id, that the Firebase Cloud Messaging API is enabled in it, and that the service account may send".to_owned());
            Verdict::Stop(unsent, halt)
        }
        Ok(Answer::Quota { retry_after }) => {
            Verdict::Pause(retry_after.unwrap_or(settings.quota_pause))
        }
        Ok(Answer::Trouble { code, .. }) if flight.troubles + 1 >= settings.tries => {
            Verdict::Record(Outcome::Failed { code })
        }
        Ok(Answer::Trouble { retry_after, .. }) => {
            let wait = || doubled(settings.backoff, flight.troubles).mul_f64(1.0 + jitter / 2.0);
            Verdict::Retry(retry_after.unwrap_or_else(wait))
        }
    }
}

fn refused(flight: &Flight) -> Verdict {
    match flight.refusals {
        0 => Verdict::Resend(Duration::ZERO),
        count if count < REFUSALS => Verdict::Resend(doubled(REFUSAL_WAIT, count - 1)),
        _ => Verdict::Record(Outcome::Failed {
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

/// Whether a failure's code stands for 401, 403 or 404.
pub(super) fn is_refusal(code: &str) -> bool {
    ["SENDER_ID_MISMATCH", "THIRD_PARTY_AUTH_ERROR"].contains(&code)
        || ["HTTP_401", "HTTP_403", "HTTP_404"].contains(&code)
}

impl Dispatch {
    pub(super) fn follow(&mut self, verdict: Verdict, mut flight: Flight, now: Instant) {
        match verdict {
            Verdict::Record(outcome) => self.report(&flight, outcome, now),
            Verdict::Retry(wait) => {
                flight.troubles += 1;
                self.repeat(flight, wait, now);
            }
            Verdict::Resend(wait) => {
                flight.refusals += 1;
                self.repeat(flight, wait, now);
            }
            Verdict::Reauthorize => {
                flight.reauthorized = true;
                self.forget_bearer(flight.generation);
                self.repeat(flight, Duration::ZERO, now);
            }
            Verdict::Pause(wait) => {
                self.pace.throttle(flight.sent, wait, now);
                self.repeat(flight, wait, now);
            }
            Verdict::StopPlatform(platform) => {
                if let Some(platform) = platform
                    && self.stopped.insert(platform)
                {
                    tracing::warn!(
                        ?platform,
                        "the certificate of a platform is bad: nothing more is sent to it"
                    );
                }
                let code = "THIRD_PARTY_AUTH_ERROR".into();
                self.report(&flight, Outcome::Failed { code }, now);
            }
            Verdict::Stop(outcome, halt) => {
                self.stop(halt, now);
                self.report(&flight, outcome, now);
            }
        }
    }

    /// Only the token that was refused: a newer one may be there already.
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
