//! Shows the place in a text file that a message is about: file, line, column, the line itself and carets.

use std::fmt::Write as _;
use std::ops::Range;

use serde::Serialize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Characters of a line that are shown at most.
const SHOWN: usize = 100;

/// A place in a text. Lines and columns count from 1, columns in characters, the end is exclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TextPosition {
    /// The line.
    pub line: usize,
    /// Its first column that is meant.
    pub column: usize,
    /// The column after the last that is meant.
    pub end_column: usize,
    /// The line itself.
    pub source: String,
}

/// A line as it is shown: tabs as spaces, nothing that a terminal would obey, around the carets if it is long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// What is shown of the line.
    pub text: String,
    /// Columns of a terminal before the carets.
    pub indent: usize,
    /// How many carets there are.
    pub width: usize,
}

/// `message` with the place it is about:
///
/// ```text
/// pushctl.toml:3:1: no setting is called "deadlin"
///   |
/// 3 | deadlin = "5m"
///   | ^^^^^^^
/// ```
///
/// `span` is in bytes of `text`; a span that covers several lines is marked on the first.
pub fn point_at(file: &str, text: &str, span: &Range<usize>, message: &str) -> String {
    point_into(file, line_and_column(text, span.start), text, span, message)
}

/// The same for a text that differs from the file's: the place that is named (line, column) is the file's, the line
/// that is shown is the text's.
pub fn point_into(
    file: &str,
    (line, column): (usize, usize),
    text: &str,
    span: &Range<usize>,
    message: &str,
) -> String {
    let excerpt = TextPosition::of(text, span).excerpt();
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    let mut shown = format!("{file}:{number}:{column}: {message}\n");
    let _ = writeln!(shown, "{gutter} |");
    let _ = writeln!(shown, "{number} | {}", excerpt.text);
    let _ = write!(
        shown,
        "{gutter} | {}{}",
        " ".repeat(excerpt.indent),
        "^".repeat(excerpt.width)
    );
    shown
}

/// The line (from 1) and column (from 1, in characters) of a byte offset.
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let place = TextPosition::of(text, &(offset..offset));
    (place.line, place.column)
}

impl TextPosition {
    /// The place of some bytes; of several lines, the first.
    pub fn of(text: &str, span: &Range<usize>) -> Self {
        let start = floor_char_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line = text[line_start..line_end].trim_end_matches('\r');
        let in_line = |offset: usize| {
            let bytes = floor_char_boundary(text, offset) - line_start;
            line[..bytes.min(line.len())].chars().count() + 1
        };
        let column = in_line(start);
        Self {
            line: text[..line_start].matches('\n').count() + 1,
            column,
            end_column: in_line(span.end.max(start)).max(column + 1),
            source: line.to_owned(),
        }
    }

    /// The line for a terminal.
    pub fn excerpt(&self) -> Excerpt {
        let letters: Vec<char> = self.source.chars().collect();
        let start = (self.column - 1).min(letters.len());
        let end = (self.end_column - 1).min(letters.len());
        let first = if letters.len() > SHOWN {
            start.saturating_sub(SHOWN / 3)
        } else {
            0
        };
        let last = letters.len().min(first + SHOWN);
        let part = |from: usize, to: usize| -> String {
            visible(&letters[from..to.max(from)].iter().collect::<String>())
        };
        let (before, after) = (
            if first > 0 { "…" } else { "" },
            if last < letters.len() { "…" } else { "" },
        );
        Excerpt {
            text: format!("{before}{}{after}", part(first, last).trim_end()),
            indent: before.width() + part(first, start).width(),
            width: part(start, end.min(last)).width().max(1),
        }
    }
}

/// The last boundary between two characters that is not after `offset`.
pub fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Tabs become spaces, other control characters their escapes.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\t' => shown.push_str("    "),
            _ if letter.width().is_none() => shown.extend(letter.escape_default()),
            _ => shown.push(letter),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_what_is_wrong_also_after_tabs_and_accents() {
        let text = "a = 1\n\té = nope\n";
        let start = text.find("nope").expect("it is there");
        insta::assert_snapshot!(point_at("x.toml", text, &(start..start + 4), "not a number"), @r"
        x.toml:2:6: not a number
          |
        2 |     é = nope
          |         ^^^^
        ");
    }

    #[test]
    fn it_stands_under_wide_letters_too_and_a_terminal_is_not_commanded() {
        let text = "日本 = \"👟\x1b[2J\"";
        let start = text.find('👟').expect("it is there");
        insta::assert_snapshot!(point_at("x.toml", text, &(start..start + 4), "no shoes"), @r#"
        x.toml:1:7: no shoes
          |
        1 | 日本 = "👟\u{1b}[2J"
          |         ^^
        "#);
    }

    #[test]
    fn of_a_long_line_the_part_around_the_caret_is_shown() {
        let text = format!("body = \"{}HERE {}\"", "ab ".repeat(60), "cd ".repeat(60));
        let start = text.find("HERE").expect("it is there");
        insta::assert_snapshot!(point_at("x.toml", &text, &(start..start + 4), "there"), @r"
        x.toml:1:189: there
          |
        1 | …ab ab ab ab ab ab ab ab ab ab ab HERE cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd…
          |                                   ^^^^
        ");
    }

    #[test]
    fn the_end_of_the_file_and_offsets_inside_a_character_are_places_too() {
        assert_eq!(line_and_column("a = 1\n", 99), (2, 1));
        assert_eq!(line_and_column("é", 1), (1, 1));
        assert!(point_at("x", "", &(0..0), "empty").ends_with("1 | \n  | ^"));
        assert!(point_at("x", "a = \"\r\n", &(5..7), "open").ends_with("|      ^"));
    }

    #[test]
    fn a_span_over_several_lines_ends_with_the_first() {
        let place = TextPosition::of("ab = '''\r\nx'''\n", &(5..13));
        assert_eq!((place.column, place.end_column), (6, 9));
        assert_eq!(place.source, "ab = '''");
    }
}
