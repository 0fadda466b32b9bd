//! A pipeline's run as commands conduct it: what it may use of the world, its lease, what is said and how it ends.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::audience::Catalogue;
use crate::audience::history::HistorySource;
use crate::automation::AutomationFile;
use crate::cadence::Cadence;
use crate::delivery::InDoubt;
use crate::error::{Error, Result};
use crate::exit::Kind;
use crate::fcm::{self, ServiceAccount};
use crate::notify::{Notices, NotifyTimeouts};
use crate::pipeline::driver::{DriveOptions, DriveResult, drive, retry_doubts};
use crate::pipeline::{Retention, RunContext, RunPlan};
use crate::progress::Progress;
use crate::report::pipeline as report;
use crate::settings::generate::OutputTarget;
use crate::settings::logging::LogFormat;
use crate::settings::secret::Secret;
use crate::source::Source;
use crate::state::process_id::ProcessId;
use crate::state::{Begun, NewRun, Run, RunFilter, RunStatus, Store, Taking};
use crate::template::link::AllowedHosts;
use crate::ui::{Document, Loudness};

use super::connect;
use super::connect::LogWatch;
use super::context::CommandContext;
use super::{message_args, sending, services};

/// What a run may use of the world, made once for all runs of a command.
pub(super) struct World {
    store: Store,
    cadence: Cadence,
    /// Whether a dry run asks neither for tokens nor the history.
    pub(super) offline: bool,
    source: Source,
    history: HistorySource,
    catalogue: Catalogue,
    hosts: AllowedHosts,
    account: Option<ServiceAccount>,
    service: fcm::FcmSettings,
    holder: ProcessId,
    progress: Arc<dyn Progress>,
    watch: LogWatch,
}

impl World {
    /// `sends`: whether a service account is needed.
    pub(super) async fn open(context: &CommandContext, sends: bool) -> Result<Self> {
        let account = sends.then(|| services::account(context)).transpose()?;
        let store = services::store(context).await?;
        Ok(Self {
            cadence: services::cadence(context, &store)?,
            offline: false,
            source: connect::source(context, "run-pipeline")?,
            history: connect::history(context, "run-pipeline")?,
            catalogue: connect::catalogue(context)?,
            hosts: message_args::hosts(context)?,
            account,
            service: services::push_settings(context),
            holder: services::holder(context),
            progress: context.ui.progress("rows"),
            watch: LogWatch(context.ui.clone()),
            store,
        })
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// The run that carried an occurrence out, however that ended.
    pub(super) async fn over(&self, automation: &str, occurrence: &str) -> Result<Option<Run>> {
        let filter = RunFilter {
            automation: Some(automation.to_owned()),
            occurrence: Some(occurrence.to_owned()),
            ..RunFilter::default()
        };
        let runs = self.store.runs(&filter).await?;
        let is_open = runs.iter().any(|run| run.status == RunStatus::Open);
        Ok(runs.into_iter().next().filter(|_| !is_open))
    }

    pub(super) fn holder(&self) -> &ProcessId {
        &self.holder
    }

    fn means<'a>(
        &'a self,
        context: &'a CommandContext,
        notices: &'a Notices,
    ) -> Result<RunContext<'a>> {
        let settings = &context.settings;
        let OutputTarget::Directory(output) = &settings.generate.output else {
            return Err(Error::usage(
                "a pipeline's files go into a directory, not to standard output",
            ));
        };
        Ok(RunContext {
            store: &self.store,
            cadence: &self.cadence,
            offline: self.offline,
            source: &self.source,
            history: &self.history,
            catalogue: &self.catalogue,
            output,
            ending: settings.generate.line_ending,
            test_users: &settings.generate.test_users,
            hosts: &self.hosts,
            account: self.account.as_ref(),
            service: &self.service,
            outcomes: &settings.push.outcomes,
            retention: Retention {
                files: settings.retention.files,
                records: settings.retention.records,
            },
            holder: &self.holder,
            clock: &context.clock,
            interrupt: &context.interrupt,
            progress: self.progress.as_ref(),
            watch: &self.watch,
            deadline: settings.source.deadline,
            notices,
        })
    }
}

/// How a start left a run.
pub(super) struct Left {
    /// For `--json`.
    pub(super) document: Value,
    /// Decides the exit status.
    pub(super) error: Option<Error>,
}

impl Left {
    /// It could not go on, and is open.
    pub(super) fn stopped(run: &Run, error: Error) -> Self {
        Self {
            document: base(run, run.status.as_str()),
            error: Some(error),
        }
    }
}

/// Begins a run of an occurrence that has none yet, or goes on with the one that is open.
pub(super) async fn begin(
    context: &CommandContext,
    world: &World,
    new: &NewRun,
    how: DriveOptions,
) -> Result<Left> {
    let work = async || {
        // Nobody else begins or ends one while the lease is held.
        if let Some(over) = world.over(&new.automation, &new.occurrence).await? {
            return Err(Error::new(
                Kind::Nothing,
                format!(
                    "{} is {} already, by run {}",
                    over.occurrence,
                    over.status.as_str(),
                    over.id
                ),
            ));
        }
        let (Begun::New(run) | Begun::Open(run)) = world.store.begin_run(new).await?;
        go_on(context, world, &run, how).await
    };
    holding(world, (&new.automation, &new.occurrence), work).await
}

/// Drives a run under its occurrence's lease.
pub(super) async fn under_lease(
    context: &CommandContext,
    world: &World,
    run: &Run,
    how: DriveOptions,
) -> Result<Left> {
    let work = async || go_on(context, world, run, how).await;
    holding(world, (&run.automation, &run.occurrence), work).await
}

