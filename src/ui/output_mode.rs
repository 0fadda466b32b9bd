//! The mode of each stream, decided once from flags, environment and terminals.

use std::io::IsTerminal as _;

use crate::settings::Environment;
use crate::settings::logging::{Color, LogFormat, Logging};

/// The streams, and the environment variables about output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terminal {
    /// Standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// Standard error is a terminal.
    pub stderr_is_terminal: bool,
    /// `TERM=dumb`: no cursor movement.
    pub dumb: bool,
    /// The colour setting of the environment: `NO_COLOR`, then `FORCE_COLOR` (unless `0`), then `TERM=dumb`.
    pub color: Color,
    /// Columns of the terminal, from `COLUMNS` if the terminal has no width.
    pub width: Option<usize>,
}

impl Terminal {
    /// Reads those of this process.
    pub fn of_process(environment: &Environment) -> Self {
        let terminal = console::Term::stdout();
        let measured = terminal
            .size_checked()
            .map(|(_, columns)| usize::from(columns));
        let declared = environment
            .process("COLUMNS")
            .and_then(|columns| columns.parse().ok());
        let dumb = environment.process("TERM") == Some("dumb");
        let forced = environment
            .process("FORCE_COLOR")
            .is_some_and(|value| value != "0");
        Self {
            stdout_is_terminal: std::io::stdout().is_terminal(),
            stderr_is_terminal: std::io::stderr().is_terminal(),
            dumb,
            color: match (environment.process("NO_COLOR"), forced) {
                (Some(_), _) => Color::Never,
                (None, true) => Color::Always,
                (None, false) if dumb => Color::Never,
                (None, false) => Color::Auto,
            },
            width: declared.or(measured).filter(|columns| *columns >= 20),
        }
    }

    /// Returns whether a stream gets colour: by the flag, else by the environment, else if it is a terminal.
    pub fn has_color(&self, flag: Color, is_terminal: bool) -> bool {
        let wish = if flag == Color::Auto {
            self.color
        } else {
            flag
        };
        match wish {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_terminal,
        }
    }
}

/// The output flags.
#[derive(Debug, Clone, Copy, Default)]
pub struct OutputArgs {
    /// `--json`.
    pub document: Document,
    /// `-q`, nothing, `-v`, `-vv`.
    pub loudness: Loudness,
    /// Log format and colour.
    pub talk: Logging,
    /// `--no-progress`.
    pub bars: Bars,
    /// What the command writes to standard output.
    pub stdout: Stdout,
}

/// The form of a command's result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Document {
    /// Text and tables.
    #[default]
    Text,
    /// Exactly one JSON document.
    Json,
}

/// The log level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loudness {
    /// Errors only.
    Quiet,
    /// Information and warnings.
    #[default]
    Normal,
    /// Each step as well.
    Verbose,
    /// Every statement and attempt as well.
    Debug,
}

/// Whether progress may be shown as bars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Bars {
    /// On a terminal.
    #[default]
    Allowed,
    /// Never: lines instead.
    Off,
}

/// What a command writes to standard output; it decides where JSON log lines go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Stdout {
    /// Its result: a table, a document, a file.
    #[default]
    Data,
    /// Nothing.
    Free,
}

/// The stream that the log goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogStream {
    Stdout,
    Stderr,
}

/// The format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineFormat {
    /// On a terminal: the message, with its level before it unless it is information.
    Terminal,
    /// In a file: time, level, message.
    Plain,
    /// One JSON object.
    Json,
}

/// The mode of all streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutputMode {
    pub(super) line_format: LineFormat,
    pub(super) log_stream: LogStream,
    pub(super) stdout_color: bool,
    pub(super) stderr_color: bool,
    pub(super) bars: Bars,
}

