//! Live completion: the scripts of `pushctl completions` call it at each key press.
//!
//! Answers come from the command line's own definition, from query and automation files and from an embedded state
//! store, never from a network. A broken file yields fewer candidates and no message.

use crate::exit::ExitStatus;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::builder::StyledStr;
use clap_complete::CompleteEnv;
use clap_complete::engine::{
    ArgValueCandidates, CompletionCandidate, PathCompleter, ValueCompleter as _,
};

use crate::automation;
use crate::automation::SourceText;
use crate::settings::{AutomationSettings, ConfigFile, Environment, StateSettings, state};
use crate::state::completion_query::{Glimpse, newest_runs};

use super::audience_args::{self, AudienceCommand};
use super::early_args::EarlyArgs;

/// The environment variable with which a completion script names its shell.
pub(super) const VARIABLE: &str = "PUSHCTL_COMPLETE";

/// Returns whether a completion script calls.
pub(super) fn is_asked(environment: &Environment) -> bool {
    environment.process(VARIABLE).is_some()
}

/// Writes the candidates, or the shell's script where no words are given.
pub(super) fn answer(arguments: Vec<OsString>) -> ExitStatus {
    let asked = asked(&arguments);
    let environment = Environment::of_process();
    let factory = || {
        let early = EarlyArgs::look(&asked);
        let command =
            super::command(&audience_args::known_before_parsing(&early, &environment).offers);
        extend(command, &early, &environment)
    };
    let answered = CompleteEnv::with_factory(factory)
        .var(VARIABLE)
        .bin("pushctl")
        .completer("pushctl")
        .try_complete(arguments, Some(environment.directory()));
    match answered {
        Ok(_) => ExitStatus::Done,
        // No message: the shell would insert it into the command line.
        Err(_) => ExitStatus::Usage,
    }
}

/// Returns the command line that is being typed.
fn asked(arguments: &[OsString]) -> Vec<OsString> {
    arguments
        .iter()
        .skip_while(|argument| *argument != "--")
        .skip(1)
        .cloned()
        .collect()
}

/// Returns the names of automations, for an argument that takes one: `add =
/// ArgValueCandidates::new(complete::automations)`.
pub(super) fn automations() -> Vec<CompletionCandidate> {
    automation_files()
        .iter()
        .filter_map(|path| candidate(path, automation::name_of))
        .collect()
}

/// Returns the names of audiences, for an argument that takes one: `add =
/// ArgValueCandidates::new(completion::audiences)`.
pub(super) fn audiences() -> Vec<CompletionCandidate> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let asked = asked(&arguments);
    let early = EarlyArgs::look(&asked);
    let known = audience_args::known_ahead(&early, &Environment::of_process());
    let candidate = |audience: AudienceCommand| {
        let title = StyledStr::from(audience.title);
        CompletionCandidate::new(audience.name).help(Some(title))
    };
    known.offers.into_iter().map(candidate).collect()
}

/// Returns the names of automations as plain text.
pub(super) fn automation_names() -> Vec<String> {
    let name = |path: &PathBuf| {
        let source = automation::read(path, &path.display().to_string()).ok()?;
        automation::name_of(&source)
    };
    automation_files().iter().filter_map(name).collect()
}

/// Automation files by their names without `.toml`, and any file by its path: `add = ArgValueCompleter::new(…)`.
pub(super) fn automation_files_or_paths(current: &OsStr) -> Vec<CompletionCandidate> {
    let begins = |candidate: &CompletionCandidate| {
        let value = candidate.get_value().as_encoded_bytes();
        value.starts_with(current.as_encoded_bytes())
    };
    let stem =
        |source: &SourceText| Some(Path::new(&source.path).file_stem()?.to_str()?.to_owned());
    let named = automation_files()
        .into_iter()
        .filter_map(|path| candidate(&path, stem))
        .filter(begins);
    named
        .chain(PathCompleter::file().complete(current))
        .collect()
}

fn candidate(
    path: &Path,
    value: impl Fn(&SourceText) -> Option<String>,
) -> Option<CompletionCandidate> {
    let source = automation::read(path, &path.display().to_string()).ok()?;
    let help = automation::description_of(&source).map(Into::into);
    Some(CompletionCandidate::new(value(&source)?).help(help))
}

