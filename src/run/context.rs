//! The settings and services that a run uses.

use std::sync::Arc;

use super::open_stores::OpenStores;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::source::Watch;
use crate::state::process_id::ProcessId;

/// The settings and services that a run uses. The command makes it.
pub struct RunContext<'a> {
    /// Every setting.
    pub settings: &'a Settings,
    /// The time limit of the command.
    pub budget: &'a Budget,
    /// Signals that ask the command to stop.
    pub interrupt: &'a Interrupt,
    /// The clock of schedules and records.
    pub clock: &'a Arc<dyn Clock>,
    /// The id of the run that the command begins, if it begins one.
    pub id: String,
    /// This process, as leases and records name it.
    pub holder: ProcessId,
    /// The name of the command, for the session list of the source database.
    pub command: &'static str,
    /// Where messages for a person are shown.
    pub reporter: &'a dyn Reporter,
    /// The state stores that the command has opened.
    pub stores: &'a OpenStores,
}

/// Shows a person messages and progress of a run.
pub trait Reporter: Watch {
    /// Shows a message.
    fn say(&self, text: &str);

    /// Shows a warning.
    fn warn(&self, text: &str);

    /// Returns where progress is shown.
    fn progress(&self) -> Arc<dyn Progress>;
}
