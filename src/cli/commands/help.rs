//! `pushctl help`: the help of a command, and the environment variables.

use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use serde_json::{Value, json};

use crate::cli::commands::Subcommand;
use crate::cli::context::CommandContext;
use crate::cli::help;
use crate::error::Result;
use crate::exit::ExitStatus;
use crate::settings::declared;
use crate::settings::file::CONFIG;
use crate::settings::setting::Setting;
use crate::ui::{Document, Table, Ui};

/// The topic that is not a command.
const ENVIRONMENT: &str = "environment";
/// The variables that are not settings of pushctl.
const OTHERS: [(&str, &str); 6] = [
    (
        "NO_COLOR, FORCE_COLOR, TERM",
        "colour, where color is \"auto\"",
    ),
    ("COLUMNS", "width of tables, without a terminal"),
    (
        "HOME, XDG_CONFIG_HOME, XDG_STATE_HOME",
        "directories of the configuration file and the state store",
    ),
    ("PGCONNECT_TIMEOUT", "as in libpq; --connect-timeout wins"),
    (
        "PGSERVICEFILE, PGSYSCONFDIR",
        "place of pg_service.conf, as in libpq",
    ),
    (
        "variables named by an automation",
        "addresses of its webhook and its heartbeat",
    ),
];

/// Print the help of a command, or the environment variables
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl help send", "as pushctl send --help"),
        ("pushctl help environment", "every environment variable"),
    ]),
    after_help = help::statuses(&[ExitStatus::Done, ExitStatus::Usage, ExitStatus::Bug]),
)]
pub struct Args {
    /// Command with its subcommands, or `environment` [default: pushctl itself]
    #[arg(value_name = "COMMAND", add = ArgValueCandidates::new(topics))]
    topic: Vec<String>,
}

impl Args {
    /// Returns the command line whose help is asked for; `None` for the environment variables.
    pub(super) fn command_line(&self) -> Option<Vec<String>> {
        if self.topic == [ENVIRONMENT] {
            return None;
        }
        let words = ["pushctl"]
            .into_iter()
            .chain(self.topic.iter().map(String::as_str));
        Some(words.chain(["--help"]).map(str::to_owned).collect())
    }
}

impl Subcommand for Args {
    fn run_without_settings(&self, ui: &Ui) -> Option<Result<ExitStatus>> {
        Some(print(ui))
    }

    fn run(self: Box<Self>, context: CommandContext) -> Result<ExitStatus> {
        print(&context.ui)
    }
}

fn topics() -> Vec<CompletionCandidate> {
    let command = crate::cli::command(&[]);
    let names = command.get_subcommands().map(clap::Command::get_name);
    names
        .chain([ENVIRONMENT])
        .map(CompletionCandidate::new)
        .collect()
}

fn print(ui: &Ui) -> Result<ExitStatus> {
    let mut variables = Vec::new();
    for setting in [&CONFIG].into_iter().chain(declared()?) {
        variables.extend(setting.variables.iter().map(|name| (*name, setting)));
    }
    if ui.document() == Document::Json {
        let all: Vec<Value> = variables.iter().map(document).collect();
        ui.json(&json!({ "variables": all }))?;
        return Ok(ExitStatus::Done);
    }
    let mut table = Table::new(["VARIABLE", "SETTING", "FLAG", "DEFAULT"]);
    for (variable, setting) in variables {
        let key = if setting.in_file { setting.name } else { "" };
        table.row([variable, key, setting.flag, setting.shown_default()]);
    }
    ui.table(&table)?;
    let mut others = Table::new(["ALSO READ", "FOR"]);
    for (variable, meaning) in OTHERS {
        others.row([variable, meaning]);
    }
    ui.print("")?;
    ui.table(&others)?;
    ui.print("\nA flag wins over a variable, and a variable over the configuration file. A variable that ends in _FILE names a file with the value.")?;
    Ok(ExitStatus::Done)
}

fn document((variable, setting): &(&str, &Setting)) -> Value {
    let text = |text: &'static str| Some(text).filter(|text| !text.is_empty());
    json!({
        "name": variable,
        "setting": setting.in_file.then_some(setting.name),
        "flag": text(setting.flag),
        "default": text(setting.shown_default()),
        "about": setting.about,
    })
}
