//! A stand-in for the push service: HTTPS and HTTP/2, its token endpoint, and a script of failures.
//!
//! It runs on threads of its own, so a test may pause its clock without stopping it. Deliberately absent: delivery,
//! topics, conditions, and leniency.

pub(crate) mod answers;
mod identity;
pub(crate) mod ledger;
mod oauth;
pub(crate) mod raw;
pub(crate) mod script;
mod strict;
mod wire;

use std::io;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use openssl::ssl::{Ssl, SslAcceptor};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_openssl::SslStream;

use identity::Identity;
use ledger::{Accepted, Attempt, Ledger, Memory};
use oauth::Oauth;
use script::{Play, Reply, Script};

/// The project that the stand-in serves.
pub(crate) const PROJECT: &str = "example-project";
/// The service account that the stand-in accepts.
pub(crate) const ACCOUNT_EMAIL: &str = "pushctl@example-project.iam.example.com";

/// The protocol on the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// TLS, HTTP/2 by ALPN.
    Http2,
    /// TLS that agrees only on HTTP/1.1, like some proxies.
    Http1,
    /// HTTP/2 without TLS.
    Cleartext,
}

/// Options of a stand-in.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The port; 0 for any free one.
    pub(crate) port: u16,
    pub(crate) protocol: Protocol,
    pub(crate) script: Script,
    /// The file to which accepted messages are appended.
    pub(crate) log: Option<PathBuf>,
    pub(crate) memory: Memory,
    pub(crate) threads: usize,
    /// The largest number of concurrent streams on a connection; 100, as the real service has.
    pub(crate) streams: Option<u32>,
    pub(crate) token_lifetime: Duration,
    /// Issues tokens also for assertions with a wrong time, because tests move their clocks.
    pub(crate) any_date: bool,
    pub(crate) token_delay: Duration,
    /// The directory of keys and certificates, for a stand-in that is restarted.
    pub(crate) keep: Option<PathBuf>,
    /// The status with which the token endpoint rejects every request.
    pub(crate) token_refusal: Option<u16>,
    /// The host in its addresses; the name [`HOST_NAME`] can be reached only through a proxy.
    pub(crate) host: &'static str,
}

/// A host name in the certificate that no name server knows.
pub(crate) const HOST_NAME: &str = "push.example.com";

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            protocol: Protocol::Http2,
            script: Script::default(),
            log: None,
            memory: Memory::Kept,
            threads: 1,
            streams: None,
            token_lifetime: Duration::from_secs(3599),
            any_date: false,
            token_delay: Duration::ZERO,
            keep: None,
            token_refusal: None,
            host: "127.0.0.1",
        }
    }
}

/// A running stand-in; it stops when this is dropped.
pub(crate) struct StandIn {
    /// `https://127.0.0.1:7000`
    base_url: String,
    authority: Vec<u8>,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// The state that all connections share.
pub(crate) struct Shared {
    project: String,
    path: String,
    oauth: Oauth,
    ledger: Ledger,
    play: Option<Mutex<Play>>,
    streams: Option<u32>,
    connections: AtomicU64,
    refused: AtomicU64,
}

impl Shared {
    fn next_reply(&self, token: &str) -> Reply {
        let Some(play) = &self.play else {
            return Reply::Accept;
        };
        play.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next(token)
    }
}

impl StandIn {
    /// Starts a stand-in with a script.
    pub(crate) fn playing(script: Script) -> Self {
        Self::start(&Options {
            script,
            ..Options::default()
        })
        .expect("a free port on loopback")
    }

