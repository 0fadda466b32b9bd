//! Settings of the push service: account, addresses, rate.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;

use crate::clock::text::duration;
use crate::error::Result;

use super::parse::{text, whole_number};
use super::resolver::Resolver;
use super::secret::{METADATA, Secret, json_in, show_path};
use super::setting::{Origin, Setting, Visibility};

/// The credentials: a file with a secret, the secret itself, or a word.
#[derive(Debug, Clone)]
pub enum KeyFile {
    Path(PathBuf),
    Text(Secret),
    /// The metadata server of the machine.
    Metadata,
    /// Neither: its kind and length.
    Other(String),
}

/// The settings for sending.
#[derive(Debug, Clone)]
pub struct PushSettings {
    /// The credentials file, or its content.
    pub credentials: Option<KeyFile>,
    /// In place of the file: the project,
    pub project_id: Option<String>,
    pub client_email: Option<String>,
    /// and its key, PEM.
    pub private_key: Option<Secret>,
    /// Host of the metadata server, perhaps with a port.
    pub metadata_host: String,
    /// Base URL of the service.
    pub url: String,
    /// Address of the token endpoint, in place of the one in the credentials.
    pub token_url: Option<String>,
    /// Further authorities to trust, PEM.
    pub ca: Option<PathBuf>,
    /// The proxy to the push service and the token endpoint.
    pub proxy: Option<String>,
    /// Hosts that need no proxy.
    pub no_proxy: Vec<String>,
    pub rate: Rate,
    pub connections: u32,
    /// Timeout of an answer.
    pub answer_timeout: Duration,
    /// Maximum time without a reachable push service before a send stops.
    pub patience: Duration,
    /// Pause of the whole send while the project is limited (429 without a `Retry-After`).
    pub quota_pause: Duration,
    /// The first wait after a 500, a 503 or a recipient's 429 without a `Retry-After`.
    pub backoff: Duration,
    /// Hosts, with their subdomains, that a deep link may lead to.
    pub link_hosts: Vec<String>,
    /// Where outcome files go.
    pub outcomes: PathBuf,
}

/// The limit of messages a second, by its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// By the flag of this command: it replaces the recorded rate of a run.
    Flag(u32),
    /// By a variable or the configuration file: a limit of this process.
    Configured(u32),
    Default(u32),
}

impl Rate {
    pub fn limit(self) -> u32 {
        match self {
            Self::Flag(limit) | Self::Configured(limit) | Self::Default(limit) => limit,
        }
    }

    /// Returns the limit that replaces the recorded rate of a run.
    pub fn by_flag(self) -> Option<u32> {
        match self {
            Self::Flag(limit) => Some(limit),
            Self::Configured(_) | Self::Default(_) => None,
        }
    }

    /// Returns the limit of this process, if it was given one.
    pub fn given(self) -> Option<u32> {
        match self {
            Self::Flag(limit) | Self::Configured(limit) => Some(limit),
            Self::Default(_) => None,
        }
    }
}

static CREDENTIALS: Setting = Setting::new(
    "push.credentials",
    "Credentials file, or its JSON, plain or in base64; or `metadata` for the metadata server",
)
.variables(&["GOOGLE_APPLICATION_CREDENTIALS"])
.visibility(Visibility::KeyFile);
static PROJECT_ID: Setting = Setting::new(
    "push.project_id",
    "Project id, unless a service account file names it",
)
.variables(&["FIREBASE_PROJECT_ID"]);
static CLIENT_EMAIL: Setting = Setting::new(
    "push.client_email",
    "Service account's email, without a service account file",
)
.variables(&["FIREBASE_CLIENT_EMAIL"]);
static PRIVATE_KEY: Setting = Setting::new(
    "push.private_key",
    "Service account's private key (PEM), without a service account file",
)
.variables(&["FIREBASE_PRIVATE_KEY", "FIREBASE_PRIVATE_KEY_FILE"])
.visibility(Visibility::Secret);
static METADATA_HOST: Setting = Setting::new(
    "push.metadata_host",
    "Host of the metadata server, for credentials = \"metadata\"",
)
.variables(&["GCE_METADATA_HOST"])
.default("metadata.google.internal");
static URL: Setting = Setting::new("push.url", "Base URL of the push service")
    .variables(&["PUSHCTL_PUSH_URL"])
    .default("https://fcm.googleapis.com")
    .visibility(Visibility::Url);
