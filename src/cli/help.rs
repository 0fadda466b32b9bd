//! What every help has in common: examples first, exit statuses last.

use crate::exit::Kind;

/// For the help of `pushctl` itself.
pub(super) const EVERY_KIND: [Kind; 13] = [
    Kind::Done,
    Kind::Failed,
    Kind::Usage,
    Kind::Partial,
    Kind::Credentials,
    Kind::Unreachable,
    Kind::Nothing,
    Kind::Locked,
    Kind::Refused,
    Kind::Cancelled,
    Kind::Bug,
    Kind::Interrupted,
    Kind::Terminated,
];

const TEMPLATE: &str =
    "{about}\n\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}\n";

/// The examples of a help: command lines that run as they stand, and what each is for.
pub(super) fn examples(examples: &[(&str, &str)]) -> String {
    let width = examples
        .iter()
        .map(|(line, _)| line.chars().count())
        .max()
        .unwrap_or(0);
    let lines: Vec<String> = examples
        .iter()
        .map(|(line, purpose)| format!("  {line:width$}  # {purpose}"))
        .collect();
    format!("Examples:\n{}", lines.join("\n"))
}

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
