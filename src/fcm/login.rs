//! How pushctl signs in to the push service: read and checked without a network.
//!
//! A log-in is a source of a first token, and any number of service accounts that are impersonated with it, each with
//! the token of the one before. The last token is the bearer token of the messages.
//!
//! | module | subject |
//! | --- | --- |
//! | `key` | the shapes of a private key |
//! | `service_account` | a first token for an assertion that the key signs |
//! | `external_account` | a first token for a token that another identity provider issued (RFC 8693) |
//! | `metadata` | a first token from the metadata server of the machine |
//! | `impersonation` | a token of a service account for a token that may impersonate it |
//! | `web` | the requests to all of these |
//!
//! Deliberately absent: programs that print a token (`executable`), tokens that AWS's signatures stand for, and the
//! log-in of a person.

pub(super) mod external_account;
pub(super) mod impersonation;
mod key;
pub(super) mod metadata;
pub(super) mod service_account;
pub(super) mod web;

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::advice::Advice;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::settings::secret::{BYTE_ORDER_MARK, Secret, json_in, kind_of, text_of};

use external_account::ExternalAccount;
use impersonation::Impersonation;
use metadata::Metadata;
use service_account::ServiceAccount;

/// The scope of a bearer token for messages.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// The scope of a token with which a service account is impersonated.
pub(super) const IMPERSONATION_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The largest file with credentials or a token; they have a few kilobytes.
const LARGEST_FILE: u64 = 256 * 1024;

/// The origin of a log-in.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// `GOOGLE_APPLICATION_CREDENTIALS`: the JSON file from the console.
    File(PathBuf),
    /// The content of that file, in its place.
    Text(Secret),
    /// `FIREBASE_PROJECT_ID`, `FIREBASE_CLIENT_EMAIL`, `FIREBASE_PRIVATE_KEY`.
    Variables {
        /// The Firebase project.
        project: String,
        /// The account's email address.
        client_email: String,
        /// PEM, in any shape that the module `key` understands.
        private_key: Secret,
    },
    /// The metadata server of the machine, by its host, perhaps with a port.
    Metadata(String),
}

/// A way to get bearer tokens, and the project that they are for.
#[derive(Clone)]
pub struct Login {
    project: Option<String>,
    pub(super) source: TokenOrigin,
    /// The service accounts that are impersonated, each with the token of the one before.
    pub(super) impersonations: Vec<Impersonation>,
}

/// Where the first token comes from.
#[derive(Clone)]
pub(super) enum TokenOrigin {
    ServiceAccount(ServiceAccount),
    ExternalAccount(Box<ExternalAccount>),
    Metadata(Metadata),
}

/// Shows no key and no token.
impl fmt::Debug for Login {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let project = self.project.as_deref().unwrap_or("unknown");
        write!(out, "Login({project}, {})", self.description())
    }
}

impl Login {
    /// Reads the credentials and parses their key, without any network access. `project` is used where they name none.
    ///
    /// # Errors
    /// The credentials cannot be read, are of a kind that pushctl does not use, or no project is known.
    pub fn load(credentials: &Credentials, project: Option<&str>) -> Result<Self> {
        let mut login = match credentials {
            Credentials::File(path) => {
                let named = |error: Error| {
                    error.context(format!("cannot read the credentials {}", path.display()))
                };
                read_text(path)
                    .and_then(|text| parse(&text))
                    .map_err(named)?
            }
            Credentials::Text(text) => parse(text.reveal()).map_err(|error| {
                error
                    .context("cannot read the credentials that stand in place of their file's path")
            })?,
            Credentials::Variables {
                project,
                client_email,
                private_key,
            } => {
                let account = ServiceAccount::new(client_email, private_key.reveal(), None)?;
                Self::new(Some(project.trim()), TokenOrigin::ServiceAccount(account))
            }
            Credentials::Metadata(host) => {
                Self::new(None, TokenOrigin::Metadata(Metadata::at(host)?))
            }
        };
        if login.project.is_none() {
            login.project = project.map(|project| project.trim().to_owned());
        }
        login.check_project()?;
        Ok(login)
    }

    fn new(project: Option<&str>, source: TokenOrigin) -> Self {
        Self {
            project: project.map(str::to_owned),
            source,
            impersonations: Vec::new(),
        }
    }

