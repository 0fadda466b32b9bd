//! From the records of a run to a [`RunReport`]: the one place of this room that reads the state store.
//!
//! Beside the store's own columns it looks at these keys, each of them optional, in the run's plan, and in the details
//! of its phases, of which later ones count more:
//!
//! | key | what it holds |
//! | --- | --- |
//! | `description`, `timezone` | the automation's sentence; the IANA name of its zone |
//! | `files` | `[{"stem", "path", "rows", "sha256"}]`, the audience's production files |
//! | `order.input.file` | `{"path", "sha256"}`, the file of a send without an automation |
//! | `funnel` | the funnel as a manifest has it |
//! | `note`, `error` | a phase's: a few words; what went wrong |
//!
//! and in the run's summary, or in the entries of its `pushes`: `push` (the number), `rows`, `repeated`, `others` and
//! `further_devices` of a send's summary; and `reason`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value as Json;

use super::run::{
    CancelReport, ErrorReport, FileReport, FunnelStage, Outcome, OutcomeCount, PhaseReport,
    PushReport, RatePoint, RunReport,
};
use crate::audience::funnel::Funnel;
use crate::error::Result;
use crate::state::ledger::{Ending, Push, Standing, TallyRow};
use crate::state::{Phase, Run, RunStatus, Store};

/// Codes by which the notification history held somebody back.
const CADENCE: [&str; 5] = [
    "l3Cooldown",
    "l2l3WeeklyLimit",
    "l5Cooldown",
    "invalidUuid",
    "cadence",
];
/// One point of the rate.
const STEP: Duration = Duration::from_secs(1);

/// A file of a run's audience, where it was when the run began to send.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AudienceFile {
    /// Its name without date and ending.
    #[serde(default)]
    pub stem: String,
    /// Where.
    pub path: PathBuf,
    /// The SHA-256 of its content, in hexadecimal.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Its rows.
    #[serde(default)]
    pub rows: Option<u64>,
}

/// What a send's summary says that the ledger does not know.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct Told {
    push: u32,
    rows: u64,
    repeated: u64,
    others: u64,
    further_devices: u64,
}

/// Everything that is known of a run. The ledger is read push by push: its sums, not its rows.
pub async fn run_report(store: &Store, run: &Run) -> Result<RunReport> {
    let phases = store.phases(&run.id).await?;
    let pushes = store.pushes(&run.automation, &run.occurrence).await?;
    let told = told(run);
    let mut reports = Vec::with_capacity(pushes.len());
    let mut rate: BTreeMap<Timestamp, RatePoint> = BTreeMap::new();
    for push in &pushes {
        let tally = store.tally(push).await?;
        let told = told.iter().find(|told| told.push == push.number);
        reports.push(push_report(push, &tally, told, run.status));
        for (at, ending, count) in store.timeline(push, STEP).await? {
            add_answers(&mut rate, at, ending, count);
        }
    }
    let cancel = match run.status {
        RunStatus::Open | RunStatus::Cancelled => store.cancellation(&run.id).await?,
        _ => None,
    };
    let records = Records {
        run,
        phases: &phases,
    };
    Ok(RunReport {
        run: run.id.clone(),
        automation: run.automation.clone(),
        description: records.text("description"),
        occurrence: run.occurrence.clone(),
        mode: run.mode.clone(),
        status: run.status.word().to_owned(),
        begun_by: run.begun_by.clone(),
        begun_at: run.begun_at,
        ended_at: run.ended_at,
        zone: records.text("timezone"),
        phases: phases.iter().map(phase_report).collect(),
        funnel: records.funnel(),
        files: file_reports(run, &phases),
        pushes: reports,
        rate: rate.into_values().collect(),
        cancel: cancel.map(|cancel| CancelReport {
            who: cancel.who,
            at: cancel.at,
            reason: cancel.reason,
        }),
        errors: errors(run, &phases),
    })
}

/// The production files of a run's audience, in their order.
pub fn audience_files(run: &Run, phases: &[Phase]) -> Vec<AudienceFile> {
    let records = Records { run, phases };
    let read = |value: &Json| serde_json::from_value::<AudienceFile>(value.clone()).ok();
    let mut files: Vec<AudienceFile> = match records.last("files") {
        Some(Json::Array(entries)) => entries.iter().filter_map(read).collect(),
        _ => run
            .plan
            .pointer("/order/input/file")
            .and_then(read)
            .into_iter()
            .collect(),
    };
    for file in &mut files {
        if file.stem.is_empty() {
            file.stem = stem(&file.path);
        }
    }
    files
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    stem.to_string_lossy().into_owned()
}

/// Where the keys of this module are looked for.
struct Records<'a> {
    run: &'a Run,
    phases: &'a [Phase],
}

impl<'a> Records<'a> {
    fn last(&self, key: &str) -> Option<&'a Json> {
        let details = self
            .phases
            .iter()
            .rev()
            .filter_map(|phase| phase.detail.as_ref());
        details
            .chain([&self.run.plan])
            .find_map(|document| document.get(key).filter(|value| !value.is_null()))
    }

    fn text(&self, key: &str) -> Option<String> {
        Some(self.last(key)?.as_str()?.to_owned())
    }

    fn funnel(&self) -> Vec<FunnelStage> {
        let funnel = self.last("funnel").cloned().unwrap_or_default();
        let Ok(funnel) = serde_json::from_value::<Funnel>(funnel) else {
            return Vec::new();
        };
        let base = FunnelStage {
            name: funnel.base,
            people: funnel.considered,
            left: None,
        };
        let stages = funnel.stages.into_iter().map(|stage| FunnelStage {
            name: stage.name,
            people: stage.remain,
            left: Some(stage.because),
        });
        std::iter::once(base).chain(stages).collect()
    }
}

