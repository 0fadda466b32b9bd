//! The output streams: stdout is data, stderr is log.
//!
//! | | a terminal | anything else | `--log-format json` |
//! | --- | --- | --- | --- |
//! | result | table, text, or with `--json` one document | the same, without colour or cutting | the same |
//! | progress | a bar | a line at the end of each stage | a JSON line at the end of each stage |
//! | log | plain lines | lines with instant and level | JSON lines, on stdout where no data is written |
//! | failure | `error:`, `caused by:`, `hint:` | the same | one JSON line |
//!
//! With `--json`, a command that fails before its document is written writes one of its own,
//! `{"error": {"kind", "exit_status", "message", "causes", "hints"}}`, so that stdout always holds exactly one.
//! `-q` silences the log except errors; data is still written.
//! A reader that closes stdout ends the command quietly (see [`Ui::stdout_is_closed`]).

mod bar_terminal;
mod diagnostics;
mod log;
mod output_mode;
mod progress_bar;
mod style;
mod table;

use crate::exit::ExitStatus;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde::Serialize;
use serde_json::json;
use tracing::Level;
use uuid::Uuid;

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::progress::Progress;

pub use output_mode::{Bars, Document, Loudness, OutputArgs, Stdout, Terminal};
pub use style::{Painter, Style};
pub use table::{Alignment, Table};

use log::{Fields, Log};
use progress_bar::{Ends, ProgressDisplay};

/// The two streams. Cheap to clone; clones never mix their lines.
#[derive(Clone)]
pub struct Ui {
    lines: Arc<Log>,
    output_args: OutputArgs,
    facts: Terminal,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    document_is_written: AtomicBool,
    stdout_is_closed: AtomicBool,
    meters: Mutex<Vec<Weak<ProgressDisplay>>>,
}

impl Ui {
    /// Decides once how each stream is written to.
    pub fn new(output_args: OutputArgs, facts: Terminal, run_id: Uuid) -> Self {
        Self {
            lines: Arc::new(Log::new(
                output_mode::OutputMode::decide(output_args, &facts),
                run_id,
            )),
            output_args,
            facts,
            shared: Arc::default(),
        }
    }

    /// Turns the `tracing` events of the library into log lines from here on.
    pub fn listen(&self) {
        diagnostics::listen(Arc::clone(&self.lines), self.output_args.loudness);
    }

    /// Returns the form of the result: text or one JSON document.
    pub fn document(&self) -> Document {
        self.output_args.document
    }

    /// Returns the log level.
    pub fn loudness(&self) -> Loudness {
        self.output_args.loudness
    }

    /// Returns the width of stdout; `None` without a limit.
    pub fn stdout_width(&self) -> Option<usize> {
        self.facts.width.filter(|_| self.facts.stdout_is_terminal)
    }

    /// Returns the painter of stdout.
    pub fn stdout_pen(&self) -> Painter {
        Painter::new(self.lines.look().stdout_color)
    }

    /// Logs an information: a file was written, a step was skipped.
    pub fn say(&self, message: impl Display) {
        if self.output_args.loudness > Loudness::Quiet {
            self.lines
                .event(Level::INFO, &message.to_string(), Fields::new());
        }
    }

    /// Logs a warning; the command continues.
    pub fn warn(&self, message: impl Display) {
        if self.output_args.loudness > Loudness::Quiet {
            self.lines
                .event(Level::WARN, &message.to_string(), Fields::new());
        }
    }

    /// Logs the error of the command; with `--json` it is also the document, if none was written.
    pub fn error(&self, error: &Error) {
        // The stages in progress have ended.
        self.lines.end_bars();
        self.lines.error(error);
        let is_due = self.output_args.document == Document::Json
            && !self.shared.document_is_written.load(Ordering::Relaxed);
        if is_due {
            let messages = error.messages();
            let document = json!({ "error": {
                "kind": log::kind_name(error),
                "exit_status": ExitStatus::from(error.kind()).code(),
                "message": messages.first(),
                "causes": messages.get(1..).unwrap_or_default(),
                "hints": error.hints(),
            }});
            // The text is on stderr in any case.
            let _ = self.json(&document);
        }
    }

