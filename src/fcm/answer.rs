//! What the push service says, and what follows from it. Pure: an answer in, an [`Answer`] out.
//!
//! A token is declared dead on `FcmError` UNREGISTERED and on nothing else; a 404 without it means that the project
//! is wrong. A 200 without a message name proves nothing: some box on the way may have said it.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;

/// The operating systems that tokens belong to, as far as the service tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Platform {
    /// Android.
    Android,
    /// iOS and its relatives.
    Apple,
    /// Browsers.
    Web,
}

/// A code for the outcome file: the service's own word where there is one.
pub type Code = Cow<'static, str>;

/// One row of the answer table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// 200 with a message name.
    Accepted {
        /// `projects/…/messages/…`
        name: String,
    },
    /// `FcmError` UNREGISTERED.
    Dead,
    /// This recipient cannot be sent to; never retried.
    Failed {
        /// The service's code.
        code: Code,
    },
    /// INVALID_ARGUMENT whose field violations blame the message: every other row would fail too.
    BadMessage {
        /// The violations, in words.
        reason: String,
    },
    /// THIRD_PARTY_AUTH_ERROR: the certificate of a platform is bad.
    ThirdPartyAuth {
        /// Which platform, when the answer says so.
        platform: Option<Platform>,
    },
    /// 401 otherwise: our token is no longer good.
    Unauthenticated,
    /// 403 or 404 without `FcmError`: the wrong project, or an API that is switched off.
    Misconfigured {
        /// What the service said.
        reason: String,
    },
    /// 429: too fast.
    Quota {
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// 500 or 503: the service has trouble.
    Trouble {
        /// The service's code.
        code: Code,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// Nobody can tell whether the message was accepted.
    Unclear {
        /// What was answered, as a code.
        code: Code,
    },
}

#[derive(Deserialize)]
struct Success<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize, Default)]
struct Failure {
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

/// Reads an answer. `now` is for a `Retry-After` that is a date.
pub(super) fn classify(
    status: StatusCode,
    retry_after: Option<&HeaderValue>,
    body: &[u8],
    now: impl FnOnce() -> Timestamp,
) -> Answer {
    if status == StatusCode::OK {
        return match serde_json::from_slice::<Success<'_>>(body) {
            Ok(success) if !success.name.is_empty() => Answer::Accepted {
                name: success.name.into_owned(),
            },
            _ => Answer::Unclear {
                code: "NO_MESSAGE_NAME".into(),
            },
        };
    }
    let failure: Failure = serde_json::from_slice(body).unwrap_or_default();
    let wait = retry_after.and_then(|value| parse_retry_after(value, now()));
    failure.error.classify(status, wait)
}

