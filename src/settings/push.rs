//! Settings of the push service: account, addresses, rate.

use std::path::PathBuf;
use std::time::Duration;

use crate::clock::text::duration;
use crate::error::Result;

use super::parse::{text, whole_number};
use super::resolver::Resolver;
use super::secret::{Secret, json_in, show_path};
use super::setting::{Setting, Visibility};

/// A file with a secret, or the secret itself.
#[derive(Debug, Clone)]
pub enum KeyFile {
    Path(PathBuf),
    Text(Secret),
    /// Neither: its kind and length.
    Other(String),
}

/// The settings for sending.
#[derive(Debug, Clone)]
pub struct PushSettings {
    /// The service account's file, or its content.
    pub credentials: Option<KeyFile>,
    /// In place of the file: the project,
    pub project_id: Option<String>,
    pub client_email: Option<String>,
    /// and its key, PEM.
    pub private_key: Option<Secret>,
    /// Base URL of the service.
    pub url: String,
    /// Address of the token endpoint, in place of the one in the service account's file.
    pub token_url: Option<String>,
    /// Further authorities to trust, PEM.
    pub ca: Option<PathBuf>,
    /// Messages a second at most.
    pub rate: u32,
    pub connections: u32,
    /// Timeout of an answer.
    pub answer_timeout: Duration,
    /// Maximum time without a reachable push service before a send stops.
    pub patience: Duration,
    /// Pause of all connections after a 429 without a `Retry-After`.
    pub quota_pause: Duration,
    /// The first wait after a 500 or 503 without a `Retry-After`.
    pub backoff: Duration,
    /// Hosts, with their subdomains, that a deep link may lead to.
    pub link_hosts: Vec<String>,
    /// Where outcome files go.
    pub outcomes: PathBuf,
}

const fn key(
    name: &'static str,
    variables: &'static [&'static str],
    default: &'static str,
    about: &'static str,
) -> Setting {
    Setting {
        name,
        flag: "",
        variables,
        default,
        visibility: Visibility::Plain,
        about,
    }
}

static CREDENTIALS: Setting = Setting {
    visibility: Visibility::KeyFile,
    ..key(
        "push.credentials",
        &["GOOGLE_APPLICATION_CREDENTIALS"],
        "",
        "service account file, or its JSON, plain or in base64",
    )
};
static PROJECT_ID: Setting = key(
    "push.project_id",
    &["FIREBASE_PROJECT_ID"],
    "",
    "project id, without a service account file",
);
static CLIENT_EMAIL: Setting = key(
    "push.client_email",
    &["FIREBASE_CLIENT_EMAIL"],
    "",
    "service account's email, without a service account file",
);
static PRIVATE_KEY: Setting = Setting {
    visibility: Visibility::Secret,
    ..key(
        "push.private_key",
        &["FIREBASE_PRIVATE_KEY", "FIREBASE_PRIVATE_KEY_FILE"],
        "",
        "service account's private key (PEM), without a service account file",
    )
};
static URL: Setting = Setting {
    visibility: Visibility::Url,
    ..key(
        "push.url",
        &["PUSHCTL_PUSH_URL"],
        "https://fcm.googleapis.com",
        "base URL of the push service",
    )
};
static TOKEN_URL: Setting = Setting {
    visibility: Visibility::Url,
    ..key(
        "push.token_url",
        &["PUSHCTL_PUSH_TOKEN_URL"],
        "",
        "token endpoint, in place of the one in the service account's file",
    )
};
static CA: Setting = key(
    "push.ca",
    &["PUSHCTL_PUSH_CA"],
    "",
    "file of further root certificates for the push service",
);
/// `--rate`.
pub static RATE: Setting = Setting {
    flag: "--rate",
    ..key(
        "push.rate",
        &["PUSHCTL_RATE"],
        "5000",
        "maximum messages a second",
    )
};
static CONNECTIONS: Setting = key(
    "push.connections",
    &["PUSHCTL_PUSH_CONNECTIONS"],
    "8",
    "maximum connections to the push service, each with 100 concurrent requests",
);
static ANSWER_TIMEOUT: Setting = key(
    "push.answer_timeout",
    &["PUSHCTL_PUSH_ANSWER_TIMEOUT"],
    "30s",
    "timeout of an answer; a message without one is in doubt",
);
static PATIENCE: Setting = key(
    "push.patience",
    &["PUSHCTL_PUSH_PATIENCE"],
    "2m",
    "stop a send after the push service has been unreachable this long",
);
static QUOTA_PAUSE: Setting = key(
    "push.quota_pause",
    &["PUSHCTL_PUSH_QUOTA_PAUSE"],
    "60s",
    "pause of all sending after a 429 without Retry-After",
);
static BACKOFF: Setting = key(
    "push.backoff",
    &["PUSHCTL_PUSH_BACKOFF"],
    "10s",
    "first wait after a 500 or 503 without Retry-After; doubles with each retry",
);
static LINK_HOSTS: Setting = key(
    "push.link_hosts",
    &["PUSHCTL_LINK_HOSTS"],
    "tradeblock.us",
    "allowed hosts of deep links, subdomains included",
);
/// `--outcomes`.
pub static OUTCOMES: Setting = Setting {
    flag: "--outcomes",
    ..key(
        "push.outcomes",
        &["PUSHCTL_OUTCOMES"],
        "outcomes",
        "directory for outcome files and lists of dead tokens",
    )
};

impl PushSettings {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        Ok(Self {
            credentials: key_file(settings)?,
            project_id: settings.optional(&PROJECT_ID, text)?,
            client_email: settings.optional(&CLIENT_EMAIL, text)?,
            private_key: settings.optional(&PRIVATE_KEY, text)?.map(Secret::new),
            url: settings.value(&URL, text)?,
            token_url: settings.optional(&TOKEN_URL, text)?,
            ca: settings.path(&CA)?,
            rate: settings.value(&RATE, |given| whole_number(given, 1..=100_000))?,
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

/// JSON, plain or in base64, is the account itself.
fn key_file(settings: &mut Resolver<'_>) -> Result<Option<KeyFile>> {
    let given = settings.optional(&CREDENTIALS, text)?;
    Ok(given.map(|given| {
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