fn told(run: &Run) -> Vec<Told> {
    let summary = run.summary.clone().unwrap_or_default();
    let entries = match summary.get("pushes").and_then(Json::as_array) {
        Some(entries) => entries.clone(),
        None => vec![summary],
    };
    let read = |entry| serde_json::from_value::<Told>(entry).ok();
    entries.into_iter().filter_map(read).collect()
}

fn phase_report(phase: &Phase) -> PhaseReport {
    PhaseReport {
        phase: phase.phase.clone(),
        attempt: phase.attempt,
        begun_at: phase.begun_at,
        ended_at: phase.ended_at,
        result: phase.result.clone(),
        note: said(phase, "note"),
    }
}

fn said(phase: &Phase, key: &str) -> Option<String> {
    Some(phase.detail.as_ref()?.get(key)?.as_str()?.to_owned())
}

fn file_reports(run: &Run, phases: &[Phase]) -> Vec<FileReport> {
    let files = audience_files(run, phases).into_iter();
    files
        .filter_map(|file| {
            Some(FileReport {
                name: file.stem,
                rows: file.rows?,
            })
        })
        .collect()
}

/// What went wrong in phases, and what the summary gives as the reason of the end.
fn errors(run: &Run, phases: &[Phase]) -> Vec<ErrorReport> {
    let mut errors: Vec<ErrorReport> = phases
        .iter()
        .filter_map(|phase| {
            Some(ErrorReport {
                at: phase.ended_at,
                phase: Some(phase.phase.clone()),
                message: said(phase, "error")?,
            })
        })
        .collect();
    let reason = run
        .summary
        .as_ref()
        .and_then(|summary| summary.get("reason"));
    if let Some(message) = reason.and_then(Json::as_str)
        && run.status != RunStatus::Cancelled
        && errors.iter().all(|error| error.message != message)
    {
        errors.push(ErrorReport {
            at: run.ended_at,
            phase: None,
            message: message.to_owned(),
        });
    }
    errors
}

/// Every row of the file is counted once: what the ledger does not know was repeated, or was not got to.
fn push_report(
    push: &Push,
    tally: &[TallyRow],
    told: Option<&Told>,
    status: RunStatus,
) -> PushReport {
    let mut outcomes: Vec<OutcomeCount> = Vec::new();
    let mut add = |outcome, code: Option<String>, count| {
        if count > 0 {
            outcomes.push(OutcomeCount {
                outcome,
                code,
                count,
            });
        }
    };
    for row in tally {
        let (outcome, code) = outcome(row, status);
        add(outcome, code, row.count);
    }
    let counted: u64 = tally.iter().map(|row| row.count).sum();
    let told = told.copied().unwrap_or_default();
    let rows = counted.max(told.rows + told.others + told.further_devices);
    let repeated = told.repeated.min(rows - counted);
    add(Outcome::Skipped, Some("repeated".to_owned()), repeated);
    let rest = match status {
        RunStatus::Cancelled => Outcome::Cancelled,
        _ => Outcome::Waiting,
    };
    let code = Some("not-attempted".to_owned());
    add(rest, code, rows - counted - repeated);
    outcomes.sort_by(|a, b| (a.outcome, &a.code).cmp(&(b.outcome, &b.code)));
    PushReport {
        number: push.number,
        file: push.audience.clone().unwrap_or_default(),
        layer: u8::try_from(push.layer).unwrap_or(u8::MAX),
        title: push.words.title.clone(),
        rows,
        outcomes,
    }
}

fn outcome(row: &TallyRow, status: RunStatus) -> (Outcome, Option<String>) {
    let code = row.code.clone();
    let skipped = |code: &str| match code {
        "no-token" => Outcome::NoToken,
        "holdout" => Outcome::Holdout,
        key if CADENCE.contains(&key) => Outcome::Excluded,
        _ => Outcome::Skipped,
    };
    match row.standing {
        Standing::Queued => (Outcome::Waiting, Some("queued".to_owned())),
        // Nobody is at work on a run that ended.
        Standing::Unanswered if status == RunStatus::Open => {
            (Outcome::Waiting, Some("under-way".to_owned()))
        }
        Standing::Unanswered => (Outcome::InDoubt, Some("unanswered".to_owned())),
        Standing::Ended(ending) => {
            let outcome = match ending {
                Ending::Accepted => Outcome::Accepted,
                Ending::Failed => Outcome::Failed,
                Ending::Dead => Outcome::Dead,
                Ending::Cancelled => Outcome::Cancelled,
                Ending::InDoubt => Outcome::InDoubt,
                Ending::Skipped => skipped(code.as_deref().unwrap_or_default()),
            };
            (outcome, code)
        }
    }
}

/// Only what the push service was asked is an answer of it.
fn add_answers(
    rate: &mut BTreeMap<Timestamp, RatePoint>,
    at: Timestamp,
    ending: Ending,
    count: u64,
) {
    if matches!(ending, Ending::Skipped | Ending::Cancelled) {
        return;
    }
    let point = rate.entry(at).or_insert(RatePoint {
        at,
        accepted: 0,
        other: 0,
    });
    match ending {
        Ending::Accepted => point.accepted += count,
        _ => point.other += count,
    }
}
