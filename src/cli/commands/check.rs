//! `pushctl check`: checks automation files without a network.

use crate::exit::ExitStatus;
use std::path::PathBuf;

use clap::ValueEnum;
use clap_complete::engine::ArgValueCompleter;

use crate::automation::render::{CheckReport, Color};
use crate::error::{Error, Result};
use crate::ui::{Document, Loudness};

use crate::cli::automation_args;
use crate::cli::commands::Subcommand;
use crate::cli::context::CommandContext;
use crate::cli::{completion, help, setting_args};

/// Check automation files, without a network
///
/// Reports all errors at once, with their lines: TOML, unknown keys, audiences, their files and parameters,
/// variables and filters, deep links, times, zones, windows, safeguards. A warning does not fail the check.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl check", "every file in ./automations"),
        ("pushctl check layer3 drafts/friday.toml", "one of them, and another file"),
        ("pushctl check --format github", "annotations in a GitHub workflow"),
        ("pushctl check --json", "for programs"),
    ]),
    after_help = help::statuses_saying(
        &[ExitStatus::Done, ExitStatus::Usage, ExitStatus::Bug],
        &[(ExitStatus::Usage, "an error in an automation, the usage or the configuration")],
    ),
    args = setting_args::flags(&automation_args::SETTINGS),
)]
pub struct Args {
    /// Files, directories, or names of files in the directory [default: every *.toml in the directory]
    #[arg(value_name = "FILE", add = ArgValueCompleter::new(completion::automation_files_or_paths))]
    files: Vec<PathBuf>,
    /// Output format [default: text]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
}

/// Output formats of the findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text: each finding with its line and carets
    Text,
    /// Annotations of a GitHub workflow
    Github,
    /// JSON document, like --json
    Json,
    /// Markdown table, for the summary of a CI job
    Markdown,
}

impl Subcommand for Args {
    fn run(self: Box<Self>, context: CommandContext) -> Result<ExitStatus> {
        let format = self.format(&context)?;
        let report = automation_args::checked(&context, &self.files)?.report;
        write(&context, format, &report)?;
        if report.errors > 0 {
            return Err(Error::usage(report.counts()));
        }
        context.ui.say(report.counts());
        Ok(ExitStatus::Done)
    }
}

impl Args {
    fn format(&self, context: &CommandContext) -> Result<Format> {
        match (context.ui.document(), self.format) {
            (Document::Json, None | Some(Format::Json)) => Ok(Format::Json),
            (Document::Json, Some(_)) => Err(Error::usage(
                "--json cannot be combined with another --format",
            )),
            (Document::Text, format) => Ok(format.unwrap_or(Format::Text)),
        }
    }
}

fn write(context: &CommandContext, format: Format, report: &CheckReport) -> Result<()> {
    let ui = &context.ui;
    let text = match format {
        Format::Json => return ui.json(report),
        Format::Text => {
            let color = if ui.stdout_pen().is_colored() {
                Color::Ansi
            } else {
                Color::Plain
            };
            if ui.loudness() == Loudness::Quiet {
                report.only_errors().human(color)
            } else {
                report.human(color)
            }
        }
        Format::Github => report.github(),
        Format::Markdown => report.markdown(),
    };
    if text.is_empty() {
        return Ok(());
    }
    ui.print(text.trim_end())
}
