//! `pushctl generate`: writes an audience as CSV files.

use crate::exit::ExitStatus;
use std::io::{Seek as _, SeekFrom};
use std::time::Duration;

use serde_json::json;

use crate::audience::file_names::{Suffix, stem};
use crate::audience::manifest::{FileKind, Manifest};
use crate::audience::run;
use crate::audience::run::{Fallback, GenerateOutcome, GenerateTarget, Request};
use crate::clock::text::duration;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::report::{counted, funnel};
use crate::settings::generate::{LINE_ENDING, ON_EMPTY, OUTPUT, OnEmpty, OutputTarget};
use crate::ui::{Document, Stdout};

use crate::cli::audience_args::{Chosen, short_stem};
use crate::cli::audience_request::{AudienceRequest, SourceFlags};
use crate::cli::commands::AsyncSubcommand;
use crate::cli::context::CommandContext;
use crate::cli::help;
use crate::cli::{services, setting_args};

/// Width of the funnel's chart, in columns, without a terminal.
const CHART_WIDTH: usize = 100;

/// Write an audience as CSV files
///
/// Reads one snapshot of the source and writes the audience's files and a manifest, all together or not at all.
#[derive(Debug, clap::Args)]
#[command(
    next_help_heading = "Options for every audience",
    before_help = help::examples(&[
        ("pushctl generate layer2", "files and a manifest into ./generated"),
        ("pushctl generate layer3 --lookback-hours 24 --output out", "parameters are flags"),
        ("pushctl generate waterfall --funnel", "the users left after each stage"),
        ("pushctl generate layer2 --output - --file trending-closet-items", "one file to standard output"),
        ("pushctl generate layer2 --dry-run --json", "counts, no files"),
    ]),
    after_help = help::statuses(&[
        ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Partial, ExitStatus::Credentials, ExitStatus::Unreachable, ExitStatus::Nothing, ExitStatus::Locked,
        ExitStatus::Bug, ExitStatus::Interrupted, ExitStatus::Terminated,
    ]),
    args = setting_args::global_flags(&[&OUTPUT, &ON_EMPTY, &LINE_ENDING]),
)]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    source: SourceFlags,
    /// Show how many users remain after each stage, and why the others left
    #[arg(long, global = true)]
    funnel: bool,
    /// Maximum rows of a file, the first in its order
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Suffix of the file names in place of the time; '' for stable names, which replace the previous run's files
    #[arg(long, global = true, value_name = "S")]
    name_suffix: Option<String>,
    /// Write no test files
    #[arg(long, global = true)]
    no_test_files: bool,
    /// If the source stays unreachable, publish the newest audience of the same query and parameters again, if it is
    /// no older than this (24h); the exit status is then 3
    #[arg(long, global = true, value_name = "AGE", value_parser = duration, conflicts_with_all = ["dry_run", "as_of"])]
    fallback_max_age: Option<Duration>,
    /// Read and count, but write nothing
    #[arg(long, global = true)]
    dry_run: bool,
}

impl AsyncSubcommand for Args {
    fn stdout(&self, output: &OutputTarget) -> Stdout {
        if *output == OutputTarget::Stdout || self.funnel {
            Stdout::Data
        } else {
            Stdout::Free
        }
    }

    async fn execute(self, context: &CommandContext) -> Result<ExitStatus> {
        let asked = AudienceRequest::of(context, &self.chosen, &self.source, "generate")?;
        let target = self.target(context, &asked)?;
        let settings = &context.settings.generate;
        let test_users = if self.no_test_files {
            &[][..]
        } else {
            &settings.test_users[..]
        };
        if self.dry_run {
            context.open_stores.create_none();
        }
        let source = services::source(context, "generate")?;
        let request = Request {
            question: asked.question(context),
            limit: self.limit,
            ending: settings.line_ending,
            test_users,
            funnel: self.funnel,
            run_id: &context.run_id.to_string(),
            fallback: self.fallback_max_age.map(|max_age| Fallback {
                now: context.clock.now(),
                max_age,
            }),
        };
        let progress = context.ui.progress("rows");
        let outcome = run::run(
            &source,
            &context.budget,
            progress.as_ref(),
            &request,
            target,
        )
        .await;
        progress.finish();
        self.print_result(context, outcome?)
    }
}

