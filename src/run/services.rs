//! From settings to the source, the notification history and the push service.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::RunContext;
use super::source_access::SourceAccess;
use crate::advice::Advice;
use crate::audience::Catalogue;
use crate::audience::history::HistorySource;
use crate::automation::AutomationFile;
use crate::automation::file::NotifyTable;
use crate::cadence::{Cadence, HistoryLocation};
use crate::error::{Error, Result};
use crate::fcm::{self, Credentials, Login};
use crate::notify::{self, Notices, Warning, WebhookKind};
use crate::pipeline::outgoing::{Outgoing, UnknownAddress};
use crate::postgres::address::Inputs;
use crate::postgres::{Address, RetryLimits};
use crate::settings::push::{KeyFile, PushSettings};
use crate::settings::secret::Secret;
use crate::settings::state::STATE;
use crate::settings::{Environment, HistoryKind, Settings, StateSettings};
use crate::source::{Purpose, Source};
use crate::state::{Location, Store};
use crate::template::link::AllowedHosts;

/// Returns the notification history as it is configured.
pub fn cadence(settings: &Settings, store: &Store) -> Result<Cadence> {
    Cadence::new(history_location(settings)?, store.clone())
}

/// Returns the location of the notification history as it is configured.
pub fn history_location(settings: &Settings) -> Result<HistoryLocation> {
    let cadence = &settings.cadence;
    let missing = |name: &str, kind: &str| {
        Error::usage(format!(
            "{name} is not set, and the notification history is {kind}"
        ))
        .hint("set it, or choose another history with --cadence")
    };
    Ok(match cadence.kind() {
        HistoryKind::Postgres => {
            let url = cadence.database_url.as_ref();
            let url = url.ok_or_else(|| missing("PUSH_CADENCE_DATABASE_URL", "postgres"))?;
            HistoryLocation::Postgres(Box::new(history_address(settings, url)?))
        }
        HistoryKind::Http => {
            let url = cadence.service_url.clone();
            HistoryLocation::Http(url.ok_or_else(|| missing("CADENCE_SERVICE_URL", "http"))?)
        }
        HistoryKind::Embedded => HistoryLocation::Embedded,
        HistoryKind::Off => HistoryLocation::Off,
    })
}

/// Returns the location of the state store.
pub fn state_location(settings: &Settings) -> Result<Location> {
    match &settings.state {
        StateSettings::File(path) => Ok(Location::Embedded(path.clone())),
        StateSettings::Url(url) => {
            let address = address_of(settings, STATE.name, url).map_err(|error| {
                let error = error.context("the address of the state store is wrong");
                if url.reveal().contains(['=', '/', '@']) {
                    return error;
                }
                error.hint("the path of a file begins with / or ./")
            })?;
            Ok(Location::Postgres(Box::new(address)))
        }
        StateSettings::Nowhere => Err(Error::usage(
            "no place for the state store: neither HOME nor XDG_STATE_HOME is set",
        )
        .hint("set a file with --state FILE, or a PostgreSQL database with PUSHCTL_STATE_URL")),
    }
}

/// Returns the log-in at the push service.
///
/// # Errors
/// None is configured, or what is configured cannot be used.
pub fn login(settings: &Settings) -> Result<Login> {
    let push = &settings.push;
    Login::load(&credentials(push)?, push.project_id.as_deref())
}

fn credentials(push: &PushSettings) -> Result<Credentials> {
    match &push.credentials {
        Some(KeyFile::Path(path)) => return Ok(Credentials::File(path.clone())),
        Some(KeyFile::Text(text)) => return Ok(Credentials::Text(text.clone())),
        Some(KeyFile::Metadata) => return Ok(Credentials::Metadata(push.metadata_host.clone())),
        Some(KeyFile::Other(kind)) => {
            return Err(Error::usage(format!(
                "cannot read the credentials: in place of a file's path there is {kind}"
            ))
            .hint("set GOOGLE_APPLICATION_CREDENTIALS to the path of the credentials' JSON file, or to that JSON, plain or in base64"));
        }
        None => {}
    }
    match (&push.project_id, &push.client_email, &push.private_key) {
        (Some(project), Some(client_email), Some(private_key)) => Ok(Credentials::Variables {
            project: project.clone(),
            client_email: client_email.clone(),
            private_key: private_key.clone(),
        }),
        _ => Err(Error::usage("there are no credentials to send with").hint(Advice::NoAccount)),
    }
}

/// Returns the settings of the push service.
pub fn push_settings(context: &RunContext<'_>) -> fcm::FcmSettings {
    let push = &context.settings.push;
    fcm::FcmSettings {
        base_url: push.url.clone(),
        token_uri: push.token_url.clone(),
        trusted: push.ca.clone(),
        proxy: fcm::ProxySettings {
            url: push.proxy.clone(),
            exceptions: push.no_proxy.clone(),
        },
        connections: usize::try_from(push.connections).unwrap_or(usize::MAX),
        rate: push.rate.limit(),
        answer_timeout: push.answer_timeout,
        patience: push.patience,
        quota_pause: push.quota_pause,
        backoff: push.backoff,
        budget: context.budget.clone(),
        ..fcm::FcmSettings::default()
    }
}

/// Returns the hosts that deep links may lead to.
pub fn hosts(settings: &Settings) -> Result<AllowedHosts> {
    AllowedHosts::new(&settings.push.link_hosts).map_err(|error| error.context("push.link_hosts"))
}

/// Returns the audiences, with those of the configured directory.
pub fn catalogue(settings: &Settings) -> Result<Catalogue> {
    match &settings.generate.queries {
        Some(directory) => Catalogue::with_directory(directory),
        None => Ok(Catalogue::built_in()),
    }
}

