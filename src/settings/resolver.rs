//! Resolves each setting from the first origin that has it, and records that origin.

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::suggest::nearest;

use super::environment::{Environment, VariableLocation};
use super::file::{CONFIG, ConfigFile, Entry};
use super::secret;
use super::setting::{Flags, Origin, Resolved, Setting, SettingSource, Visibility};

struct SettingCandidate<'a> {
    given: SettingSource,
    origin: Origin,
    entry: Option<&'a Entry>,
}

/// Resolves settings from the origins, one after the other.
pub(super) struct Resolver<'a> {
    flags: &'a Flags,
    environment: &'a Environment,
    file: Option<&'a ConfigFile>,
    resolved: Vec<Resolved>,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(
        flags: &'a Flags,
        environment: &'a Environment,
        file: Option<&'a ConfigFile>,
    ) -> Self {
        Self {
            flags,
            environment,
            file,
            resolved: Vec::new(),
        }
    }

    /// Returns the environment itself, for modules with a family of variables of their own.
    pub(super) fn environment(&self) -> &Environment {
        self.environment
    }

    /// Returns the flag of `key`, as it was written.
    pub(super) fn flag(&self, key: &Setting) -> Option<&'a str> {
        self.flags.get(key)
    }

    /// Returns the origin of the setting that was read last.
    pub(super) fn origin(&self) -> &Origin {
        self.resolved
            .last()
            .map_or(&Origin::Default, |resolved| &resolved.origin)
    }

    /// Returns the configuration file's value of a setting, even if another source wins.
    pub(super) fn in_file(&self, name: &str) -> Option<&SettingSource> {
        let entries = self.file.map_or(&[][..], ConfigFile::entries);
        entries
            .iter()
            .find(|entry| entry.name == name)?
            .given
            .as_ref()
    }

    /// Returns a path of the configuration file: a relative one starts at its directory.
    pub(super) fn beside_file(&self, path: &str) -> PathBuf {
        let beside = self.file.and_then(|file| file.path().parent());
        beside.unwrap_or(self.environment.directory()).join(path)
    }

    /// Returns a setting that always has a value.
    pub(super) fn value<T>(
        &mut self,
        key: &'static Setting,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T> {
        self.optional(key, read)?
            .ok_or_else(|| Error::usage(format!("{} is not set", key.name)))
    }

    /// Returns a setting that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static Setting,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>> {
        self.first(key, |given| match given {
            SettingSource::One(text) => read(text),
            SettingSource::Many(_) => Err("expected one value, not a list".to_owned()),
        })
    }

    /// Returns a setting only where it was given, without its default.
    pub(super) fn explicit<T>(
        &mut self,
        key: &'static Setting,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>> {
        let value = self.optional(key, read)?;
        Ok(value.filter(|_| *self.origin() != Origin::Default))
    }

    /// The last setting has no value of its own, and this is what holds instead.
    pub(super) fn supply(&mut self, value: &str, origin: Origin) {
        if let Some(last) = self.resolved.last_mut() {
            last.shown = Some(show(last.key, &SettingSource::One(value.to_owned())));
            last.origin = origin;
        }
    }

    /// Returns a path. In the configuration file a relative path starts at that file.
    pub(super) fn path(&mut self, key: &'static Setting) -> Result<Option<PathBuf>> {
        let path = self.optional(key, |text| {
            secret::refuse_as_path(text).map(|()| text.to_owned())
        })?;
        Ok(path.map(|path| self.beside_last(&path)))
    }

    /// Returns a path that was the value of the last setting: it starts where that was given.
    pub(super) fn beside_last(&self, path: &str) -> PathBuf {
        if matches!(self.origin(), Origin::File { .. }) {
            self.beside_file(path)
        } else {
            self.environment.directory().join(path)
        }
    }

    /// Returns a setting with any number of values: a list in the file, a repeated flag, or one text with commas.
    pub(super) fn list<T>(
        &mut self,
        key: &'static Setting,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>> {
        let items = self.first(key, |given| {
            let items: Vec<&str> = match given {
                SettingSource::One(text) => vec![text.as_str()],
                SettingSource::Many(items) => items.iter().map(String::as_str).collect(),
            };
            let split = items.iter().flat_map(|item| item.split(',')).map(str::trim);
            split.filter(|item| !item.is_empty()).map(&read).collect()
        })?;
        Ok(items.unwrap_or_default())
    }

    /// Returns every setting in the order it was read, or an error about names in the file that are no setting.
    pub(super) fn finish(self) -> Result<Vec<Resolved>> {
        let keys: Vec<&Setting> = self.resolved.iter().map(|resolved| resolved.key).collect();
        for name in self.flags.0.keys() {
            debug_assert!(
                *name == CONFIG.name || keys.iter().any(|key| key.name == *name),
                "the flag of {name} is never read"
            );
        }
        let Some(file) = self.file else {
            return Ok(self.resolved);
        };
        let unknown = file
            .entries()
            .iter()
            .filter(|entry| keys.iter().all(|key| key.name != entry.name));
        let problems: Vec<String> = unknown
            .map(|entry| file.point_at(&entry.key_span, &unknown_name(&entry.name, &keys), &keys))
            .collect();
        if problems.is_empty() {
            return Ok(self.resolved);
        }
        Err(Error::usage(problems.join("\n"))
            .hint("`pushctl config show --config /dev/null` lists every setting"))
    }

    fn first<T>(
        &mut self,
        key: &'static Setting,
        read: impl Fn(&SettingSource) -> Result<T, String>,
    ) -> Result<Option<T>> {
        let mut candidates = self.candidates(key)?.into_iter();
        let Some(winner) = candidates.next() else {
            self.resolved.push(Resolved {
                key,
                shown: None,
                origin: Origin::Default,
                overridden: Vec::new(),
            });
            return Ok(None);
        };
        let value = read(&winner.given).map_err(|message| self.refuse(key, &winner, &message))?;
        self.resolved.push(Resolved {
            key,
            shown: Some(show(key, &winner.given)),
            origin: winner.origin,
            overridden: candidates
                .map(|lost| (lost.origin, show(key, &lost.given)))
                .collect(),
        });
        Ok(Some(value))
    }

    /// Returns every origin with a value for `key`, strongest first.
    fn candidates(&self, key: &'static Setting) -> Result<Vec<SettingCandidate<'a>>> {
        let mut candidates = Vec::new();
        let mut add = |given, origin, entry| {
            candidates.push(SettingCandidate {
                given,
                origin,
                entry,
            });
        };
        if let Some(given) = self.flags.get(key) {
            let given = SettingSource::One(given.to_owned());
            add(given, Origin::Flag(key.flag), None);
        }
        let mut from_variables = self.variables(key)?;
        from_variables.sort_by_key(|(found, ..)| *found == VariableLocation::DotEnv);
        for (_, origin, value) in from_variables {
            add(SettingSource::One(value), origin, None);
        }
        if let Some(file) = self.file
            && let Some(entry) = file.entries().iter().find(|entry| entry.name == key.name)
        {
            let origin = Origin::File {
                path: file.shown().to_owned(),
                line: file.line(&entry.key_span),
            };
            let given = entry.given.clone().ok_or_else(|| {
                let message = format!("{} cannot be a value of this type", key.name);
                Error::usage(file.point_at(&entry.value_span, &message, &[key]))
            })?;
            add(given, origin, Some(entry));
        }
        if !key.default.is_empty() {
            add(
                SettingSource::One(key.default.to_owned()),
                Origin::Default,
                None,
            );
        }
        Ok(candidates)
    }

    fn variables(&self, key: &Setting) -> Result<Vec<(VariableLocation, Origin, String)>> {
        let origin = |name: String, found| match found {
            VariableLocation::Process => Origin::Variable(name),
            VariableLocation::DotEnv => Origin::DotEnv(name),
        };
        let mut values = Vec::new();
        for name in key.variables {
            for (mut value, found) in self.environment.get_all(name)? {
                if name.ends_with("_FILE") {
                    value = secret::read_file(self.environment.directory(), name, &value)?;
                }
                values.push((found, origin((*name).to_owned(), found), value));
            }
        }
        Ok(values)
    }

    fn refuse(&self, key: &'static Setting, winner: &SettingCandidate<'_>, message: &str) -> Error {
        if let (Some(entry), Some(file)) = (winner.entry, self.file) {
            let message = format!("{}: {message}", key.name);
            return Error::usage(file.point_at(&entry.value_span, &message, &[key]));
        }
        let value = match key.visibility {
            Visibility::Plain => format!(" {:?}", show(key, &winner.given)),
            _ => String::new(),
        };
        Error::usage(format!(
            "invalid value{value} for {}: {message}",
            winner.origin
        ))
    }
}

