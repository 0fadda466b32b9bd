//! The configuration file: TOML, `name = value`, with a table for some groups of settings.
//!
//! Read into a flat list of dotted names with their places, so that a message can point at what it is about.
//! Messages do not show secrets: the value of an unknown or masked name is replaced by `****`.

use std::ops::Range;
use std::path::{Path, PathBuf};

use clap::ValueHint;
use toml::de::{DeTable, DeValue};

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::snippet;

use super::environment::Environment;
use super::secret::{self, MASK};
use super::setting::{Flags, Setting, SettingSource, Visibility};
use super::trust;

/// The name of the file, in the working directory and in pushctl's XDG directory.
pub const NAME: &str = "pushctl.toml";

/// `--config`: the one setting that the file itself cannot have.
pub static CONFIG: Setting = Setting::new("config", "Configuration file")
    .flag("--config", "FILE")
    .hint(ValueHint::FilePath)
    .variables(&["PUSHCTL_CONFIG"])
    .not_in_file()
    .otherwise("pushctl.toml here, else in the XDG configuration directory");

/// A parsed file whose values are not typed yet.
#[derive(Clone)]
pub struct ConfigFile {
    path: PathBuf,
    /// The path as it is shown: as it was given, or relative to the working directory.
    shown: String,
    text: String,
    entries: Vec<Entry>,
}

/// `name = value` somewhere in the file.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    /// `None`: a value of a type that no setting has.
    pub(super) given: Option<SettingSource>,
    pub(super) key_span: Range<usize>,
    pub(super) value_span: Range<usize>,
}

impl ConfigFile {
    /// Returns the file named by `--config` or `PUSHCTL_CONFIG` (which must be there), else `pushctl.toml` here, else
    /// the one in pushctl's XDG directory, else none.
    pub fn find(flags: &Flags, environment: &Environment) -> Result<Option<Self>> {
        let mut given = flags.get(&CONFIG).map(str::to_owned);
        for variable in CONFIG.variables {
            given = match given {
                Some(path) => Some(path),
                None => environment.get(variable)?.map(|(path, _)| path),
            };
        }
        if let Some(path) = given {
            secret::refuse_as_path(&path).map_err(|reason| {
                Error::usage(format!("{} or PUSHCTL_CONFIG: {reason}", CONFIG.flag))
            })?;
            return Self::read(environment.directory().join(&path), path).map(Some);
        }
        let here = environment.directory().join(NAME);
        if here.is_file() {
            let file = Self::read(here, NAME.to_owned())?;
            let names = file.entries.iter().map(|entry| entry.name.as_str());
            trust::check(&file.path, NAME, names, trust::is_trusted_setting)?;
            return Ok(Some(file));
        }
        match environment
            .xdg("XDG_CONFIG_HOME", ".config")
            .map(|directory| directory.join(NAME))
        {
            Some(path) if path.is_file() => {
                let shown = path.display().to_string();
                Self::read(path, shown).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn read(path: PathBuf, shown: String) -> Result<Self> {
        let text = std::fs::read_to_string(&path).kind(ErrorKind::Usage, || {
            format!("cannot read the configuration file {shown}")
        })?;
        Self::parse(path, shown, text)
    }

    /// Reads `text` as TOML; `shown` is the path for messages.
    pub fn parse(path: PathBuf, shown: String, text: String) -> Result<Self> {
        let mut file = Self {
            path,
            shown,
            text,
            entries: Vec::new(),
        };
        let mut entries = Vec::new();
        match DeTable::parse(&file.text) {
            Ok(table) => flatten("", table.get_ref(), &mut entries),
            Err(error) => {
                let span = error.span().unwrap_or(0..0);
                return Err(Error::usage(file.point_at(&span, error.message(), &[])));
            }
        }
        file.entries = entries;
        Ok(file)
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the path as messages show it.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the line (from 1) of a place.
    pub(super) fn line(&self, span: &Range<usize>) -> usize {
        snippet::line_and_column(&self.text, span.start).0
    }

    /// Returns `message` with its place. A line is shown in full only if it is a table's head or sets one of `known`
    /// that is not secret.
    pub(super) fn point_at(
        &self,
        span: &Range<usize>,
        message: &str,
        known: &[&Setting],
    ) -> String {
        let start = self.text[..span.start.min(self.text.len())]
            .rfind('\n')
            .map_or(0, |at| at + 1);
        let end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |at| start + at);
        let line = &self.text[start..end];
        if may_be_shown(line, known) {
            return snippet::point_at(&self.shown, &self.text, span, message);
        }
        let kept = masked_from(line);
        let mask_start = start + kept;
        let masked = format!("{}{MASK}{}", &self.text[..mask_start], &self.text[end..]);
        let span = if span.start < mask_start {
            span.start..span.end.min(mask_start)
        } else {
            mask_start..mask_start + MASK.len()
        };
        snippet::point_at(&self.shown, &masked, &span, message)
    }
}

/// Returns how many bytes of a line are name and equals sign; a line without them is masked from its beginning.
fn masked_from(line: &str) -> usize {
    let Some((name, value)) = line.split_once('=') else {
        return 0;
    };
    let is_name = |each: char| each.is_ascii_alphanumeric() || "_-. \t\"".contains(each);
    if name.len() > 60 || !name.chars().all(is_name) {
        return 0;
    }
    line.len() - value.trim_start().len()
}

fn may_be_shown(line: &str, known: &[&Setting]) -> bool {
    let line = line.trim();
    if line.is_empty() || line.starts_with('[') && !line.contains('=') {
        return true;
    }
    let Some((name, _)) = line.split_once('=') else {
        return false;
    };
    let name = name.trim();
    known
        .iter()
        .filter(|key| key.name == name || key.name.rsplit('.').next() == Some(name))
        .map(|key| key.visibility)
        .reduce(Visibility::stricter)
        .is_some_and(|visibility| visibility == Visibility::Plain)
}

fn flatten(prefix: &str, table: &DeTable<'_>, entries: &mut Vec<Entry>) {
    for (key, value) in table {
        let name = format!("{prefix}{}", key.get_ref());
        if let DeValue::Table(inner) = value.get_ref() {
            flatten(&format!("{name}."), inner, entries);
            continue;
        }
        entries.push(Entry {
            name,
            given: given(value.get_ref()),
            key_span: key.span(),
            value_span: value.span(),
        });
    }
    entries.sort_by_key(|entry| entry.key_span.start);
}

fn given(value: &DeValue<'_>) -> Option<SettingSource> {
    match value {
        DeValue::Array(items) => items
            .iter()
            .map(|item| scalar(item.get_ref()))
            .collect::<Option<_>>()
            .map(SettingSource::Many),
        single => scalar(single).map(SettingSource::One),
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        _ => None,
    }
}
