//! What a command is handed.

use std::sync::Arc;

use uuid::Uuid;

use crate::budget::Budget;
use crate::clock::{self, Clock};
use crate::interrupt::Interrupt;
use crate::settings::Settings;
use crate::ui::Ui;

/// Everything a command may use of the world.
#[derive(Clone)]
pub struct CommandContext {
    /// The streams.
    pub ui: Ui,
    /// Every setting.
    pub settings: Settings,
    /// Started with the process, as long as `--deadline`.
    pub budget: Budget,
    /// Whether somebody wants it to end.
    pub interrupt: Interrupt,
    /// Civil time.
    pub clock: Arc<dyn Clock>,
    /// Names this run in logs, manifests and the server's list of sessions; ids of later runs sort after it.
    pub run_id: Uuid,
    /// Whether questions are answered already.
    pub confirmation: Confirmation,
}

/// `--yes`, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// Whoever called has to be asked.
    Needed,
    /// Whoever called has agreed beforehand.
    Given,
}

impl CommandContext {
    pub(super) fn new(
        ui: Ui,
        settings: Settings,
        confirmation: Confirmation,
        run_id: Uuid,
    ) -> Self {
        Self {
            budget: Budget::start(settings.source.deadline),
            ui,
            settings,
            interrupt: Interrupt::never(),
            clock: Arc::new(clock::System),
            run_id,
            confirmation,
        }
    }
}
