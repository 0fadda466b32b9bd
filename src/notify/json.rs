//! A notice as a document for a receiver of your own. It has no addresses and no links.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::text::headline;
use super::{Event, Notice};

/// The version of the document; a receiver may ignore keys that it does not know.
const VERSION: u32 = 1;

/// The body of a notice to a webhook of the kind `json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoticeDocument {
    /// 1.
    pub version: u32,
    /// `audience_ready`, `test_sent`, `window_open`, `done` or `stopped`.
    pub event: String,
    pub automation: String,
    pub occurrence: String,
    pub run: String,
    /// The event in one sentence.
    pub message: String,
    /// Counts by name: those of the event, and rows by audience file or recipients by outcome.
    pub counts: BTreeMap<String, u64>,
    /// With `window_open`: when the pushes go out, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_at: Option<String>,
    /// With `window_open`: the command that cancels the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel: Option<String>,
    /// The guards that were overridden, with who and why.
    pub guards_off: Vec<String>,
}

/// Returns the body of the request.
pub(super) fn message(notice: &Notice) -> Value {
    serde_json::to_value(document(notice)).unwrap_or_default()
}

fn document(notice: &Notice) -> NoticeDocument {
    let (event, own) = match &notice.event {
        Event::AudienceReady { people } => ("audience_ready", vec![("recipients", *people)]),
        Event::TestSent { accepted, of } => {
            ("test_sent", vec![("accepted", *accepted), ("of", *of)])
        }
        Event::WindowOpen { people, .. } => ("window_open", vec![("recipients", *people)]),
        Event::Done { accepted, of } => ("done", vec![("accepted", *accepted), ("of", *of)]),
        Event::Stopped { .. } => ("stopped", Vec::new()),
    };
    let (send_at, cancel) = match &notice.event {
        Event::WindowOpen {
            send_at, cancel, ..
        } => (Some(send_at.timestamp().to_string()), Some(cancel.clone())),
        _ => (None, None),
    };
    let mut counts: BTreeMap<String, u64> = notice.counts.iter().cloned().collect();
    counts.extend(
        own.into_iter()
            .map(|(name, count)| (name.to_owned(), count)),
    );
    NoticeDocument {
        version: VERSION,
        event: event.to_owned(),
        automation: notice.automation.clone(),
        occurrence: notice.occurrence.clone(),
        run: notice.run.clone(),
        message: headline(notice),
        counts,
        send_at,
        cancel,
        guards_off: notice
            .facts
            .iter()
            .map(|(_, value)| value.clone())
            .collect(),
    }
}
