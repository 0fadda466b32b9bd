//! The generate phase: audience files, manifest, and the safeguards that need them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::file_handoff::store_files;
use super::notifications::notify_ready;
use super::plan::{GeneratedFile, GeneratedFiles, PushFiles};
use super::results::{GenerateResult, as_json};
use super::safeguards::{AudienceFacts, check_audience, quiet_pushes, rows_before};
use super::send;
use super::{Mode, PhaseContext};
use crate::audience;
use crate::audience::file_names;
use crate::audience::file_names::Suffix;
use crate::audience::manifest::{FileKind, Manifest};
use crate::audience::query_context::QueryContext;
use crate::audience::run::{Fallback, GenerateTarget, Request};
use crate::audience::{Definition, Values};
use crate::automation::{file_named, values};
use crate::clock::text::duration;
use crate::delivery::SendPlan;
use crate::error::{Error, Result};
use crate::progress::Silent;

/// Generates the audience files and checks the safeguards.
pub(super) async fn run(phase: &PhaseContext<'_>) -> Result<Value> {
    let context = phase.context;
    let definition = context
        .catalogue
        .get(&phase.plan.automation.audience.name)?;
    let values = values(&phase.plan.automation, &definition)?;
    let test_users = test_users(phase);
    let request = Request {
        question: QueryContext {
            definition: &definition,
            values: &values,
            as_of: None,
            history: context.history,
            interrupt: context.interrupt,
            watch: context.watch,
        },
        limit: None,
        ending: context.ending,
        test_users,
        funnel: true,
        run_id: &phase.run.id,
        fallback: fallback(phase)?,
    };
    let most = match request.fallback {
        // The tests and the send need time, too.
        Some(_) => context.budget.left() / 2,
        None => Duration::MAX,
    };
    let budget = context.budget.step(most);
    let target = GenerateTarget::Directory(context.output, Suffix::Time(context.clock.now()));
    let outcome =
        audience::run::run(context.source, &budget, context.progress, &request, target).await?;
    let manifest = &outcome.manifest;
    let mut files = GeneratedFiles {
        directory: std::path::absolute(context.output).unwrap_or_else(|_| context.output.into()),
        manifest: outcome.manifest_name.clone(),
        as_of: manifest.as_of.clone(),
        rows: 0,
        pushes: files_of_pushes(phase, &definition, &values, manifest)?,
        notes: Vec::new(),
    };
    // Several pushes may go to one file; its recipients are counted once.
    let live = files.pushes.iter().filter_map(|push| push.live.as_ref());
    let rows: BTreeMap<&str, u64> = live.map(|file| (&*file.name, file.rows)).collect();
    files.rows = rows.into_values().sum();
    files
        .notes
        .extend(manifest.missing_test_users.iter().map(|id| {
            format!("the test user {id} is not in the source database and gets no test push")
        }));
    if let Some(note) = manifest.fallback_note(context.clock.now()) {
        context.progress.note(&note);
        files.notes.push(note);
    }
    check_safeguards(phase, &mut files).await?;
    store_files(phase, &files).await?;
    notify_ready(phase, &files).await;
    as_json(&GenerateResult {
        files,
        funnel: manifest.funnel.clone(),
        parameters: manifest.parameters.clone(),
    })
}

/// Returns which earlier audience may be used: none that is too old for a send by hand.
fn fallback(phase: &PhaseContext<'_>) -> Result<Option<Fallback>> {
    let automation = &phase.plan.automation;
    let Some(most) = &automation.audience.fallback_max_age else {
        return Ok(None);
    };
    let age = |text: &str| duration(text).map_err(Error::usage);
    Ok(Some(Fallback {
        now: phase.context.clock.now(),
        max_age: age(most)?.min(age(&automation.safeguards.max_audience_age)?),
    }))
}

fn test_users<'a>(phase: &PhaseContext<'a>) -> &'a [String] {
    let own = phase.plan.automation.test.user_ids.as_deref();
    own.unwrap_or(phase.context.test_users)
}

fn files_of_pushes(
    phase: &PhaseContext<'_>,
    definition: &Definition,
    values: &Values,
    manifest: &Manifest,
) -> Result<Vec<PushFiles>> {
    let of = |stem: &str, kind: FileKind| {
        let entry = manifest
            .files
            .iter()
            .find(|entry| entry.stem == stem && entry.kind == kind);
        entry.map(|entry| GeneratedFile {
            name: entry.name.clone(),
            rows: entry.rows,
            sha256: entry.sha256.clone(),
        })
    };
    let pushes = phase.plan.automation.push.iter().map(|push| {
        let index = file_named(definition, &push.audience_file).ok_or_else(|| {
            Error::usage(format!(
                "the audience {} has no file {}",
                definition.name, push.audience_file
            ))
        })?;
        let stem = file_names::stem(definition, index, values);
        Ok(PushFiles {
            audience_file: push.audience_file.clone(),
            live: of(&stem, FileKind::Production),
            test: of(&stem, FileKind::Test),
        })
    });
    pushes.collect()
}

/// Renders every row that will be sent, and checks the audience against the safeguards.
async fn check_safeguards(phase: &PhaseContext<'_>, files: &mut GeneratedFiles) -> Result<()> {
    let mut facts = AudienceFacts {
        rows: files.rows,
        rows_before: rows_before(phase.context.store, &phase.run.automation).await?,
        skipped: Vec::new(),
    };
    for (place, push) in files.pushes.iter().enumerate() {
        if let Some(file) = &push.live {
            let order = send::order(phase, place, files, file);
            let plan = SendPlan::prepare(
                &order,
                phase.overrides,
                phase.context.hosts,
                &Silent,
                phase.context.interrupt,
            )?;
            let skipped = plan.skipped.values().sum();
            facts
                .skipped
                .push((push.audience_file.clone(), plan.rows, skipped));
        }
    }
    let mut verdict = check_audience(&phase.plan.automation.safeguards, &facts);
    if phase.plan.mode == Mode::LiveSend {
        let has_tests = files.pushes.iter().any(|push| push.test.is_some());
        let tests_at = phase.plan.times.test_at.max(phase.context.clock.now());
        let quiet = quiet_pushes(phase.plan, has_tests.then_some(tests_at));
        verdict.refusals.extend(quiet);
        if phase.plan.automation.test.required && test_users(phase).is_empty() {
            verdict.refusals.push(
                    "a test push is required, and there are no test users: neither test.user_ids nor the setting test_users names any"
                        .to_owned(),
                );
        }
    }
    for warning in &verdict.warnings {
        phase.context.progress.note(warning);
    }
    files.notes.append(&mut verdict.warnings);
    verdict.error(&phase.run.automation)
}
