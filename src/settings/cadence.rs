//! Settings of the notification history.

use clap::ValueEnum;

use crate::error::Result;

use super::parse::{choice, text};
use super::resolver::Resolver;
use super::secret::Secret;
use super::setting::{Setting, Visibility};

/// The settings of the notification history.
#[derive(Debug, Clone)]
pub struct CadenceSettings {
    /// The configured history; without one, the first that has an address.
    pub history: Option<HistoryKind>,
    /// The connection URL of the history database, if there is one.
    pub database_url: Option<Secret>,
    /// The base URL of the cadence service, if there is one.
    pub service_url: Option<String>,
}

/// The kinds of history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HistoryKind {
    /// A database with the tables of the service that owns it.
    Postgres,
    /// The cadence service over HTTP.
    Http,
    /// The state store's own.
    Embedded,
    /// None: no recipient is held back.
    Off,
}

/// `--cadence`.
pub static HISTORY: Setting = Setting::new("cadence.history", "Kind of notification history")
    .flag("--cadence", "HISTORY")
    .choice::<HistoryKind>()
    .variables(&["PUSHCTL_CADENCE"])
    .otherwise("the first that has an address, else embedded");

static DATABASE_URL: Setting = Setting::new(
    "cadence.database_url",
    "Connection URL of the notification history",
)
.variables(&[
    "PUSH_CADENCE_DATABASE_URL",
    "PUSH_CADENCE_DATABASE_URL_FILE",
])
.visibility(Visibility::Url);

static SERVICE_URL: Setting = Setting::new(
    "cadence.service_url",
    "Base URL of the service that keeps the notification history",
)
.variables(&["CADENCE_SERVICE_URL"])
.visibility(Visibility::Url);

impl CadenceSettings {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        Ok(Self {
            history: settings.optional(&HISTORY, choice)?,
            database_url: settings.optional(&DATABASE_URL, text)?.map(Secret::new),
            service_url: settings.optional(&SERVICE_URL, text)?,
        })
    }

    /// Returns the kind of history: as configured, else the one with an address, else the state store.
    pub fn kind(&self) -> HistoryKind {
        let addressed = || {
            if self.database_url.is_some() {
                HistoryKind::Postgres
            } else if self.service_url.is_some() {
                HistoryKind::Http
            } else {
                HistoryKind::Embedded
            }
        };
        self.history.unwrap_or_else(addressed)
    }
}
