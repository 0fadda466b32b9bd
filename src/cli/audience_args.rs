//! Audiences as subcommands: `pushctl generate NAME`, with the parameters of its query file as flags.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, FromArgMatches, Id};

use crate::audience::parameters::{Declaration, Type};
use crate::audience::{Catalogue, Definition};
use crate::error::{Error, Result};
use crate::settings::{ConfigFile, Environment, generate};

use super::early_args::EarlyArgs;
use super::help;

/// An audience as the command line needs it.
#[derive(Debug, Clone)]
pub struct AudienceCommand {
    /// The subcommand.
    pub name: String,
    /// One line for the list of audiences.
    pub title: String,
    /// A longer text for its own help; may be empty.
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
    /// The value without the flag.
    pub default: Option<String>,
    /// One line.
    pub help: String,
    /// For a parameter without a default: a value for the examples.
    pub example: Option<String>,
}

/// The audiences of a command line, and why some of them may be missing.
#[derive(Debug, Default)]
pub struct KnownAudiences {
    /// The audiences whose query files could be read.
    pub offers: Vec<AudienceCommand>,
    problems: Vec<(Option<String>, Error)>,
}

impl KnownAudiences {
    /// Adds an audience, or the error of its file. The error is shown only where that audience is named.
    pub fn add(&mut self, name: &str, offer: Result<AudienceCommand>) {
        match offer {
            Ok(offer) => self.offers.push(offer),
            Err(problem) => self.problems.push((Some(name.to_owned()), problem)),
        }
    }

    /// Records an error that may hide every audience except the built-in ones.
    pub fn add_problem(&mut self, problem: Error) {
        self.problems.push((None, problem));
    }

    /// Returns the error that may be the reason why this audience is missing.
    pub(super) fn problem_with(self, name: &str) -> Option<Error> {
        let concerns = |about: &Option<String>| about.as_deref().is_none_or(|about| about == name);
        self.problems
            .into_iter()
            .find(|(about, _)| concerns(about))
            .map(|(_, problem)| problem)
    }
}

/// Returns the audiences to be found with this directory of query files: the built-in ones, and those in it.
pub fn known(queries: Option<&Path>) -> KnownAudiences {
    let mut known = KnownAudiences::default();
    let catalogue = match queries.map(Catalogue::with_directory) {
        Some(Ok(catalogue)) => catalogue,
        Some(Err(problem)) => {
            known.add_problem(problem);
            Catalogue::built_in()
        }
        None => Catalogue::built_in(),
    };
    for name in catalogue.names() {
        known.add(
            name,
            catalogue
                .get(name)
                .map(|definition| AudienceCommand::of(&definition)),
        );
    }
    known
}

/// Returns the audiences that a command line can name: none where it names none.
pub(super) fn known_before_parsing(
    early: &EarlyArgs<'_>,
    environment: &Environment,
) -> KnownAudiences {
    if !early.mentions(&["generate", "why"]) {
        return KnownAudiences::default();
    }
    known_ahead(early, environment)
}

/// Returns the audiences, with the directory of query files as the settings will resolve it.
pub(super) fn known_ahead(early: &EarlyArgs<'_>, environment: &Environment) -> KnownAudiences {
    match queries_directory(early, environment) {
        Ok(directory) => known(directory.as_deref()),
        Err(problem) => {
            let mut known = known(None);
            known.add_problem(problem);
            known
        }
    }
}

/// Returns the directory of query files, as the settings will resolve it.
fn queries_directory(early: &EarlyArgs<'_>, environment: &Environment) -> Result<Option<PathBuf>> {
    let flags = early.flags();
    let mut environment = environment.clone();
    environment.read_dotenv()?;
    let file = ConfigFile::find(&flags, &environment)?;
    generate::queries_ahead(&flags, &environment, file.as_ref())
}

impl AudienceCommand {
    fn of(definition: &Definition) -> Self {
        let header = &definition.header;
        Self {
            name: definition.name.clone(),
            title: header.title.clone(),
            about: header.about.clone(),
            stems: header
                .files
                .iter()
                .map(|file| short_stem(file.stem.get_ref()).to_owned())
                .collect(),
            parameters: definition.parameters.iter().map(Parameter::of).collect(),
        }
    }

    /// Returns the audience with its required parameters, as typed on a command line.
    fn typed(&self) -> String {
        let needed = self.parameters.iter().filter_map(|parameter| {
            let example = parameter.example.as_deref()?;
            Some(format!(" --{} {example}", flag(parameter)))
        });
        format!("{}{}", self.name, needed.collect::<String>())
    }
}

impl Parameter {
    fn of(declaration: &Declaration) -> Self {
        let bounds = match (declaration.min, declaration.max) {
            (Some(min), Some(max)) => format!(", {min} to {max}"),
            _ => String::new(),
        };
        Self {
            name: declaration.name.clone(),
            placeholder: match declaration.kind {
                Type::Boolean => String::new(),
                kind => kind.placeholder().into(),
            },
            default: declaration.default_text(),
            help: format!("{}{bounds}", declaration.help),
            example: declaration
                .required
                .then(|| example(declaration.kind).to_owned()),
        }
    }
}

