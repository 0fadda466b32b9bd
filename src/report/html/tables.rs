//! Tables with a bar in each row.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use super::{key, text};
use crate::delivery::VariantOutcome;
use crate::report::number;
use crate::report::run::{Outcome, PhaseReport, PushReport, RunReport, span};

/// Phases on one time line.
pub(super) fn phases(report: &RunReport) -> String {
    let Some(line) = TimeLine::of(report) else {
        return String::new();
    };
    let mut out = "<section>\n<h2>Phases</h2>\n<div class=\"scroll\"><table>\n\
        <thead><tr><th>phase</th><th>on the time line</th><th>from</th><th>to</th><th>took</th><th>result</th></tr></thead>\n<tbody>\n"
        .to_owned();
    for phase in &report.phases {
        let clock = |at: Timestamp| report.local(at).strftime("%H:%M:%S").to_string();
        let attempt = match phase.attempt {
            ..=1 => String::new(),
            attempt => format!(" <span class=\"quiet\">(attempt {attempt})</span>"),
        };
        let (to, took) = match phase.ended_at {
            Some(end) => (clock(end), span(end.duration_since(phase.begun_at))),
            None => ("…".to_owned(), String::new()),
        };
        let result = phase.result.as_deref().unwrap_or("not ended");
        let note = phase.note.as_deref().map_or_else(String::new, |note| {
            format!("<br><span class=\"quiet\"><bdi>{}</bdi></span>", text(note))
        });
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}{attempt}</th><td class=\"bar\">{}</td><td class=\"t\">{}</td><td class=\"t\">{to}</td><td class=\"t\">{took}</td><td>{}{note}</td></tr>",
            text(&phase.phase),
            line.bar(phase),
            clock(phase.begun_at),
            text(result),
        );
    }
    out + "</tbody>\n</table></div>\n</section>\n"
}

/// From the first beginning to the last end.
struct TimeLine {
    from: Timestamp,
    length: f64,
}

impl TimeLine {
    fn of(report: &RunReport) -> Option<Self> {
        let from = report.phases.iter().map(|phase| phase.begun_at).min()?;
        let ends = report
            .phases
            .iter()
            .map(|phase| phase.ended_at.unwrap_or(phase.begun_at));
        let to = ends.chain(report.ended_at).max()?;
        let length = to
            .duration_since(from)
            .max(SignedDuration::from_secs(1))
            .as_secs_f64();
        // What lasts needs a place to be drawn.
        let lasts = report.phases.iter().any(|phase| phase.ended_at.is_none());
        Some(Self {
            from,
            length: if lasts { length * 1.1 } else { length },
        })
    }

    fn bar(&self, phase: &PhaseReport) -> String {
        let percent =
            |at: Timestamp| at.duration_since(self.from).as_secs_f64() / self.length * 100.0;
        let left = percent(phase.begun_at).clamp(0.0, 99.5);
        let (right, class) = match phase.ended_at {
            Some(end) => (percent(end), ""),
            None => (100.0, " class=\"lasting\""),
        };
        format!(
            "<span class=\"track\"><i{class} style=\"left: {left:.2}%; width: {:.2}%\"></i></span>",
            (right.clamp(0.0, 100.0) - left).max(0.0)
        )
    }
}

