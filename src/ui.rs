//! What people and programs see: stdout is data, stderr is talk.
//!
//! | | a terminal | anything else | `--log-format json` |
//! | --- | --- | --- | --- |
//! | result | table, text, or with `--json` one document | the same, without colour or cutting | the same |
//! | progress | a bar | a line at the end of each stage | a JSON line at the end of each stage |
//! | what happens | plain lines | lines with instant and level | JSON lines, on stdout where no data is written |
//! | failure | `error:`, `caused by:`, `hint:` | the same | one JSON line |
//!
//! With `--json`, a command that fails before its document is written writes one of its own,
//! `{"error": {"kind", "exit_status", "message", "causes", "hints"}}`, so that stdout always holds exactly one.
//! `-q` silences all talk but errors; what a command was asked to show is data and is written all the same.
//! A reader that closes stdout ends the command quietly (see [`Ui::stdout_is_closed`]).

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

/// The two streams. Cheap to clone; every clone writes in turn with the others.
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

    /// From here on the `tracing` events of the library become lines.
    pub fn listen(&self) {
        diagnostics::listen(Arc::clone(&self.lines), self.output_args.loudness);
    }

    /// Whether the result is to be one JSON document.
    pub fn document(&self) -> Document {
        self.output_args.document
    }

    /// How much is to be said.
    pub fn loudness(&self) -> Loudness {
        self.output_args.loudness
    }

    /// Columns to fit stdout into; `None` where nothing limits them.
    pub fn stdout_width(&self) -> Option<usize> {
        self.facts.width.filter(|_| self.facts.stdout_is_terminal)
    }

    /// For styled text on stdout.
    pub fn stdout_pen(&self) -> Painter {
        Painter::new(self.lines.look().stdout_color)
    }

    /// Something a person wants to know on the way or at the end: a file was written, a step was skipped.
    pub fn say(&self, message: impl Display) {
        if self.output_args.loudness > Loudness::Quiet {
            self.lines
                .event(Level::INFO, &message.to_string(), Fields::new());
        }
    }

    /// Something a person should look at, though the command goes on.
    pub fn warn(&self, message: impl Display) {
        if self.output_args.loudness > Loudness::Quiet {
            self.lines
                .event(Level::WARN, &message.to_string(), Fields::new());
        }
    }

    /// The command failed. With `--json` also as the document, if none was written yet.
    pub fn error(&self, error: &Error) {
        // Whatever was going on is not any more.
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
            // Who does not read the document has the text on stderr.
            let _ = self.json(&document);
        }
    }

    /// Text on stdout, and a line break.
    pub fn print(&self, text: impl Display) -> Result<()> {
        let text = format!("{text}\n");
        let written = self
            .lines
            .bars()
            .suspend(|| self.stdout().write_all(text.as_bytes()));
        written.kind(ErrorKind::Failed, || "cannot write to standard output")
    }

    /// A table on stdout.
    pub fn table(&self, table: &Table) -> Result<()> {
        self.print(table.render(self.stdout_pen(), self.stdout_width()))
    }

    /// The command's JSON document on stdout, in several lines on a terminal. Once a command.
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
        self.print(text.kind(ErrorKind::Bug, || "cannot write the result as JSON")?)
    }

    /// Stdout for bytes: a CSV, a manual page. Not buffered.
    pub fn stdout(&self) -> Out {
        Out {
            shared: Arc::clone(&self.shared),
        }
    }

    /// Whether a reader has closed stdout. The command then ends quietly and counts as done: `… | head` got what it wanted.
    pub fn stdout_is_closed(&self) -> bool {
        self.shared.stdout_is_closed.load(Ordering::Relaxed)
    }

    /// Progress in `unit`s (`rows`, `pushes`), for the library to report to.
    pub fn progress(&self, unit: &'static str) -> Arc<dyn Progress> {
        self.meter(unit, Ends::Told)
    }

    /// Progress of something that is only worth seeing while it lasts: it leaves no line behind.
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

    /// Somebody asked how far it is (SIGUSR1): answers also under `-q`.
    pub fn report_progress(&self) {
        let meters: Vec<_> = {
            let meters = self
                .shared
                .meters
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            meters.iter().filter_map(Weak::upgrade).collect()
        };
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
