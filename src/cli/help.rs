//! The layout of every help text: examples first, exit statuses last.

use crate::exit::{self, ExitStatus};

/// The user of the examples.
pub(crate) const EXAMPLE_USER: &str = "1a0c5b52-0f5e-4d0e-8a55-3f3c2a9d7b10";

/// The exit statuses in the help of `pushctl` itself.
pub(super) const EVERY_KIND: [ExitStatus; 13] = [
    ExitStatus::Done,
    ExitStatus::Failed,
    ExitStatus::Usage,
    ExitStatus::Partial,
    ExitStatus::Credentials,
    ExitStatus::Unreachable,
    ExitStatus::Nothing,
    ExitStatus::Locked,
    ExitStatus::Refused,
    ExitStatus::Cancelled,
    ExitStatus::Bug,
    ExitStatus::Interrupted,
    ExitStatus::Terminated,
];

const TEMPLATE: &str =
    "{about}\n\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}\n";

/// Returns a heading in the style that clap gives its own; clap strips it where there is no colour.
fn heading(text: &str) -> String {
    format!("\u{1b}[1m\u{1b}[4m{text}\u{1b}[0m")
}

/// Returns the exit statuses that a command can have.
pub(super) fn statuses(kinds: &[ExitStatus]) -> String {
    let section = exit::help(kinds);
    match section.split_once('\n') {
        Some((title, rows)) => format!("{}\n{rows}", heading(title)),
        None => section,
    }
}

/// Returns the exit statuses after the way to the environment variables.
pub(super) fn with_environment(kinds: &[ExitStatus]) -> String {
    format!(
        "{}\n  `pushctl help environment` lists every variable\n\n{}",
        heading("Environment:"),
        statuses(kinds)
    )
}

/// Returns the exit statuses, some with a meaning of their own in this command.
pub(super) fn statuses_saying(kinds: &[ExitStatus], meanings: &[(ExitStatus, &str)]) -> String {
    let mut section = statuses(kinds);
    for (kind, meaning) in meanings {
        let row = |meaning: &str| format!("  {:<4}{meaning}", kind.code());
        section = section.replace(&row(kind.meaning()), &row(meaning));
    }
    section
}

/// Returns the examples of a help: command lines that run as they stand, and what each is for.
pub(super) fn examples(examples: &[(&str, &str)]) -> String {
    let owned: Vec<_> = examples
        .iter()
        .map(|(line, purpose)| ((*line).to_owned(), *purpose))
        .collect();
    examples_of(&owned)
}

/// Returns the examples for command lines built at run time.
pub(super) fn examples_of(examples: &[(String, &str)]) -> String {
    let longest = |lengths: &mut dyn Iterator<Item = usize>| lengths.max().unwrap_or(0);
    let width = longest(&mut examples.iter().map(|(line, _)| line.chars().count()));
    let purposes = longest(&mut examples.iter().map(|(_, purpose)| purpose.chars().count()));
    let in_columns = width + purposes + "    # ".len() < NARROW;
    let show = |(line, purpose): &(String, &str)| {
        if in_columns {
            format!("  {line:width$}  # {purpose}")
        } else {
            format!(
                "  # {purpose}
  {}",
                folded(line)
            )
        }
    };
    let lines: Vec<String> = examples.iter().map(show).collect();
    format!("{}\n{}", heading("Examples:"), lines.join("\n"))
}

/// Folds a long command line with backslashes, so that it can be copied from a narrow terminal.
fn folded(line: &str) -> String {
    let room = NARROW - "   \\".len();
    let fold = line
        .get(..room)
        .and_then(|beginning| beginning.rfind(" --"));
    match fold {
        Some(at) if line.len() > room => {
            format!("{} \\\n     {}", &line[..at], folded(&line[at..]))
        }
        _ => line.to_owned(),
    }
}

/// The width for examples: every terminal has these columns.
const NARROW: usize = 80;

/// Gives every command the same order of sections.
pub(super) fn arrange(command: clap::Command) -> clap::Command {
    let names: Vec<String> = command
        .get_subcommands()
        .map(|each| each.get_name().to_owned())
        .collect();
    let command = command
        .help_template(TEMPLATE)
        .disable_help_subcommand(true);
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(name, arrange)
    })
}
