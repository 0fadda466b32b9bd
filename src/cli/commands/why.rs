//! `pushctl why`: shows which conditions of an audience hold for one user.

use crate::audience::explain;
use crate::error::{Error, Result};
use crate::exit::ExitStatus;
use crate::report::why as report;
use crate::settings::generate::OutputTarget;
use crate::ui::{Document, Stdout};

use crate::cli::audience_args::Chosen;
use crate::cli::audience_request::{AudienceRequest, SourceFlags};
use crate::cli::commands::AsyncSubcommand;
use crate::cli::context::CommandContext;
use crate::cli::help;
use crate::cli::services;

/// Show which conditions of an audience hold for one user
///
/// Uses the same query file as `generate`, so the answer is what `generate` would do at the same time.
#[derive(Debug, clap::Args)]
#[command(
    next_help_heading = "Options for every audience",
    before_help = help::examples(&[
        ("pushctl why layer2 --user 1a0c5b52-0f5e-4d0e-8a55-3f3c2a9d7b10", "every condition, and the values it read"),
        ("pushctl why layer2 --user 1a0c5b52-0f5e-4d0e-8a55-3f3c2a9d7b10 --min-open-offers 1", "the same with another parameter"),
    ]),
    after_help = help::statuses(&[
        ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Credentials, ExitStatus::Unreachable, ExitStatus::Bug,
        ExitStatus::Interrupted, ExitStatus::Terminated,
    ]),
)]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    source: SourceFlags,
    /// User id
    #[arg(long, global = true, value_name = "ID")]
    user: Option<String>,
}

impl AsyncSubcommand for Args {
    fn stdout(&self, _output: &OutputTarget) -> Stdout {
        Stdout::Data
    }

    async fn execute(self, context: &CommandContext) -> Result<ExitStatus> {
        let user = self
            .user
            .ok_or_else(|| Error::usage("--user ID is required"))?;
        let user = uuid::Uuid::try_parse(user.trim()).map_err(|_| {
            Error::usage(format!(
                "--user: {user:?} is not an id like 0b54ae58-8e5a-4d3e-9b3c-2f6f6f0a1c11"
            ))
        })?;
        let asked = AudienceRequest::of(context, &self.chosen, &self.source, "why")?;
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
}
