//! From the records of a run to a [`RunReport`]: the one place of this room that reads the state store.
//!
//! What the plan, the phases and the summary hold beside the store's own columns is told in `gather/records.rs`.

mod records;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::run::{
    CancelReport, ErrorReport, FileReport, Outcome, OutcomeCount, PhaseReport, PushReport,
    RatePoint, RunReport,
};
use crate::cadence::Breakdown;
use crate::error::Result;
use crate::guards::Overrides;
use crate::state::ledger::{Ending, LedgerPush, Standing, TallyRow};
use crate::state::{PhaseRecord, Run, RunStatus, Store};

pub use records::AudienceFile;

use records::{Records, Told, note, said};

/// One point of the rate.
const STEP: Duration = Duration::from_secs(1);

/// Everything that is known of a run. The ledger is read push by push: its sums, not its rows.
pub async fn run_report(store: &Store, run: &Run) -> Result<RunReport> {
    let phases = store.phases(&run.id).await?;
    let records = Records {
        run,
        phases: &phases,
    };
    let told = records.told();
    let mut pushes = Vec::new();
    let mut rate: BTreeMap<Timestamp, RatePoint> = BTreeMap::new();
    for push in store.pushes(&run.automation, &run.occurrence).await? {
        let tally = store.tally(&push).await?;
        let told = told.iter().find(|told| told.push == push.number);
        pushes.push(push_report(&push, &tally, told, run.status));
        for (at, ending, count) in store.timeline(&push, STEP).await? {
            add_answers(&mut rate, at, ending, count);
        }
    }
    let known: Vec<u32> = pushes.iter().map(|push| push.number).collect();
    let others = told.iter().filter(|told| !known.contains(&told.push));
    pushes.extend(others.map(|told| rehearsed(told, &records)));
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
        rate: rate.into_values().collect(),
        cancel: cancel.map(|cancel| CancelReport {
            who: cancel.who,
            at: cancel.at,
            reason: cancel.reason,
        }),
        overrides: Overrides::of(&run.plan),
        errors: errors(&records),
    })
}

/// The production files of a run's audience, in the order of its pushes.
pub fn audience_files(run: &Run, phases: &[PhaseRecord]) -> Vec<AudienceFile> {
    Records { run, phases }.files()
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

/// What went wrong in phases, and what the summary gives as the reason of the end.
fn errors(records: &Records<'_>) -> Vec<ErrorReport> {
    let mut errors: Vec<ErrorReport> = records
        .phases
        .iter()
        .filter_map(|phase| {
            Some(ErrorReport {
                at: phase.ended_at,
                phase: Some(phase.phase.clone()),
                message: said(phase, "error")?,
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
            message: message.to_owned(),
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

/// A push of which the ledger knows nothing: of a dry run.
fn rehearsed(told: &Told, records: &Records<'_>) -> PushReport {
    let mut counts = Counts::default();
    for (rule, count) in &told.excluded_by_rule {
        counts.add(Outcome::Excluded, Some(rule), *count);
    }
    counts.add(Outcome::Holdout, None, told.held_out);
    counts.add(Outcome::NoToken, None, told.without_token);
    counts.add(Outcome::Skipped, Some("token-taken"), told.token_taken);
    for (reason, count) in &told.skipped_by_reason {
        counts.add(Outcome::Skipped, Some(reason), *count);
    }
    counts.add(Outcome::Skipped, Some("repeated"), told.repeated);
    let rows = told.rows.max(counts.total());
    let rest = match told.ended.as_str() {
        "rehearsed" => "dry-run",
        _ => "not-attempted",
    };
    counts.add(Outcome::Waiting, Some(rest), rows - counts.total());
    let (file, title) = records.push(told.push);
    PushReport {
        number: told.push,
        file,
        layer: told.layer,
        title,
        rows,
        outcomes: counts.sorted(),
    }
}

/// Every row of the file is counted once: what the ledger does not know was repeated, or was not got to.
fn push_report(
    push: &LedgerPush,
    tally: &[TallyRow],
    told: Option<&Told>,
    status: RunStatus,
) -> PushReport {
    let mut counts = Counts::default();
    for row in tally {
        let (outcome, code) = outcome(row, status);
        counts.add(outcome, code, row.count);
    }
    let expected = told.map_or(0, |told| told.rows + told.others + told.further_devices);
    let rows = counts.total().max(expected);
    let repeated = told
        .map_or(0, |told| told.repeated)
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
        layer: u8::try_from(push.layer).unwrap_or(u8::MAX),
        title: push.words.title.clone(),
        rows,
        outcomes: counts.sorted(),
    }
}

fn outcome(row: &TallyRow, status: RunStatus) -> (Outcome, Option<&str>) {
    let code = row.code.as_deref();
    let skipped = |code: &str| match code {
        "no-token" => Outcome::NoToken,
        "holdout" => Outcome::Holdout,
        key if Breakdown::is_key(key) => Outcome::Excluded,
        _ => Outcome::Skipped,
    };
    let outcome = match row.standing {
        Standing::Queued => return (Outcome::Waiting, Some("queued")),
        Standing::Unanswered if status == RunStatus::Open => {
            return (Outcome::Waiting, Some("under-way"));
        }
        // Nobody is at work on a run that ended.
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
