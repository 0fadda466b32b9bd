//! `pushctl state`: manages the state store: migrations, export, import.

use crate::exit::ExitStatus;
use std::io::{BufRead, BufReader, BufWriter, IsTerminal as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::ValueHint;
use serde_json::{Value, json};

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::report::counted;
use crate::settings;
use crate::settings::secret::mask_url;
use crate::state::migrations::{Loss, MigrationStatus, NEEDED};
use crate::state::{Location, Store};
use crate::ui::{Document, Stdout, Table};

use crate::atomic_file::WholeFile;
use crate::cli::commands::AsyncSubcommand;
use crate::cli::confirm::confirm;
use crate::cli::context::{CommandContext, Confirmation};
use crate::cli::time_limit::{bounded, ended};
use crate::cli::{help, services};
use crate::settings::generate::OutputTarget;

const STATUSES: [ExitStatus; 10] = [
    ExitStatus::Done,
    ExitStatus::Failed,
    ExitStatus::Usage,
    ExitStatus::Credentials,
    ExitStatus::Unreachable,
    ExitStatus::Locked,
    ExitStatus::Refused,
    ExitStatus::Bug,
    ExitStatus::Interrupted,
    ExitStatus::Terminated,
];

/// Manage the state store: runs, claims, leases, cancels
///
/// The default is a SQLite file in the XDG state directory; --state sets another file, or a PostgreSQL URL. The first
/// command that needs the store creates it.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl state status", "its place, and whether it is up to date"),
        ("pushctl state migrate", "apply pending migrations"),
        ("pushctl state export backup.jsonl", "keep a copy"),
    ]),
    after_help = help::statuses(&STATUSES),
    subcommand_required = true,
    arg_required_else_help = true,
)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Apply pending migrations to the store's tables
    #[command(
        before_help = help::examples(&[("pushctl state migrate", "apply the pending migrations, in order")]),
        after_help = help::statuses(&STATUSES),
    )]
    Migrate,
    /// Show the store's place and its migrations
    #[command(
        before_help = help::examples(&[
            ("pushctl state status", "as a table"),
            ("pushctl state status --json", "for programs"),
        ]),
        after_help = help::statuses(&STATUSES),
    )]
    Status,
    /// Undo migrations, newest first
    ///
    /// Tables that hold rows are dropped only after a confirmation, or with --yes.
    #[command(
        before_help = help::examples(&[
            ("pushctl state rollback", "the newest migration"),
            ("pushctl state rollback --to 1", "all after the first"),
        ]),
        after_help = help::statuses(&STATUSES),
    )]
    Rollback {
        /// Last migration to keep; 0 for none [default: the one before the newest]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=i64::from(NEEDED)))]
        to: Option<u32>,
    },
    /// Export the store as JSON lines, to move it or to back it up
    ///
    /// Reads one snapshot while other processes go on. Leases are left out: they belong to running processes.
    #[command(
        before_help = help::examples(&[
            ("pushctl state export backup.jsonl", "a file that appears only once it is complete"),
            ("pushctl state export | gzip > backup.jsonl.gz", "to standard output"),
        ]),
        after_help = help::statuses(&STATUSES),
    )]
    Export {
        /// File; - for standard output
        #[arg(default_value = "-", hide_default_value = true, value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Import an export into an empty store, of either kind
    #[command(
        before_help = help::examples(&[
            ("pushctl state import backup.jsonl", "into the configured store"),
            ("pushctl state import backup.jsonl --state other.db", "into another"),
        ]),
        after_help = help::statuses(&STATUSES),
    )]
    Import {
        /// File; - for standard input
        #[arg(default_value = "-", hide_default_value = true, value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
}

impl AsyncSubcommand for Args {
    fn stdout(&self, _output: &OutputTarget) -> Stdout {
        match &self.action {
            Action::Status => Stdout::Data,
            Action::Export { file } if is_stream(file) => Stdout::Data,
            _ => Stdout::Free,
        }
    }

    async fn execute(self, context: &CommandContext) -> Result<ExitStatus> {
        match self.action {
            Action::Migrate => bounded(context, migrate(context)).await,
            Action::Status => bounded(context, status(context)).await,
            Action::Rollback { to } => rollback(context, to).await,
            Action::Export { file } => bounded(context, export(context, &file)).await,
            Action::Import { file } => import(context, &file).await,
        }
    }
}

async fn migrate(context: &CommandContext) -> Result<ExitStatus> {
    let store = as_it_is(context).await?;
    let applied = store.migrate().await?;
    for name in &applied {
        context.ui.say(format_args!("applied {name}"));
    }
    if applied.is_empty() {
        context.ui.say(format_args!(
            "nothing to apply: {} is at migration {NEEDED}",
            place(context)
        ));
    }
    done(context, &json!({ "applied": applied, "version": NEEDED }))
}

