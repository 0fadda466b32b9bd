//! `pushctl runs`: lists runs, newest first, as a table, JSON or an HTML page.

use crate::exit::ExitStatus;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::ValueHint;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::atomic_file::WholeFile;
use crate::cli::context::CommandContext;
use crate::cli::{open_runs, run_selector, services};
use crate::clock::text::{duration, instant};
use crate::csv_writer::cannot_write;
use crate::error::{Error, Result};
use crate::report::html::{self, ListedRun};
use crate::report::run::{RunReport, span};
use crate::report::{counted, gather};
use crate::state::{Run, RunFilter, RunStatus, Store};
use crate::ui::{Document, Stdout, Table};

/// The part of an HTML file in which its run is looked for, in bytes.
const BEGINNING: u64 = 1024;

// Its group would have the name of the one that it is flattened into.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// Only runs of this automation
    #[arg(long, value_name = "NAME")]
    automation: Option<String>,
    /// Only runs with this status, or with this state of an open run
    #[arg(long, value_name = "STATUS", value_enum)]
    status: Option<Selected>,
    /// Only runs that began at this time or later: a date, a time, or a duration ago such as 7d
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Maximum number of runs; 0 for all
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// Write an HTML page to this file instead
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    html: Option<PathBuf>,
}

/// A status of a run, or a state of an open one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Selected {
    Open,
    Running,
    Waiting,
    Interrupted,
    Done,
    Partial,
    Failed,
    Refused,
    Cancelled,
}

impl Selected {
    /// Returns the recorded status, and the state if it also depends on that.
    fn parts(self) -> (RunStatus, Option<&'static str>) {
        match self {
            Self::Open => (RunStatus::Open, None),
            Self::Running => (RunStatus::Open, Some("running")),
            Self::Waiting => (RunStatus::Open, Some("waiting")),
            Self::Interrupted => (RunStatus::Open, Some("interrupted")),
            Self::Done => (RunStatus::Done, None),
            Self::Partial => (RunStatus::Partial, None),
            Self::Failed => (RunStatus::Failed, None),
            Self::Refused => (RunStatus::Refused, None),
            Self::Cancelled => (RunStatus::Cancelled, None),
        }
    }
}

/// A run and the state that is shown.
struct Listed {
    run: Run,
    state: &'static str,
}

impl Args {
    pub(crate) fn stdout(&self) -> Stdout {
        match self.html {
            Some(_) => Stdout::Free,
            None => Stdout::Data,
        }
    }

    pub(crate) async fn run(&self, context: &CommandContext) -> Result<ExitStatus> {
        let since = self.since(context.clock.now())?;
        let store = services::store(context).await?;
        let runs = self.listed(context, &store, since).await?;
        if let (true, Some(name)) = (runs.is_empty(), &self.automation) {
            let names = run_selector::names(context, &store).await?;
            if !names.contains(name) {
                return Err(run_selector::unknown(name, &names));
            }
        }
        if let Some(path) = &self.html {
            let page = page(&store, &runs, path).await?;
            let mut file = WholeFile::begin(path)?;
            file.write_all(page.as_bytes())
                .map_err(|error| cannot_write(path, error))?;
            file.finish()?;
            let count = counted(runs.len() as u64, "runs");
            context.ui.say(format_args!("{} ({count})", path.display()));
        }
        match context.ui.document() {
            Document::Json => {
                let runs: Vec<Value> = runs.iter().map(document).collect();
                context.ui.json(&json!({ "runs": runs }))?;
            }
            Document::Text if self.html.is_some() => {}
            Document::Text if runs.is_empty() => context.ui.say(self.none()),
            Document::Text => context.ui.table(&table(&runs))?,
        }
        Ok(ExitStatus::Done)
    }

    fn since(&self, now: Timestamp) -> Result<Option<Timestamp>> {
        let Some(text) = &self.since else {
            return Ok(None);
        };
        let ago = duration(text)
            .ok()
            .and_then(|ago| now.checked_sub(ago).ok());
        let since = ago.map_or_else(|| instant(text, now), Ok);
        let refused = |why| Error::usage(format!("--since: {why}, or a duration such as 7d"));
        since.map(Some).map_err(refused)
    }

    async fn listed(
        &self,
        context: &CommandContext,
        store: &Store,
        since: Option<Timestamp>,
    ) -> Result<Vec<Listed>> {
        let (status, state) = self.status.map(Selected::parts).unzip();
        let state = state.flatten();
        let filter = RunFilter {
            automation: self.automation.clone(),
            status,
            since,
            // The state of an open run is not a column of the store.
            limit: if state.is_some() { 0 } else { self.limit },
            ..RunFilter::default()
        };
        let runs = store.runs(&filter).await?;
        let open = open_runs::of(store, runs.iter().cloned(), context.clock.now()).await?;
        let shown = |run: Run| {
            let open = open.iter().find(|one| one.run.id == run.id);
            let state = open.map_or(run.status.as_str(), |one| one.as_str());
            Listed { run, state }
        };
        let mut listed: Vec<Listed> = runs.into_iter().map(shown).collect();
        if let Some(state) = state {
            listed.retain(|one| one.state == state);
            if self.limit > 0 {
                listed.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
            }
        }
        Ok(listed)
    }

    /// Returns what is said of an empty list.
    fn none(&self) -> &'static str {
        if self.status.is_some() || self.since.is_some() {
            "no run matches"
        } else {
            "there are no runs yet"
        }
    }
}

async fn page(store: &Store, runs: &[Listed], path: &Path) -> Result<String> {
    let pages = pages_beside(path);
    let mut listed = Vec::with_capacity(runs.len());
    for one in runs {
        listed.push(ListedRun {
            report: RunReport {
                state: Some(one.state.to_owned()),
                ..gather::run_counts(store, &one.run).await?
            },
            page: pages.get(&one.run.id).cloned(),
        });
    }
    Ok(html::list_page(&listed))
}

/// Returns the pages of single runs in the directory of `path`, by the run's id. A file that cannot be read is none.
fn pages_beside(path: &Path) -> HashMap<String, String> {
    let directory = match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    let mut pages = HashMap::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !is_file || Path::new(&name).extension().is_none_or(|end| end != "html") {
            continue;
        }
        let mut beginning = Vec::new();
        let read = File::open(entry.path())
            .and_then(|file| file.take(BEGINNING).read_to_end(&mut beginning));
        if let (Ok(_), Some(run)) = (read, html::shown_run(&String::from_utf8_lossy(&beginning))) {
            pages.insert(run.to_owned(), name);
        }
    }
    pages
}

/// Returns a run as JSON; `state` is the activity of an open run.
fn document(listed: &Listed) -> Value {
    let Listed { run, state } = listed;
    json!({
        "run": run.id, "automation": run.automation, "occurrence": run.occurrence, "mode": run.mode,
        "status": run.status.as_str(), "state": state, "begun_by": run.begun_by, "begun_at": run.begun_at,
        "ended_at": run.ended_at, "summary": run.summary,
    })
}

fn table(runs: &[Listed]) -> Table {
    let mut table = Table::new(["RUN", "AUTOMATION", "STATUS", "BEGUN", "TOOK", "OCCURRENCE"]);
    for Listed { run, state } in runs {
        let took = run
            .ended_at
            .map(|end| span(end.duration_since(run.begun_at)));
        table.row([
            run.id.clone(),
            run.automation.clone(),
            (*state).to_owned(),
            format!("{:.0}", run.begun_at),
            took.unwrap_or_default(),
            run.occurrence.clone(),
        ]);
    }
    table
}
