//! Writes the JSON of messages. What is the same for all recipients is encoded once, in advance.
//!
//! ```json
//! {"validate_only":false,"message":{"token":"…","notification":{"title":"…","body":"…"},
//!  "data":{"click_action":"…","url":"…"},"android":{…},"apns":{…}}}
//! ```

use bytes::Bytes;

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

/// Writes the messages for the rows of one audience; its buffers are reused.
#[derive(Debug)]
pub struct Composer {
    push: BoundPush,
    head: Vec<u8>,
    keys: Vec<Vec<u8>>,
    tail: Vec<u8>,
    rendered: Rendered,
    buffer: Vec<u8>,
}

impl Composer {
    /// With `collapse`, a phone shows only one of several copies: it becomes the Android tag, the collapse key and the
    /// APNs collapse id (its first 64 bytes). A later copy replaces the first one only if both carry the same id, so a
    /// send uses one id for all its messages.
    pub fn new(push: BoundPush, delivery: Delivery, collapse: Option<&str>) -> Self {
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
            push,
            head: head.to_vec(),
            keys,
            tail: tail(collapse),
            rendered: Rendered::default(),
            buffer: Vec::new(),
        }
    }

    /// Returns the message for `row` to `token`, or the reason why the row is skipped.
    pub fn compose<R: Row + ?Sized>(&mut self, token: &str, row: &R) -> Result<Bytes, Skip> {
        self.push.render(row, &mut self.rendered)?;
        let out = &mut self.buffer;
        out.clear();
        out.extend_from_slice(&self.head);
        quote(out, token);
        let payload = out.len();
        write_payload(out, &self.rendered, &self.keys, self.push.has_deep_link());
        let bytes = out.len() - payload;
        if bytes > MAX_PAYLOAD {
            return Err(Skip::TooLarge { bytes });
        }
        out.extend_from_slice(&self.tail);
        Ok(Bytes::copy_from_slice(out))
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

fn tail(collapse: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(id) = collapse {
        let fits = |end: &usize| id.is_char_boundary(*end);
        let id = &id[..(0..=MAX_COLLAPSE_ID.min(id.len()))
            .rev()
            .find(fits)
            .unwrap_or(0)];
        out.extend_from_slice(b",\"android\":{\"collapse_key\":");
        quote(&mut out, id);
        out.extend_from_slice(b",\"notification\":{\"tag\":");
        quote(&mut out, id);
        out.extend_from_slice(b"}},\"apns\":{\"headers\":{\"apns-collapse-id\":");
        quote(&mut out, id);
        out.extend_from_slice(b"}}");
    }
    out.extend_from_slice(b"}}");
    out
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
    use serde_json::{Value, json};

    use super::*;
    use crate::template::link::AllowedHosts;
    use crate::template::push::{PushTemplate, Wording};

    fn push(deep_link: Option<&str>, data: &[(&str, &str)]) -> BoundPush {
        let wording = Wording {
            title: "[[var:title]]".into(),
            body: "[[var:body]]".into(),
            deep_link: deep_link.map(str::to_owned),
            data: data
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>(),
        };
        PushTemplate::parse(&wording, &AllowedHosts::default())
            .and_then(|push| push.bind(&["title", "body"]))
            .expect("a sound push")
    }

    fn message(composer: &mut Composer, row: [&str; 2]) -> Value {
        let bytes = composer.compose("t:1", row.as_slice()).expect("a message");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[test]
    fn a_message_carries_the_link_under_both_keys_and_the_collapse_id_everywhere() {
        let push = push(Some("https://tradeblock.us/"), &[("kind", "layer2")]);
        let mut composer = Composer::new(push, Delivery::ValidateOnly, Some("run-1"));
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
        assert!(composer.compose("t", ["a", &fits].as_slice()).is_ok());
        let too_long = format!("{fits}x");
        assert_eq!(
            composer.compose("t", ["a", &too_long].as_slice()),
            Err(Skip::TooLarge {
                bytes: MAX_PAYLOAD + 1
            })
        );
    }

    #[test]
    fn a_long_collapse_id_is_cut_to_what_apple_takes() {
        let id = "é".repeat(40);
        let mut composer = Composer::new(push(None, &[]), Delivery::Live, Some(&id));
        let message = message(&mut composer, ["a", "b"]);
        let cut = &message["message"]["apns"]["headers"]["apns-collapse-id"];
        assert_eq!(cut.as_str().map(str::len), Some(MAX_COLLAPSE_ID));
    }

    proptest! {
        #[test]
        fn any_text_arrives_as_it_was(title in "\\PC{0,8}[\\x00-\\x1f\"\\\\]?x\\PC{0,8}", token in ".{1,20}") {
            let mut composer = Composer::new(push(None, &[]), Delivery::Live, None);
            let bytes = composer.compose(&token, [title.as_str(), "b"].as_slice()).expect("a message");
            let value: Value = serde_json::from_slice(&bytes).expect("JSON");
            prop_assert_eq!(&value["message"]["notification"]["title"], &Value::from(title));
            prop_assert_eq!(&value["message"]["token"], &Value::from(token));
        }
    }
}
