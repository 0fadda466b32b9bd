//! `send --automation NAME --push K`: takes text, layer and safeguards from the file of an automation, and the
//! recipients from the newest audience file that was generated for it.
//!
//! An audience file belongs to the automation if a manifest beside it lists it, and that manifest has the automation's
//! parameters, no limit, an age of at most `max_audience_age`, and the SHA-256 of the file. A file that no manifest
//! lists is refused, unless the guard `audience` is overridden. Every version has recorded `limit`, so a manifest
//! without it was made without a limit.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::context::RunContext;
use super::gates::{Guard, Overrides};
use super::services;
use crate::audience::manifest::{FileEntry, FileKind, Manifest, manifests_in};
use crate::audience::{Definition, Values, file_names};
use crate::automation::file;
use crate::automation::file::{PushTable, QuietAction};
use crate::automation::{Automation, file_named, values};
use crate::clock::text::{duration, show_age, show_duration};
use crate::count::counted;
use crate::delivery::overlap::OverlapLimit;
use crate::delivery::{CadenceFailure, Input, Order, SendPlan};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::safeguards::{
    AudienceFacts, apply_overrides, check_audience, rows_before, while_sending,
};
use crate::settings::generate::OutputTarget;
use crate::state::Store;

/// A push of an automation that is sent by hand.
pub struct AutomationOrder<'a> {
    automation: &'a Automation,
    push: &'a PushTable,
    overrides: &'a Overrides,
    /// Rows of all files that get a push of the automation, as the manifest says.
    rows: Option<u64>,
}

