//! `pushctl cancel`: cancels open runs, from any machine that reaches the state store.

use crate::exit::ExitStatus;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::automation::file::{NotifyTable, environment_name};
use crate::delivery::lease_name;
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::outgoing::UnknownAddress;
use crate::pipeline::{RunPlan, cancelled_by, close_run, notify_cancelled};
use crate::run;
use crate::state::process_id::ProcessId;
use crate::state::{CancelTarget, HeldBy, Run, RunStatus, Store, Taking};
use crate::ui::Document;

use crate::cli::commands::AsyncSubcommand;
use crate::cli::context::CommandContext;
use crate::cli::run_selector;
use crate::cli::run_selector::Target;
use crate::cli::time_limit::bounded;
use crate::cli::{help, services};

/// Time that processes have to end their runs before the command ends: they check for a cancel every two seconds.
const HOLDERS_TIME: Duration = Duration::from_millis(2_500);
/// Interval between two checks whether a process has ended its run.
const LOOK: Duration = Duration::from_millis(100);

/// Cancel open runs
///
/// Before the live phase nothing is sent; during it no further push is claimed. Works from any machine that reaches the
/// state store. A process that carries a run notices within two seconds and ends with exit status 20; its summary has
/// the number of accepted pushes. A run without a process, waiting or interrupted, is ended by the cancel itself.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl cancel layer3-daily --reason 'wrong shoe'", "the open runs of an automation"),
        ("pushctl cancel 0198b2a4", "one run, by a prefix of its id"),
        ("pushctl cancel --all", "every open run"),
    ]),
    after_help = help::statuses(&[
        ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Credentials, ExitStatus::Unreachable, ExitStatus::Nothing, ExitStatus::Bug,
        ExitStatus::Interrupted, ExitStatus::Terminated,
    ]),
)]
pub struct Args {
    /// Automation, or run id or a prefix of it
    #[arg(
        value_name = "NAME|RUN",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    what: Option<String>,
    /// Cancel the open runs of all automations
    #[arg(long)]
    all: bool,
    /// Reason; recorded with the run
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl AsyncSubcommand for Args {
    async fn execute(self, context: &CommandContext) -> Result<ExitStatus> {
        bounded(context, self.cancel(context)).await
    }
}

impl Args {
    async fn cancel(&self, context: &CommandContext) -> Result<ExitStatus> {
        let store = services::store(context).await?;
        let (target, nothing) = self.target(context, &store).await?;
        let holder = services::holder(context);
        let stopped = store
            .cancel(&target, &holder.who, self.reason.as_deref())
            .await?;
        if stopped.is_empty() {
            return Err(Error::new(ErrorKind::Nothing, nothing));
        }
        let mut ending = Vec::new();
        for run in stopped {
            let phase = phase(&store, &run).await?;
            ending.push(Stopping {
                run,
                phase,
                end: End::Pending(None),
            });
        }
        close_all(&store, &holder, &mut ending).await?;
        let stopped: Vec<Value> = ending.iter().map(Stopping::document).collect();
        for one in &ending {
            context.ui.say(one.line());
        }
        if context.ui.document() == Document::Json {
            context.ui.json(&self.document(&holder.who, &stopped))?;
        }
        send_notices(context, &store, &ending).await?;
        Ok(ExitStatus::Done)
    }

    /// Returns the target, and the message if no run of it is open.
    async fn target(
        &self,
        context: &CommandContext,
        store: &Store,
    ) -> Result<(CancelTarget, String)> {
        let Some(what) = &self.what else {
            let nothing = "nothing to cancel: no run is open".to_owned();
            return Ok((CancelTarget::All, nothing));
        };
        Ok(
            match run_selector::find_target(context, store, what).await? {
                Target::Automation(name) => {
                    let nothing = format!("nothing to cancel: no run of {name} is open");
                    (CancelTarget::Automation(name), nothing)
                }
                Target::Run(run) => {
                    let nothing = format!(
                        "nothing to cancel: run {} has ended ({})",
                        run.id,
                        run.status.as_str()
                    );
                    (CancelTarget::Run(run.id), nothing)
                }
            },
        )
    }

    fn document(&self, who: &str, stopped: &[Value]) -> Value {
        json!({ "who": who, "reason": self.reason, "stopped": stopped })
    }
}

/// A run that is being cancelled.
struct Stopping {
    run: Run,
    phase: Option<String>,
    end: End,
}

/// How it ended.
enum End {
    /// It is open; the process that holds it, if there is one.
    Pending(Option<HeldBy>),
    /// This command ended it: no process carried it.
    Closed,
    /// Its process ended it.
    Ended(RunStatus),
}

impl Stopping {
    fn line(&self) -> String {
        let Run { occurrence, id, .. } = &self.run;
        let point = match self.phase.as_deref() {
            Some(phase) if phase == "send" || phase.starts_with("push-") => {
                "it was sending; no further push is claimed"
            }
            Some("cleanup") => "its pushes were sent before",
            _ => "nothing is sent",
        };
        match &self.end {
            End::Ended(status) if *status != RunStatus::Cancelled => format!(
                "{occurrence} (run {id}) ended before the cancel reached it: {}",
                status.as_str()
            ),
            End::Pending(Some(held)) => format!(
                "cancelled {occurrence} (run {id}): {point}; {} is ending it; if that process is gone, repeat the cancel after {:.0}",
                held.holder, held.until
            ),
            _ => format!("cancelled {occurrence} (run {id}): {point}"),
        }
    }

