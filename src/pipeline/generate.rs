//! The first phase: audience files, manifest, and the safeguards that need them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Mode;
use super::driver::Driver;
use super::plan::{GeneratedFiles, OneFile, PushFiles};
use super::safeguards::{AudienceFacts, judge, quiet_pushes, rows_before};
use crate::audience::file_names;
use crate::audience::file_names::Suffix;
use crate::audience::manifest::{FileKind, Manifest};
use crate::audience::query_context::QueryContext;
use crate::audience::run::{GenerateTarget, Request, run};
use crate::audience::{Definition, Values};
use crate::automation::{file_named, values};
use crate::budget::Budget;
use crate::delivery::SendPlan;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::progress::Silent;

impl Driver<'_> {
    pub(super) async fn generate(&self) -> Result<Value> {
        let context = self.context;
        let definition = context.catalogue.get(&self.plan.automation.audience.name)?;
        let values = values(&self.plan.automation, &definition)?;
        let test_users = self.test_users();
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
            run_id: &self.run.id,
        };
        let budget = Budget::start(context.deadline);
        let target = GenerateTarget::Directory(context.output, Suffix::Time(context.clock.now()));
        let outcome = run(context.source, &budget, context.progress, &request, target).await?;
        let manifest = &outcome.manifest;
        let mut files = GeneratedFiles {
            directory: std::path::absolute(context.output)
                .unwrap_or_else(|_| context.output.into()),
            manifest: outcome.manifest_name.clone(),
            as_of: manifest.as_of.clone(),
            rows: 0,
            pushes: self.files_of(&definition, &values, manifest)?,
            notes: Vec::new(),
        };
        // Several pushes may go to one file; its people are counted once.
        let live = files.pushes.iter().filter_map(|push| push.live.as_ref());
        let rows: BTreeMap<&str, u64> = live.map(|file| (&*file.name, file.rows)).collect();
        files.rows = rows.into_values().sum();
        files
            .notes
            .extend(manifest.missing_test_users.iter().map(|id| {
                format!("the test user {id} is not in the source database: no test push to them")
            }));
        self.guard(&mut files).await?;
        self.keep_files(&files).await?;
        self.tell_ready(&files).await;
        let mut detail =
            serde_json::to_value(&files).kind(ErrorKind::Bug, || "files that are no JSON")?;
        detail["funnel"] = serde_json::to_value(&manifest.funnel).unwrap_or_default();
        Ok(detail)
    }

    pub(super) fn test_users(&self) -> &[String] {
        let own = self.plan.automation.test.user_ids.as_deref();
        own.unwrap_or(self.context.test_users)
    }

    fn files_of(
        &self,
        definition: &Definition,
        values: &Values,
        manifest: &Manifest,
    ) -> Result<Vec<PushFiles>> {
        let of = |stem: &str, kind: FileKind| {
            let entry = manifest
                .files
                .iter()
                .find(|entry| entry.stem == stem && entry.kind == kind);
            entry.map(|entry| OneFile {
                name: entry.name.clone(),
                rows: entry.rows,
                sha256: entry.sha256.clone(),
            })
        };
        let pushes = self.plan.automation.push.iter().map(|push| {
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

    /// Renders every row that will be sent, and refuses what the automation does not allow.
    async fn guard(&self, files: &mut GeneratedFiles) -> Result<()> {
        let mut facts = AudienceFacts {
            rows: files.rows,
            rows_before: rows_before(self.context.store, &self.run.automation).await?,
            skipped: Vec::new(),
        };
        for (place, push) in files.pushes.iter().enumerate() {
            if let Some(file) = &push.live {
                let order = self.order(place, files, file);
                let plan = SendPlan::prepare(
                    &order,
                    self.overrides,
                    self.context.hosts,
                    &Silent,
                    self.context.interrupt,
                )?;
                let skipped = plan.skipped.values().sum();
                facts
                    .skipped
                    .push((push.audience_file.clone(), plan.rows, skipped));
            }
        }
        let mut verdict = judge(&self.plan.automation.safeguards, &facts);
        if self.plan.mode == Mode::LiveSend {
            verdict.refusals.extend(quiet_pushes(self.plan));
            if self.plan.automation.test.required && self.test_users().is_empty() {
                verdict.refusals.push(
                    "a test push is required, and there are no test users: neither test.user_ids nor the setting test_users names any"
                        .to_owned(),
                );
            }
        }
        for warning in &verdict.warnings {
            self.context.progress.note(warning);
        }
        files.notes.append(&mut verdict.warnings);
        verdict.error(&self.run.automation)
    }
}
