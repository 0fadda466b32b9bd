//! An external account (workload identity federation): a token that another identity provider issued, from a file or a
//! server, is exchanged for one of Google (RFC 8693).

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::impersonation::{DEFAULT_LIFETIME, Impersonation};
use super::web::{Peer, Token, Web, form};
use super::{fields, read_text, required};
use crate::advice::Advice;
use crate::error::{Error, ErrorKind, Result};
use crate::fcm::host_and_port;
use crate::fcm::transport::{check_url, check_url_beside};
use crate::loopback::is_metadata_server;
use crate::settings::secret::{Secret, show_file};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const TOKEN_URL: &str = "https://sts.googleapis.com/v1/token";
const KIND: &str = "external account";

/// An external account.
#[derive(Clone)]
pub(in crate::fcm) struct ExternalAccount {
    audience: String,
    subject_token_type: String,
    pub(super) token_url: String,
    /// The project that a workforce pool's requests count for.
    user_project: Option<String>,
    /// The name and the password of an OAuth client, where the pool asks for one.
    client: Option<(String, Secret)>,
    place: SubjectPlace,
    /// The field of a JSON document that holds the token; `None` where the whole text is the token.
    field: Option<String>,
}

/// Where the token of the other identity provider is.
#[derive(Clone)]
enum SubjectPlace {
    File(PathBuf),
    Server { url: String, headers: HeaderMap },
}

#[derive(Deserialize)]
struct AccountFile {
    #[serde(default)]
    audience: String,
    #[serde(default)]
    subject_token_type: String,
    token_url: Option<String>,
    service_account_impersonation_url: Option<String>,
    service_account_impersonation: Option<ImpersonationOptions>,
    workforce_pool_user_project: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
    credential_source: Option<CredentialSource>,
}

#[derive(Deserialize)]
struct ImpersonationOptions {
    token_lifetime_seconds: Option<u32>,
}

#[derive(Deserialize)]
struct CredentialSource {
    file: Option<PathBuf>,
    url: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    format: Option<Format>,
    environment_id: Option<IgnoredAny>,
    executable: Option<IgnoredAny>,
    certificate: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Format {
    #[serde(default, rename = "type")]
    kind: String,
    subject_token_field_name: Option<String>,
}

impl ExternalAccount {
    /// Returns the account in a credentials file, and the service account that it impersonates, if it does.
    ///
    /// # Errors
    /// A field is missing or wrong, or the token comes from a place that pushctl does not read.
    pub(super) fn from_json(file: &Value) -> Result<(Self, Option<Impersonation>)> {
        let file: AccountFile = fields(file)?;
        let audience = required(&file.audience, KIND, "audience")?.to_owned();
        let token_type = required(&file.subject_token_type, KIND, "subject_token_type")?.to_owned();
        let source = file.credential_source.ok_or_else(|| {
            Error::usage("the external account has no credential_source").hint(Advice::SubjectToken)
        })?;
        let lifetime = file
            .service_account_impersonation
            .and_then(|options| options.token_lifetime_seconds);
        let impersonation = file
            .service_account_impersonation_url
            .map(|url| Impersonation::new(url, Vec::new(), lifetime.unwrap_or(DEFAULT_LIFETIME)))
            .transpose()?;
        let field = token_field(source.format.as_ref())?;
        let account = Self {
            audience,
            subject_token_type: token_type,
            token_url: file.token_url.unwrap_or_else(|| TOKEN_URL.to_owned()),
            user_project: file.workforce_pool_user_project,
            client: file
                .client_id
                .map(|id| (id, file.client_secret.unwrap_or_else(|| Secret::new("")))),
            place: SubjectPlace::of(source)?,
            field,
        };
        account.peers()?;
        Ok((account, impersonation))
    }

    /// Says where the subject token comes from.
    pub(super) fn subject(&self) -> String {
        match &self.place {
            SubjectPlace::File(path) => format!("subject token from the file {}", show_file(path)),
            SubjectPlace::Server { url, .. } => {
                format!("subject token from {}", host_and_port(url))
            }
        }
    }

    /// Returns the servers that are asked, the token endpoint last.
    ///
    /// # Errors
    /// The address of one is not allowed.
    pub(in crate::fcm) fn peers(&self) -> Result<Vec<Peer>> {
        let mut peers = Vec::new();
        if let SubjectPlace::Server { url, .. } = &self.place {
            peers.push(subject_server(url)?);
        }
        peers.push(self.token_endpoint()?);
        Ok(peers)
    }

    fn token_endpoint(&self) -> Result<Peer> {
        let url = check_url(&self.token_url, "the token endpoint")?;
        Ok(Peer {
            name: "the token endpoint",
            gives: "a bearer token",
            url,
        })
    }

