//! Impersonation: a token that may do so is exchanged for a token of a service account (`generateAccessToken`).

use serde::Deserialize;
use serde_json::{Value, json};

use super::web::{Peer, Token, Web};
use super::{fields, required};
use crate::advice::Advice;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::fcm::transport::check_url;

/// How long a token lives, unless the file says otherwise.
pub(super) const DEFAULT_LIFETIME: u32 = 3600;
/// What the service allows.
const LIFETIMES: std::ops::RangeInclusive<u32> = 600..=43_200;
const METHOD: &str = ":generateAccessToken";

/// A service account that is impersonated.
#[derive(Clone)]
pub(in crate::fcm) struct Impersonation {
    url: String,
    account: String,
    /// The accounts in between, as the service names them.
    delegates: Vec<String>,
    lifetime: u32,
}

#[derive(Deserialize)]
struct ImpersonationFile {
    #[serde(default)]
    service_account_impersonation_url: String,
    #[serde(default)]
    delegates: Vec<String>,
}

impl Impersonation {
    /// Checks the address and the lifetime.
    ///
    /// # Errors
    /// One of them is not allowed.
    pub(super) fn new(url: String, delegates: Vec<String>, lifetime: u32) -> Result<Self> {
        check_url(&url, "service_account_impersonation_url")?;
        let account = url
            .strip_suffix(METHOD)
            .and_then(|rest| rest.rsplit_once("/serviceAccounts/"));
        let Some((_, account)) = account.filter(|(_, account)| !account.contains('/')) else {
            let error = format!(
                "service_account_impersonation_url does not end in /serviceAccounts/ACCOUNT{METHOD}"
            );
            return Err(Error::usage(error).hint(Advice::WrongAccountFile));
        };
        if !LIFETIMES.contains(&lifetime) {
            let (least, most) = LIFETIMES.into_inner();
            return Err(Error::usage(format!(
                "service_account_impersonation.token_lifetime_seconds must be {least} to {most}, not {lifetime}"
            ))
            .hint("leave it out for an hour"));
        }
        let full = |name: String| {
            if name.contains('/') {
                return name;
            }
            format!("projects/-/serviceAccounts/{name}")
        };
        Ok(Self {
            account: account.to_owned(),
            delegates: delegates.into_iter().map(full).collect(),
            lifetime,
            url,
        })
    }

    /// Returns the account that a file of the type `impersonated_service_account` names.
    ///
    /// # Errors
    /// A field is missing or wrong.
    pub(super) fn from_json(file: &Value) -> Result<Self> {
        let file: ImpersonationFile = fields(file)?;
        let url = required(
            &file.service_account_impersonation_url,
            "impersonated service account",
            "service_account_impersonation_url",
        )?;
        Self::new(url.to_owned(), file.delegates, DEFAULT_LIFETIME)
    }

    /// Returns the account's email address.
    pub(super) fn account(&self) -> &str {
        &self.account
    }

    /// Returns the service that issues the token.
    ///
    /// # Errors
    /// Its address is not allowed.
    pub(in crate::fcm) fn peer(&self) -> Result<Peer> {
        let url = check_url(&self.url, "service_account_impersonation_url")?;
        Ok(Peer {
            name: "the impersonation service",
            gives: "a bearer token",
            url,
        })
    }

    /// Exchanges a token for one of the account.
    pub(in crate::fcm) async fn fetch(
        &self,
        web: &Web,
        with: &Token,
        scope: &str,
        clock: &dyn Clock,
    ) -> Result<Token> {
        let order = json!({
            "delegates": self.delegates,
            "scope": [scope],
            "lifetime": format!("{}s", self.lifetime),
        });
        let peer = self.peer()?;
        let answer = web.post_json(&peer, &order, &with.header()?).await?;
        answer.accepted(&[with.text()], |error| {
            let refused = format!(
                "the service account {} cannot be impersonated",
                self.account
            );
            error.context(refused).hint(Advice::Impersonation)
        })?;
        answer.token_until(clock.now())
    }
}
