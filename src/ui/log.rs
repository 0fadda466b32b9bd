//! Log lines: one line per event, never inside a progress bar.

use crate::exit::ExitStatus;
use std::fmt::Write as _;
use std::io::Write as _;

use indicatif::{MultiProgress, ProgressDrawTarget};
use jiff::{Timestamp, Unit};
use serde_json::{Map, Value};
use tracing::Level;
use uuid::Uuid;

use crate::error::Error;
use crate::snippet::{is_unsafe, visible};

use super::bar_terminal::BarTerminal;
use super::output_mode::{Bars, LineFormat, LogStream, OutputMode};
use super::style::{Painter, Style};

/// Redraws of progress bars a second.
const REDRAWS: u8 = 20;

/// The stream and the format of log lines.
pub(super) struct Log {
    look: OutputMode,
    run_id: Uuid,
    bars: MultiProgress,
}

/// Named values of an event.
pub(super) type Fields = Map<String, Value>;

impl Log {
    pub(super) fn new(look: OutputMode, run_id: Uuid) -> Self {
        let target = match look.bars {
            Bars::Allowed => {
                ProgressDrawTarget::term_like_with_hz(Box::new(BarTerminal::new()), REDRAWS)
            }
            Bars::Off => ProgressDrawTarget::hidden(),
        };
        Self {
            look,
            run_id,
            bars: MultiProgress::with_draw_target(target),
        }
    }

    pub(super) fn look(&self) -> &OutputMode {
        &self.look
    }

    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Removes every bar.
    pub(super) fn end_bars(&self) {
        // A terminal that is gone shows no bars either.
        let _ = self.bars.clear();
        self.bars.set_draw_target(ProgressDrawTarget::hidden());
    }

    pub(super) fn pen(&self) -> Painter {
        Painter::new(self.look.stderr_color)
    }

    /// Writes one event.
    pub(super) fn event(&self, level: Level, message: &str, fields: Fields) {
        self.write(&self.line(level, message, fields));
    }

    /// Writes an error, its causes and hints.
    pub(super) fn error(&self, error: &Error) {
        if self.look.line_format != LineFormat::Json {
            return self.write(&describe(error, self.pen()));
        }
        let mut fields = Fields::new();
        fields.insert("kind".to_owned(), kind_name(error).into());
        fields.insert(
            "exit_status".to_owned(),
            ExitStatus::from(error.kind()).code().into(),
        );
        fields.insert("hints".to_owned(), error.hints().into());
        let line = self.json(Level::ERROR, &format!("{error:#}"), fields);
        self.write(&line);
    }

    /// Writes whole lines. A closed stream is not an error: no reader is left.
    pub(super) fn write(&self, lines: &str) {
        let text = format!("{lines}\n");
        self.bars.suspend(|| {
            let _ = match self.look.log_stream {
                LogStream::Stderr => std::io::stderr().lock().write_all(text.as_bytes()),
                LogStream::Stdout => std::io::stdout().lock().write_all(text.as_bytes()),
            };
        });
    }

    fn line(&self, level: Level, message: &str, fields: Fields) -> String {
        let text = harmless(message);
        match self.look.line_format {
            LineFormat::Json => self.json(level, message, fields),
            LineFormat::Terminal => format!("{}{text}{}", self.word(level), self.text(&fields)),
            LineFormat::Plain => format!("{} {level:5} {text}{}", instant(), self.text(&fields)),
        }
    }

    fn json(&self, level: Level, message: &str, fields: Fields) -> String {
        let mut line = Map::new();
        line.insert(
            "level".to_owned(),
            level.as_str().to_ascii_lowercase().into(),
        );
        line.insert("message".to_owned(), message.into());
        line.insert("timestamp".to_owned(), Timestamp::now().to_string().into());
        line.insert("run_id".to_owned(), self.run_id.to_string().into());
        for (name, value) in fields {
            // A field may not pose as one of the four.
            line.entry(name).or_insert(value);
        }
        ascii_where_unsafe(&Value::Object(line).to_string())
    }

    fn word(&self, level: Level) -> String {
        let (style, word) = match level {
            Level::ERROR => (Style::Bad, "error: "),
            Level::WARN => (Style::Doubtful, "warning: "),
            Level::INFO => return String::new(),
            Level::DEBUG | Level::TRACE => (Style::Faint, "debug: "),
        };
        self.pen().write(style, word)
    }

    fn text(&self, fields: &Fields) -> String {
        let show = |(name, value): (&String, &Value)| match value {
            Value::String(text) if is_simple(text) => format!(" {name}={}", visible(text)),
            other => format!(" {name}={}", visible(&other.to_string())),
        };
        let text: String = fields.iter().map(show).collect();
        if text.is_empty() {
            text
        } else {
            self.pen().write(Style::Faint, &text)
        }
    }
}

