//! Audiences as subcommands: `pushctl generate NAME`, with the parameters of its query file as flags.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, FromArgMatches, Id};

use crate::settings::{ConfigFile, Environment, Flags, generate};

use super::ahead::Ahead;

/// What the command line needs to know of an audience.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The subcommand.
    pub name: String,
    /// One line for the list of audiences.
    pub title: String,
    /// More for its own help; may be empty.
    pub about: String,
    /// Its files, for `--file`.
    pub stems: Vec<String>,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
}

/// A parameter of an audience, as a flag.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// In the query file: `lookback_days`.
    pub name: String,
    /// Stands for the value in the help: `N`, `UUID`; empty for a switch.
    pub placeholder: String,
    /// What holds without the flag.
    pub default: Option<String>,
    /// One line.
    pub help: String,
}

/// The built-in audiences.
pub(super) fn built_in() -> Vec<Offer> {
    Vec::new()
}

/// The audiences that this command line can name, those of `--queries` included. What is wrong with a file or the
/// configuration is told when the command runs, not here.
pub(super) fn ahead_of_parsing(ahead: &Ahead<'_>, environment: &Environment) -> Vec<Offer> {
    if !ahead.mentions(&["generate", "why"]) {
        return Vec::new();
    }
    let _directory = queries_directory(ahead, environment);
    built_in()
}

/// The directory of query files, as the settings will resolve it.
fn queries_directory(ahead: &Ahead<'_>, environment: &Environment) -> Option<PathBuf> {
    let mut flags = Flags::default();
    flags.set(
        &generate::QUERIES,
        ahead.queries().and_then(|path| path.to_str()),
    );
    let mut environment = environment.clone();
    // Broken or not: whoever resolves the settings will say so.
    let _ = environment.read_dotenv();
    let file = ConfigFile::find(ahead.config(), &environment)
        .ok()
        .flatten();
    generate::queries_ahead(&flags, &environment, file.as_ref())
}

/// Adds each audience to `pushctl generate`, with `--file` knowing its files.
pub(super) fn extend_generate(command: clap::Command, offers: &[Offer]) -> clap::Command {
    command.subcommands(offers.iter().map(|offer| {
        let file = Arg::new(FILE)
            .long("file")
            .value_name("STEM")
            .value_parser(
                offer
                    .stems
                    .iter()
                    .map(PossibleValue::new)
                    .collect::<Vec<_>>(),
            )
            .help("Which of its files goes to standard output, with --output -");
        subcommand(offer).arg(file)
    }))
}

/// Adds each audience to `pushctl why`.
pub(super) fn extend_why(command: clap::Command, offers: &[Offer]) -> clap::Command {
    command.subcommands(offers.iter().map(subcommand))
}

fn subcommand(offer: &Offer) -> clap::Command {
    let flags = offer.parameters.iter().map(|parameter| {
        let arg = Arg::new(parameter_id(&parameter.name))
            .long(parameter.name.replace('_', "-"))
            .help(match &parameter.default {
                Some(default) => format!("{} [default: {default}]", parameter.help),
                None => format!("{} [required]", parameter.help),
            })
            .help_heading("Parameters");
        if parameter.placeholder.is_empty() {
            arg.action(ArgAction::SetTrue)
        } else {
            arg.value_name(parameter.placeholder.clone())
                .allow_hyphen_values(true)
        }
    });
    let command = clap::Command::new(offer.name.clone())
        .about(offer.title.clone())
        .args(flags);
    if offer.about.is_empty() {
        command
    } else {
        command.long_about(offer.about.clone())
    }
}

/// The audience that was named, with what was given for it. To be flattened into the arguments of a command that
/// has the audiences as subcommands; that command's own flags are `global`, so that they stand on either side of the name.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The audience's name.
    pub audience: String,
    /// Values by the parameter's name in the query file, as typed; a switch that is on is `true`.
    pub parameters: BTreeMap<String, String>,
    /// `--file STEM`, one of the audience's own.
    pub file: Option<String>,
}

impl clap::Args for Chosen {
    fn augment_args(command: clap::Command) -> clap::Command {
        command
            .subcommand_required(true)
            .arg_required_else_help(true)
            .subcommand_value_name("AUDIENCE")
            .subcommand_help_heading("Audiences")
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Chosen {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let (name, matches) = matches
            .subcommand()
            .ok_or_else(|| clap::Error::new(ErrorKind::MissingSubcommand))?;
        let given = |id: &Id| {
            Some((
                id.as_str().strip_prefix(PREFIX)?.to_owned(),
                given(matches, id.as_str())?,
            ))
        };
        Ok(Self {
            audience: name.to_owned(),
            parameters: matches.ids().filter_map(given).collect(),
            file: matches.try_get_one(FILE).ok().flatten().cloned(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn given(matches: &ArgMatches, id: &str) -> Option<String> {
    if let Ok(value) = matches.try_get_one::<String>(id) {
        return value.cloned();
    }
    let is_on = matches
        .try_get_one::<bool>(id)
        .ok()
        .flatten()
        .is_some_and(|on| *on);
    is_on.then(|| "true".to_owned())
}

/// The id of `--file`.
const FILE: &str = "file";

/// Keeps a parameter's id apart from the ids of pushctl's own flags.
const PREFIX: &str = "parameter.";

fn parameter_id(name: &str) -> String {
    format!("{PREFIX}{name}")
}