    /// Reads the subject token and exchanges it.
    pub(in crate::fcm) async fn fetch(&self, web: &Web, scope: &str) -> Result<Token> {
        // The provider replaces it from time to time, so it is read for every exchange.
        let subject = self.subject_token(web).await?;
        let mut pairs = vec![
            ("grant_type", GRANT),
            ("audience", &self.audience),
            ("scope", scope),
            ("requested_token_type", ACCESS_TOKEN),
            ("subject_token_type", &self.subject_token_type),
            ("subject_token", &subject),
        ];
        // A client that signs in has a project of its own.
        let user_project = self.user_project.as_ref().filter(|_| self.client.is_none());
        let options =
            user_project.map(|project| serde_json::json!({ "userProject": project }).to_string());
        if let Some(options) = &options {
            pairs.push(("options", options));
        }
        let peer = self.token_endpoint()?;
        let client = self
            .client
            .as_ref()
            .map(|(id, secret)| (id.as_str(), secret.reveal()));
        let answer = web.post_form(&peer, form(&pairs), client).await?;
        answer.accepted(&[&subject], |error| {
            let pool = format!(
                "the token endpoint rejects the subject token for {}",
                self.audience
            );
            error.context(pool).hint(Advice::SubjectRejected)
        })?;
        answer.token()
    }

    async fn subject_token(&self, web: &Web) -> Result<String> {
        let (text, place) = match &self.place {
            SubjectPlace::File(path) => {
                let place = format!("the file {}", show_file(path));
                let named = |error: Error| {
                    let error =
                        error.context(format!("cannot read the subject token from {place}"));
                    error.hint(Advice::SubjectToken)
                };
                (read_text(path).map_err(named)?, place)
            }
            SubjectPlace::Server { url, headers } => {
                let peer = subject_server(url)?;
                let place = format!("the answer of {}", host_and_port(url));
                let answer = web.get(&peer, headers.clone()).await?;
                answer.accepted(&[], |error| {
                    let refused = format!("{} gives no subject token", host_and_port(url));
                    error.context(refused).hint(Advice::SubjectServer)
                })?;
                (answer.text()?, place)
            }
        };
        self.token_in(&text).map_err(|reason| {
            let kind = match self.place {
                SubjectPlace::File(_) => ErrorKind::Usage,
                SubjectPlace::Server { .. } => ErrorKind::Unreachable,
            };
            Error::new(kind, format!("{place} contains no subject token: {reason}"))
                .hint(Advice::SubjectFormat)
        })
    }

    /// Returns the token in a text, or why there is none.
    fn token_in(&self, text: &str) -> Result<String, String> {
        let token = match &self.field {
            None => text.trim().to_owned(),
            Some(field) => {
                let json: Value =
                    serde_json::from_str(text.trim()).map_err(|_| "it is not JSON".to_owned())?;
                let token = json[field]
                    .as_str()
                    .ok_or_else(|| format!("it has no text in the field `{field}`"))?;
                token.trim().to_owned()
            }
        };
        match token.as_str() {
            "" => Err("it is empty".to_owned()),
            page if page.starts_with('<')
                && self.field.is_none()
                && page.to_lowercase().contains("<html") =>
            {
                Err("it is a web page".to_owned())
            }
            _ => Ok(token),
        }
    }
}

impl SubjectPlace {
    fn of(source: CredentialSource) -> Result<Self> {
        let refused = |what: &str| {
            Err(
                Error::usage(format!("the external account takes its token from {what}"))
                    .hint(Advice::SubjectToken),
            )
        };
        if source.executable.is_some() {
            return refused(
                "a program (credential_source.executable), and pushctl runs no program that a credentials file names",
            );
        }
        if source.environment_id.is_some() {
            return refused(
                "AWS (credential_source.environment_id), whose signed requests pushctl does not make",
            );
        }
        if source.certificate.is_some() {
            return refused(
                "a client certificate (credential_source.certificate), which pushctl does not present",
            );
        }
        match (source.file, source.url) {
            (Some(path), None) if !path.as_os_str().is_empty() => Ok(Self::File(path)),
            (None, Some(url)) => Ok(Self::Server {
                headers: headers(&source.headers)?,
                url,
            }),
            (Some(_), Some(_)) => refused("both a file and a URL; one of them must go"),
            _ => refused("nowhere: credential_source has neither file nor url"),
        }
    }
}

/// Returns the server that gives the subject token. On many clouds this is a metadata server, without TLS.
fn subject_server(url: &str) -> Result<Peer> {
    let url = check_url_beside(url, "the address of the subject token", is_metadata_server)?;
    Ok(Peer {
        name: "the server of the subject token",
        gives: "the subject token",
        url,
    })
}

fn headers(given: &BTreeMap<String, String>) -> Result<HeaderMap> {
    let pairs = given.iter().map(|(name, value)| {
        let name = HeaderName::try_from(name).ok()?;
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some((name, value))
    });
    pairs.collect::<Option<HeaderMap>>().ok_or_else(|| {
        Error::usage("credential_source.headers has a name or a value that HTTP does not allow")
            .hint(Advice::WrongAccountFile)
    })
}

/// Returns the field that holds the token, by `credential_source.format`.
fn token_field(format: Option<&Format>) -> Result<Option<String>> {
    let Some(format) = format else {
        return Ok(None);
    };
    match (format.kind.as_str(), &format.subject_token_field_name) {
        ("" | "text", _) => Ok(None),
        ("json", Some(field)) if !field.is_empty() => Ok(Some(field.clone())),
        ("json", _) => Err(Error::usage(
            "credential_source.format is json without a subject_token_field_name",
        )
        .hint(Advice::SubjectFormat)),
        _ => Err(
            Error::usage("credential_source.format.type is neither text nor json")
                .hint(Advice::SubjectFormat),
        ),
    }
}
