//! Shows the place in a text file that a message is about: file, line, column, the line itself and carets.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// A place in a text. Lines and columns count from 1, columns in characters, the end is exclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TextPosition {
    pub line: usize,
    /// The first marked column.
    pub column: usize,
    /// The column after the last marked one.
    pub end_column: usize,
    pub source: String,
}

/// Whether a report may carry escape sequences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Color {
    /// It goes where escape sequences are shown as they are.
    Plain,
    /// It goes to a terminal.
    Ansi,
}

impl Color {
    fn renderer(self) -> Renderer {
        match self {
            Self::Plain => Renderer::plain(),
            Self::Ansi => Renderer::styled(),
        }
    }
}

/// Renders a titled report about a place in `file`, with the hint below; without the line where it is empty.
///
/// ```text
/// warning: 13:30 is a busy minute
///  --> automations/layer3.toml:5:11
///   |
/// 5 | send_at = "13:30"
///   |           ^^^^^^^
///   |
///   = hint: send at 13:33
/// ```
pub fn report(
    level: Level<'_>,
    message: &str,
    file: &str,
    place: &TextPosition,
    hint: Option<&str>,
    color: Color,
) -> String {
    let hint_level = Level::HELP.with_name("hint");
    let help = hint.map(|hint| hint_level.message(visible(hint)));
    let title = level.primary_title(visible(message));
    let group = title.elements(place.elements(file)).elements(help);
    color.renderer().render(&[group])
}

/// Returns `message` followed by the place it is about, without a title: it follows the `error:` of [`crate::ui`].
///
/// ```text
/// unknown setting "deadlin"
///  --> pushctl.toml:3:1
///   |
/// 3 | deadlin = "5m"
///   | ^^^^^^^
/// ```
///
/// `span` is in bytes of `text`; a span over several lines is marked on the first.
pub fn point_at(file: &str, text: &str, span: &Range<usize>, message: &str) -> String {
    let place = TextPosition::of(text, span);
    let group = Group::with_level(Level::ERROR).elements(place.elements(file));
    format!("{message}\n{}", Color::Plain.renderer().render(&[group]))
}

/// Returns the line (from 1) and column (from 1, in characters) of a byte offset.
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let place = TextPosition::of(text, &(offset..offset));
    (place.line, place.column)
}

impl TextPosition {
    /// Returns the place of some bytes; of several lines, the first.
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

    fn elements<'a>(&'a self, file: &'a str) -> Vec<Element<'a>> {
        let file = visible(file);
        if self.source.is_empty() {
            let origin = Origin::path(file).line(self.line).char_column(self.column);
            return vec![origin.into()];
        }
        let byte = |column: usize| {
            let mut letters = self.source.char_indices().skip(column - 1);
            letters.next().map_or(self.source.len(), |(at, _)| at)
        };
        let marked = AnnotationKind::Primary.span(byte(self.column)..byte(self.end_column));
        let snippet = Snippet::source(&self.source)
            .path(file)
            .line_start(self.line);
        vec![snippet.annotation(marked).into()]
    }
}

/// Returns the last boundary between two characters that is not after `offset`.
pub fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Replaces tabs by spaces and other control characters by their escapes, so that quoted text cannot control a
/// terminal.
pub fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\t' => shown.push_str("    "),
            _ if is_unsafe(letter) => shown.extend(letter.escape_default()),
            _ => shown.push(letter),
        }
    }
    shown
}

/// Returns whether a character can control a terminal or turn the direction of the text around it.
pub fn is_unsafe(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_what_is_wrong_also_after_tabs_and_accents() {
        let text = "a = 1\n\té = nope\n";
        let start = text.find("nope").expect("it is there");
        insta::assert_snapshot!(point_at("x.toml", text, &(start..start + 4), "not a number"), @r"
        not a number
         --> x.toml:2:6
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
        no shoes
         --> x.toml:1:7
          |
        1 | 日本 = "👟␛[2J"
          |         ^^
        "#);
    }

    #[test]
    fn of_a_long_line_the_part_around_the_caret_is_shown() {
        let text = format!("body = \"{}HERE {}\"", "ab ".repeat(60), "cd ".repeat(60));
        let start = text.find("HERE").expect("it is there");
        insta::assert_snapshot!(point_at("x.toml", &text, &(start..start + 4), "there"), @r"
        there
         --> x.toml:1:189
          |
        1 | ...ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab ab HERE cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd cd...
          |                                                                   ^^^^
        ");
    }

    #[test]
    fn the_end_of_the_file_and_offsets_inside_a_character_are_places_too() {
        assert_eq!(line_and_column("a = 1\n", 99), (2, 1));
        assert_eq!(line_and_column("é", 1), (1, 1));
        assert!(point_at("x", "", &(0..0), "empty").ends_with("--> x:1:1"));
        assert!(point_at("x", "a = \"\r\n", &(5..7), "open").ends_with("|      ^"));
    }

    #[test]
    fn a_span_over_several_lines_ends_with_the_first() {
        let place = TextPosition::of("ab = '''\r\nx'''\n", &(5..13));
        assert_eq!((place.column, place.end_column), (6, 9));
        assert_eq!(place.source, "ab = '''");
    }
}
