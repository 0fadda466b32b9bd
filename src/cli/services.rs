//! From settings to the state store, the notification history and the push service: what every command that sends,
//! or asks about sends, shares.

use std::sync::Arc;

use crate::cadence::Cadence;
use crate::error::{Error, Result};
use crate::run;
use crate::run::context::RunContext;
use crate::run::services::address_of;
use crate::settings;
use crate::state::process_id::ProcessId;
use crate::state::{Location, Store};

use super::context::CommandContext;

/// Where the state store is.
pub(super) fn location(context: &CommandContext) -> Result<Location> {
    match &context.settings.state {
        settings::StateSettings::File(path) => Ok(Location::Embedded(path.clone())),
        settings::StateSettings::Url(url) => {
            let address = address_of(url)
                .map_err(|error| error.context("the address of the state store is wrong"))?;
            Ok(Location::Postgres(Box::new(address)))
        }
        settings::StateSettings::Nowhere => Err(Error::usage(
            "there is nowhere to keep state: neither HOME nor XDG_STATE_HOME is set",
        )
        .hint("name a file with --state FILE, or a PostgreSQL with PUSHCTL_STATE_URL")),
    }
}

/// The state store, ready for use.
pub(super) async fn store(context: &CommandContext) -> Result<Store> {
    let location = location(context)?;
    let progress = context.ui.waiting();
    if let Location::Postgres(address) = &location {
        progress.stage(&format!(
            "connecting to the state store {}",
            address.place()
        ));
    }
    let store = Store::open(&location, Arc::clone(&context.clock)).await;
    progress.finish();
    let store = store?.with_leases_of(context.settings.lease);
    context.open_stores.add(&store);
    Ok(store)
}

/// The notification history as it is configured.
pub(super) fn cadence(context: &CommandContext, store: &Store) -> Result<Cadence> {
    run::services::cadence(&context.settings, store)
}

/// What the library may use of the world for `command`.
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
    }
}

/// This process, as others are told of it: `alice@worker-1`.
pub(super) fn holder(context: &CommandContext) -> ProcessId {
    ProcessId::this_process(context.settings.actor.on_this_machine())
}
