//! Where the history of sent pushes is.

use crate::error::Result;

use super::read::text;
use super::resolver::{Key, Resolver, Visibility};
use super::secret::Secret;

/// Where the history of sent pushes is.
#[derive(Debug, Clone)]
pub struct Cadence {
    /// The connection URL of the history database, if there is one.
    pub database_url: Option<Secret>,
}

static DATABASE_URL: Key = Key {
    name: "cadence.database_url",
    flag: "",
    variables: &[
        "PUSH_CADENCE_DATABASE_URL",
        "PUSH_CADENCE_DATABASE_URL_FILE",
    ],
    default: "",
    visibility: Visibility::Url,
    about: "connection URL of the notification history",
};

impl Cadence {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        Ok(Self {
            database_url: settings.optional(&DATABASE_URL, text)?.map(Secret::new),
        })
    }
}
