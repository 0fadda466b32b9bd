//! A notice in Slack's format: plain text, and blocks with the same content.

use serde_json::{Value, json};

use super::text::{facts, headline};
use super::{Event, Notice};

/// Facts in one block; Slack allows ten.
const FACTS: usize = 10;

/// Characters of one text; Slack allows 3000 in a section.
const LENGTH: usize = 2000;

/// Returns the body of the request.
pub(super) fn message(notice: &Notice) -> Value {
    let headline = headline(notice);
    let mut blocks = vec![section(&format!("*{}*", escaped(&headline)))];
    if let Event::WindowOpen { cancel, .. } = &notice.event {
        blocks.push(section(&format!("To stop it:\n```{}```", escaped(cancel))));
    }
    for facts in facts(notice).chunks(FACTS) {
        let fields: Vec<Value> = facts
            .iter()
            .map(|(name, value)| mrkdwn(&format!("*{}*\n{}", escaped(name), escaped(value))))
            .collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    let about = format!(
        "{} · run {}",
        escaped(&notice.occurrence),
        escaped(&notice.run)
    );
    blocks.push(json!({ "type": "context", "elements": [mrkdwn(&about)] }));
    json!({ "text": escaped(&headline), "blocks": blocks })
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": mrkdwn(text) })
}

fn mrkdwn(text: &str) -> Value {
    let text: String = text.chars().take(LENGTH).collect();
    json!({ "type": "mrkdwn", "text": text })
}

/// Escapes the three characters that Slack interprets everywhere, and the one that would end a code block.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('`', "'")
}
