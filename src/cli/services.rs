//! Opens the state store, the source database and the notification history from the settings of a command.

use std::sync::Arc;
use std::time::Duration;

use crate::audience::Catalogue;
use crate::audience::history::HistorySource;
use crate::budget::Budget;
use crate::cadence::Cadence;
use crate::clock::Clock;
use crate::clock::text::Seconds;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::run;
use crate::run::context::{Reporter, RunContext};
use crate::source::{Source, Watch};
use crate::state::process_id::ProcessId;
use crate::state::{Location, Store};
use crate::ui::Ui;

use super::context::CommandContext;

/// Returns the location of the state store.
pub(super) fn location(context: &CommandContext) -> Result<Location> {
    run::services::state_location(&context.settings)
}

/// Opens the state store, unless the command has opened it.
pub(super) async fn store(context: &CommandContext) -> Result<Store> {
    if let Some(store) = context.open_stores.first() {
        return Ok(store);
    }
    open(context, Store::open_within).await
}

/// Opens the state store for a dry run, which neither creates nor migrates it.
pub(super) async fn store_of_dry_run(context: &CommandContext) -> Result<Store> {
    context.open_stores.create_none();
    open(context, Store::open_existing).await
}

async fn open(
    context: &CommandContext,
    how: impl AsyncFnOnce(&Location, Arc<dyn Clock>, Budget) -> Result<Store>,
) -> Result<Store> {
    let location = location(context)?;
    let progress = context.ui.waiting();
    if let Location::Postgres(address) = &location {
        progress.stage(&format!(
            "connecting to the state store {}",
            address.place()
        ));
    }
    let opening = how(
        &location,
        Arc::clone(&context.clock),
        context.budget.clone(),
    );
    let store = context.interrupt.or(opening).await;
    progress.finish();
    let store = store?.with_leases_of(context.settings.lease);
    context.open_stores.add(&store);
    Ok(store)
}

/// Returns the configured notification history.
pub(super) fn cadence(context: &CommandContext, store: &Store) -> Result<Cadence> {
    run::services::cadence(&context.settings, store)
}

/// Returns what the library may use for `command`.
pub(super) fn run_context<'a>(
    context: &'a CommandContext,
    command: &'static str,
) -> RunContext<'a> {
    RunContext {
        settings: &context.settings,
        budget: &context.budget,
        interrupt: &context.interrupt,
        clock: &context.clock,
        id: context.run_id.to_string(),
        holder: holder(context),
        command,
        reporter: &context.ui,
        stores: &context.open_stores,
    }
}

/// Returns this process as leases and runs record it: `alice@worker-1`.
pub(super) fn holder(context: &CommandContext) -> ProcessId {
    ProcessId::this_process(context.settings.actor.on_this_machine())
}

/// Returns the audiences, including those of the configured directory.
pub(super) fn catalogue(context: &CommandContext) -> Result<Catalogue> {
    run::services::catalogue(&context.settings)
}

/// Returns the source database, not connected yet; logs notes about its address.
pub(super) fn source(context: &CommandContext, command: &'static str) -> Result<Source> {
    run::services::source(&run_context(context, command))
}

/// Returns the location of the notification history, if one is configured.
pub(super) fn history(context: &CommandContext, command: &'static str) -> Result<HistorySource> {
    run::services::history(&run_context(context, command))
}

/// Logs the attempts to connect.
pub(super) struct LogWatch(pub(super) Ui);

impl Watch for LogWatch {
    fn waiting(&self, wait: Duration, cause: &Error) {
        Watch::waiting(&self.0, wait, cause);
    }

    fn connected(&self, host: &str, server_version: &str) {
        Watch::connected(&self.0, host, server_version);
    }
}

impl Reporter for Ui {
    fn say(&self, text: &str) {
        Self::say(self, text);
    }

    fn warn(&self, text: &str) {
        Self::warn(self, text);
    }

    fn progress(&self) -> Arc<dyn Progress> {
        Self::progress(self, "rows")
    }
}

impl Watch for Ui {
    fn waiting(&self, wait: Duration, cause: &Error) {
        let wait = Seconds(wait);
        Self::say(self, format_args!("{cause:#}; retrying in {wait}"));
    }

    fn connected(&self, host: &str, server_version: &str) {
        tracing::info!(target: "pushctl::source", "connected to {host}, PostgreSQL {server_version}");
    }
}
