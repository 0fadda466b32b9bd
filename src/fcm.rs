//! The push service, FCM HTTP v1: messages in, one report a message out.
//!
//! [`Client`] takes [`SendJob`]s (an id of the caller's and the bytes that a [`Composer`] wrote) and reports each exactly
//! once, whatever happens: accepted, dead, failed, in doubt, or not sent. Everything in between is its own affair:
//! connections, bearer tokens, pace, pauses, repeats, and stopping when going on would do harm.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `account`, `auth` | who we are, and the bearer token that one task keeps fresh for all |
//! | `message` | the bytes of a message |
//! | `transport`, `request` | one HTTP/2 connection; one request on it, and how far it got |
//! | `answer` | the answer table: pure |
//! | `rate_limiter`, `failure_guard` | how fast, and when to stop: pure |
//! | `dispatch` | what is queued, waiting and under way, and what each answer leads to: pure |
//! | `connection` | one connection and the requests on it, driven by one task |
//! | `client` | the handle, and the tasks behind it |
//!
//! Deliberately absent: a ledger (the caller has claimed what it submits), topics, batches, HTTP/1.1.

mod account;
mod answer;
mod auth;
mod client;
mod connection;
mod dispatch;
mod failure_guard;
mod message;
mod rate_limiter;
mod request;
mod transport;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

pub use account::{Credentials, ServiceAccount};
pub use answer::{Code, Platform};
pub use client::{Client, DispatchProgress, Reports};
pub use dispatch::{Halt, HaltCause};
pub use failure_guard::Limits;
pub use message::{Composer, Delivery};

use crate::error::Error;

/// Streams that the service allows on one connection.
const MAX_STREAMS: usize = 100;

/// A failure, and whether trying again can help.
#[derive(Debug)]
enum Setback {
    /// It may pass by itself.
    Passing(Error),
    /// It will not.
    Lasting(Error),
}

impl Setback {
    fn error(&self) -> &Error {
        match self {
            Self::Passing(error) | Self::Lasting(error) => error,
        }
    }

    fn context(self, message: &str) -> Self {
        match self {
            Self::Passing(error) => Self::Passing(error.context(message)),
            Self::Lasting(error) => Self::Lasting(error.context(message)),
        }
    }
}

/// How messages are sent.
#[derive(Debug, Clone)]
pub struct FcmSettings {
    /// `https://fcm.googleapis.com`, or what stands in for it.
    pub base_url: String,
    /// In place of the one in the service account's file.
    pub token_uri: Option<String>,
    /// Further authorities to trust, PEM.
    pub trusted: Option<PathBuf>,
    /// Connections at most; each is opened when those before it are full, and kept.
    pub connections: usize,
    /// Requests at once on a connection; the service allows 100.
    pub streams: usize,
    /// Messages a second at most.
    pub rate: u32,
    /// How many messages there will be, if that is known. A send of more than ten seconds is ramped up.
    pub expected: Option<u64>,
    /// How long a large send takes to reach its rate.
    pub ramp: Duration,
    /// How long an answer is waited for; after that the message is in doubt.
    pub answer_timeout: Duration,
    /// How long a connection may take.
    pub connect_timeout: Duration,
    /// How long the service may be out of reach before the run stops.
    pub patience: Duration,
    /// How long everything waits after a 429 that does not say.
    pub quota_pause: Duration,
    /// The first wait after a 500 or 503 that does not say; each further one doubles.
    pub backoff: Duration,
    /// How often a message is sent at most when the answer is 500 or 503.
    pub tries: u32,
    /// When the run stops itself.
    pub limits: Limits,
}

impl FcmSettings {
    /// Returns the service's host and port, as progress shows them.
    pub fn place(&self) -> String {
        host_and_port(&self.base_url)
    }
}

/// Returns the host and port of a URL, and nothing else of it: a path or a user may hold a secret.
pub(crate) fn host_and_port(url: &str) -> String {
    let Ok(url) = url.parse::<reqwest::Url>() else {
        return "at an address that is no URL".to_owned();
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
        }
    }
}

/// One message to one token. Whoever submits it has claimed it.
#[derive(Debug, Clone)]
pub struct SendJob {
    /// The caller's; comes back in the report.
    pub id: u64,
    /// What [`Composer::compose`] wrote.
    pub body: Bytes,
    /// The token's platform, if the caller knows it: what allows stopping one platform and not the others.
    pub platform: Option<Platform>,
}

/// What became of one job. Every job gets exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageReport {
    /// The job's id.
    pub id: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// How many times a request left.
    pub attempts: u32,
    /// From the first request to the end; zero if none left.
    pub elapsed: Duration,
}

/// How a message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The service took it.
    Accepted {
        /// `projects/…/messages/…`
        name: String,
    },
    /// The token is registered no more.
    Dead,
    /// It was refused, or tried as often as is sensible.
    Failed {
        /// Why, in the service's words.
        code: Code,
    },
    /// It left, and nobody can tell whether it was accepted.
    InDoubt {
        /// How the answer was lost.
        code: Code,
    },
    /// It is certain that it was not accepted, and the run stopped before it could be sent (again).
    Unsent {
        /// What stopped it.
        why: Unsent,
    },
}

/// Why a message was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// The run stopped; see [`Client::halted`].
    Stopped,
    /// Its platform's certificate is bad.
    PlatformStopped(Platform),
}

impl Outcome {
    /// The code for the outcome file; empty for an accepted message.
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
