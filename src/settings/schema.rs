//! The JSON Schema of the configuration file, made from the settings' keys: names, tables, help texts,
//! defaults. Deliberately absent: the check of values. Reading the file checks them, with the place.

use serde_json::{Map, Value, json};

use super::declared;
use super::setting::Setting;
use crate::error::Result;

/// Returns the schema, in draft 7, which is what TOML editors read.
pub fn of_file() -> Result<Value> {
    let mut top = Map::new();
    let mut tables: Map<String, Value> = Map::new();
    for key in declared()? {
        match key.name.split_once('.') {
            None => {
                top.insert(key.name.to_owned(), property(key));
            }
            Some((table, name)) => {
                let properties = tables.entry(table).or_insert_with(|| json!({}));
                properties[name] = property(key);
            }
        }
    }
    for (table, properties) in tables {
        top.insert(table, object(&properties));
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
