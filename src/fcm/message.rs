//! Writes the JSON of messages. What is the same for all recipients is encoded once, in advance.
//!
//! ```json
//! {"validate_only":false,"message":{"token":"…","notification":{"title":"…","body":"…","image":"…"},
//!  "data":{"click_action":"…","url":"…"},"android":{…},"apns":{…},"webpush":{…},"fcm_options":{…}}}
//! ```

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::template::message_options::{MessageOptions, Priority, expiry};
use crate::template::push::{BoundPush, LINK_KEYS, MAX_PAYLOAD, Rendered};
use crate::template::{Row, Skip};

/// Whether the service delivers messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The service delivers them.
    Live,
    /// The service validates them and does not deliver them.
    ValidateOnly,
}

/// Apple's limit for `apns-collapse-id`, in bytes.
const MAX_COLLAPSE_ID: usize = 64;

/// The ids by which messages replace others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollapseIds {
    /// Of several copies of one message a phone shows one: the Android tag and the APNs collapse id (its first 64
    /// bytes). A later copy replaces the first one only if both carry the same id, so a send uses one for all.
    pub copies: String,
    /// Of several undelivered messages on Android the latest is delivered: the collapse key.
    pub undelivered: Option<String>,
}

impl CollapseIds {
    /// Returns one id for both.
    pub fn of(id: &str) -> Self {
        Self {
            copies: id.to_owned(),
            undelivered: Some(id.to_owned()),
        }
    }
}

/// Writes the messages for the rows of one audience; its buffers are reused.
#[derive(Debug)]
pub struct Composer {
    push: BoundPush,
    collapse: Option<CollapseIds>,
    head: Vec<u8>,
    keys: Vec<Vec<u8>>,
    tail: Vec<u8>,
    rendered: Rendered,
    /// Bytes of the last payload.
    payload: usize,
    buffer: Vec<u8>,
}

impl Composer {
    /// Without [`Composer::set_time`], messages expire as long after the service has taken them as their options say.
    pub fn new(push: BoundPush, delivery: Delivery, collapse: Option<CollapseIds>) -> Self {
        let head = match delivery {
            Delivery::Live => &b"{\"message\":{\"token\":"[..],
            Delivery::ValidateOnly => b"{\"validate_only\":true,\"message\":{\"token\":",
        };
        let keys = push
            .data_keys()
            .map(|key| {
                let mut quoted = Vec::new();
                quote(&mut quoted, key);
                quoted.push(b':');
                quoted
            })
            .collect();
        Self {
            head: head.to_vec(),
            keys,
            tail: tail(push.options(), collapse.as_ref(), None),
            push,
            collapse,
            rendered: Rendered::default(),
            payload: 0,
            buffer: Vec::new(),
        }
    }

    /// The messages that follow are composed at `now`, and none is delivered after `latest`.
    pub fn set_time(&mut self, now: Timestamp, latest: Option<Timestamp>) {
        let options = self.push.options();
        let left = options.time_left(now, latest);
        let time = left.map(|left| (now, left));
        self.tail = tail(options, self.collapse.as_ref(), time);
    }

    /// Returns the message for `row` to `token` in the words of a variant, or the reason why the row is skipped.
    pub fn compose<R: Row + ?Sized>(
        &mut self,
        token: &str,
        row: &R,
        variant: Option<usize>,
    ) -> Result<Bytes, Skip> {
        self.push.render(row, variant, &mut self.rendered)?;
        let out = &mut self.buffer;
        out.clear();
        out.extend_from_slice(&self.head);
        quote(out, token);
        let payload = out.len();
        write_payload(out, &self.rendered, &self.keys, self.push.has_deep_link());
        let bytes = out.len() - payload;
        self.payload = bytes;
        if bytes > MAX_PAYLOAD {
            return Err(Skip::TooLarge { bytes });
        }
        out.extend_from_slice(&self.tail);
        Ok(Bytes::copy_from_slice(out))
    }

    /// Returns the size of the last message, as the push service limits it: notification and data, in bytes.
    pub fn payload(&self) -> usize {
        self.payload
    }

    /// Returns the texts of the last row that was composed.
    pub fn rendered(&self) -> &Rendered {
        &self.rendered
    }
}

