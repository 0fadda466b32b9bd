//! `pushctl run-pipeline`: runs an automation from the audience to the send; an external scheduler starts it.

use crate::exit::ExitStatus;

use clap::ValueEnum;
use futures_util::future::join_all;

use crate::automation::Automation;
use crate::error::{Error, ErrorKind, Result};
use crate::notify::{Beat, Heartbeat};
use crate::pipeline::driver::DriveOptions;
use crate::pipeline::select_occurrence;
use crate::pipeline::select_occurrence::SelectedOccurrence;
use crate::pipeline::step::Lateness;
use crate::pipeline::{Mode, Phase, RunDocument, RunPlan, Times};
use crate::report::pipeline::markdown;
use crate::run;
use crate::run::gates::{Override, Overrides, Road};
use crate::run::pipeline::{PipelineServices, StartResult};
use crate::settings::{cadence, generate, notify, push};
use crate::state::{HeldBy, NewRun, Run, RunFilter, RunStatus};

use crate::cli::automation_args;
use crate::cli::commands::AsyncSubcommand;
use crate::cli::context::CommandContext;
use crate::cli::override_args::{OverrideFlags, alone};
use crate::cli::{confirm, help, metrics_file, results, services, setting_args};

/// Run an automation: generate, test, wait, send, clean up
///
/// Started half an hour before the send (see `pushctl schedule show`), it runs until the end. With --tick it runs the
/// phases that are due and ends; start it every few minutes. Each phase is recorded, so a later start continues where
/// an earlier one stopped. An occurrence is sent once, however often the command is started.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl run-pipeline layer3", "the next occurrence, from half an hour before its send"),
        ("pushctl run-pipeline --all --tick", "one cron line for all automations"),
        ("pushctl run-pipeline layer3 --now --mode real-dry-run", "a dry run with the real audience"),
        ("pushctl run-pipeline layer3 --mode test-live-send", "test pushes only"),
    ]),
    after_help = help::statuses(&[
        ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Partial, ExitStatus::Credentials, ExitStatus::Unreachable, ExitStatus::Nothing,
        ExitStatus::Locked, ExitStatus::Refused, ExitStatus::Cancelled, ExitStatus::Bug, ExitStatus::Interrupted, ExitStatus::Terminated,
    ]),
    args = setting_args::flags(&automation_args::SETTINGS),
    args = setting_args::flags(&[&generate::OUTPUT, &push::OUTCOMES, &push::RATE, &cadence::HISTORY, &notify::METRICS_FILE]),
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Args {
    /// Automation
    #[arg(value_name = "NAME", required_unless_present = "all")]
    name: Option<String>,
    /// Run every enabled automation
    #[arg(long, conflicts_with = "name", requires = "tick")]
    all: bool,
    /// Run the phases that are due, then end
    #[arg(long, conflicts_with = "guards")]
    tick: bool,
    /// Start an extra occurrence now
    #[arg(long, conflicts_with = "tick")]
    now: bool,
    /// Mode; all but live-send start immediately and do not wait
    #[arg(long, value_name = "MODE", value_enum, default_value = "live-send")]
    mode: Mode,
    /// With a dry-run mode, read neither tokens nor the notification history; the count is then an upper bound
    #[arg(long)]
    offline: bool,
    /// Stop after this phase; `pushctl resume` continues
    #[arg(long, value_name = "PHASE", value_enum)]
    until: Option<Phase>,
    /// Output format [default: text]
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    overriding: OverrideFlags,
}

/// Output formats of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text
    Text,
    /// Markdown table, for the summary of a CI job
    Markdown,
}

impl AsyncSubcommand for Args {
    fn prepare(context: CommandContext) -> CommandContext {
        context.with_time_for_messages()
    }

    async fn execute(self, context: &CommandContext) -> Result<ExitStatus> {
        let mut ticked = Ticked::Well;
        let result = Box::pin(self.start_all(context, &mut ticked)).await;
        if let Err(error) = &result {
            ticked.count(error);
        }
        if self.all && self.mode == Mode::LiveSend {
            beat(context, ticked, &result).await;
        }
        if self.mode.reaches_phones() {
            metrics_file::write(context, "run-pipeline", &result).await;
        }
        result
    }
}

/// How a tick ended for the monitor that watches its scheduler.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ticked {
    Well,
    Badly,
}

impl Ticked {
    /// Counts an error. Single failed messages, an occurrence that is over and a run that another living process
    /// carries are no faults of the scheduler.
    fn count(&mut self, error: &Error) {
        let is_well = matches!(error.kind(), ErrorKind::Partial | ErrorKind::Nothing)
            || error.find::<HeldBy>().is_some();
        if !is_well {
            *self = Self::Badly;
        }
    }
}

