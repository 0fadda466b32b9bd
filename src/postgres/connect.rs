//! One attempt: each host in turn, each with the same time for everything from its name to its greeting.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use native_tls::TlsConnector;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_postgres::config::{self, Config};
use tokio_postgres::{AsyncMessage, Client, Connection, SimpleQueryMessage};

use super::address::{Address, ChannelBinding, Host, Negotiation, SslMode, TargetSession};
use super::cancel_route::{Peer, Route};
use super::failure::{ConnectPhase, Failure, FailureCause};
use super::password;
use super::stream::{Ready, Stream};
use super::tcp;
use super::tls;
use crate::advice::Advice;
use crate::error::{Error, ErrorKind, Result};
use crate::settings::secret::Secret;

/// An authenticated connection, and the route for a cancel request.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) task: JoinHandle<Result<(), tokio_postgres::Error>>,
    pub(crate) route: Route,
    pub(crate) version: String,
}

/// Whether one attempt at a host is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Never,
    IfOffered,
    Always,
}

/// The state that all hosts of an attempt share.
struct HostAttempt<'a> {
    address: &'a Address,
    options: ConnectOptions<'a>,
    password: OnceCell<Option<Secret>>,
}

/// Builds the TLS connector of this address, if it uses TLS. That takes tens of milliseconds, because it always reads
/// the system's certificates, so it is built once for all attempts.
pub(crate) fn connector(address: &Address) -> Result<Option<TlsConnector>> {
    let wanted = address.tls.mode != SslMode::Disable && !address.hosts.iter().all(Host::is_socket);
    wanted.then(|| tls::connector(&address.tls)).transpose()
}

/// The parameters of one attempt.
pub(crate) struct ConnectOptions<'a> {
    pub(crate) application_name: &'a str,
    pub(crate) connector: Option<TlsConnector>,
    pub(crate) limit: Duration,
    /// The end of the attempt, for all hosts.
    pub(crate) end: Instant,
    pub(crate) turn: u32,
    /// Where the phases are recorded, if the caller wants to know.
    pub(crate) trace: Option<&'a ConnectTrace>,
}

/// Connects to the first suitable host.
pub(crate) async fn connect(address: &Address, options: ConnectOptions<'_>) -> Result<Connected> {
    let attempt = HostAttempt {
        address,
        options,
        password: OnceCell::new(),
    };
    let mut failures: Vec<(&Host, Failure)> = Vec::new();
    let mut second_choice = None;
    for host in &address.hosts {
        match attempt.host(host).await {
            Ok((connected, true)) => return Ok(connected),
            Ok((connected, false)) if address.target == TargetSession::PreferStandby => {
                second_choice.get_or_insert(connected);
            }
            Ok((_, false)) => {
                failures.push((host, Failure::of(FailureCause::WrongServer(address.target))));
            }
            // After an unreachable host the next is tried; a refusal is final.
            Err(failure) => {
                let final_word =
                    !failure.is_transient() && !matches!(failure.trouble, FailureCause::NoSuchHost);
                failures.push((host, failure));
                if final_word {
                    break;
                }
            }
        }
    }
    second_choice.ok_or_else(|| all_failed(address, failures))
}