/// Returns the files of the directory that the command line, the environment or the configuration names; of the usual
/// one, where those cannot be read.
fn automation_files() -> Vec<PathBuf> {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let asked = asked(&arguments);
    let early = EarlyArgs::look(&asked);
    let flags = early.flags();
    let mut environment = Environment::of_process();
    let dotenv = environment.read_dotenv();
    let file = dotenv.and_then(|()| ConfigFile::find(&flags, &environment));
    let file = file.ok().flatten();
    AutomationSettings::ahead(&flags, &environment, file.as_ref())
        .and_then(|automations| automation::files_in(&automations.directory, ""))
        .unwrap_or_default()
        .files
}

/// Commands that take a run or an automation.
const COMMANDS: [&str; 5] = ["cancel", "pause", "resume", "run-pipeline", "runs"];
/// A longer list would not be readable.
const RUNS: u32 = 50;

/// What an argument takes.
#[derive(Clone, Copy)]
enum Takes {
    Automations,
    OpenRuns,
    Runs,
}

/// Returns the candidates of an argument.
fn takes(command: &str, argument: &str) -> &'static [Takes] {
    match (command, argument) {
        ("cancel", "what") => &[Takes::Automations, Takes::OpenRuns],
        ("resume", "what" | "run") => &[Takes::OpenRuns, Takes::Automations],
        ("pause" | "run-pipeline", "name") | ("runs", "automation") => &[Takes::Automations],
        ("show" | "export" | "files", "run") | ("diff", "a" | "b") => &[Takes::Runs],
        _ => &[],
    }
}

/// Adds the candidates to a command line that names one of these commands.
fn extend(
    command: clap::Command,
    early: &EarlyArgs<'_>,
    environment: &Environment,
) -> clap::Command {
    if !early.mentions(&COMMANDS) {
        return command;
    }
    let runs = match place(early, environment) {
        Some(StateSettings::File(path)) => newest_runs(&path, RUNS),
        _ => Vec::new(),
    };
    let mut automations: Vec<String> = runs.iter().map(|run| run.automation.clone()).collect();
    automations.extend(automation_names());
    automations.sort_unstable();
    automations.dedup();
    COMMANDS.into_iter().fold(command, |command, name| {
        if command.find_subcommand(name).is_none() {
            return command;
        }
        command.mut_subcommand(name, |command| offer(command, &runs, &automations))
    })
}

fn offer(command: clap::Command, runs: &[Glimpse], automations: &[String]) -> clap::Command {
    let name = command.get_name().to_owned();
    let command = command.mut_args(|argument| {
        let takes = takes(&name, argument.get_id().as_str());
        if takes.is_empty() {
            return argument;
        }
        let (runs, automations) = (runs.to_vec(), automations.to_vec());
        argument.add(ArgValueCandidates::new(move || {
            candidates(takes, &runs, &automations)
        }))
    });
    let below: Vec<String> = command
        .get_subcommands()
        .map(|each| each.get_name().to_owned())
        .collect();
    below.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, |each| offer(each, runs, automations))
    })
}

fn candidates(
    takes: &[Takes],
    runs: &[Glimpse],
    automations: &[String],
) -> Vec<CompletionCandidate> {
    let candidate = |run: &Glimpse| {
        let help = format!("{}, {}", run.occurrence, run.status);
        CompletionCandidate::new(&run.id).help(Some(StyledStr::from(help)))
    };
    let mut candidates = Vec::new();
    for each in takes {
        match each {
            Takes::Automations => {
                candidates.extend(automations.iter().map(CompletionCandidate::new));
            }
            Takes::OpenRuns => {
                candidates.extend(
                    runs.iter()
                        .filter(|run| run.status == "open")
                        .map(candidate),
                );
            }
            Takes::Runs => {
                candidates.extend(runs.first().map(|_| CompletionCandidate::new("last")));
                candidates.extend(runs.iter().map(candidate));
            }
        }
    }
    candidates
}

/// Returns the state store, as the settings will resolve it; `None` if they are invalid.
fn place(early: &EarlyArgs<'_>, environment: &Environment) -> Option<StateSettings> {
    let flags = early.flags();
    let mut environment = environment.clone();
    environment.read_dotenv().ok()?;
    let file = ConfigFile::find(&flags, &environment).ok().flatten();
    state::place_ahead(&flags, &environment, file.as_ref()).ok()
}
