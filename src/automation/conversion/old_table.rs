//! A table of the old file. What is read is taken out of it, so that the rest is what was not carried over.

use serde_json::{Map, Value};

use super::notes::Notes;

#[derive(Debug, Default)]
pub(super) struct OldTable {
    path: String,
    keys: Map<String, Value>,
}

impl OldTable {
    /// The whole file.
    pub(super) fn top(keys: Map<String, Value>) -> Self {
        let path = String::new();
        Self { path, keys }
    }

    /// Returns an entry of a list, or `None` with a note if it is no table.
    pub(super) fn entry(path: String, value: Value, notes: &mut Notes) -> Option<Self> {
        match value {
            Value::Object(keys) => Some(Self { path, keys }),
            other => {
                notes.add(path, format!("a table is expected, not {}", kind(&other)));
                None
            }
        }
    }

    /// Returns the path of a key.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// Takes a value; null counts as none.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.keys.shift_remove(key).filter(|value| !value.is_null())
    }

    /// Takes a text that is not empty.
    pub(super) fn text(&mut self, key: &str, notes: &mut Notes) -> Option<String> {
        let text = self.typed(key, "text", notes, |value| {
            Some(value.as_str()?.trim().to_owned())
        });
        text.filter(|text| !text.is_empty())
    }

    /// Takes a number, also one in quotes.
    pub(super) fn number(&mut self, key: &str, notes: &mut Notes) -> Option<f64> {
        self.typed(key, "a number", notes, |value| match value {
            Value::String(text) => text
                .trim()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite()),
            _ => value.as_f64(),
        })
    }

    /// Takes a whole number; one outside `from..=to` becomes the nearest inside, with a note.
    pub(super) fn whole(
        &mut self,
        key: &str,
        from: u32,
        to: u32,
        notes: &mut Notes,
    ) -> Option<u32> {
        let path = self.path(key);
        let number = self.number(key, notes)?;
        // From a float: the nearest whole number within the bounds.
        let inside = number.round().clamp(f64::from(from), f64::from(to));
        let whole: u32 = format!("{inside:.0}").parse().ok()?;
        if (number - inside).abs() > f64::EPSILON {
            notes.add(
                path,
                format!("{number} is {whole} now: whole numbers from {from} to {to} are possible"),
            );
        }
        Some(whole)
    }

    pub(super) fn flag(&mut self, key: &str, notes: &mut Notes) -> Option<bool> {
        self.typed(key, "true or false", notes, Value::as_bool)
    }

    /// Takes a table; an empty one if there is none.
    pub(super) fn table(&mut self, key: &str, notes: &mut Notes) -> Self {
        let path = self.path(key);
        self.take(key)
            .and_then(|value| Self::entry(path.clone(), value, notes))
            .unwrap_or(Self {
                path,
                keys: Map::new(),
            })
    }

    pub(super) fn list(&mut self, key: &str, notes: &mut Notes) -> Vec<Value> {
        let list = self.typed(key, "a list", notes, |value| value.as_array().cloned());
        list.unwrap_or_default()
    }

    /// Returns what is left, in the order of the file.
    pub(super) fn into_keys(self) -> impl Iterator<Item = (String, Value)> {
        self.keys.into_iter()
    }

    /// Notes every key that is left.
    pub(super) fn rest(self, notes: &mut Notes) {
        for key in self.keys.keys() {
            notes.add(self.path(key), "unknown key, not carried over");
        }
    }

    fn typed<T>(
        &mut self,
        key: &str,
        wanted: &str,
        notes: &mut Notes,
        read: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(key)?;
        let read = read(&value);
        if read.is_none() {
            notes.add(
                self.path(key),
                format!("{wanted} is expected, not {}", kind(&value)),
            );
        }
        read
    }
}

/// Returns a value as a note shows it.
fn kind(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        plain => plain.to_string(),
    }
}