impl OutputMode {
    pub(super) fn decide(output_args: OutputArgs, facts: &Terminal) -> Self {
        let json_lines = output_args.talk.log_format == LogFormat::Json;
        let stdout_is_free =
            output_args.stdout == Stdout::Free && output_args.document == Document::Text;
        // A bar on one terminal with the data would be drawn into it.
        let bars_disturb_data = facts.stdout_is_terminal && output_args.stdout == Stdout::Data;
        let bars = output_args.bars == Bars::Allowed
            && facts.stderr_is_terminal
            && !facts.dumb
            && !json_lines
            && !bars_disturb_data
            && output_args.loudness > Loudness::Quiet;
        Self {
            line_format: match (json_lines, facts.stderr_is_terminal) {
                (true, _) => LineFormat::Json,
                (false, true) => LineFormat::Terminal,
                (false, false) => LineFormat::Plain,
            },
            log_stream: if json_lines && stdout_is_free {
                LogStream::Stdout
            } else {
                LogStream::Stderr
            },
            stdout_color: facts.has_color(output_args.talk.color, facts.stdout_is_terminal),
            stderr_color: facts.has_color(output_args.talk.color, facts.stderr_is_terminal),
            bars: if bars { Bars::Allowed } else { Bars::Off },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMINAL: Terminal = Terminal {
        stdout_is_terminal: true,
        stderr_is_terminal: true,
        dumb: false,
        color: Color::Auto,
        width: Some(80),
    };

    #[test]
    fn each_stream_is_judged_by_itself() {
        let piped = Terminal {
            stdout_is_terminal: false,
            ..TERMINAL
        };
        let output_args = OutputArgs {
            stdout: Stdout::Free,
            ..OutputArgs::default()
        };
        let look = OutputMode::decide(output_args, &piped);
        assert!(look.stderr_color && !look.stdout_color);
        assert_eq!(look.bars, Bars::Allowed);
        assert_eq!(look.line_format, LineFormat::Terminal);
    }

    #[test]
    fn the_environments_wishes_about_colour_are_met_and_a_flag_wins_over_them() {
        let facts = |variables: &[(&str, &str)]| {
            Terminal::of_process(&Environment::new(variables.iter().copied(), "."))
        };
        let none = facts(&[("NO_COLOR", "1"), ("FORCE_COLOR", "1")]);
        assert!(!none.has_color(Color::Auto, true));
        assert!(none.has_color(Color::Always, false));
        let forced = facts(&[("NO_COLOR", ""), ("FORCE_COLOR", "1"), ("TERM", "dumb")]);
        assert!(forced.has_color(Color::Auto, false));
        assert!(!forced.has_color(Color::Never, true));
        assert!(!facts(&[("TERM", "dumb")]).has_color(Color::Auto, true));
        let unforced = facts(&[("FORCE_COLOR", "0"), ("TERM", "xterm")]);
        assert!(unforced.has_color(Color::Auto, true) && !unforced.has_color(Color::Auto, false));
    }

    #[test]
    fn a_terminal_without_cursor_movement_gets_no_bar() {
        let free = OutputArgs {
            stdout: Stdout::Free,
            ..OutputArgs::default()
        };
        let dumb = Terminal {
            dumb: true,
            ..TERMINAL
        };
        assert_eq!(OutputMode::decide(free, &dumb).bars, Bars::Off);
    }

    #[test]
    fn json_lines_go_to_standard_output_unless_it_carries_data() {
        let talk = Logging {
            log_format: LogFormat::Json,
            ..Logging::default()
        };
        let free = OutputArgs {
            talk,
            stdout: Stdout::Free,
            ..OutputArgs::default()
        };
        let stream =
            |output_args: OutputArgs| OutputMode::decide(output_args, &TERMINAL).log_stream;
        assert_eq!(stream(free), LogStream::Stdout);
        assert_eq!(
            stream(OutputArgs {
                talk,
                ..OutputArgs::default()
            }),
            LogStream::Stderr
        );
        let document = Document::Json;
        assert_eq!(stream(OutputArgs { document, ..free }), LogStream::Stderr);
    }

    #[test]
    fn no_bar_is_drawn_where_it_would_disturb() {
        let bars = |output_args: OutputArgs| OutputMode::decide(output_args, &TERMINAL).bars;
        let free = OutputArgs {
            stdout: Stdout::Free,
            ..OutputArgs::default()
        };
        assert_eq!(bars(free), Bars::Allowed);
        assert_eq!(bars(OutputArgs::default()), Bars::Off);
        let loudness = Loudness::Quiet;
        assert_eq!(bars(OutputArgs { loudness, ..free }), Bars::Off);
    }
}
