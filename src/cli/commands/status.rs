//! `pushctl status`: open runs, paused automations and the next occurrences.

use crate::exit::ExitStatus;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::automation::scheduler_export::{Upcoming, upcoming};
use crate::error::Result;
use crate::pipeline::Activity;
use crate::report::counted;
use crate::report::run::span;
use crate::settings::generate::OutputTarget;
use crate::state::{Pause, RunFilter, RunStatus, Store};
use crate::ui::{Document, Stdout, Style, Table};

use crate::cli::commands::AsyncSubcommand;
use crate::cli::context::CommandContext;
use crate::cli::open_runs;
use crate::cli::open_runs::OpenRun;
use crate::cli::time_limit::bounded;
use crate::cli::{help, run_selector, services};

/// Show open runs, paused automations and the next occurrences
///
/// Running: a process carries the run. Waiting: the run is between two phases; the next start of its automation
/// continues it. Interrupted: no process carries the run; the commands that resume and cancel it are shown.
///
/// The next occurrences are read from the automation files of the configured directory.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl status", "as tables"),
        ("pushctl status --json", "for programs"),
    ]),
    after_help = help::statuses(&[
        ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Credentials, ExitStatus::Unreachable, ExitStatus::Bug,
        ExitStatus::Interrupted, ExitStatus::Terminated,
    ]),
)]
pub struct Args {}

/// Everything that the command shows.
struct Status {
    open: Vec<OpenRun>,
    paused: Vec<Pause>,
    next: Vec<Upcoming>,
    /// The status of future occurrences that have ended, for example by a cancel.
    over: BTreeMap<String, RunStatus>,
    /// Invalid automation files, whose occurrences are not shown.
    wrong_files: usize,
    owed: u64,
    now: Timestamp,
}

impl AsyncSubcommand for Args {
    fn stdout(&self, _output: &OutputTarget) -> Stdout {
        Stdout::Data
    }

    async fn execute(self, context: &CommandContext) -> Result<ExitStatus> {
        let status = bounded(context, look(context)).await?;
        match context.ui.document() {
            Document::Json => context.ui.json(&document(&status))?,
            Document::Text => print_result(context, &status)?,
        }
        Ok(ExitStatus::Done)
    }
}

async fn look(context: &CommandContext) -> Result<Status> {
    let store = services::store(context).await?;
    let now = context.clock.now();
    let (automations, wrong_files) = run_selector::automations(context);
    let next = upcoming(&automations, now);
    Ok(Status {
        open: open_runs::all(&store, now).await?,
        paused: store.pauses().await?,
        over: over(&store, &next).await?,
        next,
        wrong_files,
        owed: store.owed_count().await?,
        now,
    })
}

async fn over(store: &Store, next: &[Upcoming]) -> Result<BTreeMap<String, RunStatus>> {
    let mut over = BTreeMap::new();
    for Upcoming {
        automation,
        occurrence,
        ..
    } in next
    {
        let filter = RunFilter {
            automation: Some(automation.clone()),
            occurrence: Some(occurrence.clone()),
            ..RunFilter::default()
        };
        let runs = store.runs(&filter).await?;
        let is_open = runs.iter().any(|run| run.status == RunStatus::Open);
        if let Some(run) = runs.first().filter(|_| !is_open) {
            over.insert(occurrence.clone(), run.status);
        }
    }
    Ok(over)
}

/// Returns an open run as JSON.
fn open_document(one: &OpenRun) -> Value {
    let mut shown = json!({
        "run": one.run.id, "automation": one.run.automation, "occurrence": one.run.occurrence,
        "mode": one.run.mode, "state": one.as_str(), "begun_at": one.run.begun_at,
        "begun_by": one.run.begun_by, "phase": one.phase(), "since": one.since(),
        "holder": one.held.as_ref().map(|held| held.holder.to_string()),
        "cancelled_by": one.cancelled.as_ref().map(|cancel| &cancel.who),
        "cancel": one.cancel(),
    });
    match one.activity {
        Activity::Waiting(due, phase) => {
            shown["next_phase"] = phase.as_str().into();
            shown["due_at"] = due.to_string().into();
        }
        Activity::Interrupted => shown["resume"] = one.resume().into(),
        Activity::Running => {}
    }
    shown
}

