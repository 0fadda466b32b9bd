//! Sends messages to the push service (FCM HTTP v1) and reports the outcome of each.
//!
//! [`Client`] takes [`SendJob`]s (an id chosen by the caller, and the bytes that a [`Composer`] wrote) and reports each
//! exactly once: accepted, dead, failed, in doubt, or not sent. It manages connections, bearer tokens, the rate limit,
//! pauses and retries, and it stops when continuing would do harm.
//!
//! | module | subject |
//! | --- | --- |
//! | `login`, `auth` | how pushctl signs in, and the bearer token that one task renews for all connections |
//! | `message` | the JSON of a message |
//! | `proxy` | the tunnel through an HTTP proxy |
//! | `transport`, `request` | one HTTP/2 connection; one request on it, and whether the service can have processed it |
//! | `answer` | how an answer is classified; pure |
//! | `rate_limiter`, `failure_guard` | how fast to send, and when too many messages fail; pure |
//! | `dispatch` | the queue, the retries and the messages in flight, and the action for each answer; pure |
//! | `connection` | a task that drives one connection and the requests on it |
//! | `client` | the public handle, and its background tasks |
//! | `probe` | one connection, one token and one message that is only validated, for `pushctl doctor` |
//!
//! Deliberately absent: a ledger (the caller claims a recipient before it submits the job), topics, batches, HTTP/1.1.

mod answer;
mod auth;
mod client;
mod client_state;
mod connection;
mod dispatch;
mod failure_guard;
mod login;
mod message;
mod probe;
mod proxy;
mod rate_limiter;
mod request;
mod transport;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

pub use answer::{Code, Platform};
pub use client::{Client, DispatchProgress, Reports};
pub use dispatch::{Halt, HaltCause};
pub use failure_guard::Limits;
pub use login::{Credentials, Login};
pub use message::{CollapseIds, Composer, Delivery};
pub use probe::{Probe, Verdict};
pub use proxy::ProxySettings;

pub(crate) use transport::check_url;

use proxy::Proxy;

use crate::budget::Budget;

/// The number of streams that the service allows on one connection.
const MAX_STREAMS: usize = 100;

/// Settings of a client.
#[derive(Debug, Clone)]
pub struct FcmSettings {
    /// `https://fcm.googleapis.com`, or the address of a stand-in.
    pub base_url: String,
    /// The token endpoint, in place of the one in the credentials.
    pub token_uri: Option<String>,
    /// A PEM file with certificate authorities to trust in addition to the system's.
    pub trusted: Option<PathBuf>,
    /// The proxy to the service and the servers of the log-in.
    pub proxy: ProxySettings,
    /// The largest number of connections. One is opened when those before it are full, and stays open.
    pub connections: usize,
    /// The largest number of concurrent requests on a connection; the service allows 100.
    pub streams: usize,
    /// The rate limit, in messages a second.
    pub rate: u32,
    /// The number of messages to expect, if it is known. A send of more than ten seconds ramps its rate up.
    pub expected: Option<u64>,
    /// The time in which a large send ramps up to its rate limit.
    pub ramp: Duration,
    /// The timeout for an answer; after it the message is in doubt.
    pub answer_timeout: Duration,
    /// The timeout for opening a connection.
    pub connect_timeout: Duration,
    /// The send stops after the push service has been unreachable this long.
    pub patience: Duration,
    /// The pause of the whole send if most recipients get a 429, without `Retry-After`.
    pub quota_pause: Duration,
    /// The first wait after a 500, a 503 or a recipient's 429 without `Retry-After`; each further wait doubles.
    pub backoff: Duration,
    /// The largest number of attempts for a message that is answered with 500 or 503.
    pub tries: u32,
    /// The failure rates at which the send stops.
    pub limits: Limits,
    /// The time of the command.
    pub budget: Budget,
}

impl FcmSettings {
    /// Returns the service's host and port, and the proxy on the way there, as progress shows them.
    pub fn place(&self) -> String {
        let url = self.base_url.parse().ok();
        let proxy = url.and_then(|url| Proxy::to(&url, &self.proxy).ok().flatten());
        format!(
            "{}{}",
            host_and_port(&self.base_url),
            proxy::by(proxy.as_ref())
        )
    }
}

/// Returns the host and port of a URL, and nothing else of it: a path or a user may hold a secret.
pub(crate) fn host_and_port(url: &str) -> String {
    let Ok(url) = url.parse::<reqwest::Url>() else {
        return "at an address that is not a URL".to_owned();
    };
    let host = url.host_str().unwrap_or_default();
    match url.port_or_known_default() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

impl Default for FcmSettings {
    fn default() -> Self {
        Self {
            base_url: "https://fcm.googleapis.com".to_owned(),
            token_uri: None,
            trusted: None,
            proxy: ProxySettings::default(),
            connections: 8,
            streams: MAX_STREAMS,
            rate: 5_000,
            expected: None,
            ramp: Duration::from_secs(60),
            answer_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            patience: Duration::from_secs(120),
            quota_pause: Duration::from_secs(60),
            backoff: Duration::from_secs(10),
            tries: 4,
            limits: Limits::default(),
            budget: Budget::open(Duration::from_secs(300)),
        }
    }
}

/// One message to one token. The caller has claimed it before it submits it.
#[derive(Debug, Clone)]
pub struct SendJob {
    /// An id chosen by the caller; the report carries it.
    pub id: u64,
    /// The bytes that [`Composer::compose`] returned.
    pub body: Bytes,
    /// The token's platform, if the caller knows it. It allows stopping one platform and continuing for the others.
    pub platform: Option<Platform>,
}

/// The outcome of one job. Every job gets exactly one report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageReport {
    pub id: u64,
    pub outcome: Outcome,
    /// The number of requests that were sent.
    pub attempts: u32,
    /// The time from the first request to the outcome; zero if no request was sent.
    pub elapsed: Duration,
}

/// The outcome of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The service accepted it.
    Accepted {
        /// `projects/…/messages/…`
        name: String,
    },
    /// The token is no longer registered.
    Dead,
    /// The service rejected it, or every allowed attempt failed.
    Failed {
        /// The service's error code.
        code: Code,
    },
    /// A request was sent and no answer came, so the service may or may not have accepted it.
    InDoubt {
        /// The way in which the answer was lost.
        code: Code,
    },
    /// It was certainly not accepted, and the send stopped before it could be sent (again).
    Unsent { why: Unsent },
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// The send stopped; see [`Client::halted`].
    Stopped,
    /// The service cannot send to the message's platform, because its certificate is bad.
    PlatformStopped(Platform),
}

impl Outcome {
    /// Returns the code for the outcome file; empty for an accepted message.
    pub fn code(&self) -> &str {
        match self {
            Self::Accepted { .. } => "",
            Self::Dead => "UNREGISTERED",
            Self::Failed { code } | Self::InDoubt { code } => code,
            Self::Unsent {
                why: Unsent::Stopped,
            } => "STOPPED",
            Self::Unsent {
                why: Unsent::PlatformStopped(_),
            } => "PLATFORM_STOPPED",
        }
    }
}
