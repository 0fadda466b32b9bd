//! As much of Markdown and of the shell as the documents use.

use std::collections::BTreeMap;

/// The text without code blocks.
pub(super) fn prose(text: &str) -> String {
    let mut out = String::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.starts_with("```") {
            in_code = !in_code;
        } else if !in_code {
            out.push_str(line);
            out.push('\n');
        }
    }
    assert!(!in_code, "a code block is not closed");
    out
}

/// The code blocks of a language.
pub(super) fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("```") else {
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if name == language {
            found.push(block.join("\n") + "\n");
        }
    }
    found
}

/// The targets of all links, without those in inline code.
pub(super) fn links(prose: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in prose.lines() {
        // `[`file`](target)` has code in its text: only what looks like a link inside the code is not one.
        for (at, _) in line.match_indices("](") {
            let is_code = line[..at].matches('`').count() % 2 == 1;
            if let (false, Some((target, _))) = (is_code, line[at + 2..].split_once(')')) {
                found.push(target.to_owned());
            }
        }
    }
    found
}

/// The anchors of all headings, as the usual hosts make them.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let mut taken = BTreeMap::<String, usize>::new();
    let text = prose(text);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let title = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let count = taken.entry(anchor.clone()).or_default();
            *count += 1;
            match *count {
                1 => anchor,
                more => format!("{anchor}-{}", more - 1),
            }
        })
        .collect()
}

/// The `pushctl` commands of a shell example, taken apart into words. Texts of here-documents are passed over.
pub(super) fn shell_commands(block: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let joined = block.replace("\\\n", " ");
    let mut lines = joined.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("pushctl ") {
            found.push(words(line));
        }
        if let Some((_, end)) = line.split_once("<<'") {
            let end = end.trim_end_matches('\'');
            for _ in lines.by_ref().take_while(|line| *line != end) {}
        }
    }
    found
}

/// A command's words up to where the shell sees its end.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if open == c => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, '|' | '>' | '&' | ';') => break,
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    assert!(quote.is_none(), "a quote is not closed: {command}");
    words.extend(word);
    words
}

#[test]
fn a_command_ends_where_the_shell_says() {
    assert_eq!(
        words("pushctl send --title 'a # \"b\"' --suffix '' x\"y z\" | head # c"),
        [
            "pushctl",
            "send",
            "--title",
            "a # \"b\"",
            "--suffix",
            "",
            "xy z"
        ]
    );
}

#[test]
fn anchors_are_counted_and_lose_their_punctuation() {
    assert_eq!(
        anchors("# A & b's\n```\n# c\n```\n## `[[d]]` e\n# d e\n"),
        ["a--bs", "d-e", "d-e-1"]
    );
}
