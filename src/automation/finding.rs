//! What `check` found, and where: file, line, column, the line itself.

use std::ops::Range;

use serde::Serialize;

/// An automation file: what to call it in messages, and what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path as the user knows it.
    pub path: String,
    /// The whole file.
    pub text: String,
}

/// One thing that is wrong or doubtful.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it stops anything.
    pub severity: Severity,
    /// A stable name of the rule, like `unknown-key`.
    pub code: &'static str,
    /// One sentence, lower case, no full stop.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
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

/// A place in a file. Lines and columns count from 1, columns in characters, the end is exclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file's path.
    pub file: String,
    /// The line.
    pub line: usize,
    /// Its first column that is meant.
    pub column: usize,
    /// The column after the last that is meant.
    pub end_column: usize,
    /// The line itself.
    pub source: String,
}

impl Place {
    /// The place of some bytes; of several lines, the first.
    pub fn of(source: &Source, span: &Range<usize>) -> Self {
        let text = &source.text;
        let start = text.floor_char_boundary(span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let in_line = |offset: usize| {
            let bytes = text.floor_char_boundary(offset).saturating_sub(line_start);
            line[..bytes.min(line.len())].chars().count() + 1
        };
        let column = in_line(start);
        Self {
            file: source.path.clone(),
            line: text[..line_start].matches('\n').count() + 1,
            column,
            end_column: in_line(span.end.max(start)).max(column + 1),
            source: line.to_owned(),
        }
    }
}

/// The findings of one file, as they are collected.
#[derive(Debug)]
pub struct Findings<'s> {
    source: &'s Source,
    list: Vec<(usize, Finding)>,
}

impl<'s> Findings<'s> {
    /// None so far.
    pub fn of(source: &'s Source) -> Self {
        Self {
            source,
            list: Vec::new(),
        }
    }

    /// The file they are about.
    pub fn source(&self) -> &'s Source {
        self.source
    }

    /// Adds an error at some bytes of the file; the answer takes a hint.
    pub fn error(
        &mut self,
        code: &'static str,
        span: &Range<usize>,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.add(Severity::Error, code, span, message.into())
    }

    /// Adds a warning; the answer takes a hint.
    pub fn warning(
        &mut self,
        code: &'static str,
        span: &Range<usize>,
        message: impl Into<String>,
    ) -> &mut Finding {
        self.add(Severity::Warning, code, span, message.into())
    }

    /// Whether any is an error.
    pub fn has_errors(&self) -> bool {
        let mut found = self.list.iter();
        found.any(|(_, finding)| finding.severity == Severity::Error)
    }

    /// Forgets those for which `keep` is false.
    pub fn retain(&mut self, keep: impl Fn(&Finding) -> bool) {
        self.list.retain(|(_, finding)| keep(finding));
    }

    /// In the order of the file.
    pub fn into_sorted(mut self) -> Vec<Finding> {
        self.list.sort_by_key(|(at, finding)| (*at, finding.severity));
        self.list.into_iter().map(|(_, finding)| finding).collect()
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: &Range<usize>,
        message: String,
    ) -> &mut Finding {
        let finding = Finding {
            severity,
            code,
            message,
            hint: None,
            place: Place::of(self.source, span),
        };
        let index = self.list.len();
        self.list.push((span.start, finding));
        &mut self.list[index].1
    }
}

impl Finding {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str, span: Range<usize>) -> (usize, usize, usize, String) {
        let source = Source {
            path: "a.toml".into(),
            text: text.into(),
        };
        let place = Place::of(&source, &span);
        (place.line, place.column, place.end_column, place.source)
    }

    #[test]
    fn columns_are_characters_and_a_span_over_lines_ends_with_its_first() {
        assert_eq!(place("a\né = x\r\nb", 7..8), (2, 5, 6, "é = x".into()));
        assert_eq!(place("ab = '''\nx'''\n", 5..12), (1, 6, 9, "ab = '''".into()));
    }

    #[test]
    fn the_end_of_the_file_and_offsets_inside_a_character_are_places_too() {
        assert_eq!(place("", 0..0), (1, 1, 2, String::new()));
        assert_eq!(place("a = 1\n", 99..99), (2, 1, 2, String::new()));
        assert_eq!(place("é", 1..2), (1, 1, 2, "é".into()));
    }
}
