//! `pushctl audiences`: lists the audiences.

use crate::exit::ExitStatus;
use std::collections::BTreeMap;

use clap_complete::engine::ArgValueCandidates;
use serde_json::{Value, json};

use crate::audience::{Definition, parameters, statement};
use crate::error::Result;
use crate::settings::generate;
use crate::ui::{Document, Style, Table};

use crate::cli::commands::Subcommand;
use crate::cli::context::CommandContext;
use crate::cli::help;
use crate::cli::{completion, services, setting_args};

/// List the audiences, or show one: parameters, stages, files, columns
///
/// Works without a database.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl audiences", "every audience"),
        ("pushctl audiences layer2", "its parameters, stages, files and columns"),
        ("pushctl audiences layer2 --sql", "its query, ready for psql"),
    ]),
    after_help = help::statuses(&[ExitStatus::Done, ExitStatus::Usage, ExitStatus::Bug]),
    args = setting_args::flags(&[&generate::QUERIES]),
)]
pub struct Args {
    /// Audience to show [default: all]
    #[arg(add = ArgValueCandidates::new(completion::audiences))]
    name: Option<String>,
    /// Print the query with its settings and default parameters, as a script for psql
    #[arg(long, requires = "name", conflicts_with = "json")]
    sql: bool,
}

impl Subcommand for Args {
    fn run(self: Box<Self>, context: CommandContext) -> Result<ExitStatus> {
        let catalogue = services::catalogue(&context)?;
        let Some(name) = &self.name else {
            for note in catalogue.notes() {
                context.ui.say(note);
            }
            let mut sound = Vec::new();
            for name in catalogue.names() {
                match catalogue.get(name) {
                    Ok(definition) => sound.push(definition),
                    Err(error) => context.ui.warn(format_args!("{error:#}")),
                }
            }
            list(&context, &sound)?;
            return Ok(ExitStatus::Done);
        };
        let definition = catalogue.get(name)?;
        if self.sql {
            context.ui.print(
                statement::psql_script(&definition, &defaults(&definition), None).trim_end(),
            )?;
        } else if context.ui.document() == Document::Json {
            context.ui.json(&document(&definition))?;
        } else {
            show(&context, &definition)?;
        }
        Ok(ExitStatus::Done)
    }
}

fn defaults(definition: &Definition) -> parameters::Values {
    let default = |p: &parameters::Declaration| Some((p.name.clone(), p.default_text()?));
    definition
        .parameters
        .iter()
        .filter_map(default)
        .collect::<BTreeMap<_, _>>()
}

fn list(context: &CommandContext, definitions: &[Definition]) -> Result<()> {
    if context.ui.document() == Document::Json {
        return context
            .ui
            .json(&definitions.iter().map(document).collect::<Vec<_>>());
    }
    let mut table = Table::new(["AUDIENCE", "USERS", "FILES"]);
    for definition in definitions {
        let stems: Vec<&str> = definition
            .header
            .files
            .iter()
            .map(|file| file.stem.get_ref().as_str())
            .collect();
        table.row([
            definition.name.clone(),
            definition.header.title.clone(),
            stems.join(", "),
        ]);
    }
    context.ui.table(&table)
}

fn show(context: &CommandContext, definition: &Definition) -> Result<()> {
    let (ui, header) = (&context.ui, &definition.header);
    let heading = |text: &str| ui.stdout_pen().write(Style::Strong, text);
    ui.print(format_args!(
        "{}: {}",
        heading(&definition.name),
        header.title
    ))?;
    if !header.about.is_empty() {
        ui.print(&header.about)?;
    }
    ui.print(format_args!(
        "Base: {}; order: {}; from {}.",
        header.base,
        header.order.get_ref(),
        definition.origin
    ))?;
    if !definition.parameters.is_empty() {
        ui.print(format_args!("\n{}", heading("Parameters")))?;
        let mut table = Table::new(["FLAG", "TYPE", "DEFAULT", "MEANING"]);
        for parameter in &definition.parameters {
            let default = parameter
                .default_text()
                .unwrap_or_else(|| "(required)".into());
            let flag = format!("--{}", parameter.flag());
            table.row([
                flag,
                parameter.kind.sql().into(),
                default,
                parameter.help.clone(),
            ]);
        }
        ui.table(&table)?;
    }
    ui.print(format_args!("\n{}", heading("Stages")))?;
    let mut table = Table::new(["USERS THAT STAY", "REASON TO LEAVE"]);
    for stage in &header.stages {
        table.row([&stage.name, &stage.left]);
    }
    ui.table(&table)?;
    for file in &header.files {
        ui.print(format_args!(
            "\n{}: {}",
            heading(file.stem.get_ref()),
            file.help
        ))?;
        ui.print(format_args!(
            "  {}",
            file.column_names().collect::<Vec<_>>().join(", ")
        ))?;
    }
    Ok(())
}

fn document(definition: &Definition) -> Value {
    let header = &definition.header;
    let parameter = |p: &parameters::Declaration| {
        json!({
            "name": p.name, "flag": format!("--{}", p.flag()), "type": p.kind, "default": p.default_text(),
            "required": p.required, "min": p.min, "max": p.max, "help": p.help,
        })
    };
    json!({
        "name": definition.name,
        "title": header.title,
        "about": header.about,
        "origin": definition.origin,
        "base": header.base,
        "order": header.order.get_ref(),
        "parameters": definition.parameters.iter().map(parameter).collect::<Vec<_>>(),
        "stages": header.stages.iter()
            .map(|stage| json!({ "name": stage.name, "left": stage.left }))
            .collect::<Vec<_>>(),
        "files": header.files.iter()
            .map(|file| json!({
                "stem": file.stem.get_ref(), "help": file.help, "columns": file.column_names().collect::<Vec<_>>(),
            }))
            .collect::<Vec<_>>(),
    })
}
