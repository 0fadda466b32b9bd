//! `pushctl runs`: the runs and their results.

mod diff;
mod export;
mod files;
mod list;
mod show;

use crate::exit::ExitStatus;

use crate::error::Result;
use crate::ui::Stdout;

use crate::cli::commands::AsyncSubcommand;
use crate::cli::context::CommandContext;
use crate::cli::help;
use crate::cli::time_limit::bounded;
use crate::settings::generate::OutputTarget;

const STATUSES: [ExitStatus; 8] = [
    ExitStatus::Done,
    ExitStatus::Failed,
    ExitStatus::Usage,
    ExitStatus::Credentials,
    ExitStatus::Unreachable,
    ExitStatus::Bug,
    ExitStatus::Interrupted,
    ExitStatus::Terminated,
];

/// List runs, newest first; show, compare or export them
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl runs --automation layer3-daily", "the last runs of an automation"),
        ("pushctl runs --since 7d --status failed", "the failed runs of the last seven days"),
        ("pushctl runs --limit 100 --html runs.html", "as one HTML page with charts"),
        ("pushctl runs show last", "the newest run"),
    ]),
    after_help = help::statuses(&STATUSES),
    args_conflicts_with_subcommands = true,
)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: list::Args,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Show(show::Args),
    Diff(diff::Args),
    Export(export::Args),
    Files(files::Args),
}

impl AsyncSubcommand for Args {
    fn stdout(&self, _output: &OutputTarget) -> Stdout {
        match &self.action {
            Some(Action::Show(args)) => args.stdout(),
            Some(Action::Export(args)) => args.stdout(),
            Some(Action::Files(_)) => Stdout::Free,
            Some(Action::Diff(_)) => Stdout::Data,
            None => self.list.stdout(),
        }
    }

    async fn execute(self, context: &CommandContext) -> Result<ExitStatus> {
        match self.action {
            None => bounded(context, self.list.run(context)).await,
            Some(Action::Show(args)) => bounded(context, args.run(context)).await,
            Some(Action::Diff(args)) => bounded(context, args.run(context)).await,
            Some(Action::Export(args)) => bounded(context, args.run(context)).await,
            Some(Action::Files(args)) => bounded(context, args.run(context)).await,
        }
    }
}
