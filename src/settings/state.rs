//! Settings of the state store.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::clock::text::duration;
use crate::error::{Error, Result};

use super::environment::Environment;
use super::file::ConfigFile;
use super::parse::text;
use super::resolver::Resolver;
use super::secret::{Secret, holds_secret, is_address, kind_of};
use super::setting::{Flags, Setting, Visibility};

/// The place of the state store.
#[derive(Debug, Clone)]
pub enum StateSettings {
    File(PathBuf),
    Url(Secret),
    /// Not configured, and without a default: neither `HOME` nor `XDG_STATE_HOME` is set.
    Nowhere,
}

/// `--state`.
pub static STATE: Setting = Setting::new(
    "state",
    "State store: a PostgreSQL URL, or a file for SQLite",
)
.flag("--state", "PLACE")
.otherwise("in the XDG state directory")
.variables(&["PUSHCTL_STATE_URL", "PUSHCTL_STATE_URL_FILE"])
.visibility(Visibility::Place);

static LEASE: Setting = Setting::new(
    "lease",
    "Time without a renewal after which a lease ends, and another process may take its run over",
)
.variables(&["PUSHCTL_LEASE"])
.default("30s");

/// A shorter lease would end between two looks at a busy store; after a longer one, a run that crashed on another
/// machine would wait for it.
const LEASES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// How long a lease lasts without a renewal.
pub(super) fn lease(settings: &mut Resolver<'_>) -> Result<Duration> {
    settings.value(&LEASE, |given| match duration(given) {
        Ok(length) if !LEASES.contains(&length) => Err("expected 1s to 1h".to_owned()),
        other => other,
    })
}

impl StateSettings {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        let given = settings.optional(&STATE, text)?;
        let in_file = settings.flag(&STATE).is_none() && settings.in_file(STATE.name).is_some();
        Ok(match given {
            Some(url) if is_address(&url) => Self::Url(Secret::new(url)),
            Some(path) if holds_secret(&path) => {
                return Err(Error::usage(format!(
                    "{}: expected a PostgreSQL URL or a path, not {}",
                    settings.origin(),
                    kind_of(&path)
                )));
            }
            Some(path) if in_file => Self::File(settings.beside_file(&path)),
            Some(path) => Self::File(settings.environment().directory().join(path)),
            None => {
                let directory = settings.environment().xdg("XDG_STATE_HOME", ".local/state");
                directory.map_or(Self::Nowhere, |directory| {
                    Self::File(directory.join("state.db"))
                })
            }
        })
    }
}

/// Returns the place of the state store before the command line is parsed.
pub fn place_ahead(
    flags: &Flags,
    environment: &Environment,
    file: Option<&ConfigFile>,
) -> Result<StateSettings> {
    StateSettings::resolve(&mut Resolver::new(flags, environment, file))
}
