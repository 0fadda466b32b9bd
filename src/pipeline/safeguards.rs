//! What makes a run refuse before anything is sent. Pure.

use crate::automation::file::{QuietAction, Safeguards};
use crate::report::{counted, number};

use super::plan::RunPlan;
use super::step::{after, is_quiet};

/// What is known once the audience is generated.
#[derive(Debug, Clone, Default)]
pub(super) struct AudienceFacts {
    /// Rows of all files that get a push.
    pub(super) rows: u64,
    /// The same of the last completed run.
    pub(super) rows_before: Option<u64>,
    /// For each push its file, rows, and rows that would be skipped.
    pub(super) skipped: Vec<(String, u64, u64)>,
}

/// Every safeguard that refuses, and what is only worth a warning.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SafeguardDecision {
    pub(super) refusals: Vec<String>,
    pub(super) warnings: Vec<String>,
}

pub(super) fn judge(safeguards: &Safeguards, facts: &AudienceFacts) -> SafeguardDecision {
    let mut verdict = SafeguardDecision::default();
    let rows = counted(facts.rows, "rows");
    match (safeguards.max_audience, safeguards.warn_audience) {
        (Some(most), _) if facts.rows > most => verdict.refusals.push(format!(
            "the audience has {rows}, and max_audience allows {}",
            number(most)
        )),
        (_, Some(many)) if facts.rows > many => verdict.warnings.push(format!(
            "the audience has {rows}, more than warn_audience = {}",
            number(many)
        )),
        _ => {}
    }
    if let (Some(most), Some(before)) = (safeguards.max_change_percent, facts.rows_before) {
        let change = percent(facts.rows.abs_diff(before), before.max(1));
        if change > most {
            verdict.refusals.push(format!(
                "the audience has {rows}, the last completed run had {}: a change of {change:.0} %, and max_change_percent allows {most} %",
                number(before)
            ));
        }
    }
    if let Some(most) = safeguards.max_skipped_percent {
        for (file, all, skipped) in &facts.skipped {
            let share = percent(*skipped, (*all).max(1));
            if share > most {
                verdict.refusals.push(format!(
                    "{} of the {} of {file} would be skipped ({share:.0} %), and max_skipped_percent allows {most} %",
                    number(*skipped),
                    counted(*all, "rows")
                ));
            }
        }
    }
    verdict
}

/// Which pushes would go out in the quiet hours, by the timetable.
pub(super) fn quiet_pushes(plan: &RunPlan) -> Vec<String> {
    if plan.automation.safeguards.quiet_hours_action == QuietAction::Delay {
        return Vec::new();
    }
    let mut at = plan.times.send_at;
    let mut found = Vec::new();
    for (place, push) in plan.automation.push.iter().enumerate() {
        at = after(
            at,
            jiff::SignedDuration::from_mins(i64::from(push.delay_minutes)),
        );
        if is_quiet(plan, at) {
            let local = at.to_zoned(plan.times.zone());
            let hours = plan
                .automation
                .safeguards
                .quiet_hours
                .as_deref()
                .unwrap_or_default();
            found.push(format!(
                "push {} is due at {}, within quiet_hours = \"{hours}\"",
                place + 1,
                local.strftime("%H:%M %Z")
            ));
        }
    }
    found
}

#[expect(clippy::cast_precision_loss, reason = "a percentage needs no 52 bits")]
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}
