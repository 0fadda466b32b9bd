//! A pipeline's run as commands conduct it: what it may use of the world, its lease, what is said and how it ends.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::audience::Catalogue;
use crate::audience::history::History;
use crate::automation::AutomationFile;
use crate::cadence::Cadence;
use crate::delivery::InDoubt;
use crate::error::{Error, Result};
use crate::exit::Kind;
use crate::fcm::{self, ServiceAccount};
use crate::notify::{Notices, Patience};
use crate::pipeline::drive::{Ending, How, drive, retry_doubts};
use crate::pipeline::{Course, Means, Retention};
use crate::progress::Progress;
use crate::report::pipeline as report;
use crate::settings::generate::Output;
use crate::settings::secret::Secret;
use crate::settings::{self, HistoryKind};
use crate::source::Source;
use crate::state::holder::Holder;
use crate::state::{Run, RunStatus, Store, Taking};
use crate::template::link::AllowedHosts;
use crate::ui::{Document, Loudness};

use super::connect::{self, Told};
use super::context::Context;
use super::{sending, services, words};

/// What a run may use of the world, made once for all runs of a command.
pub(super) struct World {
    store: Store,
    cadence: Cadence,
    cadence_is_near: bool,
    source: Source,
    history: History,
    catalogue: Catalogue,
    hosts: AllowedHosts,
    account: Option<ServiceAccount>,
    service: fcm::Settings,
    holder: Holder,
    progress: Arc<dyn Progress>,
    watch: Told,
}

impl World {
    /// `sends`: whether a service account is needed.
    pub(super) async fn open(context: &Context, sends: bool) -> Result<Self> {
        let account = sends.then(|| services::account(context)).transpose()?;
        let store = services::store(context).await?;
        let is_file = matches!(context.settings.state, settings::State::File(_));
        Ok(Self {
            cadence: services::cadence(context, &store)?,
            cadence_is_near: is_file && context.settings.cadence.kind() == HistoryKind::Embedded,
            source: connect::source(context, "run-pipeline")?,
            history: connect::history(context, "run-pipeline")?,
            catalogue: connect::catalogue(context)?,
            hosts: words::hosts(context)?,
            account,
            service: services::push_settings(context),
            holder: services::holder(context),
            progress: context.ui.progress("rows"),
            watch: Told(context.ui.clone()),
            store,
        })
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn holder(&self) -> &Holder {
        &self.holder
    }

    fn means<'a>(&'a self, context: &'a Context, notices: &'a Notices) -> Result<Means<'a>> {
        let settings = &context.settings;
        let Output::Directory(output) = &settings.generate.output else {
            return Err(Error::usage(
                "a pipeline's files go into a directory, not to standard output",
            ));
        };
        Ok(Means {
            store: &self.store,
            cadence: &self.cadence,
            cadence_is_near: self.cadence_is_near,
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

/// Drives a run under its occurrence's lease.
pub(super) async fn under_lease(
    context: &Context,
    world: &World,
    run: &Run,
    how: How,
) -> Result<Left> {
    let name = sending::lease_name(&run.automation, &run.occurrence);
    let lease = match world.store.take_lease(&name, &world.holder).await? {
        Taking::Taken(lease) => lease,
        Taking::Held(held) => return Err(held.error()),
    };
    // Somebody may have ended it just before the lease was free.
    let run = world
        .store
        .run(&run.id)
        .await?
        .unwrap_or_else(|| run.clone());
    let result = if run.status == RunStatus::Open {
        let course = Course::of(&run)?;
        let notices = notices(context, &course.automation);
        let means = world.means(context, &notices)?;
        tokio::select! {
            ending = Box::pin(drive(&run, &means, how)) => ending.map(|ending| left(context, &run, ending)),
            () = lease.lost() => Err(Error::new(Kind::Locked, format!("{name} was taken over by another process"))),
        }
    } else {
        Ok(Left {
            document: json!({ "run": run.id, "automation": run.automation, "occurrence": run.occurrence, "status": run.status.word() }),
            error: None,
        })
    };
    world.progress.finish();
    lease.release().await?;
    result
}

fn left(context: &Context, run: &Run, ending: Ending) -> Left {
    let base = |state: &str| {
        json!({
            "run": run.id,
            "automation": run.automation,
            "occurrence": run.occurrence,
            "status": state,
        })
    };
    match ending {
        Ending::Waiting(at, phase) => {
            context.ui.say(format_args!(
                "{}: {} is due at {at}",
                run.automation,
                phase.word()
            ));
            let mut document = base("waiting");
            document["phase"] = phase.word().into();
            document["due_at"] = at.to_string().into();
            Left {
                document,
                error: None,
            }
        }
        Ending::Reached(phase) => {
            context.ui.say(format_args!(
                "{}: {} is done, and it was to stop there; `pushctl resume {}` goes on",
                run.automation,
                phase.word(),
                run.id
            ));
            let mut document = base("open");
            document["phase"] = phase.word().into();
            Left {
                document,
                error: None,
            }
        }
        Ending::Over { summary, error, .. } => Left {
            document: summary,
            error,
        },
    }
}

/// `pushctl resume RUN`, of a pipeline.
pub(super) async fn resume(
    context: &Context,
    store: &Store,
    run: &Run,
    how: How,
    in_doubt: Option<InDoubt>,
) -> Result<Kind> {
    let course = Course::of(run)?;
    store.rest().await;
    let world = World::open(context, course.mode.reaches_phones()).await?;
    let left = under_lease(context, &world, run, how).await?;
    if in_doubt == Some(InDoubt::Retry)
        && left
            .error
            .as_ref()
            .is_none_or(|error| error.kind() == Kind::Partial)
    {
        let notices = notices(context, &course.automation);
        let means = world.means(context, &notices)?;
        let summaries = retry_doubts(run, &means).await?;
        world.progress.finish();
        return tell(
            context,
            &[
                json!({ "run": run.id, "automation": run.automation, "occurrence": run.occurrence, "status": "retried", "pushes": summaries }),
            ],
            None,
        );
    }
    tell(context, &[left.document], left.error)
}

/// The documents of one command, and how it ends.
pub(super) fn tell(context: &Context, documents: &[Value], error: Option<Error>) -> Result<Kind> {
    if context.ui.document() == Document::Json {
        match documents {
            [one] => context.ui.json(one)?,
            several => context.ui.json(&several)?,
        }
    } else if context.ui.loudness() > Loudness::Quiet {
        for document in documents
            .iter()
            .filter(|document| document.get("pushes").is_some())
        {
            context
                .ui
                .print(report::text(document, context.ui.stdout_pen()))?;
        }
    }
    error.map_or(Ok(Kind::Done), Err)
}

/// Who else is told of an automation's runs. `env:NAME` is the value of a variable.
fn notices(context: &Context, automation: &AutomationFile) -> Notices {
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
    let (notices, warnings) =
        Notices::new(webhook.as_ref(), heartbeat.as_ref(), Patience::default());
    for warning in warnings {
        context.ui.warn(warning);
    }
    notices
}
