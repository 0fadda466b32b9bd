//! The pipeline: carries an automation out phase by phase, from the audience to the pushes. An outside scheduler starts
//! it.
//!
//! An [`Occurrence`](crate::automation::schedule::Occurrence) is an automation and the instant it is for. One run
//! carries an occurrence out. Its [`RunPlan`] is recorded when it begins, and so are the beginning and the end of each
//! phase. The process that holds the occurrence's lease can therefore continue the run from where an earlier one
//! stopped. [`step`] decides the next step from those records and the time; [`driver`] carries it out.
//!
//! | module | contents |
//! | --- | --- |
//! | `plan` | the plan of a run, and the records of its phases |
//! | `step` | the next step of a run: pure |
//! | `select_occurrence` | the occurrence that a start is for: pure |
//! | `driver` | carries out one run, step by step, until it waits or is over |
//! | `finish` | the end of a run: record, summary, notices |
//! | `results` | the results of phases and the summary of a run, as they are recorded |
//! | `activity` | whether an open run is running, waiting or interrupted: pure |
//! | `generate`, `test`, `send`, `cleanup` | the phases |
//! | `file_handoff` | keeps the files for the next start |
//! | `safeguards` | the limits that make a run refuse: pure |
//! | `notifications` | notices and heartbeats |
//! | `outgoing` | records notices and delivers them beside the work |
//!
//! Deliberately absent: a scheduler. Every wait is bounded by the times of the occurrence.

mod activity;
mod cleanup;
pub mod driver;
mod file_handoff;
mod finish;
mod generate;
mod notifications;
pub mod outgoing;
mod plan;
mod results;
pub mod safeguards;
pub mod select_occurrence;
mod send;
pub mod step;
mod test;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub use activity::{Activity, activity};
pub use finish::{FinishedRun, Overdue, cancelled_by, close_run, notify_cancelled, overdue};
pub use outgoing::Outgoing;
pub use plan::{GeneratedFiles, PhaseRecords, RunPlan, Times};
pub use results::{
    GenerateResult, NoResult, OpenRun, RunDocument, RunSummary, TestResult, as_json,
};

use crate::audience::Catalogue;
use crate::audience::history::HistorySource;
use crate::budget::Budget;
use crate::cadence::Cadence;
use crate::clock::Clock;
use crate::csv_writer::LineEnding;
use crate::fcm::{self, Login};
use crate::guards::Overrides;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::settings::{DeadTokenSettings, MessageSettings};
use crate::source::{Source, Watch};
use crate::state::process_id::ProcessId;
use crate::state::{Run, Store};
use crate::template::link::AllowedHosts;

/// How much of a run is real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Everything: test pushes, the window, live pushes.
    LiveSend,
    /// The real audience; what would be sent is counted, and the push service is not reached.
    RealDryRun,
    /// The test files are really sent, nothing else.
    TestLiveSend,
    /// The test files; nothing is sent.
    TestDryRun,
}

/// A phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Audience files, manifest, safeguards.
    Generate,
    /// The test files through the real sender.
    Test,
    /// The cancellation window.
    Window,
    /// The pushes, in order.
    Send,
    /// Removes old files and records.
    Cleanup,
}

impl Mode {
    /// Returns the name that flags and records use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LiveSend => "live-send",
            Self::RealDryRun => "real-dry-run",
            Self::TestLiveSend => "test-live-send",
            Self::TestDryRun => "test-dry-run",
        }
    }

    /// Returns whether the mode has a phase.
    pub fn has(self, phase: Phase) -> bool {
        match phase {
            Phase::Generate | Phase::Cleanup => true,
            Phase::Test => self != Self::RealDryRun,
            Phase::Window => self == Self::LiveSend,
            Phase::Send => matches!(self, Self::LiveSend | Self::RealDryRun),
        }
    }

    /// Returns whether messages may be delivered to phones.
    pub fn reaches_phones(self) -> bool {
        matches!(self, Self::LiveSend | Self::TestLiveSend)
    }
}

impl Phase {
    /// Returns the name that records use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Test => "test",
            Self::Window => "window",
            Self::Send => "send",
            Self::Cleanup => "cleanup",
        }
    }
}

/// How long files and records are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Audience and outcome files.
    pub files: Duration,
    /// Runs, claims and outcomes in the state store.
    pub records: Duration,
}

/// The services and settings that a run uses.
pub struct PipelineContext<'a> {
    /// Runs, phases, claims.
    pub store: &'a Store,
    /// The notification history, which excludes recipients.
    pub cadence: &'a Cadence,
    /// Whether a dry run looks up no tokens and does not ask the notification history.
    pub offline: bool,
    /// The database that audiences are read from.
    pub source: &'a Source,
    /// The history of earlier pushes that queries may read.
    pub history: &'a HistorySource,
    /// The audiences that are known.
    pub catalogue: &'a Catalogue,
    /// The directory of audience files.
    pub output: &'a Path,
    /// The line ending of audience files.
    pub ending: LineEnding,
    /// The recipients of test pushes, unless the automation names its own.
    pub test_users: &'a [String],
    /// The options of messages, where the automation does not set them.
    pub message: &'a MessageSettings,
    /// The hosts that deep links may lead to.
    pub hosts: &'a AllowedHosts,
    /// The log-in at the push service; `None` where nothing is sent.
    pub login: Option<&'a Login>,
    /// How the push service is reached.
    pub service: &'a fcm::FcmSettings,
    /// The directory of outcome files.
    pub outcomes: &'a Path,
    /// How long files and records are kept.
    pub retention: Retention,
    /// Tokens that are no longer registered.
    pub dead_tokens: &'a DeadTokenSettings,
    /// This process, as leases and records name it.
    pub holder: &'a ProcessId,
    /// The clock of the schedule.
    pub clock: &'a Arc<dyn Clock>,
    /// Signals that ask the process to stop.
    pub interrupt: &'a Interrupt,
    /// Where progress is shown.
    pub progress: &'a dyn Progress,
    /// Where attempts to connect to the source are shown.
    pub watch: &'a dyn Watch,
    /// The time limit of the command, or of each step.
    pub budget: &'a Budget,
    /// Where notices go; `None` for a dry run.
    pub notices: Option<&'a Outgoing>,
}

/// The run and the services that its phases work with.
#[derive(Clone, Copy)]
struct PhaseContext<'a> {
    run: &'a Run,
    /// The plan without the limits that were overridden for this run.
    plan: &'a RunPlan,
    overrides: &'a Overrides,
    context: &'a PipelineContext<'a>,
}
