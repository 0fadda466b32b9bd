//! The command line: parses the arguments, resolves the settings, runs the subcommand.
//!
//! Each subcommand has a file in `commands/`. Only this module reads the environment, uses the standard streams and
//! decides the exit status.

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
mod metrics_file;
mod open_runs;
mod override_args;
mod panic_hook;
mod results;
mod run_selector;
mod runtime;
mod services;
mod setting_args;
mod time_limit;

use crate::exit::ExitStatus;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser};
use uuid::Uuid;

use crate::error::Result;
use crate::limits;
use crate::settings::generate::{OUTPUT, OutputTarget};
use crate::settings::logging::Color;
use crate::settings::secret::{holds_secret, kind_of};
use crate::settings::{ConfigFile, Environment, Flags, Settings};
use crate::ui::{OutputArgs, Terminal, Ui};

pub use audience_args::{AudienceCommand, Chosen, KnownAudiences, Parameter, known};
pub use context::{CommandContext, Confirmation};
pub use globals::Globals;

use commands::Command;
use early_args::EarlyArgs;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "pushctl",
    version,
    about = "Generate audiences from PostgreSQL and send push notifications to them",
    before_help = help::examples(&[
        ("pushctl generate layer2", "write an audience as CSV files into ./generated"),
        ("pushctl audiences", "list the audiences"),
        ("pushctl config show", "show every setting and its origin"),
    ]),
    after_help = help::statuses(&help::EVERY_KIND),
    after_long_help = help::with_environment(&help::EVERY_KIND),
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    disable_help_flag = true,
    disable_version_flag = true,
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    /// Print help; -h for a summary
    #[arg(short, long, global = true, action = ArgAction::Help, help_heading = "Global options")]
    help: Option<bool>,
    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = "Global options")]
    version: Option<bool>,
    #[command(subcommand)]
    command: Command,
}

/// Returns the command line, with the audiences of query files as subcommands.
pub fn command(offers: &[AudienceCommand]) -> clap::Command {
    let command = Cli::command()
        .mut_subcommand("generate", |generate| {
            audience_args::extend_generate(generate, offers)
        })
        .mut_subcommand("why", |why| audience_args::extend_why(why, offers));
    help::arrange(command)
}

/// Runs the process from its arguments and environment to its exit status.
pub fn main() -> ExitCode {
    let kind = panic_hook::guarded(|| {
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let environment = Environment::of_process();
        if completion::is_asked(&environment) {
            return completion::answer(arguments);
        }
        runtime::survive_file_limit();
        run(&arguments, environment)
    });
    kind.into()
}

fn run(arguments: &[OsString], mut environment: Environment) -> ExitStatus {
    let early = EarlyArgs::look(arguments);
    let facts = Terminal::of_process(&environment);
    let known = audience_args::known_before_parsing(&early, &environment);
    let command = command(&known.offers);
    let (cli, flags) = match parse(command, arguments) {
        Ok(parsed) => parsed,
        Err(message) => return refuse(&message, known, &early, facts),
    };
    let (globals, command) = (cli.globals, cli.command.into_subcommand());
    let run_id = Uuid::now_v7();
    let output = flags.get(&OUTPUT).unwrap_or_default();
    let mut output_args = globals.output_args(command.stdout(&OutputTarget::of(output.into())));
    // Until the settings are known, errors are shown as the command line and the environment ask.
    output_args.talk = globals::talk(&flags, &environment);
    let ui = Ui::new(output_args, facts, run_id);
    if let Some(result) = command.run_without_settings(&ui) {
        return conclude(&ui, result);
    }
    let layers = read_layers(&flags, &mut environment);
    let settings = layers.and_then(|file| Settings::resolve(&flags, &environment, file.as_ref()));
    let mut settings = match settings {
        Ok(settings) => settings,
        Err(error) => return conclude(&ui, Err(error)),
    };
    if globals.no_breaker() {
        settings.source.breaker = None;
    }
    output_args.talk = settings.talk;
    output_args.stdout = command.stdout(&settings.generate.output);
    let ui = Ui::new(output_args, facts, run_id);
    ui.listen();
    for note in environment.notes() {
        ui.say(note);
    }
    for note in settings.misspelt_variables(&environment) {
        ui.warn(note);
    }
    let context = CommandContext::new(ui.clone(), settings, globals.confirmation(), run_id);
    conclude(&ui, command.run(context))
}

