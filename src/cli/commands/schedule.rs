//! `pushctl schedule`: the times of automations, and the lines for an external scheduler.

use crate::exit::ExitStatus;
use clap::ValueEnum;
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Value, json};

use crate::automation::Automation;
use crate::automation::scheduler_export;
use crate::automation::scheduler_export::{SchedulerPlatform, Scope, Timetable, Upcoming};
use crate::error::Result;
use crate::ui::{Document, Table};

use crate::cli::automation_args;
use crate::cli::commands::Subcommand;
use crate::cli::context::CommandContext;
use crate::cli::{completion, help, setting_args};

/// Show the times of automations, and the lines for a scheduler
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[("pushctl schedule show --format crontab", "lines for a crontab")]),
    after_help = help::statuses(&[ExitStatus::Done, ExitStatus::Usage, ExitStatus::Bug]),
    subcommand_required = true,
    arg_required_else_help = true,
)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show when each automation comes next, or the lines for a scheduler
    ///
    /// The lines are for the enabled automations. A scheduler in UTC gets a fixed time only where no clock change makes
    /// it wrong; else it starts `run-pipeline --all --tick` every five minutes, which runs the phases that are due.
    #[command(
        before_help = help::examples(&[
            ("pushctl schedule show", "the next time of each"),
            ("pushctl schedule show --format crontab", "lines for a cron daemon in UTC"),
            ("pushctl schedule show layer3 --format systemd", "a service, and a timer in the automation's time zone"),
        ]),
        after_help = help::statuses(&[ExitStatus::Done, ExitStatus::Usage, ExitStatus::Bug]),
        args = setting_args::flags(&automation_args::SETTINGS),
    )]
    Show {
        /// Automations [default: all]
        #[arg(value_name = "NAME", add = ArgValueCandidates::new(completion::automations))]
        names: Vec<String>,
        /// Scheduler to write the lines for
        #[arg(long, value_name = "FORMAT")]
        format: Option<Format>,
    },
}

/// Schedulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Cron daemon in UTC
    Crontab,
    /// Cron jobs of a container platform, as railway.toml
    Railway,
    /// systemd timers, in the automation's time zone
    Systemd,
}

impl Subcommand for Args {
    fn run(self: Box<Self>, context: CommandContext) -> Result<ExitStatus> {
        let Action::Show { names, format } = &self.action;
        let automations = automation_args::chosen(&context, names)?;
        match format {
            None => next(&context, &automations)?,
            Some(format) => {
                let scope = if names.is_empty() {
                    Scope::All
                } else {
                    Scope::Named
                };
                lines(&context, &automations, scope, *format)?;
            }
        }
        Ok(ExitStatus::Done)
    }
}

/// Prints the next time of each automation, soonest first; one that is not enabled has none.
fn next(context: &CommandContext, automations: &[Automation]) -> Result<()> {
    let upcoming = scheduler_export::upcoming(automations, context.clock.now());
    let of = |automation: &Automation| {
        let mut each = upcoming.iter();
        each.find(|next| next.automation == automation.name())
    };
    let mut automations: Vec<&Automation> = automations.iter().collect();
    automations.sort_by_key(|automation| {
        let next = of(automation).map(|next| next.send_at);
        (next.is_none(), next)
    });
    if context.ui.document() == Document::Json {
        let all = automations.iter().map(|each| document(each, of(each)));
        return context
            .ui
            .json(&json!({ "automations": all.collect::<Vec<_>>() }));
    }
    let mut table = Table::new(["AUTOMATION", "WHEN", "NEXT", "STARTS AT (UTC)"]);
    for automation in automations {
        let schedule = &automation.schedule;
        let zone = schedule.zone.iana_name().unwrap_or("UTC");
        let (local, starts) = match of(automation) {
            Some(next) => (
                next.local.clone(),
                next.generate_at.strftime("%Y-%m-%d %H:%M").to_string(),
            ),
            None if automation.file.enabled => ("never again".to_owned(), String::new()),
            None => ("not enabled".to_owned(), String::new()),
        };
        table.row([
            automation.name().to_owned(),
            format!("{}, {zone}", schedule.rule),
            local,
            starts,
        ]);
    }
    context.ui.table(&table)
}

fn document(automation: &Automation, next: Option<&Upcoming>) -> Value {
    json!({
        "name": automation.name(),
        "file": automation.path,
        "enabled": automation.file.enabled,
        "rule": automation.schedule.rule.to_string(),
        "timezone": automation.schedule.zone.iana_name(),
        "next": next,
    })
}

/// The lines go to standard output, notes about them to standard error.
fn lines(
    context: &CommandContext,
    automations: &[Automation],
    scope: Scope,
    format: Format,
) -> Result<()> {
    let (platform, name) = match format {
        Format::Crontab => (SchedulerPlatform::Crontab, "crontab"),
        Format::Railway => (SchedulerPlatform::Railway, "railway"),
        Format::Systemd => (SchedulerPlatform::Systemd, "systemd"),
    };
    let Timetable { text, warnings } =
        scheduler_export::show(automations, scope, platform, context.clock.now());
    for warning in &warnings {
        context.ui.warn(warning);
    }
    for automation in automations.iter().filter(|each| !each.file.enabled) {
        let name = automation.name();
        context
            .ui
            .say(format_args!("{name} is not enabled and has no line"));
    }
    if context.ui.document() == Document::Json {
        return context
            .ui
            .json(&json!({ "format": name, "text": text, "warnings": warnings }));
    }
    context.ui.print(text.trim_end())
}
