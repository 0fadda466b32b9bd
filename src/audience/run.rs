//! One generation of an audience: reads a snapshot, writes the rows to files, publishes all files together.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::file_names::Suffix;
use super::files::{AudienceFiles, Destination, Filled, staged_test_name};
use super::funnel;
use super::manifest::{Manifest, Timings};
use super::request::StreamedFile;
pub use super::request::{Fallback, Request};
use super::{history, last_good, manifest_writer, statement, test_rows};
use crate::atomic_publish::Staging;
use crate::budget::Budget;
use crate::csv_writer::{Writer, Written};
use crate::error::{Error, Result};
use crate::progress::{Counter, Progress};
use crate::source::{Snapshot, Source};

/// The target of a run's files.
#[derive(Debug)]
pub enum GenerateTarget<'a> {
    /// All of them into a directory.
    Directory(&'a Path, Suffix),
    /// One, by index, to be read back from [`GenerateOutcome::spooled`].
    One(usize),
    /// No files: a dry run.
    Nowhere,
}

/// The result of a run.
#[derive(Debug)]
pub struct GenerateOutcome {
    /// The published manifest; with [`GenerateTarget::Nowhere`] its files are those that would have been written,
    /// without size and hash.
    pub manifest: Manifest,
    /// The one file of [`GenerateTarget::One`], unless it would be empty.
    pub spooled: Option<File>,
    /// The directory of the files, if they were published.
    pub directory: Option<PathBuf>,
    /// The manifest's file there.
    pub manifest_name: Option<String>,
}

/// Generates an audience: connects, reads, writes, publishes.
///
/// If the source stays unreachable, and the request allows it, publishes the last good audience once more.
///
/// # Errors
/// After an error nothing is published, and temporary files are removed.
pub async fn run(
    source: &Source,
    budget: &Budget,
    progress: &dyn Progress,
    request: &Request<'_>,
    target: GenerateTarget<'_>,
) -> Result<GenerateOutcome> {
    test_rows::check_ids(request.test_users)?;
    let staging = match &target {
        GenerateTarget::Directory(output, _) => Some(Staging::open(output, request.run_id)?),
        GenerateTarget::One(_) | GenerateTarget::Nowhere => None,
    };
    let destination = match (&target, &staging) {
        (GenerateTarget::One(index), _) => Destination::Spooled(*index),
        (_, Some(staging)) => Destination::Staged(staging),
        (_, None) => Destination::Counted,
    };
    progress.stage(&format!("connecting to the source {}", source.place()));
    let reading = source
        .read(
            budget,
            request.question.interrupt,
            request.question.watch,
            async |snapshot: &Snapshot| {
                if let Some(staging) = &staging {
                    staging.restart()?;
                }
                read(snapshot, budget, progress, request, &destination).await
            },
        )
        .await;
    let mut reading = match reading {
        Err(error) if is_source_away(&error) => {
            return stand_in(budget, request, (target, staging), error);
        }
        reading => reading?,
    };
    let spooled = match target {
        GenerateTarget::One(index) => reading
            .filled
            .get_mut(index)
            .and_then(|filled| filled.written.take()),
        GenerateTarget::Directory(..) | GenerateTarget::Nowhere => None,
    };
    let mut manifest = manifest_writer::describe(request, &reading);
    if let Some(base) = reading.base.filter(|_| request.limit.is_none()) {
        manifest_writer::prove(request.question.definition, base, &mut manifest)?;
    }
    let mut outcome = GenerateOutcome {
        spooled: spooled.map(|(file, _)| file),
        directory: None,
        manifest_name: None,
        manifest,
    };
    if let (GenerateTarget::Directory(output, suffix), Some(staging)) = (target, staging) {
        progress.stage("publishing");
        outcome.manifest.timings.total_ms = millis(budget);
        let manifest = &mut outcome.manifest;
        let name = manifest_writer::publish(request, staging, output, suffix, manifest)?;
        outcome.manifest_name = Some(name);
        outcome.directory = Some(output.into());
    }
    Ok(outcome)
}

fn is_source_away(error: &Error) -> bool {
    error.is_retryable() && !history::is_cause_of(error)
}

