//! What is to be done now. Pure: the records of a run and the time in, a step out.

use jiff::{SignedDuration, Timestamp};

use super::plan::push_phase;
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
    /// This push was interrupted in the middle, and it is later than the automation allows: a person decides.
    InterruptedPush(usize),
    /// This push would go out in the quiet hours.
    QuietHours(usize),
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
            } else if is_late_by_then(plan, whole_window(plan, now), lateness) {
                NextStep::TooLate(times.send_at, Phase::Window)
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

/// Returns when the cancellation window closes: at the time itself, or, where the test pushes left later than planned,
/// as long after them as the automation promises.
pub fn window_closes(plan: &RunPlan, records: &PhaseRecords) -> Timestamp {
    let times = &plan.times;
    if !plan.mode.has(Phase::Window) {
        return times.generate_at;
    }
    let tested = records
        .done(Phase::Test.as_str())
        .or_else(|| records.done(Phase::Generate.as_str()));
    let Some((tested, ended)) = tested.and_then(|record| Some((record, record.ended_at?))) else {
        return times.send_at;
    };
    let took = ended.duration_since(tested.begun_at);
    let from = if took <= spare(plan) {
        tested.begun_at
    } else {
        ended
    };
    times.send_at.max(after(from, times.window()))
}

/// What the test pushes may take of the window that begins with them: a quarter. Where they take longer, the window
/// begins when they are done.
fn spare(plan: &RunPlan) -> SignedDuration {
    SignedDuration::from_secs(plan.times.window_seconds / 4)
}

/// When a window would close whose test pushes leave now.
fn whole_window(plan: &RunPlan, now: Timestamp) -> Timestamp {
    if !plan.mode.has(Phase::Window) {
        return plan.times.send_at;
    }
    plan.times.send_at.max(after(now, plan.times.window()))
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
    for place in 0..plan.automation.push.len() {
        if let Some(ended) = records.ended(&push_phase(place)) {
            previous = ended;
            continue;
        }
        if !plan.mode.has(Phase::Window) {
            return NextStep::Push(place);
        }
        let due = after_quiet(plan, due_after(plan, previous, place));
        return if now < due {
            NextStep::Wait(due, Phase::Send)
        } else if lateness == Lateness::Counts && now > latest_after(plan, due) {
            if records.begun(&push_phase(place)).is_some() {
                NextStep::InterruptedPush(place)
            } else {
                NextStep::TooLate(due, Phase::Send)
            }
        } else if is_quiet(plan, now) {
            match plan.automation.safeguards.quiet_hours_action {
                QuietAction::Refuse => NextStep::QuietHours(place),
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

/// Returns the latest instant at which messages of a push may leave.
pub(super) fn latest(plan: &RunPlan, records: &PhaseRecords, place: usize) -> Timestamp {
    let previous = match place {
        0 => window_closes(plan, records),
        place => records
            .ended(&push_phase(place - 1))
            .unwrap_or(plan.times.send_at),
    };
    latest_after(plan, after_quiet(plan, due_after(plan, previous, place)))
}

fn due_after(plan: &RunPlan, previous: Timestamp, place: usize) -> Timestamp {
    let push = plan.automation.push.get(place);
    let delay = push.map_or(0, |push| i64::from(push.delay_minutes));
    after(previous, SignedDuration::from_mins(delay))
}

/// When a push may begin at the latest. What runs into quiet hours that are waited for has as long again after them.
fn latest_after(plan: &RunPlan, due: Timestamp) -> Timestamp {
    let latest = after(due, plan.times.lateness());
    match after_quiet(plan, latest) {
        end if end > latest => after(end, plan.times.lateness()),
        _ => latest,
    }
}

pub(super) fn after(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.saturating_add(span).unwrap_or(at)
}
