//! What `check` found, and where.

use std::ops::Range;

use serde::Serialize;

use crate::snippet::{TextPosition, visible};

/// An automation file: what to call it in messages, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceText {
    /// The path as the user knows it.
    pub path: String,
    pub text: String,
}

/// One thing that is wrong or doubtful.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Whether it stops anything.
    pub severity: Severity,
    /// A stable name of the rule, like `unknown-key`.
    pub code: &'static str,
    /// One sentence, lower case, no full stop.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The path of the file it is in.
    pub file: String,
    #[serde(flatten)]
    pub place: TextPosition,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The automation cannot run.
    Error,
    /// It can, and probably not as meant.
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

    /// Adds an error at some bytes of the file; the answer takes a hint.
    pub fn error(
        &mut self,
        code: &'static str,
        span: &Range<usize>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Severity::Error, code, span, message.into())
    }

    /// Adds a warning; the answer takes a hint.
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

    /// Forgets those for which `keep` is false.
    pub fn retain(&mut self, keep: impl Fn(&Diagnostic) -> bool) {
        self.list.retain(|(_, finding)| keep(finding));
    }

    /// In the order of the file.
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

    /// In one line: `automations/layer3.toml:5:11: there is no time zone "CST"`.
    pub fn line(&self) -> String {
        let TextPosition { line, column, .. } = self.place;
        visible(&format!("{}:{line}:{column}: {}", self.file, self.message))
    }

    /// Says what to do about it.
    pub fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what to do about it, if that is known.
    pub fn maybe_hint(&mut self, hint: Option<impl Into<String>>) -> &mut Self {
        self.hint = hint.map(Into::into);
        self
    }
}