/// Returns a file's name on the command line: its stem without the parameters in it.
pub(super) fn short_stem(stem: &str) -> &str {
    stem.split('{')
        .next()
        .unwrap_or(stem)
        .trim_end_matches(['_', '-'])
}

/// Returns a value of a type, for the examples.
fn example(kind: Type) -> &'static str {
    match kind {
        Type::Integer => "7",
        Type::Text => "TEXT",
        Type::Uuid => "0b54ae58-8e5a-4d3e-9b3c-2f6f6f0a1c11",
        Type::Timestamp => "2026-11-21T13:33:00Z",
        Type::Boolean => "true",
    }
}

/// Adds each audience to `pushctl generate`, with `--file` knowing its files.
pub(super) fn extend_generate(command: clap::Command, offers: &[AudienceCommand]) -> clap::Command {
    let audiences: Vec<_> = offers
        .iter()
        .map(|offer| {
            let examples = [(
                format!("pushctl generate {}", offer.typed()),
                "as CSV files in ./generated",
            )];
            let file = Arg::new(FILE)
                .long("file")
                .value_name("STEM")
                .value_parser(Stems(offer.stems.clone()))
                .help("File to write to standard output, with --output -")
                .help_heading("Parameters");
            subcommand(offer, &command)
                .before_help(help::examples_of(&examples))
                .arg(file)
        })
        .collect();
    command.subcommands(audiences)
}

/// The files of an audience by their stems without parameters; with parameters, which are known only later, they begin
/// like that.
#[derive(Debug, Clone)]
struct Stems(Vec<String>);

impl TypedValueParser for Stems {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        let with_parameters = value.to_str().filter(|value| {
            let mut stems = self.0.iter();
            stems.any(|stem| {
                value
                    .strip_prefix(stem)
                    .is_some_and(|rest| rest.starts_with(['_', '-']))
            })
        });
        match with_parameters {
            Some(value) => Ok(value.to_owned()),
            None => PossibleValuesParser::new(&self.0).parse_ref(command, arg, value),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().map(PossibleValue::new)))
    }
}

/// Adds each audience to `pushctl why`.
pub(super) fn extend_why(command: clap::Command, offers: &[AudienceCommand]) -> clap::Command {
    let audiences: Vec<_> = offers
        .iter()
        .map(|offer| {
            let typed = format!(
                "pushctl why {} --user {}",
                offer.typed(),
                help::EXAMPLE_USER
            );
            let run = Arg::new(RUN).long("run").value_name("RUN").hide(true);
            let has_parameter = offer.parameters.iter().any(|one| one.name == "run");
            subcommand(offer, &command)
                .before_help(help::examples_of(&[(
                    typed,
                    "whether this user is in the audience",
                )]))
                .args((!has_parameter).then_some(run))
        })
        .collect();
    command.subcommands(audiences)
}

/// Returns the flag of a parameter, without dashes before it.
fn flag(parameter: &Parameter) -> String {
    parameter.name.replace('_', "-")
}

fn subcommand(offer: &AudienceCommand, above: &clap::Command) -> clap::Command {
    let flags = offer.parameters.iter().map(|parameter| {
        let arg = Arg::new(parameter_id(&parameter.name))
            .long(flag(parameter))
            .help(match &parameter.default {
                Some(_) if parameter.placeholder.is_empty() => parameter.help.clone(),
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
        .after_help(above.get_after_help().cloned().unwrap_or_default())
        .args(flags);
    if offer.about.is_empty() {
        command
    } else {
        command.long_about(offer.about.clone())
    }
}

/// The audience that was named, with what was given for it. To be flattened into the arguments of a command that has
/// the audiences as subcommands; that command's own flags are `global`, so that they stand on either side of the name.
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

/// The audience of a command that does without one.
#[derive(Debug, Clone)]
pub(super) struct MaybeChosen {
    pub chosen: Option<Chosen>,
    /// Whether `--run` stands behind the audience.
    pub has_run: bool,
}

impl clap::Args for MaybeChosen {
    fn augment_args(command: clap::Command) -> clap::Command {
        Chosen::augment_args(command).subcommand_required(false)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for MaybeChosen {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let Some((_, inner)) = matches.subcommand() else {
            return Ok(Self {
                chosen: None,
                has_run: false,
            });
        };
        Ok(Self {
            chosen: Some(Chosen::from_arg_matches(matches)?),
            has_run: given(inner, RUN).is_some(),
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

/// The id of `--run` behind an audience, which is an error with a next step. A parameter of that name is none.
const RUN: &str = "run-of-audience";

/// Keeps a parameter's id apart from the ids of pushctl's own flags.
const PREFIX: &str = "parameter.";

fn parameter_id(name: &str) -> String {
    format!("{PREFIX}{name}")
}
