//! What came of a send, for a person: one line for a log, a few for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::number;
use crate::delivery::{SendResult, Summary};
use crate::ui::{Painter, Style};

/// One line: how it ended and the numbers that are not zero.
pub fn line(summary: &Summary) -> String {
    let parts: Vec<String> = parts(summary)
        .into_iter()
        .filter(|(_, count, _)| *count > 0)
        .map(|(name, count, _)| format!("{} {name}", number(count)))
        .collect();
    format!(
        "{}: {} of {} rows: {}",
        ended(summary),
        summary.automation,
        number(summary.rows),
        parts.join(", ")
    )
}

/// The audience, and where its rows went.
pub fn text(summary: &Summary, pen: Painter) -> String {
    let mut out = String::new();
    let rows = number(summary.rows);
    let _ = writeln!(
        out,
        "{}",
        pen.write(Style::Strong, &format!("{rows} rows, {}", ended(summary)))
    );
    for (name, count, detail) in parts(summary) {
        let always =
            ["accepted", "failed"].contains(&name) && summary.ended != SendResult::Rehearsed;
        if count == 0 && !always {
            continue;
        }
        let why: Vec<String> = detail
            .into_iter()
            .flatten()
            .map(|(code, count)| format!("{code} {}", number(*count)))
            .collect();
        let why = if why.is_empty() {
            String::new()
        } else {
            pen.write(Style::Faint, &format!("  ({})", why.join(", ")))
        };
        let _ = writeln!(out, "  {:>12}  {name}{why}", number(count));
    }
    for note in &summary.notes {
        let _ = writeln!(out, "  note: {note}");
    }
    if summary.messages_per_second > 0.0 {
        let _ = writeln!(
            out,
            "  {:.1} s, {:.0} messages a second, cadence: {}",
            summary.seconds, summary.messages_per_second, summary.cadence
        );
    }
    if let Some(files) = &summary.files {
        let _ = writeln!(out, "  outcomes: {}", files.outcomes.display());
        if let Some(list) = files
            .dead_tokens
            .as_ref()
            .or(files.dead_tokens_sql.as_ref())
        {
            let _ = writeln!(out, "  dead tokens: {}", list.display());
        }
    }
    let _ = write!(out, "  run: {}", summary.run);
    out
}

type Part<'a> = (&'static str, u64, Option<&'a BTreeMap<String, u64>>);

fn parts(summary: &Summary) -> Vec<Part<'_>> {
    vec![
        ("repeated", summary.repeated, None),
        (
            "excluded by cadence",
            summary.excluded,
            Some(&summary.excluded_by_rule),
        ),
        ("held out", summary.held_out, None),
        ("without a token", summary.without_token, None),
        ("whose token was sent to already", summary.token_taken, None),
        ("skipped", summary.skipped, Some(&summary.skipped_by_reason)),
        ("accepted", summary.accepted, None),
        ("failed", summary.failed, Some(&summary.failed_by_code)),
        ("dead", summary.dead, None),
        ("in doubt", summary.in_doubt, None),
        ("cancelled", summary.cancelled, None),
        ("under way", summary.under_way, None),
        (
            "to further devices (counted above)",
            summary.further_devices,
            None,
        ),
        (
            if summary.ended == SendResult::Rehearsed {
                "would be sent"
            } else {
                "not attempted"
            },
            summary.not_attempted,
            None,
        ),
        ("from other files", summary.others, None),
    ]
}

fn ended(summary: &Summary) -> &'static str {
    match summary.ended {
        SendResult::Done => "done",
        SendResult::Partial => "done in part",
        SendResult::Stopped => "stopped",
        SendResult::Refused => "stopped by a safeguard",
        SendResult::Cancelled => "cancelled",
        SendResult::Rehearsed => "rehearsed, nothing was sent",
    }
}
