//! The HTTP of one address: requests, retries, and warnings without the address.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use tokio::time::Instant;

use super::{NotifyTimeouts, Warning};
use crate::clock::text::Seconds;
use crate::loopback::is_this_machine;
use crate::retry::{Again, Retries, RetryPolicy};
use crate::settings::secret::{MASK, Secret};
use crate::snippet::visible;

/// Characters of an answer that a warning quotes.
const QUOTED: usize = 80;

/// An address, and a client for it.
#[derive(Clone)]
pub(super) struct WebhookTarget {
    pub(super) what: &'static str,
    pub(super) url: Url,
    client: Client,
}

/// The body of a request.
pub(super) enum Body<'a> {
    /// A GET request without a body.
    Nothing,
    /// A POST request with JSON.
    Json(&'a Value),
    /// A POST request with text.
    Text(&'a str),
}

impl fmt::Debug for WebhookTarget {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} at {MASK}", self.what)
    }
}

/// Why an attempt failed, and whether another may do better.
struct NotifyFailure {
    why: String,
    again: Again,
}

impl WebhookTarget {
    pub(super) fn new(what: &'static str, address: &Secret) -> Result<Self, Warning> {
        let refuse = |why: &str| Warning::permanent(format!("the {what} is not used: {why}"));
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

    pub(super) async fn deliver(
        &self,
        url: Url,
        body: Body<'_>,
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
            let failure = match self.attempt(self.request(url.clone(), &body), left).await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            if !retries.wait(failure.again).await {
                return Err(self.warning(&failure, tries));
            }
            let (what, why) = (self.what, &failure.why);
            tracing::debug!(what, why, "the notice failed and is sent again");
        }
    }

    fn request(&self, url: Url, body: &Body<'_>) -> RequestBuilder {
        match body {
            Body::Nothing => self.client.get(url),
            Body::Json(body) => self.client.post(url).json(body),
            Body::Text(body) => self.client.post(url).body((*body).to_owned()),
        }
    }

    async fn attempt(
        &self,
        request: RequestBuilder,
        timeout: Duration,
    ) -> Result<(), NotifyFailure> {
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

    fn warning(&self, failure: &NotifyFailure, tries: u32) -> Warning {
        let tries = if tries == 1 {
            "one try".to_owned()
        } else {
            format!("{tries} tries")
        };
        let told = format!(
            "the {} did not accept the notice after {tries}: {}",
            self.what, failure.why
        );
        Warning {
            text: self.masked(told),
            is_permanent: failure.again == Again::Never,
        }
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
