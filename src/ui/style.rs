//! Colour, or none: the same calls whether the stream wants it or not.

use anstyle::{AnsiColor, Style as Ansi};

/// Writes in a style, if its stream wants styles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Painter {
    colored: bool,
}

/// The few styles that pushctl has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A heading or a name.
    Strong,
    /// What matters less.
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
    /// A pen that styles, or one that does not.
    pub fn new(colored: bool) -> Self {
        Self { colored }
    }

    /// Whether it styles.
    pub fn is_colored(self) -> bool {
        self.colored
    }

    /// `text` in `style`.
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
