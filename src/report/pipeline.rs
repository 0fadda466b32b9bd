//! What a pipeline's run came to, for a person and for a CI job's page.

use std::fmt::Write as _;

use serde_json::Value;

use super::{number, send};
use crate::delivery::Summary;
use crate::ui::{Painter, Style};

/// One line: how it ended, and the numbers of each push.
pub fn line(run: &Value) -> String {
    let word = |key: &str| run[key].as_str().unwrap_or_default();
    let head = format!("{}: {}", word("occurrence"), word("status"));
    let pushes = pushes(run).map(|push| format!("push {}: {}", push.push, send::line(&push)));
    let parts: Vec<String> = std::iter::once(head).chain(pushes).collect();
    parts.join("; ")
}

/// Audience, test and pushes, one under the other.
pub fn text(run: &Value, pen: Painter) -> String {
    let mut out = String::new();
    let word = |key: &str| run[key].as_str().unwrap_or_default();
    let head = format!("{}: {}", word("occurrence"), word("status"));
    let _ = writeln!(out, "{}", pen.write(Style::Strong, &head));
    if let Some(reason) = run["reason"].as_str() {
        let _ = writeln!(out, "  {reason}");
    }
    if let Some(rows) = run["audience"]["rows"].as_u64() {
        let _ = writeln!(out, "  audience: {} rows", number(rows));
    }
    if let Some(of) = run["test"]["of"].as_u64().filter(|of| *of > 0) {
        let accepted = run["test"]["accepted"].as_u64().unwrap_or_default();
        let _ = writeln!(out, "  test: {accepted} of {of} test pushes accepted");
    }
    let is_live = live(run).is_some();
    for push in pushes(run) {
        let kind = if is_live { "push" } else { "test push" };
        let summary = send::text(&push, pen);
        let _ = writeln!(out, "  {kind} {}", push.push);
        for line in summary.lines() {
            let _ = writeln!(out, "  {line}");
        }
    }
    out.trim_end().to_owned()
}

/// The same as Markdown, with a table of the pushes.
pub fn markdown(run: &Value) -> String {
    let word = |value: &Value| cell(value.as_str().unwrap_or_default());
    let mut out = format!(
        "### {}: {}\n\n",
        word(&run["automation"]),
        word(&run["status"])
    );
    let _ = writeln!(out, "- occurrence: `{}`", word(&run["occurrence"]));
    let _ = writeln!(out, "- mode: `{}`", word(&run["mode"]));
    if let Some(rows) = run["audience"]["rows"].as_u64() {
        let _ = writeln!(out, "- audience: {} rows", number(rows));
    }
    if let Some(reason) = run["reason"].as_str() {
        let _ = writeln!(out, "- **{}**", cell(reason));
    }
    let pushes: Vec<Summary> = pushes(run).collect();
    if !pushes.is_empty() {
        out.push_str("\n| push | rows | excluded | without a token | skipped | accepted | failed | would be sent |\n");
        out.push_str("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
        for push in pushes {
            let would = if push.mode == "dry-run" {
                number(push.not_attempted)
            } else {
                String::new()
            };
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {would} |",
                push.push,
                number(push.rows),
                number(push.excluded),
                number(push.without_token),
                number(push.skipped),
                number(push.accepted),
                number(push.failed),
            );
        }
    }
    out
}

fn live(run: &Value) -> Option<&Vec<Value>> {
    run["pushes"].as_array().filter(|pushes| !pushes.is_empty())
}

/// The pushes of the live phase, or else those of the test.
fn pushes(run: &Value) -> impl Iterator<Item = Summary> + '_ {
    let pushes = live(run).or_else(|| run["test"]["pushes"].as_array());
    let pushes = pushes.map_or(&[][..], Vec::as_slice);
    pushes
        .iter()
        .filter_map(|push| serde_json::from_value(push.clone()).ok())
}

/// Nothing in it ends a cell or a line.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}