/// Shows who remained, and why the others left; then the files they are in.
pub(super) fn funnel(report: &RunReport) -> String {
    if report.funnel.is_empty() && report.files.is_empty() {
        return String::new();
    }
    let mut out = "<section>\n<h2>Audience</h2>\n".to_owned();
    if let Some(base) = report.funnel.first() {
        out.push_str(
            "<div class=\"scroll\"><table>\n<thead><tr><th>stage</th><th>users that remain</th><th class=\"n\">users</th>\
             <th class=\"n\">left</th><th>why</th></tr></thead>\n<tbody>\n",
        );
        let mut before = base.people;
        for stage in &report.funnel {
            let left = before.saturating_sub(stage.people);
            let shown = if left == 0 {
                String::new()
            } else {
                format!("−{}", number(left))
            };
            let why = stage
                .left
                .as_deref()
                .filter(|_| left > 0)
                .unwrap_or_default();
            let _ = writeln!(
                out,
                "<tr><th scope=\"row\"><bdi>{}</bdi></th><td class=\"bar\">{}</td><td class=\"n\" data-funnel=\"{}\">{}</td><td class=\"n\">{shown}</td><td><bdi>{}</bdi></td></tr>",
                text(&stage.name),
                bar(stage.people, base.people, "blue"),
                text(&stage.name),
                number(stage.people),
                text(why),
            );
            before = stage.people;
        }
        out.push_str("</tbody>\n</table></div>\n");
    }
    out + &files(report) + "</section>\n"
}

fn files(report: &RunReport) -> String {
    if report.files.is_empty() {
        return String::new();
    }
    let mut out = "<div class=\"scroll\"><table>\n<thead><tr><th>file</th><th>rows in proportion</th><th class=\"n\">rows</th></tr></thead>\n<tbody>\n".to_owned();
    let all = report
        .files
        .iter()
        .map(|file| file.rows)
        .max()
        .unwrap_or_default();
    for file in &report.files {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\"><bdi>{}</bdi></th><td class=\"bar\">{}</td><td class=\"n\" data-file=\"{}\">{}</td></tr>",
            text(&file.name),
            bar(file.rows, all, "blue"),
            text(&file.name),
            number(file.rows),
        );
    }
    out + "</tbody>\n</table></div>\n"
}

/// Shows each push and the outcomes of its rows.
pub(super) fn pushes(report: &RunReport) -> String {
    if report.pushes.is_empty() {
        return String::new();
    }
    let pushes: String = report.pushes.iter().map(push).collect();
    format!("<section>\n<h2>Push by push</h2>\n{pushes}</section>\n")
}

fn push(push: &PushReport) -> String {
    let place = push.number;
    let counts = Outcome::ALL.map(|outcome| (outcome, count(push, outcome)));
    let counts = || counts.iter().filter(|(_, count)| *count > 0);
    let parts = parts(counts().copied(), push.rows);
    let mut out = format!(
        "<article>\n<h3>{place}. <bdi>{}</bdi></h3>\n<p class=\"quiet\"><bdi>{}</bdi>, layer {}</p>\n\
         {parts}\n<ul class=\"counts\">\n\
         <li><b data-push=\"{place}.rows\">{}</b> total</li>\n",
        text(&push.title),
        text(&push.file),
        push.layer,
        number(push.rows),
    );
    for (outcome, count) in counts() {
        let _ = writeln!(
            out,
            "<li>{}<b data-push=\"{place}.{}\">{}</b> {}</li>",
            swatch(*outcome),
            key(*outcome),
            number(*count),
            outcome.words(),
        );
    }
    out + "</ul>\n" + &variants(push) + "</article>\n"
}

/// The key of a column's cells, its head, and its count.
type VariantColumn = (&'static str, &'static str, fn(&VariantOutcome) -> u64);

/// The columns of the table of variants, with the names of their cells.
const VARIANT_COLUMNS: [VariantColumn; 6] = [
    ("recipients", "recipients", |one| one.recipients),
    ("accepted", "accepted", |one| one.accepted),
    ("failed", "failed", |one| one.failed),
    ("dead", "dead", |one| one.dead),
    ("in_doubt", "in doubt", |one| one.in_doubt),
    ("not_sent", "not sent", |one| one.not_sent),
];

