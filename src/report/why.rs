//! The text report of `why`.

use serde_json::Value;

use crate::audience::explain::Why;
use crate::ui::{Painter, Style};

/// Renders one line a condition, with the values it read, and the verdict last.
pub fn text(why: &Why, pen: Painter) -> String {
    let name = why
        .stages
        .iter()
        .map(|stage| stage.name.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for stage in &why.stages {
        let mark = if stage.holds {
            pen.write(Style::Good, "✓")
        } else {
            pen.write(Style::Bad, "✗")
        };
        let values: Vec<String> = stage
            .values
            .iter()
            .map(|(name, value)| format!("{name} = {}", shown(value)))
            .collect();
        let mut values = values.join(", ");
        if !stage.holds {
            values = format!("{} ({values})", stage.otherwise).replace(" ()", "");
        }
        text.push_str(format!("{mark} {:<name$}  {values}", stage.name).trim_end());
        text.push('\n');
    }
    text + &pen.write(Style::Strong, &verdict(why)) + "\n"
}

/// Returns the verdict in one line.
pub fn verdict(why: &Why) -> String {
    let Why {
        audience,
        user_id,
        as_of,
        ..
    } = why;
    if !why.considered {
        return format!(
            "{user_id} is not in {audience}: it considers {}, and this is none of them (as of {as_of})",
            why.base
        );
    }
    if !why.files.is_empty() {
        return format!(
            "{user_id} is in {} (as of {as_of})",
            why.files.join(" and ")
        );
    }
    match why.stages.iter().find(|stage| !stage.holds) {
        Some(stage) => format!(
            "{user_id} is not in {audience}: {} (as of {as_of})",
            stage.otherwise
        ),
        None => format!(
            "{user_id} passes every stage of {audience} but belongs to none of its files (as of {as_of})"
        ),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}