fn write_payload(out: &mut Vec<u8>, rendered: &Rendered, keys: &[Vec<u8>], linked: bool) {
    out.extend_from_slice(b",\"notification\":{\"title\":");
    quote(out, &rendered.title);
    out.extend_from_slice(b",\"body\":");
    quote(out, &rendered.body);
    if !rendered.image.is_empty() {
        out.extend_from_slice(b",\"image\":");
        quote(out, &rendered.image);
    }
    out.push(b'}');
    if !linked && keys.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"data\":{");
    if linked {
        for (place, key) in LINK_KEYS.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            quote(out, key);
            out.push(b':');
            quote(out, &rendered.deep_link);
        }
    }
    for (place, (key, value)) in keys.iter().zip(&rendered.data).enumerate() {
        if linked || place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(key);
        quote(out, value);
    }
    out.push(b'}');
}

/// Returns the end of a message: everything that is the same for all recipients. `time` is when it is composed and how
/// long it may take to be delivered.
fn tail(
    options: &MessageOptions,
    collapse: Option<&CollapseIds>,
    time: Option<(Timestamp, Duration)>,
) -> Vec<u8> {
    let lifetime = time.map(|(_, left)| left.as_secs());
    let lifetime = lifetime.or_else(|| Some(expiry(options.expires.as_deref()?).ok()?.as_secs()));
    let mut parts = Map::new();
    let mut part = |name: &str, value: Value| {
        if value.as_object().is_some_and(|part| !part.is_empty()) {
            parts.insert(name.to_owned(), value);
        }
    };
    part("android", android(options, collapse, lifetime));
    part("apns", apns(options, collapse, time));
    part(
        "webpush",
        object([(
            "headers",
            lifetime.map(|seconds| json!({ "TTL": seconds.to_string() })),
        )]),
    );
    part(
        "fcm_options",
        object([(
            "analytics_label",
            options.analytics_label.as_ref().map(|label| json!(label)),
        )]),
    );
    let mut out = Vec::new();
    for (name, value) in &parts {
        out.extend_from_slice(format!(",\"{name}\":{value}").as_bytes());
    }
    out.extend_from_slice(b"}}");
    out
}

fn android(
    options: &MessageOptions,
    collapse: Option<&CollapseIds>,
    lifetime: Option<u64>,
) -> Value {
    let shown = object([
        ("tag", collapse.map(|ids| json!(cut(&ids.copies)))),
        ("sound", options.audible().map(|sound| json!(sound))),
        (
            "channel_id",
            options.channel_id.as_ref().map(|id| json!(id)),
        ),
        (
            "notification_count",
            options.badge.map(|badge| json!(badge)),
        ),
    ]);
    let key = collapse.and_then(|ids| ids.undelivered.as_deref());
    object([
        ("collapse_key", key.map(|key| json!(cut(key)))),
        (
            "priority",
            options.priority.map(|priority| match priority {
                Priority::High => json!("HIGH"),
                Priority::Normal => json!("NORMAL"),
            }),
        ),
        ("ttl", lifetime.map(|seconds| json!(format!("{seconds}s")))),
        (
            "notification",
            shown
                .as_object()
                .is_some_and(|shown| !shown.is_empty())
                .then_some(shown),
        ),
    ])
}

fn apns(
    options: &MessageOptions,
    collapse: Option<&CollapseIds>,
    time: Option<(Timestamp, Duration)>,
) -> Value {
    let end = time.map(|(now, left)| now.as_second().saturating_add_unsigned(left.as_secs()));
    let headers = object([
        (
            "apns-collapse-id",
            collapse.map(|ids| json!(cut(&ids.copies))),
        ),
        ("apns-expiration", end.map(|end| json!(end.to_string()))),
        (
            "apns-priority",
            options.priority.map(|priority| match priority {
                Priority::High => json!("10"),
                Priority::Normal => json!("5"),
            }),
        ),
    ]);
    let is_mutable = options.mutable_content.unwrap_or(options.image.is_some());
    let aps = object([
        ("sound", options.audible().map(|sound| json!(sound))),
        ("badge", options.badge.map(|badge| json!(badge))),
        ("mutable-content", is_mutable.then(|| json!(1))),
    ]);
    let filled = |part: Value| {
        part.as_object()
            .is_some_and(|part| !part.is_empty())
            .then_some(part)
    };
    object([
        ("headers", filled(headers)),
        ("payload", filled(aps).map(|aps| json!({ "aps": aps }))),
    ])
}

/// Returns an object of the fields that have a value.
fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    let given = fields.into_iter();
    let given = given.filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(given.collect())
}

