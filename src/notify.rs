//! Notices about a run: a webhook and a heartbeat.
//!
//! A webhook gets a `POST` with the JSON of its [`WebhookKind`]; a heartbeat the requests of its [`HeartbeatKind`],
//! with a query kept. One delivery takes a few seconds at most. A failure is a [`Warning`], never an error: a notice
//! that cannot be delivered does not end the run. The addresses are secrets and appear in no warning.
//!
//! Deliberately absent: the outbox, which keeps notices until they are delivered. It is the pipeline's.

mod discord;
mod heartbeat;
mod json;
mod slack;
mod target;
mod text;

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use jiff::Zoned;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::settings::secret::Secret;
use target::{Body, WebhookTarget};

pub use heartbeat::run_uuid;
pub use json::NoticeDocument;

/// The format of notices to a webhook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WebhookKind {
    /// Text and blocks, as Slack and compatible services take them.
    #[default]
    Slack,
    /// Text, as Discord takes it.
    Discord,
    /// A document with the facts of the notice, for your own receiver.
    Json,
}

/// The requests of a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum HeartbeatKind {
    /// `/start`, the address itself, `/fail`; with the run's id, and the summary as the body.
    Healthchecks,
    /// `?status=in_progress`, `ok`, `error`; with the run's id as `check_in_id`.
    Sentry,
}

/// A notice about a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    pub automation: String,
    /// The occurrence it is about.
    pub occurrence: String,
    pub run: String,
    pub event: Event,
    /// Counts below the text, in order: the rows of each file, the counts of a summary.
    pub counts: Vec<(String, u64)>,
    /// Names and values below the counts.
    pub facts: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The audience files are written.
    AudienceReady {
        /// Rows of all files.
        people: u64,
    },
    /// The test pushes went out.
    TestSent {
        /// Test pushes that the push service accepted.
        accepted: u64,
        of: u64,
    },
    /// The run can be cancelled until `send_at`.
    WindowOpen {
        /// Rows of all files.
        people: u64,
        /// When the pushes go out.
        send_at: Zoned,
        /// The command that cancels the run.
        cancel: String,
    },
    /// The run is over.
    Done {
        /// Pushes that the push service accepted.
        accepted: u64,
        /// Pushes that were to be sent.
        of: u64,
    },
    /// The run ended before it was done.
    Stopped {
        /// The reason, in one sentence.
        why: String,
    },
}

/// The state that a heartbeat reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beat {
    Start,
    Success,
    Failure,
}

/// A call of a heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub beat: Beat,
    /// The run's id; the same for its start and its end.
    pub run: String,
    /// What happened, for monitors that show it.
    pub summary: String,
}

/// Why a notice did not arrive, in one sentence, without the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    text: String,
    is_permanent: bool,
}

impl Warning {
    fn permanent(text: String) -> Self {
        Self {
            text,
            is_permanent: true,
        }
    }

    /// Returns whether another attempt would fail in the same way.
    pub fn is_permanent(&self) -> bool {
        self.is_permanent
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// The retry policy of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotifyTimeouts {
    /// Attempts, the first included.
    pub tries: u32,
    /// Time for the notice, all attempts together.
    pub timeout: Duration,
    /// Wait before the first retry; doubles with each. A `Retry-After` counts up to the timeout.
    pub wait: Duration,
}

impl Default for NotifyTimeouts {
    fn default() -> Self {
        Self {
            tries: 3,
            timeout: Duration::from_secs(5),
            wait: Duration::from_millis(500),
        }
    }
}

/// Where notices of a run go. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notices {
    webhook: Option<WebhookTarget>,
    webhook_kind: WebhookKind,
    heartbeat: Option<WebhookTarget>,
    heartbeat_kind: Option<HeartbeatKind>,
    patience: NotifyTimeouts,
}

impl Notices {
    /// Builds the targets from addresses. An address that cannot be used is a warning, and is not called.
    pub fn new(
        webhook: Option<&Secret>,
        heartbeat: Option<&Secret>,
        patience: NotifyTimeouts,
    ) -> (Self, Vec<Warning>) {
        let mut warnings = Vec::new();
        let mut target = |what, address: Option<&Secret>| match WebhookTarget::new(what, address?) {
            Ok(target) => Some(target),
            Err(warning) => {
                warnings.push(warning);
                None
            }
        };
        let notices = Self {
            webhook: target("webhook", webhook),
            webhook_kind: WebhookKind::default(),
            heartbeat: target("heartbeat", heartbeat),
            heartbeat_kind: None,
            patience,
        };
        (notices, warnings)
    }

    /// Returns the targets of notices: `webhook` or `heartbeat`, with host and port. The rest of an address is secret.
    pub fn endpoints(&self) -> Vec<(&'static str, String, u16)> {
        let targets = [&self.webhook, &self.heartbeat];
        let endpoint = |target: &WebhookTarget| {
            let host = target.url.host_str().unwrap_or_default();
            let port = target.url.port_or_known_default().unwrap_or(443);
            (target.what, host.trim_matches(['[', ']']).to_owned(), port)
        };
        targets.into_iter().flatten().map(endpoint).collect()
    }

    /// Returns the same targets, with these formats. Without a kind, a heartbeat gets `GET` requests to `/start`, the
    /// address itself and `/fail`.
    #[must_use]
    pub fn with_kinds(self, webhook: WebhookKind, heartbeat: Option<HeartbeatKind>) -> Self {
        Self {
            webhook_kind: webhook,
            heartbeat_kind: heartbeat,
            ..self
        }
    }

    pub fn has_webhook(&self) -> bool {
        self.webhook.is_some()
    }

    pub fn has_heartbeat(&self) -> bool {
        self.heartbeat.is_some()
    }

    /// Posts a notice to the webhook, if there is one.
    pub async fn tell(&self, notice: &Notice) -> Result<(), Warning> {
        let Some(webhook) = &self.webhook else {
            return Ok(());
        };
        let body = match self.webhook_kind {
            WebhookKind::Slack => slack::message(notice),
            WebhookKind::Discord => discord::message(notice),
            WebhookKind::Json => json::message(notice),
        };
        let url = webhook.url.clone();
        webhook.deliver(url, Body::Json(&body), self.patience).await
    }

    /// Calls the heartbeat, if there is one.
    pub async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), Warning> {
        let Some(target) = &self.heartbeat else {
            return Ok(());
        };
        let (url, body) = heartbeat::request(self.heartbeat_kind, &target.url, heartbeat);
        let body = body.as_deref().map_or(Body::Nothing, Body::Text);
        target.deliver(url, body, self.patience).await
    }
}
