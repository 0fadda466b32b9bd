//! One attempt: each host in turn, each with the same time for everything from its name to its greeting.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use native_tls::TlsConnector;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_postgres::config::{self, Config};
use tokio_postgres::{AsyncMessage, Client, Connection, SimpleQueryMessage};

use super::address::{Address, ChannelBinding, Host, Negotiation, SslMode, Target};
use super::cancel_route::{Peer, Route};
use super::failure::{Failure, Phase, Trouble};
use super::password;
use super::stream::{Ready, Stream};
use super::tcp;
use super::tls;
use crate::error::{Error, Kind, Result};
use crate::settings::secret::Secret;

/// A connection that has been let in, and the way back to its server.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) task: JoinHandle<Result<(), tokio_postgres::Error>>,
    pub(crate) route: Route,
    pub(crate) version: String,
}

/// Whether one try at a host is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Never,
    IfOffered,
    Always,
}

/// What every host of an attempt shares.
struct Attempt<'a> {
    address: &'a Address,
    means: Means<'a>,
    password: OnceCell<Option<Secret>>,
}

/// What encrypts every connection to this address, if anything does. It costs tens of milliseconds, for the system's
/// certificates are read whether they are wanted or not: it is made once for all attempts.
pub(crate) fn connector(address: &Address) -> Result<Option<TlsConnector>> {
    let wanted = address.tls.mode != SslMode::Disable && !address.hosts.iter().all(Host::is_socket);
    wanted.then(|| tls::connector(&address.tls)).transpose()
}

/// How one attempt is made.
pub(crate) struct Means<'a> {
    pub(crate) application_name: &'a str,
    pub(crate) connector: Option<TlsConnector>,
    /// For each host.
    pub(crate) limit: Duration,
    /// For all of them.
    pub(crate) end: Instant,
    /// Counts the attempts.
    pub(crate) turn: u32,
}

/// Connects to the first host that will do.
pub(crate) async fn connect(address: &Address, means: Means<'_>) -> Result<Connected> {
    let attempt = Attempt {
        address,
        means,
        password: OnceCell::new(),
    };
    let mut failures: Vec<(&Host, Failure)> = Vec::new();
    let mut second_choice = None;
    for host in &address.hosts {
        match attempt.host(host).await {
            Ok((connected, true)) => return Ok(connected),
            Ok((connected, false)) if address.target == Target::PreferStandby => {
                second_choice.get_or_insert(connected);
            }
            Ok((_, false)) => {
                failures.push((host, Failure::of(Trouble::WrongServer(address.target))));
            }
            // A host that cannot be reached leaves the next; one that refuses us does not.
            Err(failure) => {
                let final_word =
                    !failure.is_transient() && !matches!(failure.trouble, Trouble::NoSuchHost);
                failures.push((host, failure));
                if final_word {
                    break;
                }
            }
        }
    }
    second_choice.ok_or_else(|| all_failed(address, failures))
}

