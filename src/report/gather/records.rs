//! The parts of a run's plan, phase details and summary that a report needs. What cannot be read is left out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde::de::DeserializeOwned;

use super::super::run::FunnelStage;
use super::super::send::{WOULD_BE_SENT, shown};
use super::super::why_run::AudienceRecord;
use super::super::{counted, number};
use crate::audience::funnel::FunnelLine;
use crate::delivery::{Input, Order, SendResult, SendRunPlan, Summary};
use crate::pipeline::{GenerateResult, NoResult, RunPlan, RunSummary, TestResult};
use crate::state::{PhaseRecord, Run};

/// A file of a run's audience, where it was when the run began to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudienceFile {
    /// Its name without date and ending, as the automation has it.
    pub stem: String,
    /// Where.
    pub path: PathBuf,
    /// The SHA-256 of its content, in hexadecimal.
    pub sha256: Option<String>,
    pub rows: Option<u64>,
}

impl From<FunnelLine> for FunnelStage {
    fn from(line: FunnelLine) -> Self {
        Self {
            name: line.name,
            people: line.count,
            left: (!line.because.is_empty()).then_some(line.because),
        }
    }
}

/// A push as it was planned.
pub(super) struct PlannedPush {
    pub(super) number: u32,
    pub(super) layer: u32,
    pub(super) title: String,
    /// Its audience, once there is one.
    pub(super) input: Option<Input>,
    pub(super) limit: Option<u64>,
    pub(super) holdout_percent: f64,
}

impl PlannedPush {
    fn of(order: Order) -> Self {
        Self {
            number: order.number,
            layer: order.layer,
            title: order.wording.title,
            input: Some(order.input),
            limit: order.limit,
            holdout_percent: order.holdout_percent,
        }
    }
}

/// A run with its phases.
pub(super) struct Records<'a> {
    pub(super) run: &'a Run,
    pub(super) phases: &'a [PhaseRecord],
    /// The plan of a pipeline.
    plan: Option<RunPlan>,
    /// The latest audience of a pipeline.
    generated: Option<GenerateResult>,
}

impl<'a> Records<'a> {
    pub(super) fn of(run: &'a Run, phases: &'a [PhaseRecord]) -> Self {
        Self {
            run,
            phases,
            plan: RunPlan::of(run).ok(),
            generated: phases.iter().rev().find_map(read),
        }
    }

    pub(super) fn description(&self) -> Option<String> {
        self.plan.as_ref()?.automation.description.clone()
    }

    pub(super) fn zone(&self) -> Option<String> {
        Some(self.plan.as_ref()?.times.zone.clone())
    }

    /// Returns the file and the title of a push, as they were planned.
    pub(super) fn push(&self, number: u32) -> (String, String) {
        let place = number.saturating_sub(1) as usize;
        let plan = self.plan.as_ref();
        let push = plan.and_then(|plan| plan.automation.push.get(place));
        push.map_or_else(Default::default, |push| {
            (push.audience_file.clone(), push.title.clone())
        })
    }

    pub(super) fn funnel(&self) -> Vec<FunnelStage> {
        let generated = self.generated.as_ref();
        let Some(funnel) = generated.and_then(|result| result.funnel.as_ref()) else {
            return Vec::new();
        };
        let lines = funnel.lines().into_iter();
        let mut stages: Vec<FunnelStage> = lines.map(FunnelStage::from).collect();
        // An automation may push to some of the files only; the page shows those.
        let pushed = self.files().iter().filter_map(|file| file.rows).sum();
        if stages.last().is_some_and(|last| last.people != pushed) {
            stages.push(FunnelStage {
                name: "in a file that is pushed".to_owned(),
                people: pushed,
                left: Some("in a file without a push".to_owned()),
            });
        }
        stages
    }

    /// Returns each file once, though several pushes may go to it.
    pub(super) fn files(&self) -> Vec<AudienceFile> {
        let Some(GenerateResult {
            files: generated, ..
        }) = &self.generated
        else {
            return self.sent_file().into_iter().collect();
        };
        let mut files: Vec<AudienceFile> = Vec::new();
        for push in &generated.pushes {
            let Some(live) = &push.live else { continue };
            let path = generated.directory.join(&live.name);
            if files.iter().all(|file| file.path != path) {
                files.push(AudienceFile {
                    stem: push.audience_file.clone(),
                    path,
                    sha256: Some(live.sha256.clone()),
                    rows: Some(live.rows),
                });
            }
        }
        files
    }

