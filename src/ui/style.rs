//! Colour, or none: the same calls whether the stream wants it or not.

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
        let code = match style {
            Style::Strong => "1",
            Style::Faint => "2",
            Style::Bad => "1;31",
            Style::Doubtful => "1;33",
            Style::Good => "32",
            Style::Advice => "1;36",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
