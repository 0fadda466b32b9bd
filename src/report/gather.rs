//! Builds a [`RunReport`] from the records of a run; no other report reads the state store.
//!
//! `gather/records.rs` reads plan, phases and summary; `gather/metrics.rs` gathers numbers of all automations,
//! `gather/why_run.rs` what a run did for one recipient.

pub mod metrics;
mod records;
pub mod why_run;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::run::{
    CancelReport, ErrorReport, FileReport, Outcome, OutcomeCount, PhaseReport, PushReport,
    RatePoint, RunReport,
};
use crate::cadence::Breakdown;
use crate::delivery::{SendResult, Summary};
use crate::error::Result;
use crate::guards::Overrides;
use crate::state::ledger::{Ending, LedgerPush, Standing, TallyRow};
use crate::state::{PhaseRecord, Run, RunStatus, Store};

pub use records::AudienceFile;

use records::{Records, note};

/// One point of the rate.
const STEP: Duration = Duration::from_secs(1);

/// Returns the report of a run. Of each push the ledger gives sums, not rows.
pub async fn run_report(store: &Store, run: &Run) -> Result<RunReport> {
    let mut rate: BTreeMap<Timestamp, RatePoint> = BTreeMap::new();
    for push in store.pushes(&run.automation, &run.occurrence).await? {
        for (at, ending, count) in store.timeline(&push, STEP).await? {
            add_answers(&mut rate, at, ending, count);
        }
    }
    Ok(RunReport {
        rate: rate.into_values().collect(),
        ..run_counts(store, run).await?
    })
}

/// Returns the report of a run without the rate of its pushes.
pub async fn run_counts(store: &Store, run: &Run) -> Result<RunReport> {
    let phases = store.phases(&run.id).await?;
    let records = Records::of(run, &phases);
    let summary = records.push_summaries();
    let mut pushes = Vec::new();
    for push in store.pushes(&run.automation, &run.occurrence).await? {
        let tally = store.tally(&push).await?;
        let summary = summary.iter().find(|summary| summary.push == push.number);
        pushes.push(push_report(&push, &tally, summary, run.status));
    }
    let known: Vec<u32> = pushes.iter().map(|push| push.number).collect();
    let others = summary
        .iter()
        .filter(|summary| !known.contains(&summary.push));
    pushes.extend(others.map(|summary| dry_run(summary, &records)));
    pushes.sort_by_key(|push| push.number);
    let cancel = match run.status {
        RunStatus::Open | RunStatus::Cancelled => store.cancellation(&run.id).await?,
        _ => None,
    };
    Ok(RunReport {
        run: run.id.clone(),
        automation: run.automation.clone(),
        description: records.description(),
        occurrence: run.occurrence.clone(),
        mode: run.mode.clone(),
        status: run.status.as_str().to_owned(),
        state: None,
        begun_by: run.begun_by.clone(),
        begun_at: run.begun_at,
        ended_at: run.ended_at,
        zone: records.zone(),
        phases: phases.iter().map(phase_report).collect(),
        funnel: records.funnel(),
        files: file_reports(&records),
        pushes,
        rate: Vec::new(),
        cancel: cancel.map(|cancel| CancelReport {
            who: cancel.who,
            at: cancel.at,
            reason: cancel.reason,
        }),
        overrides: Overrides::of(&run.plan),
        errors: errors(&records),
    })
}

/// Returns the production files of a run's audience, in the order of its pushes.
pub fn audience_files(run: &Run, phases: &[PhaseRecord]) -> Vec<AudienceFile> {
    Records::of(run, phases).files()
}

fn phase_report(phase: &PhaseRecord) -> PhaseReport {
    PhaseReport {
        phase: phase.phase.clone(),
        attempt: phase.attempt,
        begun_at: phase.begun_at,
        ended_at: phase.ended_at,
        result: phase.result.clone(),
        note: note(phase),
    }
}

fn file_reports(records: &Records<'_>) -> Vec<FileReport> {
    let counted = |file: AudienceFile| {
        Some(FileReport {
            name: file.stem,
            rows: file.rows?,
        })
    };
    records.files().into_iter().filter_map(counted).collect()
}

/// Returns the errors of the phases, and the reason in the summary.
fn errors(records: &Records<'_>) -> Vec<ErrorReport> {
    let mut errors: Vec<ErrorReport> = records
        .phases
        .iter()
        .filter_map(|phase| {
            Some(ErrorReport {
                at: phase.ended_at,
                phase: Some(phase.phase.clone()),
                message: records::error(phase)?,
            })
        })
        .collect();
    if let Some(message) = records.reason()
        && records.run.status != RunStatus::Cancelled
        && errors.iter().all(|error| error.message != message)
    {
        errors.push(ErrorReport {
            at: records.run.ended_at,
            phase: None,
            message,
        });
    }
    errors
}

