//! Notices to the webhook and heartbeats to the monitor. One that cannot be delivered is noted and does not stop the
//! run.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::outgoing::Outgoing;
use super::plan::GeneratedFiles;
use super::{Mode, PhaseContext, RunPlan};
use crate::count::number;
use crate::delivery::Summary;
use crate::error::Error;
use crate::guards::Overrides;
use crate::notify::{Beat, Event, Heartbeat, Notice};
use crate::progress::Progress;
use crate::state::{Run, RunStatus};

/// The notices and heartbeats of one run.
pub(super) struct Notifier<'a> {
    pub(super) run: &'a Run,
    pub(super) plan: &'a RunPlan,
    pub(super) notices: Option<&'a Outgoing>,
    /// The guards that were overridden for the run.
    pub(super) overrides: &'a Overrides,
    pub(super) progress: &'a dyn Progress,
}

/// The counts that a notice at the end always names. The others are named where they are not zero: all of them together
/// are the rows.
const USUAL: [&str; 6] = [
    "accepted",
    "failed",
    "dead",
    "in_doubt",
    "excluded",
    "without_token",
];

pub(super) async fn notify_start(phase: &PhaseContext<'_>) {
    Notifier::of(phase).beat(Beat::Start, "begun", &[]).await;
}

pub(super) async fn notify_ready(phase: &PhaseContext<'_>, files: &GeneratedFiles) {
    let event = Event::AudienceReady { people: files.rows };
    Notifier::of(phase).send(event, counts(files)).await;
}

pub(super) async fn notify_tested(phase: &PhaseContext<'_>, accepted: u64, of: u64) {
    let event = Event::TestSent { accepted, of };
    Notifier::of(phase).send(event, Vec::new()).await;
}

pub(super) async fn notify_window(
    phase: &PhaseContext<'_>,
    files: &GeneratedFiles,
    closes: Timestamp,
) {
    let event = Event::WindowOpen {
        people: files.rows,
        send_at: closes.to_zoned(phase.plan.times.zone()),
        cancel: format!("pushctl cancel {}", phase.run.automation),
    };
    Notifier::of(phase).send(event, counts(files)).await;
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

    pub(super) async fn notify_end(
        &self,
        status: RunStatus,
        error: Option<&Error>,
        pushes: &[Summary],
    ) {
        let sum = |count: fn(&Summary) -> u64| pushes.iter().map(count).sum::<u64>();
        let accepted = sum(|push| push.accepted);
        let counts = Summary::OUTCOMES.map(|(name, count)| (name, sum(count)));
        let shown = counts
            .into_iter()
            .filter(|(name, count)| *count > 0 || USUAL.contains(name));
        let all: Vec<_> = shown
            .map(|(name, count)| (name.replace('_', " "), count))
            .collect();
        if matches!(status, RunStatus::Done | RunStatus::Partial) {
            let of = sum(|push| push.rows);
            self.send(Event::Done { accepted, of }, all.clone()).await;
            // A run that reached no one did not do what the monitor watches for, unless cadence and the control group
            // left none: that is what they are for.
            let kept_out = sum(|push| push.excluded + push.held_out);
            let all_kept_out = kept_out > 0 && kept_out + sum(|push| push.repeated) == of;
            let (beat, summary) = if accepted > 0 || all_kept_out {
                (Beat::Success, status.as_str().to_owned())
            } else {
                (
                    Beat::Failure,
                    format!("{}: no recipient was reached", status.as_str()),
                )
            };
            self.beat(beat, &summary, &all).await;
        } else {
            let why =
                error.map_or_else(|| status.as_str().to_owned(), |error| format!("{error:#}"));
            let event = Event::Stopped { why: why.clone() };
            self.send(event, Vec::new()).await;
            let counts = if pushes.is_empty() { &[][..] } else { &all };
            self.beat(
                Beat::Failure,
                &format!("{}: {why}", status.as_str()),
                counts,
            )
            .await;
        }
    }

    /// Sends a notice. A dry run sends none.
    async fn send(&self, event: Event, counts: Vec<(String, u64)>) {
        let Some(notices) = self.notices.filter(|_| self.plan.mode.reaches_phones()) else {
            return;
        };
        let overrides = self.overrides.0.iter();
        let facts = overrides.map(|one| ("guards off".to_owned(), one.to_string()));
        let notice = Notice {
            automation: self.run.automation.clone(),
            occurrence: self.run.occurrence.clone(),
            run: self.run.id.clone(),
            event,
            counts,
            facts: facts.collect(),
        };
        notices.tell(&self.plan.automation.notify, notice).await;
        self.note_warnings(notices);
    }

    /// Sends a heartbeat, of live runs alone: the monitor watches the scheduled job, and a test must not count as one.
    async fn beat(&self, beat: Beat, what: &str, counts: &[(String, u64)]) {
        let Some(notices) = self.notices.filter(|_| self.plan.mode == Mode::LiveSend) else {
            return;
        };
        let mut summary = format!("{} (run {})\n{what}\n", self.run.occurrence, self.run.id);
        for (name, count) in counts {
            let _ = writeln!(summary, "{name}: {}", number(*count));
        }
        let heartbeat = Heartbeat {
            beat,
            run: self.run.id.clone(),
            summary,
        };
        notices.beat(&self.plan.automation.notify, heartbeat).await;
        self.note_warnings(notices);
    }

    /// Notes the notices that could not be delivered.
    fn note_warnings(&self, notices: &Outgoing) {
        for warning in notices.warnings() {
            self.progress.note(&warning);
        }
    }
}

fn counts(files: &GeneratedFiles) -> Vec<(String, u64)> {
    let count = |push: &super::plan::PushFiles| {
        let rows = push.live.as_ref().map_or(0, |file| file.rows);
        (push.audience_file.clone(), rows)
    };
    files.pushes.iter().map(count).collect()
}
