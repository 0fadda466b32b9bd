//! Findings of `check`, with their places.

use std::ops::Range;

use serde::Serialize;

use crate::snippet::{TextPosition, visible};

/// An automation file: its path for messages, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceText {
    /// The path as the user knows it.
    pub path: String,
    pub text: String,
}

/// An error or a warning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether it is an error.
    pub severity: Severity,
    /// A stable name of the rule, like `unknown-key`.
    pub code: &'static str,
    /// One sentence in lower case, without a full stop.
    pub message: String,
    /// The hint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The path of the file it is in.
    pub file: String,
    #[serde(flatten)]
    pub place: TextPosition,
}

/// The severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The automation cannot run.
    Error,
    /// It can run, but probably not as intended.
    Warning,
}

/// The findings of one file, as they are collected.
#[derive(Debug)]
pub struct Findings<'s> {
    source: &'s SourceText,
    list: Vec<(usize, Diagnostic)>,
}

impl<'s> Findings<'s> {
    pub fn of(source: &'s SourceText) -> Self {
        Self {
            source,
            list: Vec::new(),
        }
    }

    /// Returns the file they are about.
    pub fn source(&self) -> &'s SourceText {
        self.source
    }

    /// Adds an error at a span of bytes and returns it, so that a hint can be added.
    pub fn error(
        &mut self,
        code: &'static str,
        span: &Range<usize>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Severity::Error, code, span, message.into())
    }

    /// Adds a warning and returns it, so that a hint can be added.
    pub fn warning(
        &mut self,
        code: &'static str,
        span: &Range<usize>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Severity::Warning, code, span, message.into())
    }

    /// Returns whether any is an error.
    pub fn has_errors(&self) -> bool {
        let mut found = self.list.iter();
        found.any(|(_, finding)| finding.severity == Severity::Error)
    }

    /// Returns the lines on which there are findings of a rule.
    pub fn lines_with(&self, code: &str) -> Vec<usize> {
        let found = self.list.iter().filter(|(_, finding)| finding.code == code);
        found.map(|(_, finding)| finding.place.line).collect()
    }

    /// Removes the findings for which `keep` is false.
    pub fn retain(&mut self, keep: impl Fn(&Diagnostic) -> bool) {
        self.list.retain(|(_, finding)| keep(finding));
    }

    /// Returns the findings in the order of the file.
    pub fn into_sorted(mut self) -> Vec<Diagnostic> {
        self.list
            .sort_by_key(|(at, finding)| (*at, finding.severity));
        self.list.into_iter().map(|(_, finding)| finding).collect()
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: &Range<usize>,
        message: String,
    ) -> &mut Diagnostic {
        let finding = Diagnostic {
            severity,
            code,
            message,
            hint: None,
            file: self.source.path.clone(),
            place: TextPosition::of(&self.source.text, span),
        };
        let index = self.list.len();
        self.list.push((span.start, finding));
        &mut self.list[index].1
    }
}

impl Diagnostic {
    /// Returns a file that cannot be read at all, or not from `line` on.
    pub fn unreadable(file: &str, line: usize, message: impl Into<String>) -> Self {
        let place = TextPosition {
            line,
            column: 1,
            end_column: 2,
            source: String::new(),
        };
        Self {
            severity: Severity::Error,
            code: "unreadable",
            message: message.into(),
            hint: None,
            file: file.to_owned(),
            place,
        }
    }

    /// Returns it as one line: `automations/layer3.toml:5:11: there is no time zone "CST"`.
    pub fn line(&self) -> String {
        let TextPosition { line, column, .. } = self.place;
        visible(&format!("{}:{line}:{column}: {}", self.file, self.message))
    }

    /// Sets the hint.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Sets the hint, if there is one.
    pub fn maybe_hint(&mut self, hint: Option<impl Into<String>>) -> &mut Self {
        self.hint = hint.map(Into::into);
        self
    }
}
