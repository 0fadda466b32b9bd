//! Builds an [`Address`] from keywords: checks values, fills in defaults, rejects contradictions.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::address::{
    Address, ChannelBinding, Host, Inputs, Keepalive, Negotiation, Roots, SslMode, TargetSession,
    Tls, TlsVersion,
};
use super::conninfo;
use super::parameters::Parameters;
use super::passfile;
use crate::error::{Error, Result};
use crate::settings::secret::{self, Secret};
use crate::suggest::typo_of;

const PORT: u16 = 5432;

/// Keywords that pushctl uses.
const KNOWN: &[&str] = &[
    "application_name",
    "channel_binding",
    "connect_timeout",
    "connection_limit",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "options",
    "passfile",
    "password",
    "password_command",
    "pgbouncer",
    "port",
    "role",
    "schema",
    "service",
    "servicefile",
    "sslcert",
    "sslcertmode",
    "sslkey",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "requiressl",
    "ssl",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Keywords for protections that pushctl does not support; ignoring them would weaken the connection silently. Some ask
/// for a protection with one word only.
const REFUSED: &[(&str, Option<&str>)] = &[
    ("gssencmode", Some("require")),
    ("require_auth", None),
    ("requirepeer", None),
    ("sslcertmode", Some("require")),
    ("sslcrl", None),
    ("sslcrldir", None),
];

impl Address {
    /// Works the address out. A malformed or contradictory one is a usage error.
    pub fn resolve(inputs: &Inputs<'_>) -> Result<Self> {
        address(inputs)
    }

    /// Whether any address is configured at all.
    pub fn is_configured(inputs: &Inputs<'_>) -> Result<bool> {
        Ok(names_a_database(&Parameters::collect(inputs)?))
    }
}

pub(crate) fn address(inputs: &Inputs<'_>) -> Result<Address> {
    let given = Parameters::collect(inputs)?;
    refuse_unsupported(&given)?;
    let mut notes = notes(&given);
    let user = given.text("user").unwrap_or("postgres").to_owned();
    let dbname = given.text("dbname").unwrap_or(&user).to_owned();
    let mut hosts = hosts(&given)?;
    let tls = tls(&given, inputs.home, hosts.iter().all(Host::is_local))?;
    let password_command = given
        .get("password_command")
        .map(|command| command.value.clone());
    let password = password(&given, password_command.is_some());
    let mut origins = origins(&given);
    if password.is_none()
        && password_command.is_none()
        && let Some(file) = from_passfile(&given, inputs, &mut hosts, &user, &dbname, &mut notes)
    {
        origins.insert("password", file);
    }
    Ok(Address {
        user,
        dbname,
        password,
        password_command,
        tls,
        hosts,
        target: word(&given, "target_session_attrs", TargetSession::WORDS)?
            .unwrap_or(TargetSession::Any),
        application_name: given.text("application_name").map(str::to_owned),
        connect_timeout: seconds(&given, "connect_timeout")?.filter(|timeout| !timeout.is_zero()),
        options: given.text("options").map(str::to_owned),
        keepalive: keepalive(&given)?,
        pgbouncer: flag(&given, "pgbouncer")?.unwrap_or(false),
        connection_limit: number(&given, "connection_limit")?.filter(|limit| *limit > 0),
        schema: given.text("schema").map(str::to_owned),
        role: given.text("role").map(str::to_owned),
        origins,
        typos: typos(&given),
        notes,
    })
}

fn hosts(given: &Parameters) -> Result<Vec<Host>> {
    let list = |key| {
        given
            .text(key)
            .map(|text| text.split(',').map(str::trim).collect::<Vec<_>>())
    };
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    if !names_a_database(given) {
        return Err(Error::usage("no database is configured")
            .hint("give --database-url postgres://USER:PASSWORD@HOST:5432/DATABASE, or set DATABASE_URL, PGHOST, POSTGRES_HOST or DB_HOST"));
    }
    let count = names.as_ref().or(addresses.as_ref()).map_or(1, Vec::len);
    if addresses
        .as_ref()
        .is_some_and(|addresses| addresses.len() != count)
    {
        return Err(Error::usage(format!(
            "hostaddr must name as many addresses as there are hosts ({count})"
        )));
    }
    if ports
        .as_ref()
        .is_some_and(|ports| ports.len() != count && ports.len() != 1)
    {
        return Err(Error::usage(format!(
            "port must name one port, or as many as there are hosts ({count})"
        )));
    }
    (0..count)
        .map(|index| {
            let hostaddr = addresses
                .as_ref()
                .map(|addresses| addresses[index])
                .filter(|address| !address.is_empty())
                .map(|address| {
                    address
                        .parse::<IpAddr>()
                        .map_err(|_| bad(given, "hostaddr", "an IP address"))
                })
                .transpose()?;
            let port = ports
                .as_ref()
                .map_or("", |ports| ports.get(index).unwrap_or(&ports[0]));
            let port = match port {
                "" => PORT,
                text => text
                    .parse()
                    .ok()
                    .filter(|port| *port > 0)
                    .ok_or_else(|| bad(given, "port", "a number from 1 to 65535"))?,
            };
            let name = names.as_ref().map_or("", |names| names[index]);
            if name.contains("://")
                || name.contains(|c: char| c.is_whitespace() || "@='\";?#".contains(c))
            {
                return Err(bad(
                    given,
                    "host",
                    "the name or address of a host, or several with commas",
                ));
            }
            let name = match (name, hostaddr) {
                ("", Some(address)) => address.to_string(),
                ("", None) => default_host(port),
                (name, _) => name.to_owned(),
            };
            Ok(Host {
                name,
                hostaddr,
                port,
                password: None,
            })
        })
        .collect()
}

/// Whether anything that was given says which server it is.
pub(crate) fn names_a_database(given: &Parameters) -> bool {
    ["host", "hostaddr", "service"]
        .iter()
        .any(|key| given.get(key).is_some())
        || given.has_url()
}

/// Returns libpq's default host: the socket, or this machine.
fn default_host(port: u16) -> String {
    ["/var/run/postgresql", "/tmp"]
        .into_iter()
        .find(|directory| {
            Path::new(directory)
                .join(format!(".s.PGSQL.{port}"))
                .exists()
        })
        .unwrap_or("localhost")
        .to_owned()
}

fn tls(given: &Parameters, home: Option<&Path>, local: bool) -> Result<Tls> {
    let in_home = |name: &str| {
        home.map(|home| home.join(".postgresql").join(name))
            .filter(|path| path.exists())
    };
    let roots = match given.text("sslrootcert") {
        Some("system") => Roots::System,
        Some(_) => file(given, "sslrootcert", home)?.map_or(Roots::Unnamed, Roots::File),
        None => in_home("root.crt").map_or(Roots::Unnamed, Roots::File),
    };
    let negotiation =
        word(given, "sslnegotiation", Negotiation::WORDS)?.unwrap_or(Negotiation::Postgres);
    let asked = match ssl_word(given, "sslmode")? {
        Some(mode) => Some(mode),
        None => asked_by_other_names(given)?,
    };
    let mode = asked.unwrap_or(match (&roots, negotiation) {
        (Roots::System, _) => SslMode::VerifyFull,
        (_, Negotiation::Postgres) if local => SslMode::Prefer,
        _ => SslMode::Require,
    });
    if roots == Roots::System && mode < SslMode::VerifyFull {
        return Err(Error::usage(format!("sslmode={mode} is too weak for sslrootcert=system: public authorities issue certificates to anyone"))
            .hint("use sslmode=verify-full"));
    }
    if negotiation == Negotiation::Direct && mode < SslMode::Require {
        return Err(Error::usage(format!(
            "sslmode={mode} is too weak for sslnegotiation=direct"
        ))
        .hint("use sslmode=require or stronger"));
    }
    if roots == Roots::Unnamed && mode >= SslMode::VerifyCa {
        return Err(Error::usage(format!(
            "sslmode={mode} needs root certificates to check the server against"
        ))
        .hint(
            "set sslrootcert=FILE (a managed database's root bundle), or use sslrootcert=system",
        ));
    }
    let certificate = file(given, "sslcert", home)?.or_else(|| in_home("postgresql.crt"));
    let key = file(given, "sslkey", home)?.or_else(|| in_home("postgresql.key"));
    let identity = match (certificate, key) {
        _ if given.text("sslcertmode") == Some("disable") => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, _) => None,
        (Some(certificate), None) => {
            return Err(
                Error::usage(format!("sslcert={} has no key", certificate.display()))
                    .hint("set sslkey=FILE"),
            );
        }
    };
    Ok(Tls {
        mode,
        roots,
        identity,
        negotiation,
        channel_binding: word(given, "channel_binding", ChannelBinding::WORDS)?
            .unwrap_or(ChannelBinding::Prefer),
        oldest: word(given, "ssl_min_protocol_version", TlsVersion::WORDS)?
            .unwrap_or(TlsVersion::V1_2),
        newest: word(given, "ssl_max_protocol_version", TlsVersion::WORDS)?,
    })
}