fn show(key: &Setting, given: &SettingSource) -> String {
    match given {
        SettingSource::One(text) => key.visibility.show(text),
        SettingSource::Many(items) => {
            let shown: Vec<String> = items.iter().map(|item| key.visibility.show(item)).collect();
            shown.join(",")
        }
    }
}

fn unknown_name(name: &str, keys: &[&Setting]) -> String {
    let split = |name: &'static str| name.rsplit_once('.').unwrap_or(("", name));
    let (table, last) = name.rsplit_once('.').unwrap_or(("", name));
    let in_table = || keys.iter().filter(|key| split(key.name).0 == table);
    let names = || keys.iter().map(|key| key.name);
    let lasts = || names().map(|name| split(name).1);
    let whole = |last: &str| names().find(|name| split(name).1 == last);
    // Misspelt in its table; or with its table; or in the wrong table; or all of it.
    let meant = if in_table().next().is_some() {
        let near = nearest(last, in_table().map(|key| split(key.name).1));
        in_table()
            .find(|key| near == Some(split(key.name).1))
            .map(|key| key.name)
    } else {
        nearest(name, names())
    };
    let meant = meant.or_else(|| whole(nearest(last, lasts())?));
    match meant {
        Some(known) => format!("unknown setting \"{name}\"; did you mean \"{known}\"?"),
        None => format!("unknown setting \"{name}\""),
    }
}
