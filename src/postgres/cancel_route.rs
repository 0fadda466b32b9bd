//! How a server was reached, so that a cancel request can take the same way: to the very address, no name resolved, and
//! encrypted alike.

use std::net::SocketAddr;
use std::path::PathBuf;

use native_tls::TlsConnector;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use super::address::{Host, Negotiation};
use super::failure::{Failure, FailureCause};
use super::stream::Stream;
use super::tls;

/// A way that has been taken.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) host: Host,
    peer: Peer,
    connector: Option<TlsConnector>,
    negotiation: Negotiation,
}

#[derive(Debug, Clone)]
pub(crate) enum Peer {
    Tcp(SocketAddr),
    Socket(PathBuf),
}

impl Route {
    /// Without a connector the way is not encrypted.
    pub(crate) fn new(
        host: &Host,
        peer: Peer,
        connector: Option<TlsConnector>,
        negotiation: Negotiation,
    ) -> Self {
        Self {
            host: host.clone(),
            peer,
            connector,
            negotiation,
        }
    }

    pub(crate) async fn retrace(&self) -> Result<Stream, Failure> {
        let (tcp, connector) = match (self.peer.dial().await?, self.connector.clone()) {
            (Stream::Tcp(tcp), Some(connector)) => (tcp, connector),
            (stream, _) => return Ok(stream),
        };
        let tcp = match self.negotiation {
            Negotiation::Direct => tcp,
            Negotiation::Postgres => match tls::ask(tcp).await? {
                tls::TlsAnswer::Agreed(tcp) => tcp,
                tls::TlsAnswer::Declined(_) => return Err(Failure::of(FailureCause::TlsDeclined)),
            },
        };
        tls::shake_hands(tcp, connector, &self.host.name).await
    }
}

impl Peer {
    /// Connects, with neither keepalives nor a limit: the caller has one.
    pub(crate) async fn dial(&self) -> Result<Stream, Failure> {
        match self {
            Self::Tcp(address) => TcpStream::connect(address)
                .await
                .map(Stream::Tcp)
                .map_err(Failure::io),
            #[cfg(unix)]
            Self::Socket(path) => UnixStream::connect(path)
                .await
                .map(Stream::Unix)
                .map_err(Failure::io),
            #[cfg(not(unix))]
            Self::Socket(_) => Err(Failure::of(FailureCause::NoSocket)),
        }
    }
}
