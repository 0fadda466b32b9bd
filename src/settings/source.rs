//! Settings of the source database: its address and the limits of connecting. They are not interpreted here:
//! [`crate::source`] decides the meaning and precedence of connection URLs, `PG…` variables and `sslmode`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::clock::text::duration;
use crate::error::Result;

use super::environment::Environment;
use super::parse::{text, whole_number};
use super::resolver::Resolver;
use super::secret::Secret;
use super::setting::{Setting, SettingSource, Visibility};

/// The settings of the source.
#[derive(Debug, Clone)]
pub struct SourceSettings {
    /// `--database-url`.
    pub url: Option<Secret>,
    /// For `DATABASE_URL`, `PG…`, `POSTGRES_…` and the home directory; `.env` included.
    pub environment: Environment,
    /// The configuration file's part: its `database_url` as `url`, and the table `[source]`: libpq's keywords,
    /// `password_command` and others.
    pub keywords: BTreeMap<String, Secret>,
    /// Time limit of the whole command.
    pub deadline: Duration,
    /// Timeout of one attempt, all addresses of a host together; `None` for the default (10 s), which a parameter of
    /// the URL overrides.
    pub connect_timeout: Option<Duration>,
    /// Maximum attempts, the first included; `None` for the default (5), which shrinks to fit the budget.
    pub retries: Option<NonZeroU32>,
}

/// `--database-url`, `DATABASE_URL`.
pub static URL: Setting = Setting {
    name: "database_url",
    flag: "--database-url",
    variables: &["DATABASE_URL", "DATABASE_URL_FILE"],
    default: "",
    visibility: Visibility::Url,
    about: "connection URL of the source database",
};

/// `--deadline`.
pub static DEADLINE: Setting = Setting {
    name: "deadline",
    flag: "--deadline",
    variables: &["PUSHCTL_DEADLINE"],
    default: "5m",
    visibility: Visibility::Plain,
    about: "overall time limit of a command: attempts, waits and queries together",
};

/// `--connect-timeout`.
pub static CONNECT_TIMEOUT: Setting = Setting {
    name: "connect_timeout",
    flag: "--connect-timeout",
    variables: &["PUSHCTL_CONNECT_TIMEOUT"],
    default: "10s",
    visibility: Visibility::Plain,
    about: "time limit of one attempt to connect: name, TCP, TLS and login together",
};

/// `--retries`.
pub static RETRIES: Setting = Setting {
    name: "retries",
    flag: "--retries",
    variables: &["PUSHCTL_RETRIES"],
    default: "5",
    visibility: Visibility::Plain,
    about: "maximum attempts to connect, the first included",
};

/// The other keys of `[source]`: libpq's keywords, with the variables of libpq and of the platform.
static KEYWORDS: &[Setting] = &[
    keyword(
        "source.host",
        &["PGHOST", "POSTGRES_HOST"],
        "host name, or several with commas",
    ),
    keyword(
        "source.hostaddr",
        &["PGHOSTADDR"],
        "address to connect to, in place of the host's",
    ),
    keyword("source.port", &["PGPORT", "POSTGRES_PORT"], "port"),
    keyword("source.user", &["PGUSER", "POSTGRES_USER"], "role"),
    secret(
        "source.password",
        &["PGPASSWORD", "POSTGRES_PASSWORD"],
        "password",
    ),
    secret(
        "source.password_command",
        &[],
        "program that prints a password or a short-lived token",
    ),
    file("source.passfile", &["PGPASSFILE"], "password file"),
    keyword("source.dbname", &["PGDATABASE", "POSTGRES_DB"], "database"),
    keyword(
        "source.service",
        &["PGSERVICE"],
        "section of pg_service.conf",
    ),
    keyword(
        "source.sslmode",
        &["PGSSLMODE"],
        "disable, allow, prefer, require, verify-ca or verify-full",
    ),
    keyword(
        "source.sslrootcert",
        &["PGSSLROOTCERT"],
        "file of root certificates, or \"system\"",
    ),
    file(
        "source.sslcert",
        &["PGSSLCERT"],
        "file of the client's certificate",
    ),
    file(
        "source.sslkey",
        &["PGSSLKEY"],
        "file of the client certificate's key",
    ),
    keyword(
        "source.sslnegotiation",
        &["PGSSLNEGOTIATION"],
        "postgres or direct",
    ),
    keyword(
        "source.channel_binding",
        &["PGCHANNELBINDING"],
        "disable, prefer or require",
    ),
    keyword(
        "source.application_name",
        &["PGAPPNAME"],
        "name that the server shows for the session",
    ),
    keyword(
        "source.options",
        &["PGOPTIONS"],
        "start-up options of the session",
    ),
    keyword(
        "source.target_session_attrs",
        &["PGTARGETSESSIONATTRS"],
        "kind of server to accept",
    ),
    keyword(
        "source.pgbouncer",
        &[],
        "true for a transaction pooler between pushctl and the server",
    ),
    keyword(
        "source.connection_limit",
        &[],
        "maximum processes with a connection at once",
    ),
    keyword("source.schema", &[], "schema of the tables"),
];

/// Keys that name files: in the configuration file, relative to it.
const FILES: &[&str] = &["passfile", "sslrootcert", "sslcert", "sslkey"];

const fn keyword(
    name: &'static str,
    variables: &'static [&'static str],
    about: &'static str,
) -> Setting {
    Setting {
        name,
        flag: "",
        variables,
        default: "",
        visibility: Visibility::Plain,
        about,
    }
}

const fn file(
    name: &'static str,
    variables: &'static [&'static str],
    about: &'static str,
) -> Setting {
    Setting {
        visibility: Visibility::KeyFile,
        ..keyword(name, variables, about)
    }
}

const fn secret(
    name: &'static str,
    variables: &'static [&'static str],
    about: &'static str,
) -> Setting {
    Setting {
        visibility: Visibility::Secret,
        ..keyword(name, variables, about)
    }
}

impl SourceSettings {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        let source = Self {
            url: settings.flag(&URL).map(Secret::new),
            environment: settings.environment().clone(),
            keywords: keywords(settings),
            deadline: settings.value(&DEADLINE, positive)?,
            connect_timeout: settings.explicit(&CONNECT_TIMEOUT, positive)?,
            retries: settings
                .explicit(&RETRIES, |given| whole_number(given, 1..=100))?
                .and_then(NonZeroU32::new),
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
