//! Settings of the source database: its address and the limits of connecting. They are not interpreted here:
//! [`crate::source`] decides the meaning and precedence of connection URLs, `PG…` variables and `sslmode`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use clap::ValueHint;

use crate::clock::text::duration;
use crate::error::Result;

use super::environment::Environment;
use super::parse::{text, whole_number};
use super::resolver::Resolver;
use super::secret::Secret;
use super::setting::{Origin, Setting, SettingSource, Visibility};

/// The overall time limit of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// By a flag or a variable: it bounds everything.
    Given(Duration),
    /// By the configuration file: it bounds each step of a command that sends.
    Configured(Duration),
    /// The default: as in the configuration file.
    Default(Duration),
}

impl Deadline {
    pub fn length(self) -> Duration {
        match self {
            Self::Given(length) | Self::Configured(length) | Self::Default(length) => length,
        }
    }
}

/// When commands stop trying to connect for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failed commands in a row, at least one.
    pub failures: u32,
    pub cool_off: Duration,
}

/// The settings of the source.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// `--database-url`.
    pub url: Option<Secret>,
    /// For `DATABASE_URL`, `PG…`, `POSTGRES_…`, `DB_…` and the home directory; `.env` included.
    pub environment: Environment,
    /// The configuration file's part: its `database_url` as `url`, and the table `[source]`: libpq's keywords,
    /// `password_command` and others.
    pub keywords: BTreeMap<String, Secret>,
    /// Time limit of the whole command.
    pub deadline: Deadline,
    /// Timeout of one attempt, all addresses of a host together; `None` for the default (10 s), which a parameter of
    /// the URL overrides.
    pub connect_timeout: Option<Duration>,
    /// Maximum attempts, the first included; `None` for as many as the deadline allows.
    pub retries: Option<NonZeroU32>,
    /// When commands stop trying to connect for a while; `None` for never.
    pub breaker: Option<BreakerSettings>,
}

/// `--database-url`, `DATABASE_URL`.
pub static URL: Setting = Setting::new("database_url", "Connection URL of the source database")
    .flag("--database-url", "URL")
    .hint(ValueHint::Url)
    .variables(&["DATABASE_URL", "DATABASE_URL_FILE"])
    .visibility(Visibility::Url);

/// `--deadline`.
pub static DEADLINE: Setting = Setting::new(
    "deadline",
    "Overall time limit: attempts, waits and queries together",
)
.flag("--deadline", "DURATION")
.variables(&["PUSHCTL_DEADLINE"])
.default("5m");

/// `--connect-timeout`.
pub static CONNECT_TIMEOUT: Setting = Setting::new(
    "connect_timeout",
    "Time limit of one connection attempt: name lookup, TCP, TLS and login",
)
.flag("--connect-timeout", "DURATION")
.variables(&["PUSHCTL_CONNECT_TIMEOUT"])
.default("10s");

/// `--retries`.
pub static RETRIES: Setting =
    Setting::new("retries", "Maximum connection attempts, the first included")
        .flag("--retries", "N")
        .variables(&["PUSHCTL_RETRIES"])
        .otherwise("as many as the deadline allows");

/// `source.breaker_failures`.
pub static BREAKER_FAILURES: Setting = Setting::new(
    "source.breaker_failures",
    "Failed commands in a row after which none connects for a while; 0 for never",
)
.default("3");

/// `source.breaker_cool_off`.
pub static BREAKER_COOL_OFF: Setting = Setting::new(
    "source.breaker_cool_off",
    "How long no command connects after that",
)
.default("60s");

