//! `pushctl cancel`: stops runs that are open, from any machine that reaches the state store.

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::exit::Kind;
use crate::state::{CancelTarget, Run, Store};
use crate::ui::{Document, Stdout};

use crate::cli::context::CommandContext;
use crate::cli::run_selector;
use crate::cli::run_selector::Meant;
use crate::cli::time_limit::bounded;
use crate::cli::{help, services};

/// Stop what is open: before its live phase nothing is sent, during it no further push
///
/// Works from any machine that reaches the state store. A process that is at work notices within two seconds and ends
/// with exit status 20; its summary says how many pushes had gone.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl cancel layer3-daily --reason 'wrong shoe'", "the open runs of an automation"),
        ("pushctl cancel 0198b2a4", "one run, by the beginning of its id"),
        ("pushctl cancel --all", "everything"),
    ]),
    after_help = help::statuses(&[
        Kind::Done, Kind::Failed, Kind::Usage, Kind::Credentials, Kind::Unreachable, Kind::Nothing, Kind::Bug,
        Kind::Interrupted, Kind::Terminated,
    ]),
)]
pub struct Args {
    /// An automation, or a run
    #[arg(
        value_name = "NAME|RUN",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    what: Option<String>,
    /// Every open run of every automation
    #[arg(long)]
    all: bool,
    /// Why; kept with the run
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl Args {
    pub(crate) fn stdout() -> Stdout {
        Stdout::Free
    }

    pub(crate) async fn run(self, context: &CommandContext) -> Result<Kind> {
        bounded(context, self.cancel(context)).await
    }

    async fn cancel(&self, context: &CommandContext) -> Result<Kind> {
        let store = services::store(context).await?;
        let (target, nothing) = self.target(context, &store).await?;
        let who = services::holder(context).who;
        let stopped = store.cancel(&target, &who, self.reason.as_deref()).await?;
        if stopped.is_empty() {
            return Err(Error::new(Kind::Nothing, nothing));
        }
        let mut told = Vec::new();
        for run in &stopped {
            let phase = phase(&store, run).await?;
            let point = match phase.as_deref() {
                Some(phase) if phase == "send" || phase.starts_with("push-") => {
                    "it was sending: no further push is claimed"
                }
                _ => "nothing is sent",
            };
            context.ui.say(format_args!(
                "cancelled {} (run {}): {point}",
                run.occurrence, run.id
            ));
            told.push(json!({
                "run": run.id, "automation": run.automation, "occurrence": run.occurrence, "phase": phase,
            }));
        }
        if context.ui.document() == Document::Json {
            context.ui.json(&self.document(&who, &told))?;
        }
        Ok(Kind::Done)
    }

    /// What is to be stopped, and what to say if nothing of it is open.
    async fn target(
        &self,
        context: &CommandContext,
        store: &Store,
    ) -> Result<(CancelTarget, String)> {
        let Some(what) = &self.what else {
            let nothing = "nothing left to cancel: no run is open".to_owned();
            return Ok((CancelTarget::All, nothing));
        };
        Ok(match run_selector::meant(context, store, what).await? {
            Meant::Automation(name) => {
                let nothing = format!("nothing left to cancel: no run of {name} is open");
                (CancelTarget::Automation(name), nothing)
            }
            Meant::Run(run) => {
                let nothing = format!(
                    "nothing left to cancel: run {} ended ({})",
                    run.id,
                    run.status.as_str()
                );
                (CancelTarget::Run(run.id), nothing)
            }
        })
    }

    fn document(&self, who: &str, stopped: &[Value]) -> Value {
        json!({ "who": who, "reason": self.reason, "stopped": stopped })
    }
}

/// The phase that a run is in, or the last one that it was in. A send without an automation has no other.
async fn phase(store: &Store, run: &Run) -> Result<Option<String>> {
    if let Some(last) = run_selector::latest_phase(store.phases(&run.id).await?) {
        return Ok(Some(last.phase));
    }
    let pushes = store.pushes(&run.automation, &run.occurrence).await?;
    Ok((!pushes.is_empty()).then(|| "send".to_owned()))
}