/// Returns the source database, if any address is configured.
pub fn source_if_any(context: &RunContext<'_>) -> Result<Option<Source>> {
    let is_configured = with_inputs(context, Address::is_configured)?;
    is_configured.then(|| source(context)).transpose()
}

/// Returns the source database, not connected to yet. Notes and advice about its address are shown.
pub fn source(context: &RunContext<'_>) -> Result<Source> {
    let address = source_address(context)?;
    for typo in address.typos() {
        context.reporter.warn(typo);
    }
    for note in address.notes() {
        tracing::info!(target: "pushctl::source", "{note}");
    }
    if let Some(advice) = address.advice() {
        context.reporter.say(&advice);
    }
    let access = SourceAccess::new(context, &address);
    let source = source_of(context, address).with_access(Arc::new(access));
    source.check_plan(context.budget.total())?;
    Ok(source)
}

/// Returns the address of the source database.
pub fn source_address(context: &RunContext<'_>) -> Result<Address> {
    with_inputs(context, Address::resolve)
}

/// Hands over every setting that may say where the source is.
fn with_inputs<T>(
    context: &RunContext<'_>,
    resolve: impl FnOnce(&Inputs<'_>) -> Result<T>,
) -> Result<T> {
    let settings = &context.settings.source;
    let config: BTreeMap<String, String> = settings
        .keywords
        .iter()
        .map(|(name, value)| (name.clone(), value.reveal().to_owned()))
        .collect();
    let home = settings.environment.home();
    resolve(&Inputs {
        url: settings.url.as_ref(),
        url_origin: "--database-url",
        environment: &|name| settings.variable(name),
        home: home.as_deref(),
        config: &config,
    })
}

/// Returns the notification history that queries read, if it is configured.
pub fn history(context: &RunContext<'_>) -> Result<HistorySource> {
    let Some(url) = &context.settings.cadence.database_url else {
        return Ok(HistorySource::None);
    };
    let address = history_address(context.settings, url)?;
    Ok(HistorySource::Postgres(Box::new(source_of(
        context, address,
    ))))
}

fn history_address(settings: &Settings, url: &Secret) -> Result<Address> {
    address_of(settings, "cadence.database_url", url)
        .map_err(|error| error.context("the address of the notification history is wrong"))
}

/// Returns the address of a setting's URL, without defaults from the environment.
pub fn address_of(settings: &Settings, setting: &str, url: &Secret) -> Result<Address> {
    let mut resolved = settings.resolved.iter();
    let origin = resolved
        .find(|resolved| resolved.key.name == setting)
        .map_or_else(
            || setting.to_owned(),
            |resolved| resolved.origin.to_string(),
        );
    Address::resolve(&Inputs {
        url: Some(url),
        url_origin: &origin,
        environment: &|_| None,
        home: None,
        config: &BTreeMap::new(),
    })
}

/// Returns the source at an address.
pub fn source_of(context: &RunContext<'_>, address: Address) -> Source {
    let settings = &context.settings.source;
    let limits = RetryLimits {
        connect_timeout: settings.connect_timeout,
        usual_timeout: None,
        attempts: settings.retries,
    };
    let purpose = Purpose {
        command: context.command.into(),
        run: context.id.clone(),
    };
    Source::new(address, limits, purpose)
}

/// Warns of the notices of an automation's runs that cannot be sent.
pub fn check_notices(context: &RunContext<'_>, automation: &AutomationFile) {
    for warning in notices_of(context.settings, automation).1 {
        context.reporter.warn(&warning.to_string());
    }
}

/// Returns the notices of an automation's runs, and why some are not used.
pub fn notices_of(settings: &Settings, automation: &AutomationFile) -> (Notices, Vec<Warning>) {
    notices_to(&settings.source.environment, &automation.notify)
}

/// Begins to deliver notices in the background.
pub fn outgoing(context: &RunContext<'_>, store: &Store, unknown: UnknownAddress) -> Outgoing {
    let environment = context.settings.source.environment.clone();
    let resolve = move |notify: &NotifyTable| notices_to(&environment, notify).0;
    Outgoing::begin(store, Box::new(resolve), unknown)
}

/// Returns the targets of notices, and why some are not used. `env:NAME` is the value of a variable.
fn notices_to(environment: &Environment, notify: &NotifyTable) -> (Notices, Vec<Warning>) {
    let address = |written: &Option<String>| {
        let written = written.as_ref()?;
        match written.strip_prefix("env:") {
            None => Some(Secret::new(written.clone())),
            Some(name) => {
                let value = environment.get(name).ok().flatten().map(|(value, _)| value);
                value.filter(|value| !value.is_empty()).map(Secret::new)
            }
        }
    };
    let (webhook, heartbeat) = (address(&notify.webhook), address(&notify.heartbeat));
    let (notices, warnings) = Notices::new(
        webhook.as_ref(),
        heartbeat.as_ref(),
        notify::NotifyTimeouts::default(),
    );
    let notices = notices.with_kinds(notify.kind, notify.heartbeat_kind);
    (notices, warnings)
}

/// Returns the heartbeat of the tick, if one is set.
pub fn tick_heartbeat(settings: &Settings) -> (Notices, Vec<Warning>) {
    let notify = &settings.notify;
    let (notices, warnings) = Notices::new(
        None,
        notify.tick_heartbeat.as_ref(),
        notify::NotifyTimeouts::default(),
    );
    let kind = notify.tick_heartbeat_kind;
    (notices.with_kinds(WebhookKind::default(), kind), warnings)
}
