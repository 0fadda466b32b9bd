//! The pipeline: an automation from audience to phones, phase by phase, on a clock that someone else winds.
//!
//! An [`Occurrence`](crate::automation::schedule::Occurrence) is an automation and the instant it is for; a run carries it
//! out, and an occurrence has one run. What a run is about stands in its [`RunPlan`], which is written down when it
//! begins; each phase's beginning and end is a durable record; so whoever holds the occurrence's lease can go on from
//! wherever it stopped. [`step`] says what comes next, purely from those records and the time; [`driver`] does it.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `plan` | what a run is about, and what its phases came to |
//! | `step` | what is to be done now: pure |
//! | `select_occurrence` | which occurrence a start is for: pure |
//! | `driver` | one run, step by step, until it waits or is over |
//! | `finish` | what is recorded and told of a run that is over |
//! | `results` | the results of phases and the summary of a run, as they are recorded |
//! | `activity` | whether an open run is running, waits or was interrupted: pure |
//! | `generate`, `test`, `send`, `cleanup` | the phases |
//! | `file_handoff` | where the next start finds the files |
//! | `safeguards` | what makes a run refuse: pure |
//! | `notifications` | notices and heartbeats |
//!
//! Deliberately absent: a scheduler, and any wait that is not bounded by the occurrence's own times.

mod activity;
mod cleanup;
pub mod driver;
mod file_handoff;
mod finish;
mod generate;
mod notifications;
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
pub use finish::{Overdue, cancelled_by, close_run, notify_cancelled, overdue};
pub use plan::{GeneratedFiles, PhaseRecords, RunPlan, Times};
pub use results::PushResult;

use crate::audience::Catalogue;
use crate::audience::history::HistorySource;
use crate::cadence::Cadence;
use crate::clock::Clock;
use crate::csv_writer::LineEnding;
use crate::fcm::{self, ServiceAccount};
use crate::guards::Overrides;
use crate::interrupt::Interrupt;
use crate::notify::Notices;
use crate::progress::Progress;
use crate::source::{Source, Watch};
use crate::state::process_id::ProcessId;
use crate::state::{Run, Store};
use crate::template::link::AllowedHosts;

/// How much of it is real.
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
    /// Time for somebody to cancel.
    Window,
    /// The pushes, in order.
    Send,
    /// Old files and records away.
    Cleanup,
}

impl Mode {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LiveSend => "live-send",
            Self::RealDryRun => "real-dry-run",
            Self::TestLiveSend => "test-live-send",
            Self::TestDryRun => "test-dry-run",
        }
    }

    /// Whether it has such a phase.
    pub fn has(self, phase: Phase) -> bool {
        match phase {
            Phase::Generate | Phase::Cleanup => true,
            Phase::Test => self != Self::RealDryRun,
            Phase::Window => self == Self::LiveSend,
            Phase::Send => matches!(self, Self::LiveSend | Self::RealDryRun),
        }
    }

    /// Whether any phone may ring.
    pub fn reaches_phones(self) -> bool {
        matches!(self, Self::LiveSend | Self::TestLiveSend)
    }
}

impl Phase {
    /// As it is recorded.
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

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct Retention {
    /// Audience and outcome files.
    pub files: Duration,
    /// Runs, claims and outcomes in the state store.
    pub records: Duration,
}

/// What a run may use of the world.
pub struct PipelineContext<'a> {
    /// Runs, phases, claims.
    pub store: &'a Store,
    /// Who has had enough.
    pub cadence: &'a Cadence,
    /// Whether a dry run asks neither for tokens nor the history.
    pub offline: bool,
    /// Where audiences come from.
    pub source: &'a Source,
    /// What audiences ask about earlier pushes.
    pub history: &'a HistorySource,
    /// Which audiences there are.
    pub catalogue: &'a Catalogue,
    /// Where audience files go.
    pub output: &'a Path,
    /// How their lines end.
    pub ending: LineEnding,
    /// Who gets test pushes, unless the automation says so itself.
    pub test_users: &'a [String],
    /// Where deep links may lead.
    pub hosts: &'a AllowedHosts,
    /// Who we are to the push service; `None` where nothing is sent.
    pub account: Option<&'a ServiceAccount>,
    /// How it is talked to.
    pub service: &'a fcm::FcmSettings,
    /// Where outcome files go.
    pub outcomes: &'a Path,
    /// How long things are kept.
    pub retention: Retention,
    /// This process, as others see it.
    pub holder: &'a ProcessId,
    /// Civil time.
    pub clock: &'a Arc<dyn Clock>,
    /// Whether somebody wants it to end.
    pub interrupt: &'a Interrupt,
    /// Who wants to know how far it is.
    pub progress: &'a dyn Progress,
    /// Is told how the connecting goes.
    pub watch: &'a dyn Watch,
    /// For one phase that reads the source.
    pub deadline: Duration,
    /// Who else is told.
    pub notices: &'a Notices,
}

/// A run that is at work: what its phases are handed.
#[derive(Clone, Copy)]
struct PhaseContext<'a> {
    run: &'a Run,
    /// As it counts for this run: what was overridden does not limit it.
    plan: &'a RunPlan,
    overrides: &'a Overrides,
    context: &'a PipelineContext<'a>,
}
