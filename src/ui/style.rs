//! Text styles, with or without colour.

use anstyle::{AnsiColor, Style as Ansi};

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
        if !self.colored {
            return text.to_owned();
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
}
