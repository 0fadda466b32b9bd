//! Begins, continues and resumes the run of a pipeline.

use std::sync::Arc;
use std::time::Duration;

use super::context::RunContext;
use super::gates::{Override, Overrides, Road};
use super::services;
use super::session::{Opening, RecordedRun, RunSession};
use crate::audience::Catalogue;
use crate::audience::history::HistorySource;
use crate::cadence::Cadence;
use crate::delivery::{InDoubt, partial_error};
use crate::error::{Error, ErrorKind, Result};
use crate::fcm::{self, Login};
use crate::pipeline::driver::{DriveOptions, DriveResult, drive, resend_in_doubt};
use crate::pipeline::outgoing::{Outgoing, UnknownAddress};
use crate::pipeline::{self, OpenRun, Overdue, Retention, RunDocument, RunPlan, overdue};
use crate::progress::Progress;
use crate::settings::generate::OutputTarget;
use crate::source::Source;
use crate::state::process_id::ProcessId;
use crate::state::{NewRun, Run, RunFilter, RunStatus, Store};
use crate::template::link::AllowedHosts;

/// The services that pipelines use, opened once for all runs of a command.
pub struct PipelineServices<'a> {
    context: &'a RunContext<'a>,
    store: Store,
    cadence: Cadence,
    /// Whether a dry run looks up no tokens and does not ask the notification history.
    pub offline: bool,
    source: Source,
    history: HistorySource,
    catalogue: Catalogue,
    hosts: AllowedHosts,
    login: Option<Login>,
    service: fcm::FcmSettings,
    progress: Arc<dyn Progress>,
    /// `None` for dry runs.
    notices: Option<Outgoing>,
}

impl<'a> PipelineServices<'a> {
    /// Opens the services. `sends`: whether a log-in is needed.
    pub fn open(context: &'a RunContext<'a>, store: Store, sends: bool) -> Result<Self> {
        let settings = context.settings;
        let login = sends.then(|| services::login(settings)).transpose()?;
        Ok(Self {
            cadence: services::cadence(settings, &store)?,
            offline: false,
            source: services::source(context)?,
            history: services::history(context)?,
            catalogue: services::catalogue(settings)?,
            hosts: services::hosts(settings)?,
            login,
            service: services::push_settings(context),
            progress: context.reporter.progress(),
            notices: sends.then(|| services::outgoing(context, &store, UnknownAddress::Skip)),
            store,
            context,
        })
    }

    fn session(&self, road: Road, overrides: Option<&'a Override>) -> RunSession<'_> {
        RunSession {
            store: &self.store,
            holder: &self.context.holder,
            reporter: self.context.reporter,
            now: self.context.clock.now(),
            road,
            overrides,
            wind_down: Duration::ZERO,
        }
    }

    /// Returns the state store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Returns the run that carried out an occurrence, if it is over.
    pub async fn finished_run(&self, automation: &str, occurrence: &str) -> Result<Option<Run>> {
        let filter = RunFilter {
            automation: Some(automation.to_owned()),
            occurrence: Some(occurrence.to_owned()),
            ..RunFilter::default()
        };
        let runs = self.store.runs(&filter).await?;
        let is_open = runs.iter().any(|run| run.status == RunStatus::Open);
        Ok(runs.into_iter().next().filter(|_| !is_open))
    }

    /// Returns this process, as leases and records name it.
    pub fn holder(&self) -> &ProcessId {
        &self.context.holder
    }

    /// Waits for the notices that are still under way, and shows those that failed. To be called at the end of the
    /// command, whatever its result.
    pub async fn finish(self) {
        let budget = self.context.budget;
        let Some(notices) = self.notices else {
            return;
        };
        let finishing = notices.finish(budget.deadline());
        for warning in budget.watch("the webhook", || true, finishing).await {
            self.progress.note(&warning);
        }
    }

    fn pipeline_context(&self) -> Result<pipeline::PipelineContext<'_>> {
        let context = self.context;
        let settings = context.settings;
        let OutputTarget::Directory(output) = &settings.generate.output else {
            return Err(Error::usage(
                "the files of a pipeline need a directory: --output cannot be standard output",
            ));
        };
        Ok(pipeline::PipelineContext {
            store: &self.store,
            cadence: &self.cadence,
            offline: self.offline,
            source: &self.source,
            history: &self.history,
            catalogue: &self.catalogue,
            output,
            ending: settings.generate.line_ending,
            test_users: &settings.generate.test_users,
            message: &settings.message,
            hosts: &self.hosts,
            login: self.login.as_ref(),
            service: &self.service,
            outcomes: &settings.push.outcomes,
            retention: Retention {
                files: settings.retention.files,
                records: settings.retention.records,
            },
            dead_tokens: &settings.dead_tokens,
            holder: &context.holder,
            clock: context.clock,
            interrupt: context.interrupt,
            progress: self.progress.as_ref(),
            watch: context.reporter,
            budget: context.budget,
            notices: self.notices.as_ref(),
        })
    }
}

/// How a start left a run.
pub struct StartResult {
    /// The document that `--json` prints.
    pub document: RunDocument,
    /// The error that decides the exit status.
    pub error: Option<Error>,
}

impl StartResult {
    /// Returns the result of a start that stopped with an error; the run stays open.
    pub fn stopped(run: &Run, error: Error) -> Self {
        Self {
            error: Some(error),
            ..OpenRun::of(run, run.status.as_str()).into()
        }
    }
}