/// Returns the mode of a word of libpq's, or of `no-verify`, which other clients have.
fn ssl_word(given: &Parameters, key: &str) -> Result<Option<SslMode>> {
    match given.text(key) {
        Some("no-verify") => Ok(Some(SslMode::Require)),
        _ => word(given, key, SslMode::WORDS),
    }
}

/// Returns the mode that `ssl`, which other clients have, or libpq's old `requiressl` asks for.
fn asked_by_other_names(given: &Parameters) -> Result<Option<SslMode>> {
    let asked = match flag(given, "ssl") {
        Ok(asked) => asked.filter(|asked| *asked).map(|_| SslMode::Require),
        Err(_) => ssl_word(given, "ssl")?,
    };
    let required = || Ok(flag(given, "requiressl")?.filter(|asked| *asked));
    Ok(match asked {
        Some(mode) => Some(mode),
        None => required()?.map(|_| SslMode::Require),
    })
}

/// Returns the password: from the URL or a service first, then the command's, then the environment's.
fn password(given: &Parameters, has_command: bool) -> Option<Secret> {
    let password = given.get("password")?;
    let about = matches!(
        password.origin.as_str(),
        "PGPASSWORD" | "POSTGRES_PASSWORD" | "DB_PASSWORD" | "config"
    );
    (!(has_command && about)).then(|| password.value.clone())
}

