//! The pushes, in their order: the first goes to the first file of the audience, as in the predecessor.

use serde_json::Value;

use super::Conversion;
use super::audience::layer_of;
use super::notes::Notes;
use super::old_table::OldTable;
use crate::audience::Definition;
use crate::automation::starter::MAX_PUSHES;
use crate::automation::toml_writer::TomlWriter;
use crate::automation::{file_name, file_named};
use crate::error::{Error, Result};
use crate::template::push::{PushTemplate, Wording};

/// The most minutes between two pushes.
const MAX_DELAY: u32 = 1440;

/// A new `[[push]]`.
#[derive(Debug)]
pub(super) struct NewPush {
    /// Its path in the old file.
    path: String,
    audience_file: String,
    layer: u8,
    title: String,
    body: String,
    deep_link: Option<String>,
    delay: u32,
}

impl NewPush {
    pub(super) fn write(&self, out: &mut TomlWriter) {
        out.blank();
        out.entry("push");
        out.set("audience_file", self.audience_file.as_str());
        out.set("layer", i64::from(self.layer));
        out.set("title", self.title.as_str());
        out.set("body", self.body.as_str());
        if let Some(link) = &self.deep_link {
            out.set("deep_link", link.as_str());
        }
        if self.delay > 0 {
            out.set_saying("delay_minutes", self.delay, "after the previous push");
        }
    }
}

impl Conversion<'_> {
    pub(super) fn pushes(
        &self,
        old: &mut OldTable,
        audience: &Definition,
        notes: &mut Notes,
    ) -> Result<Vec<NewPush>> {
        let listed = old.list("pushSequence", notes);
        let entries = listed.into_iter().enumerate().map(|(place, value)| {
            // Without a number of its own, an entry keeps its place.
            let order = value.get("sequenceOrder").and_then(Value::as_f64);
            (order, format!("pushSequence[{place}]"), value)
        });
        let mut entries: Vec<(Option<f64>, String, Value)> = entries.collect();
        if entries.iter().all(|(order, ..)| order.is_some()) {
            entries
                .sort_by(|(a, ..), (b, ..)| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        }
        let mut pushes = Vec::new();
        for (place, (_, path, value)) in entries.into_iter().enumerate() {
            let Some(entry) = OldTable::entry(path.clone(), value, notes) else {
                continue;
            };
            if place >= MAX_PUSHES {
                notes.add(
                    path,
                    format!("left out: at most {MAX_PUSHES} pushes are possible"),
                );
                continue;
            }
            pushes.extend(self.push(path, entry, place, audience, notes)?);
        }
        if pushes.is_empty() {
            return Err(Error::usage(
                "pushSequence has no push for a file of the audience",
            ));
        }
        if let Some(first) = pushes.first_mut()
            && first.delay > 0
        {
            let message = format!(
                "the first push goes out at the send time, without the delay of {} minutes",
                first.delay
            );
            notes.add(format!("{}.timing.delayAfterPrevious", first.path), message);
            first.delay = 0;
        }
        Ok(pushes)
    }

    fn push(
        &self,
        path: String,
        mut old: OldTable,
        place: usize,
        audience: &Definition,
        notes: &mut Notes,
    ) -> Result<Option<NewPush>> {
        old.take("sequenceOrder");
        let Some(audience_file) = audience_file(&path, &mut old, place, audience, notes) else {
            return Ok(None);
        };
        let mut text = |key: &str| {
            let path = old.path(key);
            old.text(key, notes)
                .ok_or_else(|| Error::usage(format!("{path} is missing or empty")))
        };
        let (title, body) = (text("title")?, text("body")?);
        let deep_link = self.deep_link(&mut old, notes);
        let layer = layer(&mut old, &audience.name, notes);
        if let Some(status) = old.text("status", notes)
            && status != "active"
        {
            let message = format!(
                "{status}: the push is written all the same; remove its [[push]] if it must not be sent"
            );
            notes.add(old.path("status"), message);
        }
        let mut timing = old.table("timing", notes);
        let delay = timing.whole("delayAfterPrevious", 0, MAX_DELAY, notes);
        timing.rest(notes);
        old.rest(notes);
        Ok(Some(NewPush {
            path,
            audience_file,
            layer,
            title,
            body,
            deep_link,
            delay: delay.unwrap_or(0),
        }))
    }

    /// Returns the link, if pushctl would send it.
    fn deep_link(&self, old: &mut OldTable, notes: &mut Notes) -> Option<String> {
        let link = old.text("deepLink", notes)?;
        let alone = Wording {
            title: "-".to_owned(),
            body: "-".to_owned(),
            deep_link: Some(link.clone()),
            ..Wording::default()
        };
        match PushTemplate::parse(&alone, self.link_hosts) {
            Ok(_) => Some(link),
            Err(problems) => {
                let why = problems
                    .first()
                    .map_or("", |problem| problem.reason.as_str());
                notes.add(old.path("deepLink"), format!("left out, {link}: {why}"));
                None
            }
        }
    }
}

/// Returns the file that a push goes to: the one it names, otherwise the one in its place.
fn audience_file(
    path: &str,
    old: &mut OldTable,
    place: usize,
    audience: &Definition,
    notes: &mut Notes,
) -> Option<String> {
    let files = &audience.header.files;
    let named = old.text("audienceName", notes);
    let by_name = named.as_ref().and_then(|name| file_named(audience, name));
    let Some(file) = files.get(by_name.unwrap_or(place)) else {
        let message = format!(
            "left out: the audience {} has only {} files; a push needs a file of its own",
            audience.name,
            files.len()
        );
        notes.add(path, message);
        return None;
    };
    let file = file_name(file).to_owned();
    if let Some(name) = named.filter(|_| by_name.is_none()) {
        notes.add(
            old.path("audienceName"),
            format!("{name} is no file of the audience; by its place the push goes to {file}"),
        );
    }
    Some(file)
}

/// Returns the layer: a number, perhaps in a word like `layer-3`; otherwise the audience's.
fn layer(old: &mut OldTable, audience: &str, notes: &mut Notes) -> u8 {
    let path = old.path("layerId");
    let written = old.take("layerId");
    let text = match &written {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    if let Ok(layer @ 1..=5) = digits.parse() {
        return layer;
    }
    let layer = layer_of(audience);
    let was = if text.is_empty() {
        "missing".to_owned()
    } else {
        format!("{text} is no layer from 1 to 5")
    };
    notes.add(path, format!("{was}; {layer} is written"));
    layer
}
