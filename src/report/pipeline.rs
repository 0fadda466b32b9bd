//! The report of a pipeline's run, as text and as Markdown.

use std::fmt::Write as _;

use super::{counted, number, send};
use crate::delivery::Summary;
use crate::pipeline::RunSummary;
use crate::ui::{Painter, Style};

/// Returns one line: the status and the numbers of each push.
pub fn line(run: &RunSummary) -> String {
    let head = format!("{}: {}", run.occurrence, run.status);
    let pushes = pushes(run)
        .into_iter()
        .map(|push| format!("push {}: {}", push.push, send::line(&push)));
    let parts: Vec<String> = std::iter::once(head).chain(pushes).collect();
    parts.join("; ")
}

/// Returns audience, test and pushes, one per line.
pub fn text(run: &RunSummary, pen: Painter) -> String {
    let mut out = String::new();
    let head = format!("{}: {}", run.occurrence, run.status);
    let _ = writeln!(out, "{}", pen.write(Style::Strong, &head));
    if let Some(reason) = &run.reason {
        let _ = writeln!(out, "  {reason}");
    }
    if let Some(rows) = run.rows() {
        let _ = writeln!(out, "  audience: {}", counted(rows, "rows"));
    }
    let test = run.test();
    if test.of > 0 {
        let of = counted(test.of, "pushes");
        let _ = writeln!(out, "  test: {} of {of} accepted", number(test.accepted));
    }
    let is_live = run.has_pushes();
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
pub fn markdown(run: &RunSummary) -> String {
    let mut out = format!("### {}: {}\n\n", cell(&run.automation), run.status);
    let _ = writeln!(out, "- occurrence: `{}`", cell(&run.occurrence));
    if let Some(mode) = run.mode {
        let _ = writeln!(out, "- mode: `{}`", mode.as_str());
    }
    if let Some(rows) = run.rows() {
        let _ = writeln!(out, "- audience: {}", counted(rows, "rows"));
    }
    if let Some(reason) = &run.reason {
        let _ = writeln!(out, "- **{}**", cell(reason));
    }
    let pushes = pushes(run);
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

/// Returns the pushes of the live phase, else those of the test.
fn pushes(run: &RunSummary) -> Vec<Summary> {
    if run.has_pushes() {
        run.pushes()
    } else {
        run.test().pushes
    }
}

/// Escapes a text for a table cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}