    /// Writes text and a line break to stdout.
    pub fn print(&self, text: impl Display) -> Result<()> {
        let text = self.stdout_pen().harmless(&format!("{text}\n"));
        let written = self
            .lines
            .bars()
            .suspend(|| self.stdout().write_all(text.as_bytes()));
        written.kind(ErrorKind::Failed, || "cannot write to standard output")
    }

    /// Writes a table to stdout.
    pub fn table(&self, table: &Table) -> Result<()> {
        self.print(table.render(self.stdout_pen(), self.stdout_width()))
    }

    /// Writes the command's JSON document to stdout, indented on a terminal; once per command.
    pub fn json(&self, document: &impl Serialize) -> Result<()> {
        let again = self
            .shared
            .document_is_written
            .swap(true, Ordering::Relaxed);
        debug_assert!(!again, "a command writes one document");
        let text = if self.facts.stdout_is_terminal {
            serde_json::to_string_pretty(document)
        } else {
            serde_json::to_string(document)
        };
        let text = text.kind(ErrorKind::Bug, || "cannot write the result as JSON")?;
        self.print(log::ascii_where_unsafe(&text))
    }

    /// Returns unbuffered stdout for bytes: a CSV, a manual page.
    pub fn stdout(&self) -> Out {
        Out {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Returns whether a reader has closed stdout. The command then ends with status 0, for `… | head`.
    pub fn stdout_is_closed(&self) -> bool {
        self.shared.stdout_is_closed.load(Ordering::Relaxed)
    }

    /// Returns a progress reporter in `unit`s (`rows`, `pushes`).
    pub fn progress(&self, unit: &'static str) -> Arc<dyn Progress> {
        self.meter(unit, Ends::Logged)
    }

    /// Returns a progress reporter that leaves no line behind.
    pub fn waiting(&self) -> Arc<dyn Progress> {
        self.meter("", Ends::Silent)
    }

    fn meter(&self, unit: &'static str, ends: Ends) -> Arc<dyn Progress> {
        let meter = Arc::new(ProgressDisplay::new(
            Arc::clone(&self.lines),
            self.output_args.loudness,
            unit,
            ends,
        ));
        let mut meters = self
            .shared
            .meters
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        meters.retain(|meter| meter.strong_count() > 0);
        meters.push(Arc::downgrade(&meter));
        meter
    }

    /// Shows what a command waits for: beside the bar of the present stage, or as a line.
    pub fn waits(&self, text: &str) {
        let meters = self.live_meters();
        if !meters.iter().any(|meter| meter.show_wait(text)) {
            self.say(text);
        }
    }

    fn live_meters(&self) -> Vec<Arc<ProgressDisplay>> {
        let meters = self.shared.meters.lock();
        let meters = meters.unwrap_or_else(PoisonError::into_inner);
        meters.iter().filter_map(Weak::upgrade).collect()
    }

    /// Logs the progress on SIGUSR1, also with `-q`.
    pub fn report_progress(&self) {
        let meters = self.live_meters();
        let reported = meters.iter().filter(|meter| meter.report()).count();
        if reported == 0 {
            self.lines
                .event(Level::INFO, "between two stages", Fields::new());
        }
    }
}

/// Standard output, for bytes.
pub struct Out {
    shared: Arc<Shared>,
}

impl Out {
    fn noticing<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if let Err(error) = &result
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            self.shared.stdout_is_closed.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stdout = io::stdout().lock();
        let written = stdout
            .write(bytes)
            .and_then(|written| stdout.flush().map(|()| written));
        self.noticing(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.noticing(io::stdout().lock().flush())
    }
}
