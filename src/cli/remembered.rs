//! Completion of runs and automations: from the SQLite store, if it exists, and from the automation files; never from a
//! network.

use clap::builder::StyledStr;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};

use crate::settings::{ConfigFile, Environment, Flags, StateSettings, state};
use crate::state::completion_query::{Glimpse, newest_runs};

use super::completion;
use super::early_args::EarlyArgs;

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
pub(super) fn extend(
    command: clap::Command,
    ahead: &EarlyArgs<'_>,
    environment: &Environment,
) -> clap::Command {
    if !ahead.mentions(&COMMANDS) {
        return command;
    }
    let runs = match place(ahead, environment) {
        Some(StateSettings::File(path)) => newest_runs(&path, RUNS),
        _ => Vec::new(),
    };
    let mut automations: Vec<String> = runs.iter().map(|run| run.automation.clone()).collect();
    automations.extend(completion::automation_names());
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
    let told = |run: &Glimpse| {
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
                candidates.extend(runs.iter().filter(|run| run.status == "open").map(told));
            }
            Takes::Runs => {
                candidates.extend(runs.first().map(|_| CompletionCandidate::new("last")));
                candidates.extend(runs.iter().map(told));
            }
        }
    }
    candidates
}

/// Returns the state store, as the settings will resolve it; `None` if they are invalid.
fn place(ahead: &EarlyArgs<'_>, environment: &Environment) -> Option<StateSettings> {
    let mut flags = Flags::default();
    flags.set(
        &state::STATE,
        ahead.state().and_then(|place| place.to_str()),
    );
    let mut environment = environment.clone();
    environment.read_dotenv().ok()?;
    let file = ConfigFile::find(ahead.config(), &environment)
        .ok()
        .flatten();
    state::place_ahead(&flags, &environment, file.as_ref()).ok()
}
