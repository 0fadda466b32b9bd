//! The subcommands, one file each.

pub mod audiences;
pub mod cancel;
pub mod check;
pub mod completions;
pub mod config;
pub mod diff;
pub mod doctor;
pub mod generate;
pub mod help;
pub mod man;
pub mod new;
pub mod pause;
pub mod preview;
pub mod resume;
pub mod run_pipeline;
pub mod runs;
pub mod schedule;
pub mod schema;
pub mod send;
pub mod state;
pub mod status;
pub mod sync;
pub mod why;

use crate::error::Result;
use crate::exit::ExitStatus;
use crate::settings::generate::OutputTarget;
use crate::ui::{Stdout, Ui};

use super::context::CommandContext;
use super::runtime;

/// What the command line needs of every subcommand.
pub(super) trait Subcommand {
    /// Returns what the command writes to standard output. Before the settings are known, `output` is as its flag says.
    fn stdout(&self, _output: &OutputTarget) -> Stdout {
        Stdout::Data
    }

    /// Runs a command that needs no settings, and so works when they are broken; `None` for every other command.
    fn run_without_settings(&self, _ui: &Ui) -> Option<Result<ExitStatus>> {
        None
    }

    /// Runs the command to its end. A signal ends the process.
    fn run(self: Box<Self>, context: CommandContext) -> Result<ExitStatus>;
}

/// A subcommand that waits for a database or a service, and ends in order at a signal.
trait AsyncSubcommand: Sized {
    /// As [`Subcommand::stdout`]. Most report on a run, and leave standard output to log lines.
    fn stdout(&self, _output: &OutputTarget) -> Stdout {
        Stdout::Free
    }

    /// Returns the context that the command runs with.
    fn prepare(context: CommandContext) -> CommandContext {
        context
    }

    async fn execute(self, context: &CommandContext) -> Result<ExitStatus>;
}

impl<C: AsyncSubcommand> Subcommand for C {
    fn stdout(&self, output: &OutputTarget) -> Stdout {
        AsyncSubcommand::stdout(self, output)
    }

    fn run(self: Box<Self>, context: CommandContext) -> Result<ExitStatus> {
        runtime::run(C::prepare(context), async |context| {
            Box::pin(self.execute(&context)).await
        })
    }
}

/// The subcommands, in the order of the help.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    Generate(generate::Args),
    Why(why::Args),
    Audiences(audiences::Args),
    New(new::Args),
    Send(send::Args),
    Preview(preview::Args),
    Resume(resume::Args),
    Check(check::Args),
    Schedule(schedule::Args),
    Diff(diff::Args),
    Doctor(doctor::Args),
    Config(config::Args),
    Completions(completions::Args),
    Man(man::Args),
    Schema(schema::Args),
    State(state::Args),
    Sync(sync::Args),
    Cancel(cancel::Args),
    Pause(pause::Args),
    RunPipeline(run_pipeline::Args),
    Runs(runs::Args),
    Status(status::Args),
    Help(help::Args),
}

impl Command {
    /// Returns the command line whose help `pushctl help` asks for.
    pub(super) fn asked_help(&self) -> Option<Vec<String>> {
        match self {
            Self::Help(args) => args.command_line(),
            _ => None,
        }
    }

    /// Returns the subcommand behind the name.
    pub(super) fn into_subcommand(self) -> Box<dyn Subcommand> {
        match self {
            Self::Generate(args) => Box::new(args),
            Self::Why(args) => Box::new(args),
            Self::Audiences(args) => Box::new(args),
            Self::New(args) => Box::new(args),
            Self::Send(args) => Box::new(args),
            Self::Preview(args) => Box::new(args),
            Self::Resume(args) => Box::new(args),
            Self::Check(args) => Box::new(args),
            Self::Schedule(args) => Box::new(args),
            Self::Diff(args) => Box::new(args),
            Self::Doctor(args) => Box::new(args),
            Self::Config(args) => Box::new(args),
            Self::Completions(args) => Box::new(args),
            Self::Man(args) => Box::new(args),
            Self::Schema(args) => Box::new(args),
            Self::State(args) => Box::new(args),
            Self::Sync(args) => Box::new(args),
            Self::Cancel(args) => Box::new(args),
            Self::Pause(args) => Box::new(args),
            Self::RunPipeline(args) => Box::new(args),
            Self::Runs(args) => Box::new(args),
            Self::Status(args) => Box::new(args),
            Self::Help(args) => Box::new(args),
        }
    }
}