fn document(status: &Status) -> Value {
    let of = |word: &str| -> Vec<Value> { status.open(word).map(open_document).collect() };
    let paused: Vec<Value> = status
        .paused
        .iter()
        .map(|pause| {
            json!({
                "automation": pause.automation, "who": pause.who, "at": pause.at, "reason": pause.reason,
            })
        })
        .collect();
    let next: Vec<Value> = status
        .next
        .iter()
        .map(|next| {
            let mut shown = json!(next);
            shown["paused"] = status.is_paused(&next.automation).into();
            let over = status.over.get(&next.occurrence);
            shown["status"] = over.map(|status| status.as_str()).into();
            shown
        })
        .collect();
    json!({
        "running": of("running"), "waiting": of("waiting"), "interrupted": of("interrupted"),
        "cancelled": of("cancelled"), "paused": paused, "next": next, "wrong_files": status.wrong_files,
        "owed_to_history": status.owed,
    })
}

impl Status {
    fn is_paused(&self, automation: &str) -> bool {
        self.paused
            .iter()
            .any(|pause| pause.automation == automation)
    }

    fn open(&self, word: &str) -> impl Iterator<Item = &OpenRun> {
        self.open.iter().filter(move |one| one.as_str() == word)
    }

    fn open_table(&self, word: &str) -> Table {
        let mut table = Table::new(["AUTOMATION", "PHASE", "SINCE", "PROCESS", "RUN"]);
        for one in self.open(word) {
            let by = one.held.as_ref().map(|held| held.holder.to_string());
            table.row([
                one.run.automation.clone(),
                one.phase(),
                format!("{:.0}", one.since()),
                by.unwrap_or_else(|| "none".to_owned()),
                one.run.id.clone(),
            ]);
        }
        table
    }

    fn waiting_table(&self) -> Table {
        let mut table = Table::new(["AUTOMATION", "NEXT PHASE", "DUE", "IN", "RUN"]);
        for one in self.open("waiting") {
            if let Activity::Waiting(due, phase) = one.activity {
                let ahead = due.duration_since(self.now);
                table.row([
                    one.run.automation.clone(),
                    phase.as_str().to_owned(),
                    format!("{due:.0}"),
                    if ahead.is_positive() {
                        distance(ahead)
                    } else {
                        "due at the next start".to_owned()
                    },
                    one.run.id.clone(),
                ]);
            }
        }
        table
    }

    fn paused_table(&self) -> Table {
        let mut table = Table::new(["AUTOMATION", "SINCE", "BY", "REASON"]);
        for pause in &self.paused {
            table.row([
                pause.automation.clone(),
                format!("{:.0}", pause.at),
                pause.who.clone(),
                pause.reason.clone().unwrap_or_default(),
            ]);
        }
        table
    }

    fn next_table(&self) -> Table {
        let mut table = Table::new(["AUTOMATION", "SENT AT", "IN", ""]);
        for next in &self.next {
            let mark = match self.over.get(&next.occurrence) {
                Some(status) => status.as_str(),
                None if self.is_paused(&next.automation) => "paused",
                None => "",
            };
            table.row([
                next.automation.clone(),
                next.local.clone(),
                distance(next.send_at.duration_since(self.now)),
                mark.to_owned(),
            ]);
        }
        table
    }
}

/// Returns a duration in days or hours, without seconds.
fn distance(ahead: SignedDuration) -> String {
    match ahead.as_hours() {
        0 => span(SignedDuration::from_mins(ahead.as_mins())),
        1..48 => format!("{} h {} min", ahead.as_hours(), ahead.as_mins() % 60),
        hours => format!("{} days", hours / 24),
    }
}

fn print_result(context: &CommandContext, status: &Status) -> Result<()> {
    let ui = &context.ui;
    let sections = [
        ("Running", status.open_table("running")),
        ("Waiting", status.waiting_table()),
        ("Interrupted", status.open_table("interrupted")),
        ("Cancelled", status.open_table("cancelled")),
        ("Paused", status.paused_table()),
        ("Next", status.next_table()),
    ];
    let mut first = true;
    for (title, table) in sections.iter().filter(|(_, table)| !table.is_empty()) {
        let gap = if std::mem::take(&mut first) { "" } else { "\n" };
        let heading = ui.stdout_pen().write(Style::Strong, title);
        ui.print(format_args!("{gap}{heading}"))?;
        ui.table(table)?;
        if *title == "Interrupted" {
            for one in status.open("interrupted") {
                ui.print(format_args!("to continue: {}", one.resume()))?;
                ui.print(format_args!("to cancel:   {}", one.cancel()))?;
            }
        }
    }
    if status.open("running").next().is_none() {
        ui.say("nothing is running");
    }
    if status.wrong_files > 0 {
        ui.warn(format_args!(
            "invalid automation files, not shown here: {}; `pushctl check` shows the errors",
            status.wrong_files
        ));
    }
    if status.owed > 0 {
        ui.warn(format_args!(
            "missing in the notification history: {}; `pushctl sync` delivers them",
            counted(status.owed, "pushes")
        ));
    }
    Ok(())
}
