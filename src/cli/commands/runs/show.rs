//! `pushctl runs show`: a run as text, JSON or an HTML page.

use crate::exit::ExitStatus;
use std::io::Write as _;
use std::path::PathBuf;

use clap::ValueHint;

use crate::atomic_file::WholeFile;
use crate::cli::context::CommandContext;
use crate::cli::{help, open_runs, run_selector, services};
use crate::csv_writer::cannot_write;
use crate::error::Result;
use crate::report::run::{Outcome, RunReport, span};
use crate::report::{gather, html, number};
use crate::ui::{Alignment, Document, Stdout, Style, Table, Ui};

use super::STATUSES;

/// Show a run: its phases, pushes, outcomes and cancellation
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl runs show last", "the newest run"),
        ("pushctl runs show 0198b2a4 --json", "by a prefix of its id, for programs"),
        ("pushctl runs show last --html run.html", "as one HTML page, readable without a network"),
    ]),
    after_help = help::statuses(&STATUSES),
)]
pub(crate) struct Args {
    /// Run id, a prefix of it, or `last`
    #[arg(value_name = "RUN")]
    run: String,
    /// Write an HTML page to this file instead
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    html: Option<PathBuf>,
}

impl Args {
    pub(crate) fn stdout(&self) -> Stdout {
        match self.html {
            Some(_) => Stdout::Free,
            None => Stdout::Data,
        }
    }

    pub(crate) async fn run(&self, context: &CommandContext) -> Result<ExitStatus> {
        let store = services::store(context).await?;
        let run = run_selector::run(context, &store, &self.run).await?;
        let open = open_runs::of(&store, [run.clone()], context.clock.now()).await?;
        let report = RunReport {
            state: open.first().map(|one| one.as_str().to_owned()),
            ..gather::run_report(&store, &run).await?
        };
        if let Some(path) = &self.html {
            let mut file = WholeFile::begin(path)?;
            file.write_all(html::page(&report).as_bytes())
                .map_err(|error| cannot_write(path, error))?;
            file.finish()?;
            context.ui.say(path.display());
        }
        match context.ui.document() {
            Document::Json => context.ui.json(&report.document())?,
            Document::Text if self.html.is_none() => text(&context.ui, &report)?,
            Document::Text => {}
        }
        Ok(ExitStatus::Done)
    }
}

fn text(ui: &Ui, report: &RunReport) -> Result<()> {
    let heading = |text: &str| ui.stdout_pen().write(Style::Strong, text);
    ui.print(format_args!(
        "{}: {}",
        heading(&report.automation),
        report.standing()
    ))?;
    for line in about(report) {
        ui.print(line)?;
    }
    if !report.phases.is_empty() {
        ui.print("")?;
        ui.table(&phases(report))?;
    }
    if !report.pushes.is_empty() {
        ui.print("")?;
        ui.table(&pushes(report))?;
    }
    for error in &report.errors {
        let phase = error.phase.as_ref().map(|phase| format!("{phase}: "));
        ui.print(format_args!(
            "\n{}{}",
            phase.unwrap_or_default(),
            error.message
        ))?;
    }
    Ok(())
}

fn about(report: &RunReport) -> Vec<String> {
    let local = |at| {
        report
            .local(at)
            .strftime("%Y-%m-%d %H:%M:%S %Z")
            .to_string()
    };
    let mut lines = Vec::new();
    lines.extend(report.description.clone());
    lines.push(format!("Run {}, {}", report.run, report.mode));
    lines.push(format!("For {}", report.occurrence));
    let took = report.took().map(|took| format!(", took {}", span(took)));
    lines.push(format!(
        "Begun {} by {}{}",
        local(report.begun_at),
        report.begun_by,
        took.unwrap_or_default()
    ));
    let overrides = report.overrides.0.iter();
    lines.extend(overrides.map(|one| format!("Overridden guards: {one}")));
    if let Some(cancel) = &report.cancel {
        let reason = cancel.reason.as_ref().map(|reason| format!(": {reason}"));
        lines.push(format!(
            "Cancelled {} by {}{}",
            local(cancel.at),
            cancel.who,
            reason.unwrap_or_default()
        ));
    }
    let commands = report.commands().into_iter();
    lines.extend(commands.map(|(purpose, command)| format!("{purpose}: {command}")));
    lines
}

fn phases(report: &RunReport) -> Table {
    let mut table = Table::new(["PHASE", "BEGAN", "TOOK", "RESULT", "NOTE"]);
    for phase in &report.phases {
        let again = match phase.attempt {
            1 => String::new(),
            attempt => format!(" (attempt {attempt})"),
        };
        let took = phase
            .ended_at
            .map(|end| span(end.duration_since(phase.begun_at)));
        table.row([
            format!("{}{again}", phase.phase),
            report
                .local(phase.begun_at)
                .strftime("%H:%M:%S")
                .to_string(),
            took.unwrap_or_default(),
            phase.result.clone().unwrap_or_else(|| "open".to_owned()),
            phase.note.clone().unwrap_or_default(),
        ]);
    }
    table
}

/// Returns a row for each outcome of each push, and their sum.
fn pushes(report: &RunReport) -> Table {
    let mut table = Table::new(["PUSH", "FILE", "LAYER", "OUTCOME", "REASON", "COUNT"])
        .align(5, Alignment::Right);
    for push in &report.pushes {
        let name = |outcome: &str, code: &str, count: u64| {
            [
                push.number.to_string(),
                push.file.clone(),
                push.layer.to_string(),
                outcome.to_owned(),
                code.to_owned(),
                number(count),
            ]
        };
        for outcome in Outcome::ALL {
            let counted = push.outcomes.iter().filter(|one| one.outcome == outcome);
            for one in counted {
                let code = one.code.as_deref().unwrap_or_default();
                table.row(name(outcome.words(), code, one.count));
            }
        }
        table.row(name("total", "", push.rows));
    }
    table
}
