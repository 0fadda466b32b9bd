//! The end of a generation: the manifest, its partition proof, and the publication of all files.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::definition::Definition;
use super::file_names;
use super::file_names::{NamePart, Suffix};
use super::files::{Base, Filled, staged_name, staged_test_name};
use super::manifest::{FileEntry, FileKind, MANIFEST_VERSION, Manifest, Partition};
use super::request::{Request, StreamedFile};
use crate::atomic_publish::{Rename, Staging};
use crate::count::counted;
use crate::csv_writer;
use crate::csv_writer::Written;
use crate::error::{Error, ErrorKind, Result};

/// Returns the manifest; file names are set at publication.
pub(super) fn describe(request: &Request<'_>, reading: &StreamedFile) -> Manifest {
    let definition = request.question.definition;
    let stem = |index| file_names::stem(definition, index, request.question.values);
    let empty = |(index, filled): (usize, &Filled)| (filled.rows == 0).then(|| stem(index));
    Manifest {
        manifest_version: MANIFEST_VERSION,
        generator: concat!("pushctl ", env!("CARGO_PKG_VERSION")).into(),
        run_id: request.run_id.into(),
        audience: definition.name.clone(),
        title: definition.header.title.clone(),
        parameters: request.question.values.clone(),
        as_of: reading.as_of.clone(),
        query_sha256: query_sha256(definition),
        files: entries(request, reading),
        empty: reading
            .filled
            .iter()
            .enumerate()
            .filter_map(empty)
            .collect(),
        funnel: reading.funnel.clone(),
        partition: None,
        history: reading.history.clone(),
        missing_test_users: reading.missing_test_users.clone(),
        limit: request.limit,
        fallback: None,
        server_version: reading.server_version.clone(),
        timings: reading.timings,
    }
}

/// Returns what tells one version of a query file from another.
pub(super) fn query_sha256(definition: &Definition) -> String {
    csv_writer::hex(&Sha256::digest(definition.text.as_bytes()))
}

/// Returns each production file followed by its test file; names are set at publication.
fn entries(request: &Request<'_>, reading: &StreamedFile) -> Vec<FileEntry> {
    let mut entries = Vec::new();
    for (index, (file, filled)) in request
        .question
        .definition
        .header
        .files
        .iter()
        .zip(&reading.filled)
        .enumerate()
    {
        let entry = |kind, rows, written: Option<&Written>| FileEntry {
            name: String::new(),
            stem: file_names::stem(request.question.definition, index, request.question.values),
            kind,
            rows,
            bytes: written.map_or(0, |written| written.bytes),
            sha256: written.map_or_else(String::new, |written| written.sha256.clone()),
            columns: file.column_names().map(str::to_owned).collect(),
        };
        if filled.rows > 0 {
            let written = filled.written.as_ref().map(|(_, written)| written);
            entries.push(entry(FileKind::Production, filled.rows, written));
        }
        if let Some(Some((_, written))) = reading.test_files.get(index) {
            entries.push(entry(FileKind::Test, written.rows, Some(written)));
        }
    }
    entries
}

/// Proves that the files of a partitioned audience partition its base.
pub(super) fn prove(definition: &Definition, base: Base, manifest: &mut Manifest) -> Result<()> {
    let production = manifest
        .files
        .iter()
        .filter(|file| file.kind == FileKind::Production);
    let mut levels: BTreeMap<String, u64> = production
        .map(|file| (file.stem.clone(), file.rows))
        .collect();
    levels.extend(manifest.empty.iter().map(|stem| (stem.clone(), 0)));
    let (sum, in_two) = (levels.values().sum(), base.repeated);
    let partition = Partition {
        base: base.people,
        holds: sum == base.people && in_two == 0,
        levels,
        sum,
        in_two,
    };
    if !partition.holds {
        return Err(Error::new(
            ErrorKind::Failed,
            format!(
                "the files of {} do not partition its base: {}, {}, {} in two files",
                definition.name,
                counted(partition.base, "users"),
                counted(sum, "rows"),
                counted(in_two, "users")
            ),
        )
        .hint(format!(
            "the conditions of {} overlap or leave a gap; nothing was published",
            definition.origin
        )));
    }
    manifest.partition = Some(partition);
    Ok(())
}

/// Publishes the files of a manifest, which are staged, and the manifest after them. Returns the manifest's name.
pub(super) fn publish(
    request: &Request<'_>,
    staging: Staging,
    output: &Path,
    suffix: Suffix,
    manifest: &mut Manifest,
) -> Result<String> {
    let lock = staging.lock_output()?;
    let suffix = free_suffix(request, output, suffix);
    let definition = request.question.definition;
    let (mut renames, mut absent) = (Vec::new(), Vec::new());
    for index in 0..definition.header.files.len() {
        let stem = file_names::stem(definition, index, request.question.values);
        for (part, kind, staged) in [
            (
                NamePart::Production,
                FileKind::Production,
                staged_name(index),
            ),
            (NamePart::Test, FileKind::Test, staged_test_name(index)),
        ] {
            let name = file_names::file(definition, &stem, part, &suffix);
            let mut files = manifest.files.iter_mut();
            match files.find(|file| file.kind == kind && file.stem == stem) {
                Some(entry) => {
                    entry.name.clone_from(&name);
                    renames.push(Rename { staged, name });
                }
                None => absent.push(name),
            }
        }
    }
    let mut json = serde_json::to_vec_pretty(manifest).map_err(|error| {
        Error::from_cause(ErrorKind::Bug, error).context("the manifest cannot be written as JSON")
    })?;
    json.push(b'\n');
    absent.retain(|name| output.join(name).exists());
    let manifest_name = file_names::manifest(&request.question.definition.name, &suffix);
    staging.publish(&lock, &renames, &absent, (&manifest_name, &json))?;
    Ok(manifest_name)
}

/// Returns the suffix, or the next second under which no name of this run exists.
fn free_suffix(request: &Request<'_>, output: &Path, mut suffix: Suffix) -> Suffix {
    let definition = request.question.definition;
    loop {
        let stems = (0..definition.header.files.len())
            .map(|index| file_names::stem(definition, index, request.question.values));
        let mut taken: Vec<String> = stems
            .flat_map(|stem| {
                [NamePart::Production, NamePart::Test]
                    .map(|part| file_names::file(definition, &stem, part, &suffix))
            })
            .collect();
        taken.push(file_names::manifest(&definition.name, &suffix));
        match suffix.next() {
            Some(next) if taken.iter().any(|name| output.join(name).exists()) => suffix = next,
            _ => return suffix,
        }
    }
}
