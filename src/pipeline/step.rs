//! The next step of a run, from its plan, its records and the time. Pure.

use jiff::{SignedDuration, Timestamp};

use super::plan::{GeneratedFiles, push_phase};
use super::{Mode, Phase, PhaseRecords, RunPlan};
use crate::automation::file::QuietAction;

/// The next step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// Waits until this instant, when the phase begins or continues.
    Wait(Timestamp, Phase),
    /// Runs this phase.
    Do(Phase),
    /// Sends this push, counted from 0.
    Push(usize),
    /// Refuses: the phase was due at this instant, and it is later than the automation allows.
    TooLate(Timestamp, Phase),
    /// Leaves the run to a person: this push was interrupted in the middle, and it is later than the automation allows.
    InterruptedPush(usize),
    /// Refuses: this push, or the test pushes, would be sent in the quiet hours.
    QuietHours(Option<usize>),
    /// The run is over.
    Over,
}

/// Whether lateness matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lateness {
    /// A scheduler started the run: the limit holds.
    Counts,
    /// A person started the run and knows the time: the limit does not hold.
    Waived,
}

/// Returns the next step of a run at `now`.
pub fn next(
    plan: &RunPlan,
    records: &PhaseRecords,
    now: Timestamp,
    lateness: Lateness,
) -> NextStep {
    let times = &plan.times;
    let is_late = |at: Timestamp| lateness == Lateness::Counts && at > latest_start(plan);
    let open = |phase: Phase| plan.mode.has(phase) && records.done(phase.as_str()).is_none();
    for (phase, due) in [
        (Phase::Generate, times.generate_at),
        (Phase::Test, times.test_at),
    ] {
        if open(phase) {
            let is_held = phase == Phase::Test && has_tests(plan, records) && is_quiet(plan, now);
            let is_delayed = is_held && delays(plan);
            let begins = if is_delayed {
                after_quiet(plan, now)
            } else {
                now
            };
            return if now < due {
                NextStep::Wait(due, phase)
            } else if is_late(now) {
                NextStep::TooLate(times.send_at, phase)
            } else if is_late(whole_window(plan, begins)) {
                NextStep::TooLate(times.send_at, Phase::Window)
            } else if is_delayed {
                NextStep::Wait(begins, phase)
            } else if is_held {
                NextStep::QuietHours(None)
            } else {
                NextStep::Do(phase)
            };
        }
    }
    let closes = window_closes(plan, records);
    if open(Phase::Window) {
        return if is_late(now) || is_late(closes) {
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

/// Returns how long the test pushes may take within the window: a quarter of it. If they take longer, the window begins
/// when they are done.
fn spare(plan: &RunPlan) -> SignedDuration {
    SignedDuration::from_secs(plan.times.window_seconds / 4)
}

/// Returns when the window would close if the test pushes were sent now.
fn whole_window(plan: &RunPlan, now: Timestamp) -> Timestamp {
    if !plan.mode.has(Phase::Window) {
        return plan.times.send_at;
    }
    plan.times.send_at.max(after(now, plan.times.window()))
}

/// Returns whether a live run has test pushes. A run that only tests is started by a person, who wants them now.
fn has_tests(plan: &RunPlan, records: &PhaseRecords) -> bool {
    let has_test = |files: GeneratedFiles| files.pushes.iter().any(|push| push.test.is_some());
    plan.mode == Mode::LiveSend && records.files().map_or(true, has_test)
}

/// Returns whether pushes wait for the end of the quiet hours, instead of being refused.
fn delays(plan: &RunPlan) -> bool {
    plan.automation.safeguards.quiet_hours_action == QuietAction::Delay
}

/// Returns the latest start of the first push, as it is planned.
fn latest_start(plan: &RunPlan) -> Timestamp {
    latest_after(plan, after_quiet(plan, plan.times.send_at))
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
            if delays(plan) {
                NextStep::Wait(after_quiet(plan, now), Phase::Send)
            } else {
                NextStep::QuietHours(Some(place))
            }
        } else {
            NextStep::Push(place)
        };
    }
    NextStep::Do(Phase::Send)
}

/// Returns whether an instant is within the quiet hours.
pub(super) fn is_quiet(plan: &RunPlan, at: Timestamp) -> bool {
    let time = at.to_zoned(plan.times.zone()).time();
    plan.quiet_hours().is_some_and(|hours| hours.contains(time))
}

/// Returns the instant, or the end of the quiet hours around it if the automation delays pushes until then.
fn after_quiet(plan: &RunPlan, at: Timestamp) -> Timestamp {
    if !delays(plan) {
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

/// Returns the latest start of a push. A push that is delayed by quiet hours may be as late again after their end.
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
