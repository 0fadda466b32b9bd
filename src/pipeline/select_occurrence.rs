//! Which occurrence a start is for. Pure.

use jiff::Timestamp;

use super::plan::Times;
use crate::automation::Automation;
use crate::automation::schedule::Occurrence;

/// A missed occurrence is told of for so long.
const REPORT_MISSED_FOR: jiff::SignedDuration = jiff::SignedDuration::from_hours(6);
/// A process that is started earlier than this before its time is not meant for it.
const MAX_EARLY_START: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);

/// What a start finds.
#[derive(Debug, Clone, PartialEq)]
pub enum SelectedOccurrence {
    /// This occurrence, now or soon.
    Occurrence(Occurrence),
    /// This one was missed, and may not be sent any more.
    Missed(Occurrence),
    /// Nothing; the next is this, if there is one.
    Nothing(Option<Occurrence>),
}

/// For a tick: what its instant belongs to.
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

/// For a process that stays: also what begins soon.
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

/// An occurrence of its own, beginning now; sent as long after as the automation's lead says.
pub fn ad_hoc(automation: &Automation, now: Timestamp) -> Occurrence {
    let send_at = now.saturating_add(automation.schedule.lead).unwrap_or(now);
    automation.schedule.occurrence(send_at)
}

/// The same for a run that only tests or counts: it waits for nothing.
pub fn without_waiting(automation: &Automation, now: Timestamp) -> (Occurrence, Times) {
    const LEAD: jiff::SignedDuration = jiff::SignedDuration::from_mins(3);
    let schedule = automation.schedule.clone().shortened(LEAD, LEAD);
    let send_at = now.saturating_add(schedule.lead).unwrap_or(now);
    let occurrence = schedule.occurrence(send_at);
    let times = Times::of(&occurrence).at_once(now);
    (occurrence, times)
}
