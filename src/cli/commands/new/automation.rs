//! `pushctl new automation`: writes an automation file, from nothing or from a JSON file of the predecessor.

use std::path::{Path, PathBuf};

use clap::ValueHint;
use clap_complete::engine::ArgValueCandidates;
use serde_json::json;

use crate::automation::conversion::{Conversion, Converted};
use crate::automation::diagnostic::Severity;
use crate::automation::{self, SourceText};
use crate::cli::context::CommandContext;
use crate::cli::{automation_args, completion, help, services, setting_args};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::exit::ExitStatus;
use crate::settings::automation::DIRECTORY;
use crate::settings::generate;
use crate::template::link::AllowedHosts;
use crate::ui::Document;

use super::{STATUSES, exists, is_flag, say_next, write_new};

/// Write an automation file
///
/// With --audience it has a push for each file of the audience, with texts to write. With --from it is made from a
/// JSON automation of the system that pushctl replaces (docs/migrating.md), and everything that could not be carried
/// over is listed. It is not enabled.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl new automation hello --audience layer3", "automations/hello.toml, to fill in"),
        ("pushctl new automation friday --from old/friday.json", "convert a JSON automation"),
        ("pushctl new automation friday --from old/friday.json --audience collectors", "with your own audience in place of the script"),
    ]),
    after_help = help::statuses(&STATUSES),
    args = setting_args::flags(&automation_args::SETTINGS),
    group = clap::ArgGroup::new("source").args(["audience", "from"]).required(true).multiple(true),
)]
pub(super) struct Args {
    /// Name of the automation, and of the file without .toml
    name: String,
    /// Audience that it sends to
    #[arg(long, value_name = "AUDIENCE", add = ArgValueCandidates::new(completion::audiences))]
    audience: Option<String>,
    /// JSON automation to convert
    #[arg(long, value_name = "FILE.json", value_hint = ValueHint::FilePath)]
    from: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self, context: &CommandContext) -> Result<ExitStatus> {
        let Self {
            name,
            audience,
            from,
        } = self;
        let directory = &context.settings.automations.directory;
        let path = directory.join(format!("{name}.toml"));
        let shown = automation_args::shown(context, &path);
        if path.exists() {
            return Err(exists(&shown));
        }
        refuse_second(context, &name)?;
        let (text, notes) = match (&from, &audience) {
            (Some(from), audience) => {
                let converted = convert(context, &name, from, audience.as_deref())?;
                (converted.text, converted.notes)
            }
            (None, audience) => {
                let audience = audience.as_deref().unwrap_or_default();
                let definition = services::catalogue(context)?.get(audience)?;
                let has_test_users = !context.settings.generate.test_users.is_empty();
                let text = automation::starter(&name, &definition, has_test_users);
                (text, Vec::new())
            }
        };
        check(context, &shown, &text)?;
        write_new(&path, &shown, &text)?;

        let old = from
            .map(|from| from.display().to_string())
            .unwrap_or_default();
        for note in &notes {
            context.ui.warn(format_args!("{old}: {note}"));
        }
        let next = next(context, &name, &shown, directory);
        say_next(context, &shown, &next);
        if context.ui.document() == Document::Json {
            context.ui.json(&json!({
                "automation": name, "path": shown, "notes": notes, "next": next,
            }))?;
        }
        Ok(ExitStatus::Done)
    }
}

/// Refuses the name of an automation that another file has.
fn refuse_second(context: &CommandContext, name: &str) -> Result<()> {
    let directory = &context.settings.automations.directory;
    let Ok(listing) = automation::files_in(directory, "") else {
        return Ok(());
    };
    for file in listing.files {
        let shown = automation_args::shown(context, &file);
        let source = automation::read(&file, &shown).ok();
        if source
            .and_then(|source| automation::name_of(&source))
            .as_deref()
            == Some(name)
        {
            return Err(
                Error::usage(format!("the automation {name} already exists, in {shown}"))
                    .hint("choose another name"),
            );
        }
    }
    Ok(())
}

fn convert(
    context: &CommandContext,
    name: &str,
    from: &Path,
    audience: Option<&str>,
) -> Result<Converted> {
    let path = context.settings.source.environment.directory().join(from);
    let shown = from.display();
    let bytes = std::fs::read(&path).kind(ErrorKind::Usage, || format!("cannot read {shown}"))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Error::usage(format!("{shown} is not UTF-8")).hint("save the file as UTF-8")
    })?;
    let conversion = Conversion {
        name,
        audience,
        catalogue: &services::catalogue(context)?,
        link_hosts: &AllowedHosts::new(&context.settings.push.link_hosts)?,
        has_test_users: !context.settings.generate.test_users.is_empty(),
        now: context.clock.now(),
    };
    conversion.convert(&shown.to_string(), &text)
}

/// Refuses a text that `pushctl check` would not accept: one such file stops every automation of its directory.
fn check(context: &CommandContext, shown: &str, text: &str) -> Result<()> {
    let source = SourceText {
        path: shown.to_owned(),
        text: text.to_owned(),
    };
    let report = automation_args::checked_sources(context, &[source])?.report;
    let mut errors = Vec::new();
    for finding in &report.findings {
        match finding.severity {
            Severity::Error => {
                let line = finding.place.source.trim();
                errors.push(format!(
                    "{}: {}",
                    finding.message,
                    crate::snippet::visible(line)
                ));
            }
            Severity::Warning => context.ui.warn(&finding.message),
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Error::usage(errors.join("\n"))
        .context(format!(
            "{shown} would not pass `pushctl check`, and is not written"
        ))
        .hint("correct the name or the old file, and try again"))
}

/// Returns the commands that come next.
fn next(context: &CommandContext, name: &str, shown: &str, directory: &Path) -> Vec<String> {
    let mut flags = String::new();
    if is_flag(context, &DIRECTORY) {
        flags = format!(
            " --automations {}",
            automation_args::shown(context, directory)
        );
    }
    if let Some(queries) = &context.settings.generate.queries
        && is_flag(context, &generate::QUERIES)
    {
        flags = format!(
            "{flags} --queries {}",
            automation_args::shown(context, queries)
        );
    }
    let mut next = vec![
        format!("edit {shown}: time, texts, test users"),
        format!("pushctl check{flags}"),
        format!("pushctl run-pipeline {name} --mode real-dry-run{flags}"),
    ];
    let schema = directory.join("automation.schema.json");
    if !schema.exists() {
        let schema = automation_args::shown(context, &schema);
        next.insert(
            1,
            format!("pushctl schema automation > {schema}, for an editor"),
        );
    }
    next
}
