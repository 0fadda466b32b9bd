//! One connection to the push service: addresses, TCP, TLS, and HTTP/2 or nothing.
//!
//! HTTP/2 is spoken through `h2` itself. A pool would hide on which connection a message went and how far it got,
//! and that is what tells "safe to send again" from "in doubt"; it would also cost several times the CPU a message.
//! Deliberately absent: HTTP/1.1, proxies, redirects.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context as Waiting, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use http::uri::{Scheme, Uri};
use native_tls::Certificate;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Setback;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::expiry::Expiry;

/// The caller's right to send, once it has said so.
pub(super) type Right = Arc<OnceLock<Expiry>>;

/// A connection on which nothing is written once the caller's right to send has ended: not even what was handed over
/// while it lasted. What has come in can still be read.
struct Guarded<S> {
    io: S,
    right: Right,
}

impl<S> Guarded<S> {
    /// No waker is kept: a right that has ended stays so.
    fn may_write(&self) -> bool {
        !self.right.get().is_some_and(Expiry::is_past)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Waiting<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Waiting<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.may_write() {
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Waiting<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.may_write() {
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Waiting<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Waiting<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// What HTTP/2 runs on.
pub(super) trait Io: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

/// A connection, and the way to put requests on it.
pub(super) struct OpenedTransport {
    pub(super) send: SendRequest<Bytes>,
    pub(super) connection: Connection<Pin<Box<dyn Io>>, Bytes>,
}

/// Where messages are posted.
pub(super) struct Endpoint {
    pub(super) uri: Uri,
    host: String,
    port: u16,
    tls: Option<tokio_native_tls::TlsConnector>,
    timeout: Duration,
    right: Right,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.uri)
    }
}

/// Refuses plain http to anything but this machine.
pub(super) fn check_url(url: &str, what: &str) -> Result<reqwest::Url> {
    let parsed: reqwest::Url = url
        .parse()
        .kind(ErrorKind::Usage, || format!("{what} `{url}` is not a URL"))?;
    let host = parsed.host_str().unwrap_or_default();
    let bare = host.trim_matches(['[', ']']);
    let here = host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match parsed.scheme() {
        "https" => Ok(parsed),
        "http" if here => Ok(parsed),
        _ => Err(
            Error::usage(format!("{what} `{url}` does not start with https://"))
                .hint("plain http is only for a server on this machine"),
        ),
    }
}

impl Endpoint {
    /// `base` with `/v1/projects/{project}/messages:send` behind it; `roots` are trusted beside the system's.
    pub(super) fn new(
        base: &str,
        project: &str,
        roots: &[Certificate],
        timeout: Duration,
    ) -> Result<Self> {
        let what = "the push service's address";
        let url = check_url(base, what)?;
        let whole = format!(
            "{}/v1/projects/{project}/messages:send",
            url.as_str().trim_end_matches('/')
        );
        let uri: Uri = whole.parse().kind(ErrorKind::Usage, || {
            format!("{what} `{base}` cannot be used")
        })?;
        let tls = (uri.scheme() == Some(&Scheme::HTTPS))
            .then(|| connector(roots))
            .transpose()?;
        let host = url.host_str().unwrap_or_default();
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default().unwrap_or(443),
            uri,
            tls,
            timeout,
            right: Right::default(),
        })
    }

    /// The caller's right to send, on which every connection depends.
    pub(super) fn right(&self) -> &OnceLock<Expiry> {
        &self.right
    }

    /// Opens a connection and agrees on HTTP/2.
    pub(super) async fn connect(&self) -> Result<OpenedTransport, Setback> {
        let late = |_| {
            Err(Setback::Passing(Error::new(
                ErrorKind::Unreachable,
                "no answer in time",
            )))
        };
        timeout(self.timeout * 2, self.open())
            .await
            .unwrap_or_else(late)
            .map_err(|error| {
                error.context(&format!("cannot connect to {}:{}", self.host, self.port))
            })
    }

    async fn open(&self) -> Result<OpenedTransport, Setback> {
        let socket = self.reach().await.map_err(Setback::Passing)?;
        let right = Arc::clone(&self.right);
        let socket = Guarded { io: socket, right };
        let io: Pin<Box<dyn Io>> = match &self.tls {
            None => Box::pin(socket),
            Some(tls) => {
                let stream = tls.connect(&self.host, socket).await.map_err(tls_failure)?;
                let agreed = stream.get_ref().negotiated_alpn().ok().flatten();
                if agreed.as_deref() != Some(b"h2") {
                    return Err(Setback::Lasting(not_http2(agreed.as_deref())));
                }
                Box::pin(stream)
            }
        };
        let (send, connection) = h2::client::Builder::new()
            .enable_push(false)
            // Until the server's own number arrives.
            .initial_max_send_streams(super::MAX_STREAMS)
            // Answers are small; this keeps window updates rare.
            .initial_connection_window_size(1 << 20)
            .handshake(io)
            .await
            .kind(ErrorKind::Unreachable, || "HTTP/2 failed")
            .map_err(Setback::Passing)?;
        Ok(OpenedTransport { send, connection })
    }

