//! The last good audience: what an earlier run published may be published once more when the source stays unreachable.
//!
//! It must have the same query, parameters and limit, be young enough, and its files must be as they were written.
//! Its test files must have no other users than the present test users.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::file_names;
use super::files::{staged_name, staged_test_name};
use super::manifest::{self, FileEntry, FileKind, MANIFEST_VERSION, Manifest, manifests_in};
use super::manifest_writer::query_sha256;
use super::request::{Fallback, Request};
use crate::atomic_publish::Staging;
use crate::clock::text::show_duration;
use crate::csv_writer::{cannot_write, hex};
use crate::error::{Error, Result};

/// The database's clock may be ahead of this machine's by so much.
const CLOCK_DIFFERENCE: SignedDuration = SignedDuration::from_mins(5);

/// Stages the files of the newest audience that fits, and returns its manifest for the present run; or the reason why
/// there is none.
pub(super) fn stage(
    request: &Request<'_>,
    rule: Fallback,
    output: &Path,
    staging: &Staging,
    cause: &Error,
) -> Result<Result<Manifest, String>> {
    let mut found = fitting(request, rule, output);
    found.sort_by_key(|(at, ..)| std::cmp::Reverse(*at));
    let mut reason = format!(
        "none of the same query and parameters in {} is at most {} old",
        output.display(),
        show_duration(rule.max_age)
    );
    for (_, name, manifest) in found {
        staging.restart()?;
        match stage_files(request, &manifest, output, staging)? {
            Ok(files) => {
                return Ok(Ok(Manifest {
                    generator: concat!("pushctl ", env!("CARGO_PKG_VERSION")).into(),
                    run_id: request.run_id.into(),
                    fallback: Some(manifest::Fallback {
                        run_id: origin(&manifest),
                        manifest: name,
                        reason: format!("{cause:#}"),
                    }),
                    files,
                    ..manifest
                }));
            }
            Err(why) => reason = why,
        }
    }
    Ok(Err(reason))
}

/// Returns the run that read the source, also if its audience stood in before.
fn origin(manifest: &Manifest) -> String {
    let before = manifest.fallback.as_ref();
    before.map_or_else(|| manifest.run_id.clone(), |before| before.run_id.clone())
}

/// Returns the complete audiences of the same query, parameters and limit that are young enough.
fn fitting(
    request: &Request<'_>,
    rule: Fallback,
    output: &Path,
) -> Vec<(Timestamp, String, Manifest)> {
    let query = query_sha256(request.question.definition);
    let is_same = |manifest: &Manifest| {
        manifest.manifest_version == MANIFEST_VERSION
            && manifest.audience == request.question.definition.name
            && manifest.parameters == *request.question.values
            && manifest.query_sha256 == query
            && manifest.limit == request.limit
    };
    let is_young = |at: Timestamp| {
        let age = rule.now.duration_since(at);
        age >= -CLOCK_DIFFERENCE && age.unsigned_abs() <= rule.max_age
    };
    let dated = manifests_in(output)
        .into_iter()
        .filter(|(_, manifest)| is_same(manifest))
        .filter_map(|(name, manifest)| Some((manifest.as_of.parse().ok()?, name, manifest)));
    dated.filter(|(at, ..)| is_young(*at)).collect()
}

/// Copies the files of a manifest into the staging directory; returns their entries, or why they cannot be used.
fn stage_files(
    request: &Request<'_>,
    manifest: &Manifest,
    output: &Path,
    staging: &Staging,
) -> Result<Result<Vec<FileEntry>, String>> {
    let definition = request.question.definition;
    let mut entries = Vec::new();
    for entry in &manifest.files {
        if entry.kind == FileKind::Test && request.test_users.is_empty() {
            continue;
        }
        let stem = |index: &usize| file_names::stem(definition, *index, request.question.values);
        let mut places = 0..definition.header.files.len();
        let Some(index) = places.find(|index| stem(index) == entry.stem) else {
            return Ok(Err(format!("{} is not one of its files", entry.name)));
        };
        let staged = match entry.kind {
            FileKind::Production => staged_name(index),
            FileKind::Test => staged_test_name(index),
        };
        if let Some(why) = copy(entry, output, staging, &staged)? {
            return Ok(Err(why));
        }
        if entry.kind == FileKind::Test
            && !lists_only(&output.join(&entry.name), request.test_users)
        {
            return Ok(Err(format!(
                "{} lists others than the present test users",
                entry.name
            )));
        }
        entries.push(entry.clone());
    }
    Ok(Ok(entries))
}

/// Copies one file; returns why not, if it is not as it was written.
fn copy(
    entry: &FileEntry,
    output: &Path,
    staging: &Staging,
    staged: &str,
) -> Result<Option<String>> {
    let from = entry
        .is_plain()
        .then(|| File::open(output.join(&entry.name)));
    let Some(Ok(mut from)) = from else {
        return Ok(Some(format!("{} cannot be read", entry.name)));
    };
    let (mut to, path) = staging.create(staged)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 16];
    loop {
        let length = match from.read(&mut block) {
            Ok(0) => break,
            Ok(length) => length,
            Err(cause) => return Ok(Some(format!("{} cannot be read: {cause}", entry.name))),
        };
        hash.update(&block[..length]);
        to.write_all(&block[..length])
            .map_err(|error| cannot_write(&path, error))?;
    }
    to.sync_all().map_err(|error| cannot_write(&path, error))?;
    let is_same = hex(&hash.finalize()) == entry.sha256;
    Ok((!is_same).then(|| format!("{} was changed since it was written", entry.name)))
}

/// Returns whether every row of a test file is for one of these users.
fn lists_only(path: &Path, users: &[String]) -> bool {
    let Ok(mut reader) = csv::Reader::from_path(path) else {
        return false;
    };
    let Ok(header) = reader.headers() else {
        return false;
    };
    let Some(place) = header.iter().position(|column| column == "user_id") else {
        return false;
    };
    let is_theirs = |id: &str| users.iter().any(|user| user.eq_ignore_ascii_case(id));
    reader
        .records()
        .all(|record| record.is_ok_and(|record| record.get(place).is_some_and(is_theirs)))
}
