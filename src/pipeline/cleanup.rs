//! The last phase: files and records that are older than anybody needs. A file that cannot be removed is mentioned.

use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::PhaseContext;
use super::results::{CleanupResult, as_json};
use super::step::after;
use crate::audience::manifest::Manifest;
use crate::error::Result;

/// The names of outcome files end in one of these.
const OUTCOMES: [&str; 3] = [".outcomes.csv", ".dead-tokens.csv", ".dead-tokens.sql"];

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
    let pruned = context.store.prune(before).await?;
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

/// The files of an audience's old manifests, each manifest after its files; nothing that is not in a manifest.
fn old_audiences(directory: &Path, audience: &str, old: SystemTime) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for path in older(directory, old, |name| name.ends_with(".manifest.json")) {
        let manifest = std::fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice::<Manifest>(&text).ok());
        if let Some(manifest) = manifest.filter(|manifest| manifest.audience == audience) {
            // A name in a manifest is never a path.
            let plain = manifest
                .files
                .iter()
                .filter(|file| !file.name.contains(['/', '\\']));
            found.extend(plain.map(|file| directory.join(&file.name)));
            found.push(path);
        }
    }
    found
}

fn old_outcomes(directory: &Path, old: SystemTime) -> Vec<std::path::PathBuf> {
    older(directory, old, |name| {
        OUTCOMES.iter().any(|ending| name.ends_with(ending))
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
