//! Renders findings: as text, as GitHub annotations, as a Markdown summary.

use std::fmt::Write as _;

use annotate_snippets::Level;
use serde::Serialize;

use super::diagnostic::{Diagnostic, Severity};
use crate::snippet;
use crate::snippet::visible;

pub use crate::snippet::Color;

/// Everything that `check` found in some files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// How many files were checked.
    pub files: usize,
    /// How many findings are errors.
    pub errors: usize,
    /// How many are warnings.
    pub warnings: usize,
    /// The findings, file by file, in the order of each file.
    pub findings: Vec<Diagnostic>,
}

impl CheckReport {
    pub fn new(files: usize, findings: Vec<Diagnostic>) -> Self {
        let errors = findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        let errors = errors.count();
        Self {
            files,
            errors,
            warnings: findings.len() - errors,
            findings,
        }
    }

    /// Returns the report without warnings.
    #[must_use]
    pub fn only_errors(&self) -> Self {
        let errors = self
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        Self::new(self.files, errors.cloned().collect())
    }

    /// Returns the counts as text: `2 files: 1 error, 3 warnings`.
    pub fn counts(&self) -> String {
        let files = count(self.files, "file");
        match (self.errors, self.warnings) {
            (0, 0) => format!("{files}: no problems found"),
            (errors, 0) => format!("{files}: {}", count(errors, "error")),
            (0, warnings) => format!("{files}: {}", count(warnings, "warning")),
            (errors, warnings) => {
                format!(
                    "{files}: {}, {}",
                    count(errors, "error"),
                    count(warnings, "warning")
                )
            }
        }
    }

    /// Renders each finding with its line and carets, separated by an empty line; empty without findings.
    pub fn human(&self, color: Color) -> String {
        let shown = self.findings.iter().map(|finding| human(finding, color));
        shown.collect::<Vec<_>>().join("\n")
    }

    /// Renders GitHub workflow commands, one line a finding; GitHub shows them beside the changed lines.
    pub fn github(&self) -> String {
        let mut out = String::new();
        for finding in &self.findings {
            let command = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            let place = &finding.place;
            let mut message = visible(&finding.message);
            if let Some(hint) = &finding.hint {
                let _ = write!(message, "\n{}", visible(hint));
            }
            let _ = writeln!(
                out,
                "::{command} file={},line={},endLine={},col={},endColumn={},title={}::{}",
                property(&finding.file),
                place.line,
                place.line,
                place.column,
                place.end_column,
                property(finding.code),
                data(&message),
            );
        }
        out
    }

    /// Renders a summary with a table, for a CI job's page.
    pub fn markdown(&self) -> String {
        let mut out = format!("### pushctl check\n\n{}\n", self.counts());
        if !self.findings.is_empty() {
            out.push_str("\n| | where | what | what to do |\n| --- | --- | --- | --- |\n");
        }
        for finding in &self.findings {
            let sign = match finding.severity {
                Severity::Error => "❌ error",
                Severity::Warning => "⚠️ warning",
            };
            let place = &finding.place;
            let _ = writeln!(
                out,
                "| {sign} | `{}:{}` | {} | {} |",
                cell(&finding.file),
                place.line,
                cell(&finding.message),
                cell(finding.hint.as_deref().unwrap_or_default()),
            );
        }
        out
    }
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn human(finding: &Diagnostic, color: Color) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let hint = finding.hint.as_deref();
    let report = snippet::report(
        level,
        &finding.message,
        &finding.file,
        &finding.place,
        hint,
        color,
    );
    report + "\n"
}

/// Returns the text of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// Returns a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Returns a cell of a Markdown table.
fn cell(text: &str) -> String {
    visible(text).replace('|', "\\|").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::automation::diagnostic::{Findings, SourceText};

    fn report(text: &str, what: &str) -> CheckReport {
        let source = SourceText {
            path: "automations/a,b:c.toml".into(),
            text: text.into(),
        };
        let start = text.find(what).unwrap();
        let mut findings = Findings::of(&source);
        findings
            .error(
                "unknown-key",
                &(start..start + what.len()),
                "100% wrong | and\x1b[31m red",
            )
            .hint("write something else");
        CheckReport::new(1, findings.into_sorted())
    }

    #[test]
    fn workflow_commands_and_tables_are_escaped() {
        let report = report("colour = 1", "colour");
        insta::assert_snapshot!(report.github(), @r"::error file=automations/a%2Cb%3Ac.toml,line=1,endLine=1,col=1,endColumn=7,title=unknown-key::100%25 wrong | and\u{1b}[31m red%0Awrite something else");
        insta::assert_snapshot!(report.markdown(), @r"
        ### pushctl check

        1 file: 1 error

        | | where | what | what to do |
        | --- | --- | --- | --- |
        | ❌ error | `automations/a,b:c.toml:1` | 100% wrong \| and\u{1b}[31m red | write something else |
        ");
    }
}
