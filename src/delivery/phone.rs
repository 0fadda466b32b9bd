//! A message as phones show it, and where they cut its texts.
//!
//! Neither platform documents a number of characters: both cut what does not fit the lines that they give a text. The
//! numbers in [`PHONES`] are those of common phones at the default font size. Android's guide allows a line each for
//! title and text, and the expanded style that the FCM SDK uses for a message shows several; iOS gives the title a line
//! beside the time, and the text four lines on the lock screen. A larger font, a narrow phone or a picture leaves less.

use serde::Serialize;
use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

/// The room that a platform gives a collapsed notification, in columns: an average Latin letter is one wide, an emoji
/// or a Chinese character two.
#[derive(Debug)]
struct Platform {
    name: &'static str,
    /// The most columns of the title, in one line.
    title: usize,
    /// The most columns of the body.
    body: usize,
    /// The most lines of the body.
    body_lines: usize,
    /// The columns of a line of the body.
    line: usize,
    /// The most columns of the body once a person expands the notification; `None` where that shows no more.
    expanded: Option<usize>,
}

/// See the head of this file for where the numbers come from.
const PHONES: [Platform; 2] = [
    Platform {
        name: "Android",
        title: 45,
        body: 45,
        body_lines: 1,
        line: 45,
        expanded: Some(240),
    },
    Platform {
        name: "iOS",
        title: 35,
        body: 178,
        body_lines: 4,
        line: 48,
        expanded: None,
    },
];

/// A message on one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Phone {
    /// `Android` or `iOS`.
    pub platform: &'static str,
    pub title: Cut,
    pub body: Cut,
    /// The columns of the widest line.
    #[serde(skip)]
    pub width: usize,
}

/// A text on one platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cut {
    /// Characters of the whole text, as a person counts them: an emoji is one.
    pub characters: usize,
    /// Columns of the whole text; more than `characters` where some are wide.
    pub columns: usize,
    /// Columns that the platform shows, roughly.
    pub limit: usize,
    /// Columns that it shows once the notification is expanded, where that is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expanded_limit: Option<usize>,
    /// Whether the platform cuts the text.
    pub is_cut: bool,
    /// The lines that it shows; the last one ends with an ellipsis if the text is cut.
    pub shown: Vec<String>,
}

/// Returns a message as each platform shows it.
pub fn phones(title: &str, body: &str) -> Vec<Phone> {
    let phone = |platform: &Platform| Phone {
        platform: platform.name,
        title: cut(title, platform.title, (1, platform.title), None),
        body: cut(
            body,
            platform.body,
            (platform.body_lines, platform.line),
            platform.expanded,
        ),
        width: platform.title.max(platform.line),
    };
    PHONES.iter().map(phone).collect()
}

/// Cuts a text after `limit` columns or `(lines, width)`, whichever is reached first.
fn cut(
    text: &str,
    limit: usize,
    (lines, width): (usize, usize),
    expanded_limit: Option<usize>,
) -> Cut {
    let (mut shown, mut rest) = (Vec::new(), text.trim());
    let mut left = limit;
    while !rest.is_empty() && shown.len() < lines && left > 0 {
        let is_last = shown.len() + 1 == lines || left <= width;
        let (line, after) = if is_last {
            last_line(rest, width.min(left), lines == 1)
        } else {
            line(rest, width)
        };
        left -= line.width().min(left);
        shown.push(line);
        rest = after;
        if is_last {
            break;
        }
    }
    Cut {
        characters: text.graphemes(true).count(),
        columns: text.width(),
        limit,
        expanded_limit,
        is_cut: !rest.is_empty(),
        shown,
    }
}

/// Returns the first line of a text, broken between words where there are any, and the rest.
fn line(text: &str, width: usize) -> (String, &str) {
    let (paragraph, after) = paragraph(text);
    if paragraph.width() <= width {
        return (clean(paragraph), after);
    }
    let fitting = &paragraph[..fitting(paragraph, width)];
    let is_between_words = paragraph[fitting.len()..].starts_with(char::is_whitespace);
    let end = match fitting.rfind(char::is_whitespace) {
        Some(space) if !is_between_words => space,
        _ => fitting.len(),
    };
    (clean(fitting[..end].trim_end()), text[end..].trim_start())
}

