//! What a command is handed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::budget::Budget;
use crate::clock::{self, Clock};
use crate::interrupt::Interrupt;
use crate::settings::Settings;
use crate::state::Store;
use crate::ui::Ui;

/// How long the end of a command waits for the state store to be closed: a store that is kept busy by others, or a slow
/// disk, must not hold up the exit. What is not closed by then is as safe as after a crash.
const CLOSING: Duration = Duration::from_millis(900);

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
    /// The state stores that were opened, to be closed at the end.
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

    /// Closes all of them, whatever became of the command.
    pub(super) async fn close(&self) {
        let stores = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let closing = async {
            for store in stores {
                store.close().await;
            }
        };
        if tokio::time::timeout(CLOSING, closing).await.is_err() {
            tracing::debug!("the state store is still busy, and is left as it is");
        }
    }
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
            open_stores: OpenStores::default(),
        }
    }
}
