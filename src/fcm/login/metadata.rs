//! The metadata server of a machine in Google's cloud: it knows the machine's service account and project.
//!
//! It is asked only where a setting says so: looking for it would make every machine without one wait.

use http::{HeaderMap, HeaderValue};

use super::web::{Answer, Peer, Token, Web};
use crate::advice::Advice;
use crate::error::{Error, ErrorKind, Result};

const FLAVOR: &str = "metadata-flavor";
const GOOGLE: HeaderValue = HeaderValue::from_static("Google");
const NAME: &str = "the metadata server";

/// A metadata server.
#[derive(Clone)]
pub(in crate::fcm) struct Metadata {
    host: String,
}

impl Metadata {
    /// Checks the syntax of a host, perhaps with a port.
    ///
    /// # Errors
    /// It is an address with a scheme, a user or a path.
    pub(super) fn at(host: &str) -> Result<Self> {
        let url = format!("http://{host}/").parse::<reqwest::Url>();
        let is_sound =
            !host.contains(['/', '@', '?', '#', '\\']) && url.is_ok_and(|url| url.host().is_some());
        if !is_sound {
            return Err(Error::usage("the metadata server's host is not HOST or HOST:PORT")
                .hint("set GCE_METADATA_HOST or push.metadata_host without http:// and without a path"));
        }
        Ok(Self {
            host: host.to_owned(),
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Returns the server, for the token of the machine's service account.
    ///
    /// # Errors
    /// Its host is not one.
    pub(in crate::fcm) fn peer(&self) -> Result<Peer> {
        self.asked("instance/service-accounts/default/token", "a bearer token")
    }

    /// Returns the server, for a value under `path`. There is no TLS: it answers only inside its machine.
    fn asked(&self, path: &str, gives: &'static str) -> Result<Peer> {
        let url = format!("http://{}/computeMetadata/v1/{path}", self.host);
        let url = url
            .parse()
            .map_err(|_| Error::usage("the metadata server's host is not HOST or HOST:PORT"))?;
        Ok(Peer {
            name: NAME,
            gives,
            url,
        })
    }

    /// Fetches a token of the machine's service account.
    pub(in crate::fcm) async fn fetch(&self, web: &Web, scope: &str) -> Result<Token> {
        let mut peer = self.peer()?;
        peer.url.query_pairs_mut().append_pair("scopes", scope);
        let answer = self.ask(web, &peer).await?;
        answer.token()
    }

    /// Fetches the id of the machine's project.
    pub(in crate::fcm) async fn project(&self, web: &Web) -> Result<String> {
        let peer = self.asked("project/project-id", "the project id")?;
        let project = self.ask(web, &peer).await?.text()?.trim().to_owned();
        super::check_project(&project).map_err(|error| {
            error
                .context("the metadata server names no project")
                .hint(Advice::MetadataProject)
        })?;
        Ok(project)
    }

    async fn ask<'p>(&self, web: &Web, peer: &'p Peer) -> Result<Answer<'p>> {
        let headers = HeaderMap::from_iter([(http::HeaderName::from_static(FLAVOR), GOOGLE)]);
        let answer = web
            .get(peer, headers)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::Unreachable => error.hint(Advice::NoMetadata),
                _ => error,
            })?;
        answer.accepted(&[], |error| {
            let refused = format!(
                "the metadata server {} does not give {}",
                self.host, peer.gives
            );
            error.context(refused).hint(Advice::MetadataAccount)
        })?;
        // Another server may listen at this name.
        if answer.header(FLAVOR) != Some(&GOOGLE) {
            let error = format!(
                "{} does not answer like a metadata server (no header Metadata-Flavor)",
                self.host
            );
            return Err(Error::new(ErrorKind::Credentials, error).hint(Advice::NoMetadata));
        }
        Ok(answer)
    }
}