/// Publishes the last good audience, or returns the error with the reason why there is none.
fn stand_in(
    budget: &Budget,
    request: &Request<'_>,
    (target, staging): (GenerateTarget<'_>, Option<Staging>),
    error: Error,
) -> Result<GenerateOutcome> {
    let (Some(rule), GenerateTarget::Directory(output, suffix), Some(staging)) =
        (request.fallback, target, staging)
    else {
        return Err(error);
    };
    let mut manifest = match last_good::stage(request, rule, output, &staging, &error)? {
        Ok(manifest) => manifest,
        Err(reason) => {
            return Err(error.hint(format!("no earlier audience was used: {reason}")));
        }
    };
    manifest.timings = Timings {
        total_ms: millis(budget),
        ..Timings::default()
    };
    let name = manifest_writer::publish(request, staging, output, suffix, &mut manifest)?;
    Ok(GenerateOutcome {
        manifest,
        spooled: None,
        directory: Some(output.into()),
        manifest_name: Some(name),
    })
}

async fn read(
    snapshot: &Snapshot,
    budget: &Budget,
    progress: &dyn Progress,
    request: &Request<'_>,
    destination: &Destination<'_>,
) -> Result<StreamedFile> {
    let definition = request.question.definition;
    let connect_ms = millis(budget);
    let opened = request.question.open(snapshot, budget).await?;

    progress.stage(&format!("reading {}", definition.name));
    let began = Instant::now();
    let mut files = AudienceFiles::new(definition, destination, request.ending, request.limit);
    let statement = statement::audience(definition);
    let mut counter = Counter::of(progress);
    snapshot
        .copy_out(&statement.text, &mut |row| {
            counter.one();
            files.take(row)
        })
        .await
        .map_err(|error| super::located(definition, &statement, error))?;
    drop(counter);
    let (base, rows) = (files.base(), files.rows());
    let filled = files.finish()?;
    let rows_ms = elapsed(began);

    let (test_files, missing_test_users) =
        write_test_files(snapshot, request, destination, &filled).await?;
    let began = Instant::now();
    let funnel = if request.funnel {
        progress.stage("counting the funnel");
        let found = funnel::count(snapshot, definition).await?;
        Some(found.with_files(rows, request.limit, definition)?)
    } else {
        None
    };
    Ok(StreamedFile {
        as_of: opened.as_of,
        filled,
        test_files,
        missing_test_users,
        history: opened.history,
        server_version: snapshot.server_version().to_owned(),
        timings: Timings {
            connect_ms,
            rows_ms,
            funnel_ms: funnel.as_ref().map_or(0, |_| elapsed(began)),
            total_ms: 0,
        },
        base,
        funnel,
    })
}

type TestFiles = Vec<Option<(File, Written)>>;

/// Returns the test file beside each non-empty production file.
async fn write_test_files(
    snapshot: &Snapshot,
    request: &Request<'_>,
    destination: &Destination<'_>,
    filled: &[Filled],
) -> Result<(TestFiles, Vec<String>)> {
    let Destination::Staged(staging) = destination else {
        return Ok((Vec::new(), Vec::new()));
    };
    let (identities, missing) = test_rows::identities(snapshot, request.test_users).await?;
    let mut written = Vec::new();
    for (index, (file, filled)) in request
        .question
        .definition
        .header
        .files
        .iter()
        .zip(filled)
        .enumerate()
    {
        if filled.rows == 0 || identities.is_empty() {
            written.push(None);
            continue;
        }
        let columns: Vec<&str> = file.column_names().collect();
        let (out, path) = staging.create(&staged_test_name(index))?;
        let mut writer = Writer::begin(out, &path, columns.iter().copied(), request.ending)?;
        for identity in &identities {
            writer.record(&test_rows::record(&columns, filled, identity)?)?;
        }
        written.push(Some(writer.finish()?));
    }
    Ok((written, missing))
}

fn millis(budget: &Budget) -> u64 {
    u64::try_from(budget.spent().as_millis()).unwrap_or(u64::MAX)
}

fn elapsed(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}
