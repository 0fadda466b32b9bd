//! The services and limits of a send.

use std::path::Path;
use std::sync::Arc;

use tokio::time::Instant;

use super::{SourceReader, WhileSending};
use crate::cadence::Cadence;
use crate::clock::Clock;
use crate::fcm::{self, ServiceAccount};
use crate::guards::Overrides;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::state::Store;
use crate::state::process_id::ProcessId;

/// What a send may use.
pub struct SendContext<'a> {
    /// Where claims and outcomes are kept.
    pub store: &'a Store,
    /// Who has had enough.
    pub cadence: &'a Cadence,
    /// Who we are to the push service.
    pub account: &'a ServiceAccount,
    /// How it is talked to.
    pub service: &'a fcm::FcmSettings,
    /// Where outcome files go.
    pub outcomes: &'a Path,
    /// This process, as others see it.
    pub holder: &'a ProcessId,
    /// Civil time.
    pub clock: &'a Arc<dyn Clock>,
    /// Whether somebody wants it to end.
    pub interrupt: &'a Interrupt,
    /// Who wants to know how far it is.
    pub progress: &'a dyn Progress,
    /// When it must have ended, if it must.
    pub until: Option<Instant>,
    /// The way to the source; `None` if none is configured and the audience brings its tokens.
    pub reading: Option<SourceReader<'a>>,
    /// Quiet hours, and the latest instant.
    pub gate: &'a WhileSending,
    /// The guards that a recipient overrides.
    pub overrides: &'a Overrides,
}
