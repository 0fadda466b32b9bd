//! The table of guards: a [`Guard`] is a condition that must hold before or while a push is sent, a [`Road`] is a way
//! to start one. [`rule`] says which guard applies on which road.
//!
//! Every match here is exhaustive: a new road or a new guard does not compile until its row and its column are filled
//! in. The test of the table goes through [`Guard`] × [`Road`] too, and requires a case for each cell.

use clap::ValueEnum;

pub use crate::guards::{Guard, Override, Overrides};

/// A way in which a push can be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum)]
pub enum Road {
    /// `send --audience`, `send --users`.
    Send,
    /// `send --automation`.
    SendAutomation,
    /// `run-pipeline NAME`: the occurrence that is due.
    Pipeline,
    /// `run-pipeline NAME --now`.
    Now,
    /// `run-pipeline --tick`, of one automation or of all.
    Tick,
    /// `resume RUN`.
    Resume,
    /// `send --join RUN`.
    Join,
    /// `resume RUN --in-doubt retry`, of a run that is over.
    InDoubtRetry,
}

/// Whether a guard applies on a road.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// The guard must hold, or the start is refused.
    Applies,
    /// The guard warns and does not refuse, for this reason.
    Warns(&'static str),
    /// The guard does not apply, for this reason.
    DoesNotApply(&'static str),
}

use Rule::{Applies, DoesNotApply, Warns};

/// A guard's rules in the order of the roads: send, send --automation, pipeline, --now, tick, resume, join, in-doubt
/// retry.
type Row = [Rule; 8];

const EVERYWHERE: Row = [Applies; 8];
const NO_AUTOMATION: Rule = DoesNotApply("a send by hand belongs to no automation");
const BEGUN: Rule = DoesNotApply("the open run is the one that is continued");
const CHECKED: Rule = DoesNotApply("the send that is joined was checked when it began");
const NO_TIME: Rule = DoesNotApply("it has no time at which it is due");
const OVER: Rule = DoesNotApply("the run is over; its messages were due before");
const SOME_OF_THEM: Rule =
    DoesNotApply("its recipients are some of those that were checked when the run began");
const BY_HAND: Rule = DoesNotApply("a person sends by hand, and confirms what is sent");

/// Returns whether a guard applies on a road.
pub fn rule(guard: Guard, road: Road) -> Rule {
    let [
        send,
        send_automation,
        pipeline,
        now,
        tick,
        resume,
        join,
        retry,
    ] = row(guard);
    match road {
        Road::Send => send,
        Road::SendAutomation => send_automation,
        Road::Pipeline => pipeline,
        Road::Now => now,
        Road::Tick => tick,
        Road::Resume => resume,
        Road::Join => join,
        Road::InDoubtRetry => retry,
    }
}

#[rustfmt::skip]
fn row(guard: Guard) -> Row {
    match guard {
        Guard::Paused | Guard::QuietHours => [NO_AUTOMATION, Applies, Applies, Applies, Applies, Applies, Applies, Applies],
        Guard::OpenRun => [NO_AUTOMATION, Applies, Applies, Applies, Applies, BEGUN, BEGUN, BEGUN],
        Guard::Lease => [
            Applies, Applies, Applies, Applies, Applies, Applies,
            DoesNotApply("it shares the lease of the send that it joins"),
            Applies,
        ],
        Guard::MaxChange | Guard::MaxSkipped => {
            [NO_AUTOMATION, Applies, Applies, Applies, Applies, Applies, CHECKED, SOME_OF_THEM]
        }
        Guard::MinAudience => [Applies, Applies, Applies, Applies, Applies, Applies, CHECKED, Applies],
        Guard::MaxAudience => {
            [NO_AUTOMATION, Applies, Applies, Applies, Applies, Applies, CHECKED, Applies]
        }
        Guard::Lateness => [
            NO_TIME, NO_TIME, Applies,
            DoesNotApply("it is due at once"),
            Applies,
            Warns("a person resumes, and the warning says how late the run is"),
            DoesNotApply("only a send by hand is shared, and it has no time at which it is due"),
            OVER,
        ],
        Guard::Overlap => [Applies, Applies, Applies, Applies, Applies, Applies, CHECKED, SOME_OF_THEM],
        Guard::Audience => [
            Applies, Applies, Applies, Applies, Applies, Applies,
            DoesNotApply("it reads no file: the queue was filled from the one that was checked"),
            Applies,
        ],
        Guard::CommitMarker => [
            Applies, Applies, Applies, Applies, Applies, Applies,
            DoesNotApply("it reads no file: recipients come from the queue"),
            Applies,
        ],
        Guard::Test | Guard::Window => [
            NO_AUTOMATION, BY_HAND, Applies, Applies, Applies, Applies, CHECKED, OVER,
        ],
        Guard::Claim | Guard::Cadence | Guard::Recipient | Guard::UserIds | Guard::Outcomes | Guard::StateStore
        | Guard::Failures | Guard::Deadline | Guard::Cancel => EVERYWHERE,
        Guard::Confirmation => [
            Applies, Applies, Applies, Applies,
            DoesNotApply("it carries out automations that are enabled; one that is not needs --yes"),
            DoesNotApply("the run was agreed to when it began"),
            DoesNotApply("the send that is joined was agreed to when it began"),
            Applies,
        ],
    }
}

impl Road {
    /// Returns every road, in the order of the table.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cell_that_does_not_apply_has_a_reason() {
        for guard in Guard::all() {
            for road in Road::all() {
                if let DoesNotApply(why) | Warns(why) = rule(*guard, *road) {
                    assert!(why.len() > 10, "{guard} on {road:?}");
                }
            }
        }
        assert_eq!(rule(Guard::Paused, Road::Now), Applies);
        assert!(matches!(
            rule(Guard::OpenRun, Road::Resume),
            DoesNotApply(_)
        ));
    }
}
