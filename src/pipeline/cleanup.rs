//! The cleanup phase: removes files and records past their retention. A file that cannot be removed is noted.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::PhaseContext;
use super::results::{CleanupResult, as_json};
use super::step::after;
use crate::audience::manifest::Manifest;
use crate::delivery::outcome_files;
use crate::error::Result;
use crate::state::Pruning;

/// What is kept of the deadline to record the end of the phase.
const TO_RECORD: Duration = Duration::from_secs(1);

/// Removes old files and records.
pub(super) async fn run(phase: &PhaseContext<'_>) -> Result<Value> {
    let context = phase.context;
    let mut notes = Vec::new();
    let old = SystemTime::from(context.clock.now())
        .checked_sub(context.retention.files)
        .unwrap_or(SystemTime::UNIX_EPOCH);
    let mut removed = 0;
    for path in old_audiences(context.output, &phase.plan.automation.audience.name, old) {
        remove(&path, &mut removed, &mut notes);
    }
    for path in old_outcomes(context.outcomes, old) {
        remove(&path, &mut removed, &mut notes);
    }
    let records = signed(context.retention.records);
    let before = after(context.clock.now(), -records);
    let budget = context.budget.step(Duration::MAX);
    context.progress.stage("removing old records");
    let pruning = Pruning {
        progress: context.progress,
        should_stop: &|| context.interrupt.fired().is_some() || budget.left() < TO_RECORD,
    };
    let pruned = context.store.prune(before, &pruning).await?;
    if pruned.stopped {
        notes.push(
            "not all old records were removed in time; the next cleanup removes the rest"
                .to_owned(),
        );
    }
    as_json(&CleanupResult {
        files_removed: removed,
        runs_forgotten: pruned.runs,
        pushes_forgotten: pruned.pushes,
        notes,
    })
}

fn signed(span: Duration) -> jiff::SignedDuration {
    span.try_into().unwrap_or(jiff::SignedDuration::MAX)
}

fn remove(path: &Path, removed: &mut u64, notes: &mut Vec<String>) {
    match std::fs::remove_file(path) {
        Ok(()) => *removed += 1,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => notes.push(format!("cannot remove {}: {error}", path.display())),
    }
}

/// Returns the files of an audience's old manifests, each manifest after its files. Files without a manifest are kept.
fn old_audiences(directory: &Path, audience: &str, old: SystemTime) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for path in older(directory, old, |name| name.ends_with(".manifest.json")) {
        let manifest = std::fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice::<Manifest>(&text).ok());
        if let Some(manifest) = manifest.filter(|manifest| manifest.audience == audience) {
            let plain = manifest.files.iter().filter(|file| file.is_plain());
            found.extend(plain.map(|file| directory.join(&file.name)));
            found.push(path);
        }
    }
    found
}

fn old_outcomes(directory: &Path, old: SystemTime) -> Vec<std::path::PathBuf> {
    older(directory, old, |name| {
        outcome_files::ENDINGS
            .iter()
            .any(|ending| name.ends_with(ending))
    })
}

fn older(
    directory: &Path,
    old: SystemTime,
    wanted: impl Fn(&str) -> bool,
) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(&wanted))
        .filter(|entry| {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            modified.is_ok_and(|modified| modified < old)
        })
        .map(|entry| entry.path())
        .collect()
}