/// Shows the groups of a push that has variants: each variant, and the control group.
fn variants(push: &PushReport) -> String {
    if push.variants.is_empty() {
        return String::new();
    }
    let heads = VARIANT_COLUMNS.map(|(_, head, _)| format!("<th class=\"n\">{head}</th>"));
    let mut out = format!(
        "<div class=\"scroll\"><table>\n<thead><tr><th>variant</th>{}</tr></thead>\n<tbody>\n",
        heads.concat()
    );
    for variant in &push.variants {
        let name = text(&variant.name);
        let cell = |(key, _, count): VariantColumn| {
            format!(
                "<td class=\"n\" data-variant=\"{}.{name}.{key}\">{}</td>",
                push.number,
                number(count(variant))
            )
        };
        let cells = VARIANT_COLUMNS.map(cell).concat();
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\"><bdi>{name}</bdi></th>{cells}</tr>"
        );
    }
    let held_out = count(push, Outcome::Holdout);
    if held_out > 0 {
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">control group</th><td class=\"n\">{}</td><td colspan=\"{}\"></td></tr>",
            number(held_out),
            VARIANT_COLUMNS.len() - 1
        );
    }
    out + "</tbody>\n</table></div>\n"
}

/// Shows every reason, the most frequent of each outcome first.
pub(super) fn reasons(report: &RunReport) -> String {
    let mut reasons: Vec<(Outcome, &str, u64)> = Vec::new();
    for count in report.pushes.iter().flat_map(|push| &push.outcomes) {
        let Some(code) = count.code.as_deref() else {
            continue;
        };
        match reasons
            .iter_mut()
            .find(|(outcome, known, _)| (*outcome, *known) == (count.outcome, code))
        {
            Some((_, _, sum)) => *sum += count.count,
            None => reasons.push((count.outcome, code, count.count)),
        }
    }
    reasons.sort_by_key(|(outcome, code, count)| (*outcome, std::cmp::Reverse(*count), *code));
    let Some(most) = reasons.iter().map(|(_, _, count)| *count).max() else {
        return String::new();
    };
    let mut out = "<section>\n<h2>Reasons</h2>\n<div class=\"scroll\"><table>\n<thead><tr><th>outcome</th><th>code</th><th>in proportion</th><th class=\"n\">rows</th></tr></thead>\n<tbody>\n".to_owned();
    for (outcome, code, count) in reasons {
        let key = key(outcome);
        let _ = writeln!(
            out,
            "<tr><th scope=\"row\">{}{}</th><td><code>{}</code></td><td class=\"bar\">{}</td><td class=\"n\" data-reason=\"{key}.{}\">{}</td></tr>",
            swatch(outcome),
            outcome.words(),
            text(code),
            bar(count, most, &key),
            text(code),
            number(count),
        );
    }
    out + "</tbody>\n</table></div>\n</section>\n"
}

fn count(push: &PushReport, outcome: Outcome) -> u64 {
    let counted = push
        .outcomes
        .iter()
        .filter(|count| count.outcome == outcome);
    counted.map(|count| count.count).sum()
}

pub(super) fn swatch(outcome: Outcome) -> String {
    format!(
        "<i class=\"swatch\" style=\"background: var(--{})\"></i>",
        key(outcome)
    )
}

/// Draws outcomes beside each other in one bar.
pub(super) fn parts(counts: impl IntoIterator<Item = (Outcome, u64)>, of: u64) -> String {
    let parts: String = counts
        .into_iter()
        .map(|(outcome, count)| part(count, of, outcome))
        .collect();
    format!("<span class=\"track parts\">{parts}</span>")
}

fn part(count: u64, of: u64, outcome: Outcome) -> String {
    if count == 0 {
        return String::new();
    }
    let key = key(outcome);
    format!(
        "<i style=\"width: {:.3}%; background: var(--{key})\" title=\"{} {}\"></i>",
        percent(count, of),
        number(count),
        outcome.words()
    )
}

fn bar(count: u64, of: u64, color: &str) -> String {
    if count == 0 {
        return "<span class=\"track\"></span>".to_owned();
    }
    format!(
        "<span class=\"track\"><i style=\"width: {:.3}%; background: var(--{color})\"></i></span>",
        percent(count, of)
    )
}

#[expect(clippy::cast_precision_loss, reason = "the width of a bar")]
fn percent(count: u64, of: u64) -> f64 {
    (count as f64 / of.max(1) as f64 * 100.0).min(100.0)
}