impl Attempt<'_> {
    /// Connects to one host; also says whether it is the kind of server that is wanted.
    async fn host(&self, host: &Host) -> Result<(Connected, bool), Failure> {
        let left = self.means.end.saturating_duration_since(Instant::now());
        let limit = self.means.limit.min(left);
        let phase = Progress::default();
        match timeout(limit, self.tries(host, &phase)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::of(Trouble::TimedOut {
                phase: phase.get(),
                after: limit,
            })),
        }
    }

    /// With and without encryption, as libpq's `allow` and `prefer` have it.
    async fn tries(&self, host: &Host, phase: &Progress) -> Result<(Connected, bool), Failure> {
        let (first, second) = match self.address.tls.mode {
            _ if host.is_socket() => (Encryption::Never, None),
            SslMode::Disable => (Encryption::Never, None),
            SslMode::Allow => (Encryption::Never, Some(Encryption::Always)),
            SslMode::Prefer => (Encryption::IfOffered, Some(Encryption::Never)),
            _ => (Encryption::Always, None),
        };
        match (self.once(host, first, phase).await, second) {
            (Err(failure), Some(second)) if other_way_may_help(&failure, phase.get()) => {
                tracing::debug!(target: "pushctl::source", %host, ?first, ?second, "{}; trying the other way", failure.trouble);
                self.once(host, second, phase).await
            }
            (result, _) => result,
        }
    }

    async fn once(
        &self,
        host: &Host,
        encryption: Encryption,
        phase: &Progress,
    ) -> Result<(Connected, bool), Failure> {
        phase.set(Phase::Password);
        let password = self.password(host).await?;
        let (stream, route) = self.open(host, encryption, phase).await?;
        phase.set(Phase::Authentication);
        let config = self.config(password.as_ref());
        let (client, connection) = config
            .connect_raw(stream, Ready)
            .await
            .map_err(|cause| self.after_certificate(Failure::driver(&cause)))?;
        phase.set(Phase::Greeting);
        let version = connection
            .parameter("server_version")
            .unwrap_or_default()
            .to_owned();
        let task = tokio::spawn(drive(connection));
        let suits = suits(&client, self.address.target).await?;
        Ok((
            Connected {
                client,
                task,
                route,
                version,
            },
            suits,
        ))
    }

    async fn password(&self, host: &Host) -> Result<Option<Secret>, Failure> {
        if host.password.is_some() || self.address.password.is_some() {
            return Ok(host
                .password
                .clone()
                .or_else(|| self.address.password.clone()));
        }
        let Some(command) = &self.address.password_command else {
            return Ok(None);
        };
        self.password
            .get_or_try_init(|| async { password::ask(command).await.map(Some) })
            .await
            .cloned()
    }

    async fn open(
        &self,
        host: &Host,
        encryption: Encryption,
        phase: &Progress,
    ) -> Result<(Stream, Route), Failure> {
        let route =
            |peer, connector| Route::new(host, peer, connector, self.address.tls.negotiation);
        if host.is_socket() {
            phase.set(Phase::Dialing);
            let path = PathBuf::from(&host.name).join(format!(".s.PGSQL.{}", host.port));
            let peer = Peer::Socket(path);
            return Ok((peer.dial().await?, route(peer, None)));
        }
        phase.set(Phase::Resolving);
        let addresses = tcp::resolve(host).await?;
        phase.set(Phase::Dialing);
        let (tcp, peer) = tcp::dial(addresses, &self.address.keepalive, self.means.turn).await?;
        let Some(connector) = self
            .means
            .connector
            .as_ref()
            .filter(|_| encryption != Encryption::Never)
        else {
            return Ok((Stream::Tcp(tcp), route(Peer::Tcp(peer), None)));
        };
        let tcp = if self.address.tls.negotiation == Negotiation::Postgres {
            phase.set(Phase::AskingForTls);
            match tls::ask(tcp).await.map_err(|failure| failure.at(peer))? {
                tls::Answer::Agreed(tcp) => tcp,
                tls::Answer::Declined(tcp) if encryption == Encryption::IfOffered => {
                    return Ok((Stream::Tcp(tcp), route(Peer::Tcp(peer), None)));
                }
                tls::Answer::Declined(_) => return Err(Failure::of(Trouble::TlsDeclined).at(peer)),
            }
        } else {
            tcp
        };
        phase.set(Phase::Handshake);
        let stream = tls::shake_hands(tcp, connector.clone(), &host.name)
            .await
            .map_err(|failure| self.unasked(failure).at(peer))?;
        Ok((stream, route(Peer::Tcp(peer), Some(connector.clone()))))
    }

    /// A server that does not know direct TLS takes it for garbage, and hangs up.
    fn unasked(&self, mut failure: Failure) -> Failure {
        let hung_up = matches!(failure.trouble, Trouble::Closed | Trouble::Reset);
        if hung_up && self.address.tls.negotiation == Negotiation::Direct {
            failure.trouble = Trouble::DirectTlsClosed;
        }
        failure
    }

    /// A server may refuse our certificate after the handshake, and its reason be lost with the connection.
    fn after_certificate(&self, mut failure: Failure) -> Failure {
        let hung_up = matches!(failure.trouble, Trouble::Closed | Trouble::Reset);
        if hung_up && self.address.tls.identity.is_some() {
            failure.trouble = Trouble::ClosedAfterCertificate;
        }
        failure
    }

    fn config(&self, password: Option<&Secret>) -> Config {
        let mut config = Config::new();
        config
            .user(&self.address.user)
            .dbname(&self.address.dbname)
            .application_name(self.means.application_name)
            // The stream is already what it should be, encrypted or not: see `Ready`.
            .ssl_mode(config::SslMode::Require)
            .ssl_negotiation(config::SslNegotiation::Direct)
            .channel_binding(match self.address.tls.channel_binding {
                ChannelBinding::Disable => config::ChannelBinding::Disable,
                ChannelBinding::Prefer => config::ChannelBinding::Prefer,
                ChannelBinding::Require => config::ChannelBinding::Require,
            });
        if let Some(password) = password {
            config.password(password.reveal());
        }
        if let Some(options) = self
            .address
            .options
            .as_ref()
            .filter(|_| !self.address.pgbouncer)
        {
            config.options(options);
        }
        config
    }
}

