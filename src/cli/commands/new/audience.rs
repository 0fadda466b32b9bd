//! `pushctl new audience`: writes a query file.

use std::path::PathBuf;

use clap::ValueHint;
use clap_complete::engine::ArgValueCandidates;
use serde_json::json;

use crate::audience::{Catalogue, Definition, STARTER};
use crate::cli::context::CommandContext;
use crate::cli::{automation_args, completion, help, services, setting_args};
use crate::error::{Error, Result};
use crate::exit::ExitStatus;
use crate::settings::generate;
use crate::ui::Document;

use super::{STATUSES, exists, is_flag, say_next, write_new};

/// The directory for query files, if none is configured.
const DIRECTORY: &str = "queries.d";

/// Write a query file for a new audience
///
/// Without --from it is a short, commented query with two places to change: the table of your users, and the
/// condition. The directory is --dir, otherwise that of the setting `queries`, otherwise ./queries.d.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl new audience collectors", "queries.d/collectors.sql, to fill in"),
        ("pushctl new audience collectors --from layer2", "a copy of a built-in audience"),
        ("pushctl new audience collectors --dir audiences", "in another directory"),
    ]),
    after_help = help::statuses(&STATUSES),
    args = setting_args::flags(&[&generate::QUERIES]),
)]
pub(super) struct Args {
    /// Name of the audience, and of the file without .sql
    name: String,
    /// Audience to copy
    #[arg(long, value_name = "AUDIENCE", add = ArgValueCandidates::new(completion::audiences))]
    from: Option<String>,
    /// Directory to write into
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(self, context: &CommandContext) -> Result<ExitStatus> {
        let Self { name, from, dir } = self;
        check_name(&name)?;
        let here = context.settings.source.environment.directory();
        let configured = context.settings.generate.queries.clone();
        let directory = match (&dir, &configured) {
            (Some(directory), _) => here.join(directory),
            (None, Some(directory)) => directory.clone(),
            (None, None) => here.join(DIRECTORY),
        };
        let path = directory.join(format!("{name}.sql"));
        let shown = automation_args::shown(context, &path);
        if path.exists() {
            return Err(exists(&shown));
        }
        // A configured directory need not exist yet.
        let catalogue = match &configured {
            Some(directory) if directory.exists() => services::catalogue(context)?,
            _ => Catalogue::built_in(),
        };
        let text = match &from {
            Some(from) => copy(&catalogue.get(from)?),
            None => STARTER.replace("NAME", &name),
        };
        // What is written can be read again.
        Definition::parse(&name, &shown, &text)?;
        write_new(&path, &shown, &text)?;

        let is_known = configured.as_ref() == Some(&directory);
        let flag = if is_known && !is_flag(context, &generate::QUERIES) {
            String::new()
        } else {
            format!(" --queries {}", automation_args::shown(context, &directory))
        };
        let next = [
            format!("edit {shown}; docs/query-files.md describes the header"),
            format!("pushctl audiences {name}{flag}"),
            format!("pushctl generate {name}{flag} --dry-run --funnel"),
            format!("pushctl new automation {name} --audience {name}{flag}"),
        ];
        say_next(context, &shown, &next);
        if Catalogue::built_in().names().any(|known| known == name) {
            context.ui.warn(format_args!(
                "{name} replaces the built-in audience of that name wherever this directory is used"
            ));
        }
        if context.ui.document() == Document::Json {
            let document = json!({ "audience": name, "path": shown, "next": next });
            context.ui.json(&document)?;
        }
        Ok(ExitStatus::Done)
    }
}

/// Returns the text of an audience, with its origin.
fn copy(audience: &Definition) -> String {
    let Definition { name, text, .. } = audience;
    format!(
        "-- A copy of the audience {name} of pushctl {}.\n--\n{text}",
        env!("CARGO_PKG_VERSION")
    )
}

/// Refuses a name that cannot be a file's and a subcommand's.
fn check_name(name: &str) -> Result<()> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
    if name.starts_with(|letter: char| letter.is_ascii_alphabetic()) && name.chars().all(fits) {
        return Ok(());
    }
    Err(
        Error::usage(format!("{name:?} cannot be an audience's name"))
            .hint("use letters, digits, `-` and `_`, with a letter first; .sql is appended"),
    )
}
