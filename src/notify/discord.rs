//! A notice in Discord's format: text of a limited length that mentions no one.

use serde_json::{Value, json};

use super::text::{facts, headline};
use super::{Event, Notice};

/// Characters of a message that Discord accepts, as UTF-16 counts them, which never counts fewer than Discord.
const LENGTH: usize = 2_000;
/// Of these, characters of one line, so that a long reason leaves room for the command that cancels.
const LINE: usize = 1_200;
const CUT: &str = "…";

/// Returns the body of the request.
pub(super) fn message(notice: &Notice) -> Value {
    let mut content = format!("**{}**", cut(&headline(notice), LINE));
    if let Event::WindowOpen { cancel, .. } = &notice.event {
        let cancel = cancel.replace('`', "'");
        let cancel: String = cancel.chars().take(LINE / 4).collect();
        add(&mut content, &format!("To stop it:\n```\n{cancel}\n```"));
    }
    let about = format!(
        "{} · run {}",
        escaped(&notice.occurrence),
        escaped(&notice.run)
    );
    let facts = facts(notice).into_iter();
    let facts = facts.map(|(name, value)| format!("**{}** {}", escaped(&name), escaped(&value)));
    for line in facts.chain([about]) {
        if !add(&mut content, &line) {
            break;
        }
    }
    json!({ "content": content, "allowed_mentions": { "parse": [] } })
}

/// Adds a line whole, or the sign that one is missing.
fn add(content: &mut String, line: &str) -> bool {
    let room = LENGTH - length(content);
    let fits = length(line) + length(CUT) + 2 <= room;
    content.push('\n');
    content.push_str(if fits { line } else { CUT });
    fits
}

/// Escapes a text and cuts it to a length; no escape is cut in two.
fn cut(text: &str, most: usize) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        let letter = escaped(letter.encode_utf8(&mut [0; 4]));
        if length(&out) + length(&letter) + length(CUT) > most {
            out.push_str(CUT);
            break;
        }
        out.push_str(&letter);
    }
    out
}

fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Escapes the signs of Discord's markup: a backslash before punctuation makes it text, also in mentions and links.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '>' | '@' | '#' | '[' | ']' | '(' | ')'
            | ':' => {
                out.extend(['\\', letter]);
            }
            '\n' | '\r' => out.push(' '),
            _ => out.push(letter),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopped(why: &str) -> Notice {
        Notice {
            automation: "layer3".into(),
            occurrence: "layer3@2026-11-21T13:33-06:00".into(),
            run: "0193".into(),
            event: Event::Stopped { why: why.into() },
            counts: vec![("accepted".into(), 12)],
            facts: (0..60)
                .map(|_| ("guards off".into(), "*".repeat(40)))
                .collect(),
        }
    }

    #[test]
    fn no_message_is_longer_than_discord_accepts() {
        for why in ["short", &"*".repeat(5_000), &"🦀".repeat(5_000)] {
            let message = message(&stopped(why));
            let content = message["content"].as_str().unwrap();
            assert!(length(content) <= LENGTH, "{}", length(content));
            assert!(content.ends_with(CUT), "{content}");
            assert_eq!(content.matches("**").count() % 2, 0, "{content}");
        }
    }

    #[test]
    fn mentions_and_markup_are_text() {
        assert_eq!(
            escaped("@everyone <@1> *b* [a](https://x) `c`"),
            r"\@everyone \<\@1\> \*b\* \[a\]\(https\://x\) \`c\`"
        );
    }
}
