//! Selects the occurrence that a start is for. Pure.

use jiff::Timestamp;

use super::plan::Times;
use crate::automation::Automation;
use crate::automation::schedule::Occurrence;

/// How long after its latest start a missed occurrence is reported.
const REPORT_MISSED_FOR: jiff::SignedDuration = jiff::SignedDuration::from_hours(6);
/// How early before an occurrence a process may be started for it.
const MAX_EARLY_START: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// The result of the selection.
#[derive(Debug, Clone, PartialEq)]
pub enum SelectedOccurrence {
    /// An occurrence that is due now or soon.
    Occurrence(Occurrence),
    /// An occurrence that was missed and must not be sent any more.
    Missed(Occurrence),
    /// No occurrence; the next one, if the schedule has any.
    Nothing(Option<Occurrence>),
}

/// Selects the occurrence of a tick: the one that is due now.
pub fn for_tick(automation: &Automation, now: Timestamp) -> SelectedOccurrence {
    let standing = automation.schedule.standing(now);
    match (standing.current, standing.missed) {
        (Some((occurrence, _)), _) => SelectedOccurrence::Occurrence(occurrence),
        (None, Some(missed)) if now.duration_since(missed.latest) < REPORT_MISSED_FOR => {
            SelectedOccurrence::Missed(missed)
        }
        _ => SelectedOccurrence::Nothing(standing.next),
    }
}

/// Selects the occurrence of a process that waits: one that is due now or begins soon.
pub fn for_process(automation: &Automation, now: Timestamp) -> SelectedOccurrence {
    match (for_tick(automation, now), soon(automation, now)) {
        (SelectedOccurrence::Nothing(_) | SelectedOccurrence::Missed(_), Some(soon)) => {
            SelectedOccurrence::Occurrence(soon)
        }
        (due, _) => due,
    }
}

fn soon(automation: &Automation, now: Timestamp) -> Option<Occurrence> {
    let next = automation.schedule.standing(now).next?;
    (next.generate_at.duration_since(now) <= MAX_EARLY_START).then_some(next)
}

/// Returns a new occurrence that begins now and is sent after the lead time of the automation.
pub fn ad_hoc(automation: &Automation, now: Timestamp) -> Occurrence {
    let send_at = now.saturating_add(automation.schedule.lead).unwrap_or(now);
    automation.schedule.occurrence(send_at)
}

/// Returns a new occurrence for a test or a dry run, which waits for nothing.
pub fn without_waiting(automation: &Automation, now: Timestamp) -> (Occurrence, Times) {
    const LEAD: jiff::SignedDuration = jiff::SignedDuration::from_mins(3);
    let schedule = automation.schedule.clone().shortened(LEAD, LEAD);
    let send_at = now.saturating_add(schedule.lead).unwrap_or(now);
    let occurrence = schedule.occurrence(send_at);
    let times = Times::of(&occurrence).at_once(now);
    (occurrence, times)
}
