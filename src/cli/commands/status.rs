//! `pushctl status`: what is running, what is held, and what comes next.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::automation::scheduler_export::{Upcoming, upcoming};
use crate::error::Result;
use crate::exit::Kind;
use crate::report::counted;
use crate::report::run::span;
use crate::state::{Cancellation, HeldBy, Pause, PhaseRecord, Run, RunFilter, RunStatus, Store};
use crate::ui::{Document, Style, Table};

use crate::cli::context::CommandContext;
use crate::cli::time_limit::bounded;
use crate::cli::{help, run_selector, services};

/// What the leases of those who carry out an occurrence begin with.
const OCCURRENCES: &str = "occurrence/";

/// Show what is running and in which phase, what is paused, and what comes next
///
/// What comes next is read from the automation files beside the working directory, where there are any.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl status", "now, and what is ahead"),
        ("pushctl status --json", "for programs"),
    ]),
    after_help = help::statuses(&[
        Kind::Done, Kind::Failed, Kind::Usage, Kind::Credentials, Kind::Unreachable, Kind::Bug,
        Kind::Interrupted, Kind::Terminated,
    ]),
)]
pub struct Args {}

/// An open run, and who is at work on it.
struct Running {
    run: Run,
    phase: Option<PhaseRecord>,
    held: Option<HeldBy>,
    cancelled: Option<Cancellation>,
}

/// Everything that is told.
struct Status {
    running: Vec<Running>,
    paused: Vec<Pause>,
    next: Vec<Upcoming>,
    /// Automation files that are wrong: what comes of them is not told.
    wrong_files: usize,
    owed: u64,
    now: Timestamp,
}

impl Args {
    pub(crate) async fn run(self, context: &CommandContext) -> Result<Kind> {
        let status = bounded(context, look(context)).await?;
        match context.ui.document() {
            Document::Json => context.ui.json(&document(&status))?,
            Document::Text => tell(context, &status)?,
        }
        Ok(Kind::Done)
    }
}

async fn look(context: &CommandContext) -> Result<Status> {
    let store = services::store(context).await?;
    let now = context.clock.now();
    let (automations, wrong_files) = run_selector::automations(context);
    Ok(Status {
        running: running(&store).await?,
        paused: store.pauses().await?,
        next: upcoming(&automations, now),
        wrong_files,
        owed: store.owed_count().await?,
        now,
    })
}

async fn running(store: &Store) -> Result<Vec<Running>> {
    let open = RunFilter {
        status: Some(RunStatus::Open),
        ..RunFilter::default()
    };
    let mut leases = store.leases(OCCURRENCES).await?;
    let mut running = Vec::new();
    for run in store.runs(&open).await? {
        let names = [
            format!("{OCCURRENCES}{}@{}", run.automation, run.occurrence),
            format!("{OCCURRENCES}{}", run.occurrence),
        ];
        let place = leases.iter().position(|held| names.contains(&held.name));
        running.push(Running {
            phase: run_selector::latest_phase(store.phases(&run.id).await?),
            held: place.map(|place| leases.remove(place)),
            cancelled: store.cancellation(&run.id).await?,
            run,
        });
    }
    Ok(running)
}

impl Running {
    /// `send`, or `after generate` between two phases.
    fn phase(&self) -> String {
        match &self.phase {
            None => "begun".to_owned(),
            Some(phase) if phase.ended_at.is_none() => phase.phase.clone(),
            Some(phase) => format!("after {}", phase.phase),
        }
    }

    fn since(&self) -> Timestamp {
        let last = self.phase.as_ref();
        last.map_or(self.run.begun_at, |phase| {
            phase.ended_at.unwrap_or(phase.begun_at)
        })
    }

    fn at_work(&self) -> String {
        let by = self.held.as_ref().map(|held| held.holder.to_string());
        let by = by.unwrap_or_else(|| "nobody at the moment".to_owned());
        match &self.cancelled {
            Some(cancel) => format!("{by}; cancelled by {}", cancel.who),
            None => by,
        }
    }
}

fn document(status: &Status) -> Value {
    let running: Vec<Value> = status
        .running
        .iter()
        .map(|one| {
            json!({
                "run": one.run.id, "automation": one.run.automation, "occurrence": one.run.occurrence,
                "mode": one.run.mode, "begun_at": one.run.begun_at, "phase": one.phase(), "since": one.since(),
                "holder": one.held.as_ref().map(|held| held.holder.to_string()),
                "cancelled_by": one.cancelled.as_ref().map(|cancel| &cancel.who),
            })
        })
        .collect();
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
            let mut told = json!(next);
            told["paused"] = status.is_paused(&next.automation).into();
            told
        })
        .collect();
    json!({
        "running": running, "paused": paused, "next": next, "wrong_files": status.wrong_files,
        "owed_to_history": status.owed,
    })
}

impl Status {
    fn is_paused(&self, automation: &str) -> bool {
        self.paused
            .iter()
            .any(|pause| pause.automation == automation)
    }

    fn running_table(&self) -> Table {
        let mut table = Table::new(["AUTOMATION", "PHASE", "SINCE", "AT WORK", "RUN"]);
        for one in &self.running {
            table.row([
                one.run.automation.clone(),
                one.phase(),
                format!("{:.0}", one.since()),
                one.at_work(),
                one.run.id.clone(),
            ]);
        }
        table
    }

    fn paused_table(&self) -> Table {
        let mut table = Table::new(["AUTOMATION", "SINCE", "BY", "WHY"]);
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
            let paused = self.is_paused(&next.automation);
            table.row([
                next.automation.clone(),
                next.local.clone(),
                distance(next.send_at.duration_since(self.now)),
                if paused { "paused" } else { "" }.to_owned(),
            ]);
        }
        table
    }
}

/// Days and hours where seconds do not matter.
fn distance(ahead: SignedDuration) -> String {
    match ahead.as_hours() {
        0 => span(SignedDuration::from_mins(ahead.as_mins())),
        1..48 => format!("{} h {} min", ahead.as_hours(), ahead.as_mins() % 60),
        hours => format!("{} days", hours / 24),
    }
}

fn tell(context: &CommandContext, status: &Status) -> Result<()> {
    let ui = &context.ui;
    let sections = [
        ("Running", status.running_table()),
        ("Paused", status.paused_table()),
        ("Next", status.next_table()),
    ];
    let mut first = true;
    for (title, table) in sections.iter().filter(|(_, table)| !table.is_empty()) {
        let gap = if std::mem::take(&mut first) { "" } else { "\n" };
        let title = ui.stdout_pen().write(Style::Strong, title);
        ui.print(format_args!("{gap}{title}"))?;
        ui.table(table)?;
    }
    if status.running.is_empty() {
        ui.say("nothing is running");
    }
    if status.wrong_files > 0 {
        ui.warn(format_args!(
            "automation files that are wrong, and left out here: {}; `pushctl check` says why",
            status.wrong_files
        ));
    }
    if status.owed > 0 {
        ui.warn(format_args!(
            "owed to the notification history: {}; `pushctl sync` delivers what is owed",
            counted(status.owed, "pushes")
        ));
    }
    Ok(())
}
