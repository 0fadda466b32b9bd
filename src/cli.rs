//! The command line: what was typed, then what it means, then one match that runs it.
//!
//! One file a subcommand. A command is a clap structure with three functions: `flags` hands what was typed to the
//! settings, `stdout` says what it writes there, `run` does it. This room alone reads the environment, touches the
//! streams and decides the exit status.

mod audience_args;
mod audience_request;
mod automation_args;
pub mod commands;
mod completion;
mod confirm;
mod context;
mod early_args;
mod globals;
mod help;
mod message_args;
mod open_runs;
mod override_args;
mod panic_hook;
mod results;
mod run_selector;
mod runtime;
mod services;
mod time_limit;

use crate::exit::ExitStatus;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use uuid::Uuid;

use crate::error::Result;
use crate::settings::logging::Color;
use crate::settings::{ConfigFile, Environment, Flags, Settings};
use crate::ui::{OutputArgs, Stdout, Terminal, Ui};

pub use audience_args::{AudienceCommand, Chosen, KnownAudiences, Parameter, known};
pub use context::{CommandContext, Confirmation};
pub use globals::Globals;

use early_args::EarlyArgs;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "pushctl",
    version,
    about = "Audiences out of PostgreSQL, pushes to phones",
    before_help = help::examples(&[
        ("pushctl generate layer2", "one audience, as CSV files in ./generated"),
        ("pushctl audiences", "what there is to generate"),
        ("pushctl config show", "every setting, and where it came from"),
    ]),
    after_help = help::statuses(&help::EVERY_KIND),
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    disable_help_flag = true,
    disable_version_flag = true,
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = "Global options")]
    version: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

/// The subcommands that there are.
#[derive(Debug, Subcommand)]
enum Command {
    Generate(commands::generate::Args),
    Why(commands::why::Args),
    Audiences(commands::audiences::Args),
    Send(commands::send::Args),
    Preview(commands::preview::Args),
    Resume(commands::resume::Args),
    Check(commands::check::Args),
    Schedule(commands::schedule::Args),
    Diff(commands::diff::Args),
    Config(commands::config::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
    Schema(commands::schema::Args),
    State(commands::state::Args),
    Sync(commands::sync::Args),
    Cancel(commands::cancel::Args),
    Pause(commands::pause::Args),
    RunPipeline(commands::run_pipeline::Args),
    Runs(commands::runs::Args),
    Status(commands::status::Args),
}

impl Command {
    /// Hands the flags of this command to the settings.
    fn flags(&self, flags: &mut Flags) {
        match self {
            Self::Generate(args) => args.flags(flags),
            Self::Why(args) => args.flags(flags),
            Self::Audiences(args) => args.flags(flags),
            Self::Send(args) => args.flags(flags),
            Self::Resume(args) => args.flags(flags),
            Self::Check(args) => args.flags(flags),
            Self::Sync(args) => args.flags(flags),
            Self::RunPipeline(args) => args.flags(flags),
            Self::Schedule(args) => args.flags(flags),
            Self::Preview(_)
            | Self::Diff(_)
            | Self::Config(_)
            | Self::State(_)
            | Self::Cancel(_)
            | Self::Pause(_)
            | Self::Runs(_)
            | Self::Status(_)
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Schema(_) => {}
        }
    }

    /// What it writes to standard output; before the settings are known, as far as its flags say.
    fn stdout(&self, settings: Option<&Settings>) -> Stdout {
        match self {
            Self::Generate(args) => args.stdout(settings),
            // What they write there comes last, when all bars are gone.
            Self::Send(_) | Self::Resume(_) | Self::RunPipeline(_) => Stdout::Free,
            Self::State(args) => args.stdout(),
            Self::Sync(_) => commands::sync::Args::stdout(),
            Self::Cancel(_) => commands::cancel::Args::stdout(),
            Self::Pause(_) => commands::pause::Args::stdout(),
            Self::Runs(args) => args.stdout(),
            _ => Stdout::Data,
        }
    }
}

/// The command line with what is not in the code: the audiences of query files.
pub fn command(offers: &[AudienceCommand]) -> clap::Command {
    let command = Cli::command()
        .mut_subcommand("generate", |generate| {
            audience_args::extend_generate(generate, offers)
        })
        .mut_subcommand("why", |why| audience_args::extend_why(why, offers));
    help::arrange(command)
}

/// The process: its arguments, its environment, its exit status.
pub fn main() -> ExitCode {
    let kind = panic_hook::guarded(|| {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let environment = Environment::of_process();
        if completion::is_asked(&environment) {
            return completion::answer(arguments);
        }
        run(&arguments, environment)
    });
    kind.into()
}

fn run(arguments: &[OsString], mut environment: Environment) -> ExitStatus {
    let ahead = EarlyArgs::look(arguments);
    let facts = Terminal::of_process(&environment);
    let known = audience_args::ahead_of_parsing(&ahead, &environment);
    let command = command(&known.offers);
    let cli = match command
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches))
    {
        Ok(cli) => cli,
        Err(message) => return refuse(&message, known, &ahead, facts),
    };
    let run_id = Uuid::now_v7();
    let mut output_args = cli.globals.output_args(cli.command.stdout(None));
    // Until the settings are known, problems with them are told as the command line and the environment ask.
    output_args.talk = cli.globals.talk(&environment);
    let ui = Ui::new(output_args, facts, run_id);
    if let Command::Completions(_) | Command::Man(_) | Command::Schema(_) = cli.command {
        return conclude(&ui, without_settings(cli.command, &ui));
    }
    let mut flags = Flags::default();
    cli.globals.flags(&mut flags);
    cli.command.flags(&mut flags);
    let layers = read_layers(&cli.globals, &mut environment);
    let settings = layers.and_then(|file| Settings::resolve(&flags, &environment, file.as_ref()));
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => return conclude(&ui, Err(error)),
    };
    output_args.talk = settings.talk;
    output_args.stdout = cli.command.stdout(Some(&settings));
    let ui = Ui::new(output_args, facts, run_id);
    ui.listen();
    let context = CommandContext::new(ui.clone(), settings, cli.globals.confirmation(), run_id);
    conclude(&ui, carry_out(cli.command, context))
}

