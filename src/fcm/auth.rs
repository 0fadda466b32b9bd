//! Fetches bearer tokens: the token endpoint exchanges a signed assertion for one.
//!
//! One task of the client renews the token for all connections, so a rejected token leads to one request, however many
//! messages it was rejected for.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::HeaderValue;
use http::header::DATE;
use openssl::hash::MessageDigest;
use openssl::sign::Signer;
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::account::ServiceAccount;
use super::proxy::{Proxy, by, needs_proxy_password};
use super::transport::is_untrusted;
use crate::advice::Advice;
use crate::clock::Clock;
use crate::error::{Context, Error, ErrorKind, Result};

const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The JWT header of an assertion (RFC 7515): RSASSA-PKCS1-v1_5 with SHA-256.
const HEADER: &[u8] = br#"{"typ":"JWT","alg":"RS256"}"#;
const ASSERTION_SECONDS: i64 = 3600;
/// How long before its expiry a token is replaced; a short-lived token is replaced after nine tenths of its life.
const RENEW_AHEAD: Duration = Duration::from_secs(300);

/// A bearer token, as the header that carries it.
#[derive(Clone)]
pub(super) struct Bearer {
    /// Marked sensitive, so that no `Debug` shows it.
    pub(super) header: HeaderValue,
    /// When to fetch the next token.
    pub(super) renew: Instant,
}

/// Exchanges assertions for bearer tokens.
#[derive(Debug)]
pub(super) struct TokenSource {
    http: reqwest::Client,
    account: ServiceAccount,
    token_uri: String,
    /// The proxy that the client uses.
    proxy: Option<Proxy>,
    /// The `Date` of the last answer.
    date: Mutex<Option<HeaderValue>>,
}

#[derive(Serialize)]
struct JwtClaims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

#[derive(Deserialize)]
struct AccessToken {
    access_token: String,
    expires_in: u64,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenRefusal {
    error: String,
    error_description: String,
}

impl TokenSource {
    pub(super) fn new(
        (http, proxy): (reqwest::Client, Option<Proxy>),
        account: ServiceAccount,
        token_uri: String,
    ) -> Self {
        Self {
            http,
            account,
            token_uri,
            proxy,
            date: Mutex::default(),
        }
    }

    /// Returns the endpoint's clock, from its last answer.
    pub(super) fn date(&self) -> Option<HeaderValue> {
        self.date
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Returns the host and port of the token endpoint, and the proxy on the way there.
    pub(super) fn place(&self) -> String {
        let place = super::host_and_port(&self.token_uri);
        format!("{place}{}", by(self.proxy.as_ref()))
    }

    /// Fetches a token with one request to the token endpoint.
    pub(super) async fn fetch(&self, clock: &dyn Clock) -> Result<Bearer> {
        let asked = Instant::now();
        let form = format!(
            "grant_type={}&assertion={}",
            GRANT.replace(':', "%3A"),
            self.assertion(clock)?
        );
        let answer = self
            .http
            .post(&self.token_uri)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form)
            .send()
            .await;
        let answer = answer.map_err(|cause| self.trouble(cause))?;
        *self.date.lock().unwrap_or_else(PoisonError::into_inner) =
            answer.headers().get(DATE).cloned();
        let status = answer.status();
        let body = answer.bytes().await.map_err(|cause| self.trouble(cause))?;
        if !status.is_success() {
            return Err(self.refusal(status, &body));
        }
        let token: AccessToken = serde_json::from_slice(&body).map_err(|_| {
            let message = "the token endpoint's answer contains no token";
            Error::new(ErrorKind::Unreachable, message)
        })?;
        bearer(&token, asked)
    }

    fn trouble(&self, cause: reqwest::Error) -> Error {
        let by = by(self.proxy.as_ref());
        let message = format!("cannot fetch a bearer token from {}{by}", self.token_uri);
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

    /// Returns the signed JWT of RFC 7523 that the token endpoint exchanges for a bearer token.
    fn assertion(&self, clock: &dyn Clock) -> Result<String> {
        let now = clock.now().as_second();
        let claims = JwtClaims {
            iss: &self.account.client_email,
            scope: SCOPE,
            aud: &self.token_uri,
            iat: now,
            exp: now + ASSERTION_SECONDS,
        };
        let claims = serde_json::to_vec(&claims)
            .kind(ErrorKind::Bug, || "cannot write the claims as JSON")?;
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let mut assertion = format!("{}.{}", encode(HEADER), encode(&claims));
        let signature = Signer::new(MessageDigest::sha256(), &self.account.key)
            .and_then(|mut signer| signer.sign_oneshot_to_vec(assertion.as_bytes()))
            .kind(
                ErrorKind::Usage,
                || "cannot sign with the service account's key",
            )?;
        assertion.push('.');
        assertion.push_str(&encode(&signature));
        Ok(assertion)
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> Error {
        let refusal: TokenRefusal = serde_json::from_slice(body).unwrap_or_default();
        let message = match (refusal.error.as_str(), refusal.error_description.as_str()) {
            ("", _) => format!("the token endpoint answered {status}"),
            (error, "") => format!("the token endpoint answered {status}: {error}"),
            (error, reason) => format!("the token endpoint answered {status}: {error}: {reason}"),
        };
        let transient = status.is_server_error()
            || status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT;
        if transient {
            return Error::new(ErrorKind::Unreachable, message).hint(Advice::ItsOwnTrouble);
        }
        let account = format!(
            "the token endpoint rejects the service account {}",
            self.account.client_email
        );
        Error::new(ErrorKind::Credentials, message)
            .context(account)
            .hint(Advice::DeletedKey)
            .hint(Advice::AssertionClock)
    }
}

fn bearer(token: &AccessToken, asked: Instant) -> Result<Bearer> {
    let mut header =
        HeaderValue::try_from(format!("Bearer {}", token.access_token)).map_err(|_| {
            Error::new(
                ErrorKind::Unreachable,
                "the token cannot be sent in a header",
            )
        })?;
    header.set_sensitive(true);
    let life = Duration::from_secs(token.expires_in.max(1));
    Ok(Bearer {
        header,
        renew: asked + life - RENEW_AHEAD.min(life / 10),
    })
}