/// Fills in each host's password from the password file; returns the file's name.
fn from_passfile(
    given: &Parameters,
    inputs: &Inputs<'_>,
    hosts: &mut [Host],
    user: &str,
    dbname: &str,
    notes: &mut Vec<String>,
) -> Option<String> {
    let path = given.text("passfile").map(|path| expand(path, inputs.home));
    let path = path.or_else(|| inputs.home.map(|home| home.join(".pgpass")))?;
    let text = match passfile::load(&path)? {
        Ok(text) => text,
        Err(note) => {
            notes.push(note);
            return None;
        }
    };
    for host in &mut *hosts {
        let name = match host.name.as_str() {
            "/var/run/postgresql" | "/tmp" => "localhost",
            name => name,
        };
        host.password = passfile::find(
            &text,
            passfile::Wanted {
                host: name,
                port: host.port,
                dbname,
                user,
            },
        );
    }
    hosts
        .iter()
        .any(|host| host.password.is_some())
        .then(|| path.display().to_string())
}

fn keepalive(given: &Parameters) -> Result<Keepalive> {
    let milliseconds = number(given, "tcp_user_timeout")?.filter(|value| *value > 0);
    Ok(Keepalive {
        enabled: number(given, "keepalives")? != Some(0),
        idle: seconds(given, "keepalives_idle")?
            .filter(|value| !value.is_zero())
            .unwrap_or(Duration::from_secs(20)),
        interval: seconds(given, "keepalives_interval")?
            .filter(|value| !value.is_zero())
            .unwrap_or(Duration::from_secs(10)),
        count: number(given, "keepalives_count")?
            .filter(|value| *value > 0)
            .unwrap_or(5),
        user_timeout: milliseconds.map_or(Duration::from_secs(60), |value| {
            Duration::from_millis(value.into())
        }),
    })
}

