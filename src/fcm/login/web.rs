//! Requests to the servers of a log-in: bounded in time and size, through the proxy where there is one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE};
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use native_tls::Certificate;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;

use crate::advice::Advice;
use crate::budget::Budget;
use crate::error::{Error, ErrorKind, Result};
use crate::fcm::FcmSettings;
use crate::fcm::host_and_port;
use crate::fcm::proxy::{Proxy, ProxySettings, by, needs_proxy_password};
use crate::fcm::transport::{https, is_untrusted};
use crate::settings::secret::MASK;

/// The largest answer that is read; tokens have a few kilobytes.
const LARGEST_ANSWER: usize = 256 * 1024;
/// The longest reason that is quoted from an answer, in characters.
const QUOTED: usize = 300;

/// A server that is asked during a log-in.
#[derive(Debug)]
pub(in crate::fcm) struct Peer {
    /// With its article: "the token endpoint".
    pub(super) name: &'static str,
    /// What it is asked for.
    pub(super) gives: &'static str,
    pub(super) url: Url,
}

/// The HTTP clients of a log-in.
#[derive(Debug)]
pub(in crate::fcm) struct Web {
    direct: Option<reqwest::Client>,
    proxied: Option<reqwest::Client>,
    proxy: ProxySettings,
    budget: Budget,
    /// The `Date` of the last answer that had one.
    date: Mutex<Option<HeaderValue>>,
}

/// A server's answer.
pub(in crate::fcm) struct Answer<'p> {
    peer: &'p Peer,
    asked: Instant,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// A token, and when it was asked for.
pub(in crate::fcm) struct Token {
    text: String,
    asked: Instant,
    life: Duration,
}

#[derive(Deserialize)]
struct AccessToken {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DatedToken {
    access_token: String,
    expire_time: Timestamp,
}

/// Returns a form as the body of a request.
pub(super) fn form(pairs: &[(&str, &str)]) -> String {
    let pairs = pairs
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)));
    pairs.collect::<Vec<_>>().join("&")
}

impl Web {
    /// Makes the clients that these servers need.
    ///
    /// # Errors
    /// The proxy cannot be used, or TLS cannot be set up.
    pub(in crate::fcm) fn new(
        peers: &[Peer],
        roots: &[Certificate],
        settings: &FcmSettings,
    ) -> Result<Self> {
        let mut web = Self {
            direct: None,
            proxied: None,
            proxy: settings.proxy.clone(),
            budget: settings.budget.clone(),
            date: Mutex::default(),
        };
        for peer in peers {
            let proxy = web.proxy_to(peer)?;
            let client = if proxy.is_some() {
                &mut web.proxied
            } else {
                &mut web.direct
            };
            if client.is_none() {
                *client = Some(https(roots, settings.connect_timeout, proxy.as_ref())?);
            }
        }
        Ok(web)
    }

    /// Returns the proxy on the way to a server. Without TLS only this machine is reached, and its metadata server.
    fn proxy_to(&self, peer: &Peer) -> Result<Option<Proxy>> {
        match peer.url.scheme() {
            "https" => Proxy::to(&peer.url, &self.proxy),
            _ => Ok(None),
        }
    }

    /// Returns the clock of the server that answered last.
    pub(in crate::fcm) fn date(&self) -> Option<HeaderValue> {
        self.date
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the host and port of a server, and the proxy on the way there.
    pub(in crate::fcm) fn place(&self, peer: &Peer) -> String {
        let proxy = self.proxy_to(peer).ok().flatten();
        format!(
            "{} {}{}",
            peer.name,
            host_and_port(peer.url.as_str()),
            by(proxy.as_ref())
        )
    }

    /// Posts a form, with the name and the password of a client where they are given.
    pub(super) async fn post_form<'p>(
        &self,
        peer: &'p Peer,
        form: String,
        client: Option<(&str, &str)>,
    ) -> Result<Answer<'p>> {
        let request = self.client(peer)?.post(peer.url.clone());
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let request = match client {
            Some((name, password)) => request.basic_auth(name, Some(password)),
            None => request,
        };
        self.send(peer, request).await
    }

    /// Posts JSON with a bearer token.
    pub(super) async fn post_json<'p>(
        &self,
        peer: &'p Peer,
        body: &Value,
        bearer: &HeaderValue,
    ) -> Result<Answer<'p>> {
        let request = self.client(peer)?.post(peer.url.clone());
        self.send(peer, request.header(AUTHORIZATION, bearer).json(body))
            .await
    }

    pub(super) async fn get<'p>(&self, peer: &'p Peer, headers: HeaderMap) -> Result<Answer<'p>> {
        let request = self.client(peer)?.get(peer.url.clone());
        self.send(peer, request.headers(headers)).await
    }

    fn client(&self, peer: &Peer) -> Result<&reqwest::Client> {
        let client = if self.proxy_to(peer)?.is_some() {
            &self.proxied
        } else {
            &self.direct
        };
        client
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Bug, "a server of the log-in has no HTTP client"))
    }

    async fn send<'p>(&self, peer: &'p Peer, request: RequestBuilder) -> Result<Answer<'p>> {
        let exchange = async {
            let asked = Instant::now();
            let mut answer = request
                .send()
                .await
                .map_err(|cause| self.trouble(peer, cause))?;
            let mut body = Vec::new();
            while let Some(piece) = answer
                .chunk()
                .await
                .map_err(|cause| self.trouble(peer, cause))?
            {
                body.extend_from_slice(&piece);
                if body.len() > LARGEST_ANSWER {
                    let message = format!(
                        "the answer of {} is longer than {} KiB",
                        self.place(peer),
                        LARGEST_ANSWER / 1024
                    );
                    return Err(
                        Error::new(ErrorKind::Unreachable, message).hint(Advice::NotThisServer)
                    );
                }
            }
            Ok(Answer {
                peer,
                asked,
                status: answer.status(),
                headers: answer.headers().clone(),
                body,
            })
        };
        let answer = self.budget.wait(self.place(peer), exchange).await?;
        if let Some(date) = answer.headers.get(DATE) {
            *self.date.lock().unwrap_or_else(PoisonError::into_inner) = Some(date.clone());
        }
        Ok(answer)
    }

    fn trouble(&self, peer: &Peer, cause: reqwest::Error) -> Error {
        let message = format!("cannot fetch {} from {}", peer.gives, self.place(peer));
        let (kind, advice) = if is_untrusted(&cause) {
            (ErrorKind::Credentials, Advice::PrivateAuthority)
        } else if needs_proxy_password(&cause) {
            (ErrorKind::Credentials, Advice::ProxyPassword)
        } else {
            (ErrorKind::Unreachable, Advice::WayOut)
        };
        let error = Error::from_cause(kind, cause.without_url());
        error.context(message).hint(advice)
    }
}

