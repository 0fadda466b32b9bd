//! Notices about a run: a Slack-compatible webhook and a heartbeat.
//!
//! A webhook gets `POST {"text": …, "blocks": […]}`; a heartbeat `GET URL/start`, `GET URL` or `GET URL/fail`, with a
//! query kept. A notice is delivered in the background, one after the other, within a few seconds each: a webhook that
//! is silent delays no push. A failure is a [`Warning`], never an error: a notice that cannot be delivered does not end
//! the run. The addresses are secrets and appear in no warning.
//!
//! Deliberately absent: a queue. An undelivered notice is not delivered later, when it would be out of date.

mod slack;

use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Zoned;
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::clock::text::Seconds;
use crate::loopback::is_this_machine;
use crate::retry::{Again, Retries, RetryPolicy};
use crate::settings::secret::{MASK, Secret};
use crate::snippet::visible;

/// Characters of an answer that a warning quotes.
const QUOTED: usize = 80;

/// A notice about a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    pub automation: String,
    /// The occurrence it is about.
    pub occurrence: String,
    pub run: String,
    pub event: Event,
    /// Names and values below the text, in order: the rows of each file, the counts of a summary.
    pub facts: Vec<(String, String)>,
}

#[derive(Debug, Clone, PartialEq)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    Start,
    Success,
    Failure,
}

/// Why a notice did not arrive, in one sentence, without the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning(String);

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
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
    heartbeat: Option<WebhookTarget>,
    patience: NotifyTimeouts,
}

/// An address, and a client for it.
#[derive(Clone)]
struct WebhookTarget {
    what: &'static str,
    url: Url,
    client: Client,
}

impl fmt::Debug for WebhookTarget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at {MASK}", self.what)
    }
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
            heartbeat: target("heartbeat", heartbeat),
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

    /// Posts a notice to the webhook, if there is one.
    pub async fn tell(&self, notice: &Notice) -> Result<(), Warning> {
        match &self.webhook {
            Some(webhook) => {
                webhook
                    .deliver(
                        webhook.url.clone(),
                        Some(&slack::message(notice)),
                        self.patience,
                    )
                    .await
            }
            None => Ok(()),
        }
    }

    /// Calls the heartbeat, if there is one.
    pub async fn beat(&self, beat: Beat) -> Result<(), Warning> {
        let Some(heartbeat) = &self.heartbeat else {
            return Ok(());
        };
        let mut url = heartbeat.url.clone();
        let end = match beat {
            Beat::Start => Some("start"),
            Beat::Success => None,
            Beat::Failure => Some("fail"),
        };
        if let (Some(end), Ok(mut path)) = (end, url.path_segments_mut()) {
            path.pop_if_empty().push(end);
        }
        heartbeat.deliver(url, None, self.patience).await
    }
}

/// The time for the notices that are still under way at the end.
const FLUSH: Duration = Duration::from_secs(5);
/// The time that a worker without work needs to end.
const MOMENT: Duration = Duration::from_millis(100);

/// Delivers notices in the background, in their order.
pub struct Outgoing {
    queue: mpsc::UnboundedSender<Job>,
    warnings: Arc<Mutex<Vec<Warning>>>,
    worker: tokio::task::JoinHandle<()>,
}

enum Job {
    Notice(Box<Notice>),
    Beat(Beat),
}

impl Outgoing {
    /// Returns an empty queue to these targets.
    pub fn to(notices: Notices) -> Self {
        let (queue, mut jobs) = mpsc::unbounded_channel();
        let warnings: Arc<Mutex<Vec<Warning>>> = Arc::default();
        let failed = Arc::clone(&warnings);
        let worker = tokio::spawn(async move {
            while let Some(job) = jobs.recv().await {
                let delivered = match job {
                    Job::Notice(notice) => notices.tell(&notice).await,
                    Job::Beat(beat) => notices.beat(beat).await,
                };
                if let Err(warning) = delivered {
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    failed.push(warning);
                }
            }
        });
        Self {
            queue,
            warnings,
            worker,
        }
    }

    /// Queues a notice for the webhook.
    pub fn tell(&self, notice: Notice) {
        // The worker lives as long as the queue.
        let _ = self.queue.send(Job::Notice(Box::new(notice)));
    }

    /// Queues a call of the heartbeat.
    pub fn beat(&self, beat: Beat) {
        let _ = self.queue.send(Job::Beat(beat));
    }