impl From<OpenRun> for StartResult {
    fn from(run: OpenRun) -> Self {
        Self {
            document: RunDocument::Open(run),
            error: None,
        }
    }
}

/// Begins the run of an occurrence, or continues its open run.
pub async fn begin<'a>(
    services: &PipelineServices<'a>,
    new: &NewRun,
    (road, overrides): (Road, Option<&'a Override>),
    options: DriveOptions,
) -> Result<StartResult> {
    let before = async || {
        // No other process begins or ends a run of the occurrence while the lease is held.
        match services
            .finished_run(&new.automation, &new.occurrence)
            .await?
        {
            None => Ok(()),
            Some(over) => Err(Error::new(
                ErrorKind::Nothing,
                format!(
                    "{} is {} already: run {}",
                    over.occurrence,
                    over.status.as_str(),
                    over.id
                ),
            )),
        }
    };
    let work = async |recorded: RecordedRun| continue_run(services, &recorded, options).await;
    let session = services.session(road, overrides);
    let result = session.run(Opening::Begin(new), before, work).await;
    services.progress.finish();
    result
}

/// Continues an open run by a tick.
pub async fn continue_by_tick(
    services: &PipelineServices<'_>,
    run: &Run,
    options: DriveOptions,
) -> Result<StartResult> {
    let work = async |recorded: RecordedRun| continue_run(services, &recorded, options).await;
    let session = services.session(Road::Tick, None);
    let result = session
        .run(Opening::Continue(run), async || Ok(()), work)
        .await;
    services.progress.finish();
    result
}

/// Continues a run; the lease of its occurrence is held.
async fn continue_run(
    services: &PipelineServices<'_>,
    recorded: &RecordedRun,
    options: DriveOptions,
) -> Result<StartResult> {
    let run = &recorded.run;
    if run.status != RunStatus::Open {
        return Ok(OpenRun::of(run, run.status.as_str()).into());
    }
    services::check_notices(services.context, &RunPlan::of(run)?.automation);
    let context = services.pipeline_context()?;
    let ending = Box::pin(drive(run, &context, options)).await?;
    Ok(start_result(services.context, run, ending))
}

fn start_result(context: &RunContext<'_>, run: &Run, ending: DriveResult) -> StartResult {
    match ending {
        DriveResult::Waiting(at, phase) => {
            context.reporter.say(&format!(
                "{}: {} is due at {at:.0}",
                run.automation,
                phase.as_str()
            ));
            OpenRun {
                phase: Some(phase.as_str()),
                due_at: Some(at),
                ..OpenRun::of(run, "waiting")
            }
            .into()
        }
        DriveResult::Reached(phase) => {
            let stopped = format!(
                "{}: stopped after {}, as --until says",
                run.automation,
                phase.as_str()
            );
            let is_recorded = RunPlan::of(run).is_ok_and(|plan| plan.mode.reaches_phones());
            context.reporter.say(&if is_recorded {
                format!("{stopped}; `pushctl resume {}` continues the run", run.id)
            } else {
                stopped
            });
            OpenRun {
                phase: Some(phase.as_str()),
                ..OpenRun::of(run, "open")
            }
            .into()
        }
        DriveResult::Over(finished) => StartResult {
            document: RunDocument::Over(Box::new(finished.summary)),
            error: finished.error,
        },
    }
}

/// Resumes a run: continues one that is open or that a guard closed, and sends messages in doubt again if asked to.
pub async fn resume<'a>(
    services: &PipelineServices<'a>,
    run: &Run,
    overrides: Option<&'a Override>,
    options: DriveOptions,
    in_doubt: Option<InDoubt>,
) -> Result<StartResult> {
    let retries = in_doubt == Some(InDoubt::Retry);
    let can_continue = matches!(run.status, RunStatus::Open | RunStatus::Refused);
    let (road, opening) = if can_continue {
        (Road::Resume, Opening::Reopen(run))
    } else {
        (Road::InDoubtRetry, Opening::Finished(run))
    };
    let work = async |recorded: RecordedRun| {
        let phases = services.store.phases(&recorded.run.id).await?;
        if let Overdue::For(late) = overdue(&recorded.run, phases, services.context.clock.now()) {
            services.context.reporter.warn(&format!("{late:#}"));
        }
        let result = continue_run(services, &recorded, options).await?;
        let is_partial = |error: &Error| error.kind() == ErrorKind::Partial;
        if retries && result.error.as_ref().is_none_or(is_partial) {
            let given = Overrides(overrides.cloned().into_iter().collect());
            return resend(services, &recorded, &given).await;
        }
        Ok(result)
    };
    let session = services.session(road, overrides);
    let result = session.run(opening, async || Ok(()), work).await;
    services.progress.finish();
    result
}

/// Sends the messages in doubt of a run that is over again.
async fn resend(
    services: &PipelineServices<'_>,
    recorded: &RecordedRun,
    overrides: &Overrides,
) -> Result<StartResult> {
    let run = &recorded.run;
    let context = services.pipeline_context()?;
    let pushes = Box::pin(resend_in_doubt(run, &context, overrides)).await?;
    let error = partial_error(&pushes);
    let document = OpenRun {
        pushes: Some(pushes),
        ..OpenRun::of(run, "retried")
    };
    Ok(StartResult {
        error,
        ..document.into()
    })
}
