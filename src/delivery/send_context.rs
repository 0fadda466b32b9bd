//! The services and limits of a send.

use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;

use super::{SourceReader, WhileSending};
use crate::budget::Budget;
use crate::cadence::Cadence;
use crate::clock::Clock;
use crate::fcm::{self, Login};
use crate::guards::Overrides;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::state::Store;
use crate::state::process_id::ProcessId;

/// The services and limits of a send.
pub struct SendContext<'a> {
    /// The store of claims and outcomes.
    pub store: &'a Store,
    /// The notification history.
    pub cadence: &'a Cadence,
    /// The log-in at the push service.
    pub login: &'a Login,
    /// The settings of the push service.
    pub service: &'a fcm::FcmSettings,
    /// The maximum of messages a second of this process, beside the rate of a shared send.
    pub own_rate: Option<u32>,
    /// The directory for outcome files.
    pub outcomes: &'a Path,
    /// The command that gets the list of dead tokens.
    pub dead_tokens_command: Option<&'a str>,
    /// The identity of this process in leases.
    pub holder: &'a ProcessId,
    /// Civil time.
    pub clock: &'a Arc<dyn Clock>,
    /// The interrupt by signals.
    pub interrupt: &'a Interrupt,
    /// The progress display.
    pub progress: &'a dyn Progress,
    /// The end of the time budget, if there is one.
    pub until: Option<Instant>,
    /// The time of the command.
    pub budget: &'a Budget,
    /// The way to the source; `None` if none is configured and the audience brings its tokens.
    pub source_reader: Option<SourceReader<'a>>,
    /// Quiet hours, and the latest instant.
    pub gate: &'a WhileSending,
    /// The overridden guards.
    pub overrides: &'a Overrides,
}
