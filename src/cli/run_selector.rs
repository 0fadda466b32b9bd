//! Finds the run or the automation that an argument names.

use crate::automation::Automation;
use crate::error::{Error, ErrorKind, Result};
use crate::state::{PhaseRecord, Run, RunFilter, Store};
use crate::suggest::nearest;

use super::context::CommandContext;

/// The shortest prefix of a run's id that is accepted.
const SHORTEST_PREFIX: usize = 4;
/// Runs listed when a prefix matches several.
const SHOWN: u32 = 6;

/// What an argument names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Automation(String),
    Run(Box<Run>),
}

/// Finds a run by its id, a prefix of its id, or `last`.
pub(super) async fn run(context: &CommandContext, store: &Store, wanted: &str) -> Result<Run> {
    if wanted == "last" {
        let newest = RunFilter {
            limit: 1,
            ..RunFilter::default()
        };
        let newest = store.runs(&newest).await?.into_iter().next();
        return newest.ok_or_else(|| Error::usage("there are no runs yet"));
    }
    if let Some(run) = by_id(store, wanted).await? {
        return Ok(run);
    }
    let error = Error::usage(format!("there is no run {wanted}"));
    let names = names(context, store).await?;
    Err(if names.iter().any(|name| name == wanted) {
        error.hint(format!(
            "{wanted} is an automation: `pushctl runs --automation {wanted}` lists its runs"
        ))
    } else {
        error.hint("`pushctl runs` lists the runs; a prefix of the id, or `last`, also works")
    })
}

/// Finds an automation by its name, or a run by its id or a prefix of it.
pub(super) async fn find_target(
    context: &CommandContext,
    store: &Store,
    wanted: &str,
) -> Result<Target> {
    let names = names(context, store).await?;
    if names.iter().any(|name| name == wanted) {
        return Ok(Target::Automation(wanted.to_owned()));
    }
    if let Some(run) = by_id(store, wanted).await? {
        return Ok(Target::Run(Box::new(run)));
    }
    Err(unknown(wanted, &names))
}

/// Returns the known automations: those of past runs and those of the directory.
pub(super) async fn names(context: &CommandContext, store: &Store) -> Result<Vec<String>> {
    let mut names = store.automations().await?;
    let (automations, _) = automations(context);
    names.extend(
        automations
            .into_iter()
            .map(|automation| automation.file.name),
    );
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Returns the valid automations of the directory, and the number of invalid files; none without a directory.
pub(super) fn automations(context: &CommandContext) -> (Vec<Automation>, usize) {
    let Ok(checked) = super::automation_args::checked(context, &[]) else {
        return (Vec::new(), 0);
    };
    let wrong = checked.report.files - checked.automations.len().min(checked.report.files);
    (checked.automations, wrong)
}

/// Returns the current or last phase of a run. Records of single pushes are part of `send`.
pub(super) fn latest_phase(phases: Vec<PhaseRecord>) -> Option<PhaseRecord> {
    phases
        .into_iter()
        .rev()
        .find(|phase| !phase.phase.starts_with("push-"))
}

/// Returns the error for an unknown name, with the nearest known one.
pub(super) fn unknown(wanted: &str, names: &[String]) -> Error {
    let error = Error::new(
        ErrorKind::Usage,
        format!("there is no automation and no run called {wanted}"),
    );
    match nearest(wanted, names.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None if names.is_empty() => error.hint("`pushctl runs` lists the runs"),
        None => error.hint(format!("there are: {}", names.join(", "))),
    }
}

async fn by_id(store: &Store, wanted: &str) -> Result<Option<Run>> {
    if let Some(run) = store.run(wanted).await? {
        return Ok(Some(run));
    }
    if wanted.chars().count() < SHORTEST_PREFIX {
        return Ok(None);
    }
    let mut found = store.runs_beginning(wanted, SHOWN).await?;
    if found.len() < 2 {
        return Ok(found.pop());
    }
    let ids: Vec<&str> = found.iter().map(|run| run.id.as_str()).collect();
    Err(Error::usage(format!("{wanted} matches several runs"))
        .hint(format!("use a longer prefix of one of: {}", ids.join(", "))))
}