/// Returns as much of an id as Apple takes.
fn cut(id: &str) -> &str {
    let fits = |end: &usize| id.is_char_boundary(*end);
    let end = (0..=MAX_COLLAPSE_ID.min(id.len())).rev().find(fits);
    &id[..end.unwrap_or(0)]
}

/// Appends `text` as a JSON string.
fn quote(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut written = 0;
    for (place, byte) in text.bytes().enumerate() {
        let escape: &[u8] = match byte {
            b'"' => b"\\\"",
            b'\\' => b"\\\\",
            b'\n' => b"\\n",
            b'\r' => b"\\r",
            b'\t' => b"\\t",
            0..=0x1f => b"",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[written..place]);
        if escape.is_empty() {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(escape);
        }
        written = place + 1;
    }
    out.extend_from_slice(&text.as_bytes()[written..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::template::link::AllowedHosts;
    use crate::template::push::{PushTemplate, Wording};

    fn push(deep_link: Option<&str>, data: &[(&str, &str)]) -> BoundPush {
        let wording = Wording {
            variants: Vec::new(),
            title: "[[var:title]]".into(),
            body: "[[var:body]]".into(),
            deep_link: deep_link.map(str::to_owned),
            data: data
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
            options: MessageOptions::default(),
        };
        PushTemplate::parse(&wording, &AllowedHosts::default())
            .and_then(|push| push.bind(&["title", "body"]))
            .expect("a sound push")
    }

    fn message(composer: &mut Composer, row: [&str; 2]) -> Value {
        let bytes = composer
            .compose("t:1", row.as_slice(), None)
            .expect("a message");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[test]
    fn a_message_carries_the_link_under_both_keys_and_the_collapse_id_everywhere() {
        let push = push(Some("https://tradeblock.us/"), &[("kind", "layer2")]);
        let mut composer =
            Composer::new(push, Delivery::ValidateOnly, Some(CollapseIds::of("run-1")));
        assert_eq!(
            message(&mut composer, ["Hi", "there"]),
            json!({
                "validate_only": true,
                "message": {
                    "token": "t:1",
                    "notification": { "title": "Hi", "body": "there" },
                    "data": {
                        "click_action": "https://tradeblock.us/",
                        "url": "https://tradeblock.us/",
                        "kind": "layer2",
                    },
                    "android": { "collapse_key": "run-1", "notification": { "tag": "run-1" } },
                    "apns": { "headers": { "apns-collapse-id": "run-1" } },
                },
            })
        );
    }

    #[test]
    fn a_message_without_link_or_data_has_no_data() {
        let mut composer = Composer::new(push(None, &[]), Delivery::Live, None);
        assert_eq!(
            message(&mut composer, ["Hi", "there"]),
            json!({ "message": { "token": "t:1", "notification": { "title": "Hi", "body": "there" } } })
        );
    }

    #[test]
    fn a_payload_over_the_limit_skips_the_row() {
        let mut composer = Composer::new(push(None, &[]), Delivery::Live, None);
        let frame = r#","notification":{"title":"","body":""}"#.len() + 1;
        let fits = "x".repeat(MAX_PAYLOAD - frame);
        assert!(composer.compose("t", ["a", &fits].as_slice(), None).is_ok());
        let too_long = format!("{fits}x");
        assert_eq!(
            composer.compose("t", ["a", &too_long].as_slice(), None),
            Err(Skip::TooLarge {
                bytes: MAX_PAYLOAD + 1
            })
        );
    }

    #[test]
    fn a_long_collapse_id_is_cut_to_what_apple_takes() {
        let id = "é".repeat(40);
        let mut composer =
            Composer::new(push(None, &[]), Delivery::Live, Some(CollapseIds::of(&id)));
        let message = message(&mut composer, ["a", "b"]);
        let cut = &message["message"]["apns"]["headers"]["apns-collapse-id"];
        assert_eq!(cut.as_str().map(str::len), Some(MAX_COLLAPSE_ID));
    }

    proptest! {
        #[test]
        fn any_text_arrives_as_it_was(title in "\\PC{0,8}[\\x00-\\x1f\"\\\\]?x\\PC{0,8}", token in ".{1,20}") {
            let mut composer = Composer::new(push(None, &[]), Delivery::Live, None);
            let bytes = composer.compose(&token, [title.as_str(), "b"].as_slice(), None).expect("a message");
            let value: Value = serde_json::from_slice(&bytes).expect("JSON");
            prop_assert_eq!(&value["message"]["notification"]["title"], &Value::from(title));
            prop_assert_eq!(&value["message"]["token"], &Value::from(token));
        }
    }
}
