//! Checks requests as strictly as the real service, and rejects them with its texts.

use std::fmt;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderName, Method};
use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};
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
    let Some(token) = message.token.clone().filter(|token| !token.is_empty()) else {
        return Err(answers::violation("message", "Recipient of the message is not set.").into());
    };
    if let Some(key) = &message.data.reserved {
        let description = format!("Invalid data payload key: {key}");
        return Err(answers::violation("message.data", &description).into());
    }
    let notification = message.notification.as_ref();
    let texts = notification.map_or(0, |shown| shown.title.0 + shown.body.0);
    if message.data.bytes + texts > PAYLOAD {
        return Err(answers::too_big().into());
    }
    if message.apns.headers.collapse_id.0 > 64 {
        let field = "message.apns.headers[apns-collapse-id]";
        return Err(answers::violation(field, "Invalid apns-collapse-id").into());
    }
    if let Some((field, description)) = message.wrong_option() {
        return Err(answers::violation(field, description).into());
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
    #[serde(default)]
    android: Android,
    #[serde(default)]
    apns: Apns,
    #[serde(default)]
    webpush: Webpush,
    #[serde(default)]
    fcm_options: FcmOptions,
}

impl Body {
    /// The first option whose value is not in the service's reference, and what the service says about it.
    fn wrong_option(&self) -> Option<(&'static str, &'static str)> {
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let is =
            |text: &Option<String>, fits: &dyn Fn(&str) -> bool| text.as_deref().is_none_or(fits);
        let label = |text: &str| {
            let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~%".contains(&byte);
            (1..=50).contains(&text.len()) && text.bytes().all(is_known)
        };
        let image = self
            .notification
            .as_ref()
            .and_then(|shown| shown.image.clone());
        let aps = &self.apns.payload.aps;
        let headers = &self.apns.headers;
        let checks = [
            (
                "message.notification.image",
                is(&image, &|text| text.starts_with("https://")),
            ),
            (
                "message.android.ttl",
                is(&self.android.ttl, &|text| {
                    text.strip_suffix('s').is_some_and(digits)
                }),
            ),
            (
                "message.android.priority",
                is(&self.android.priority, &|text| {
                    matches!(text, "HIGH" | "NORMAL")
                }),
            ),
            (
                "message.apns.headers[apns-expiration]",
                is(&headers.expiration, &digits),
            ),
            (
                "message.apns.headers[apns-priority]",
                is(&headers.priority, &|text| matches!(text, "5" | "10")),
            ),
            (
                "message.apns.payload.aps",
                aps.mutable_content.is_none_or(|flag| flag == 1),
            ),
            (
                "message.webpush.headers[TTL]",
                is(&self.webpush.headers.ttl, &digits),
            ),
            (
                "message.fcm_options.analytics_label",
                is(&self.fcm_options.analytics_label, &label),
            ),
        ];
        let wrong = checks.into_iter().find(|(_, fits)| !fits)?;
        Some((wrong.0, "Invalid value"))
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Webpush {
    #[serde(default)]
    headers: WebpushHeaders,
}

#[derive(Deserialize, Default)]
struct WebpushHeaders {
    #[serde(rename = "TTL")]
    ttl: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FcmOptions {
    analytics_label: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Notification {
    #[serde(default)]
    title: Length,
    #[serde(default)]
    body: Length,
    image: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Android {
    #[serde(default, rename = "collapse_key")]
    _collapse_key: Length,
    priority: Option<String>,
    ttl: Option<String>,
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
    #[serde(rename = "notification_count")]
    _notification_count: Option<u32>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Apns {
    #[serde(default)]
    headers: ApnsHeaders,
    #[serde(default)]
    payload: ApnsPayload,
}

#[derive(Deserialize, Default)]
struct ApnsPayload {
    #[serde(default)]
    aps: Aps,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Aps {
    #[serde(default, rename = "sound")]
    _sound: Length,
    #[serde(rename = "badge")]
    _badge: Option<u32>,
    mutable_content: Option<u8>,
}

#[derive(Deserialize, Default)]
struct ApnsHeaders {
    #[serde(rename = "apns-expiration")]
    expiration: Option<String>,
    #[serde(rename = "apns-priority")]
    priority: Option<String>,
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