/// Parses a command line. `help COMMAND` is parsed again as `COMMAND --help`.
fn parse(
    mut command: clap::Command,
    arguments: &[OsString],
) -> std::result::Result<(Cli, Flags), clap::Error> {
    only_text(&mut command, arguments)?;
    let matches = command.clone().try_get_matches_from(arguments)?;
    let cli = Cli::from_arg_matches(&matches)?;
    if let Some(asked) = cli.command.asked_help() {
        command.try_get_matches_from(asked)?;
    }
    Ok((cli, setting_args::given(&matches)))
}

/// Refuses an argument that is not UTF-8: records and documents name files as text, and could not name it.
fn only_text(
    command: &mut clap::Command,
    arguments: &[OsString],
) -> std::result::Result<(), clap::Error> {
    match arguments
        .iter()
        .find(|argument| argument.to_str().is_none())
    {
        None => Ok(()),
        Some(argument) => Err(command.error(
            clap::error::ErrorKind::InvalidUtf8,
            format!(
                "the argument \"{}\" is not UTF-8; rename the file, or write the text as UTF-8",
                argument.as_encoded_bytes().escape_ascii()
            ),
        )),
    }
}

fn read_layers(flags: &Flags, environment: &mut Environment) -> Result<Option<ConfigFile>> {
    environment.check_places()?;
    environment.read_dotenv()?;
    ConfigFile::find(flags, environment)
}

/// Returns the exit status of a result. A reader that closed standard output has all it wanted.
fn conclude(ui: &Ui, result: Result<ExitStatus>) -> ExitStatus {
    if ui.stdout_is_closed() {
        return ExitStatus::Done;
    }
    result.unwrap_or_else(|error| {
        let error = limits::with_hint(error);
        ui.error(&error);
        error.kind().into()
    })
}

/// Ends a command line that clap did not accept: it is wrong, names an audience with a broken file, or asks for help.
fn refuse(
    message: &clap::Error,
    known: KnownAudiences,
    early: &EarlyArgs,
    facts: Terminal,
) -> ExitStatus {
    let named = match message.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(name)) => Some(name),
        _ => None,
    };
    if let Some(problem) = named.and_then(|name| known.problem_with(name)) {
        let mut output_args = OutputArgs::default();
        output_args.talk.color = early.color();
        Ui::new(output_args, facts, Uuid::now_v7()).error(&problem);
        return problem.kind().into();
    }
    say_usage(message, early.color(), &facts)
}

/// Returns clap's message, which quotes arguments, without those that hold a secret.
fn masked_arguments(mut message: String) -> String {
    for argument in std::env::args_os() {
        let argument = argument.to_string_lossy();
        let value = argument.split_once('=').map(|(_, value)| value);
        for text in [Some(argument.as_ref()), value].into_iter().flatten() {
            if holds_secret(text) {
                message = message.replace(text, &kind_of(text));
            }
        }
    }
    message
}

/// Writes help and version to stdout, errors to stderr, each in colour if its stream supports it.
fn say_usage(message: &clap::Error, color: Color, facts: &Terminal) -> ExitStatus {
    let text = message.render();
    let paint = |is_terminal| {
        masked_arguments(if facts.has_color(color, is_terminal) {
            text.ansi().to_string()
        } else {
            text.to_string()
        })
    };
    // A closed stream is not an error.
    if message.use_stderr() {
        let _ = std::io::stderr().write_all(paint(facts.stderr_is_terminal).as_bytes());
        return ExitStatus::Usage;
    }
    let _ = std::io::stdout().write_all(paint(facts.stdout_is_terminal).as_bytes());
    ExitStatus::Done
}
