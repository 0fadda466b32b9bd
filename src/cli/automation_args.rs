//! Finds, reads and checks automation files, for every command that needs them.

use std::path::{Path, PathBuf};

use crate::automation;
use crate::automation::check::{Against, Checked, check};
use crate::automation::diagnostic::Severity;
use crate::automation::render::CheckReport;
use crate::automation::{Automation, Diagnostic, SourceText};
use crate::error::{Error, Result};
use crate::settings::automation::DIRECTORY;
use crate::settings::generate;
use crate::settings::setting::Setting;
use crate::suggest::nearest;
use crate::template::link::AllowedHosts;

use super::context::CommandContext;
use super::services;

/// The settings of every command that reads automation files.
pub(super) const SETTINGS: [&Setting; 2] = [&DIRECTORY, &generate::QUERIES];

/// Checks the named files, or without any all of the configured directory.
///
/// A name is a path, a directory, or the name of a file in the configured directory without `.toml`. A file that
/// cannot be read is a finding like any other.
pub(super) fn checked(context: &CommandContext, named: &[PathBuf]) -> Result<Checked> {
    let (mut sources, mut unreadable) = (Vec::new(), Vec::new());
    for path in files(context, named)? {
        match automation::read(&path, &shown(context, &path)) {
            Ok(source) => sources.push(source),
            Err(finding) => unreadable.push(with_near_name(context, &path, *finding)),
        }
    }
    Ok(checked_sources(context, &sources)?.with_unreadable(unreadable))
}

/// Checks texts, as `pushctl check` does with files.
pub(super) fn checked_sources(context: &CommandContext, sources: &[SourceText]) -> Result<Checked> {
    let catalogue = services::catalogue(context)?;
    let link_hosts = AllowedHosts::new(&context.settings.push.link_hosts)?;
    let against = Against {
        catalogue: &catalogue,
        link_hosts: &link_hosts,
        test_users: &context.settings.generate.test_users,
        now: context.clock.now(),
        // Where the platform looks for its configuration.
        starts_late: ["railway.toml", "railway.json"]
            .iter()
            .any(|file| Path::new(file).is_file()),
    };
    Ok(check(sources, &against))
}

/// Checks every file of the configured directory; `None` if that has none.
pub(super) fn checked_if_any(context: &CommandContext) -> Result<Option<Checked>> {
    let directory = &context.settings.automations.directory;
    let is_empty =
        || automation::files_in(directory, "").is_ok_and(|listing| listing.files.is_empty());
    if !directory.exists() || is_empty() {
        return Ok(None);
    }
    checked(context, &[]).map(Some)
}

/// Returns the automation of this name, if its file has no error.
pub(super) fn one(context: &CommandContext, name: &str) -> Result<Automation> {
    let chosen = chosen(context, &[name.to_owned()])?;
    chosen
        .into_iter()
        .next()
        .ok_or_else(|| Error::usage(format!("there is no automation {name}")))
}

/// Returns the named automations, or without a name all of them; by the automation's name or its file's.
///
/// # Errors
/// A usage error if a name does not exist, or if its file has errors, each with its place. Without names, if any
/// file has errors.
pub(super) fn chosen(context: &CommandContext, names: &[String]) -> Result<Vec<Automation>> {
    let Checked {
        report,
        automations,
    } = checked(context, &[])?;
    let errors = errors(&report);
    if names.is_empty() {
        return match errors.as_slice() {
            [] => Ok(automations),
            _ => Err(broken(&report)),
        };
    }
    let one = |name: &String| {
        automation::find(&automations, name)
            .cloned()
            .map_err(|unknown| {
                let of_it: Vec<&Diagnostic> = errors
                    .iter()
                    .copied()
                    .filter(|finding| is_called(&finding.file, name))
                    .collect();
                match of_it.as_slice() {
                    [] => unknown,
                    errors => refusal(&format!("the automation {name} cannot be used"), errors),
                }
            })
    };
    names.iter().map(one).collect()
}

/// Returns the error of files that have errors.
pub(super) fn broken(report: &CheckReport) -> Error {
    refusal("the automations cannot be used", &errors(report))
}

fn errors(report: &CheckReport) -> Vec<&Diagnostic> {
    let errors = report.findings.iter();
    errors
        .filter(|finding| finding.severity == Severity::Error)
        .collect()
}

fn is_called(file: &str, name: &str) -> bool {
    file == name || Path::new(file).file_stem().is_some_and(|stem| stem == name)
}

fn refusal(message: &str, errors: &[&Diagnostic]) -> Error {
    let lines: Vec<String> = errors.iter().map(|error| error.line()).collect();
    Error::usage(lines.join("\n"))
        .context(message)
        .hint("`pushctl check` shows each error with its place")
}

/// Returns the named files, or all of the directory, each once.
fn files(context: &CommandContext, named: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let directory = &context.settings.automations.directory;
    if named.is_empty() {
        return all_in(context, directory);
    }
    let mut paths = Vec::new();
    for name in named {
        let path = context.settings.source.environment.directory().join(name);
        let in_directory = directory.join(format!("{}.toml", name.display()));
        let is_plain = name.components().count() == 1;
        let found = if path.is_dir() {
            all_in(context, &path)?
        } else if is_plain && !path.exists() && in_directory.is_file() {
            vec![in_directory]
        } else {
            vec![path]
        };
        for path in found {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    Ok(paths)
}

fn all_in(context: &CommandContext, directory: &Path) -> Result<Vec<PathBuf>> {
    let elsewhere = "set the directory with --automations DIR";
    let listing = automation::files_in(directory, &shown(context, directory))
        .map_err(|error| error.hint(elsewhere))?;
    for note in &listing.notes {
        context.ui.say(note);
    }
    let paths = listing.files;
    if paths.is_empty() {
        let message = format!(
            "the directory {} has no *.toml file",
            shown(context, directory)
        );
        return Err(Error::usage(message).hint(elsewhere));
    }
    Ok(paths)
}

/// Returns a path as messages name it: from the working directory, if it is below.
pub(super) fn shown(context: &CommandContext, path: &Path) -> String {
    let here = context.settings.source.environment.directory();
    path.strip_prefix(here)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// Adds a hint with the file name that was probably meant.
fn with_near_name(context: &CommandContext, path: &Path, mut finding: Diagnostic) -> Diagnostic {
    let directory = &context.settings.automations.directory;
    let others = automation::files_in(directory, "")
        .unwrap_or_default()
        .files;
    let name = |path: &Path| Some(path.file_stem()?.to_str()?.to_owned());
    let names: Vec<String> = others.iter().filter_map(|other| name(other)).collect();
    let wanted = name(path).unwrap_or_default();
    if !path.exists()
        && let Some(near) = nearest(&wanted, names.iter().map(String::as_str))
    {
        let file = directory.join(format!("{near}.toml"));
        finding.hint(format!("did you mean {}?", shown(context, &file)));
    }
    finding
}
