//! `pushctl pause`: pauses an automation from its next occurrence on.

use crate::exit::ExitStatus;
use serde_json::json;

use crate::error::Result;
use crate::state::{RunFilter, RunStatus, Store};
use crate::ui::Document;

use crate::cli::commands::AsyncSubcommand;
use crate::cli::context::{CommandContext, Confirmation};
use crate::cli::time_limit::bounded;
use crate::cli::{help, open_runs, run_selector, services};

/// Pause an automation from its next occurrence on, until `resume NAME --enable`
///
/// A run that a process carries out continues; `cancel` stops it. Other open runs are held, too.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl pause layer3-daily --reason 'new copy on Monday'", "pause an automation"),
        ("pushctl resume layer3-daily --enable", "end the pause"),
    ]),
    after_help = help::statuses(&[
        ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Credentials, ExitStatus::Unreachable, ExitStatus::Bug,
        ExitStatus::Interrupted, ExitStatus::Terminated,
    ]),
)]
pub struct Args {
    /// Automation
    name: String,
    /// Reason; recorded with the pause
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

impl AsyncSubcommand for Args {
    async fn execute(self, context: &CommandContext) -> Result<ExitStatus> {
        bounded(context, self.pause(context)).await
    }
}

impl Args {
    async fn pause(&self, context: &CommandContext) -> Result<ExitStatus> {
        let store = services::store(context).await?;
        known(context, &store, &self.name).await?;
        let who = services::holder(context).who;
        let new = store
            .pause(&self.name, &who, self.reason.as_deref())
            .await?;
        let pauses = store.pauses().await?;
        let held = pauses.iter().find(|pause| pause.automation == self.name);
        if new {
            context.ui.say(format_args!(
                "{} is paused; to end the pause: pushctl resume {} --enable",
                self.name, self.name
            ));
        } else if let Some(held) = held {
            context.ui.say(format_args!(
                "{} has been paused since {:.0}, by {}",
                self.name, held.at, held.who
            ));
        }
        let open = RunFilter {
            automation: Some(self.name.clone()),
            status: Some(RunStatus::Open),
            ..RunFilter::default()
        };
        let runs = store.runs(&open).await?;
        for open in open_runs::of(&store, runs, context.clock.now()).await? {
            let id = &open.run.id;
            // The pause is checked at a start: a process that is at work does not notice it.
            if open.held.is_some() {
                context.ui.warn(format_args!(
                    "run {id} is in progress and continues: `pushctl cancel {}` stops it",
                    self.name
                ));
            } else {
                context.ui.warn(format_args!(
                    "run {id} is open and is held, too: `pushctl cancel {}` ends it",
                    self.name
                ));
            }
        }
        if context.ui.document() == Document::Json {
            context.ui.json(&json!({
                "automation": self.name, "paused": true, "new": new,
                "who": held.map(|held| &held.who), "at": held.map(|held| held.at),
                "reason": held.and_then(|held| held.reason.as_ref()),
            }))?;
        }
        Ok(ExitStatus::Done)
    }
}

/// Refuses an unknown name, because a misspelled name would pause nothing; --yes overrides it.
async fn known(context: &CommandContext, store: &Store, name: &str) -> Result<()> {
    let names = run_selector::names(context, store).await?;
    if names.iter().any(|known| known == name) || context.confirmation == Confirmation::Given {
        return Ok(());
    }
    Err(run_selector::unknown(name, &names)
        .hint("--yes pauses an automation that this machine does not know"))
}