/// Returns the last line of a text, with an ellipsis if there is more; a single line has no line breaks.
fn last_line(text: &str, width: usize, is_single: bool) -> (String, &str) {
    let (paragraph, after) = if is_single {
        (text, "")
    } else {
        paragraph(text)
    };
    if paragraph.width() <= width && after.is_empty() {
        return (clean(paragraph), "");
    }
    let end = fitting(paragraph, width.saturating_sub(1));
    (
        format!("{}…", clean(paragraph[..end].trim_end())),
        &text[end..],
    )
}

/// Returns a text up to its first line break, and what follows it.
fn paragraph(text: &str) -> (&str, &str) {
    let (first, after) = text.split_once('\n').unwrap_or((text, ""));
    (first.trim_end(), after.trim_start())
}

/// Returns the length in bytes of the characters that fit, none of them divided.
fn fitting(text: &str, width: usize) -> usize {
    let mut columns = 0;
    let fits = |(_, character): &(usize, &str)| {
        columns += character.width();
        columns <= width
    };
    let last = text.grapheme_indices(true).take_while(fits).last();
    last.map_or(0, |(at, character)| at + character.len())
}

/// Replaces control characters, such as tabs and line breaks, by blanks.
fn clean(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_is_shown_whole_and_one_more_character_is_cut() {
        for phone in phones(&"a".repeat(35), &"b".repeat(45)) {
            assert!(!phone.title.is_cut && !phone.body.is_cut, "{phone:?}");
            assert_eq!(phone.title.shown, ["a".repeat(35)]);
        }
        let [android, ios] =
            <[Phone; 2]>::try_from(phones(&"a".repeat(36), &"b".repeat(46))).unwrap();
        assert!(!android.title.is_cut && android.body.is_cut);
        assert_eq!(android.body.shown, [format!("{}…", "b".repeat(44))]);
        assert!(ios.title.is_cut && !ios.body.is_cut);
        assert_eq!(ios.title.shown, [format!("{}…", "a".repeat(34))]);
    }

    #[test]
    fn an_emoji_of_several_code_points_is_never_divided() {
        let family = "👨‍👩‍👧‍👦";
        for blanks in 0..4 {
            let text = format!("{}{}", "a".repeat(30 + blanks), family.repeat(9));
            for phone in phones(&text, &text) {
                let [shown] = &phone.title.shown[..] else {
                    panic!("{phone:?}");
                };
                assert!(shown.width() <= phone.title.limit, "{phone:?}");
                let emoji = shown.trim_start_matches('a').trim_end_matches('…');
                assert_eq!(emoji.replace(family, ""), "", "{phone:?}");
                assert_eq!(phone.title.characters, 30 + blanks + 9);
            }
        }
    }

    #[test]
    fn wide_characters_take_two_columns() {
        let phones = phones(&"鞋".repeat(20), "x");
        assert_eq!(
            (phones[0].title.characters, phones[0].title.columns),
            (20, 40)
        );
        assert!(!phones[0].title.is_cut && phones[1].title.is_cut);
    }

    #[test]
    fn the_lines_of_a_body_are_broken_between_words_and_at_line_breaks() {
        let words = "word ".repeat(60);
        let shown = &phones("T", &words)[1].body.shown;
        assert_eq!(shown.len(), 4, "{shown:?}");
        assert!(shown.iter().all(|line| line.width() <= 48), "{shown:?}");
        assert!(
            shown[..3].iter().all(|line| line.ends_with("word")),
            "{shown:?}"
        );
        assert!(shown[3].ends_with('…'), "{shown:?}");
        let two = phones("T", "one\ntwo\tthree");
        assert_eq!(two[0].body.shown, ["one two three"]);
        assert_eq!(two[1].body.shown, ["one", "two three"]);
        let five = &phones("T", "1\n2\n3\n4\n5")[1].body;
        assert_eq!((&five.shown[3][..], five.is_cut), ("4…", true));
        assert_eq!(phones("", "")[0].body.shown, [""; 0]);
    }
}
