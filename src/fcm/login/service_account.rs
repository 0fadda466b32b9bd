//! A service account: its key signs an assertion, and the token endpoint exchanges that for a token (RFC 7523).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::web::{Peer, Token, Web, form};
use super::{fields, key, required};
use crate::advice::Advice;
use crate::clock::Clock;
use crate::error::{Context, ErrorKind, Result};
use crate::fcm::transport::check_url;

/// The token endpoint, unless the account's file or a setting names another.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// The JWT header of an assertion (RFC 7515): RSASSA-PKCS1-v1_5 with SHA-256.
const HEADER: &[u8] = br#"{"typ":"JWT","alg":"RS256"}"#;
const ASSERTION_SECONDS: i64 = 3600;

/// A service account with its signing key.
#[derive(Clone)]
pub(in crate::fcm) struct ServiceAccount {
    pub(super) client_email: String,
    pub(super) token_uri: String,
    key: PKey<Private>,
}

/// The fields of the console's JSON file that are used.
#[derive(Deserialize)]
struct AccountFile {
    #[serde(default)]
    project_id: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key: String,
    token_uri: Option<String>,
}

#[derive(Serialize)]
struct JwtClaims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
}

impl ServiceAccount {
    /// Parses the account's email address and key.
    ///
    /// # Errors
    /// One of them is missing or wrong.
    pub(super) fn new(
        client_email: &str,
        private_key: &str,
        token_uri: Option<String>,
    ) -> Result<Self> {
        let client_email = required(client_email, "service account", "client email")?;
        required(private_key, "service account", "private key")?;
        Ok(Self {
            client_email: client_email.to_owned(),
            token_uri: token_uri.unwrap_or_else(|| TOKEN_URI.to_owned()),
            key: key::parse(private_key)?,
        })
    }

    /// Returns the account in a credentials file, and its project.
    ///
    /// # Errors
    /// A field is missing or wrong.
    pub(super) fn from_json(file: &Value) -> Result<(Self, String)> {
        let file: AccountFile = fields(file)?;
        let project = required(&file.project_id, "service account", "project id")?;
        let account = Self::new(&file.client_email, &file.private_key, file.token_uri)?;
        Ok((account, project.to_owned()))
    }

    /// Returns the token endpoint.
    ///
    /// # Errors
    /// Its address is not one.
    pub(in crate::fcm) fn peer(&self) -> Result<Peer> {
        let url = check_url(&self.token_uri, "the token endpoint")?;
        Ok(Peer {
            name: "the token endpoint",
            gives: "a bearer token",
            url,
        })
    }

    /// Exchanges an assertion for a token.
    pub(in crate::fcm) async fn fetch(
        &self,
        web: &Web,
        scope: &str,
        clock: &dyn Clock,
    ) -> Result<Token> {
        let assertion = self.assertion(scope, clock)?;
        let body = form(&[("grant_type", GRANT), ("assertion", &assertion)]);
        let peer = self.peer()?;
        let answer = web.post_form(&peer, body, None).await?;
        answer.accepted(&[&assertion], |error| {
            let account = format!(
                "the token endpoint rejects the service account {}",
                self.client_email
            );
            error
                .context(account)
                .hint(Advice::DeletedKey)
                .hint(Advice::AssertionClock)
        })?;
        answer.token()
    }

    /// Returns the signed JWT.
    fn assertion(&self, scope: &str, clock: &dyn Clock) -> Result<String> {
        let now = clock.now().as_second();
        let claims = JwtClaims {
            iss: &self.client_email,
            scope,
            aud: &self.token_uri,
            iat: now,
            exp: now + ASSERTION_SECONDS,
        };
        let claims = serde_json::to_vec(&claims)
            .kind(ErrorKind::Bug, || "cannot write the claims as JSON")?;
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let mut assertion = format!("{}.{}", encode(HEADER), encode(&claims));
        let signature = Signer::new(MessageDigest::sha256(), &self.key)
            .and_then(|mut signer| signer.sign_oneshot_to_vec(assertion.as_bytes()))
            .kind(
                ErrorKind::Usage,
                || "cannot sign with the service account's key",
            )?;
        assertion.push('.');
        assertion.push_str(&encode(&signature));
        Ok(assertion)
    }
}
