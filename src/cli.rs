//! The command line: what was typed, then what it means, then one match that runs it.
//!
//! One file a subcommand. A command is a clap structure with three functions: `flags` hands what was typed to the
//! settings, `stdout` says what it writes there, `run` does it. This room alone reads the environment, touches the
//! streams and decides the exit status.

mod ahead;
pub mod audiences;
mod automations;
mod bounded;
mod bug;
pub mod cancel;
pub mod check;
mod complete;
pub mod completions;
mod conduct;
pub mod config;
mod confirm;
mod connect;
mod context;
pub mod diff;
mod enable;
pub mod generate;
mod globals;
mod help;
mod lookup;
pub mod man;
mod of_automation;
mod offer;
pub mod pause;
pub mod preview;
mod remembered;
pub mod resume;
pub mod run_pipeline;
pub mod runs;
mod runtime;
pub mod schedule;
pub mod schema;
pub mod send;
mod sending;
mod services;
pub mod state;
pub mod status;
pub mod sync;
mod whole_file;
pub mod why;
mod words;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use uuid::Uuid;

use crate::error::Result;
use crate::exit::Kind;
use crate::settings::talk::Color;
use crate::settings::{ConfigFile, Environment, Flags, Settings};
use crate::ui::{Facts, Stdout, Ui, Wishes};

pub use context::{Confirmation, Context};
pub use globals::Globals;
pub use offer::{Chosen, Known, Offer, Parameter, known};

use ahead::Ahead;

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
    Generate(generate::Args),
    Why(why::Args),
    Audiences(audiences::Args),
    Send(send::Args),
    Preview(preview::Args),
    Resume(resume::Args),
    Check(check::Args),
    Schedule(schedule::Args),
    Diff(diff::Args),
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
            Self::Sync(_) => sync::Args::stdout(),
            Self::Cancel(_) => cancel::Args::stdout(),
            Self::Pause(_) => pause::Args::stdout(),
            Self::Runs(args) => args.stdout(),
            _ => Stdout::Data,
        }
    }
}

/// The command line with what is not in the code: the audiences of query files.
pub fn command(offers: &[Offer]) -> clap::Command {
    let command = Cli::command()
        .mut_subcommand("generate", |generate| {
            offer::extend_generate(generate, offers)
        })
        .mut_subcommand("why", |why| offer::extend_why(why, offers));
    help::arrange(command)
}

/// The process: its arguments, its environment, its exit status.
pub fn main() -> ExitCode {
    let kind = bug::guarded(|| {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let environment = Environment::of_process();
        if complete::is_asked(&environment) {
            return complete::answer(arguments);
        }
        run(&arguments, environment)
    });
    kind.into()
}

fn run(arguments: &[OsString], mut environment: Environment) -> Kind {
    let ahead = Ahead::look(arguments);
    let facts = Facts::of_process(&environment);
    let known = offer::ahead_of_parsing(&ahead, &environment);
    let command = command(&known.offers);
    let cli = match command
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches))
    {
        Ok(cli) => cli,
        Err(message) => return refuse(&message, known, &ahead, facts),
    };
    let run_id = Uuid::now_v7();
    let mut wishes = cli.globals.wishes(cli.command.stdout(None));
    // Until the settings are known, problems with them are told as the command line and the environment ask.
    wishes.talk = cli.globals.talk(&environment);
    let ui = Ui::new(wishes, facts, run_id);
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
    wishes.talk = settings.talk;
    wishes.stdout = cli.command.stdout(Some(&settings));
    let ui = Ui::new(wishes, facts, run_id);
    ui.listen();
    let context = Context::new(ui.clone(), settings, cli.globals.confirmation(), run_id);
    conclude(&ui, carry_out(cli.command, context))
}

fn read_layers(globals: &Globals, environment: &mut Environment) -> Result<Option<ConfigFile>> {
    environment.read_dotenv()?;
    ConfigFile::find(globals.config(), environment)
}

/// What needs neither settings nor a runtime, and so works when they are broken.
fn without_settings(command: Command, ui: &Ui) -> Result<Kind> {
    match command {
        Command::Completions(args) => args.run(ui),
        Command::Man(args) => args.run(ui),
        Command::Schema(args) => args.run(ui),
        _ => Ok(Kind::Bug),
    }
}

fn carry_out(command: Command, context: Context) -> Result<Kind> {
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
fn conclude(ui: &Ui, result: Result<Kind>) -> Kind {
    if ui.stdout_is_closed() {
        return Kind::Done;
    }
    result.unwrap_or_else(|error| {
        ui.error(&error);
        error.kind()
    })
}

/// The command line could not be parsed: it is wrong, or names an audience whose file is, or asks for help.
fn refuse(message: &clap::Error, known: Known, ahead: &Ahead, facts: Facts) -> Kind {
    let named = match message.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(name)) => Some(name),
        _ => None,
    };
    if let Some(problem) = named.and_then(|name| known.problem_with(name)) {
        let mut wishes = Wishes::default();
        wishes.talk.color = ahead.color();
        Ui::new(wishes, facts, Uuid::now_v7()).error(&problem);
        return problem.kind();
    }
    say_usage(message, ahead.color(), &facts)
}

/// Help and version go to stdout, a wrong command line to stderr, each coloured as its stream wants it.
fn say_usage(message: &clap::Error, color: Color, facts: &Facts) -> Kind {
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
        return Kind::Usage;
    }
    let _ = std::io::stdout().write_all(paint(facts.stdout_is_terminal).as_bytes());
    Kind::Done
}
