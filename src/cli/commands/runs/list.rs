//! `pushctl runs`: lists runs, newest first.

use crate::exit::ExitStatus;
use serde_json::{Value, json};

use crate::cli::context::CommandContext;
use crate::cli::{open_runs, run_selector, services};
use crate::error::Result;
use crate::report::run::span;
use crate::state::{Run, RunFilter};
use crate::ui::{Document, Table};

// Its group would have the name of the one that it is flattened into.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(crate) struct Args {
    /// Only runs of this automation
    #[arg(long, value_name = "NAME")]
    automation: Option<String>,
    /// Maximum number of runs; 0 for all
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

impl Args {
    pub(crate) async fn run(&self, context: &CommandContext) -> Result<ExitStatus> {
        let store = services::store(context).await?;
        let filter = RunFilter {
            automation: self.automation.clone(),
            limit: self.limit,
            ..RunFilter::default()
        };
        let runs = store.runs(&filter).await?;
        if let (true, Some(name)) = (runs.is_empty(), &self.automation) {
            let names = run_selector::names(context, &store).await?;
            if !names.contains(name) {
                return Err(run_selector::unknown(name, &names));
            }
        }
        let open = open_runs::of(&store, runs.iter().cloned(), context.clock.now()).await?;
        let state = |run: &Run| {
            let open = open.iter().find(|one| one.run.id == run.id);
            open.map_or(run.status.as_str(), |one| one.as_str())
        };
        match context.ui.document() {
            Document::Json => {
                let told = |run: &Run| document(run, state(run));
                let runs: Vec<Value> = runs.iter().map(told).collect();
                context.ui.json(&json!({ "runs": runs }))?;
            }
            Document::Text if runs.is_empty() => context.ui.say("there are no runs yet"),
            Document::Text => context.ui.table(&table(&runs, state))?,
        }
        Ok(ExitStatus::Done)
    }
}

/// Returns a run as JSON; `state` is the activity of an open run.
fn document(run: &Run, state: &str) -> Value {
    json!({
        "run": run.id, "automation": run.automation, "occurrence": run.occurrence, "mode": run.mode,
        "status": run.status.as_str(), "state": state, "begun_by": run.begun_by, "begun_at": run.begun_at,
        "ended_at": run.ended_at, "summary": run.summary,
    })
}

fn table(runs: &[Run], state: impl Fn(&Run) -> &'static str) -> Table {
    let mut table = Table::new(["RUN", "AUTOMATION", "STATUS", "BEGUN", "TOOK", "OCCURRENCE"]);
    for run in runs {
        let took = run
            .ended_at
            .map(|end| span(end.duration_since(run.begun_at)));
        table.row([
            run.id.clone(),
            run.automation.clone(),
            state(run).to_owned(),
            format!("{:.0}", run.begun_at),
            took.unwrap_or_default(),
            run.occurrence.clone(),
        ]);
    }
    table
}