    /// Starts a stand-in.
    pub(crate) fn start(options: &Options) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.threads)
            .thread_name("stand-in")
            .enable_all()
            .build()?;
        let listener = {
            let _context = runtime.enter();
            TcpListener::from_std(listen(options.port)?)?
        };
        let address = listener.local_addr()?;
        let identity = match &options.keep {
            Some(directory) => Identity::kept_in(directory),
            None => Identity::create(),
        };
        let scheme = match options.protocol {
            Protocol::Http2 | Protocol::Http1 => "https",
            Protocol::Cleartext => "http",
        };
        let base_url = format!("{scheme}://{}:{}", options.host, address.port());
        let play = Play::of(options.script.clone());
        let shared = Arc::new(Shared {
            project: PROJECT.to_owned(),
            path: format!("/v1/projects/{PROJECT}/messages:send"),
            oauth: Oauth::new(format!("{base_url}/token"), options),
            ledger: Ledger::open(options.log.as_deref(), options.memory)?,
            play: (!play.is_empty()).then(|| Mutex::new(play)),
            streams: options.streams,
            connections: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        let acceptor =
            (options.protocol != Protocol::Cleartext).then(|| identity.acceptor(options.protocol));
        runtime.spawn(accept(listener, acceptor, Arc::clone(&shared)));
        Ok(Self {
            base_url,
            authority: identity.authority_pem(),
            shared,
            runtime: Some(runtime),
        })
    }

    /// `https://127.0.0.1:port`
    pub(crate) fn base_url(&self) -> String {
        self.base_url.clone()
    }

    /// Returns the address of the token endpoint.
    pub(crate) fn token_uri(&self) -> String {
        format!("{}/token", self.base_url)
    }

    /// Returns the certificate authority to trust, PEM.
    pub(crate) fn authority_pem(&self) -> &[u8] {
        &self.authority
    }

    /// Returns a service account file like the console's.
    pub(crate) fn service_account(&self) -> serde_json::Value {
        json!({
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "0123456789abcdef",
            "private_key": private_key_pem(),
            "client_email": ACCOUNT_EMAIL,
            "client_id": "100000000000000000000",
            "token_uri": self.token_uri(),
        })
    }

    /// Returns every message accepted so far.
    pub(crate) fn accepted(&self) -> Vec<Accepted> {
        self.shared.ledger.accepted()
    }

    /// Returns every well-formed request for `token`, in order.
    pub(crate) fn attempts(&self, token: &str) -> Vec<Attempt> {
        let mut attempts = self.shared.ledger.attempts();
        attempts.retain(|attempt| attempt.token == token);
        attempts
    }

    /// Returns every well-formed request, in order.
    pub(crate) fn requests(&self) -> Vec<Attempt> {
        self.shared.ledger.attempts()
    }

    /// Returns the waits between the requests for `token`.
    pub(crate) fn waits(&self, token: &str) -> Vec<Duration> {
        let at: Vec<Instant> = self.attempts(token).iter().map(|seen| seen.at).collect();
        at.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// Returns the number of connections opened so far.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Returns the number of malformed requests.
    pub(crate) fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Issues a bearer token for a client that cannot request one.
    pub(crate) fn lend(&self) -> String {
        self.shared.oauth.lend()
    }

    /// Returns the number of requests to the token endpoint.
    pub(crate) fn token_requests(&self) -> u64 {
        self.shared.oauth.requests()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Returns the service account's private key, PKCS #8 PEM.
pub(crate) fn private_key_pem() -> String {
    let pem = identity::account_key()
        .private_key_to_pem_pkcs8()
        .expect("PEM");
    String::from_utf8(pem).expect("PEM is ASCII")
}

/// Binds `port`, after a short wait for a stand-in that was just killed.
fn listen(port: u16) -> io::Result<std::net::TcpListener> {
    let mut tries = 50;
    loop {
        match std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {
                tries -= 1;
                std::thread::sleep(Duration::from_millis(100));
            }
            bound => {
                let listener = bound?;
                listener.set_nonblocking(true)?;
                return Ok(listener);
            }
        }
    }
}

async fn accept(listener: TcpListener, acceptor: Option<SslAcceptor>, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        let _ = socket.set_nodelay(true);
        let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            match acceptor {
                None => wire::serve(socket, "http", shared).await,
                Some(acceptor) => {
                    if let Some(stream) = tls(socket, &acceptor).await {
                        wire::serve(stream, "https", shared).await;
                    }
                }
            }
        });
    }
}

async fn tls(socket: TcpStream, acceptor: &SslAcceptor) -> Option<SslStream<TcpStream>> {
    let ssl = Ssl::new(acceptor.context()).ok()?;
    let mut stream = SslStream::new(ssl, socket).ok()?;
    Pin::new(&mut stream).accept().await.ok()?;
    Some(stream)
}
