//! What a command gets: output, settings, time limit, interrupt, clock.

use std::sync::Arc;

use uuid::Uuid;

use crate::budget::Budget;
use crate::clock::{self, Clock};
use crate::interrupt::Interrupt;
use crate::run::open_stores::OpenStores;
use crate::settings::Settings;
use crate::settings::source::Deadline;
use crate::ui::Ui;

/// Everything a command may use outside its own memory.
#[derive(Clone)]
pub struct CommandContext {
    /// The streams.
    pub ui: Ui,
    /// Every setting.
    pub settings: Settings,
    /// Started with the process, as long as `--deadline`.
    pub budget: Budget,
    /// Whether a signal has asked the command to end.
    pub interrupt: Interrupt,
    pub clock: Arc<dyn Clock>,
    /// The id of this run in logs, manifests and `pg_stat_activity`; later runs have greater ids.
    pub run_id: Uuid,
    /// Whether `--yes` was given.
    pub confirmation: Confirmation,
    /// The opened state stores, which are closed at the end.
    pub(super) open_stores: OpenStores,
}

/// `--yes`, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// The command asks.
    Needed,
    /// Every question is answered with yes.
    Given,
}

impl CommandContext {
    pub(super) fn new(
        ui: Ui,
        settings: Settings,
        confirmation: Confirmation,
        run_id: Uuid,
    ) -> Self {
        let budget = Budget::start(settings.source.deadline.length());
        let waiting = ui.clone();
        budget.report_to(Box::new(move |text| waiting.waits(text)));
        Self {
            budget,
            ui,
            settings,
            interrupt: Interrupt::never(),
            clock: Arc::new(clock::System),
            run_id,
            confirmation,
            open_stores: OpenStores::default(),
        }
    }

    /// Returns the context of a command that takes as long as its messages need, and may wait for its send time: the
    /// deadline limits each of its steps, unless it was set for this command.
    pub(super) fn with_time_for_messages(self) -> Self {
        if let Deadline::Given(_) = self.settings.source.deadline {
            return self;
        }
        Self {
            budget: self.budget.without_end(),
            ..self
        }
    }
}