/// The other keys of `[source]`: libpq's keywords, with the variables of libpq and of the platform.
static KEYWORDS: &[Setting] = &[
    Setting::new("source.host", "Host name, or several with commas").variables(&[
        "PGHOST",
        "POSTGRES_HOST",
        "DB_HOST",
    ]),
    Setting::new(
        "source.hostaddr",
        "Address to connect to, in place of the host's",
    )
    .variables(&["PGHOSTADDR"]),
    Setting::new("source.port", "Port").variables(&["PGPORT", "POSTGRES_PORT", "DB_PORT"]),
    Setting::new("source.user", "Role").variables(&["PGUSER", "POSTGRES_USER", "DB_USER"]),
    Setting::new("source.password", "Password")
        .variables(&["PGPASSWORD", "POSTGRES_PASSWORD", "DB_PASSWORD"])
        .visibility(Visibility::Secret),
    Setting::new(
        "source.password_command",
        "Program that prints a password or a short-lived token",
    )
    .visibility(Visibility::Secret),
    Setting::new("source.passfile", "Password file")
        .variables(&["PGPASSFILE"])
        .visibility(Visibility::KeyFile),
    Setting::new("source.dbname", "Database").variables(&["PGDATABASE", "POSTGRES_DB", "DB_NAME"]),
    Setting::new("source.service", "Section of pg_service.conf").variables(&["PGSERVICE"]),
    Setting::new(
        "source.sslmode",
        "Disable, allow, prefer, require, verify-ca or verify-full",
    )
    .variables(&["PGSSLMODE", "DB_SSL_MODE"]),
    Setting::new(
        "source.sslrootcert",
        "File of root certificates, or \"system\"",
    )
    .variables(&["PGSSLROOTCERT"]),
    Setting::new("source.sslcert", "File of the client's certificate")
        .variables(&["PGSSLCERT"])
        .visibility(Visibility::KeyFile),
    Setting::new("source.sslkey", "File of the client certificate's key")
        .variables(&["PGSSLKEY"])
        .visibility(Visibility::KeyFile),
    Setting::new("source.sslnegotiation", "Postgres or direct").variables(&["PGSSLNEGOTIATION"]),
    Setting::new("source.channel_binding", "Disable, prefer or require")
        .variables(&["PGCHANNELBINDING"]),
    Setting::new(
        "source.application_name",
        "Name that the server shows for the session",
    )
    .variables(&["PGAPPNAME"]),
    Setting::new("source.options", "Start-up options of the session").variables(&["PGOPTIONS"]),
    Setting::new("source.target_session_attrs", "Kind of server to accept")
        .variables(&["PGTARGETSESSIONATTRS"]),
    Setting::new(
        "source.pgbouncer",
        "True for a transaction pooler between pushctl and the server",
    ),
    Setting::new(
        "source.connection_limit",
        "Maximum processes with a connection at once",
    ),
    Setting::new("source.schema", "Schema of the tables"),
    Setting::new(
        "source.role",
        "Role that reads, in place of the one that logs in",
    ),
];

/// Keys that name files: in the configuration file, relative to it.
const FILES: &[&str] = &["passfile", "sslrootcert", "sslcert", "sslkey"];

impl SourceSettings {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        let source = Self {
            url: settings.flag(&URL).map(Secret::new),
            environment: settings.environment().clone(),
            keywords: keywords(settings),
            deadline: deadline(settings)?,
            connect_timeout: settings.explicit(&CONNECT_TIMEOUT, positive)?,
            retries: settings
                .explicit(&RETRIES, |given| whole_number(given, 1..=100))?
                .and_then(NonZeroU32::new),
            breaker: breaker(settings)?,
        };
        // Read for `config show` and its messages only: `source` interprets them together.
        settings.optional(&URL, text)?;
        for key in KEYWORDS {
            settings.optional(key, text)?;
        }
        Ok(source)
    }

    /// Returns a variable of the environment or `.env`; an empty one counts as none.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.environment
            .get(name)
            .ok()
            .flatten()
            .map(|(value, _)| value)
    }
}

fn deadline(settings: &mut Resolver<'_>) -> Result<Deadline> {
    let length = settings.value(&DEADLINE, positive)?;
    Ok(match settings.origin() {
        Origin::Default => Deadline::Default(length),
        Origin::File { .. } => Deadline::Configured(length),
        _ => Deadline::Given(length),
    })
}

fn breaker(settings: &mut Resolver<'_>) -> Result<Option<BreakerSettings>> {
    let failures = settings.value(&BREAKER_FAILURES, |given| whole_number(given, 0..=1_000))?;
    let cool_off = settings.value(&BREAKER_COOL_OFF, positive)?;
    Ok((failures > 0).then_some(BreakerSettings { failures, cool_off }))
}

fn keywords(settings: &Resolver<'_>) -> BTreeMap<String, Secret> {
    let named = KEYWORDS
        .iter()
        .map(|key| (key.name, key.name.trim_start_matches("source.")));
    let keyword = |(name, keyword): (&str, &str)| {
        let SettingSource::One(value) = settings.in_file(name)? else {
            return None;
        };
        let is_file = FILES.contains(&keyword) && value != "system";
        let value = if is_file {
            settings.beside_file(value).display().to_string()
        } else {
            value.clone()
        };
        Some((keyword.to_owned(), Secret::new(value)))
    };
    named
        .chain([(URL.name, "url")])
        .filter_map(keyword)
        .collect()
}

fn positive(given: &str) -> Result<Duration, String> {
    match duration(given)? {
        Duration::ZERO => Err("expected a duration above zero".to_owned()),
        some => Ok(some),
    }
}
