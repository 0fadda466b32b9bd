//! What is to be done now. Pure: the records of a run and the time in, a step out.

use jiff::{SignedDuration, Timestamp};

use super::plan::push_word;
use super::{Course, Phase, Records};
use crate::automation::file::QuietAction;

/// What is to be done about a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
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
pub fn next(course: &Course, records: &Records, now: Timestamp, lateness: Lateness) -> Step {
    let times = &course.times;
    let is_late =
        |due: Timestamp| lateness == Lateness::Counts && now > after(due, times.lateness());
    let open = |phase: Phase| course.mode.has(phase) && records.done(phase.word()).is_none();
    for (phase, due) in [
        (Phase::Generate, times.generate_at),
        (Phase::Test, times.test_at),
    ] {
        if open(phase) {
            return if now < due {
                Step::Wait(due, phase)
            } else if is_late(times.send_at) {
                Step::TooLate(times.send_at, phase)
            } else {
                Step::Do(phase)
            };
        }
    }
    let closes = window_closes(course, records);
    if open(Phase::Window) {
        return if is_late(times.send_at) || is_late_by_then(course, closes, lateness) {
            Step::TooLate(times.send_at, Phase::Window)
        } else if now < closes && records.begun(Phase::Window.word()).is_some() {
            Step::Wait(closes, Phase::Window)
        } else {
            Step::Do(Phase::Window)
        };
    }
    if open(Phase::Send) {
        return push_step(course, records, (now, closes), lateness);
    }
    if open(Phase::Cleanup) {
        return Step::Do(Phase::Cleanup);
    }
    Step::Over
}

/// When nobody can cancel any longer before the first push: at the time itself; a window that was opened only after it
/// is as long as the automation promises.
pub fn window_closes(course: &Course, records: &Records) -> Timestamp {
    let times = &course.times;
    if !course.mode.has(Phase::Window) {
        return times.generate_at;
    }
    let tested = records
        .ended(Phase::Test.word())
        .or_else(|| records.ended(Phase::Generate.word()));
    match tested {
        Some(tested) if tested > times.send_at => after(tested, times.window()),
        _ => times.send_at,
    }
}

fn is_late_by_then(course: &Course, closes: Timestamp, lateness: Lateness) -> bool {
    lateness == Lateness::Counts && closes > after(course.times.send_at, course.times.lateness())
}

fn push_step(
    course: &Course,
    records: &Records,
    (now, closes): (Timestamp, Timestamp),
    lateness: Lateness,
) -> Step {
    let mut previous = closes;
    for (place, push) in course.automation.push.iter().enumerate() {
        if let Some(ended) = records.ended(&push_word(place)) {
            previous = ended;
            continue;
        }
        if !course.mode.has(Phase::Window) {
            return Step::Push(place);
        }
        let wanted = after(
            previous,
            SignedDuration::from_mins(i64::from(push.delay_minutes)),
        );
        let due = after_quiet(course, wanted);
        return if now < due {
            Step::Wait(due, Phase::Send)
        } else if lateness == Lateness::Counts && now > latest(course, due) {
            Step::TooLate(due, Phase::Send)
        } else if is_quiet(course, now) {
            match course.automation.safeguards.quiet_hours_action {
                QuietAction::Refuse => Step::Quiet(place),
                QuietAction::Delay => Step::Wait(after_quiet(course, now), Phase::Send),
            }
        } else {
            Step::Push(place)
        };
    }
    Step::Do(Phase::Send)
}

/// Whether an instant is inside the quiet hours.
pub(super) fn is_quiet(course: &Course, at: Timestamp) -> bool {
    let time = at.to_zoned(course.times.zone()).time();
    course
        .quiet_hours()
        .is_some_and(|hours| hours.contains(time))
}

/// The instant itself, or the end of the quiet hours that it is in, where the automation waits for that.
fn after_quiet(course: &Course, at: Timestamp) -> Timestamp {
    if course.automation.safeguards.quiet_hours_action == QuietAction::Refuse {
        return at;
    }
    let local = at.to_zoned(course.times.zone());
    course
        .quiet_hours()
        .and_then(|hours| hours.end_after(&local))
        .unwrap_or(at)
}

/// When a push may begin at the latest. What runs into quiet hours that are waited for has as long again after them.
fn latest(course: &Course, due: Timestamp) -> Timestamp {
    let latest = after(due, course.times.lateness());
    match after_quiet(course, latest) {
        end if end > latest => after(end, course.times.lateness()),
        _ => latest,
    }
}

pub(super) fn after(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.saturating_add(span).unwrap_or(at)
}
