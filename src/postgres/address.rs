//! The address of the source: typed, with defaults, and with the origin of each part.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::conninfo;
pub use super::parameters::Inputs;
use crate::loopback::is_this_machine;
use crate::settings::secret::{MASK, Secret};

/// Where the source is, who we are there, and how the way is protected.
#[derive(Debug, Clone)]
pub struct Address {
    /// To be tried in this order; never empty.
    pub hosts: Vec<Host>,
    pub user: String,
    pub dbname: String,
    /// A password that is the same for every host.
    pub password: Option<Secret>,
    /// A command that prints a password; run for each attempt, because a token is short-lived.
    pub password_command: Option<Secret>,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// Which kind of server will do.
    pub target: TargetSession,
    /// Shown by the server instead of `pushctl/<version>`.
    pub application_name: Option<String>,
    /// For one host, from name to authentication.
    pub connect_timeout: Option<Duration>,
    /// Start-up options (`-c name=value`), sent only where they were given.
    pub options: Option<String>,
    /// When a silent connection is given up.
    pub keepalive: Keepalive,
    /// A transaction pooler stands between: nothing that it refuses is sent.
    pub pgbouncer: bool,
    /// How many processes may hold a connection at once.
    pub connection_limit: Option<u32>,
    /// The schema that other clients put into a URL, for `search_path`.
    pub schema: Option<String>,
    /// The role that reads, in place of the one that logs in.
    pub role: Option<String>,
    pub(crate) origins: BTreeMap<&'static str, String>,
    pub(crate) typos: Vec<String>,
    pub(crate) notes: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A DNS name, an IP address, or the directory of a Unix socket. It is what a certificate must be made out to.
    pub name: String,
    /// Connect there instead of resolving the name.
    pub hostaddr: Option<IpAddr>,
    /// 5432 unless given.
    pub port: u16,
    /// From the password file, if no password was given.
    pub password: Option<Secret>,
}

/// libpq's `sslmode`, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    Disable,
    /// Encrypt only if the server insists.
    Allow,
    /// Encrypt if the server can.
    Prefer,
    /// Encrypt without verifying the server; with root certificates the same as `VerifyCa`.
    Require,
    /// Encrypt, and check who signed the server's certificate.
    VerifyCa,
    /// Encrypt, and check who signed the server's certificate and that it is made out to the host.
    VerifyFull,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    Unnamed,
    /// The operating system's certificates.
    System,
    /// A PEM file of one or many certificates.
    File(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Negotiation {
    /// The client asks, the server agrees.
    Postgres,
    /// At once, one round trip less (PostgreSQL 17 and some proxies).
    Direct,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// See [`SslMode`].
    pub mode: SslMode,
    /// See [`Roots`].
    pub roots: Roots,
    /// Our own certificate (PEM, chain allowed) and its key (PEM).
    pub identity: Option<(PathBuf, PathBuf)>,
    /// See [`Negotiation`].
    pub negotiation: Negotiation,
    /// Whether authentication must, may or must not be bound to the channel.
    pub channel_binding: ChannelBinding,
    /// The oldest version that will do; TLS 1.2 unless given.
    pub oldest: TlsVersion,
    /// The newest, if there is a limit.
    pub newest: Option<TlsVersion>,
}

/// A version of TLS, by libpq's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// `TLSv1`
    V1_0,
    /// `TLSv1.1`
    V1_1,
    /// `TLSv1.2`
    V1_2,
    /// `TLSv1.3`
    V1_3,
}

/// libpq's `channel_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    /// Where the server can.
    Prefer,
    /// Or not at all.
    Require,
}

/// libpq's `target_session_attrs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetSession {
    Any,
    /// One whose sessions may write.
    ReadWrite,
    /// One whose sessions may not.
    ReadOnly,
    Primary,
    Standby,
    /// A standby if any host is one, else any.
    PreferStandby,
}

/// TCP keepalives, as libpq names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keepalive {
    /// Whether they are sent.
    pub enabled: bool,
    /// Silence before the first.
    pub idle: Duration,
    pub interval: Duration,
    /// Unanswered ones before the connection is given up.
    pub count: u32,
    /// How long sent data may stay unacknowledged.
    pub user_timeout: Duration,
}

/// One line of `config show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// libpq's keyword, or ours.
    pub name: &'static str,
    /// As text, secrets masked; empty if there is none.
    pub value: String,
    /// `--database-url`, `DATABASE_URL`, `PGHOST`, `config`, `default`, …
    pub origin: String,
}

impl Address {
    /// Returns a warning for each parameter whose name is nearly that of another.
    pub fn typos(&self) -> &[String] {
        &self.typos
    }

    /// Things worth knowing that are no error: parameters that are not understood, a password file not used.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns a warning, if the way is not as well protected as it could be.
    pub fn advice(&self) -> Option<String> {
        let remote = self.hosts.iter().any(|host| !host.is_local());
        let weak = remote && self.tls.mode < SslMode::VerifyFull;
        weak.then(|| {
            format!(
                "sslmode={} does not check that the server is the one it should be; \
                 use sslmode=verify-full with sslrootcert=FILE (a managed database's root bundle) or sslrootcert=system",
                self.tls.mode
            )
        })
    }