impl HostAttempt<'_> {
    /// Connects to one host; also returns whether it satisfies `target_session_attrs`.
    async fn host(&self, host: &Host) -> Result<(Connected, bool), Failure> {
        let left = self.options.end.saturating_duration_since(Instant::now());
        let limit = self.options.limit.min(left);
        let own = ConnectTrace::default();
        let phase = self.options.trace.unwrap_or(&own);
        match timeout(limit, self.tries(host, phase)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::of(FailureCause::TimedOut {
                phase: phase.get(),
                after: limit,
            })),
        }
    }

    /// Connects with and without encryption, in the order of libpq's `allow` and `prefer`.
    async fn tries(&self, host: &Host, phase: &ConnectTrace) -> Result<(Connected, bool), Failure> {
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
        phase: &ConnectTrace,
    ) -> Result<(Connected, bool), Failure> {
        phase.set(ConnectPhase::Password);
        let password = self.password(host).await?;
        let (stream, route) = self.open(host, encryption, phase).await?;
        phase.set(ConnectPhase::Authentication);
        let config = self.config(password.as_ref());
        let (client, connection) = config
            .connect_raw(stream, Ready)
            .await
            .map_err(|cause| self.after_certificate(Failure::driver(&cause)))?;
        phase.set(ConnectPhase::Greeting);
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
        phase: &ConnectTrace,
    ) -> Result<(Stream, Route), Failure> {
        let route =
            |peer, connector| Route::new(host, peer, connector, self.address.tls.negotiation);
        if host.is_socket() {
            phase.set(ConnectPhase::Dialing);
            let path = PathBuf::from(&host.name).join(format!(".s.PGSQL.{}", host.port));
            let peer = Peer::Socket(path);
            return Ok((peer.dial().await?, route(peer, None)));
        }
        phase.set(ConnectPhase::Resolving);
        let addresses = tcp::resolve(host).await?;
        phase.set(ConnectPhase::Dialing);
        let (tcp, peer) = tcp::dial(addresses, &self.address.keepalive, self.options.turn).await?;
        let Some(connector) = self
            .options
            .connector
            .as_ref()
            .filter(|_| encryption != Encryption::Never)
        else {
            return Ok((Stream::Tcp(tcp), route(Peer::Tcp(peer), None)));
        };
        let tcp = if self.address.tls.negotiation == Negotiation::Postgres {
            phase.set(ConnectPhase::AskingForTls);
            match tls::ask(tcp).await.map_err(|failure| failure.at(peer))? {
                tls::TlsAnswer::Agreed(tcp) => tcp,
                tls::TlsAnswer::Declined(tcp) if encryption == Encryption::IfOffered => {
                    return Ok((Stream::Tcp(tcp), route(Peer::Tcp(peer), None)));
                }
                tls::TlsAnswer::Declined(_) => {
                    return Err(Failure::of(FailureCause::TlsDeclined).at(peer));
                }
            }
        } else {
            tcp
        };
        phase.set(ConnectPhase::Handshake);
        let stream = tls::shake_hands(tcp, connector.clone(), &host.name)
            .await
            .map_err(|failure| self.unasked(failure).at(peer))?;
        Ok((stream, route(Peer::Tcp(peer), Some(connector.clone()))))
    }

    /// Adds a hint where a server without direct TLS closed the connection.
    fn unasked(&self, mut failure: Failure) -> Failure {
        let hung_up = matches!(failure.trouble, FailureCause::Closed | FailureCause::Reset);
        if hung_up && self.address.tls.negotiation == Negotiation::Direct {
            failure.trouble = FailureCause::DirectTlsClosed;
        }
        failure
    }

    /// Adds a hint where the server may have rejected the client certificate after the handshake, without a reason.
    fn after_certificate(&self, mut failure: Failure) -> Failure {
        let hung_up = matches!(failure.trouble, FailureCause::Closed | FailureCause::Reset);
        if hung_up && self.address.tls.identity.is_some() {
            failure.trouble = FailureCause::ClosedAfterCertificate;
        }
        failure
    }

    fn config(&self, password: Option<&Secret>) -> Config {
        let mut config = Config::new();
        config
            .user(&self.address.user)
            .dbname(&self.address.dbname)
            .application_name(self.options.application_name)
            // The stream is encrypted already where needed: see `Ready`.
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

/// Runs the connection; often only its error contains the reason why it ended.
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

async fn suits(client: &Client, target: TargetSession) -> Result<bool, Failure> {
    if target == TargetSession::Any {
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
    let (standby, read_only) = row.ok_or_else(|| Failure::of(FailureCause::Protocol))?;
    Ok(match target {
        TargetSession::Any => true,
        TargetSession::ReadWrite => !read_only,
        TargetSession::ReadOnly => read_only,
        TargetSession::Primary => !standby,
        TargetSession::Standby | TargetSession::PreferStandby => standby,
    })
}

/// Returns whether the server, or the TLS library, objected to the encryption itself or to its absence.
fn other_way_may_help(failure: &Failure, phase: ConnectPhase) -> bool {
    match &failure.trouble {
        FailureCause::Sql(error) => error.sqlstate == "28000",
        FailureCause::Closed | FailureCause::Reset => phase == ConnectPhase::Handshake,
        FailureCause::NotTls
        | FailureCause::TlsIncompatible
        | FailureCause::CertificateUntrusted
        | FailureCause::CertificateExpired
        | FailureCause::CertificateNotYetValid
        | FailureCause::ClientCertificate => true,
        _ => false,
    }
}

fn all_failed(address: &Address, mut failures: Vec<(&Host, Failure)>) -> Error {
    let tunnel = |host: &Host| host.is_reached_locally().then_some(Advice::Tunnel);
    if let [(host, failure)] = &*failures {
        let tunnel = tunnel(host).filter(|_| {
            failure.kind() == ErrorKind::Credentials
                && matches!(failure.trouble, FailureCause::Sql(_))
        });
        let context = format!("cannot connect to {host} as {}", address.user);
        let error = failures.remove(0).1.into_error(context);
        return tunnel.into_iter().fold(error, Error::hint);
    }
    let refused = failures.iter().find(|(_, failure)| {
        !failure.is_transient() && !matches!(failure.trouble, FailureCause::NoSuchHost)
    });
    let kind = match refused {
        Some((_, failure)) => failure.kind(),
        None if failures.iter().any(|(_, failure)| failure.is_transient()) => {
            ErrorKind::Unreachable
        }
        None => ErrorKind::Usage,
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

/// The phases of the present host, each with its beginning: for the message of a timeout, and for `pushctl doctor`.
#[derive(Default)]
pub(crate) struct ConnectTrace(Mutex<Vec<(ConnectPhase, Instant)>>);

impl ConnectTrace {
    fn set(&self, phase: ConnectPhase) {
        self.lock().push((phase, Instant::now()));
    }

    /// Returns the last phase that began.
    pub(crate) fn get(&self) -> ConnectPhase {
        let last = self.lock().last().map(|(phase, _)| *phase);
        last.unwrap_or(ConnectPhase::Password)
    }

    /// Returns when a phase began, the last time.
    pub(crate) fn began(&self, phase: ConnectPhase) -> Option<Instant> {
        let phases = self.lock();
        let last = phases.iter().rev().find(|(begun, _)| *begun == phase);
        last.map(|(_, began)| *began)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(ConnectPhase, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