impl Answer<'_> {
    /// Checks the status. `rejected` adds to the error of a request that would be rejected again; `secrets` are what
    /// was sent and must not be quoted.
    ///
    /// # Errors
    /// The status is not one of success. A fault of the server itself is worth another attempt.
    pub(super) fn accepted(
        &self,
        secrets: &[&str],
        rejected: impl FnOnce(Error) -> Error,
    ) -> Result<()> {
        if self.status.is_success() {
            return Ok(());
        }
        let reason = secrets
            .iter()
            .fold(self.reason(), |reason, secret| reason.replace(secret, MASK));
        let reason: String = reason
            .chars()
            .filter(|sign| !sign.is_control())
            .take(QUOTED)
            .collect();
        let message = format!("{} answered {}{reason}", self.peer.name, self.status);
        let is_transient = self.status.is_server_error()
            || self.status == StatusCode::TOO_MANY_REQUESTS
            || self.status == StatusCode::REQUEST_TIMEOUT;
        if is_transient {
            return Err(Error::new(ErrorKind::Unreachable, message).hint(Advice::ItsOwnTrouble));
        }
        Err(rejected(Error::new(ErrorKind::Credentials, message)))
    }

    /// Returns the reason in an answer of OAuth or of Google's services; empty if it has none.
    fn reason(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let error = &body["error"];
        let parts = match error.as_str() {
            Some(code) => [Some(code), body["error_description"].as_str()],
            None => [error["status"].as_str(), error["message"].as_str()],
        };
        let parts = parts.into_iter().flatten().filter(|part| !part.is_empty());
        parts.fold(String::new(), |reason, part| reason + ": " + part)
    }

    pub(super) fn header(&self, name: &str) -> Option<&HeaderValue> {
        self.headers.get(name)
    }

    /// Returns the body as text.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub(super) fn text(&self) -> Result<String> {
        String::from_utf8(self.body.clone()).map_err(|_| self.garbled())
    }

    /// Returns the token in the form of OAuth, which lives for some seconds.
    ///
    /// # Errors
    /// There is none, or it lives for no time.
    pub(super) fn token(&self) -> Result<Token> {
        let token: AccessToken = self.json()?;
        self.living(token.access_token, Duration::from_secs(token.expires_in))
    }

    /// Returns the token in the form of Google's services, which lives until an instant.
    ///
    /// # Errors
    /// There is none, or that instant is over.
    pub(super) fn token_until(&self, now: Timestamp) -> Result<Token> {
        let token: DatedToken = self.json()?;
        let life = Duration::try_from(token.expire_time.duration_since(now));
        self.living(token.access_token, life.unwrap_or_default())
    }

    fn living(&self, text: String, life: Duration) -> Result<Token> {
        if life.is_zero() {
            let message = format!("{} issued a token that has expired already", self.peer.name);
            return Err(Error::new(ErrorKind::Credentials, message).hint(Advice::TokenClock));
        }
        Ok(Token {
            text,
            asked: self.asked,
            life,
        })
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T> {
        // serde's own message could quote the token.
        serde_json::from_slice(&self.body).map_err(|_| self.garbled())
    }

    fn garbled(&self) -> Error {
        let message = format!("{}'s answer contains no token", self.peer.name);
        Error::new(ErrorKind::Unreachable, message).hint(Advice::NotThisServer)
    }
}

impl Token {
    /// Returns the token itself, so that it can be masked.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the header that carries it, which no `Debug` shows.
    ///
    /// # Errors
    /// It has characters that no header may have.
    pub(in crate::fcm) fn header(&self) -> Result<HeaderValue> {
        let header = HeaderValue::try_from(format!("Bearer {}", self.text));
        let mut header = header.map_err(|_| {
            Error::new(
                ErrorKind::Unreachable,
                "the token cannot be sent in a header",
            )
        })?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// Returns when it was asked for, and how long it lives from then on.
    pub(in crate::fcm) fn life(&self) -> (Instant, Duration) {
        (self.asked, self.life)
    }
}