    /// Returns every part with its value, masked, and where it came from.
    pub fn shown(&self) -> Vec<Shown> {
        let seconds = |duration: Duration| format!("{}s", duration.as_secs_f64());
        let password =
            self.password.is_some() || self.hosts.iter().any(|host| host.password.is_some());
        let addresses = || {
            self.hosts.iter().map(|host| {
                host.hostaddr
                    .map(|address| address.to_string())
                    .unwrap_or_default()
            })
        };
        let identity = |path: fn(&(PathBuf, PathBuf)) -> &PathBuf| {
            self.tls
                .identity
                .as_ref()
                .map(|pair| path(pair).display().to_string())
        };
        let rows = [
            (
                "host",
                Some(join(self.hosts.iter().map(|host| host.name.clone()))),
            ),
            (
                "hostaddr",
                self.hosts
                    .iter()
                    .any(|host| host.hostaddr.is_some())
                    .then(|| join(addresses())),
            ),
            (
                "port",
                Some(join(self.hosts.iter().map(|host| host.port.to_string()))),
            ),
            ("user", Some(self.user.clone())),
            ("password", password.then(|| MASK.to_owned())),
            (
                "password_command",
                self.password_command.as_ref().map(first_word),
            ),
            ("dbname", Some(self.dbname.clone())),
            ("sslmode", Some(self.tls.mode.to_string())),
            ("sslrootcert", self.tls.roots.shown()),
            ("sslcert", identity(|(certificate, _)| certificate)),
            ("sslkey", identity(|(_, key)| key)),
            ("sslnegotiation", Some(self.tls.negotiation.to_string())),
            ("target_session_attrs", Some(self.target.to_string())),
            ("application_name", self.application_name.clone()),
            ("connect_timeout", self.connect_timeout.map(seconds)),
            ("options", self.options.clone()),
            ("pgbouncer", Some(self.pgbouncer.to_string())),
            (
                "connection_limit",
                self.connection_limit.map(|limit| limit.to_string()),
            ),
            ("schema", self.schema.clone()),
            ("role", self.role.clone()),
        ];
        rows.into_iter()
            .map(|(name, value)| Shown {
                name,
                value: value.unwrap_or_default(),
                origin: self
                    .origins
                    .get(name)
                    .map_or("default", String::as_str)
                    .to_owned(),
            })
            .collect()
    }
}

/// The address as a URL, the password masked.
impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mask = if self.password.is_some() {
            format!(":{MASK}")
        } else {
            String::new()
        };
        let hosts = join(self.hosts.iter().map(Host::to_string));
        let dbname = conninfo::encode(&self.dbname);
        write!(
            out,
            "postgres://{}{mask}@{hosts}/{dbname}?sslmode={}",
            conninfo::encode(&self.user),
            self.tls.mode
        )
    }
}

impl Address {
    /// Returns its hosts with their ports, in the order in which they are tried: what is shown while connecting.
    pub fn place(&self) -> String {
        join(self.hosts.iter().map(Host::to_string))
    }
}

impl Host {
    /// Returns whether it is reached through a Unix socket.
    pub fn is_socket(&self) -> bool {
        self.name.starts_with('/')
    }

    /// Returns whether the traffic stays on this machine, going by the name alone: a name that a tunnel
    /// at `hostaddr` leads to is somewhere else.
    pub fn is_local(&self) -> bool {
        self.is_socket() || is_this_machine(&self.name)
    }

    /// Returns whether we connect to this machine, be it to a tunnel that leads elsewhere.
    pub fn is_reached_locally(&self) -> bool {
        self.hostaddr
            .map_or_else(|| self.is_local(), |address| address.is_loopback())
    }
}

/// `name:port`, IPv6 in brackets, a socket as its path.
impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            name if self.is_socket() => write!(out, "{name}/.s.PGSQL.{}", self.port),
            name if name.contains(':') => write!(out, "[{name}]:{}", self.port),
            name => write!(out, "{name}:{}", self.port),
        }
    }
}

impl Roots {
    fn shown(&self) -> Option<String> {
        match self {
            Self::Unnamed => None,
            Self::System => Some("system".to_owned()),
            Self::File(path) => Some(path.display().to_string()),
        }
    }
}

/// libpq's words for a setting, in both directions.
macro_rules! words {
    ($type:ty { $($variant:ident => $word:literal),+ $(,)? }) => {
        impl $type {
            /// Every word with its meaning.
            pub(crate) const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];
        }

        impl fmt::Display for $type {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(match self { $(Self::$variant => $word),+ })
            }
        }
    };
}

words!(SslMode {
    Disable => "disable",
    Allow => "allow",
    Prefer => "prefer",
    Require => "require",
    VerifyCa => "verify-ca",
    VerifyFull => "verify-full",
});
words!(Negotiation { Postgres => "postgres", Direct => "direct" });
words!(ChannelBinding { Disable => "disable", Prefer => "prefer", Require => "require" });
words!(TlsVersion {
    V1_0 => "TLSv1",
    V1_1 => "TLSv1.1",
    V1_2 => "TLSv1.2",
    V1_3 => "TLSv1.3",
});
words!(TargetSession {
    Any => "any",
    ReadWrite => "read-write",
    ReadOnly => "read-only",
    Primary => "primary",
    Standby => "standby",
    PreferStandby => "prefer-standby",
});

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

/// Returns the command's name without its arguments, which may hold a secret.
fn first_word(command: &Secret) -> String {
    command
        .reveal()
        .split_whitespace()
        .next()
        .map(|word| format!("{word} …"))
        .unwrap_or_default()
}
