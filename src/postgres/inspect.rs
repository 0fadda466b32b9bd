//! One host of an address, step by step, with what each step sees and how long it takes: for `pushctl doctor`.
//!
//! The steps are those of a connection: the name, every TCP address, TLS, the log-in, a query. The log-in goes through
//! [`connect`] itself; only the certificate is looked at beside it, because a refused one is to be shown too.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::nid::Nid;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::{X509NameRef, X509Ref};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::address::{Address, Host, Keepalive, Negotiation, TargetSession};
use super::connect::{self, ConnectOptions, ConnectTrace, Connected};
use super::failure::{ConnectPhase, Failure, FailureCause};
use super::tcp;
use super::tls::{self, TlsAnswer};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};

/// What the server's certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// `TLSv1.3`
    pub(crate) version: String,
    /// The hosts that it is for.
    pub(crate) names: Vec<String>,
    /// The chain, from the server's certificate to the last one that it sends.
    pub(crate) chain: Vec<String>,
    pub(crate) expires: String,
    /// Negative after its end.
    pub(crate) days_left: i32,
}

/// What the server says about itself.
#[derive(Debug, Clone)]
pub(crate) struct ServerFacts {
    pub(crate) version: String,
    pub(crate) is_standby: bool,
    pub(crate) is_read_only: bool,
    /// The role, quoted as SQL needs it.
    pub(crate) role: String,
    pub(crate) max_connections: u32,
    pub(crate) reserved_connections: u32,
    /// Connections by application name, the most first.
    pub(crate) applications: Vec<(String, u32)>,
    pub(crate) round_trip: Duration,
    /// The server's clock minus this machine's, in seconds.
    pub(crate) skew: f64,
    /// Privileges of the question that the role lacks: the relation, and the privilege; `None` for a missing relation.
    pub(crate) lacking: Vec<(String, Option<&'static str>)>,
}

/// A successful log-in, with its times.
#[derive(Debug)]
pub(crate) struct LogIn {
    /// From the request for TLS to its end; `None` without TLS.
    pub(crate) tls: Option<Duration>,
    pub(crate) authentication: Duration,
    /// The server's facts; an error if it lets us in and answers no query.
    pub(crate) facts: Result<ServerFacts>,
}

/// A privilege to ask about: the relation, without its schema, and the privilege.
pub(crate) type Privilege = (&'static str, &'static str);

/// Returns the address with one host only, of whatever kind.
pub(crate) fn alone(address: &Address, host: &Host) -> Address {
    Address {
        hosts: vec![host.clone()],
        target: TargetSession::Any,
        ..address.clone()
    }
}

/// Resolves a host's name.
pub(crate) async fn resolve(host: &Host, limit: Duration) -> Result<Vec<SocketAddr>> {
    let outcome = timeout(limit, tcp::resolve(host)).await;
    let outcome = outcome.unwrap_or_else(|_| Err(timed_out(ConnectPhase::Resolving, limit)));
    outcome.map_err(|failure| failure.into_error(format!("cannot resolve {}", host.name)))
}

/// Connects to every address; each with its time. The error is that of a connection to the host: `None` if one works.
pub(crate) async fn dial(
    address: &Address,
    host: &Host,
    found: &[SocketAddr],
    limit: Duration,
) -> (Vec<(SocketAddr, Duration, Option<String>)>, Option<Error>) {
    let dials = found.iter().map(|at| async move {
        let began = Instant::now();
        let outcome = timeout(limit, tcp::connect(*at, &address.keepalive)).await;
        let outcome =
            outcome.unwrap_or_else(|_| Err(timed_out(ConnectPhase::Dialing, limit).at(*at)));
        (*at, began.elapsed(), outcome.err())
    });
    let (mut tried, mut failures) = (Vec::new(), Vec::new());
    for (at, took, failure) in join_all(dials).await {
        let why = failure.as_ref().map(|failure| failure.trouble.to_string());
        tried.push((at, took, why));
        failures.extend(failure);
    }
    let is_reached = failures.len() < tried.len();
    let error = (!is_reached)
        .then(|| Failure::all(failures).into_error(format!("cannot connect to {host}")));
    (tried, error)
}

/// Connects to a host of another kind, and closes the connection; returns the address that answered.
pub(crate) async fn reach(name: &str, port: u16) -> Result<SocketAddr> {
    let host = Host {
        name: name.to_owned(),
        hostaddr: None,
        port,
        password: None,
    };
    let explain = |failure: Failure| failure.into_error(format!("cannot connect to {host}"));
    let found = tcp::resolve(&host).await.map_err(explain)?;
    let dialled = tcp::dial(found, &Keepalive::default(), 0).await;
    dialled.map(|(_, at)| at).map_err(explain)
}

/// Looks at the server's certificate without verifying it; `None` without TLS, or if it cannot be seen.
pub(crate) async fn certificate(
    address: &Address,
    host: &Host,
    at: SocketAddr,
    limit: Duration,
) -> Option<Certificate> {
    let name = host.name.clone();
    let look = async {
        let (tcp, _) = tcp::connect(at, &address.keepalive).await.ok()?;
        let tcp = match address.tls.negotiation {
            Negotiation::Direct => tcp,
            Negotiation::Postgres => match tls::ask(tcp).await.ok()? {
                TlsAnswer::Agreed(tcp) => tcp,
                TlsAnswer::Declined(_) => return None,
            },
        };
        let direct = address.tls.negotiation == Negotiation::Direct;
        let look = tokio::task::spawn_blocking(move || look(tcp, &name, direct, limit));
        look.await.ok().flatten()
    };
    timeout(limit, look).await.ok().flatten()
}

/// Shakes hands on a thread of its own.
fn look(tcp: TcpStream, name: &str, direct: bool, limit: Duration) -> Option<Certificate> {
    let tcp = tcp.into_std().ok()?;
    tcp.set_nonblocking(false).ok()?;
    tcp.set_read_timeout(Some(limit)).ok()?;
    tcp.set_write_timeout(Some(limit)).ok()?;
    let mut connector = SslConnector::builder(SslMethod::tls_client()).ok()?;
    connector.set_verify(SslVerifyMode::NONE);
    if direct {
        connector.set_alpn_protos(b"\x0apostgresql").ok()?;
    }
    let mut session = connector.build().configure().ok()?;
    session.set_verify_hostname(false);
    let stream = session.connect(name, tcp).ok()?;
    let ssl = stream.ssl();
    let certificate = ssl.peer_certificate()?;
    let chain = ssl.peer_cert_chain();
    let ends = certificate.not_after();
    Some(Certificate {
        version: ssl.version_str().to_owned(),
        names: names(&certificate),
        chain: chain.map_or_else(Vec::new, |chain| {
            chain.iter().filter_map(signed_by).collect()
        }),
        expires: ends.to_string(),
        days_left: days_until(ends),
    })
}

fn days_until(end: &Asn1TimeRef) -> i32 {
    let now = Asn1Time::days_from_now(0).ok();
    let left = now.and_then(|now| now.diff(end).ok());
    // A part of a day after the end counts as a day.
    left.map_or(0, |left| {
        if left.secs < 0 {
            left.days - 1
        } else {
            left.days
        }
    })
}

/// Returns the names of hosts in a certificate, or the subject's name.
fn names(certificate: &X509Ref) -> Vec<String> {
    let alternatives = certificate.subject_alt_names();
    let names: Vec<String> = alternatives
        .iter()
        .flatten()
        .filter_map(|name| {
            let address = name.ipaddress().and_then(|bytes| match bytes.len() {
                4 => <[u8; 4]>::try_from(bytes).ok().map(std::net::IpAddr::from),
                _ => <[u8; 16]>::try_from(bytes).ok().map(std::net::IpAddr::from),
            });
            let address = address.map(|address| address.to_string());
            name.dnsname().map(str::to_owned).or(address)
        })
        .collect();
    if names.is_empty() {
        return common_name(certificate.subject_name())
            .into_iter()
            .collect();
    }
    names
}

fn signed_by(certificate: &X509Ref) -> Option<String> {
    common_name(certificate.issuer_name())
}

fn common_name(name: &X509NameRef) -> Option<String> {
    let mut entries = name
        .entries_by_nid(Nid::COMMONNAME)
        .chain(name.entries_by_nid(Nid::ORGANIZATIONNAME));
    entries.find_map(|entry| entry.data().to_string().ok())
}

/// Logs in and asks the server about itself. An error comes with the phase in which it happened.
pub(crate) async fn log_in(
    address: &Address,
    application_name: &str,
    limit: Duration,
    clock: &dyn Clock,
    privileges: &[Privilege],
) -> Result<LogIn, (ConnectPhase, Error)> {
    let trace = ConnectTrace::default();
    // It reads the system's certificates, which takes tens of milliseconds: not beside steps whose time is taken.
    let copy = address.clone();
    let connector = tokio::task::spawn_blocking(move || connect::connector(&copy)).await;
    let connector = connector
        .unwrap_or_else(|_| Err(Error::new(ErrorKind::Bug, "the set-up of TLS panicked")))
        .map_err(|error| (ConnectPhase::Handshake, error))?;
    let options = ConnectOptions {
        application_name,
        connector,
        limit,
        end: Instant::now() + limit,
        turn: 0,
        trace: Some(&trace),
    };
    let connected = connect::connect(address, options).await;
    let connected = connected.map_err(|error| (trace.get(), error))?;
    let finished = Instant::now();
    let since = |phase| trace.began(phase);
    let tls_began = since(ConnectPhase::AskingForTls).or_else(|| since(ConnectPhase::Handshake));
    let authentication = since(ConnectPhase::Authentication).unwrap_or(finished);
    let encrypted = since(ConnectPhase::Handshake).is_some();
    let facts = timeout(limit, ask(&connected, address, clock, privileges)).await;
    connected.task.abort();
    Ok(LogIn {
        tls: tls_began
            .filter(|_| encrypted)
            .map(|began| authentication.saturating_duration_since(began)),
        authentication: since(ConnectPhase::Greeting)
            .unwrap_or(finished)
            .saturating_duration_since(authentication),
        facts: facts.unwrap_or_else(|_| {
            Err(Failure::of(FailureCause::Silent).into_error("no answer to a query"))
        }),
    })
}

/// The server's facts. The connection count leaves background processes out; every role may see application names.
const FACTS: &str = "
    SELECT pg_catalog.current_setting('server_version'),
           pg_catalog.pg_is_in_recovery(),
           pg_catalog.current_setting('default_transaction_read_only') = 'on',
           pg_catalog.quote_ident(current_user),
           pg_catalog.current_setting('max_connections'),
           pg_catalog.current_setting('superuser_reserved_connections')::int
           + coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::int";
const APPLICATIONS: &str = r"
    SELECT coalesce(nullif(pg_catalog.regexp_replace(application_name, ' [0-9a-f-]{36}$', ''), ''), '(no name)'),
           pg_catalog.count(*)
      FROM pg_catalog.pg_stat_activity WHERE datid IS NOT NULL AND usesysid IS NOT NULL
     GROUP BY 1 ORDER BY 2 DESC, 1";
const CLOCK: &str = "SELECT (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000000)::bigint";

async fn ask(
    connected: &Connected,
    address: &Address,
    clock: &dyn Clock,
    privileges: &[Privilege],
) -> Result<ServerFacts> {
    let client = &connected.client;
    let ask = async |sql: &str| -> Result<Vec<SimpleQueryRow>> {
        let answer = client.simple_query(sql).await;
        let answer = answer.map_err(|cause| {
            Failure::driver(&cause).into_error("the server lets us in, and fails at a query")
        })?;
        Ok(answer.into_iter().filter_map(row).collect())
    };
    let began = clock.now();
    let asked = Instant::now();
    let instant = ask(CLOCK).await?;
    let round_trip = asked.elapsed();
    ask("BEGIN READ ONLY; SET LOCAL statement_timeout = '5s'").await?;
    let facts = ask(FACTS).await?;
    let applications = ask(APPLICATIONS).await?;
    if let Some(role) = &address.role {
        let role = role.replace('"', "\"\"");
        ask(&format!("SET LOCAL ROLE \"{role}\"")).await?;
    }
    let lacking = if privileges.is_empty() {
        Vec::new()
    } else {
        let schema = address
            .schema
            .as_deref()
            .filter(|schema| *schema != "public");
        if let Some(schema) = schema {
            let schema = schema.replace('"', "\"\"");
            ask(&format!("SET LOCAL search_path = \"{schema}\", public")).await?;
        }
        lacking(&ask(&question(privileges)).await?, privileges)
    };
    ask("COMMIT").await?;
    let facts = facts.first().ok_or_else(no_row)?;
    let text = |column: usize| facts.get(column).unwrap_or_default();
    let number = |column: usize| text(column).parse().unwrap_or(0);
    let server = instant
        .first()
        .and_then(|row| row.get(0)?.parse::<i64>().ok());
    let half = round_trip / 2;
    let local = began.checked_add(half).unwrap_or(began);
    Ok(ServerFacts {
        version: text(0).to_owned(),
        is_standby: text(1) == "t",
        is_read_only: text(2) == "t",
        role: text(3).to_owned(),
        max_connections: number(4),
        reserved_connections: number(5),
        applications: applications
            .iter()
            .map(|row| {
                let count = row.get(1).and_then(|count| count.parse().ok());
                (
                    row.get(0).unwrap_or_default().to_owned(),
                    count.unwrap_or(0),
                )
            })
            .collect(),
        round_trip,
        skew: server
            .and_then(|server| Timestamp::from_microsecond(server).ok())
            .map_or(0.0, |server| server.duration_since(local).as_secs_f64()),
        lacking,
    })
}

fn no_row() -> Error {
    Error::new(
        ErrorKind::Failed,
        "the server answered a query without a row",
    )
}

/// Returns a query with a row for each privilege: whether the relation exists, and whether the role has the privilege.
fn question(privileges: &[Privilege]) -> String {
    let each = privileges.iter().map(|(relation, privilege)| {
        format!(
            "SELECT pg_catalog.to_regclass('{relation}') IS NOT NULL, \
             pg_catalog.has_table_privilege(pg_catalog.to_regclass('{relation}')::oid, '{privilege}')"
        )
    });
    each.collect::<Vec<_>>().join(" UNION ALL ")
}

fn lacking(
    rows: &[SimpleQueryRow],
    privileges: &[Privilege],
) -> Vec<(String, Option<&'static str>)> {
    let mut lacking = Vec::new();
    for (row, (relation, privilege)) in rows.iter().zip(privileges) {
        let lack = match (row.get(0), row.get(1)) {
            (Some("t"), Some("t")) => continue,
            (Some("t"), _) => Some(*privilege),
            _ => None,
        };
        let lack = ((*relation).to_owned(), lack);
        if !lacking.contains(&lack) {
            lacking.push(lack);
        }
    }
    lacking
}

fn row(message: SimpleQueryMessage) -> Option<SimpleQueryRow> {
    match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    }
}

fn timed_out(phase: ConnectPhase, after: Duration) -> Failure {
    Failure::of(FailureCause::TimedOut { phase, after })
}