    fn check_project(&self) -> Result<()> {
        match (&self.project, &self.source) {
            (Some(project), _) => check_project(project),
            // The server is asked for it.
            (None, TokenOrigin::Metadata(_)) => Ok(()),
            (None, _) => Err(Error::usage(format!(
                "the project to send to is not known: credentials of the kind {} name none",
                self.kind()
            ))
            .hint("set FIREBASE_PROJECT_ID, or push.project_id in the configuration file, to the Firebase project")),
        }
    }

    /// Returns the Firebase project; `None` if the metadata server is to be asked for it.
    pub fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }

    /// Returns the kind of the log-in, for reports.
    pub fn kind(&self) -> &'static str {
        match (&self.source, self.impersonations.is_empty()) {
            (TokenOrigin::ServiceAccount(_), true) => "service account",
            (TokenOrigin::ServiceAccount(_), false) => "impersonated service account",
            (TokenOrigin::ExternalAccount(_), _) => "external account",
            (TokenOrigin::Metadata(_), _) => "metadata server",
        }
    }

    /// Returns the account that the bearer tokens belong to, if it is known.
    pub fn account(&self) -> Option<&str> {
        match (self.impersonations.last(), &self.source) {
            (Some(last), _) => Some(last.account()),
            (None, TokenOrigin::ServiceAccount(account)) => Some(&account.client_email),
            (None, _) => None,
        }
    }

    /// Describes the log-in in a few words, without anything secret.
    pub fn description(&self) -> String {
        let source = match &self.source {
            TokenOrigin::ServiceAccount(account) => {
                format!("{}, key understood", account.client_email)
            }
            TokenOrigin::ExternalAccount(account) => {
                format!("external account, {}", account.subject())
            }
            TokenOrigin::Metadata(metadata) => format!("metadata server {}", metadata.host()),
        };
        let steps = self
            .impersonations
            .iter()
            .map(|step| format!(", impersonates {}", step.account()));
        source + &steps.collect::<String>()
    }

    /// Replaces the token endpoint of the credentials.
    pub(super) fn replace_token_uri(&mut self, uri: &str) {
        match &mut self.source {
            TokenOrigin::ServiceAccount(account) => uri.clone_into(&mut account.token_uri),
            TokenOrigin::ExternalAccount(account) => uri.clone_into(&mut account.token_url),
            TokenOrigin::Metadata(_) => {}
        }
    }
}

/// Checks the syntax of a project id: it becomes a part of the address of every message.
///
/// # Errors
/// It is empty, or has other characters than a project id.
pub(super) fn check_project(project: &str) -> Result<()> {
    if project.is_empty() {
        return Err(Error::usage("the service account has no project id"));
    }
    let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
    if project.bytes().all(is_sound) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "the project id ({}) is not one of Firebase: letters, digits and hyphens",
        kind_of(project)
    )))
}