impl Args {
    fn target<'a>(
        &self,
        context: &'a CommandContext,
        asked: &AudienceRequest,
    ) -> Result<GenerateTarget<'a>> {
        if self.dry_run {
            return Ok(GenerateTarget::Nowhere);
        }
        match &context.settings.generate.output {
            OutputTarget::Directory(directory) => {
                Ok(GenerateTarget::Directory(directory, self.suffix(context)?))
            }
            OutputTarget::Stdout if self.fallback_max_age.is_some() => Err(Error::usage(
                "--fallback-max-age looks for an earlier audience in the output directory, and the output is standard output",
            )
            .hint("name a directory with --output")),
            OutputTarget::Stdout => self.chosen_file(asked).map(GenerateTarget::One),
        }
    }

    fn suffix(&self, context: &CommandContext) -> Result<Suffix> {
        match &self.name_suffix {
            None => Ok(Suffix::Time(context.clock.now())),
            Some(text) if text.contains(['/', '\\', '\0', '\n']) => Err(Error::usage(format!(
                "--name-suffix: {text:?} cannot be part of a file name"
            ))),
            Some(text) => Ok(Suffix::Fixed(text.clone())),
        }
    }

    /// Returns the file that goes to standard output: the chosen one, or the only one. It may be chosen by its stem
    /// without parameters, or as the manifest has it, with them.
    fn chosen_file(&self, asked: &AudienceRequest) -> Result<usize> {
        let definition = &asked.definition;
        let files = &definition.header.files;
        let names: Vec<&str> = files
            .iter()
            .map(|file| short_stem(file.stem.get_ref()))
            .collect();
        let Some(chosen) = &self.chosen.file else {
            if files.len() == 1 {
                return Ok(0);
            }
            let error = format!(
                "{} has several files, and standard output takes only one",
                definition.name
            );
            return Err(
                Error::usage(error).hint(format!("choose with --file: {}", names.join(", ")))
            );
        };
        let full = |index| stem(definition, index, &asked.values);
        let place = names.iter().position(|name| name == chosen);
        let place = place.or_else(|| (0..files.len()).find(|index| full(*index) == *chosen));
        place.ok_or_else(|| {
            let stems: Vec<String> = (0..files.len()).map(full).collect();
            Error::usage(format!("--file: {} has no file {chosen}", definition.name)).hint(format!(
                "with these parameters there are: {}",
                stems.join(", ")
            ))
        })
    }

    fn print_result(
        &self,
        context: &CommandContext,
        outcome: GenerateOutcome,
    ) -> Result<ExitStatus> {
        let manifest = &outcome.manifest;
        let is_csv =
            matches!(context.settings.generate.output, OutputTarget::Stdout) && !self.dry_run;
        if let Some(mut file) = outcome.spooled {
            file.seek(SeekFrom::Start(0))
                .kind(ErrorKind::Failed, || "cannot read the spooled file back")?;
            std::io::copy(&mut file, &mut context.ui.stdout())
                .kind(ErrorKind::Failed, || "cannot write to standard output")?;
        }
        self.say_notes(context, manifest);
        if context.ui.document() == Document::Json && !is_csv {
            context.ui.json(&json!({
                "directory": outcome.directory,
                "manifest_file": outcome.manifest_name,
                "dry_run": self.dry_run,
                "manifest": manifest,
            }))?;
        } else {
            if let Some(counted) = manifest.funnel.as_ref().filter(|_| self.funnel) {
                let chart =
                    funnel::chart(counted, context.ui.stdout_width().unwrap_or(CHART_WIDTH));
                if is_csv {
                    context.ui.say(chart);
                } else {
                    context.ui.print(chart.trim_end())?;
                }
            }
            for file in &manifest.files {
                let rows = counted(file.rows, "rows");
                match &outcome.directory {
                    Some(directory) => context.ui.say(format_args!(
                        "{} ({rows})",
                        directory.join(&file.name).display()
                    )),
                    None if self.dry_run => context
                        .ui
                        .say(format_args!("would write {} ({rows})", file.stem)),
                    None => {}
                }
            }
        }
        Self::on_empty(context, manifest)
    }

    fn say_notes(&self, context: &CommandContext, manifest: &Manifest) {
        let ui = &context.ui;
        if let Some(note) = manifest.fallback_note(context.clock.now()) {
            ui.warn(note);
        }
        if manifest
            .history
            .as_ref()
            .is_some_and(|history| history.from == "none")
        {
            ui.say("no notification history is configured (PUSH_CADENCE_DATABASE_URL): users with recent pushes are not left out");
        }
        for id in &manifest.missing_test_users {
            ui.warn(format_args!(
                "the test user {id} is not in the source database: no test row for this user"
            ));
        }
        let to_directory =
            matches!(context.settings.generate.output, OutputTarget::Directory(_)) && !self.dry_run;
        if to_directory && !self.no_test_files && context.settings.generate.test_users.is_empty() {
            ui.say("no test users are configured (test_users): no test files");
        }
        let some = manifest
            .files
            .iter()
            .any(|file| file.kind == FileKind::Production);
        for stem in manifest.empty.iter().filter(|_| some) {
            ui.say(format_args!("{stem}: no rows, so no file"));
        }
    }

    fn on_empty(context: &CommandContext, manifest: &Manifest) -> Result<ExitStatus> {
        if manifest
            .files
            .iter()
            .any(|file| file.kind == FileKind::Production)
        {
            return Ok(match manifest.fallback {
                Some(_) => ExitStatus::Partial,
                None => ExitStatus::Done,
            });
        }
        let message = format!(
            "the audience {} is empty as of {}",
            manifest.audience, manifest.as_of
        );
        match context.settings.generate.on_empty {
            OnEmpty::Ok => Ok(ExitStatus::Done),
            OnEmpty::Warn => {
                context.ui.warn(format_args!("{message}: no files written"));
                Ok(ExitStatus::Done)
            }
            OnEmpty::Fail => Err(Error::new(ErrorKind::Nothing, message).hint(format!(
                "`pushctl generate {} --dry-run --funnel` shows the users left after each stage",
                manifest.audience
            ))),
        }
    }
}
