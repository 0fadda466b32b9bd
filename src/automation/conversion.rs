//! Converts an automation of the predecessor, a JSON file, into an automation file. What has no counterpart becomes a
//! note with its path in the JSON, so that nothing is lost without a word.
//!
//! The result is never enabled: as long as the predecessor runs, each push would be sent twice.

mod audience;
mod notes;
mod old_table;
mod pushes;
mod settings;
mod timing;

use jiff::Timestamp;
use serde_json::Value;

use super::toml_writer::TomlWriter;
use crate::audience::Catalogue;
use crate::error::{Error, Result};
use crate::template::link::AllowedHosts;

pub use notes::Note;
use notes::Notes;
use old_table::OldTable;

/// The context of a conversion.
#[derive(Debug, Clone, Copy)]
pub struct Conversion<'a> {
    /// The name of the new automation.
    pub name: &'a str,
    /// The audience in place of the script's.
    pub audience: Option<&'a str>,
    /// The audiences there are.
    pub catalogue: &'a Catalogue,
    /// Hosts that deep links may lead to.
    pub link_hosts: &'a AllowedHosts,
    /// Whether the configuration names test users.
    pub has_test_users: bool,
    /// The present: an earlier date is a note.
    pub now: Timestamp,
}

/// The new file, and what it does not have.
#[derive(Debug, Clone)]
pub struct Converted {
    pub text: String,
    pub notes: Vec<Note>,
}

/// Keys of the predecessor's own records, which say nothing about what to send.
const RECORDS: [&str; 4] = ["metadata", "createdAt", "updatedAt", "createdBy"];

impl Conversion<'_> {
    /// Converts a JSON text. `file` is its path in messages.
    ///
    /// # Errors
    /// A usage error if it is not JSON (with its line), or if nothing can be made of it: no send time, no pushes, or a
    /// script without an audience.
    pub fn convert(&self, file: &str, text: &str) -> Result<Converted> {
        let refused = |error: Error| error.context(format!("cannot convert {file}"));
        let mut old = read(file, text)?;
        let mut notes = Notes::default();
        let title = old.text("name", &mut notes);
        let id = old.text("id", &mut notes);
        let description = old.text("description", &mut notes);
        let description = description.or_else(|| title.clone());
        status(&mut old, &mut notes);

        let audience = self.audience(&mut old, &mut notes).map_err(refused)?;
        let settings = settings::read(&mut old, &mut notes);
        let schedule = old.table("schedule", &mut notes);
        let times = timing::read(schedule, settings.cancel_minutes, self.now, &mut notes)
            .map_err(refused)?;
        let pushes = self
            .pushes(&mut old, &audience.definition, &mut notes)
            .map_err(refused)?;
        for key in RECORDS {
            if old.take(key).is_some() {
                notes.add(key, "a record of the old system, not carried over");
            }
        }
        old.rest(&mut notes);

        let mut out = TomlWriter::new();
        let called = title.map(|title| format!(" {title:?}")).unwrap_or_default();
        let id = id.map(|id| format!(", id {id}")).unwrap_or_default();
        out.comment(&format!("Made from the JSON automation{called}{id}."));
        out.set("name", self.name);
        if let Some(description) = description {
            out.set("description", description);
        }
        out.set_saying(
            "enabled",
            false,
            "true when the old one has stopped: both would send",
        );
        times.write(&mut out);
        audience.write(&mut out);
        for push in &pushes {
            push.write(&mut out);
        }
        settings.write(&mut out, self.has_test_users, &mut notes);
        Ok(Converted {
            text: out.finish(),
            notes: notes.finish(),
        })
    }
}

fn read(file: &str, text: &str) -> Result<OldTable> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column().max(1));
        let said = error.to_string();
        let said = said.split(" at line ").next().unwrap_or(&said);
        Error::usage(format!("{file}:{line}:{column}: this is not JSON: {said}")).hint(
            "a comma, a quote or a bracket is missing or too many, there or on the line before",
        )
    })?;
    match value {
        Value::Object(keys) => Ok(OldTable::top(keys)),
        Value::Array(_) => Err(Error::usage(format!(
            "{file} holds a list, and not one automation"
        ))
        .hint("write each entry of the list into a file of its own")),
        _ => Err(Error::usage(format!(
            "{file} holds no automation: it does not begin with {{"
        ))),
    }
}

/// Notes what the state of the automation was.
fn status(old: &mut OldTable, notes: &mut Notes) {
    let status = old.text("status", notes);
    let is_active = old.flag("isActive", notes);
    match (status.as_deref(), is_active) {
        (Some("active") | None, Some(true) | None) => {
            notes.add(
                "status",
                "active; the new file has enabled = false, or both systems would send: set it to true when the old one has stopped",
            );
        }
        (Some("active") | None, Some(false)) => {
            notes.add("isActive", "false: enabled = false");
        }
        (Some(status), _) => notes.add("status", format!("{status}: enabled = false")),
    }
}
