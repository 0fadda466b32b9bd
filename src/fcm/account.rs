//! Who pushctl is to the push service: a service account, from its file or from three variables.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use openssl::pkey::{Id, PKey, Private};
use serde::Deserialize;

use crate::error::{Context, Error, ErrorKind, Result};
use crate::settings::secret::Secret;

/// Where tokens are lent, unless the account's file or a setting says otherwise.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// Where a service account comes from.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// `GOOGLE_APPLICATION_CREDENTIALS`: the JSON file that the console gives.
    File(PathBuf),
    /// `FIREBASE_PROJECT_ID`, `FIREBASE_CLIENT_EMAIL`, `FIREBASE_PRIVATE_KEY`.
    Variables {
        /// The project that messages are sent for.
        project: String,
        /// The account's address.
        client_email: String,
        /// PEM; line breaks may be written as `\n`.
        private_key: Secret,
    },
}

/// A service account that can sign.
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

/// The parts of the console's file that matter here.
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
    /// Reads the account and parses its key; nothing is asked of the network.
    pub fn load(credentials: &Credentials) -> Result<Self> {
        match credentials {
            Credentials::File(path) => Self::from_file(path),
            Credentials::Variables {
                project,
                client_email,
                private_key,
            } => Self::from_parts(project, client_email, private_key.reveal(), None),
        }
    }

    /// The project that messages are sent for.
    pub fn project(&self) -> &str {
        &self.project
    }

    /// The account's address.
    pub fn client_email(&self) -> &str {
        &self.client_email
    }

    fn from_file(path: &Path) -> Result<Self> {
        let named = || format!("cannot read the service account {}", path.display());
        let text = fs::read(path).kind(ErrorKind::Usage, named)?;
        // serde's own message could quote the file, and with it the key.
        let file: AccountFile = serde_json::from_slice(&text).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            Error::usage(format!("not a service account's JSON at {place}")).context(named())
        })?;
        if file.kind != "service_account" {
            return Err(Error::usage(format!(
                "its type is `{}`, not `service_account`",
                file.kind
            ))
            .context(named())
            .hint("create a key for a service account in the console, and use that file"));
        }
        Self::from_parts(
            &file.project_id,
            &file.client_email,
            &file.private_key,
            file.token_uri,
        )
        .map_err(|error| error.context(named()))
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
            return Err(Error::usage(format!("`{project}` is not a project id")));
        }
        let pem = private_key.trim().trim_matches('"').replace("\\n", "\n");
        let key = rsa_key(&pem).ok_or_else(|| {
            Error::usage("the service account's private key is not an RSA key in PEM form").hint(
                "it starts with -----BEGIN PRIVATE KEY-----; line breaks may be written as \\n",
            )
        })?;
        Ok(Self {
            project: project.to_owned(),
            client_email: client_email.to_owned(),
            token_uri: token_uri.unwrap_or_else(|| TOKEN_URI.to_owned()),
            key,
        })
    }
}

/// The RSA key of a PEM text. For an encrypted key OpenSSL would ask at the terminal, so it gets an empty passphrase.
fn rsa_key(pem: &str) -> Option<PKey<Private>> {
    let key = PKey::private_key_from_pem_callback(pem.as_bytes(), |_| Ok(0)).ok()?;
    (key.id() == Id::RSA).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_service_account_is_refused_without_quoting_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("account.json");
        for (text, reason) in [
            ("{\"private_key\": \"hush", "not a service account's JSON"),
            (
                "{\"private_key\": 7, \"type\": \"hush\"}",
                "not a service account's JSON",
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
            let said = format!("{error:#}");
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(said.contains(reason), "{said}");
            assert!(said.contains("account.json"), "{said}");
            assert!(!said.contains("hush"), "{said}");
        }
    }
}
