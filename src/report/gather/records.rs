//! The parts of a run's plan, phase details and summary that a report needs.
//!
//! | where | key | what it holds |
//! | --- | --- | --- |
//! | plan | `course.automation`, `course.times.zone` | the automation's file; its zone |
//! | plan | `order` | a send without an automation |
//! | detail of `generate` | `directory`, `pushes`, `funnel` | the audience's files, push by push; the manifest's funnel |
//! | detail of a push, summary, or its `pushes` | `push`, `rows`, … | a send's summary |
//! | detail | `note`, `error` | a few words; what went wrong |
//!
//! Each of them may be missing or of another version: then the report has less.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use super::super::run::FunnelStage;
use super::super::{counted, number};
use crate::audience::funnel::Funnel;
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
    /// Its rows.
    pub rows: Option<u64>,
}

/// A send's summary, as far as the ledger does not know it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PushSummary {
    pub(super) push: u32,
    pub(super) layer: u8,
    pub(super) ended: String,
    pub(super) rows: u64,
    pub(super) repeated: u64,
    pub(super) others: u64,
    pub(super) further_devices: u64,
    pub(super) excluded_by_rule: BTreeMap<String, u64>,
    pub(super) held_out: u64,
    pub(super) without_token: u64,
    pub(super) token_taken: u64,
    pub(super) skipped_by_reason: BTreeMap<String, u64>,
}

/// The files of one push, in the detail of `generate`.
#[derive(Deserialize)]
struct PushFiles {
    audience_file: String,
    live: Option<OneFile>,
}

#[derive(Deserialize)]
struct OneFile {
    name: String,
    rows: u64,
    sha256: String,
}

/// A run with its phases.
pub(super) struct Records<'a> {
    pub(super) run: &'a Run,
    pub(super) phases: &'a [PhaseRecord],
}

impl<'a> Records<'a> {
    pub(super) fn description(&self) -> Option<String> {
        self.planned("/course/automation/description")
    }

    pub(super) fn zone(&self) -> Option<String> {
        self.planned("/course/times/zone")
    }

    /// The file and the title of a push, as they were planned.
    pub(super) fn push(&self, number: u32) -> (String, String) {
        let place = number.saturating_sub(1);
        let of_automation = |key: &str| {
            self.planned(&format!("/course/automation/push/{place}/{key}"))
                .unwrap_or_default()
        };
        (of_automation("audience_file"), of_automation("title"))
    }

    pub(super) fn funnel(&self) -> Vec<FunnelStage> {
        let Some(funnel) = self.detail::<Funnel>("funnel") else {
            return Vec::new();
        };
        let lines = funnel.lines().into_iter();
        let mut stages: Vec<FunnelStage> = lines
            .map(|line| FunnelStage {
                name: line.name,
                people: line.count,
                left: (!line.because.is_empty()).then_some(line.because),
            })
            .collect();
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

    /// Each once, though several pushes may go to it.
    pub(super) fn files(&self) -> Vec<AudienceFile> {
        let directory: PathBuf = self.detail("directory").unwrap_or_default();
        let generated = self.phases.iter().rev().find_map(|phase| {
            let detail = phase.detail.as_ref()?;
            detail.get("directory")?;
            read::<Vec<PushFiles>>(detail.get("pushes")?)
        });
        let Some(pushes) = generated else {
            return self.sent_file().into_iter().collect();
        };
        let mut files: Vec<AudienceFile> = Vec::new();
        for push in pushes {
            let Some(live) = push.live else { continue };
            let path = directory.join(live.name);
            if files.iter().all(|file| file.path != path) {
                files.push(AudienceFile {
                    stem: push.audience_file,
                    path,
                    sha256: Some(live.sha256),
                    rows: Some(live.rows),
                });
            }
        }
        files
    }

    fn sent_file(&self) -> Option<AudienceFile> {
        let path = PathBuf::from(self.planned("/order/input/file/path")?);
        Some(AudienceFile {
            stem: stem(&path),
            sha256: self.planned("/order/input/file/sha256"),
            rows: self.push_summaries().first().map(|told| told.rows),
            path,
        })
    }

    /// Returns the last summary of each push, by number.
    pub(super) fn push_summaries(&self) -> Vec<PushSummary> {
        let summary = self.run.summary.as_ref();
        let pushes = summary.and_then(|summary| summary.get("pushes")?.as_array());
        let details = self.phases.iter().filter_map(|phase| phase.detail.as_ref());
        let documents = details.chain(summary).chain(pushes.into_iter().flatten());
        let told = documents.filter_map(read::<PushSummary>);
        let by_number: BTreeMap<u32, PushSummary> = told
            .filter(|told| told.push > 0)
            .map(|told| (told.push, told))
            .collect();
        by_number.into_values().collect()
    }

    /// Returns the reason of the end, if the summary has one.
    pub(super) fn reason(&self) -> Option<&'a str> {
        self.run.summary.as_ref()?.get("reason")?.as_str()
    }

    fn planned(&self, pointer: &str) -> Option<String> {
        Some(self.run.plan.pointer(pointer)?.as_str()?.to_owned())
    }

    /// The latest detail of any phase under a key.
    fn detail<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        let details = self.phases.iter().rev();
        details
            .filter_map(|phase| phase.detail.as_ref()?.get(key))
            .find_map(read)
    }
}

/// A few words about a phase: its own, or its numbers.
pub(super) fn note(phase: &PhaseRecord) -> Option<String> {
    let detail = phase.detail.as_ref()?;
    let count = |key: &str| detail.get(key)?.as_u64();
    let all = count("of").or_else(|| count("rows"));
    if detail_text(phase, "ended").as_deref() == Some("rehearsed") {
        let up_to = match detail.get("is_upper_bound").and_then(Json::as_bool) {
            Some(true) => "up to ",
            _ => "",
        };
        let would = number(count("not_attempted").unwrap_or_default());
        let rows = counted(all.unwrap_or_default(), "rows");
        return Some(format!("{up_to}{would} of {rows} would be sent"));
    }
    match (detail_text(phase, "note"), count("accepted"), all) {
        (Some(note), ..) => Some(note),
        (None, Some(accepted), Some(all)) => {
            Some(format!("{} of {} accepted", number(accepted), number(all)))
        }
        (None, None, Some(rows)) => Some(counted(rows, "rows")),
        _ => None,
    }
}

/// A text in a phase's detail.
pub(super) fn detail_text(phase: &PhaseRecord, key: &str) -> Option<String> {
    Some(phase.detail.as_ref()?.get(key)?.as_str()?.to_owned())
}

fn read<T: DeserializeOwned>(value: &Json) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

fn stem(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or(path.as_os_str());
    stem.to_string_lossy().into_owned()
}
