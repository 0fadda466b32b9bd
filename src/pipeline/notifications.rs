//! Who else is told: notices at the webhook, beats for the monitor. What does not arrive is mentioned, and holds nothing up.

use jiff::Timestamp;
use serde_json::Value;

use super::plan::GeneratedFiles;
use super::{Mode, PhaseContext, RunPlan};
use crate::count::number;
use crate::error::Error;
use crate::guards::Overrides;
use crate::notify::{Beat, Event, Notice, Notices};
use crate::progress::Progress;
use crate::state::{Run, RunStatus};

/// Where the news of one run go.
pub(super) struct News<'a> {
    pub(super) run: &'a Run,
    pub(super) plan: &'a RunPlan,
    pub(super) notices: &'a Notices,
    /// What was overridden for it.
    pub(super) overrides: &'a Overrides,
    pub(super) progress: &'a dyn Progress,
}

/// Sums of a push that a notice at the end always names.
const USUAL: [&str; 6] = [
    "accepted",
    "failed",
    "dead",
    "in_doubt",
    "excluded",
    "without_token",
];
/// The other sums of its rows.
const UNUSUAL: [&str; 7] = [
    "repeated",
    "held_out",
    "token_taken",
    "skipped",
    "cancelled",
    "under_way",
    "not_attempted",
];

pub(super) async fn notify_start(phase: &PhaseContext<'_>) {
    News::of(phase).beat(Beat::Start).await;
}

pub(super) async fn notify_ready(phase: &PhaseContext<'_>, files: &GeneratedFiles) {
    let event = Event::AudienceReady { people: files.rows };
    News::of(phase).tell(event, counts(files)).await;
}

pub(super) async fn notify_tested(phase: &PhaseContext<'_>, accepted: u64, of: u64) {
    let event = Event::TestSent { accepted, of };
    News::of(phase).tell(event, Vec::new()).await;
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
    News::of(phase).tell(event, counts(files)).await;
}

impl<'a> News<'a> {
    pub(super) fn of(phase: &PhaseContext<'a>) -> Self {
        Self {
            run: phase.run,
            plan: phase.plan,
            notices: phase.context.notices,
            overrides: phase.overrides,
            progress: phase.context.progress,
        }
    }

    pub(super) async fn tell_end(&self, status: RunStatus, error: Option<&Error>, summary: &Value) {
        let sum = |key: &str| {
            let pushes = summary["pushes"].as_array().map_or(&[][..], Vec::as_slice);
            pushes
                .iter()
                .filter_map(|push| push[key].as_u64())
                .sum::<u64>()
        };
        match status {
            RunStatus::Done | RunStatus::Partial => {
                // Together they are the rows: what is not usual is named where it is not zero.
                let usual = USUAL.iter().map(|key| (*key, sum(key)));
                let others = UNUSUAL.iter().map(|key| (*key, sum(key)));
                let facts: Vec<(String, String)> = usual
                    .chain(others.filter(|(_, count)| *count > 0))
                    .map(|(key, count)| (key.replace('_', " "), number(count)))
                    .collect();
                let event = Event::Done {
                    accepted: sum("accepted"),
                    of: sum("rows"),
                };
                self.tell(event, facts).await;
                self.beat(Beat::Success).await;
            }
            _ => {
                let why =
                    error.map_or_else(|| status.as_str().to_owned(), |error| format!("{error:#}"));
                self.tell(Event::Stopped { why }, Vec::new()).await;
                self.beat(Beat::Failure).await;
            }
        }
    }

    /// A rehearsal is nobody's news.
    async fn tell(&self, event: Event, mut facts: Vec<(String, String)>) {
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
        if let Err(warning) = self.notices.tell(&notice).await {
            self.progress.note(&warning.to_string());
        }
    }

    /// The monitor watches over the daily job: a test in the morning must not pass for it.
    async fn beat(&self, beat: Beat) {
        if self.plan.mode != Mode::LiveSend {
            return;
        }
        if let Err(warning) = self.notices.beat(beat).await {
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