/// Runs the connection; its error is often the only one that says why it ended.
async fn drive(mut connection: Connection<Stream, Stream>) -> Result<(), tokio_postgres::Error> {
    while let Some(message) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
        if let AsyncMessage::Notice(notice) = message? {
            tracing::debug!(target: "pushctl::sql", severity = notice.severity(), "{}", notice.message());
        }
    }
    Ok(())
}

const STATE: &str =
    "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')";

async fn suits(client: &Client, target: Target) -> Result<bool, Failure> {
    if target == Target::Any {
        return Ok(true);
    }
    let answer = client
        .simple_query(STATE)
        .await
        .map_err(|cause| Failure::driver(&cause))?;
    let row = answer.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some((row.get(0) == Some("t"), row.get(1) == Some("on"))),
        _ => None,
    });
    let (standby, read_only) = row.ok_or_else(|| Failure::of(Trouble::Protocol))?;
    Ok(match target {
        Target::Any => true,
        Target::ReadWrite => !read_only,
        Target::ReadOnly => read_only,
        Target::Primary => !standby,
        Target::Standby | Target::PreferStandby => standby,
    })
}

/// Whether the server, or the TLS library, objected to the encryption itself or to its absence.
fn other_way_may_help(failure: &Failure, phase: Phase) -> bool {
    match &failure.trouble {
        Trouble::Sql(error) => error.sqlstate == "28000",
        Trouble::Closed | Trouble::Reset => phase == Phase::Handshake,
        Trouble::NotTls
        | Trouble::TlsIncompatible
        | Trouble::CertificateUntrusted
        | Trouble::CertificateExpired
        | Trouble::CertificateNotYetValid
        | Trouble::ClientCertificate => true,
        _ => false,
    }
}

fn all_failed(address: &Address, mut failures: Vec<(&Host, Failure)>) -> Error {
    let tunnel = |host: &Host| {
        const TUNNELS: &str = "this goes through localhost: if it is a tunnel, check that it leads to the right database, and for which user";
        host.is_reached_locally().then_some(TUNNELS)
    };
    if let [(host, failure)] = &*failures {
        let tunnel = tunnel(host).filter(|_| {
            failure.kind() == Kind::Credentials && matches!(failure.trouble, Trouble::Sql(_))
        });
        let context = format!("cannot connect to {host} as {}", address.user);
        let error = failures.remove(0).1.into_error(context);
        return tunnel.into_iter().fold(error, Error::hint);
    }
    let refused = failures.iter().find(|(_, failure)| {
        !failure.is_transient() && !matches!(failure.trouble, Trouble::NoSuchHost)
    });
    let kind = match refused {
        Some((_, failure)) => failure.kind(),
        None if failures.iter().any(|(_, failure)| failure.is_transient()) => Kind::Unreachable,
        None => Kind::Usage,
    };
    let mut told = Vec::new();
    let mut hints: Vec<String> = Vec::new();
    for (host, failure) in failures {
        let error = failure.into_error(host);
        hints.extend(
            error
                .hints()
                .iter()
                .filter(|hint| !hints.contains(hint))
                .cloned()
                .collect::<Vec<_>>(),
        );
        told.push(format!("{error:#}"));
    }
    let error = Error::new(kind, told.join("; ")).context(format!(
        "cannot connect to any of {} hosts as {}",
        address.hosts.len(),
        address.user
    ));
    hints.into_iter().fold(error, Error::hint)
}

/// How far the present host has come, for the message of a time-out.
struct Progress(Mutex<Phase>);

impl Default for Progress {
    fn default() -> Self {
        Self(Mutex::new(Phase::Password))
    }
}

impl Progress {
    fn set(&self, phase: Phase) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = phase;
    }

    fn get(&self) -> Phase {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
