//! `pushctl why`: shows which conditions of an audience hold for one user, or what a run did for the user.

use crate::audience::explain;
use crate::error::{Error, Result};
use crate::exit::ExitStatus;
use crate::report::{gather, why as report, why_run};
use crate::settings::generate::OutputTarget;
use crate::ui::{Document, Stdout};

use crate::cli::audience_args::{Chosen, MaybeChosen};
use crate::cli::audience_request::{AudienceRequest, SourceFlags};
use crate::cli::commands::AsyncSubcommand;
use crate::cli::context::CommandContext;
use crate::cli::time_limit::bounded;
use crate::cli::{help, run_selector, services};

/// Show why a user is in an audience, or what a run sent to the user
///
/// With an audience: every condition, by the same query file as `generate`, so the answer is what `generate` would do
/// at the same time. With --run: what each push of a run did for the user, or why nothing, from the records of the run,
/// without asking the source or the notification history.
#[derive(Debug, clap::Args)]
#[command(
    next_help_heading = "Options for every audience",
    before_help = help::examples(&[
        ("pushctl why layer2 --user 1a0c5b52-0f5e-4d0e-8a55-3f3c2a9d7b10", "every condition, and the values it read"),
        ("pushctl why layer2 --user 1a0c5b52-0f5e-4d0e-8a55-3f3c2a9d7b10 --min-open-offers 1", "the same with another parameter"),
        ("pushctl why --run last --user 1a0c5b52-0f5e-4d0e-8a55-3f3c2a9d7b10", "what this user got in the newest run, or why nothing"),
    ]),
    after_help = help::statuses(&[
        ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Credentials, ExitStatus::Unreachable, ExitStatus::Bug,
        ExitStatus::Interrupted, ExitStatus::Terminated,
    ]),
)]
pub struct Args {
    #[command(flatten)]
    audience: MaybeChosen,
    #[command(flatten)]
    source: SourceFlags,
    /// User id
    #[arg(long, global = true, value_name = "ID")]
    user: Option<String>,
    /// Run whose records answer: its id, a prefix of it, or `last`
    #[arg(long, value_name = "RUN", help_heading = "Instead of an audience")]
    run: Option<String>,
}

impl AsyncSubcommand for Args {
    fn stdout(&self, _output: &OutputTarget) -> Stdout {
        Stdout::Data
    }

    async fn execute(self, context: &CommandContext) -> Result<ExitStatus> {
        let Self {
            audience: MaybeChosen { chosen, has_run },
            source,
            user,
            run,
        } = self;
        let user = user.ok_or_else(|| Error::usage("--user ID is required"))?;
        let user = user.trim();
        match (chosen, run) {
            (Some(chosen), None) if !has_run => in_audience(context, &chosen, &source, user).await,
            (None, Some(run)) => bounded(context, in_run(context, &run, &source, user)).await,
            (Some(chosen), _) => Err(both(&chosen.audience)),
            (None, None) => Err(Error::usage("an audience or --run RUN is required")
                .hint("`pushctl audiences` lists the audiences, `pushctl runs` the runs")),
        }
    }
}

/// Returns the error for an audience beside a run.
fn both(audience: &str) -> Error {
    Error::usage(format!("{audience} and --run exclude each other"))
        .hint("`pushctl why --run RUN --user ID` shows what the run did for the user")
        .hint(format!(
            "`pushctl why {audience} --user ID` shows the user's conditions now; --as-of TIME at another time"
        ))
}

async fn in_audience(
    context: &CommandContext,
    chosen: &Chosen,
    flags: &SourceFlags,
    user: &str,
) -> Result<ExitStatus> {
    let user = uuid::Uuid::try_parse(user).map_err(|_| {
        Error::usage(format!(
            "--user: {user:?} is not an id like 0b54ae58-8e5a-4d3e-9b3c-2f6f6f0a1c11"
        ))
    })?;
    let asked = AudienceRequest::of(context, chosen, flags, "why")?;
    let source = services::source(context, "why")?;
    let question = asked.question(context);
    let why = explain::ask(&source, &context.budget, &question, &user.to_string()).await?;
    match context.ui.document() {
        Document::Json => context.ui.json(&why)?,
        Document::Text => context
            .ui
            .print(report::text(&why, context.ui.stdout_pen()).trim_end())?,
    }
    Ok(ExitStatus::Done)
}

async fn in_run(
    context: &CommandContext,
    wanted: &str,
    flags: &SourceFlags,
    user: &str,
) -> Result<ExitStatus> {
    if flags.has_as_of() {
        return Err(Error::usage("--as-of needs an audience, not --run")
            .hint("the records of a run answer as of that run"));
    }
    let store = services::store(context).await?;
    let run = run_selector::run(context, &store, wanted).await?;
    let report = gather::why_run::recipient_report(&store, &run, user).await?;
    match context.ui.document() {
        Document::Json => context.ui.json(&report)?,
        Document::Text => context
            .ui
            .print(why_run::text(&report, context.ui.stdout_pen()).trim_end())?,
    }
    Ok(ExitStatus::Done)
}