fn refuse_unsupported(given: &Parameters) -> Result<()> {
    for (key, word) in REFUSED {
        let Some(text) = given.text(key) else {
            continue;
        };
        if word.is_none_or(|word| word == text.trim()) {
            let word = word.map(|word| format!("={word}")).unwrap_or_default();
            return Err(Error::usage(format!(
                "{key}{word} ({}) is not supported",
                given.origin(key)
            ))
            .hint("leave it out only if the connection is safe without it"));
        }
    }
    Ok(())
}

fn unused(given: &Parameters) -> impl Iterator<Item = &str> {
    given
        .keys()
        .filter(|key| !KNOWN.contains(key) && given.get(key).is_some())
}

/// Returns a note for each parameter that is not used.
fn notes(given: &Parameters) -> Vec<String> {
    let note = |key: &str| {
        let name = conninfo::printable(key);
        format!("{name} ({}) is not used by pushctl", given.origin(key))
    };
    unused(given).map(note).collect()
}

/// Returns a warning for each unused parameter whose name is nearly that of a known one.
fn typos(given: &Parameters) -> Vec<String> {
    let meant = |key: &str| {
        // Other clients have parameters with similar names.
        let near = typo_of(key, KNOWN.iter().copied())?;
        Some(format!(
            "{} ({}) is no parameter of an address; did you mean {near}?",
            conninfo::printable(key),
            given.origin(key)
        ))
    };
    unused(given).filter_map(meant).collect()
}

fn origins(given: &Parameters) -> BTreeMap<&'static str, String> {
    KNOWN
        .iter()
        .filter(|key| given.get(key).is_some())
        .map(|key| (*key, given.origin(key).to_owned()))
        .collect()
}

fn word<T: Copy>(given: &Parameters, key: &str, words: &[(&str, T)]) -> Result<Option<T>> {
    let Some(text) = given.text(key) else {
        return Ok(None);
    };
    let found = words.iter().find(|(word, _)| *word == text);
    let choices: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    found
        .map(|(_, value)| Some(*value))
        .ok_or_else(|| bad(given, key, &format!("one of {}", choices.join(", "))))
}

fn flag(given: &Parameters, key: &str) -> Result<Option<bool>> {
    match given.text(key).map(str::to_ascii_lowercase).as_deref() {
        None => Ok(None),
        Some("true" | "1" | "yes" | "on") => Ok(Some(true)),
        Some("false" | "0" | "no" | "off") => Ok(Some(false)),
        Some(_) => Err(bad(given, key, "true or false")),
    }
}

fn number(given: &Parameters, key: &str) -> Result<Option<u32>> {
    let Some(text) = given.text(key) else {
        return Ok(None);
    };
    // libpq takes a negative number for "the default".
    match text.trim().parse::<i64>() {
        Ok(value) => Ok(u32::try_from(value).ok()),
        Err(_) => Err(bad(given, key, "a whole number")),
    }
}

fn seconds(given: &Parameters, key: &str) -> Result<Option<Duration>> {
    let Some(text) = given.text(key) else {
        return Ok(None);
    };
    match text.trim().parse::<f64>() {
        Ok(value) if value < 0.0 => Ok(None),
        Ok(value) => Duration::try_from_secs_f64(value)
            .map(Some)
            .map_err(|_| bad(given, key, "a number of seconds")),
        Err(_) => Err(bad(given, key, "a number of seconds")),
    }
}

/// None of these keywords is a secret, but a fragment of a malformed password may be in one, so the value is not
/// quoted.
fn bad(given: &Parameters, key: &str, expected: &str) -> Error {
    Error::usage(format!("{key} ({}) is not {expected}", given.origin(key)))
}

/// Returns the path of a file that a keyword names.
fn file(given: &Parameters, key: &str, home: Option<&Path>) -> Result<Option<PathBuf>> {
    let Some(path) = given.text(key) else {
        return Ok(None);
    };
    secret::refuse_as_path(path).map_err(|reason| {
        Error::usage(format!("{key}: {reason}"))
            .hint(format!("it comes from {}", given.origin(key)))
    })?;
    Ok(Some(expand(path, home)))
}

fn expand(path: &str, home: Option<&Path>) -> PathBuf {
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}
