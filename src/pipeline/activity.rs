//! What an open run is doing. Pure: its records, whether a process holds its occurrence, and the time in, a word out.

use jiff::Timestamp;

use super::step;
use super::step::{Lateness, NextStep};
use super::{Mode, Phase, PhaseRecords, RunPlan};
use crate::state::Run;

/// What an open run is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// A process carries it.
    Running,
    /// It is between two phases, and needs no process until then. The instant may have passed: the next start of the
    /// automation goes on.
    Waiting(Timestamp, Phase),
    /// No process carries it, and it stopped in the middle: a person resumes or cancels it, unless a tick goes on first.
    Interrupted,
}

impl Activity {
    /// Its word, as shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting(..) => "waiting",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What an open run is doing. `held`: a living process holds its occurrence.
pub fn activity(run: &Run, records: &PhaseRecords, held: bool, now: Timestamp) -> Activity {
    if held {
        return Activity::Running;
    }
    // A send has no phases to wait between, and no tick goes on with a rehearsal.
    let Some(plan) = RunPlan::of(run)
        .ok()
        .filter(|plan| plan.mode == Mode::LiveSend)
    else {
        return Activity::Interrupted;
    };
    if is_in_the_middle(records) {
        return Activity::Interrupted;
    }
    match step::next(&plan, records, now, Lateness::Counts) {
        // What follows the end of the window are the pushes.
        NextStep::Wait(at, Phase::Window) => Activity::Waiting(at, Phase::Send),
        NextStep::Wait(at, phase) => Activity::Waiting(at, phase),
        NextStep::Do(Phase::Generate) => Activity::Waiting(plan.times.generate_at, Phase::Generate),
        NextStep::Do(Phase::Test) => Activity::Waiting(plan.times.test_at, Phase::Test),
        NextStep::Do(Phase::Window) => Activity::Waiting(plan.times.test_at, Phase::Window),
        NextStep::Push(_) => Activity::Waiting(now, Phase::Send),
        NextStep::Do(phase) => Activity::Waiting(now, phase),
        // By itself it sends nothing any more.
        NextStep::TooLate(..)
        | NextStep::InterruptedPush(_)
        | NextStep::QuietHours(_)
        | NextStep::Over => Activity::Interrupted,
    }
}

/// Whether something was begun and is not done. The window and the whole of the pushes stay open while they wait.
fn is_in_the_middle(records: &PhaseRecords) -> bool {
    let waits = [Phase::Window.as_str(), Phase::Send.as_str()];
    records
        .0
        .iter()
        .any(|record| !waits.contains(&&*record.phase) && records.done(&record.phase).is_none())
}