/// Outcomes on their way into a report; those that did not occur are left out.
#[derive(Default)]
struct Counts(Vec<OutcomeCount>);

impl Counts {
    fn add(&mut self, outcome: Outcome, code: Option<&str>, count: u64) {
        if count > 0 {
            self.0.push(OutcomeCount {
                outcome,
                code: code.map(str::to_owned),
                count,
            });
        }
    }

    fn total(&self) -> u64 {
        self.0.iter().map(|one| one.count).sum()
    }

    fn sorted(mut self) -> Vec<OutcomeCount> {
        self.0
            .sort_by(|a, b| (a.outcome, &a.code).cmp(&(b.outcome, &b.code)));
        self.0
    }
}

/// Returns a push of a dry run, which the ledger does not have.
fn dry_run(summary: &Summary, records: &Records<'_>) -> PushReport {
    let mut counts = Counts::default();
    for (rule, count) in &summary.excluded_by_rule {
        counts.add(Outcome::Excluded, Some(rule), *count);
    }
    counts.add(Outcome::Holdout, None, summary.held_out);
    counts.add(Outcome::NoToken, None, summary.without_token);
    counts.add(Outcome::Skipped, Some("token-taken"), summary.token_taken);
    for (reason, count) in &summary.skipped_by_reason {
        counts.add(Outcome::Skipped, Some(reason), *count);
    }
    counts.add(Outcome::Skipped, Some("repeated"), summary.repeated);
    let rows = summary.rows.max(counts.total());
    let rest = match summary.ended {
        SendResult::DryRun => "dry-run",
        _ => "not-attempted",
    };
    counts.add(Outcome::Waiting, Some(rest), rows - counts.total());
    let (file, title) = records.push(summary.push);
    PushReport {
        number: summary.push,
        file,
        layer: layer(summary.layer),
        title,
        rows,
        outcomes: counts.sorted(),
        variants: summary.variants.clone(),
    }
}

/// Counts every row of the file once: rows that the ledger does not have were repeated or not reached.
fn push_report(
    push: &LedgerPush,
    tally: &[TallyRow],
    summary: Option<&Summary>,
    status: RunStatus,
) -> PushReport {
    let mut counts = Counts::default();
    for row in tally {
        let (outcome, code) = outcome(row, status);
        counts.add(outcome, code, row.count);
    }
    let expected = summary.map_or(0, |summary| {
        summary.rows + summary.others + summary.further_devices
    });
    let rows = counts.total().max(expected);
    let repeated = summary
        .map_or(0, |summary| summary.repeated)
        .min(rows - counts.total());
    counts.add(Outcome::Skipped, Some("repeated"), repeated);
    let rest = match status {
        RunStatus::Cancelled => Outcome::Cancelled,
        _ => Outcome::Waiting,
    };
    counts.add(rest, Some("not-attempted"), rows - counts.total());
    PushReport {
        number: push.number,
        file: push.audience.clone().unwrap_or_default(),
        layer: layer(push.layer),
        title: push.words.title.clone(),
        rows,
        outcomes: counts.sorted(),
        variants: summary.map_or_else(Vec::new, |summary| summary.variants.clone()),
    }
}

fn layer(layer: u32) -> u8 {
    u8::try_from(layer).unwrap_or(u8::MAX)
}

/// Returns the outcome of a recipient without a message, by the code.
fn skipped(code: &str) -> Outcome {
    match code {
        "no-token" => Outcome::NoToken,
        "holdout" => Outcome::Holdout,
        key if Breakdown::is_key(key) => Outcome::Excluded,
        _ => Outcome::Skipped,
    }
}

fn outcome(row: &TallyRow, status: RunStatus) -> (Outcome, Option<&str>) {
    let code = row.code.as_deref();
    let outcome = match row.standing {
        Standing::Queued => return (Outcome::Waiting, Some("queued")),
        Standing::Unanswered if status == RunStatus::Open => {
            return (Outcome::Waiting, Some("under-way"));
        }
        // No process works on a run that has ended.
        Standing::Unanswered => return (Outcome::InDoubt, Some("unanswered")),
        Standing::Ended(Ending::Accepted) => Outcome::Accepted,
        Standing::Ended(Ending::Failed) => Outcome::Failed,
        Standing::Ended(Ending::Dead) => Outcome::Dead,
        Standing::Ended(Ending::Cancelled) => Outcome::Cancelled,
        Standing::Ended(Ending::InDoubt) => Outcome::InDoubt,
        Standing::Ended(Ending::Skipped) => skipped(code.unwrap_or_default()),
    };
    (outcome, code)
}

/// Returns whether the outcome is an answer of the push service.
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