    /// Returns the pushes of the run as they were planned.
    pub(super) fn planned(&self) -> Vec<PlannedPush> {
        match &self.plan {
            Some(plan) => (0..plan.automation.push.len())
                .map(|place| self.planned_of(plan, place))
                .collect(),
            None => SendRunPlan::of(self.run)
                .map(|plan| PlannedPush::of(plan.order))
                .into_iter()
                .collect(),
        }
    }

    fn planned_of(&self, plan: &RunPlan, place: usize) -> PlannedPush {
        let push = &plan.automation.push[place];
        let input = self.generated.as_ref().map(|result| {
            let files = &result.files;
            let live = files.pushes.get(place).and_then(|push| push.live.as_ref());
            // A push without a file has no recipients.
            live.map_or(Input::Users(Vec::new()), |live| Input::File {
                path: files.directory.join(&live.name),
                sha256: Some(live.sha256.clone()),
            })
        });
        PlannedPush {
            number: u32::try_from(place + 1).unwrap_or(u32::MAX),
            layer: push.layer.into(),
            title: push.title.clone(),
            input,
            limit: None,
            holdout_percent: plan.automation.safeguards.holdout_percent,
        }
    }

    /// Returns how the audience of a pipeline was made.
    pub(super) fn audience(&self, user: &str) -> Option<AudienceRecord> {
        let (plan, generated) = (self.plan.as_ref()?, self.generated.as_ref()?);
        let audience = &plan.automation.audience;
        let mut parameters = generated.parameters.clone();
        if parameters.is_empty() {
            let set = audience.params.iter();
            parameters = set
                .map(|(name, value)| (name.clone(), value.to_string()))
                .collect();
        }
        Some(AudienceRecord::new(
            audience.name.clone(),
            generated.files.as_of.clone(),
            parameters,
            self.funnel(),
            user,
        ))
    }

    fn sent_file(&self) -> Option<AudienceFile> {
        let Input::File { path, sha256 } = SendRunPlan::of(self.run).ok()?.order.input else {
            return None;
        };
        Some(AudienceFile {
            stem: stem(&path),
            sha256,
            rows: self.push_summaries().first().map(|summary| summary.rows),
            path,
        })
    }

    /// Returns the last summary of each push, by number.
    pub(super) fn push_summaries(&self) -> Vec<Summary> {
        let of_run = self.run.summary.as_ref();
        let of_send = of_run.and_then(|summary| Summary::deserialize(summary).ok());
        let of_phases = self.phases.iter().filter_map(read::<Summary>);
        let of_pushes = self.summary().pushes();
        let by_number: BTreeMap<u32, Summary> = of_phases
            .chain(of_send)
            .chain(of_pushes)
            .filter(|summary| summary.push > 0)
            .map(|summary| (summary.push, summary))
            .collect();
        by_number.into_values().collect()
    }

    /// Returns the reason of the end, if the summary has one.
    pub(super) fn reason(&self) -> Option<String> {
        self.summary().reason
    }

    fn summary(&self) -> RunSummary {
        let summary = self.run.summary.as_ref().map(RunSummary::deserialize);
        summary.and_then(Result::ok).unwrap_or_default()
    }
}

/// Returns a few words about a phase: its own, or its numbers.
pub(super) fn note(phase: &PhaseRecord) -> Option<String> {
    let end: NoResult = read(phase)?;
    if end.note.is_some() || end.error.is_some() {
        return end.note;
    }
    let accepted = |accepted, of| format!("{} of {} accepted", number(accepted), number(of));
    match phase.phase.as_str() {
        "generate" => {
            let files = read::<GenerateResult>(phase)?.files;
            let mut parts = vec![counted(files.rows, "rows")];
            parts.extend(files.notes);
            Some(parts.join("; "))
        }
        "test" => {
            let test: TestResult = read(phase)?;
            Some(accepted(test.accepted, test.of))
        }
        _ => {
            let push: Summary = read(phase)?;
            match push.ended {
                _ if push.push == 0 => None,
                SendResult::DryRun => {
                    let would_be_sent = shown(&push, WOULD_BE_SENT, push.not_attempted);
                    let rows = counted(push.rows, "rows");
                    Some(format!("{would_be_sent} of {rows} {WOULD_BE_SENT}"))
                }
                _ => Some(accepted(push.accepted, push.rows)),
            }
        }
    }
}

/// Returns the error that ended a phase.
pub(super) fn error(phase: &PhaseRecord) -> Option<String> {
    read::<NoResult>(phase)?.error
}

/// Reads the detail of a phase.
fn read<T: DeserializeOwned>(phase: &PhaseRecord) -> Option<T> {
    T::deserialize(phase.detail.as_ref()?).ok()
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    stem.to_string_lossy().into_owned()
}
