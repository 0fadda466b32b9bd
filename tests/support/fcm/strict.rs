//! Checks requests as strictly as the real service, and rejects them with its texts.

use std::fmt;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, Method};
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::answers::{self, Answer};
use super::oauth::{Admission, Oauth};

/// FCM's limit on the payload that a phone gets.
const PAYLOAD: usize = 4096;
/// Reserved by FCM in `data`.
const RESERVED: [&str; 2] = ["from", "message_type"];
const RESERVED_PREFIXES: [&str; 2] = ["google.", "gcm."];

/// A well-formed message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) token: String,
    pub(super) validate_only: bool,
}

/// Checks everything before the body: pseudo-headers, content type, bearer token.
pub(super) fn head(
    parts: &Parts,
    scheme: &str,
    path: &str,
    oauth: &Oauth,
    last: &mut Option<Admission>,
) -> Result<(), Box<Answer>> {
    if parts.uri.scheme_str() != Some(scheme) || parts.uri.authority().is_none() {
        return Err(Answer::html(400).into());
    }
    let underscored = |name: &HeaderName| name.as_str().contains('_');
    if parts.headers.keys().any(underscored) {
        return Err(Answer::html(400).into());
    }
    let Some(found) = parts.uri.path_and_query() else {
        return Err(Answer::html(400).into());
    };
    if found.as_str() != path {
        // Another project, or a path that does not exist.
        let project = found.as_str().starts_with("/v1/projects/");
        let answer = if project {
            answers::not_found()
        } else {
            Answer::html(404)
        };
        return Err(answer.into());
    }
    if parts.method != Method::POST {
        return Err(Answer::html(405).into());
    }
    let content_type = parts.headers.get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let json = content_type.is_some_and(|value| {
        let (kind, charset) = value.split_once(';').unwrap_or((value, "charset=utf-8"));
        kind == "application/json" && charset.trim().eq_ignore_ascii_case("charset=utf-8")
    });
    if !json {
        return Err(Answer::html(415).into());
    }
    let authorization = parts.headers.get(AUTHORIZATION);
    if !authorization.is_some_and(|value| oauth.admits(value, last)) {
        return Err(answers::unauthenticated().into());
    }
    Ok(())
}

/// Checks the body.
pub(super) fn body(body: &[u8]) -> Result<Message, Box<Answer>> {
    let envelope: Envelope = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        Err(error) => return Err(blame(body, &error).into()),
    };
    let message = envelope.message;
    let Some(token) = message.token.filter(|token| !token.is_empty()) else {
        return Err(answers::violation("message", "Recipient of the message is not set.").into());
    };
    if let Some(key) = message.data.reserved {
        let description = format!("Invalid data payload key: {key}");
        return Err(answers::violation("message.data", &description).into());
    }
    let notification = message.notification.unwrap_or_default();
    if message.data.bytes + notification.title.0 + notification.body.0 > PAYLOAD {
        return Err(answers::too_big().into());
    }
    if message.apns.headers.collapse_id.0 > 64 {
        let field = "message.apns.headers[apns-collapse-id]";
        return Err(answers::violation(field, "Invalid apns-collapse-id").into());
    }
    Ok(Message {
        token,
        validate_only: envelope.validate_only,
    })
}

/// Finds the field to name in the rejection of a body.
fn blame(body: &[u8], error: &serde_json::Error) -> Answer {
    let text = error.to_string();
    let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return answers::violation("", "Invalid JSON payload received. Unexpected token.");
    };
    if text.starts_with("unknown field") {
        let name = quoted(&text).unwrap_or_default();
        let place = if value.get(&name).is_some() {
            ""
        } else {
            "message"
        };
        let description = format!(
            "Invalid JSON payload received. Unknown name \"{name}\" at '{place}': Cannot find field."
        );
        return answers::violation(place, &description);
    }
    let description = format!("Invalid value at 'message' (TYPE_STRING), {text}");
    answers::violation("message.data[0].value", &description)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope {
    #[serde(default)]
    validate_only: bool,
    message: Body,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    token: Option<String>,
    notification: Option<Notification>,
    #[serde(default)]
    data: Data,
    #[serde(default, rename = "android")]
    _android: Android,
    #[serde(default)]
    apns: Apns,
    #[serde(default, rename = "webpush")]
    _webpush: IgnoredAny,
    #[serde(default, rename = "fcm_options")]
    _fcm_options: IgnoredAny,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Notification {
    #[serde(default)]
    title: Length,
    #[serde(default)]
    body: Length,
    #[serde(default, rename = "image")]
    _image: Length,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Android {
    #[serde(default, rename = "collapse_key")]
    _collapse_key: Length,
    #[serde(default, rename = "priority")]
    _priority: Length,
    #[serde(default, rename = "ttl")]
    _ttl: Length,
    #[serde(default, rename = "notification")]
    _notification: AndroidNotification,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct AndroidNotification {
    #[serde(default, rename = "tag")]
    _tag: Length,
    #[serde(default, rename = "channel_id")]
    _channel_id: Length,
    #[serde(default, rename = "click_action")]
    _click_action: Length,
    #[serde(default, rename = "sound")]
    _sound: Length,
    #[serde(default, rename = "icon")]
    _icon: Length,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Apns {
    #[serde(default)]
    headers: ApnsHeaders,
    #[serde(default, rename = "payload")]
    _payload: IgnoredAny,
}

#[derive(Deserialize, Default)]
struct ApnsHeaders {
    #[serde(default, rename = "apns-collapse-id")]
    collapse_id: Length,
}

/// The length of a string; other types are rejected.
#[derive(Default)]
struct Length(usize);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Strings;
        impl Visitor<'_> for Strings {
            type Value = Length;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a string")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Length, E> {
                Ok(Length(text.len()))
            }
        }
        deserializer.deserialize_str(Strings)
    }
}

/// `data`: string to string.
#[derive(Default)]
struct Data {
    bytes: usize,
    reserved: Option<String>,
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Data;
            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a map of strings")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Data, A::Error> {
                let mut data = Data::default();
                while let Some((key, value)) =
                    map.next_entry::<std::borrow::Cow<'de, str>, Length>()?
                {
                    data.bytes += key.len() + value.0;
                    let reserved = RESERVED.contains(&key.as_ref())
                        || RESERVED_PREFIXES
                            .iter()
                            .any(|prefix| key.starts_with(prefix));
                    if reserved {
                        data.reserved = Some(key.into_owned());
                    }
                }
                Ok(data)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}
