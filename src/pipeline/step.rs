//! What is to be done now. Pure: the records of a run and the time in, a step out.

use jiff::{SignedDuration, Timestamp};

use super::plan::push_word;
use super::{Phase, PhaseRecords, RunPlan};
use crate::automation::file::QuietAction;

/// What is to be done about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Nothing until then, when this phase begins or goes on.
    Wait(Timestamp, Phase),
    /// This phase.
    Do(Phase),
    /// This push, counted from 0.
    Push(usize),
    /// It is later than the automation allows; this phase was due then.
    TooLate(Timestamp, Phase),
    /// This push would go out in the quiet hours.
    Quiet(usize),
    /// Nothing, for good.
    Over,
}

/// Whether lateness matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lateness {
    /// Somebody else's clock started this: too late is too late.
    Counts,
    /// A person asked for it, and knows what time it is.
    Waived,
}

/// The next step of a run at `now`.
pub fn next(
    plan: &RunPlan,
    records: &PhaseRecords,
    now: Timestamp,
    lateness: Lateness,
) -> NextStep {
    let times = &plan.times;
    let is_late =
        |due: Timestamp| lateness == Lateness::Counts && now > after(due, times.lateness());
    let open = |phase: Phase| plan.mode.has(phase) && records.done(phase.as_str()).is_none();
    for (phase, due) in [
        (Phase::Generate, times.generate_at),
        (Phase::Test, times.test_at),
    ] {
        if open(phase) {
            return if now < due {
                NextStep::Wait(due, phase)
            } else if is_late(times.send_at) {
                NextStep::TooLate(times.send_at, phase)
            } else {
                NextStep::Do(phase)
            };
        }
    }
    let closes = window_closes(plan, records);
    if open(Phase::Window) {
        return if is_late(times.send_at) || is_late_by_then(plan, closes, lateness) {
            NextStep::TooLate(times.send_at, Phase::Window)
        } else if now < closes && records.begun(Phase::Window.as_str()).is_some() {
            NextStep::Wait(closes, Phase::Window)
        } else {
            NextStep::Do(Phase::Window)
        };
    }
    if open(Phase::Send) {
        return push_step(plan, records, (now, closes), lateness);
    }
    if open(Phase::Cleanup) {
        return NextStep::Do(Phase::Cleanup);
    }
    NextStep::Over
}

/// When nobody can cancel any longer before the first push: at the time itself; a window that was opened only after it
/// is as long as the automation promises.
pub fn window_closes(plan: &RunPlan, records: &PhaseRecords) -> Timestamp {
    let times = &plan.times;
    if !plan.mode.has(Phase::Window) {
        return times.generate_at;
    }
    let tested = records
        .ended(Phase::Test.as_str())
        .or_else(|| records.ended(Phase::Generate.as_str()));
    match tested {
        Some(tested) if tested > times.send_at => after(tested, times.window()),
        _ => times.send_at,
    }
}

fn is_late_by_then(plan: &RunPlan, closes: Timestamp, lateness: Lateness) -> bool {
    lateness == Lateness::Counts && closes > after(plan.times.send_at, plan.times.lateness())
}

fn push_step(
    plan: &RunPlan,
    records: &PhaseRecords,
    (now, closes): (Timestamp, Timestamp),
    lateness: Lateness,
) -> NextStep {
    let mut previous = closes;
    for (place, push) in plan.automation.push.iter().enumerate() {
        if let Some(ended) = records.ended(&push_word(place)) {
            previous = ended;
            continue;
        }
        if !plan.mode.has(Phase::Window) {
            return NextStep::Push(place);
        }
        let wanted = after(
            previous,
            SignedDuration::from_mins(i64::from(push.delay_minutes)),
        );
        let due = after_quiet(plan, wanted);
        return if now < due {
            NextStep::Wait(due, Phase::Send)
        } else if lateness == Lateness::Counts && now > latest(plan, due) {
            NextStep::TooLate(due, Phase::Send)
        } else if is_quiet(plan, now) {
            match plan.automation.safeguards.quiet_hours_action {
                QuietAction::Refuse => NextStep::Quiet(place),
                QuietAction::Delay => NextStep::Wait(after_quiet(plan, now), Phase::Send),
            }
        } else {
            NextStep::Push(place)
        };
    }
    NextStep::Do(Phase::Send)
}

/// Whether an instant is inside the quiet hours.
pub(super) fn is_quiet(plan: &RunPlan, at: Timestamp) -> bool {
    let time = at.to_zoned(plan.times.zone()).time();
    plan.quiet_hours().is_some_and(|hours| hours.contains(time))
}

/// The instant itself, or the end of the quiet hours that it is in, where the automation waits for that.
fn after_quiet(plan: &RunPlan, at: Timestamp) -> Timestamp {
    if plan.automation.safeguards.quiet_hours_action == QuietAction::Refuse {
        return at;
    }
    let local = at.to_zoned(plan.times.zone());
    plan.quiet_hours()
        .and_then(|hours| hours.end_after(&local))
        .unwrap_or(at)
}

/// When a push may begin at the latest. What runs into quiet hours that are waited for has as long again after them.
fn latest(plan: &RunPlan, due: Timestamp) -> Timestamp {
    let latest = after(due, plan.times.lateness());
    match after_quiet(plan, latest) {
        end if end > latest => after(end, plan.times.lateness()),
        _ => latest,
    }
}

pub(super) fn after(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.saturating_add(span).unwrap_or(at)
}
