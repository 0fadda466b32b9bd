//! Where the address comes from: every place that may hold a piece of it, in order, merged into one value a keyword.
//!
//! For each keyword the first of these that has it wins:
//! 1. the URL: `--database-url`, else `DATABASE_URL`, else the file that `DATABASE_URL_FILE` names, else the config
//!    file's;
//! 2. the service that the URL or `PGSERVICE` names, from `PGSERVICEFILE`, `~/.pg_service.conf` or the system's file;
//! 3. libpq's variables (`PGHOST`, `PGUSER`, …), which also complete a URL;
//! 4. if there is no URL: the platform's `POSTGRES_HOST`, `POSTGRES_USER`, …, then `DB_HOST`, `DB_USER`, …;
//! 5. the config file's `[source]` keywords.
//!
//! Every value is held as a secret, because a password may be among them, until [`super::address`] has typed it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::conninfo;
use super::service;
use crate::error::Result;
use crate::settings::secret::{self, Secret};

/// What an address is made from. Nothing else is read but the files that these name.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// A URL that wins over every other,
    pub url: Option<&'a Secret>,
    /// and where it was given: `--database-url`.
    pub url_origin: &'a str,
    /// Looks a variable up; an empty value counts as none.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The home directory, if there is one.
    pub home: Option<&'a Path>,
    /// The config file's `[source]`: libpq's keywords and ours (`url`, `password_command`, `connection_limit`, …).
    pub config: &'a BTreeMap<String, String>,
}

/// libpq's variables and the keywords they stand for.
const LIBPQ: &[(&str, &str)] = &[
    ("PGHOST", "host"),
    ("PGHOSTADDR", "hostaddr"),
    ("PGPORT", "port"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGPASSFILE", "passfile"),
    ("PGDATABASE", "dbname"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGSSLCERTMODE", "sslcertmode"),
    ("PGSSLCRL", "sslcrl"),
    ("PGSSLCRLDIR", "sslcrldir"),
    ("PGSSLMINPROTOCOLVERSION", "ssl_min_protocol_version"),
    ("PGSSLMAXPROTOCOLVERSION", "ssl_max_protocol_version"),
    ("PGREQUIRESSL", "requiressl"),
    ("PGREQUIREAUTH", "require_auth"),
    ("PGREQUIREPEER", "requirepeer"),
    ("PGGSSENCMODE", "gssencmode"),
    ("PGSSLNEGOTIATION", "sslnegotiation"),
    ("PGCHANNELBINDING", "channel_binding"),
    ("PGAPPNAME", "application_name"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGOPTIONS", "options"),
    ("PGTARGETSESSIONATTRS", "target_session_attrs"),
];

/// The variables of platforms and of other programs, and the keywords they stand for.
const PLATFORM: &[(&str, &str)] = &[
    ("POSTGRES_HOST", "host"),
    ("POSTGRES_PORT", "port"),
    ("POSTGRES_USER", "user"),
    ("POSTGRES_PASSWORD", "password"),
    ("POSTGRES_DB", "dbname"),
    ("DB_HOST", "host"),
    ("DB_PORT", "port"),
    ("DB_USER", "user"),
    ("DB_PASSWORD", "password"),
    ("DB_NAME", "dbname"),
    ("DB_SSL_MODE", "sslmode"),
];

/// One value and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct GivenParameter {
    pub(crate) value: Secret,
    pub(crate) origin: String,
}

/// The value of each keyword that anything gave.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    given: BTreeMap<String, GivenParameter>,
    has_url: bool,
}

impl Parameters {
    /// Asks every place in order.
    pub(crate) fn collect(inputs: &Inputs<'_>) -> Result<Self> {
        let mut all = Self::default();
        let environment = |name: &str| (inputs.environment)(name).filter(|value| !value.is_empty());
        let url = url(inputs)?;
        if let Some(url) = &url {
            all.has_url = true;
            let pairs = conninfo::parse(url.value.reveal())
                .map_err(|error| error.hint(format!("it comes from {}", url.origin)))?;
            // Later pairs of one keyword win within a URL.
            for (key, value) in pairs.into_iter().rev() {
                all.offer(&key, value, &url.origin);
            }
        }
        if let Some(name) = all
            .text("service")
            .map(str::to_owned)
            .or_else(|| environment("PGSERVICE"))
        {
            let service = service::find(&name, &service_files(inputs, all.text("servicefile")))?;
            all.offer("service", name.clone(), "PGSERVICE");
            let origin = format!("service {name} in {}", service.file.display());
            for (key, value) in service.pairs {
                all.offer(&key, value, &origin);
            }
        }
        let platform: &[_] = if url.is_none() { PLATFORM } else { &[] };
        for (variable, key) in LIBPQ.iter().chain(platform) {
            if let Some(value) = environment(variable) {
                all.offer(key, value, variable);
            }
        }
        for (key, value) in inputs.config.iter().filter(|(key, _)| *key != "url") {
            all.offer(key, value.clone(), "config");
        }
        if let Some(user) = environment("USER").or_else(|| environment("LOGNAME")) {
            all.offer("user", user, "the operating system's user");
        }
        Ok(all)
    }

    /// Returns the value of a keyword; an empty one counts as none, as in libpq.
    pub(crate) fn get(&self, key: &str) -> Option<&GivenParameter> {
        self.given
            .get(key)
            .filter(|given| !given.value.reveal().is_empty())
    }

    /// Returns the same, as text.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).map(|given| given.value.reveal())
    }

    /// Returns whether there was a URL, even one that names no host.
    pub(crate) fn has_url(&self) -> bool {
        self.has_url
    }

    /// Where a keyword's value came from.
    pub(crate) fn origin(&self, key: &str) -> &str {
        self.get(key).map_or("default", |given| &given.origin)
    }

    /// Returns every keyword that was given.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.given.keys().map(String::as_str)
    }

    fn offer(&mut self, key: &str, value: String, origin: &str) {
        self.given
            .entry(key.to_owned())
            .or_insert_with(|| GivenParameter {
                value: Secret::new(value),
                origin: origin.to_owned(),
            });
    }
}

fn url(inputs: &Inputs<'_>) -> Result<Option<GivenParameter>> {
    let given = |value: &str, origin: &str| GivenParameter {
        value: Secret::new(value),
        origin: origin.to_owned(),
    };
    let environment =
        |name: &str| (inputs.environment)(name).filter(|value| !value.trim().is_empty());
    if let Some(url) = inputs.url {
        return Ok(Some(given(url.reveal(), inputs.url_origin)));
    }
    if let Some(url) = environment("DATABASE_URL") {
        return Ok(Some(given(&url, "DATABASE_URL")));
    }
    if let Some(file) = environment("DATABASE_URL_FILE") {
        let text = secret::read_file(Path::new(""), "DATABASE_URL_FILE", &file)?;
        return Ok(Some(given(&text, &format!("DATABASE_URL_FILE ({file})"))));
    }
    Ok(inputs.config.get("url").map(|url| given(url, "config")))
}

fn service_files(inputs: &Inputs<'_>, named: Option<&str>) -> Vec<PathBuf> {
    let environment = |name: &str| (inputs.environment)(name).filter(|value| !value.is_empty());
    let user = named
        .map(PathBuf::from)
        .or_else(|| environment("PGSERVICEFILE").map(PathBuf::from))
        .or_else(|| inputs.home.map(|home| home.join(".pg_service.conf")));
    let system = environment("PGSYSCONFDIR")
        .map_or_else(|| PathBuf::from("/etc/postgresql-common"), PathBuf::from);
    user.into_iter()
        .chain([system.join("pg_service.conf")])
        .collect()
}
