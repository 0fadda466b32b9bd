//! The bearer token of the messages: how it is fetched with a log-in, and when the next one is due.
//!
//! One task of the client renews the token for all connections, so a rejected token leads to one request, however many
//! messages it was rejected for.

use std::time::Duration;

use http::HeaderValue;
use native_tls::Certificate;
use tokio::time::Instant;

use super::FcmSettings;
use super::login::web::{Peer, Token, Web};
use super::login::{IMPERSONATION_SCOPE, Login, SCOPE, TokenOrigin};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};

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

/// Fetches bearer tokens with a log-in.
#[derive(Debug)]
pub(super) struct TokenSource {
    login: Login,
    web: Web,
    place: String,
}

impl TokenSource {
    /// Checks the addresses of a log-in, and makes the HTTP clients for them.
    ///
    /// # Errors
    /// An address is not allowed, or the proxy or TLS cannot be used.
    pub(super) fn new(
        mut login: Login,
        roots: &[Certificate],
        settings: &FcmSettings,
    ) -> Result<Self> {
        if let Some(uri) = &settings.token_uri {
            login.replace_token_uri(uri);
        }
        let peers = peers(&login)?;
        let web = Web::new(&peers, roots, settings)?;
        let place = peers
            .first()
            .map(|peer| web.place(peer))
            .unwrap_or_default();
        Ok(Self { login, web, place })
    }

    /// Returns the clock of the server that answered last.
    pub(super) fn date(&self) -> Option<HeaderValue> {
        self.web.date()
    }

    /// Returns the first server that is asked, with its host and port, and the proxy on the way there.
    pub(super) fn place(&self) -> String {
        self.place.clone()
    }

    /// Fetches a token, with one request to each server of the log-in.
    pub(super) async fn fetch(&self, clock: &dyn Clock) -> Result<Bearer> {
        let impersonations = &self.login.impersonations;
        let scope_before = |following: usize| {
            if following == 0 {
                SCOPE
            } else {
                IMPERSONATION_SCOPE
            }
        };
        let scope = scope_before(impersonations.len());
        let mut token = match &self.login.source {
            TokenOrigin::ServiceAccount(account) => account.fetch(&self.web, scope, clock).await?,
            TokenOrigin::ExternalAccount(account) => account.fetch(&self.web, scope).await?,
            TokenOrigin::Metadata(metadata) => metadata.fetch(&self.web, scope).await?,
        };
        for (impersonation, following) in impersonations.iter().zip((0..impersonations.len()).rev())
        {
            token = impersonation
                .fetch(&self.web, &token, scope_before(following), clock)
                .await?;
        }
        bearer(&token)
    }

    /// Returns the project to send to, which the metadata server may have to be asked for.
    pub(super) async fn project(&self) -> Result<String> {
        match (self.login.project(), &self.login.source) {
            (Some(project), _) => Ok(project.to_owned()),
            (None, TokenOrigin::Metadata(metadata)) => metadata.project(&self.web).await,
            (None, _) => Err(Error::new(ErrorKind::Bug, "the log-in has no project")),
        }
    }
}

/// Returns the servers that a log-in asks, in that order.
fn peers(login: &Login) -> Result<Vec<Peer>> {
    let mut peers = match &login.source {
        TokenOrigin::ServiceAccount(account) => vec![account.peer()?],
        TokenOrigin::ExternalAccount(account) => account.peers()?,
        TokenOrigin::Metadata(metadata) => vec![metadata.peer()?],
    };
    for impersonation in &login.impersonations {
        peers.push(impersonation.peer()?);
    }
    Ok(peers)
}

fn bearer(token: &Token) -> Result<Bearer> {
    let (asked, life) = token.life();
    Ok(Bearer {
        header: token.header()?,
        renew: asked + life - RENEW_AHEAD.min(life / 10),
    })
}