fn read_layers(globals: &Globals, environment: &mut Environment) -> Result<Option<ConfigFile>> {
    environment.read_dotenv()?;
    ConfigFile::find(globals.config(), environment)
}

/// What needs neither settings nor a runtime, and so works when they are broken.
fn without_settings(command: Command, ui: &Ui) -> Result<ExitStatus> {
    match command {
        Command::Completions(args) => args.run(ui),
        Command::Man(args) => args.run(ui),
        Command::Schema(args) => args.run(ui),
        _ => Ok(ExitStatus::Bug),
    }
}

fn carry_out(command: Command, context: CommandContext) -> Result<ExitStatus> {
    match command {
        Command::Config(args) => args.run(&context),
        Command::Audiences(args) => args.run(&context),
        Command::Check(args) => args.run(&context),
        Command::Schedule(args) => args.run(&context),
        Command::Diff(args) => args.run(&context),
        Command::Generate(args) => runtime::run(context, async |context| args.run(&context).await),
        Command::Preview(args) => args.run(&context),
        Command::Send(args) => {
            runtime::run(context, async |context| Box::pin(args.run(&context)).await)
        }
        Command::Resume(args) => {
            runtime::run(context, async |context| Box::pin(args.run(&context)).await)
        }
        Command::Why(args) => runtime::run(context, async |context| args.run(&context).await),
        Command::RunPipeline(args) => {
            runtime::run(context, async |context| Box::pin(args.run(&context)).await)
        }
        Command::State(args) => runtime::run(context, async |context| args.run(&context).await),
        Command::Sync(args) => runtime::run(context, async |context| args.run(&context).await),
        Command::Cancel(args) => runtime::run(context, async |context| args.run(&context).await),
        Command::Pause(args) => runtime::run(context, async |context| args.run(&context).await),
        Command::Runs(args) => runtime::run(context, async |context| args.run(&context).await),
        Command::Status(args) => runtime::run(context, async |context| args.run(&context).await),
        command @ (Command::Completions(_) | Command::Man(_) | Command::Schema(_)) => {
            without_settings(command, &context.ui)
        }
    }
}

/// From a command's end to the kind of exit. A reader that went away got what it wanted.
fn conclude(ui: &Ui, result: Result<ExitStatus>) -> ExitStatus {
    if ui.stdout_is_closed() {
        return ExitStatus::Done;
    }
    result.unwrap_or_else(|error| {
        ui.error(&error);
        error.kind().into()
    })
}

/// The command line could not be parsed: it is wrong, or names an audience whose file is, or asks for help.
fn refuse(
    message: &clap::Error,
    known: KnownAudiences,
    ahead: &EarlyArgs,
    facts: Terminal,
) -> ExitStatus {
    let named = match message.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(name)) => Some(name),
        _ => None,
    };
    if let Some(problem) = named.and_then(|name| known.problem_with(name)) {
        let mut output_args = OutputArgs::default();
        output_args.talk.color = ahead.color();
        Ui::new(output_args, facts, Uuid::now_v7()).error(&problem);
        return problem.kind().into();
    }
    say_usage(message, ahead.color(), &facts)
}

/// Help and version go to stdout, a wrong command line to stderr, each coloured as its stream wants it.
fn say_usage(message: &clap::Error, color: Color, facts: &Terminal) -> ExitStatus {
    let text = message.render();
    let paint = |is_terminal| {
        if facts.has_color(color, is_terminal) {
            text.ansi().to_string()
        } else {
            text.to_string()
        }
    };
    // Whoever closed the stream does not want to read it.
    if message.use_stderr() {
        let _ = std::io::stderr().write_all(paint(facts.stderr_is_terminal).as_bytes());
        return ExitStatus::Usage;
    }
    let _ = std::io::stdout().write_all(paint(facts.stdout_is_terminal).as_bytes());
    ExitStatus::Done
}
