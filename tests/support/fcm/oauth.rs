//! The token endpoint: checks the assertion as strictly as the real one, then issues bearer tokens.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use openssl::base64::decode_block;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rand::rand_bytes;
use openssl::sign::Verifier;
use serde_json::{Value, json};

use super::answers::Answer;
use super::identity::account_key;
use super::{ACCOUNT_EMAIL, Options};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The scope of messages, and the one that stands for every service.
const SCOPES: [&str; 2] = [
    "https://www.googleapis.com/auth/firebase.messaging",
    "https://www.googleapis.com/auth/cloud-platform",
];

/// The settings of the token endpoint, and the tokens it has issued.
#[derive(Debug)]
pub(crate) struct Oauth {
    token_uri: String,
    lifetime: Duration,
    any_date: bool,
    delay: Duration,
    refusal: Option<u16>,
    issued: Mutex<HashMap<String, Instant>>,
    requests: AtomicU64,
}

/// A header with an issued token, and its expiry.
#[derive(Debug)]
pub(super) struct Admission {
    header: HeaderValue,
    end: Instant,
}

impl Oauth {
    pub(super) fn new(token_uri: String, options: &Options) -> Self {
        Self {
            token_uri,
            lifetime: options.token_lifetime,
            any_date: options.any_date,
            delay: options.token_delay,
            refusal: options.token_refusal,
            issued: Mutex::default(),
            requests: AtomicU64::new(0),
        }
    }

    /// Returns the number of requests to the endpoint.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns the delay of an answer.
    pub(super) fn delay(&self) -> Duration {
        self.delay
    }

    /// Returns whether `authorization` contains an issued token that has not expired. `last` is the previous header of
    /// the connection: every message carries the same thousand bytes, and looking them up costs more than all other
    /// checks.
    pub(super) fn admits(&self, authorization: &HeaderValue, last: &mut Option<Admission>) -> bool {
        let known = |admission: &&mut Admission| admission.header == authorization;
        if let Some(admission) = last.as_mut().filter(known) {
            return Instant::now() < admission.end;
        }
        let Some(token) = authorization
            .to_str()
            .ok()
            .and_then(|value| value.strip_prefix("Bearer "))
        else {
            return false;
        };
        let issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(end) = issued.get(token).copied() else {
            return false;
        };
        *last = Some(Admission {
            header: authorization.clone(),
            end,
        });
        Instant::now() < end
    }

    /// Answers a request of the grant type `jwt-bearer`.
    pub(super) fn answer(&self, form: &[u8]) -> Answer {
        self.requests.fetch_add(1, Ordering::Relaxed);
        match self.refusal {
            Some(status @ (400 | 401)) => {
                return refuse(status, "invalid_grant", "Invalid JWT Signature.");
            }
            Some(status) => return Answer::html(status),
            None => {}
        }
        if let Err(reason) = self.check(form) {
            return refuse(400, "invalid_grant", &reason);
        }
        Answer::json(
            200,
            &json!({ "access_token": self.lend(), "expires_in": self.lifetime.as_secs(), "token_type": "Bearer" }),
        )
    }

    /// Issues a bearer token.
    pub(super) fn lend(&self) -> String {
        let token = token();
        self.issued
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(token.clone(), Instant::now() + self.lifetime);
        token
    }

    fn check(&self, form: &[u8]) -> Result<(), String> {
        let fields: HashMap<String, String> = reqwest::Url::parse(&format!(
            "form:?{}",
            std::str::from_utf8(form).map_err(|_| "the form is not UTF-8")?
        ))
        .map_err(|_| "the form is malformed")?
        .query_pairs()
        .into_owned()
        .collect();
        if fields.get("grant_type").map(String::as_str) != Some(GRANT) {
            return Err("unsupported grant type".to_owned());
        }
        let assertion = fields.get("assertion").ok_or("no assertion")?;
        let (signed, signature) = assertion.rsplit_once('.').ok_or("not a JWT")?;
        let (header, claims) = signed.split_once('.').ok_or("not a JWT")?;
        let header = parse(header)?;
        if header["alg"] != "RS256" || header["typ"] != "JWT" {
            return Err("the assertion must be a JWT signed with RS256".to_owned());
        }
        verify(signed, &unpad(signature)?)?;
        self.check_claims(&parse(claims)?)
    }

    fn check_claims(&self, claims: &Value) -> Result<(), String> {
        if claims["iss"] != ACCOUNT_EMAIL {
            return Err("Invalid grant: account not found".to_owned());
        }
        if !SCOPES.iter().any(|scope| claims["scope"] == *scope) {
            return Err("Invalid OAuth scope or ID token audience provided.".to_owned());
        }
        if claims["aud"] != self.token_uri.as_str() {
            return Err("Invalid JWT: Failed audience check.".to_owned());
        }
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        let (Some(start), Some(end)) = (claims["iat"].as_u64(), claims["exp"].as_u64()) else {
            return Err("Invalid JWT: iat and exp are required".to_owned());
        };
        let is_off = !self.any_date && (end <= now || start > now + 300);
        if is_off || end.saturating_sub(start) > 3600 {
            return Err("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim.".to_owned());
        }
        Ok(())
    }
}

fn refuse(status: u16, error: &str, description: &str) -> Answer {
    Answer::json(
        status,
        &json!({ "error": error, "error_description": description }),
    )
}

fn parse(part: &str) -> Result<Value, String> {
    serde_json::from_slice(&unpad(part)?).map_err(|_| "a part of the JWT is not JSON".to_owned())
}

/// base64url without padding.
fn unpad(part: &str) -> Result<Vec<u8>, String> {
    if part.contains(['+', '/', '=']) {
        return Err("not base64url".to_owned());
    }
    let mut standard = part.replace('-', "+").replace('_', "/");
    let missing = (4 - standard.len() % 4) % 4;
    standard.extend(std::iter::repeat_n('=', missing));
    decode_block(&standard).map_err(|_| "not base64url".to_owned())
}

fn verify(signed: &str, signature: &[u8]) -> Result<(), String> {
    let public = account_key()
        .public_key_to_der()
        .and_then(|der| PKey::public_key_from_der(&der))
        .map_err(|error| error.to_string())?;
    let good = Verifier::new(MessageDigest::sha256(), &public)
        .and_then(|mut verifier| verifier.verify_oneshot(signature, signed.as_bytes()))
        .unwrap_or(false);
    good.then_some(())
        .ok_or_else(|| "Invalid JWT Signature.".to_owned())
}

/// Makes a token about as long as a real one, because it is sent with every message.
fn token() -> String {
    let mut bytes = [0; 500];
    rand_bytes(&mut bytes).expect("random bytes");
    bytes.iter().fold(String::from("ya29.c."), |token, byte| {
        token + &format!("{byte:02x}")
    })
}
