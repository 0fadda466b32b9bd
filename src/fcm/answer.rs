//! Classifies the answers of the push service. Pure: an answer in, a [`PushAnswer`] out.
//!
//! A token is dead on `FcmError` UNREGISTERED and on nothing else; a 404 without it means that the project is wrong.
//! A 200 without a message name proves nothing: a proxy in between may have sent it.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;

/// The platform of a token, as far as the service distinguishes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Platform {
    Android,
    /// iOS, iPadOS and macOS.
    Apple,
    /// Browsers.
    Web,
}

/// A code for the outcome file: the service's own error code where it sends one.
pub type Code = Cow<'static, str>;

/// The class of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PushAnswer {
    /// 200 with a message name.
    Accepted {
        /// `projects/…/messages/…`
        name: String,
    },
    /// `FcmError` UNREGISTERED.
    Dead,
    /// The service rejects this token; never retried.
    Failed {
        /// The service's code.
        code: Code,
    },
    /// `INVALID_ARGUMENT` whose field violations concern the message: every other row would fail too.
    BadMessage {
        /// The field violations.
        reason: String,
    },
    /// `THIRD_PARTY_AUTH_ERROR`: the certificate of a platform is bad.
    ThirdPartyAuth {
        /// The platform, if the answer names it.
        platform: Option<Platform>,
    },
    /// Any other 401: the bearer token is no longer valid.
    Unauthenticated,
    /// 403 or 404 without `FcmError`: the project is wrong, or the API is not enabled in it.
    Misconfigured {
        /// The service's message.
        reason: String,
    },
    /// 429: the rate limit is exceeded.
    Quota { retry_after: Option<Duration> },
    /// 500 or 503: an error inside the service.
    ServerError {
        /// The service's code.
        code: Code,
        retry_after: Option<Duration>,
    },
    /// The answer does not show whether the message was accepted.
    Unclear {
        /// The answer, as a code.
        code: Code,
    },
}

#[derive(Deserialize)]
struct Success<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
struct AnswerFailure {
    #[serde(default)]
    error: ErrorBody,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ErrorBody {
    message: String,
    status: String,
    details: Vec<Detail>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Detail {
    #[serde(rename = "@type")]
    kind: String,
    #[serde(rename = "errorCode")]
    error_code: String,
    #[serde(rename = "fieldViolations")]
    field_violations: Vec<Violation>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Violation {
    field: String,
    description: String,
}

/// Classifies an answer. `now` is for a `Retry-After` that is a date.
pub(super) fn classify(
    status: StatusCode,
    retry_after: Option<&HeaderValue>,
    body: &[u8],
    now: impl FnOnce() -> Timestamp,
) -> PushAnswer {
    if status == StatusCode::OK {
        return match serde_json::from_slice::<Success<'_>>(body) {
            Ok(success) if !success.name.is_empty() => PushAnswer::Accepted {
                name: success.name.into_owned(),
            },
            _ => PushAnswer::Unclear {
                code: "NO_MESSAGE_NAME".into(),
            },
        };
    }
    let failure: AnswerFailure = serde_json::from_slice(body).unwrap_or_default();
    let wait = retry_after.and_then(|value| parse_retry_after(value, now()));
    failure.error.classify(status, wait)
}

impl ErrorBody {
    fn classify(self, status: StatusCode, retry_after: Option<Duration>) -> PushAnswer {
        match (status.as_u16(), self.fcm_code()) {
            (429, _) | (_, Some("QUOTA_EXCEEDED")) => PushAnswer::Quota { retry_after },
            (400..=499, Some("UNREGISTERED")) => PushAnswer::Dead,
            (_, Some("THIRD_PARTY_AUTH_ERROR")) => PushAnswer::ThirdPartyAuth {
                platform: self.platform(),
            },
            (400, _) => self.invalid(),
            (401, None) => PushAnswer::Unauthenticated,
            (403 | 404, None) => PushAnswer::Misconfigured {
                reason: self.text(status),
            },
            (code @ (500 | 503), _) => PushAnswer::ServerError {
                code: if code == 500 {
                    "INTERNAL"
                } else {
                    "UNAVAILABLE"
                }
                .into(),
                retry_after,
            },
            (300..=499, fcm) => PushAnswer::Failed {
                code: match fcm {
                    Some(code) => Cow::Owned(code.to_owned()),
                    None => Cow::Owned(format!("HTTP_{}", status.as_u16())),
                },
            },
            // A gateway that gave up, or a status that the service does not use.
            (code, _) => PushAnswer::Unclear {
                code: Cow::Owned(format!("HTTP_{code}")),
            },
        }
    }

    fn fcm_code(&self) -> Option<&str> {
        self.details
            .iter()
            .find(|detail| detail.kind.ends_with("google.firebase.fcm.v1.FcmError"))
            .map(|detail| detail.error_code.as_str())
            .filter(|code| !code.is_empty())
    }

    fn platform(&self) -> Option<Platform> {
        let has_detail = |kind: &str| {
            self.details
                .iter()
                .any(|detail| detail.kind.ends_with(kind))
        };
        if has_detail("google.firebase.fcm.v1.ApnsError") {
            Some(Platform::Apple)
        } else if has_detail("google.firebase.fcm.v1.WebpushError") {
            Some(Platform::Web)
        } else {
            None
        }
    }

    /// Classifies a 400: the token is bad, unless a field violation names another field.
    fn invalid(&self) -> PushAnswer {
        let violations: Vec<String> = self
            .details
            .iter()
            .flat_map(|detail| &detail.field_violations)
            .filter(|violation| violation.field != "message.token")
            .map(|violation| match violation.field.as_str() {
                "" => violation.description.clone(),
                field => format!("{field}: {}", violation.description),
            })
            .collect();
        if violations.is_empty() {
            return PushAnswer::Failed {
                code: "INVALID_ARGUMENT".into(),
            };
        }
        PushAnswer::BadMessage {
            reason: violations.join("; "),
        }
    }

    fn text(self, status: StatusCode) -> String {
        match (self.status.as_str(), self.message.as_str()) {
            ("", "") => format!("the push service answered {status}"),
            (code, "") => format!("the push service answered {status}: {code}"),
            (_, message) => format!("the push service answered {status}: {message}"),
        }
    }
}

/// Parses a date of HTTP.
pub(super) fn parse_date(value: &HeaderValue) -> Option<Timestamp> {
    let text = value.to_str().ok()?.trim();
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    parser.parse_timestamp(text).ok()
}

/// Parses a `Retry-After` in seconds or as an HTTP date; a wait of more than a day is cut to a day.
fn parse_retry_after(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    const DAY: Duration = Duration::from_secs(86_400);
    let text = value.to_str().ok()?.trim();
    let wait = if let Ok(seconds) = text.parse() {
        Duration::from_secs(seconds)
    } else {
        // A date in the past means now.
        Duration::try_from(parse_date(value)?.duration_since(now)).unwrap_or_default()
    };
    Some(wait.min(DAY))
}
