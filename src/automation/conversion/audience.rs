//! The audience of a script, and its parameters.

use serde_json::Value;

use super::Conversion;
use super::notes::Notes;
use super::old_table::OldTable;
use crate::audience::Definition;
use crate::automation::starter::{stand_in, typed};
use crate::automation::toml_writer::TomlWriter;
use crate::error::{Error, Result};

/// The predecessor's scripts, the audiences that replace them, and the layer of their pushes.
const SCRIPTS: [(&str, &str, u8); 5] = [
    ("generate_layer_2_push_csv", "layer2", 2),
    ("generate_layer_3_push_csvs", "layer3", 3),
    ("generate_showcase_push_csvs", "showcase", 2),
    ("generate_new_user_waterfall", "waterfall", 5),
    ("generate_new_user_nudges", "nudges", 5),
];

/// Returns the layer of an audience's pushes.
pub(super) fn layer_of(audience: &str) -> u8 {
    let known = SCRIPTS.iter().find(|(_, name, _)| *name == audience);
    known.map_or(2, |(.., layer)| *layer)
}

#[derive(Debug)]
pub(super) struct NewAudience {
    pub(super) definition: Definition,
    params: Vec<(String, toml::Value, String)>,
}

impl NewAudience {
    pub(super) fn write(&self, out: &mut TomlWriter) {
        out.table("audience");
        out.set("name", self.definition.name.as_str());
        if !self.params.is_empty() {
            out.table("audience.params");
        }
        for (name, value, comment) in &self.params {
            out.set_saying(name, value.clone(), comment);
        }
    }
}

impl Conversion<'_> {
    pub(super) fn audience(&self, old: &mut OldTable, notes: &mut Notes) -> Result<NewAudience> {
        let kind = old.text("type", notes);
        let mut criteria = old.table("audienceCriteria", notes);
        let mut script = criteria.table("customScript", notes);
        let script_id = script.text("scriptId", notes);
        let name = match (self.audience, &script_id) {
            (Some(name), _) => name,
            (None, Some(id)) => audience_of(id).ok_or_else(|| {
                Error::usage(format!("audienceCriteria.customScript.scriptId: no audience replaces the script \"{id}\""))
                    .hint("write one with `pushctl new audience NAME`, and name it with --audience NAME")
            })?,
            (None, None) => {
                let kind = kind.map(|kind| format!(" of type \"{kind}\"")).unwrap_or_default();
                return Err(Error::usage(format!(
                    "the automation{kind} has no audienceCriteria.customScript.scriptId: its audience is unknown"
                ))
                .hint("name the audience that replaces it: --audience NAME"));
            }
        };
        let definition = self.catalogue.get(name)?;
        let parameters = script.table("parameters", notes);
        let params = parameters_of(&definition, parameters, notes);
        script.rest(notes);
        for key in ["activityDays", "tradingDays"] {
            if criteria.take(key).is_some() {
                let mut parameters = definition.parameters.iter();
                let hint =
                    if key == "activityDays" && parameters.any(|one| one.name == "activity_days") {
                        "; if the script used it, set activity_days in [audience.params]"
                    } else {
                        ""
                    };
                notes.add(
                    criteria.path(key),
                    format!(
                        "not carried over: the query file decides who is in the audience{hint}"
                    ),
                );
            }
        }
        criteria.rest(notes);
        Ok(NewAudience { definition, params })
    }
}

/// Returns the audience in place of a script, which may be named with its path and extension.
fn audience_of(script: &str) -> Option<&'static str> {
    let file = script.rsplit(['/', '\\']).next().unwrap_or(script);
    let stem = file.strip_suffix(".py").unwrap_or(file);
    let known = SCRIPTS
        .iter()
        .find(|(id, ..)| *id == stem.replace('-', "_"));
    known.map(|(_, audience, _)| *audience)
}

/// Converts the parameters of the script, and adds those that the audience needs.
fn parameters_of(
    definition: &Definition,
    old: OldTable,
    notes: &mut Notes,
) -> Vec<(String, toml::Value, String)> {
    let mut params = Vec::new();
    let path = |key: &str| format!("audienceCriteria.customScript.parameters.{key}");
    for (key, value) in old.into_keys() {
        let name = snake_case(&key);
        match name.as_str() {
            "output_dir" => notes.add(
                path(&key),
                "not carried over: the directory is a setting, --output, or output in pushctl.toml",
            ),
            "dry_run" => notes.add(
                path(&key),
                "not carried over: start it with --mode real-dry-run",
            ),
            _ if value.is_null() => {}
            _ => {
                let Some(declared) = definition.parameters.iter().find(|one| one.name == name)
                else {
                    notes.add(
                        path(&key),
                        format!(
                            "not carried over: the audience {} has no parameter {name}",
                            definition.name
                        ),
                    );
                    continue;
                };
                let text = match &value {
                    Value::String(text) => text.trim().to_owned(),
                    other => other.to_string(),
                };
                match declared.check(&text) {
                    Ok(text) => params.push((name, typed(declared, &text), declared.help.clone())),
                    Err(why) => notes.add(path(&key), why),
                }
            }
        }
    }
    for needed in definition.parameters.iter().filter(|one| one.required) {
        if !params.iter().any(|(name, ..)| *name == needed.name) {
            let comment = format!("replace this: {}", needed.help);
            notes.add(path(&needed.name), "missing; set it in [audience.params]");
            params.push((needed.name.clone(), stand_in(needed), comment));
        }
    }
    params
}

/// Returns `lookback_days` for `--lookback-days` and `lookbackDays`.
fn snake_case(key: &str) -> String {
    let mut name = String::new();
    for letter in key.trim_start_matches('-').chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(
            letter
                .to_lowercase()
                .map(|one| if one == '-' { '_' } else { one }),
        );
    }
    name
}
