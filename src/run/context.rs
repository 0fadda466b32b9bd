//! What a run may use of the world.

use std::sync::Arc;

use crate::budget::Budget;
use crate::clock::Clock;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::source::Watch;
use crate::state::process_id::ProcessId;

/// What a run may use of the world; the command makes it.
pub struct RunContext<'a> {
    /// Every setting.
    pub settings: &'a Settings,
    /// The time limit of the command.
    pub budget: &'a Budget,
    /// Whether a signal asks the command to end.
    pub interrupt: &'a Interrupt,
    /// Civil time.
    pub clock: &'a Arc<dyn Clock>,
    /// The id of the run that the command begins, if it begins one.
    pub id: String,
    /// This process, as others see it.
    pub holder: ProcessId,
    /// The command's name, for the server's list of sessions.
    pub command: &'static str,
    /// Where a person reads what happens.
    pub reporter: &'a dyn Reporter,
}

/// What a person is shown while a run is at work.
pub trait Reporter: Watch {
    /// Shows a message.
    fn say(&self, text: &str);

    /// Shows a warning.
    fn warn(&self, text: &str);

    /// Returns where progress is shown.
    fn progress(&self) -> Arc<dyn Progress>;
}
