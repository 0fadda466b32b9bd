//! The limits that make a run refuse before and while messages are sent. Pure, except that [`rows_before`] reads the
//! store.

use jiff::Timestamp;

use crate::automation::AutomationFile;
use crate::automation::file::{QuietAction, Safeguards};
use crate::count::{counted, number};
use crate::delivery::{Quiet, WhileSending};
use crate::error::{Error, ErrorKind, Result};
use crate::guards::{Guard, Overrides};
use crate::state::{RunFilter, RunStatus, Store};

use super::plan::RunPlan;
use super::step::{after, is_quiet};
use super::{Mode, PhaseRecords};

/// Facts about a generated audience.
#[derive(Debug, Clone, Default)]
pub struct AudienceFacts {
    /// Rows of all files that a push goes to.
    pub rows: u64,
    /// The same number of the last completed run.
    pub rows_before: Option<u64>,
    /// The file, the rows and the rows that would be skipped, for each push.
    pub skipped: Vec<(String, u64, u64)>,
}

/// The refusals and the warnings of the safeguards.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SafeguardDecision {
    /// Reasons to refuse the run.
    pub refusals: Vec<String>,
    /// Warnings, which do not stop the run.
    pub warnings: Vec<String>,
}

impl SafeguardDecision {
    /// Returns the refusal, if there is one.
    ///
    /// # Errors
    /// At least one safeguard refuses.
    pub fn error(&self, automation: &str) -> Result<()> {
        if self.refusals.is_empty() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Refused, self.refusals.join("; "))
            .context(format!("a safeguard of {automation} refuses"))
            .hint("the limits are in [safeguards] of the automation")
            .hint("--override GUARD --reason TEXT lifts a limit once (min-audience, max-audience, max-change, max-skipped, quiet-hours)"))
    }
}

/// Returns an automation without the limits that were overridden.
#[must_use]
pub fn apply_overrides(mut file: AutomationFile, overrides: &Overrides) -> AutomationFile {
    let safeguards = &mut file.safeguards;
    if overrides.lift(Guard::MinAudience) {
        safeguards.min_audience = 0;
    }
    if overrides.lift(Guard::MaxAudience) {
        safeguards.max_audience = None;
    }
    if overrides.lift(Guard::MaxChange) {
        safeguards.max_change_percent = None;
    }
    if overrides.lift(Guard::MaxSkipped) {
        safeguards.max_skipped_percent = None;
    }
    if overrides.lift(Guard::QuietHours) {
        safeguards.quiet_hours = None;
    }
    if overrides.lift(Guard::Failures) {
        safeguards.max_failure_rate = None;
    }
    if overrides.lift(Guard::Test) {
        file.test.required = false;
    }
    file
}

/// Returns the limits in time of a send of an automation. `latest` is the last instant at which a message may leave.
pub fn while_sending(file: &AutomationFile, latest: Option<Timestamp>) -> WhileSending {
    let hours = file.safeguards.quiet_hours.as_ref();
    let hours = hours.and_then(|hours| hours.parse().ok());
    WhileSending {
        quiet: hours.map(|hours| Quiet {
            hours,
            zone: file.schedule.zone(),
            action: file.safeguards.quiet_hours_action,
        }),
        latest,
    }
}

/// Returns the rows of the last completed live run of an automation.
pub async fn rows_before(store: &Store, automation: &str) -> Result<Option<u64>> {
    let filter = RunFilter {
        automation: Some(automation.to_owned()),
        limit: 50,
        ..RunFilter::default()
    };
    for run in store.runs(&filter).await? {
        let is_complete = matches!(run.status, RunStatus::Done | RunStatus::Partial);
        if is_complete && RunPlan::of(&run).is_ok_and(|plan| plan.mode == Mode::LiveSend) {
            let records = PhaseRecords(store.phases(&run.id).await?);
            return Ok(records.files().ok().map(|files| files.rows));
        }
    }
    Ok(None)
}

/// Compares an audience with the limits of its automation.
pub fn check_audience(safeguards: &Safeguards, facts: &AudienceFacts) -> SafeguardDecision {
    let mut verdict = SafeguardDecision::default();
    let rows = counted(facts.rows, "rows");
    if facts.rows < safeguards.min_audience {
        verdict.refusals.push(format!(
            "the audience has {rows}, and min_audience is {}",
            number(safeguards.min_audience)
        ));
    }
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

/// Returns the pushes that are scheduled within the quiet hours. `tests_at`: when the test pushes are sent, if any are.
pub(super) fn quiet_pushes(plan: &RunPlan, tests_at: Option<Timestamp>) -> Vec<String> {
    let safeguards = &plan.automation.safeguards;
    if safeguards.quiet_hours_action == QuietAction::Delay {
        return Vec::new();
    }
    let hours = safeguards.quiet_hours.as_deref().unwrap_or_default();
    let mut found = Vec::new();
    let mut check = |what: &str, at: Timestamp| {
        if is_quiet(plan, at) {
            let local = at.to_zoned(plan.times.zone()).strftime("%H:%M %Z");
            found.push(format!(
                "{what} due at {local}, within quiet_hours = \"{hours}\""
            ));
        }
    };
    if let Some(at) = tests_at {
        check("the test pushes are", at);
    }
    let mut at = plan.times.send_at;
    for (place, push) in plan.automation.push.iter().enumerate() {
        at = after(
            at,
            jiff::SignedDuration::from_mins(i64::from(push.delay_minutes)),
        );
        check(&format!("push {} is", place + 1), at);
    }
    found
}

#[expect(clippy::cast_precision_loss, reason = "a percentage needs no 52 bits")]
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 * 100.0 / whole as f64
}
