//! What a command gets: output, settings, time limit, interrupt, clock.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::budget::Budget;
use crate::clock::{self, Clock};
use crate::interrupt::Interrupt;
use crate::settings::Settings;
use crate::settings::source::Deadline;
use crate::state::Store;
use crate::ui::Ui;

/// Time limit for closing the state store at the end: a busy store or a slow disk must not delay the exit. A store that
/// is not closed in time is as safe as after a crash.
const CLOSING: Duration = Duration::from_millis(900);

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

/// The state stores that a command has opened; clones share them.
#[derive(Clone, Default)]
pub(super) struct OpenStores(Arc<Mutex<Vec<Store>>>);

impl OpenStores {
    pub(super) fn add(&self, store: &Store) {
        let mut stores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stores.push(store.clone());
    }

    /// Closes all of them, also after an error.
    pub(super) async fn close(&self, budget: &Budget) {
        let stores = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let closing = async {
            for store in stores {
                store.close().await;
            }
        };
        let end = tokio::time::Instant::now() + CLOSING;
        let end = budget
            .deadline()
            .map_or(end, |deadline| end.min(deadline + CLOSING));
        if tokio::time::timeout_at(end, closing).await.is_err() {
            tracing::debug!("the state store is still busy, and is left as it is");
        }
    }
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