    /// Takes the warnings of the notices that failed so far.
    pub fn warnings(&self) -> Vec<Warning> {
        let mut failed = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *failed)
    }

    /// Waits for the notices under way, a few seconds and until `end` at most. Returns the warnings.
    pub async fn finish(self, end: Option<Instant>) -> Vec<Warning> {
        let Self {
            queue,
            warnings,
            mut worker,
        } = self;
        drop(queue);
        let limit = Instant::now() + FLUSH;
        // Also after the deadline, a worker without work gets the moment that it needs to end.
        let end = end.map_or(limit, |end| end.min(limit).max(Instant::now() + MOMENT));
        let is_late = timeout_at(end, &mut worker).await.is_err();
        worker.abort();
        let mut warnings =
            std::mem::take(&mut *warnings.lock().unwrap_or_else(PoisonError::into_inner));
        if is_late {
            let text = "the webhook or the heartbeat did not answer in time: the last notices may not have arrived";
            warnings.push(Warning(text.to_owned()));
        }
        warnings
    }
}

/// Why an attempt failed, and whether another may do better.
struct NotifyFailure {
    why: String,
    again: Again,
}

impl WebhookTarget {
    fn new(what: &'static str, address: &Secret) -> Result<Self, Warning> {
        let refuse = |why: &str| Warning(format!("the {what} is not used: {why}"));
        let url = Url::parse(address.reveal().trim())
            .map_err(|_| refuse("its address is not a valid URL"))?;
        let host = url
            .host_str()
            .ok_or_else(|| refuse("its address has no host"))?;
        let local = is_this_machine(host);
        match url.scheme() {
            "https" => {}
            "http" if local => {}
            _ => return Err(refuse("its address must begin with https://")),
        }
        let mut client = Client::builder()
            .user_agent(concat!("pushctl/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none());
        if local {
            client = client.no_proxy();
        }
        let client = client
            .build()
            .map_err(|_| refuse("the TLS client cannot be set up"))?;
        Ok(Self { what, url, client })
    }

    async fn deliver(
        &self,
        url: Url,
        body: Option<&Value>,
        patience: NotifyTimeouts,
    ) -> Result<(), Warning> {
        let end = Instant::now() + patience.timeout;
        let policy = RetryPolicy {
            first: patience.wait,
            longest: patience.timeout,
            attempts: NonZeroU32::new(patience.tries),
        };
        let mut retries = Retries::new(policy, end);
        let mut tries = 0;
        loop {
            tries += 1;
            let left = end.saturating_duration_since(Instant::now());
            let failure = match self.attempt(url.clone(), body, left).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if !retries.wait(failure.again).await {
                return Err(self.warning(&failure.why, tries));
            }
            let (what, why) = (self.what, &failure.why);
            tracing::debug!(what, why, "the notice failed and is sent again");
        }
    }

    async fn attempt(
        &self,
        url: Url,
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<(), NotifyFailure> {
        let request = match body {
            Some(body) => self.client.post(url).json(body),
            None => self.client.get(url),
        };
        let response = request
            .timeout(timeout)
            .send()
            .await
            .map_err(|error| NotifyFailure {
                why: if error.is_timeout() {
                    format!("no answer within {}", Seconds(timeout))
                } else {
                    causes(&error.without_url())
                },
                again: Again::Later,
            })?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let again = if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            retry_after(&response).map_or(Again::Later, Again::After)
        } else {
            Again::Never
        };
        let said = beginning(response).await;
        let first = said.lines().next().unwrap_or_default();
        let first: String = visible(first).chars().take(QUOTED).collect();
        let why = if first.is_empty() {
            format!("it answered {status}")
        } else {
            format!("it answered {status}: {first}")
        };
        Err(NotifyFailure { why, again })
    }

    fn warning(&self, why: &str, tries: u32) -> Warning {
        let tries = if tries == 1 {
            "one try".to_owned()
        } else {
            format!("{tries} tries")
        };
        let told = format!(
            "the {} did not accept the notice after {tries}: {why}",
            self.what
        );
        Warning(self.masked(told))
    }

    /// Masks the secret address, which an answer may quote.
    fn masked(&self, text: String) -> String {
        let secrets = [
            self.url.as_str(),
            self.url.path(),
            self.url.query().unwrap_or_default(),
        ];
        let secrets = secrets.into_iter().filter(|secret| secret.len() > 1);
        secrets.fold(text, |text, secret| text.replace(secret, MASK))
    }
}

/// Reads the beginning of a body for a message; does not wait for the rest.
async fn beginning(mut response: Response) -> String {
    let mut body = Vec::new();
    while body.len() < QUOTED
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    String::from_utf8_lossy(&body).into_owned()
}

fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// Returns the innermost cause, which says what happened.
fn causes(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
