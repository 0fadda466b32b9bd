//! The text report of a CSV comparison.

use std::fmt::Write as _;

use super::number;
use crate::csv_diff::{ChangedRow, CsvDiff, Side};
use crate::snippet::visible;

/// Renders the counts, the columns that differ, and the examples.
pub fn text(diff: &CsvDiff) -> String {
    let mut out = String::new();
    let key = diff.key.join(", ");
    let width = number(diff.a.rows.max(diff.b.rows)).len();
    let mut line = |count: u64, what: &str| {
        let _ = writeln!(out, "{:>width$}  {what}", number(count));
    };
    line(diff.same, "the same");
    line(diff.added, &format!("only in {}", diff.b.path));
    line(diff.removed, &format!("only in {}", diff.a.path));
    let cells = match diff.changed_by_column.as_slice() {
        [] => String::new(),
        columns => {
            let listed = columns
                .iter()
                .map(|column| format!("{} {}", column.column, number(column.cells)));
            format!(", by column: {}", listed.collect::<Vec<_>>().join(", "))
        }
    };
    if !diff.without_key {
        line(diff.changed, &format!("in both, but different{cells}"));
    }
    for side in [&diff.a, &diff.b] {
        own_columns(&mut out, side);
    }
    if !diff.same_order {
        out.push_str("The rows of the two files are in different orders.\n");
    }
    keys(
        &mut out,
        &format!("Only in {}", diff.b.path),
        &key,
        &diff.examples.added,
        diff.added,
    );
    keys(
        &mut out,
        &format!("Only in {}", diff.a.path),
        &key,
        &diff.examples.removed,
        diff.removed,
    );
    changed(&mut out, &key, &diff.examples.changed, diff.changed);
    out
}

fn own_columns(out: &mut String, side: &Side) {
    if !side.own_columns.is_empty() {
        let _ = writeln!(
            out,
            "Only {} has: {}",
            side.path,
            side.own_columns.join(", ")
        );
    }
}

fn keys(out: &mut String, title: &str, key: &str, examples: &[Vec<String>], all: u64) {
    if examples.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title} ({key}):");
    for example in examples {
        let _ = writeln!(out, "  {}", visible(&example.join(", ")));
    }
    more(out, examples.len(), all);
}

fn changed(out: &mut String, key: &str, examples: &[ChangedRow], all: u64) {
    if examples.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nDifferent ({key}):");
    for row in examples {
        let _ = writeln!(out, "  {}", visible(&row.key.join(", ")));
        for cell in &row.cells {
            let _ = writeln!(out, "    {}: {:?} → {:?}", cell.column, cell.a, cell.b);
        }
    }
    more(out, examples.len(), all);
}

fn more(out: &mut String, shown: usize, all: u64) {
    let rest = all.saturating_sub(shown as u64);
    if rest > 0 {
        let _ = writeln!(out, "  … and {} more", number(rest));
    }
}