impl<'a> AutomationOrder<'a> {
    /// Fills an order in from the automation. `input` is the audience, if it was given.
    ///
    /// # Errors
    /// There is no such push, there is no file for it, or the file is not the automation's.
    pub fn apply(
        context: &RunContext<'_>,
        (automation, number): (&'a Automation, u32),
        overrides: &'a Overrides,
        input: Option<Input>,
        order: &mut Order,
    ) -> Result<Self> {
        let place = usize::try_from(number)
            .unwrap_or(usize::MAX)
            .wrapping_sub(1);
        let push = automation.file.push.get(place).ok_or_else(|| {
            Error::usage(format!(
                "--push: {} has {}, numbered from 1",
                automation.name(),
                counted(automation.file.push.len() as u64, "pushes")
            ))
        })?;
        let safeguards = apply_overrides(automation.file.clone(), overrides).safeguards;
        automation.name().clone_into(&mut order.automation);
        order.number = number;
        order.layer = u32::from(push.layer);
        let zone = automation.schedule.zone.clone();
        let now = context.clock.now().to_zoned(zone);
        order.wording = push.wording(&now, &context.settings.message);
        order.holdout_percent = safeguards.holdout_percent;
        order.max_failure_rate = order.max_failure_rate.or(safeguards.max_failure_rate);
        order.overlap = Some(OverlapLimit::of(&automation.file, context.clock.now()));
        if safeguards.cadence_failure == file::CadenceFailure::Send {
            order.cadence_failure = CadenceFailure::Send;
        }
        let mut automation_order = Self {
            automation,
            push,
            overrides,
            rows: None,
        };
        order.input = automation_order.input(context, input)?;
        Ok(automation_order)
    }

    /// Checks the safeguards of the automation: audience size, change, skipped rows, quiet hours.
    pub async fn check_safeguards(
        &self,
        context: &RunContext<'_>,
        store: &Store,
        plan: &SendPlan,
    ) -> Result<()> {
        let file = apply_overrides(self.automation.file.clone(), self.overrides);
        let before = match self.rows {
            Some(_) => rows_before(store, self.automation.name()).await?,
            // One file of several cannot be compared with all of them.
            None => None,
        };
        let skipped = plan.skipped.values().sum();
        let facts = AudienceFacts {
            rows: self.rows.unwrap_or(plan.rows),
            rows_before: before,
            skipped: vec![(self.push.audience_file.clone(), plan.rows, skipped)],
        };
        let mut verdict = check_audience(&file.safeguards, &facts);
        let quiet = while_sending(&file, None).quiet;
        if let Some(quiet) = quiet.filter(|quiet| quiet.action == QuietAction::Refuse)
            && quiet.end_after(context.clock.now()).is_some()
        {
            verdict.refusals.push(format!(
                "this push would be sent now, within quiet_hours = \"{}\"",
                quiet.hours
            ));
        }
        for warning in &verdict.warnings {
            context.reporter.warn(warning);
        }
        verdict.error(self.automation.name())
    }

    fn input(&mut self, context: &RunContext<'_>, named: Option<Input>) -> Result<Input> {
        let definition =
            services::catalogue(context.settings)?.get(&self.automation.file.audience.name)?;
        let values = values(&self.automation.file, &definition)?;
        let (manifest, path) = match named {
            None => {
                let (manifest, directory) = newest(context, &definition, &values)?;
                let path = self.file_of(&definition, &values, &manifest, &directory)?;
                context
                    .reporter
                    .say(&format!("audience: {}", path.display()));
                (Some(manifest), path)
            }
            Some(Input::File { path, sha256: None }) => (manifest_of(&path), path),
            Some(input) => {
                if self.overrides.lift(Guard::Audience) {
                    return Ok(input);
                }
                return Err(
                    self.wrong_audience("--users lists user ids instead of an audience file")
                );
            }
        };
        if self.overrides.lift(Guard::Audience) {
            return Ok(Input::File { path, sha256: None });
        }
        let Some(manifest) = manifest else {
            let unknown = format!("no manifest lists {}", path.display());
            return Err(self.wrong_audience(&unknown));
        };
        let entry = entry_of(&manifest, &path);
        self.check_manifest(&manifest, &values, context.clock.now())?;
        let stem = self.stem(&definition, &values);
        let Some(entry) = entry.filter(|entry| Some(&entry.stem) == stem.as_ref()) else {
            let other = format!(
                "{} is not its file {}",
                path.display(),
                self.push.audience_file
            );
            return Err(self.wrong_audience(&other));
        };
        let sha256 = Some(entry.sha256.clone());
        self.rows = Some(self.rows_of(&definition, &values, &manifest));
        Ok(Input::File { path, sha256 })
    }

    /// Checks the audience, the parameters, the limit and the age of a manifest.
    fn check_manifest(&self, manifest: &Manifest, values: &Values, now: Timestamp) -> Result<()> {
        let table = &self.automation.file.audience;
        if manifest.audience != table.name {
            let why = format!("its audience is {}, not {}", manifest.audience, table.name);
            return Err(self.wrong_audience(&why));
        }
        let made = &manifest.parameters;
        let differs = |name: &&String| made.get(*name) != values.get(*name);
        if let Some(name) = values.keys().chain(made.keys()).find(differs) {
            let shown = |of: &Values| of.get(name).map_or("nothing", String::as_str).to_owned();
            let why = format!(
                "it was made with {name} = {}, and the automation has {}",
                shown(made),
                shown(values)
            );
            return Err(self.wrong_audience(&why));
        }
        if let Some(limit) = manifest.limit {
            let why = format!("it was made with --limit {limit}");
            return Err(self.wrong_audience(&why));
        }
        let most = &self.automation.file.safeguards.max_audience_age;
        let most = duration(most).map_err(Error::usage)?;
        let as_of: Timestamp = manifest.as_of.parse().map_err(|_| {
            self.wrong_audience(&format!(
                "the as_of of its manifest is not a time: {}",
                manifest.as_of
            ))
        })?;
        let age = now.duration_since(as_of).unsigned_abs();
        if now > as_of && age > most {
            let why = format!(
                "it is {} old, and max_audience_age allows {}",
                show_age(age),
                show_duration(most)
            );
            return Err(self.wrong_audience(&why));
        }
        Ok(())
    }

    fn wrong_audience(&self, why: &str) -> Error {
        Error::new(ErrorKind::Refused, why)
            .context(format!(
                "the file is not an audience of {}",
                self.automation.name()
            ))
            .hint(format!(
                "`pushctl generate {}` with the parameters of the automation writes one",
                self.automation.file.audience.name
            ))
            .hint("--override audience --reason TEXT sends it, once")
    }

    fn stem(&self, definition: &Definition, values: &Values) -> Option<String> {
        let index = file_named(definition, &self.push.audience_file);
        index.map(|index| file_names::stem(definition, index, values))
    }

    fn file_of(
        &self,
        definition: &Definition,
        values: &Values,
        manifest: &Manifest,
        directory: &Path,
    ) -> Result<PathBuf> {
        let stem = self.stem(definition, values);
        let is_its = |file: &&FileEntry| {
            file.kind == FileKind::Production && Some(&file.stem) == stem.as_ref()
        };
        if let Some(file) = manifest.files.iter().find(is_its) {
            return Ok(directory.join(&file.name));
        }
        let rows = self.rows_of(definition, values, manifest);
        let least = apply_overrides(self.automation.file.clone(), self.overrides)
            .safeguards
            .min_audience;
        if rows < least {
            let facts = AudienceFacts {
                rows,
                ..AudienceFacts::default()
            };
            check_audience(&self.automation.file.safeguards, &facts)
                .error(self.automation.name())?;
        }
        Err(no_file(directory, &self.push.audience_file, definition))
    }

    /// Returns the rows of all files that a push of the automation goes to.
    fn rows_of(&self, definition: &Definition, values: &Values, manifest: &Manifest) -> u64 {
        let mut rows = 0;
        for push in &self.automation.file.push {
            let stem = file_named(definition, &push.audience_file)
                .map(|index| file_names::stem(definition, index, values));
            let files = manifest.files.iter();
            let its = files.filter(|file| {
                file.kind == FileKind::Production && Some(&file.stem) == stem.as_ref()
            });
            rows += its.map(|file| file.rows).sum::<u64>();
        }
        rows
    }
}

/// Returns the newest manifest in the output directory that has these parameters; without one the newest of the
/// audience, whose refusal then names the difference.
fn newest(
    context: &RunContext<'_>,
    definition: &Definition,
    values: &Values,
) -> Result<(Manifest, PathBuf)> {
    let OutputTarget::Directory(directory) = &context.settings.generate.output else {
        return Err(Error::usage("--audience FILE is required"));
    };
    let mut found = manifests(directory);
    found.retain(|manifest| manifest.audience == definition.name);
    let fits = |manifest: &Manifest| manifest.parameters == *values;
    let newest = found
        .into_iter()
        .max_by(|one, other| (fits(one), &one.as_of).cmp(&(fits(other), &other.as_of)));
    let newest = newest.ok_or_else(|| no_file(directory, &definition.name, definition))?;
    Ok((newest, directory.clone()))
}

fn no_file(directory: &Path, wanted: &str, definition: &Definition) -> Error {
    Error::usage(format!("{} has no file for {wanted}", directory.display())).hint(format!(
        "`pushctl generate {}` writes one; --audience FILE names another",
        definition.name
    ))
}

/// Returns the newest manifest beside a file that lists it. Files may be replaced under the same name.
fn manifest_of(path: &Path) -> Option<Manifest> {
    let listing = manifests(path.parent()?).into_iter();
    listing
        .filter(|manifest| entry_of(manifest, path).is_some())
        .max_by(|one, other| one.as_of.cmp(&other.as_of))
}

fn entry_of<'m>(manifest: &'m Manifest, path: &Path) -> Option<&'m FileEntry> {
    let name = path.file_name()?.to_str()?;
    let mut files = manifest.files.iter();
    files.find(|file| file.kind == FileKind::Production && file.name == name)
}

fn manifests(directory: &Path) -> Vec<Manifest> {
    let found = manifests_in(directory).into_iter();
    found.map(|(_, manifest)| manifest).collect()
}