/// Calls the heartbeat of the tick, if one is set.
async fn beat(context: &CommandContext, ticked: Ticked, result: &Result<ExitStatus>) {
    let (notices, warnings) = run::services::tick_heartbeat(&context.settings);
    for warning in warnings {
        context.ui.warn(warning);
    }
    let heartbeat = Heartbeat {
        beat: match ticked {
            Ticked::Well => Beat::Success,
            Ticked::Badly => Beat::Failure,
        },
        run: context.run_id.to_string(),
        summary: match result {
            Ok(_) => "the tick ended\n".to_owned(),
            Err(error) => format!("{error:#}\n"),
        },
    };
    if let Err(warning) = notices.beat(&heartbeat).await {
        context
            .ui
            .warn(format_args!("{warning} (the heartbeat of the tick)"));
    }
}

impl Args {
    async fn start_all(&self, context: &CommandContext, ticked: &mut Ticked) -> Result<ExitStatus> {
        if self.offline && self.mode.reaches_phones() {
            return Err(Error::usage(format!(
                "--offline needs a dry run, and --mode {} sends",
                self.mode.as_str()
            ))
            .hint("use --mode real-dry-run --offline, which runs the audience's query only"));
        }
        let (chosen, broken) = self.chosen(context)?;
        let given = self.overriding.given(context)?;
        for automation in &chosen {
            self.confirm_start(context, automation, given.as_ref())?;
        }
        let run_context = services::run_context(context, "run-pipeline");
        if self.mode.reaches_phones() {
            run::services::login(&context.settings)?;
        }
        let sends = self.mode.reaches_phones();
        let store = if sends {
            services::store(context).await?
        } else {
            services::store_of_dry_run(context).await?
        };
        let mut services = PipelineServices::open(&run_context, store, sends)?;
        services.offline = self.offline;
        let starts = chosen
            .iter()
            .map(|automation| self.start(context, &services, automation, given.as_ref()));
        let left = join_all(starts).await;
        services.finish().await;
        self.show_all(context, (&chosen, left), (broken, ticked))
    }

    /// Shows what every start left, and returns the last error.
    fn show_all(
        &self,
        context: &CommandContext,
        (chosen, left): (&[Automation], Vec<Result<Vec<StartResult>>>),
        (broken, ticked): (Option<Error>, &mut Ticked),
    ) -> Result<ExitStatus> {
        let mut documents = Vec::new();
        let mut errors = Vec::from_iter(broken);
        for (automation, left) in chosen.iter().zip(left) {
            let named = |error: Error| {
                if self.all {
                    error.context(automation.name())
                } else {
                    error
                }
            };
            match left {
                Ok(left) => {
                    for one in left {
                        documents.push(one.document);
                        errors.extend(one.error.map(named));
                    }
                }
                Err(error) => errors.push(named(error)),
            }
        }
        // Without a result, the error is the document.
        if !documents.is_empty() || errors.is_empty() {
            self.show(context, &documents)?;
        }
        // The caller reports the last one.
        let last = errors.pop();
        for error in errors {
            ticked.count(&error);
            context.ui.error(&error);
        }
        last.map_or(Ok(ExitStatus::Done), Err)
    }

    fn show(&self, context: &CommandContext, documents: &[RunDocument]) -> Result<()> {
        if self.format != Some(Format::Markdown) {
            return results::print_pipelines(context, documents, self.all);
        }
        for document in documents {
            context.ui.print(markdown(&document.summary()))?;
        }
        Ok(())
    }

    /// Returns the chosen automations. With --all, a file with errors is reported and does not stop the others.
    fn chosen(&self, context: &CommandContext) -> Result<(Vec<Automation>, Option<Error>)> {
        if let Some(name) = &self.name {
            return Ok((
                automation_args::chosen(context, std::slice::from_ref(name))?,
                None,
            ));
        }
        let checked = automation_args::checked(context, &[])?;
        let broken = (checked.report.errors > 0).then(|| automation_args::broken(&checked.report));
        let enabled = checked.automations.into_iter();
        Ok((
            enabled
                .filter(|automation| automation.file.enabled)
                .collect(),
            broken,
        ))
    }

    /// Asks before an automation that is not enabled sends.
    fn confirm_start(
        &self,
        context: &CommandContext,
        automation: &Automation,
        given: Option<&Override>,
    ) -> Result<()> {
        if self.mode != Mode::LiveSend || automation.file.enabled {
            return Ok(());
        }
        let name = automation.name();
        let mut facts = vec![format!(
            "{name} is not enabled, and its pushes will be sent to real recipients"
        )];
        for (place, push) in automation.file.push.iter().enumerate() {
            let link = push.deep_link.as_deref().unwrap_or("none");
            facts.push(format!(
                "push {}: layer {}, \"{}\" / \"{}\", link {link}, to {}",
                place + 1,
                push.layer,
                push.title,
                push.body,
                push.audience_file
            ));
        }
        facts.extend(confirm::switched_off(&alone(given)));
        confirm::confirm(context, &facts.join("\n  "), &format!("send {name}"))
    }

