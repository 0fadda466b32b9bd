//! Writes an automation file line by line, with comments: a person reads and changes it.

use toml::Value;

use crate::snippet::visible;

/// The widest line of a comment.
const WIDTH: usize = 100;
/// The column at which a comment behind a value begins, if the value is short.
const COMMENT_COLUMN: usize = 31;

/// A TOML text under construction.
#[derive(Debug)]
pub(super) struct TomlWriter(String);

impl TomlWriter {
    /// Begins a file with the line from which an editor knows its schema.
    pub(super) fn new() -> Self {
        Self("#:schema ./automation.schema.json\n\n".to_owned())
    }

    pub(super) fn finish(self) -> String {
        self.0
    }

    pub(super) fn blank(&mut self) {
        self.0.push('\n');
    }

    /// Writes a comment of any length.
    pub(super) fn comment(&mut self, text: &str) {
        let mut line = "#".to_owned();
        for word in visible(text).split(' ') {
            if line.len() > 1 && line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                "#".clone_into(&mut line);
            }
            line.push(' ');
            line.push_str(word);
        }
        self.line(&line);
    }

    /// Begins `[name]`, after a blank line.
    pub(super) fn table(&mut self, name: &str) {
        self.line(&format!("\n[{name}]"));
    }

    /// Begins `[[name]]`.
    pub(super) fn entry(&mut self, name: &str) {
        self.line(&format!("[[{name}]]"));
    }

    /// Writes `key = value`.
    pub(super) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.line(&format!("{key} = {}", value.into()));
    }

    /// Writes `key = value  # comment`; without the comment if it is empty.
    pub(super) fn set_saying(&mut self, key: &str, value: impl Into<Value>, comment: &str) {
        self.behind(&format!("{key} = {}", value.into()), comment);
    }

    /// Writes `# key = value  # comment`: a key that may be set.
    pub(super) fn offer(&mut self, key: &str, value: impl Into<Value>, comment: &str) {
        self.behind(&format!("# {key} = {}", value.into()), comment);
    }

    fn behind(&mut self, line: &str, comment: &str) {
        match visible(comment) {
            none if none.is_empty() => self.line(line),
            comment => self.line(&format!("{line:<COMMENT_COLUMN$} # {comment}")),
        }
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }
}