static TOKEN_URL: Setting = Setting::new(
    "push.token_url",
    "Token endpoint, in place of the one in the credentials",
)
.variables(&["PUSHCTL_PUSH_TOKEN_URL"])
.otherwise("from the credentials")
.visibility(Visibility::Url);
static CA: Setting = Setting::new(
    "push.ca",
    "File of further root certificates for the push service",
)
.variables(&["PUSHCTL_PUSH_CA"]);
static PROXY: Setting = Setting::new(
    "push.proxy",
    "HTTP proxy to the push service and the servers of the log-in",
)
.variables(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
.visibility(Visibility::Url);
static NO_PROXY: Setting = Setting::new(
    "push.no_proxy",
    "Hosts, domains and networks that are connected to without the proxy",
)
.variables(&["NO_PROXY", "no_proxy"]);
/// `--rate`.
pub static RATE: Setting = Setting::new("push.rate", "Rate limit, messages a second")
    .flag("--rate", "N")
    .variables(&["PUSHCTL_RATE"])
    .default("5000");
/// `--rate` of a command that continues a run.
pub static RATE_OF_RUN: Setting = RATE
    .variables(&[])
    .not_in_file()
    .default("")
    .otherwise("that of the run");
static CONNECTIONS: Setting = Setting::new(
    "push.connections",
    "Maximum connections to the push service, each with 100 concurrent requests",
)
.variables(&["PUSHCTL_PUSH_CONNECTIONS"])
.default("8");
static ANSWER_TIMEOUT: Setting = Setting::new(
    "push.answer_timeout",
    "Timeout of an answer; a message without one is in doubt",
)
.variables(&["PUSHCTL_PUSH_ANSWER_TIMEOUT"])
.default("30s");
static PATIENCE: Setting = Setting::new(
    "push.patience",
    "Stop a send after the push service has been unreachable this long",
)
.variables(&["PUSHCTL_PUSH_PATIENCE"])
.default("2m");
static QUOTA_PAUSE: Setting = Setting::new(
    "push.quota_pause",
    "Pause of a send while the project is limited, without Retry-After",
)
.variables(&["PUSHCTL_PUSH_QUOTA_PAUSE"])
.default("60s");
static BACKOFF: Setting = Setting::new(
    "push.backoff",
    "First wait after a 500, 503 or 429 without Retry-After; doubles with each retry",
)
.variables(&["PUSHCTL_PUSH_BACKOFF"])
.default("10s");
static LINK_HOSTS: Setting = Setting::new(
    "push.link_hosts",
    "Allowed hosts of deep links, subdomains included",
)
.variables(&["PUSHCTL_LINK_HOSTS"])
.default("tradeblock.us");
/// `--outcomes`.
pub static OUTCOMES: Setting = Setting::new(
    "push.outcomes",
    "Directory for outcome files and lists of dead tokens",
)
.flag("--outcomes", "DIR")
.hint(ValueHint::DirPath)
.variables(&["PUSHCTL_OUTCOMES"])
.default("outcomes");

impl PushSettings {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        Ok(Self {
            credentials: key_file(settings)?,
            project_id: settings.optional(&PROJECT_ID, text)?,
            client_email: settings.optional(&CLIENT_EMAIL, text)?,
            private_key: settings.optional(&PRIVATE_KEY, text)?.map(Secret::new),
            metadata_host: settings.value(&METADATA_HOST, text)?,
            url: settings.value(&URL, text)?,
            token_url: settings.optional(&TOKEN_URL, text)?,
            ca: settings.path(&CA)?,
            proxy: settings.optional(&PROXY, text)?,
            no_proxy: settings.list(&NO_PROXY, text)?,
            rate: rate(settings)?,
            connections: settings.value(&CONNECTIONS, |given| whole_number(given, 1..=64))?,
            answer_timeout: settings.value(&ANSWER_TIMEOUT, duration)?,
            patience: settings.value(&PATIENCE, duration)?,
            quota_pause: settings.value(&QUOTA_PAUSE, duration)?,
            backoff: settings.value(&BACKOFF, duration)?,
            link_hosts: settings.list(&LINK_HOSTS, text)?,
            outcomes: settings.path(&OUTCOMES)?.unwrap_or_default(),
        })
    }
}

/// JSON, plain or in base64, is the file's content itself.
fn key_file(settings: &mut Resolver<'_>) -> Result<Option<KeyFile>> {
    let given = settings.optional(&CREDENTIALS, text)?;
    Ok(given.map(|given| {
        if given == METADATA {
            return KeyFile::Metadata;
        }
        if let Some(json) = json_in(&given) {
            return KeyFile::Text(Secret::new(json));
        }
        let path = settings.beside_last(&given);
        let shown = show_path(path.parent().unwrap_or(&path), &given);
        if shown == given || path.is_file() {
            KeyFile::Path(path)
        } else {
            KeyFile::Other(shown)
        }
    }))
}

fn rate(settings: &mut Resolver<'_>) -> Result<Rate> {
    let limit = settings.value(&RATE, |given| whole_number(given, 1..=100_000))?;
    Ok(match settings.origin() {
        Origin::Flag(_) => Rate::Flag(limit),
        Origin::Default => Rate::Default(limit),
        _ => Rate::Configured(limit),
    })
}
