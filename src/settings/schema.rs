//! The JSON Schema of the configuration file, made from the settings' keys: names, tables, help texts,
//! defaults. Deliberately absent: the check of values. Reading the file checks them, with the place.

use serde_json::{Map, Value, json};

use super::declared;
use super::setting::Setting;
use crate::error::Result;

/// Returns the schema, in draft 7, which is what TOML editors read.
pub fn of_file() -> Result<Value> {
    let mut top = Map::new();
    let (plain, in_tables): (Vec<&Setting>, Vec<&Setting>) = declared()?
        .into_iter()
        .partition(|key| !key.name.contains('.'));
    for key in plain.into_iter().chain(in_tables) {
        insert(&mut top, key.name, key);
    }
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "pushctl configuration",
    });
    if let (Value::Object(schema), Value::Object(rest)) = (&mut schema, object(&top.into())) {
        schema.extend(rest);
    }
    Ok(schema)
}

/// Adds a setting under its name, in the table that the name has before a dot.
fn insert(properties: &mut Map<String, Value>, name: &str, key: &Setting) {
    let Some((table, name)) = name.split_once('.') else {
        properties.insert(name.to_owned(), property(key));
        return;
    };
    let table = properties
        .entry(table)
        .or_insert_with(|| object(&json!({})));
    if let Some(inner) = table["properties"].as_object_mut() {
        insert(inner, name, key);
    }
}

fn object(properties: &Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

/// Returns the schema of one setting: a value of its type or a text; several as a list or separated by commas.
fn property(key: &Setting) -> Value {
    let one = ["string", "number", "boolean"];
    let mut property = json!({
        "description": key.about,
        "type": ["string", "number", "boolean", "array"],
        "items": { "type": one },
    });
    if let Some(words) = key.words {
        // Not `enum`: upper case is accepted, too.
        property["examples"] = words().into();
    }
    if !key.default.is_empty() {
        property["default"] = key.default.into();
    }
    property
}