/// Works while an occurrence is ours, and no longer.
async fn holding<T>(
    world: &World,
    (automation, occurrence): (&str, &str),
    work: impl AsyncFnOnce() -> Result<T>,
) -> Result<T> {
    let name = sending::lease_name(automation, occurrence);
    let lease = match world.store.take_lease(&name, &world.holder).await? {
        Taking::Taken(lease) => lease,
        Taking::Held(held) => return Err(held.error()),
    };
    let result = tokio::select! {
        result = Box::pin(work()) => result,
        () = lease.lost() => Err(Error::new(Kind::Locked, format!("{name} was taken over by another process"))),
    };
    world.progress.finish();
    // What came of the work matters more; a lease that cannot be given back ends by itself.
    let _ = lease.release().await;
    result
}

/// Drives a run whose occurrence is ours.
async fn go_on(
    context: &CommandContext,
    world: &World,
    run: &Run,
    how: DriveOptions,
) -> Result<Left> {
    // Somebody may have ended it just before the lease was free.
    let run = world.store.run(&run.id).await?;
    let run = run.ok_or_else(|| Error::new(Kind::Nothing, "the run is not recorded any more"))?;
    if run.status != RunStatus::Open {
        return Ok(Left {
            document: base(&run, run.status.as_str()),
            error: None,
        });
    }
    let notices = notices(context, &RunPlan::of(&run)?.automation);
    let means = world.means(context, &notices)?;
    let ending = Box::pin(drive(&run, &means, how)).await?;
    Ok(left(context, &run, ending))
}

fn base(run: &Run, status: &str) -> Value {
    json!({
        "run": run.id,
        "automation": run.automation,
        "occurrence": run.occurrence,
        "status": status,
    })
}

fn left(context: &CommandContext, run: &Run, ending: DriveResult) -> Left {
    match ending {
        DriveResult::Waiting(at, phase) => {
            context.ui.say(format_args!(
                "{}: {} is due at {at}",
                run.automation,
                phase.as_str()
            ));
            let mut document = base(run, "waiting");
            document["phase"] = phase.as_str().into();
            document["due_at"] = at.to_string().into();
            Left {
                document,
                error: None,
            }
        }
        DriveResult::Reached(phase) => {
            context.ui.say(format_args!(
                "{}: {} is done, and it was to stop there; `pushctl resume {}` goes on",
                run.automation,
                phase.as_str(),
                run.id
            ));
            let mut document = base(run, "open");
            document["phase"] = phase.as_str().into();
            Left {
                document,
                error: None,
            }
        }
        DriveResult::Over { summary, error, .. } => Left {
            document: summary,
            error,
        },
    }
}

/// `pushctl resume RUN`, of a pipeline.
pub(super) async fn resume(
    context: &CommandContext,
    store: &Store,
    run: &Run,
    how: DriveOptions,
    in_doubt: Option<InDoubt>,
) -> Result<Kind> {
    let course = RunPlan::of(run)?;
    store.rest().await;
    let world = World::open(context, course.mode.reaches_phones()).await?;
    let work = async || {
        let left = go_on(context, &world, run, how).await?;
        let is_partial = |error: &Error| error.kind() == Kind::Partial;
        if in_doubt == Some(InDoubt::Retry) && left.error.as_ref().is_none_or(is_partial) {
            return retry(context, &world, run).await;
        }
        Ok(left)
    };
    let left = holding(&world, (&run.automation, &run.occurrence), work).await?;
    show(context, &[left.document], false)?;
    left.error.map_or(Ok(Kind::Done), Err)
}

/// Sends once more what is in doubt of a run that is over.
async fn retry(context: &CommandContext, world: &World, run: &Run) -> Result<Left> {
    let notices = notices(context, &RunPlan::of(run)?.automation);
    let means = world.means(context, &notices)?;
    let pushes = Box::pin(retry_doubts(run, &means)).await?;
    let is_partial = pushes.iter().any(|push| push["ended"] == "partial");
    let mut document = base(run, "retried");
    document["pushes"] = pushes.into();
    Ok(Left {
        document,
        error: is_partial.then(|| Error::new(Kind::Partial, "some messages failed")),
    })
}

/// What came of each run. As JSON an array for `--all`, however many there are.
pub(super) fn show(context: &CommandContext, documents: &[Value], all: bool) -> Result<()> {
    if context.ui.document() == Document::Json {
        return match documents {
            [one] if !all => context.ui.json(one),
            several => context.ui.json(&several),
        };
    }
    if context.ui.loudness() == Loudness::Quiet {
        return Ok(());
    }
    let with_pushes = |document: &&Value| document.get("pushes").is_some();
    for document in documents.iter().filter(with_pushes) {
        // Where logs are collected as JSON lines, a line is all there may be.
        if context.settings.talk.log_format == LogFormat::Json {
            context.ui.say(report::line(document));
        } else {
            let text = report::text(document, context.ui.stdout_pen());
            context.ui.print(text)?;
        }
    }
    Ok(())
}

/// Who else is told of an automation's runs. `env:NAME` is the value of a variable.
fn notices(context: &CommandContext, automation: &AutomationFile) -> Notices {
    let environment = &context.settings.source.environment;
    let address = |written: &Option<String>| {
        let written = written.as_ref()?;
        match written.strip_prefix("env:") {
            None => Some(Secret::new(written.clone())),
            Some(name) => {
                let value = environment.get(name).ok().flatten().map(|(value, _)| value);
                value.filter(|value| !value.is_empty()).map(Secret::new)
            }
        }
    };
    let notify = &automation.notify;
    let (webhook, heartbeat) = (address(&notify.webhook), address(&notify.heartbeat));
    let (notices, warnings) = Notices::new(
        webhook.as_ref(),
        heartbeat.as_ref(),
        NotifyTimeouts::default(),
    );
    for warning in warnings {
        context.ui.warn(warning);
    }
    notices
}
