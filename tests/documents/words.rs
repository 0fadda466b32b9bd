//! The words of docs/glossary.md, and the width of comments.

use std::path::{Path, PathBuf};

use super::root;

/// Words that name no subject. Written in two parts, so that they are not found here.
const AVOIDED: [(&str, &str); 4] = [
    ("some", "body"),
    ("no", "body"),
    ("who", "ever"),
    ("thr", "ice"),
];
const MOST_IN_TESTS: usize = 20;
const COMMENT_WIDTH: usize = 120;

/// The text files below a directory, or the file itself.
fn files(path: &Path, found: &mut Vec<(PathBuf, String)>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            files(&entry.unwrap().path(), found);
        }
    } else if let Ok(text) = std::fs::read_to_string(path) {
        found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
    }
}

/// Returns every text file below these places.
pub(super) fn all(places: &[&str]) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for place in places {
        files(&root().join(place), &mut found);
    }
    assert!(found.len() > 10);
    found
}

/// The lines with an avoided word.
fn avoided(places: &[&str]) -> Vec<String> {
    let words = AVOIDED.map(|(beginning, end)| format!("{beginning}{end}"));
    let mut lines = Vec::new();
    for (path, text) in all(places) {
        for (number, line) in text.lines().enumerate() {
            let lower = line.to_lowercase();
            if words.iter().any(|word| lower.contains(word)) {
                let line = line.trim();
                lines.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    lines
}

#[test]
fn no_message_comment_or_document_has_a_word_that_names_no_subject() {
    let lines = avoided(&["src", "README.md", "docs"]);
    assert!(
        lines.is_empty(),
        "{} lines:\n{}",
        lines.len(),
        lines.join("\n")
    );
}

/// A test may quote such a word: as a person's text, or as what must not be printed.
#[test]
fn few_tests_have_such_a_word() {
    let lines = avoided(&["tests"]);
    assert!(
        lines.len() <= MOST_IN_TESTS,
        "{} lines:\n{}",
        lines.len(),
        lines.join("\n")
    );
}

#[test]
fn no_comment_is_wider_than_an_editor() {
    let mut lines = Vec::new();
    for (path, text) in all(&["src", "tests", "benches"]) {
        for (number, line) in text.lines().enumerate() {
            // A row of a table cannot be broken.
            let is_comment = line.trim_start().starts_with("//")
                && !line.contains("// |")
                && !line.contains("//! |");
            if is_comment && line.chars().count() > COMMENT_WIDTH {
                lines.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(
        lines.is_empty(),
        "{} lines:\n{}",
        lines.len(),
        lines.join("\n")
    );
}
