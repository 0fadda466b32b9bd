//! Text styles, with or without colour.

use anstyle::{AnsiColor, Style as Ansi};

use crate::snippet::is_unsafe;

/// Writes in a style, if its stream has colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Painter {
    colored: bool,
}

/// The styles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A heading or a name.
    Strong,
    /// Less important text.
    Faint,
    /// A failure.
    Bad,
    /// A warning.
    Doubtful,
    /// A success.
    Good,
    /// A next step.
    Advice,
}

/// Returns the length of the style at the beginning of a text, if it is one that a painter writes.
fn own_style(text: &str) -> usize {
    let digits = text
        .strip_prefix("\x1b[")
        .and_then(|rest| rest.split_once('m'))
        .map(|(digits, _)| digits);
    match digits {
        Some(digits @ ("0" | "1" | "2" | "31" | "32" | "33" | "36")) => digits.len() + 3,
        _ => 0,
    }
}

impl Painter {
    /// Returns a painter with or without colour.
    pub fn new(colored: bool) -> Self {
        Self { colored }
    }

    /// Returns whether it has colour.
    pub fn is_colored(self) -> bool {
        self.colored
    }

    /// Returns `text` in `style`.
    pub fn write(self, style: Style, text: &str) -> String {
        let text = Self::new(false).harmless(text);
        if !self.colored {
            return text;
        }
        let ansi = match style {
            Style::Strong => Ansi::new().bold(),
            Style::Faint => Ansi::new().dimmed(),
            Style::Bad => AnsiColor::Red.on_default().bold(),
            Style::Doubtful => AnsiColor::Yellow.on_default().bold(),
            Style::Good => AnsiColor::Green.on_default(),
            Style::Advice => AnsiColor::Cyan.on_default().bold(),
        };
        format!("{ansi}{text}{ansi:#}")
    }

    /// Returns a text with everything made visible that could control a terminal, except line breaks, tabs and, with
    /// colour, the styles of this painter. Each text for a person passes here on its way to stdout.
    pub(super) fn harmless(self, text: &str) -> String {
        let is_kept = |letter| matches!(letter, '\n' | '\t') || !is_unsafe(letter);
        if text.chars().all(is_kept) {
            return text.to_owned();
        }
        let mut shown = String::with_capacity(text.len() + 16);
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let style = if self.colored { own_style(rest) } else { 0 };
            let (part, after) = rest.split_at(style.max(letter.len_utf8()));
            if style > 0 || is_kept(letter) {
                shown.push_str(part);
            } else {
                shown.extend(letter.escape_default());
            }
            rest = after;
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_control_a_terminal() {
        for (kind, text, shown) in [
            ("CSI", "a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("CSI with parameters", "\x1b[38;5;1mb", "\\u{1b}[38;5;1mb"),
            (
                "OSC 8",
                "\x1b]8;;https://x\x1b\\\\a",
                "\\u{1b}]8;;https://x\\u{1b}\\\\a",
            ),
            ("BEL", "a\x07b", "a\\u{7}b"),
            ("CR", "safe\rfake", "safe\\rfake"),
            ("backspace", "a\x08b", "a\\u{8}b"),
            ("NUL", "a\0b", "a\\u{0}b"),
            ("C1", "a\u{9b}31mb", "a\\u{9b}31mb"),
            ("DEL", "a\x7fb", "a\\u{7f}b"),
            ("bidi override", "a\u{202e}b", "a\\u{202e}b"),
            ("bidi isolate", "a\u{2066}b", "a\\u{2066}b"),
            ("line separator", "a\u{2028}b", "a\\u{2028}b"),
            ("none", "é 👟\u{200d}\n\tx", "é 👟\u{200d}\n\tx"),
        ] {
            assert_eq!(Painter::new(false).harmless(text), shown, "{kind}");
            assert_eq!(Painter::new(true).harmless(text), shown, "{kind}");
        }
        for style in [
            Style::Strong,
            Style::Faint,
            Style::Bad,
            Style::Doubtful,
            Style::Good,
            Style::Advice,
        ] {
            let pen = Painter::new(true);
            let written = pen.write(style, "a\x1b[31mb");
            assert!(written.contains("a\\u{1b}[31mb"), "{written:?}");
            assert_eq!(pen.harmless(&written), written);
        }
    }
}