async fn status(context: &CommandContext) -> Result<ExitStatus> {
    let exists = exists(&services::location(context)?);
    let status = if exists {
        as_it_is(context).await?.migrations().await?
    } else {
        MigrationStatus::of_nothing()
    };
    let version = status.applied.last().map_or(0, |last| last.version);
    if context.ui.document() == Document::Json {
        let applied: Vec<Value> = status
            .applied
            .iter()
            .map(|one| json!({ "version": one.version, "name": one.name, "applied_at": one.at }))
            .collect();
        context.ui.json(&json!({
            "place": place(context), "exists": exists, "version": version, "needed": NEEDED,
            "applied": applied, "pending": status.pending,
        }))?;
        return Ok(ExitStatus::Done);
    }
    let mut table = Table::new(["MIGRATION", "APPLIED"]);
    for one in &status.applied {
        table.row([one.name.clone(), format!("{:.0}", one.at)]);
    }
    for name in &status.pending {
        table.row([*name, "pending"]);
    }
    context.ui.table(&table)?;
    let place = place(context);
    if version > NEEDED {
        context.ui.warn(format_args!(
            "{place} is at migration {version}, newer than this pushctl knows ({NEEDED})"
        ));
    } else if !exists {
        context.ui.say(format_args!(
            "there is no store at {place} yet: the first command that needs it creates it"
        ));
    } else if status.pending.is_empty() {
        context.ui.say(format_args!("{place} is up to date"));
    } else {
        context.ui.warn(format_args!(
            "{place} lacks migrations: `pushctl state migrate` applies them"
        ));
    }
    Ok(ExitStatus::Done)
}

async fn rollback(context: &CommandContext, to: Option<u32>) -> Result<ExitStatus> {
    let store = bounded(context, existing(context)).await?;
    let status = bounded(context, store.migrations()).await?;
    let version = status.applied.last().map_or(0, |last| last.version);
    let to = to.unwrap_or(version.saturating_sub(1));
    let loss = match context.confirmation {
        Confirmation::Given => Loss::Accepted,
        Confirmation::Needed => Loss::Refused,
    };
    let undone = match bounded(context, store.rollback(to, loss)).await {
        Err(error) if error.kind() == ErrorKind::Refused && std::io::stdin().is_terminal() => {
            let what = format!("{error} in {}, permanently", place(context));
            confirm(context, &what, "destroy")?;
            bounded(context, store.rollback(to, Loss::Accepted)).await?
        }
        other => other?,
    };
    for name in &undone {
        context.ui.say(format_args!("undid {name}"));
    }
    if undone.is_empty() {
        context.ui.say(format_args!(
            "nothing to undo: {} is at migration {version}",
            place(context)
        ));
    }
    done(
        context,
        &json!({ "undone": undone, "version": version.min(to) }),
    )
}

async fn export(context: &CommandContext, file: &Path) -> Result<ExitStatus> {
    let store = existing(context).await?;
    if is_stream(file) {
        let mut out = BufWriter::new(context.ui.stdout());
        let rows = store.export(&mut out).await?;
        context.ui.say(counted(rows, "rows"));
        return Ok(ExitStatus::Done);
    }
    let mut out = WholeFile::begin(file)?;
    let rows = store.export(&mut out).await?;
    out.finish()?;
    context.ui.say(format_args!(
        "{} ({})",
        file.display(),
        counted(rows, "rows")
    ));
    done(context, &json!({ "file": file, "rows": rows }))
}

async fn import(context: &CommandContext, file: &Path) -> Result<ExitStatus> {
    let mut input = bounded(context, open(file)).await?;
    let store = bounded(context, as_it_is(context)).await?;
    // Not dropped on an interrupt: it stops in order, so that no half of the rows remains.
    let rows = store.import(&mut *input, ended(context)).await?;
    context.ui.say(format_args!(
        "{} into {}",
        counted(rows, "rows"),
        place(context)
    ));
    done(context, &json!({ "rows": rows }))
}

/// Reads standard input to its end first: the writer may stop in the middle, and then nothing is imported.
async fn open(file: &Path) -> Result<Box<dyn BufRead + Send>> {
    if !is_stream(file) {
        let opened = std::fs::File::open(file).kind(ErrorKind::Usage, || {
            format!("cannot read {}", file.display())
        })?;
        return Ok(Box::new(BufReader::new(opened)));
    }
    let failed = || "cannot read standard input";
    let read = tokio::task::spawn_blocking(|| {
        let mut spool = tempfile::tempfile()?;
        std::io::copy(&mut std::io::stdin().lock(), &mut spool)?;
        spool.seek(SeekFrom::Start(0)).map(|_| spool)
    });
    let spool = read.await.kind(ErrorKind::Failed, failed)?;
    Ok(Box::new(BufReader::new(
        spool.kind(ErrorKind::Failed, failed)?,
    )))
}

/// Prints the document with `--json`; a command without `--json` prints nothing.
fn done(context: &CommandContext, document: &Value) -> Result<ExitStatus> {
    if context.ui.document() == Document::Json {
        context.ui.json(document)?;
    }
    Ok(ExitStatus::Done)
}

async fn as_it_is(context: &CommandContext) -> Result<Store> {
    let location = services::location(context)?;
    let store = Store::open_as_it_is(
        &location,
        Arc::clone(&context.clock),
        context.budget.clone(),
    )
    .await?;
    context.open_stores.add(&store);
    Ok(store)
}

/// Opens an existing store; does not create one.
async fn existing(context: &CommandContext) -> Result<Store> {
    if !exists(&services::location(context)?) {
        let message = format!("there is no state store at {}", place(context));
        return Err(Error::usage(message).hint("set another place with --state"));
    }
    as_it_is(context).await
}

fn exists(location: &Location) -> bool {
    match location {
        Location::Embedded(path) => path.exists(),
        Location::Postgres(_) => true,
    }
}

/// Returns the store's place, without a password.
fn place(context: &CommandContext) -> String {
    match &context.settings.state {
        settings::StateSettings::File(path) => path.display().to_string(),
        settings::StateSettings::Url(url) => mask_url(url.reveal()),
        settings::StateSettings::Nowhere => String::new(),
    }
}

fn is_stream(file: &Path) -> bool {
    file.as_os_str() == "-"
}
