//! Lines of talk: everything said to a person or a log, one line an event, never in the middle of a progress bar.

use std::io::Write as _;

use indicatif::{MultiProgress, ProgressDrawTarget};
use jiff::{Timestamp, Unit};
use serde_json::{Map, Value};
use tracing::Level;
use uuid::Uuid;

use crate::error::Error;

use super::look::{Bars, LineFormat, LogStream, Look};
use super::pen::{Pen, Style};

/// Where lines go, and what they look like.
pub(super) struct Lines {
    look: Look,
    run_id: Uuid,
    bars: MultiProgress,
}

/// Named values of an event.
pub(super) type Fields = Map<String, Value>;

impl Lines {
    pub(super) fn new(look: Look, run_id: Uuid) -> Self {
        let target = match look.bars {
            Bars::Allowed => ProgressDrawTarget::stderr(),
            Bars::Off => ProgressDrawTarget::hidden(),
        };
        Self {
            look,
            run_id,
            bars: MultiProgress::with_draw_target(target),
        }
    }

    pub(super) fn look(&self) -> &Look {
        &self.look
    }

    pub(super) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    pub(super) fn pen(&self) -> Pen {
        Pen::new(self.look.stderr_color)
    }

    /// One event.
    pub(super) fn event(&self, level: Level, message: &str, fields: Fields) {
        let line = match self.look.line_format {
            LineFormat::Json => self.json(level, message, fields),
            LineFormat::Terminal => format!("{}{message}{}", self.word(level), self.text(&fields)),
            LineFormat::Plain => format!("{} {level:5} {message}{}", instant(), self.text(&fields)),
        };
        self.write(&line);
    }

    /// A failure, its causes and what to do next.
    pub(super) fn error(&self, error: &Error) {
        if self.look.line_format != LineFormat::Json {
            return self.write(&describe(error, self.pen()));
        }
        let mut fields = Fields::new();
        fields.insert("kind".to_owned(), kind_name(error).into());
        fields.insert("exit_status".to_owned(), error.kind().status().into());
        fields.insert("hints".to_owned(), error.hints().into());
        let line = self.json(Level::ERROR, &format!("{error:#}"), fields);
        self.write(&line);
    }

    /// Writes whole lines. A closed stream is nobody's failure: there is no one left to tell.
    pub(super) fn write(&self, lines: &str) {
        let text = format!("{lines}\n");
        self.bars.suspend(|| {
            let _ = match self.look.log_stream {
                LogStream::Stderr => std::io::stderr().lock().write_all(text.as_bytes()),
                LogStream::Stdout => std::io::stdout().lock().write_all(text.as_bytes()),
            };
        });
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
        Value::Object(line).to_string()
    }

    fn word(&self, level: Level) -> String {
        let (style, word) = match level {
            Level::ERROR => (Style::Bad, "Error: "),
            Level::WARN => (Style::Doubtful, "Warning: "),
            Level::INFO => return String::new(),
            Level::DEBUG | Level::TRACE => (Style::Faint, "debug: "),
        };
        self.pen().write(style, word)
    }

    fn text(&self, fields: &Fields) -> String {
        let show = |(name, value): (&String, &Value)| match value {
            Value::String(text) if is_simple(text) => format!(" {name}={text}"),
            other => format!(" {name}={other}"),
        };
        let text: String = fields.iter().map(show).collect();
        if text.is_empty() {
            text
        } else {
            self.pen().write(Style::Faint, &text)
        }
    }
}

/// `Error:`, `Caused by:`, `Hint:`, the next step last.
pub(super) fn describe(error: &Error, pen: Pen) -> String {
    let messages = error.messages();
    let (first, causes) = messages
        .split_first()
        .map_or(("", &[][..]), |(first, causes)| (first.as_str(), causes));
    let mut lines = vec![format!("{} {first}", pen.write(Style::Bad, "Error:"))];
    let caused_by = pen.write(Style::Bad, "Caused by:");
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
    let hint = pen.write(Style::Advice, "Hint:");
    lines.extend(error.hints().iter().map(|text| format!("{hint} {text}")));
    lines.join("\n")
}

/// The error kind's name in machine-readable output: `unreachable`, `usage`.
pub(super) fn kind_name(error: &Error) -> String {
    format!("{:?}", error.kind()).to_ascii_lowercase()
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
