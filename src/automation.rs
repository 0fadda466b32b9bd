//! An automation: an audience, the pushes it receives, and the time at which an external scheduler starts it.
//!
//! [`file`](mod@file) is the format; [`check`] reads files, reports all their errors ([`diagnostic`], [`render`]) and
//! gives the valid automations; [`schedule`] computes their times, with [`cron`] and [`quiet_hours`] hours. `starter`
//! writes a new file, and [`conversion`] one from a JSON file of the predecessor.

pub mod check;
pub mod conversion;
pub mod cron;
pub mod diagnostic;
pub mod file;
pub mod quiet_hours;
pub mod render;
pub mod schedule;
pub mod scheduler_export;
mod schema_check;
mod starter;
mod toml_tree;
mod toml_writer;

use std::collections::BTreeMap;
use std::path::Path;

use crate::audience::header::OutputFile;
use crate::audience::{Definition, Values, file_names};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::stray_files::{self, Listing};
use crate::suggest::nearest;

pub use diagnostic::{Diagnostic, SourceText};
pub use file::AutomationFile;
pub use schedule::Schedule;
pub use starter::starter;

/// An automation without an error.
#[derive(Debug, Clone, PartialEq)]
pub struct Automation {
    /// The path of its file, as the user knows it.
    pub path: String,
    /// The content of its file.
    pub file: AutomationFile,
    /// Its parsed schedule.
    pub schedule: Schedule,
}

impl Automation {
    /// Returns the automation's name.
    pub fn name(&self) -> &str {
        &self.file.name
    }
}

/// Returns the automation files of a directory, and notes about what is passed over; errors call the directory `shown`.
pub fn files_in(directory: &Path, shown: &str) -> Result<Listing> {
    stray_files::list(directory, "toml").kind(ErrorKind::Usage, || {
        format!("cannot read the automations directory {shown}")
    })
}

/// Reads a file for `check`, to be called `shown`. Its errors are findings of `check`.
pub fn read(path: &Path, shown: &str) -> Result<SourceText, Box<Diagnostic>> {
    let unreadable = |line, message: String| Box::new(Diagnostic::unreadable(shown, line, message));
    let bytes = std::fs::read(path)
        .map_err(|error| unreadable(1, format!("cannot read this file: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + memchr::memchr_iter(b'\n', valid).count();
        let mut finding = unreadable(line, "this line is not UTF-8".to_owned());
        finding.hint("save the file as UTF-8");
        finding
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
    let path = shown.to_owned();
    Ok(SourceText { path, text })
}

/// Returns the name of a file's automation, even if the rest of the file is wrong.
pub fn name_of(source: &SourceText) -> Option<String> {
    toml_tree::top_text(source, "name")
}

/// Returns the description of a file's automation, even if the rest of the file is wrong.
pub fn description_of(source: &SourceText) -> Option<String> {
    toml_tree::top_text(source, "description")
}

/// Returns the automation of this name or of this file name.
pub fn find<'a>(automations: &'a [Automation], wanted: &str) -> Result<&'a Automation> {
    let by_name = automations
        .iter()
        .find(|automation| automation.name() == wanted);
    let stem = |automation: &&Automation| {
        let path = Path::new(&automation.path);
        path.file_stem().is_some_and(|stem| stem == wanted) || automation.path == wanted
    };
    if let Some(found) = by_name.or_else(|| automations.iter().find(stem)) {
        return Ok(found);
    }
    let error = Error::usage(format!("there is no automation \"{wanted}\""));
    let names: Vec<&str> = automations.iter().map(Automation::name).collect();
    Err(match nearest(wanted, names.iter().copied()) {
        Some(near) => error.hint(format!("did you mean {near}?")),
        None if names.is_empty() => error,
        None => error.hint(format!("there are: {}", names.join(", "))),
    })
}

/// Returns the values of the audience's parameters, as an automation sets them.
pub fn values(file: &AutomationFile, definition: &Definition) -> Result<Values> {
    let given: BTreeMap<String, String> = file
        .audience
        .params
        .iter()
        .map(|(name, value)| (name.clone(), value.to_string()))
        .collect();
    file_names::values(definition, &given)
}

/// Finds the file of an audience that `audience_file` names: by its name, or by its stem in the query file.
pub fn file_named(audience: &Definition, written: &str) -> Option<usize> {
    let mut files = audience.header.files.iter();
    files.position(|file| file_name(file) == written || file.stem.get_ref() == written)
}

/// Returns a file's name without date and parameters: `showcase-haves`, for the stem
/// `showcase-haves_{product_id:8}`.
pub fn file_name(file: &OutputFile) -> &str {
    let stem = file.stem.get_ref();
    match stem.split_once('{') {
        Some((fixed, _)) => fixed.trim_end_matches(['_', '-']),
        None => stem,
    }
}
