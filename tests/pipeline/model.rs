//! A driver without services: it follows `step` on records in memory, and each step takes a given time.

use jiff::{SignedDuration, Timestamp};
use pushctl::pipeline::step;
use pushctl::pipeline::step::{Lateness, NextStep};
use pushctl::pipeline::{Mode, Phase, PhaseRecords, RunPlan, Times};
use pushctl::state;

use super::automation;

/// A run in memory.
pub(super) struct Model {
    pub(super) plan: RunPlan,
    pub(super) records: PhaseRecords,
    pub(super) lateness: Lateness,
    /// How long generating, testing and each push take.
    pub(super) takes: SignedDuration,
    /// What was begun when.
    pub(super) begun: Vec<(Timestamp, String)>,
}

impl Model {
    /// The occurrence that is next at an instant, of an automation with this `[schedule]` and these pushes' delays.
    pub(super) fn of(schedule: &str, more: &str, delays: &[u16], from: Timestamp) -> Self {
        let automation = automation("a", schedule, more, delays);
        let occurrence = automation.schedule.next(from).unwrap();
        Self::new(RunPlan {
            automation: automation.file,
            mode: Mode::LiveSend,
            times: Times::of(&occurrence),
        })
    }

    pub(super) fn new(plan: RunPlan) -> Self {
        Self {
            plan,
            records: PhaseRecords::default(),
            lateness: Lateness::Counts,
            takes: SignedDuration::ZERO,
            begun: Vec::new(),
        }
    }

    /// What a start at this instant does until it has nothing more to do; the step that stopped it.
    pub(super) fn tick(&mut self, mut now: Timestamp) -> NextStep {
        loop {
            let step = step::next(&self.plan, &self.records, now, self.lateness);
            match step {
                NextStep::Do(Phase::Window) => self.window(now),
                NextStep::Do(Phase::Send) => self.record("send", now, Some(now)),
                NextStep::Do(phase) => self.work(phase.as_str(), &mut now),
                NextStep::Push(place) => self.work(&format!("push-{}", place + 1), &mut now),
                _ => return step,
            }
        }
    }

    /// When something was begun, each time.
    pub(super) fn times(&self, what: &str) -> Vec<Timestamp> {
        let of_it = self.begun.iter().filter(|(_, begun)| begun == what);
        of_it.map(|(at, _)| *at).collect()
    }

    fn work(&mut self, what: &str, now: &mut Timestamp) {
        let begun = *now;
        *now += self.takes;
        self.begun.push((begun, what.to_owned()));
        self.record(what, begun, Some(*now));
    }

    fn window(&mut self, now: Timestamp) {
        let is_open = self.records.begun("window").is_some();
        let closes = step::window_closes(&self.plan, &self.records);
        if !is_open && now < closes {
            self.begun.push((now, "window".to_owned()));
            self.record("window", now, None);
        } else {
            self.record("window", now, Some(now));
        }
    }

    fn record(&mut self, phase: &str, begun_at: Timestamp, ended_at: Option<Timestamp>) {
        let result = ended_at.map(|_| "done".to_owned());
        let open = |one: &&mut state::PhaseRecord| one.phase == phase && one.ended_at.is_none();
        if let Some(open) = self.records.0.iter_mut().find(open) {
            (open.ended_at, open.result) = (ended_at, result);
            return;
        }
        self.records.0.push(state::PhaseRecord {
            phase: phase.to_owned(),
            attempt: 1,
            begun_at,
            ended_at,
            result,
            detail: None,
        });
    }
}
