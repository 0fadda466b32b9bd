//! From settings to the state store, the notification history and the push service: what every command that sends,
//! or asks about sends, shares.

use std::sync::Arc;

use crate::cadence::{Cadence, HistoryLocation};
use crate::error::{Error, Result};
use crate::fcm::{self, Credentials, ServiceAccount};
use crate::settings::{self, HistoryKind};
use crate::state::process_id::ProcessId;
use crate::state::{Location, Store};

use super::connect::address_of;
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
    store
}

/// The notification history as it is configured.
pub(super) fn cadence(context: &CommandContext, store: &Store) -> Result<Cadence> {
    let settings = &context.settings.cadence;
    let missing = |name: &str, kind: &str| {
        Error::usage(format!(
            "the notification history is to be {kind}, and {name} is not set"
        ))
        .hint("set it, or choose another history with --cadence")
    };
    let place = match settings.kind() {
        HistoryKind::Postgres => {
            let url = settings.database_url.as_ref();
            let url = url.ok_or_else(|| missing("PUSH_CADENCE_DATABASE_URL", "postgres"))?;
            let address = address_of(url).map_err(|error| {
                error.context("the address of the notification history is wrong")
            })?;
            HistoryLocation::Postgres(Box::new(address))
        }
        HistoryKind::Http => {
            let url = settings.service_url.clone();
            HistoryLocation::Http(url.ok_or_else(|| missing("CADENCE_SERVICE_URL", "http"))?)
        }
        HistoryKind::Embedded => HistoryLocation::Embedded,
        HistoryKind::Off => HistoryLocation::Off,
    };
    Cadence::new(place, store.clone())
}

/// This process, as others are told of it: `alice@worker-1`.
pub(super) fn holder(context: &CommandContext) -> ProcessId {
    let environment = &context.settings.source.environment;
    let user = ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| environment.process(name))
        .unwrap_or("somebody");
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let machine = machine
        .as_deref()
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .or_else(|| environment.process("HOSTNAME"))
        .unwrap_or("this machine");
    ProcessId::this_process(format!("{user}@{machine}"))
}

/// Who we are to the push service.
pub(super) fn account(context: &CommandContext) -> Result<ServiceAccount> {
    let push = &context.settings.push;
    if let Some(path) = &push.credentials {
        return ServiceAccount::load(&Credentials::File(path.clone()));
    }
    match (&push.project_id, &push.client_email, &push.private_key) {
        (Some(project), Some(client_email), Some(private_key)) => {
            ServiceAccount::load(&Credentials::Variables {
                project: project.clone(),
                client_email: client_email.clone(),
                private_key: private_key.clone(),
            })
        }
        _ => Err(Error::usage("there is no service account to send with").hint(
            "set GOOGLE_APPLICATION_CREDENTIALS to its file, or FIREBASE_PROJECT_ID, FIREBASE_CLIENT_EMAIL and FIREBASE_PRIVATE_KEY",
        )),
    }
}

/// How messages are sent, as far as settings say.
pub(super) fn push_settings(context: &CommandContext) -> fcm::FcmSettings {
    let push = &context.settings.push;
    fcm::FcmSettings {
        base_url: push.url.clone(),
        token_uri: push.token_url.clone(),
        trusted: push.ca.clone(),
        connections: usize::try_from(push.connections).unwrap_or(usize::MAX),
        rate: push.rate,
        answer_timeout: push.answer_timeout,
        patience: push.patience,
        quota_pause: push.quota_pause,
        backoff: push.backoff,
        ..fcm::FcmSettings::default()
    }
}
