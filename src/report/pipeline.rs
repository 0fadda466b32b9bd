//! The report of a pipeline's run, as text and as Markdown.

use std::fmt::Write as _;

use serde_json::Value;

use super::{counted, number, send};
use crate::delivery::Summary;
use crate::ui::{Painter, Style};

/// Returns one line: the status and the numbers of each push.
pub fn line(run: &Value) -> String {
    let word = |key: &str| run[key].as_str().unwrap_or_default();
    let head = format!("{}: {}", word("occurrence"), word("status"));
    let pushes = pushes(run).map(|push| format!("push {}: {}", push.push, send::line(&push)));
    let parts: Vec<String> = std::iter::once(head).chain(pushes).collect();
    parts.join("; ")
}

/// Returns audience, test and pushes, one per line.
pub fn text(run: &Value, pen: Painter) -> String {
    let mut out = String::new();
    let word = |key: &str| run[key].as_str().unwrap_or_default();
    let head = format!("{}: {}", word("occurrence"), word("status"));
    let _ = writeln!(out, "{}", pen.write(Style::Strong, &head));
    if let Some(reason) = run["reason"].as_str() {
        let _ = writeln!(out, "  {reason}");
    }
    if let Some(rows) = run["audience"]["rows"].as_u64() {
        let _ = writeln!(out, "  audience: {}", counted(rows, "rows"));
    }
    if let Some(of) = run["test"]["of"].as_u64().filter(|of| *of > 0) {
        let accepted = run["test"]["accepted"].as_u64().unwrap_or_default();
        let of = counted(of, "pushes");
        let _ = writeln!(out, "  test: {} of {of} accepted", number(accepted));
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

/// Returns the report as Markdown, with a table of the pushes.
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
        let _ = writeln!(out, "- audience: {}", counted(rows, "rows"));
    }
    if let Some(reason) = run["reason"].as_str() {
        let _ = writeln!(out, "- **{}**", cell(reason));
    }
    let pushes: Vec<Summary> = pushes(run).collect();
    if !pushes.is_empty() {
        out.push('\n');
        out.push_str(&table(&pushes));
    }
    out
}

/// Returns a table with one row per push, whose counts add up to its rows; columns without a count are left out.
fn table(pushes: &[Summary]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for (name, count, _) in pushes.iter().flat_map(send::parts) {
        let always = [
            "excluded by cadence",
            "without a token",
            "skipped",
            "accepted",
            "failed",
        ];
        if (count > 0 || always.contains(&name)) && !names.contains(&name) {
            names.push(name);
        }
    }
    let row = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let heading = ["push", "rows"].into_iter().chain(names.iter().copied());
    let mut out = row(heading.map(str::to_owned).collect());
    out.push_str(&row(vec!["---:".to_owned(); names.len() + 2]));
    for push in pushes {
        let parts = send::parts(push);
        let mut cells = vec![push.push.to_string(), number(push.rows)];
        cells.extend(names.iter().map(|name| {
            let part = parts.iter().find(|(known, ..)| known == name);
            part.map_or_else(String::new, |(_, count, _)| send::shown(push, name, *count))
        }));
        out.push_str(&row(cells));
    }
    out
}

fn live(run: &Value) -> Option<&Vec<Value>> {
    run["pushes"].as_array().filter(|pushes| !pushes.is_empty())
}

/// Returns the pushes of the live phase, else those of the test.
fn pushes(run: &Value) -> impl Iterator<Item = Summary> + '_ {
    let pushes = live(run).or_else(|| run["test"]["pushes"].as_array());
    let pushes = pushes.map_or(&[][..], Vec::as_slice);
    pushes
        .iter()
        .filter_map(|push| serde_json::from_value(push.clone()).ok())
}

/// Escapes a text for a table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}
