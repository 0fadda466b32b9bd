//! Notices to the webhook and heartbeats to the monitor. One that cannot be delivered is noted and does not stop the
//! run.

use jiff::Timestamp;

use super::plan::GeneratedFiles;
use super::{Mode, PhaseContext, RunPlan};
use crate::count::number;
use crate::delivery::Summary;
use crate::error::Error;
use crate::guards::Overrides;
use crate::notify::{Beat, Event, Notice, Outgoing};
use crate::progress::Progress;
use crate::state::{Run, RunStatus};

/// The notices and heartbeats of one run.
pub(super) struct Notifier<'a> {
    pub(super) run: &'a Run,
    pub(super) plan: &'a RunPlan,
    pub(super) notices: &'a Outgoing,
    /// The guards that were overridden for the run.
    pub(super) overrides: &'a Overrides,
    pub(super) progress: &'a dyn Progress,
}

/// A count of a push: its name in a notice, and where it is.
type Count = (&'static str, fn(&Summary) -> u64);

/// The counts that a notice at the end always names.
const USUAL: [Count; 6] = [
    ("accepted", |push| push.accepted),
    ("failed", |push| push.failed),
    ("dead", |push| push.dead),
    ("in doubt", |push| push.in_doubt),
    ("excluded", |push| push.excluded),
    ("without token", |push| push.without_token),
];
/// The other counts of rows, which it names where they are not zero: all of them together are the rows.
const UNUSUAL: [Count; 7] = [
    ("repeated", |push| push.repeated),
    ("held out", |push| push.held_out),
    ("token taken", |push| push.token_taken),
    ("skipped", |push| push.skipped),
    ("cancelled", |push| push.cancelled),
    ("under way", |push| push.under_way),
    ("not attempted", |push| push.not_attempted),
];

pub(super) fn notify_start(phase: &PhaseContext<'_>) {
    Notifier::of(phase).beat(Beat::Start);
}

pub(super) fn notify_ready(phase: &PhaseContext<'_>, files: &GeneratedFiles) {
    let event = Event::AudienceReady { people: files.rows };
    Notifier::of(phase).send(event, counts(files));
}

pub(super) fn notify_tested(phase: &PhaseContext<'_>, accepted: u64, of: u64) {
    let event = Event::TestSent { accepted, of };
    Notifier::of(phase).send(event, Vec::new());
}

pub(super) fn notify_window(phase: &PhaseContext<'_>, files: &GeneratedFiles, closes: Timestamp) {
    let event = Event::WindowOpen {
        people: files.rows,
        send_at: closes.to_zoned(phase.plan.times.zone()),
        cancel: format!("pushctl cancel {}", phase.run.automation),
    };
    Notifier::of(phase).send(event, counts(files));
}

impl<'a> Notifier<'a> {
    pub(super) fn of(phase: &PhaseContext<'a>) -> Self {
        Self {
            run: phase.run,
            plan: phase.plan,
            notices: phase.context.notices,
            overrides: phase.overrides,
            progress: phase.context.progress,
        }
    }

    pub(super) fn notify_end(&self, status: RunStatus, error: Option<&Error>, pushes: &[Summary]) {
        let sum = |count: fn(&Summary) -> u64| pushes.iter().map(count).sum::<u64>();
        match status {
            RunStatus::Done | RunStatus::Partial => {
                let counts = |of: &[Count]| -> Vec<(&str, u64)> {
                    of.iter()
                        .map(|(name, count)| (*name, sum(*count)))
                        .collect()
                };
                let unusual = counts(&UNUSUAL).into_iter().filter(|(_, count)| *count > 0);
                let facts = counts(&USUAL).into_iter().chain(unusual);
                let facts = facts.map(|(name, count)| (name.to_owned(), number(count)));
                let event = Event::Done {
                    accepted: sum(|push| push.accepted),
                    of: sum(|push| push.rows),
                };
                self.send(event, facts.collect());
                self.beat(Beat::Success);
            }
            _ => {
                let why =
                    error.map_or_else(|| status.as_str().to_owned(), |error| format!("{error:#}"));
                self.send(Event::Stopped { why }, Vec::new());
                self.beat(Beat::Failure);
            }
        }
    }

    /// Sends a notice. A dry run sends none.
    fn send(&self, event: Event, mut facts: Vec<(String, String)>) {
        if !self.plan.mode.reaches_phones() {
            return;
        }
        let overrides = self.overrides.0.iter();
        facts.extend(overrides.map(|one| ("guards off".to_owned(), one.to_string())));
        let notice = Notice {
            automation: self.run.automation.clone(),
            occurrence: self.run.occurrence.clone(),
            run: self.run.id.clone(),
            event,
            facts,
        };
        self.notices.tell(notice);
        self.note_warnings();
    }

    /// Sends a heartbeat, of live runs alone: the monitor watches the scheduled job, and a test must not count as one.
    fn beat(&self, beat: Beat) {
        if self.plan.mode != Mode::LiveSend {
            return;
        }
        self.notices.beat(beat);
        self.note_warnings();
    }

    /// Notes the notices that could not be delivered.
    fn note_warnings(&self) {
        for warning in self.notices.warnings() {
            self.progress.note(&warning.to_string());
        }
    }
}

fn counts(files: &GeneratedFiles) -> Vec<(String, String)> {
    let count = |push: &super::plan::PushFiles| {
        let rows = push.live.as_ref().map_or(0, |file| file.rows);
        (push.audience_file.clone(), number(rows))
    };
    files.pushes.iter().map(count).collect()
}