/// Reads a small text file.
///
/// # Errors
/// It cannot be read, is no regular file (reading a pipe could wait for ever), is too large or not UTF-8.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let cannot = || "the file cannot be read";
    let metadata = std::fs::metadata(path).kind(ErrorKind::Usage, cannot)?;
    if !metadata.is_file() {
        return Err(Error::usage("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).kind(ErrorKind::Usage, cannot)?;
    file.take(LARGEST_FILE)
        .read_to_end(&mut bytes)
        .kind(ErrorKind::Usage, cannot)?;
    if metadata.len() > LARGEST_FILE {
        return Err(Error::usage(format!(
            "it is larger than {} KiB",
            LARGEST_FILE / 1024
        )));
    }
    text_of(bytes)
}

/// Parses the JSON of a credentials file, plain or in base64. The project may be missing.
fn parse(text: &str) -> Result<Login> {
    let text = text.trim_start_matches(BYTE_ORDER_MARK).trim();
    if text.is_empty() {
        return Err(Error::usage("it is empty").hint(Advice::WrongAccountFile));
    }
    if text.contains("-----BEGIN") && !text.starts_with('{') {
        return Err(
            Error::usage("it is a PEM key, not the JSON file that contains it")
                .hint(Advice::KeyAlone),
        );
    }
    let json = json_in(text).unwrap_or_else(|| text.to_owned());
    // serde's own message could quote the file, and with it the private key.
    let value = serde_json::from_str(&json).map_err(|error| {
        let place = format!("line {}, column {}", error.line(), error.column());
        let wrong = Error::usage(format!(
            "it is not the JSON file of a service account ({place})"
        ));
        if error.to_string().starts_with("control character") {
            return wrong.hint(Advice::RawLineBreaks);
        }
        wrong.hint(Advice::WrongAccountFile)
    })?;
    parse_value(&value)
}

fn parse_value(file: &Value) -> Result<Login> {
    match file["type"].as_str().unwrap_or_default() {
        "service_account" => {
            let (account, project) = ServiceAccount::from_json(file)?;
            Ok(Login::new(
                Some(&project),
                TokenOrigin::ServiceAccount(account),
            ))
        }
        "external_account" => {
            let (account, impersonation) = ExternalAccount::from_json(file)?;
            let mut login = Login::new(None, TokenOrigin::ExternalAccount(Box::new(account)));
            login.impersonations.extend(impersonation);
            Ok(login)
        }
        "impersonated_service_account" => {
            let impersonation = Impersonation::from_json(file)?;
            let mut login = parse_value(&file["source_credentials"])
                .map_err(|error| error.context("its source_credentials cannot be used"))?;
            // The project of the source is not that of the account which is impersonated with it.
            login.project = None;
            login.impersonations.push(impersonation);
            Ok(login)
        }
        other => Err(unknown_kind(other)),
    }
}

/// Refuses credentials of another kind, with the reason and the next step.
fn unknown_kind(kind: &str) -> Error {
    let (kind, reason) = match kind {
        "authorized_user" => (
            kind,
            ", the log-in of a person: it ends with that person's session and is not meant for services",
        ),
        "external_account_authorized_user" => (
            kind,
            ", the log-in of a person through a workforce pool: it ends with that person's session",
        ),
        "gdch_service_account" => (kind, ", of a cloud without the push service"),
        "" => (kind, ""),
        // Any other word may be a secret in the wrong place.
        _ => ("another", ""),
    };
    Error::usage(format!("its type is `{kind}`{reason}; pushctl signs in as `service_account`, `external_account` or `impersonated_service_account`"))
        .hint(Advice::WrongAccountFile)
}

/// Converts a part of the file.
///
/// # Errors
/// A field has another type. serde's own message could quote it.
fn fields<T: DeserializeOwned>(file: &Value) -> Result<T> {
    serde_json::from_value(file.clone()).map_err(|_| {
        Error::usage("a field of it is not of the type that it should have")
            .hint(Advice::WrongAccountFile)
    })
}

/// Returns a field that must not be empty.
fn required<'f>(value: &'f str, kind: &str, name: &str) -> Result<&'f str> {
    match value.trim() {
        "" => Err(Error::usage(format!("the {kind} has no {name}")).hint(Advice::WrongAccountFile)),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;
    use serde_json::json;

    use super::*;

    fn load(bytes: &[u8], project: Option<&str>) -> Result<Login> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("account.json");
        std::fs::write(&path, bytes).expect("written");
        Login::load(&Credentials::File(path), project)
    }

    fn account() -> String {
        let key = PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key");
        let key = String::from_utf8(key.private_key_to_pem_pkcs8().expect("PEM")).expect("PEM");
        json!({"type": "service_account", "project_id": "p", "client_email": "a@example.com", "private_key": key})
            .to_string()
    }

    fn external(source: &Value) -> Value {
        json!({
            "type": "external_account",
            "audience": "//iam.googleapis.com/pools/p",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "credential_source": source,
        })
    }

    #[test]
    fn every_shape_of_an_account_file_is_accepted() {
        let account = account();
        for text in [
            account.clone(),
            format!("\u{feff}{account}\r\n"),
            BASE64_STANDARD.encode(&account),
            format!("\u{feff}{}\n", BASE64_STANDARD.encode(&account)),
        ] {
            let login = load(text.as_bytes(), None).expect("an account");
            assert_eq!(
                (login.project(), login.kind()),
                (Some("p"), "service account")
            );
        }
    }

    #[test]
    fn a_file_that_is_no_log_in_is_named_without_quoting_it() {
        let wide: Vec<u8> = account()
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        let marked = [&[0xff, 0xfe], &wide[..]].concat();
        let raw_breaks = account().replace("\\n", "\n");
        let no_project = external(&json!({"file": "/hush"})).to_string();
        let refused = |source: Value| external(&source).to_string().into_bytes();
        let person = json!({
            "type": "impersonated_service_account",
            "service_account_impersonation_url":
                "https://example.com/v1/projects/-/serviceAccounts/a@example.com:generateAccessToken",
            "source_credentials": {"type": "authorized_user", "refresh_token": "hush"},
        });
        for (bytes, reason) in [
            (b"{\"private_key\": \"hush".to_vec(), "not the JSON file of a service account"),
            (b"{\"private_key\": 7, \"type\": \"hush\"}".to_vec(), "its type is `another`"),
            (b"{\"private_key\": 7, \"type\": \"service_account\"}".to_vec(), "a field of it is not of the type"),
            (b"{\"type\": \"authorized_user\"}".to_vec(), "its type is `authorized_user`, the log-in of a person"),
            (b"{\"type\": \"service_account\"}".to_vec(), "has no project id"),
            (b"{\"type\": \"service_account\", \"project_id\": \"p\", \"client_email\": \"a\", \"private_key\": \"hush\"}".to_vec(), "not an RSA key"),
            (b"".to_vec(), "it is empty"),
            (b"-----BEGIN PRIVATE KEY-----\nhush".to_vec(), "it is a PEM key"),
            (b"0\x82hush\xff\xfe".to_vec(), "not text in UTF-8"),
            (wide, "it is UTF-16"),
            (marked, "it is UTF-16"),
            (raw_breaks.into_bytes(), "not the JSON file"),
            (no_project.into_bytes(), "the project to send to is not known"),
            (refused(json!({"executable": {"command": "hush"}})), "takes its token from a program"),
            (refused(json!({"environment_id": "aws1"})), "takes its token from AWS"),
            (refused(json!({"certificate": {}})), "takes its token from a client certificate"),
            (refused(json!({"url": "http://example.com"})), "does not start with https://"),
            (refused(json!({"url": "https://example.com", "headers": {"a b": "hush"}})), "credential_source.headers"),
            (refused(json!({"file": "/x", "format": {"type": "json"}})), "subject_token_field_name"),
            (refused(json!({})), "neither file nor url"),
            (person.to_string().into_bytes(), "its source_credentials cannot be used"),
        ] {
            let error = load(&bytes, None).expect_err(reason);
            let message = format!("{error:#}");
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(message.contains(reason), "{reason}: {message}");
            assert!(message.contains("account.json") || reason.starts_with("the project"), "{message}");
            assert!(!error.hints().is_empty(), "{message}");
            assert!(!format!("{message} {:?}", error.hints()).contains("hush"), "{message}");
        }
    }

    #[test]
    fn a_log_in_is_described_without_its_secrets() {
        let impersonated = |email: &str| {
            format!("https://example.com/v1/projects/-/serviceAccounts/{email}:generateAccessToken")
        };
        let mut file = external(
            &json!({"url": "http://169.254.169.254/token?key=hush", "headers": {"x": "hush"}}),
        );
        file["client_id"] = "hush".into();
        file["client_secret"] = "hush".into();
        file["service_account_impersonation_url"] = impersonated("b@example.com").into();
        let file = json!({
            "type": "impersonated_service_account",
            "service_account_impersonation_url": impersonated("a@example.com"),
            "delegates": ["c@example.com"],
            "source_credentials": file,
        });
        let login = load(file.to_string().as_bytes(), Some("p")).expect("a log-in");
        assert_eq!(
            login.description(),
            "external account, subject token from 169.254.169.254:80, impersonates b@example.com, impersonates a@example.com"
        );
        assert_eq!(
            (login.account(), login.project()),
            (Some("a@example.com"), Some("p"))
        );
        assert!(!format!("{login:?}").contains("hush"), "{login:?}");
    }

    #[test]
    fn a_metadata_host_is_a_host() {
        let at = |host: &str| Login::load(&Credentials::Metadata(host.to_owned()), None);
        for host in [
            "metadata.google.internal",
            "127.0.0.1:8080",
            "[fd20:ce::254]",
            "metadata",
        ] {
            assert!(at(host).is_ok(), "{host}");
        }
        for host in ["http://metadata", "a/b", "u@h", "", "h:x", "a?b", "a#b"] {
            assert_eq!(at(host).expect_err(host).kind(), ErrorKind::Usage);
        }
    }

    #[test]
    fn a_lifetime_is_checked() {
        let mut file = external(&json!({"file": "/token"}));
        file["service_account_impersonation_url"] =
            "https://example.com/v1/projects/-/serviceAccounts/a@example.com:generateAccessToken"
                .into();
        for (seconds, is_allowed) in [(599, false), (600, true), (43_200, true), (43_201, false)] {
            file["service_account_impersonation"] = json!({"token_lifetime_seconds": seconds});
            let loaded = load(file.to_string().as_bytes(), Some("p"));
            assert_eq!(loaded.is_ok(), is_allowed, "{seconds}");
        }
    }
}