/// Returns the lines `error:`, `caused by:` and `hint:`.
pub(super) fn describe(error: &Error, pen: Painter) -> String {
    let messages: Vec<String> = error
        .messages()
        .iter()
        .map(|message| harmless(message))
        .collect();
    let (first, causes) = messages
        .split_first()
        .map_or(("", &[][..]), |(first, causes)| (first.as_str(), causes));
    let mut lines = vec![format!("{} {first}", pen.write(Style::Bad, "error:"))];
    let caused_by = pen.write(Style::Bad, "caused by:");
    match causes {
        [] => {}
        [cause] => lines.push(format!("{caused_by} {cause}")),
        several => {
            lines.push(caused_by);
            lines.extend(
                several
                    .iter()
                    .enumerate()
                    .map(|(at, cause)| format!("  {}: {cause}", at + 1)),
            );
        }
    }
    let hint = pen.write(Style::Advice, "hint:");
    lines.extend(
        error
            .hints()
            .iter()
            .map(|text| format!("{hint} {}", harmless(text))),
    );
    lines.join("\n")
}

/// Returns the error kind's name in machine-readable output: `unreachable`, `usage`.
pub(super) fn kind_name(error: &Error) -> String {
    format!("{:?}", error.kind()).to_ascii_lowercase()
}

/// Returns JSON with the characters as escapes that JSON leaves as they are and a terminal obeys.
pub(super) fn ascii_where_unsafe(json: &str) -> String {
    if json
        .chars()
        .all(|letter| letter == '\n' || !is_unsafe(letter))
    {
        return json.to_owned();
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for letter in json.chars() {
        if letter == '\n' || !is_unsafe(letter) {
            shown.push(letter);
        } else {
            // Each of them is in the basic plane. Writing to a String cannot fail.
            let _ = write!(shown, "\\u{:04x}", u32::from(letter));
        }
    }
    shown
}

/// Escapes control characters, because a message may quote a server or a file. Line breaks stay.
fn harmless(message: &str) -> String {
    let lines: Vec<String> = message.split('\n').map(visible).collect();
    lines.join("\n")
}

fn instant() -> String {
    let now = Timestamp::now();
    now.round(Unit::Second).unwrap_or(now).to_string()
}

fn is_simple(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|each| each.is_ascii_graphic() && !"\"=".contains(each))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::settings::logging::{Color, LogFormat};
    use crate::ui::output_mode::{OutputArgs, Terminal};

    fn lines(log_format: LogFormat, stderr_is_terminal: bool) -> Log {
        let mut output_args = OutputArgs::default();
        output_args.talk.log_format = log_format;
        let facts = Terminal {
            stdout_is_terminal: false,
            stderr_is_terminal,
            dumb: false,
            color: Color::Never,
            width: None,
        };
        Log::new(OutputMode::decide(output_args, &facts), Uuid::nil())
    }

    fn fields() -> Fields {
        let mut fields = Fields::new();
        fields.insert("rows".to_owned(), 7.into());
        fields.insert("host".to_owned(), "db one".into());
        fields
    }

    #[test]
    fn a_json_line_is_one_line_for_any_message_and_no_field_replaces_another() {
        let mut fields = fields();
        fields.insert("level".to_owned(), "error".into());
        let line = lines(LogFormat::Json, true).line(Level::WARN, "two\nlines \u{1b}[31m", fields);
        assert!(!line.contains('\n') && !line.contains('\u{1b}'), "{line}");
        let mut read: Value = serde_json::from_str(&line).expect("JSON");
        read["timestamp"] = Value::Null;
        insta::assert_snapshot!(read, @r#"{"level":"warn","message":"two\nlines \u001b[31m","timestamp":null,"run_id":"00000000-0000-0000-0000-000000000000","rows":7,"host":"db one"}"#);
    }

    #[test]
    fn a_text_line_has_its_time_except_on_a_terminal() {
        let on_terminal =
            lines(LogFormat::Auto, true).line(Level::WARN, "slow\u{1b}[31m", fields());
        assert_eq!(
            on_terminal,
            "warning: slow\\u{1b}[31m rows=7 host=\"db one\""
        );
        let in_file = lines(LogFormat::Auto, false).line(Level::INFO, "done", Fields::new());
        let (instant, rest) = in_file.split_once(' ').expect("an instant first");
        assert!(instant.parse::<Timestamp>().is_ok(), "{in_file}");
        assert_eq!(rest, "INFO  done");
    }

    #[test]
    fn an_error_ends_with_what_to_do_next() {
        let error = Error::new(ErrorKind::Unreachable, "connection refused")
            .context("cannot connect to db.example.com")
            .context("cannot generate layer2")
            .hint("check the allow-list");
        insta::assert_snapshot!(describe(&error, Painter::new(false)), @r"
        error: cannot generate layer2
        caused by:
          1: cannot connect to db.example.com
          2: connection refused
        hint: check the allow-list
        ");
    }
}