impl ErrorBody {
    fn classify(self, status: StatusCode, retry_after: Option<Duration>) -> Answer {
        match (status.as_u16(), self.fcm_code()) {
            (429, _) | (_, Some("QUOTA_EXCEEDED")) => Answer::Quota { retry_after },
            (400..=499, Some("UNREGISTERED")) => Answer::Dead,
            (_, Some("THIRD_PARTY_AUTH_ERROR")) => Answer::ThirdPartyAuth {
                platform: self.platform(),
            },
            (400, _) => self.invalid(),
            (401, None) => Answer::Unauthenticated,
            (403 | 404, None) => Answer::Misconfigured {
                reason: self.said(status),
            },
            (code @ (500 | 503), _) => Answer::Trouble {
                code: if code == 500 {
                    "INTERNAL"
                } else {
                    "UNAVAILABLE"
                }
                .into(),
                retry_after,
            },
            (300..=499, fcm) => Answer::Failed {
                code: match fcm {
                    Some(code) => Cow::Owned(code.to_owned()),
                    None => Cow::Owned(format!("HTTP_{}", status.as_u16())),
                },
            },
            // A gateway that gave up, or something that is no answer at all.
            (code, _) => Answer::Unclear {
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
        let speaks = |kind: &str| {
            self.details
                .iter()
                .any(|detail| detail.kind.ends_with(kind))
        };
        if speaks("google.firebase.fcm.v1.ApnsError") {
            Some(Platform::Apple)
        } else if speaks("google.firebase.fcm.v1.WebpushError") {
            Some(Platform::Web)
        } else {
            None
        }
    }

    /// 400: the token is bad, unless a violation names another field.
    fn invalid(&self) -> Answer {
        let blamed: Vec<String> = self
            .details
            .iter()
            .flat_map(|detail| &detail.field_violations)
            .filter(|violation| violation.field != "message.token")
            .map(|violation| match violation.field.as_str() {
                "" => violation.description.clone(),
                field => format!("{field}: {}", violation.description),
            })
            .collect();
        if blamed.is_empty() {
            return Answer::Failed {
                code: "INVALID_ARGUMENT".into(),
            };
        }
        Answer::BadMessage {
            reason: blamed.join("; "),
        }
    }

    fn said(self, status: StatusCode) -> String {
        match (self.status.as_str(), self.message.as_str()) {
            ("", "") => format!("the service answered {status}"),
            (code, "") => format!("the service answered {status}: {code}"),
            (_, message) => format!("the service answered {status}: {message}"),
        }
    }
}

/// `Retry-After`: seconds, or an HTTP date. Longer than a day is as good as nonsense.
fn parse_retry_after(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    const DAY: Duration = Duration::from_secs(86_400);
    let text = value.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::DateTimeParser::new()
                .parse_timestamp(text)
                .ok()?;
            // A date in the past means now.
            Duration::try_from(date.duration_since(now)).unwrap_or_default()
        }
    };
    Some(wait.min(DAY))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-11-21T13:33:00Z".parse().expect("a time")
    }

    fn answer(status: u16, body: &str) -> Answer {
        classify(
            StatusCode::from_u16(status).expect("a status"),
            None,
            body.as_bytes(),
            now,
        )
    }

    fn fcm(code: &str) -> String {
        format!(
            r#"{{"error":{{"code":0,"message":"said","status":"S","details":[{{"@type":"type.googleapis.com/google.rpc.Other","x":[1]}},{{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"{code}"}}]}}}}"#
        )
    }

    #[test]
    fn a_token_is_dead_on_unregistered_and_on_nothing_else() {
        assert_eq!(answer(404, &fcm("UNREGISTERED")), Answer::Dead);
        let misconfigured = |status, body: &str| match answer(status, body) {
            Answer::Misconfigured { reason } => reason,
            other => panic!("{status} {body}: {other:?}"),
        };
        assert_eq!(
            misconfigured(404, "<html>UNREGISTERED</html>"),
            "the service answered 404 Not Found"
        );
        assert_eq!(
            misconfigured(
                404,
                r#"{"error":{"status":"NOT_FOUND","message":"Requested entity was not found."}}"#
            ),
            "the service answered 404 Not Found: Requested entity was not found."
        );
        misconfigured(
            404,
            r#"{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","errorCode":"UNREGISTERED"}]}}"#,
        );
        misconfigured(403, "");
        misconfigured(403, r#"{"error":"UNREGISTERED"}"#);
    }

    #[test]
    fn a_success_without_a_message_name_proves_nothing() {
        assert_eq!(
            answer(200, "{\n \"name\": \"projects/p/messages/1\"\n}"),
            Answer::Accepted {
                name: "projects/p/messages/1".into()
            }
        );
        for body in [
            "",
            "{}",
            "<html>sign in</html>",
            "{\"name\":\"\"}",
            "{\"name\":7}",
        ] {
            assert!(
                matches!(answer(200, body), Answer::Unclear { .. }),
                "{body}"
            );
        }
        assert_eq!(
            answer(204, ""),
            Answer::Unclear {
                code: "HTTP_204".into()
            }
        );
        assert_eq!(
            answer(504, "<html>"),
            Answer::Unclear {
                code: "HTTP_504".into()
            }
        );
    }

    #[test]
    fn an_invalid_argument_blames_the_token_unless_a_violation_names_another_field() {
        let violation = |field: &str| {
            format!(
                r#"{{"error":{{"details":[{{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{{"field":"{field}","description":"bad"}}]}}]}}}}"#
            )
        };
        let failed = Answer::Failed {
            code: "INVALID_ARGUMENT".into(),
        };
        assert_eq!(answer(400, &fcm("INVALID_ARGUMENT")), failed);
        assert_eq!(answer(400, &violation("message.token")), failed);
        assert_eq!(answer(400, "<html>"), failed);
        assert_eq!(
            answer(400, &violation("message.data[0].value")),
            Answer::BadMessage {
                reason: "message.data[0].value: bad".into()
            }
        );
    }

    #[test]
    fn the_other_rows_of_the_table() {
        let failed = |code: &'static str| Answer::Failed { code: code.into() };
        assert_eq!(
            answer(403, &fcm("SENDER_ID_MISMATCH")),
            failed("SENDER_ID_MISMATCH")
        );
        assert_eq!(
            answer(401, &fcm("THIRD_PARTY_AUTH_ERROR")),
            Answer::ThirdPartyAuth { platform: None }
        );
        assert_eq!(
            answer(
                401,
                r#"{"error":{"details":[{"@type":"a/google.firebase.fcm.v1.FcmError","errorCode":"THIRD_PARTY_AUTH_ERROR"},{"@type":"a/google.firebase.fcm.v1.ApnsError"}]}}"#
            ),
            Answer::ThirdPartyAuth {
                platform: Some(Platform::Apple)
            }
        );
        assert_eq!(answer(401, ""), Answer::Unauthenticated);
        assert_eq!(answer(429, "<html>"), Answer::Quota { retry_after: None });
        assert_eq!(
            answer(500, ""),
            Answer::Trouble {
                code: "INTERNAL".into(),
                retry_after: None
            }
        );
        assert_eq!(
            answer(503, "<html>"),
            Answer::Trouble {
                code: "UNAVAILABLE".into(),
                retry_after: None
            }
        );
        assert_eq!(answer(413, ""), failed("HTTP_413"));
        assert_eq!(answer(302, ""), failed("HTTP_302"));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        for (text, wait) in [
            ("7", Some(7)),
            ("0", Some(0)),
            ("Sat, 21 Nov 2026 13:33:30 GMT", Some(30)),
            ("Sat, 21 Nov 2026 13:00:00 GMT", Some(0)),
            ("99999999999", Some(86_400)),
            ("soon", None),
            ("-1", None),
            ("", None),
        ] {
            let value = HeaderValue::from_static(text);
            let found = parse_retry_after(&value, now());
            assert_eq!(found, wait.map(Duration::from_secs), "{text}");
        }
    }
}