    fn document(&self) -> Value {
        let holder = match &self.end {
            End::Pending(Some(held)) => Some(held.holder.to_string()),
            _ => None,
        };
        let status = match &self.end {
            End::Pending(_) => RunStatus::Open,
            End::Closed => RunStatus::Cancelled,
            End::Ended(status) => *status,
        };
        json!({
            "run": self.run.id, "automation": self.run.automation, "occurrence": self.run.occurrence,
            "phase": self.phase, "status": status.as_str(), "holder": holder,
        })
    }
}

/// Ends the runs that no process carries. A process ends its own run; but it may have checked for a cancel just before
/// this one was recorded, and exit without ending the run, so the command waits for a while.
async fn close_all(store: &Store, holder: &ProcessId, ending: &mut [Stopping]) -> Result<()> {
    let until = Instant::now() + HOLDERS_TIME;
    loop {
        for one in ending.iter_mut() {
            if matches!(one.end, End::Pending(_)) {
                one.end = close(store, holder, &one.run).await?;
            }
        }
        let is_pending = ending.iter().any(|one| matches!(one.end, End::Pending(_)));
        if !is_pending || Instant::now() > until {
            return Ok(());
        }
        sleep(LOOK).await;
    }
}

/// Ends a run under its occurrence's lease, so that no process takes it up meanwhile.
async fn close(store: &Store, holder: &ProcessId, run: &Run) -> Result<End> {
    let name = lease_name(&run.automation, &run.occurrence);
    let lease = match store.take_lease(&name, holder).await? {
        Taking::Taken(lease) => lease,
        Taking::Held(held) => {
            let now = store.run(&run.id).await?.map(|run| run.status);
            return Ok(match now {
                Some(status) if status != RunStatus::Open => End::Ended(status),
                _ => End::Pending(Some(held)),
            });
        }
    };
    let closed = close_held(store, run).await;
    // The result of closing matters more; a lease that is not released expires.
    let _ = lease.release().await;
    closed
}

async fn close_held(store: &Store, run: &Run) -> Result<End> {
    let now = store.run(&run.id).await?;
    let cancel = store.cancellation(&run.id).await?;
    match (now, cancel) {
        (Some(now), Some(cancel)) if now.status == RunStatus::Open => {
            close_run(store, &now, &cancelled_by(&cancel)).await?;
            Ok(End::Closed)
        }
        (now, _) => Ok(End::Ended(
            now.map_or(RunStatus::Cancelled, |now| now.status),
        )),
    }
}

/// Sends the notices of the runs that this command ended, after all are ended: a webhook may be slow.
async fn send_notices(context: &CommandContext, store: &Store, ending: &[Stopping]) -> Result<()> {
    let progress = context.ui.progress("rows");
    let run_context = services::run_context(context, "cancel");
    let notices = run::services::outgoing(&run_context, store, UnknownAddress::Keep);
    for one in ending {
        if !matches!(one.end, End::Closed) {
            continue;
        }
        let (Ok(plan), Some(cancel)) = (
            RunPlan::of(&one.run),
            store.cancellation(&one.run.id).await?,
        ) else {
            continue;
        };
        for name in unset(context, &plan.automation.notify) {
            context.ui.say(format_args!(
                "the notice of {} was not sent: {name} is not set on this machine; the next run or tick that knows it sends the notice",
                one.run.automation
            ));
        }
        run::services::check_notices(&run_context, &plan.automation);
        notify_cancelled(&one.run, &cancel, &notices, progress.as_ref()).await?;
    }
    for warning in notices.finish(context.budget.deadline()).await {
        context.ui.say(warning);
    }
    progress.finish();
    Ok(())
}

/// Returns the variables with addresses of notices that are not set on this machine.
fn unset<'n>(context: &CommandContext, notify: &'n NotifyTable) -> impl Iterator<Item = &'n str> {
    let environment = &context.settings.source.environment;
    let written = [&notify.webhook, &notify.heartbeat];
    let names = written
        .into_iter()
        .filter_map(|written| environment_name(written.as_deref()?));
    names.filter(|name| !matches!(environment.get(name), Ok(Some(_))))
}

/// Returns the current or last phase of a run; a send without an automation has only `send`.
async fn phase(store: &Store, run: &Run) -> Result<Option<String>> {
    if let Some(last) = run_selector::latest_phase(store.phases(&run.id).await?) {
        return Ok(Some(last.phase));
    }
    let pushes = store.pushes(&run.automation, &run.occurrence).await?;
    Ok((!pushes.is_empty()).then(|| "send".to_owned()))
}
