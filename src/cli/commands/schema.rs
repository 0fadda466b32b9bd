//! `pushctl schema`: the JSON Schemas of pushctl's output and of its input files.

use crate::exit::ExitStatus;
use schemars::schema_for;

use crate::audience::manifest::Manifest;
use crate::automation;
use crate::delivery::Summary;
use crate::doctor::report::Report;
use crate::error::{Context as _, ErrorKind, Result};
use crate::settings::schema;
use crate::ui::Ui;

use crate::cli::commands::Subcommand;
use crate::cli::context::CommandContext;
use crate::cli::help;

/// Print a JSON Schema
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl schema manifest", "schema of the manifest beside an audience's files"),
        ("pushctl schema automation", "schema of an automation file, for an editor"),
    ]),
    after_help = help::statuses(&[ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Bug]),
    subcommand_required = true,
    arg_required_else_help = true,
)]
pub struct Args {
    #[command(subcommand)]
    of: Of,
}

#[derive(Debug, clap::Subcommand)]
enum Of {
    /// Schema of the manifest beside an audience's files
    #[command(
        before_help = help::examples(&[("pushctl schema manifest > manifest.schema.json", "for a validator or an editor")]),
        after_help = help::statuses(&[ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Bug]),
    )]
    Manifest,
    /// Schema of an automation file
    ///
    /// A line `#:schema ./automation.schema.json` at the top of a file lets an editor complete keys and
    /// report errors.
    #[command(
        before_help = help::examples(&[
            ("pushctl schema automation > automations/automation.schema.json", "for the files beside it"),
        ]),
        after_help = help::statuses(&[ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Bug]),
    )]
    Automation,
    /// Schema of the configuration file
    #[command(
        before_help = help::examples(&[("pushctl schema config > pushctl.schema.json", "for `#:schema ./pushctl.schema.json`")]),
        after_help = help::statuses(&[ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Bug]),
    )]
    Config,
    /// Schema of the output of `send --json` and `resume --json`
    #[command(
        before_help = help::examples(&[("pushctl schema summary > summary.schema.json", "for a validator or an editor")]),
        after_help = help::statuses(&[ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Bug]),
    )]
    Summary,
    /// Schema of the output of `doctor --json`
    #[command(
        before_help = help::examples(&[("pushctl schema doctor > doctor.schema.json", "for a validator or an editor")]),
        after_help = help::statuses(&[ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Bug]),
    )]
    Doctor,
}

impl Subcommand for Args {
    fn run_without_settings(&self, ui: &Ui) -> Option<Result<ExitStatus>> {
        Some(self.print(ui))
    }

    fn run(self: Box<Self>, context: CommandContext) -> Result<ExitStatus> {
        self.print(&context.ui)
    }
}

impl Args {
    fn print(&self, ui: &Ui) -> Result<ExitStatus> {
        let schema = match self.of {
            Of::Manifest => schema_for!(Manifest).to_value(),
            Of::Automation => automation::file::json_schema(),
            Of::Config => schema::of_file()?,
            Of::Summary => schema_for!(Summary).to_value(),
            Of::Doctor => schema_for!(Report).to_value(),
        };
        let text = serde_json::to_string_pretty(&schema);
        ui.print(text.kind(ErrorKind::Bug, || "cannot write the schema as JSON")?)?;
        Ok(ExitStatus::Done)
    }
}