    async fn start<'a>(
        &self,
        context: &CommandContext,
        services: &PipelineServices<'a>,
        automation: &Automation,
        given: Option<&'a Override>,
    ) -> Result<Vec<StartResult>> {
        let now = context.clock.now();
        let name = automation.name();
        if self.mode != Mode::LiveSend {
            let (occurrence, times) = select_occurrence::without_waiting(automation, now);
            let id = format!("{}?{}", occurrence.ad_hoc_id(name), self.mode.as_str());
            let road = (Road::Now, given);
            return self.begin(services, automation, (id, times), road).await;
        }
        if self.now {
            let occurrence = select_occurrence::ad_hoc(automation, now);
            let named = (occurrence.ad_hoc_id(name), Times::of(&occurrence));
            return self
                .begin(services, automation, named, (Road::Now, given))
                .await;
        }
        if self.tick {
            return self.tick(context, services, automation).await;
        }
        match select_occurrence::for_process(automation, now) {
            SelectedOccurrence::Occurrence(occurrence) | SelectedOccurrence::Missed(occurrence) => {
                let named = (occurrence.id(name), Times::of(&occurrence));
                let road = (Road::Pipeline, given);
                self.begin(services, automation, named, road).await
            }
            SelectedOccurrence::Nothing(next) => Err(nothing_due(name, next)),
        }
    }

    /// Drives what is due: open runs, and the occurrence whose time has come.
    async fn tick(
        &self,
        context: &CommandContext,
        services: &PipelineServices<'_>,
        automation: &Automation,
    ) -> Result<Vec<StartResult>> {
        let name = automation.name();
        let mut left = Vec::new();
        let due = match select_occurrence::for_tick(automation, context.clock.now()) {
            SelectedOccurrence::Occurrence(occurrence) | SelectedOccurrence::Missed(occurrence) => {
                Some(occurrence)
            }
            SelectedOccurrence::Nothing(_) => None,
        };
        let id = due.as_ref().map(|occurrence| occurrence.id(name));
        for run in self.open_runs(services, name).await? {
            if id.as_ref() != Some(&run.occurrence) {
                // A run that cannot continue does not stop the others.
                match run::pipeline::continue_by_tick(services, &run, self.options()).await {
                    Ok(one) => left.push(one),
                    Err(error) => left.push(StartResult::stopped(&run, error)),
                }
            }
        }
        if let (Some(occurrence), Some(id)) = (due, id)
            && services.finished_run(name, &id).await?.is_none()
        {
            let named = (id, Times::of(&occurrence));
            let is_begun = self.is_begun(services, name, &named.0).await?;
            let none = Overrides::default();
            match run::session::not_paused(services.store(), name, &none).await {
                // A paused automation begins no occurrence; a run that was begun is refused.
                Err(paused) if !is_begun => {
                    let hint = paused.hints().first().cloned().unwrap_or_default();
                    context.ui.say(format_args!("{paused}; {hint}"));
                }
                _ => left.extend(
                    self.begin(services, automation, named, (Road::Tick, None))
                        .await?,
                ),
            }
        }
        Ok(left)
    }

    /// Begins or finds the run of an occurrence, and drives it.
    async fn begin<'a>(
        &self,
        services: &PipelineServices<'a>,
        automation: &Automation,
        (occurrence, times): (String, Times),
        road: (Road, Option<&'a Override>),
    ) -> Result<Vec<StartResult>> {
        let plan = RunPlan {
            automation: automation.file.clone(),
            mode: self.mode,
            times,
        };
        let new = NewRun {
            id: uuid::Uuid::now_v7().to_string(),
            automation: automation.name().to_owned(),
            occurrence,
            mode: self.mode.as_str().to_owned(),
            begun_by: services.holder().who.clone(),
            plan: plan.recorded()?,
        };
        Ok(vec![
            run::pipeline::begin(services, &new, road, self.options()).await?,
        ])
    }

    fn options(&self) -> DriveOptions {
        DriveOptions {
            wait_for_due: !self.tick,
            until: self.until,
            lateness: if self.mode == Mode::LiveSend {
                Lateness::Counts
            } else {
                Lateness::Waived
            },
        }
    }

    async fn open_runs(&self, services: &PipelineServices<'_>, name: &str) -> Result<Vec<Run>> {
        let filter = RunFilter {
            automation: Some(name.to_owned()),
            status: Some(RunStatus::Open),
            ..RunFilter::default()
        };
        let mut runs = services.store().runs(&filter).await?;
        runs.retain(|run| RunPlan::of(run).is_ok_and(|plan| plan.mode == Mode::LiveSend));
        Ok(runs)
    }

    async fn is_begun(
        &self,
        services: &PipelineServices<'_>,
        name: &str,
        occurrence: &str,
    ) -> Result<bool> {
        let open = self.open_runs(services, name).await?;
        Ok(open.iter().any(|run| run.occurrence == occurrence))
    }
}

fn nothing_due(name: &str, next: Option<crate::automation::schedule::Occurrence>) -> Error {
    let error = Error::new(
        ErrorKind::Nothing,
        format!("no occurrence of {name} is due within the hour"),
    );
    match next {
        Some(next) => error.hint(format!(
            "the next occurrence is {}; start it at {}, or start an extra one with --now",
            next.send_at.strftime("%Y-%m-%d %H:%M %Z"),
            next.generate_at
                .to_zoned(next.send_at.time_zone().clone())
                .strftime("%H:%M")
        )),
        None => error.hint("its schedule has no further date; --now starts an extra occurrence"),
    }
}
