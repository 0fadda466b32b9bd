//! Where the source database is, and how long to try. Nothing is interpreted here: the source room knows what a
//! connection URL, a `PG…` variable or an `sslmode` means, and which of them wins; it is handed all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::text::duration;
use crate::error::Result;

use super::environment::Environment;
use super::read::{text, whole_number};
use super::resolver::{Given, Key, Resolver, Visibility};
use super::secret::Secret;

/// Everything that says where the source is.
#[derive(Debug, Clone)]
pub struct Source {
    /// `--database-url`.
    pub url: Option<Secret>,
    /// For `DATABASE_URL`, `PG…`, `POSTGRES_…` and the home directory; `.env` included.
    pub environment: Environment,
    /// The table `[source]` of the configuration file: libpq's keywords, and `url`, `password_command` and others.
    pub keywords: BTreeMap<String, Secret>,
    /// One clock for the whole command.
    pub deadline: Duration,
    /// For one attempt, all addresses of a host together; `None` where only the default (10 s) says so, so that a
    /// parameter of the URL may.
    pub connect_timeout: Option<Duration>,
    /// How many attempts at most, the first included.
    pub retries: u32,
}

/// `--database-url`, `DATABASE_URL`.
pub static URL: Key = Key {
    name: "source.url",
    flag: "--database-url",
    variables: &["DATABASE_URL", "DATABASE_URL_FILE"],
    default: "",
    visibility: Visibility::Url,
    about: "connection URL of the source database",
};

/// `--deadline`.
pub static DEADLINE: Key = Key {
    name: "deadline",
    flag: "--deadline",
    variables: &["PUSHCTL_DEADLINE"],
    default: "5m",
    visibility: Visibility::Plain,
    about: "no command takes longer: attempts, waits and queries together",
};

/// `--connect-timeout`.
pub static CONNECT_TIMEOUT: Key = Key {
    name: "source.connect_timeout",
    flag: "--connect-timeout",
    variables: &["PUSHCTL_CONNECT_TIMEOUT"],
    default: "10s",
    visibility: Visibility::Plain,
    about: "for one attempt to connect: names, TCP, TLS and log-in together",
};

/// `--retries`.
pub static RETRIES: Key = Key {
    name: "source.retries",
    flag: "--retries",
    variables: &["PUSHCTL_RETRIES"],
    default: "5",
    visibility: Visibility::Plain,
    about: "attempts to connect at most, the first included",
};

/// What else `[source]` may hold: libpq's keywords by their own names, with libpq's variables and the platform's.
static KEYWORDS: &[Key] = &[
    keyword(
        "source.host",
        &["PGHOST", "POSTGRES_HOST"],
        "host name, or several with commas",
    ),
    keyword(
        "source.hostaddr",
        &["PGHOSTADDR"],
        "address to connect to instead of the host's own",
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
    keyword("source.passfile", &["PGPASSFILE"], "password file"),
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
    keyword(
        "source.sslcert",
        &["PGSSLCERT"],
        "file of the client's certificate",
    ),
    keyword(
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
        "name the server shows for the session",
    ),
    keyword(
        "source.options",
        &["PGOPTIONS"],
        "start-up options of the session",
    ),
    keyword(
        "source.target_session_attrs",
        &["PGTARGETSESSIONATTRS"],
        "which kind of server will do",
    ),
    keyword(
        "source.pgbouncer",
        &[],
        "true: a transaction pooler stands between",
    ),
    keyword(
        "source.connection_limit",
        &[],
        "processes that may hold a connection at once",
    ),
    keyword("source.schema", &[], "schema of the tables"),
];

const fn keyword(
    name: &'static str,
    variables: &'static [&'static str],
    about: &'static str,
) -> Key {
    Key {
        name,
        flag: "",
        variables,
        default: "",
        visibility: Visibility::Plain,
        about,
    }
}

const fn secret(
    name: &'static str,
    variables: &'static [&'static str],
    about: &'static str,
) -> Key {
    Key {
        visibility: Visibility::Secret,
        ..keyword(name, variables, about)
    }
}

impl Source {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        let source = Self {
            url: settings.flag(&URL).map(Secret::new),
            environment: settings.environment().clone(),
            keywords: keywords(settings),
            deadline: settings.value(&DEADLINE, positive)?,
            connect_timeout: settings.explicit(&CONNECT_TIMEOUT, positive)?,
            retries: settings.value(&RETRIES, |given| whole_number(given, 1..=100))?,
        };
        // Read for `config show` and its messages only: what they mean together is the source room's to say.
        settings.optional(&URL, text)?;
        for key in KEYWORDS {
            settings.optional(key, text)?;
        }
        Ok(source)
    }

    /// A variable of the environment or `.env`; an empty one counts as none.
    pub fn variable(&self, name: &str) -> Option<String> {
        self.environment
            .get(name)
            .ok()
            .flatten()
            .map(|(value, _)| value)
    }
}

fn keywords(settings: &Resolver<'_>) -> BTreeMap<String, Secret> {
    let ours = [&CONNECT_TIMEOUT, &RETRIES];
    let in_table = settings
        .in_file("source.")
        .filter(|(name, _)| ours.iter().all(|key| key.name != *name));
    let keyword = |(name, given): (&str, &Given)| {
        let short = name.trim_start_matches("source.").to_owned();
        match given {
            Given::One(value) => Some((short, Secret::new(value))),
            Given::Many(_) => None,
        }
    };
    in_table.filter_map(keyword).collect()
}

fn positive(given: &str) -> Result<Duration, String> {
    match duration(given)? {
        Duration::ZERO => Err("expected more than nothing".to_owned()),
        some => Ok(some),
    }
}