    /// TCP to the first address that answers; names are resolved anew each time.
    async fn reach(&self) -> Result<TcpStream> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((self.host.as_str(), self.port))
            .await
            .kind(ErrorKind::Unreachable, || {
                format!("cannot resolve {}", self.host)
            })?
            .collect();
        let each = self.timeout / u32::try_from(addresses.len().clamp(1, 4)).unwrap_or(1);
        let mut last = Error::new(
            ErrorKind::Unreachable,
            format!("{} has no address", self.host),
        );
        for address in addresses {
            match timeout(each, TcpStream::connect(address)).await {
                Ok(Ok(socket)) => {
                    // Without this, a batch of messages would wait for the answer to the one before.
                    let _ = socket.set_nodelay(true);
                    return Ok(socket);
                }
                Ok(Err(cause)) => {
                    last = Error::from_cause(ErrorKind::Unreachable, cause).context(address);
                }
                Err(_) => {
                    last = Error::new(ErrorKind::Unreachable, "no answer in time").context(address);
                }
            }
        }
        Err(last)
    }
}

fn connector(roots: &[Certificate]) -> Result<tokio_native_tls::TlsConnector> {
    let mut builder = native_tls::TlsConnector::builder();
    builder.request_alpns(&["h2"]);
    for root in roots {
        builder.add_root_certificate(root.clone());
    }
    let connector = builder
        .build()
        .kind(ErrorKind::Failed, || "cannot set TLS up")?;
    Ok(connector.into())
}

fn tls_failure(cause: native_tls::Error) -> Setback {
    let said = format!("{cause:?}").to_lowercase();
    if said.contains("certificate verify failed") || said.contains("not trusted") {
        let error = Error::from_cause(ErrorKind::Credentials, cause)
            .context("the server's certificate is not trusted")
            .hint("if a private authority signed it, name that authority's certificate in the settings");
        return Setback::Lasting(error);
    }
    Setback::Passing(Error::from_cause(ErrorKind::Unreachable, cause).context("TLS failed"))
}

fn not_http2(agreed: Option<&[u8]>) -> Error {
    let instead = agreed.map_or("nothing".into(), String::from_utf8_lossy);
    Error::new(
        ErrorKind::Unreachable,
        format!("the server does not speak HTTP/2 (TLS agreed on {instead})"),
    )
    .hint("the push service requires HTTP/2; look for a proxy on the way that speaks only HTTP/1.1")
}

/// For everything that is not a message: a client that trusts the same authorities.
pub(super) fn https(roots: &[Certificate], timeout: Duration) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("pushctl/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(timeout)
        .timeout(timeout * 3);
    for root in roots {
        let root = root
            .to_der()
            .ok()
            .and_then(|der| reqwest::Certificate::from_der(&der).ok())
            .ok_or_else(|| Error::usage("a trusted certificate cannot be used"))?;
        builder = builder.add_root_certificate(root);
    }
    builder
        .build()
        .kind(ErrorKind::Failed, || "cannot set HTTP up")
}

/// Every certificate of a PEM bundle.
pub(super) fn roots(pem: &[u8]) -> Result<Vec<Certificate>> {
    let roots = Certificate::stack_from_pem(pem)
        .kind(ErrorKind::Usage, || "the trusted certificates are not PEM")?;
    if roots.is_empty() {
        return Err(Error::usage("there is no trusted certificate in the file"));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_only_for_this_machine() {
        for url in [
            "https://fcm.googleapis.com",
            "http://127.0.0.1:80",
            "http://[::1]:9/",
            "http://localhost",
        ] {
            assert!(check_url(url, "it").is_ok(), "{url}");
        }
        for url in [
            "http://example.com",
            "http://127.0.0.1.example.com",
            "http://10.0.0.1",
            "ftp://localhost",
            "localhost:80",
            "",
        ] {
            assert_eq!(
                check_url(url, "it").expect_err(url).kind(),
                ErrorKind::Usage,
                "{url}"
            );
        }
    }
}
