//! The checks of an audience file against the publication it comes from.
//!
//! `generate` publishes the files of a run together, and a manifest with their SHA-256 after them. With stable names
//! (`--name-suffix ''`) a run replaces the files of the run before, so a run that is killed in the middle leaves new
//! files beside old ones. A commit marker beside the file, or a manifest that names the file with another SHA-256,
//! shows this, and the send is refused. A file that no manifest names was not generated here and is not checked.
//!
//! Deliberately absent: finishing the publication. The reader of a file may be another user, or on another machine,
//! than its writer; `generate` finishes it when it publishes into the directory again.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Input;
use crate::atomic_publish;
use crate::error::{Error, ErrorKind, Result};

/// The part of a manifest that is needed here. Manifests of every version have it.
#[derive(Deserialize)]
struct Described {
    files: Vec<DescribedFile>,
}

#[derive(Deserialize)]
struct DescribedFile {
    name: String,
    sha256: String,
}

/// Refuses a file beside the commit marker of an interrupted publication.
pub(super) fn check_commit_marker(input: &Input) -> Result<()> {
    let Some((directory, _)) = place(input) else {
        return Ok(());
    };
    let Some(marker) = atomic_publish::interrupted_publication(&directory) else {
        return Ok(());
    };
    Err(Error::new(
        ErrorKind::Refused,
        format!(
            "the publication beside {} was interrupted ({}): the file may be from an earlier run",
            input.name(),
            marker.display()
        ),
    )
    .hint(format!(
        "`pushctl generate AUDIENCE --output {}` finishes that publication, and then generates again",
        directory.display()
    ))
    .hint("--override commit-marker --reason TEXT sends to the file unchanged"))
}

/// Refuses a file whose content differs from the manifest beside it.
pub(super) fn check_manifest(input: &Input, sha256: &str) -> Result<()> {
    let Some((directory, name)) = place(input) else {
        return Ok(());
    };
    let mut other = None;
    for manifest in manifests(&directory) {
        let Some(described) = described_in(&manifest, &name) else {
            continue;
        };
        if described == sha256 {
            return Ok(());
        }
        other = Some((manifest, described));
    }
    let Some((manifest, described)) = other else {
        return Ok(());
    };
    let short = |sha256: &str| sha256.chars().take(12).collect::<String>();
    Err(Error::new(
        ErrorKind::Refused,
        format!(
            "{} is not the file that {} describes: its SHA-256 is {}…, and {}… in the manifest",
            input.name(),
            manifest.display(),
            short(sha256),
            short(&described)
        ),
    )
    .hint("generate the audience again; to send a file that was edited on purpose, rename it")
    .hint("--override audience --reason TEXT sends to the file unchanged"))
}

/// Returns the directory and the name under which a file was published, with links resolved.
fn place(input: &Input) -> Option<(PathBuf, String)> {
    let Input::File { path, .. } = input else {
        return None;
    };
    let path = path.canonicalize().unwrap_or_else(|_| path.clone());
    let name = path.file_name()?.to_str()?.to_owned();
    let directory = path.parent()?;
    if directory.as_os_str().is_empty() {
        return Some((".".into(), name));
    }
    Some((directory.into(), name))
}

fn manifests(directory: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().ends_with(atomic_publish::MANIFEST))
}

/// Returns the SHA-256 of a file in a manifest. A directory may hold hundreds of manifests: a manifest without the name
/// is not parsed.
fn described_in(manifest: &Path, name: &str) -> Option<String> {
    let text = std::fs::read(manifest).ok()?;
    memchr::memmem::find(&text, name.as_bytes())?;
    let described: Described = serde_json::from_slice(&text).ok()?;
    let mut files = described.files.into_iter();
    let file = files.find(|file| file.name == name)?;
    (!file.sha256.is_empty()).then_some(file.sha256)
}
