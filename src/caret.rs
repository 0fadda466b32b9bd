//! Shows the place in a text file that a message is about: file, line, column, the line itself and a caret.

use std::fmt::Write as _;
use std::ops::Range;

/// `message` with the place it is about:
///
/// ```text
/// pushctl.toml:3:1: no setting is called "deadlin"
///   |
/// 3 | deadlin = "5m"
///   | ^^^^^^^
/// ```
///
/// `span` is in bytes of `text`; a span that covers several lines is marked on the first. Lines and columns count
/// from 1, columns in characters.
pub fn point_at(file: &str, text: &str, span: &Range<usize>, message: &str) -> String {
    let place = Place::find(text, span);
    let number = place.line.to_string();
    let gutter = " ".repeat(number.len());
    let mut shown = format!("{file}:{number}:{}: {message}\n", place.column);
    let _ = writeln!(shown, "{gutter} |");
    let _ = writeln!(shown, "{number} | {}", place.shown);
    let _ = write!(
        shown,
        "{gutter} | {}{}",
        " ".repeat(place.indent),
        "^".repeat(place.width)
    );
    shown
}

/// The line (from 1) and column (from 1, in characters) of a byte offset.
pub fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let place = Place::find(text, &(offset..offset));
    (place.line, place.column)
}

struct Place {
    line: usize,
    column: usize,
    /// The line, tabs as four spaces so that the caret stands where it should.
    shown: String,
    indent: usize,
    width: usize,
}

impl Place {
    fn find(text: &str, span: &Range<usize>) -> Self {
        let start = floor_char_boundary(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let line_text = text[line_start..line_end].trim_end_matches('\r');
        let before = &text[line_start..start];
        let end = floor_char_boundary(
            text,
            span.end
                .clamp(start, line_start + line_text.len().max(start - line_start)),
        );
        let plain = |part: &str| part.replace('\t', "    ");
        Self {
            line: text[..line_start].matches('\n').count() + 1,
            column: before.chars().count() + 1,
            shown: plain(line_text).trim_end().to_owned(),
            indent: plain(before).chars().count(),
            width: plain(&text[start..end]).chars().count().max(1),
        }
    }
}

fn floor_char_boundary(text: &str, offset: usize) -> usize {
    let mut at = offset.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
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
    fn the_end_of_the_file_is_a_place_too() {
        assert_eq!(line_and_column("a = 1\n", 99), (2, 1));
        assert!(point_at("x", "", &(0..0), "empty").ends_with("1 | \n  | ^"));
        assert!(point_at("x", "a = \"\r\n", &(5..7), "open").ends_with("|      ^"));
    }
}
