//! The report of a send: one line for a log, several for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{counted, number};
use crate::count::rate;
use crate::delivery::{SendResult, Summary, VariantOutcome};
use crate::ui::{Painter, Style};

/// Returns one line: the result and the numbers that are not zero.
pub fn line(summary: &Summary) -> String {
    let parts: Vec<String> = parts(summary)
        .into_iter()
        .filter(|(_, count, _)| *count > 0)
        .map(|(name, count, _)| format!("{} {name}", shown(summary, name, count)))
        .collect();
    format!(
        "{}: {} of {}: {}",
        ended(summary),
        summary.automation,
        counted(summary.rows, "rows"),
        parts.join(", ")
    )
}

/// Returns the rows of the audience by outcome.
pub fn text(summary: &Summary, pen: Painter) -> String {
    let mut out = String::new();
    let rows = counted(summary.rows, "rows");
    let _ = writeln!(
        out,
        "{}",
        pen.write(Style::Strong, &format!("{rows}, {}", ended(summary)))
    );
    for (name, count, detail) in parts(summary) {
        let always = if summary.ended == SendResult::DryRun {
            name == WOULD_BE_SENT
        } else {
            ["accepted", "failed"].contains(&name)
        };
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
        let count = shown(summary, name, count);
        let _ = writeln!(out, "  {count:>12}  {name}{why}");
    }
    for variant in &summary.variants {
        let _ = writeln!(out, "  {}", variant_line(variant));
    }
    for note in &summary.notes {
        let _ = writeln!(out, "  note: {note}");
    }
    let _ = writeln!(out, "  {}", about(summary));
    if let Some(files) = &summary.files {
        let _ = writeln!(out, "  outcomes: {}", files.outcomes.display());
        if let Some(list) = files
            .dead_tokens
            .as_ref()
            .or(files.dead_tokens_sql.as_ref())
        {
            let _ = writeln!(out, "  dead tokens: {}", list.display());
        }
        if let Some(list) = &files.invalid_tokens {
            let _ = writeln!(out, "  invalid tokens: {}", list.display());
        }
    }
    let _ = write!(out, "  run: {}", summary.run);
    out
}

/// Returns the size of a variant's group, and its outcomes that are not zero.
fn variant_line(variant: &VariantOutcome) -> String {
    let parts = [
        (variant.accepted, "accepted"),
        (variant.failed, "failed"),
        (variant.dead, "dead"),
        (variant.in_doubt, "in doubt"),
        (variant.cancelled, "cancelled"),
        (variant.under_way, "under way"),
        (variant.not_sent, "not sent"),
    ];
    let said = crate::count::several(&parts);
    let colon = if said.is_empty() { "" } else { ": " };
    format!(
        "variant {}, {}{colon}{said}",
        variant.name,
        counted(variant.recipients, "recipients")
    )
}

/// The last part of a dry run.
pub(super) const WOULD_BE_SENT: &str = "would be sent";

/// Returns a count of the summary, with "up to" if it is an upper bound.
pub(super) fn shown(summary: &Summary, name: &str, count: u64) -> String {
    if summary.is_upper_bound && name == WOULD_BE_SENT {
        return format!("up to {}", number(count));
    }
    number(count)
}

/// Returns duration, rate if there is one, and notification history.
fn about(summary: &Summary) -> String {
    let mut parts = Vec::new();
    if summary.ended != SendResult::DryRun {
        parts.push(format!("{:.1} s", summary.seconds));
    }
    if summary.messages_per_second > 0.0 {
        let rate = rate(summary.messages_per_second);
        parts.push(format!("{rate} messages a second"));
    }
    parts.push(format!("cadence: {}", summary.cadence));
    parts.join(", ")
}

pub(super) type Part<'a> = (&'static str, u64, Option<&'a BTreeMap<String, u64>>);

/// Returns the counts of a summary in the order of every report.
pub(super) fn parts(summary: &Summary) -> Vec<Part<'_>> {
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
            if summary.ended == SendResult::DryRun {
                WOULD_BE_SENT
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
        SendResult::DryRun => "dry run: nothing was sent",
    }
}
