//! `pushctl doctor`: tests every step of every connection, and says what to do next.

use std::time::Duration;

use clap::ValueEnum as _;
use tokio::time::sleep;

use crate::budget::Budget;
use crate::clock::text::duration;
use crate::doctor::report::Report;
use crate::doctor::{Examination, Part};
use crate::error::{Context as _, ErrorKind, Result};
use crate::exit::ExitStatus;
use crate::interrupt::Interrupt;
use crate::report::doctor::{self, Shown};
use crate::settings::cadence::HISTORY;
use crate::settings::source::Deadline;
use crate::ui::{Document, Loudness};

use crate::cli::automation_args;
use crate::cli::commands::Subcommand;
use crate::cli::context::CommandContext;
use crate::cli::{help, runtime, services, setting_args};

/// The deadline without `--deadline`: three steps of ten seconds, one after the other.
const DEADLINE_OF_ALL: Duration = Duration::from_secs(30);

/// Test every connection step by step, and show what to do next
///
/// Source, state store, notification history, push service, directories and automations: name resolution, TCP, TLS,
/// log-in, privileges, the tables that the audiences read, migrations, cadence rules, a bearer token, one message that
/// is only validated, clocks, free space. Nothing is sent, recorded, created or migrated.
///
/// Steps run side by side, and end within 30 s or --deadline. A step is ok, a warning, failed, or skipped because a
/// step before it failed. The exit status is that of the first step that failed, and 0 if none did.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl doctor", "everything, as a table"),
        ("pushctl doctor --only source,push", "parts of it"),
        ("pushctl doctor --watch 10s", "again every 10 seconds, to watch a deployment"),
        ("pushctl doctor --json", "for programs"),
    ]),
    after_help = help::statuses(&[
        ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Credentials, ExitStatus::Unreachable, ExitStatus::Locked,
        ExitStatus::Refused, ExitStatus::Bug, ExitStatus::Interrupted, ExitStatus::Terminated,
    ]),
    args = setting_args::flags(&[&[&HISTORY], &automation_args::SETTINGS[..]].concat()),
)]
pub struct Args {
    /// Parts to test, with commas [default: all]
    #[arg(long, value_name = "PARTS", value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// Repeat after this time, and mark what changed, until interrupted
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    watch: Option<Duration>,
}

impl Subcommand for Args {
    fn run(self: Box<Self>, context: CommandContext) -> Result<ExitStatus> {
        runtime::run(context, async |context| self.execute(context).await)
    }
}

impl Args {
    async fn execute(self, mut context: CommandContext) -> Result<ExitStatus> {
        let mut parts = match self.only.as_slice() {
            [] => Part::value_variants().to_vec(),
            parts => parts.to_vec(),
        };
        parts.sort_unstable();
        parts.dedup();
        let deadline = deadline(&context);
        let Some(interval) = self.watch else {
            context.budget = Budget::start(deadline.saturating_sub(context.budget.spent()));
            let report = examine(&context, &parts).await?;
            show(&context, &report, None, Round::Only)?;
            return conclude(&report);
        };
        let mut before = None;
        loop {
            context.budget = Budget::start(deadline);
            let report = examine(&context, &parts).await?;
            show(&context, &report, before.as_ref(), Round::OfMany)?;
            before = Some(report);
            tokio::select! {
                kind = context.interrupt.wait() => return Err(Interrupt::error(kind)),
                () = sleep(interval) => {}
            }
        }
    }
}

/// Whether the report is the only one of the command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Round {
    Only,
    OfMany,
}

fn interval(given: &str) -> Result<Duration, String> {
    match duration(given)? {
        Duration::ZERO => Err("expected a duration above zero".to_owned()),
        interval => Ok(interval),
    }
}

fn deadline(context: &CommandContext) -> Duration {
    match context.settings.source.deadline {
        Deadline::Given(length) | Deadline::Configured(length) => length,
        Deadline::Default(_) => DEADLINE_OF_ALL,
    }
}

async fn examine(context: &CommandContext, parts: &[Part]) -> Result<Report> {
    let run_context = services::run_context(context, "doctor");
    let examination = Examination {
        context: &run_context,
        parts,
        state: services::location(context),
        automations: automation_args::checked_if_any(context),
    };
    let progress = context.ui.waiting();
    let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
    progress.stage(&format!("testing {}", names.join(", ")));
    let report = tokio::select! {
        biased;
        kind = context.interrupt.wait() => Err(Interrupt::error(kind)),
        report = examination.run() => Ok(report),
    };
    progress.finish();
    report
}

fn show(
    context: &CommandContext,
    report: &Report,
    before: Option<&Report>,
    round: Round,
) -> Result<()> {
    let ui = &context.ui;
    if ui.document() == Document::Json {
        if round == Round::Only {
            return ui.json(report);
        }
        let line = serde_json::to_string(report);
        return ui.print(line.kind(ErrorKind::Bug, || "cannot write the report as JSON")?);
    }
    let is_quiet = ui.loudness() == Loudness::Quiet;
    if is_quiet && report.ok {
        return Ok(());
    }
    let shown = if is_quiet {
        Shown::Failures
    } else {
        Shown::All
    };
    if round == Round::OfMany {
        ui.print(format_args!("== {}", report.at))?;
    }
    match ui.stdout_width() {
        None => ui.print(doctor::lines(report, before, shown).join("\n"))?,
        width => ui.print(doctor::table(report, before, shown, ui.stdout_pen(), width))?,
    }
    ui.say(doctor::counts(report));
    Ok(())
}

fn conclude(report: &Report) -> Result<ExitStatus> {
    match report.failure() {
        None => Ok(ExitStatus::Done),
        Some(error) => Err(error),
    }
}
