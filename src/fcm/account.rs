//! The service account with which pushctl signs in to the push service, from its file or from three variables.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use openssl::pkey::{Id, PKey, Private};
use serde::Deserialize;

use crate::advice::Advice;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::settings::secret::{Secret, kind_of};

/// The token endpoint, unless the account's file or a setting names another.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// The origin of a service account.
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
        /// PEM; line breaks may be written as `\n`.
        private_key: Secret,
    },
}

/// A service account with its signing key.
#[derive(Clone)]
pub struct ServiceAccount {
    pub(super) project: String,
    pub(super) client_email: String,
    pub(super) token_uri: String,
    pub(super) key: PKey<Private>,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ServiceAccount")
            .field("project", &self.project)
            .field("client_email", &self.client_email)
            .finish_non_exhaustive()
    }
}

/// The fields of the console's JSON file that are used.
#[derive(Deserialize)]
struct AccountFile {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    project_id: String,
    #[serde(default)]
    client_email: String,
    #[serde(default)]
    private_key: String,
    token_uri: Option<String>,
}

impl ServiceAccount {
    /// Reads the account and parses its key, without any network access.
    pub fn load(credentials: &Credentials) -> Result<Self> {
        match credentials {
            Credentials::File(path) => {
                let named = || format!("cannot read the service account {}", path.display());
                let text = fs::read(path).kind(ErrorKind::Usage, named)?;
                Self::from_json(&text).map_err(|error| error.context(named()))
            }
            Credentials::Text(text) => Self::from_json(text.reveal().as_bytes()).map_err(|error| {
                error.context(
                    "cannot read the service account that stands in place of its file's path",
                )
            }),
            Credentials::Variables {
                project,
                client_email,
                private_key,
            } => Self::from_parts(project, client_email, private_key.reveal(), None),
        }
    }

    /// Returns the Firebase project.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Returns the account's email address.
    pub fn client_email(&self) -> &str {
        &self.client_email
    }

    fn from_json(text: &[u8]) -> Result<Self> {
        // serde's own message could quote the file, and with it the private key.
        let file: AccountFile = serde_json::from_slice(text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Error::usage(format!(
                "it is not the JSON file of a service account ({place})"
            ))
        })?;
        if file.kind != "service_account" {
            let kind = match file.kind.as_str() {
                known @ (""
                | "authorized_user"
                | "external_account"
                | "impersonated_service_account") => known,
                _ => "another",
            };
            return Err(
                Error::usage(format!("its type is `{kind}`, not `service_account`"))
                    .hint(Advice::WrongAccountFile),
            );
        }
        Self::from_parts(
            &file.project_id,
            &file.client_email,
            &file.private_key,
            file.token_uri,
        )
    }

    fn from_parts(
        project: &str,
        client_email: &str,
        private_key: &str,
        token_uri: Option<String>,
    ) -> Result<Self> {
        let (project, client_email) = (project.trim(), client_email.trim());
        for (value, name) in [(project, "project id"), (client_email, "client email")] {
            if value.is_empty() {
                return Err(Error::usage(format!("the service account has no {name}")));
            }
        }
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
        if !project.bytes().all(sound) {
            return Err(Error::usage(format!(
                "the project id ({}) is not one of Firebase: letters, digits and hyphens",
                kind_of(project)
            )));
        }
        let pem = private_key.trim().trim_matches('"').replace("\\n", "\n");
        let key = rsa_key(&pem).ok_or_else(|| {
            Error::usage("the service account's private key is not an RSA key in PEM form")
                .hint(Advice::WrongKey)
        })?;
        Ok(Self {
            project: project.to_owned(),
            client_email: client_email.to_owned(),
            token_uri: token_uri.unwrap_or_else(|| TOKEN_URI.to_owned()),
            key,
        })
    }
}

/// Parses an RSA key in PEM form. For an encrypted key OpenSSL would ask for the passphrase at the terminal, so it gets
/// an empty one.
fn rsa_key(pem: &str) -> Option<PKey<Private>> {
    let key = PKey::private_key_from_pem_callback(pem.as_bytes(), |_| Ok(0)).ok()?;
    (key.id() == Id::RSA).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_a_service_account_is_rejected_without_quoting_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("account.json");
        for (text, reason) in [
            (
                "{\"private_key\": \"hush",
                "not the JSON file of a service account",
            ),
            (
                "{\"private_key\": 7, \"type\": \"hush\"}",
                "not the JSON file of a service account",
            ),
            (
                "{\"type\": \"authorized_user\"}",
                "its type is `authorized_user`",
            ),
            ("{\"type\": \"service_account\"}", "has no project id"),
            (
                "{\"type\": \"service_account\", \"project_id\": \"p\", \"client_email\": \"a@example.com\", \"private_key\": \"hush\"}",
                "not an RSA key",
            ),
        ] {
            fs::write(&path, text).expect("written");
            let error =
                ServiceAccount::load(&Credentials::File(path.clone())).expect_err("refused");
            let message = format!("{error:#}");
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(message.contains(reason), "{message}");
            assert!(message.contains("account.json"), "{message}");
            assert!(!message.contains("hush"), "{message}");
        }
    }
}
