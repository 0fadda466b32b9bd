//! Opens connections to the push service: name resolution, TCP, TLS, HTTP/2.
//!
//! HTTP/2 is done with `h2` itself. A connection pool would hide which connection a message used and whether the
//! service can have processed it, which separates "safe to send again" from "in doubt"; it would also cost several
//! times as much for each message.

use std::fmt;
use std::io;
use std::net::SocketAddr;
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

use super::proxy::{Proxy, ProxySettings, by};
use crate::advice::Advice;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::expiry::Expiry;
use crate::loopback::is_this_machine;
use crate::settings::secret::mask_url;

/// The expiry of the lease under which messages are sent, once the caller has set it.
pub(super) type LeaseExpiry = Arc<OnceLock<Expiry>>;

/// A connection that writes nothing once the caller's lease has expired, not even data handed over before. Data that
/// has arrived can still be read.
struct LeaseGuarded<S> {
    io: S,
    lease: LeaseExpiry,
}

impl<S> LeaseGuarded<S> {
    /// Returns whether the lease lasts. No waker is kept, because an expired lease stays expired.
    fn may_write(&self) -> bool {
        !self.lease.get().is_some_and(Expiry::is_past)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LeaseGuarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Waiting<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LeaseGuarded<S> {
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

/// A byte stream that can carry HTTP/2.
pub(super) trait Io: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

/// An open connection, and the handle that sends requests on it.
pub(super) struct OpenedTransport {
    pub(super) send: SendRequest<Bytes>,
    pub(super) connection: Connection<Pin<Box<dyn Io>>, Bytes>,
}

/// The address to which messages are posted.
pub(super) struct Endpoint {
    /// Without a path.
    base: Uri,
    /// With the path of the messages, once the project is known.
    messages: OnceLock<Uri>,
    host: String,
    port: u16,
    tls: Option<tokio_native_tls::TlsConnector>,
    proxy: Option<Proxy>,
    timeout: Duration,
    lease: LeaseExpiry,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.uri())
    }
}

/// Parses a URL; plain http is allowed only to this machine.
pub(crate) fn check_url(url: &str, what: &str) -> Result<reqwest::Url> {
    check_url_beside(url, what, |_| false)
}

/// Parses a URL; plain http is allowed only to this machine and to the hosts that `is_near` knows.
pub(super) fn check_url_beside(
    url: &str,
    what: &str,
    is_near: impl Fn(&str) -> bool,
) -> Result<reqwest::Url> {
    let parsed: reqwest::Url = url.parse().map_err(|cause| {
        Error::from_cause(ErrorKind::Usage, cause)
            .context(format!("{what} is not a URL"))
            .hint(Advice::WebAddress)
    })?;
    let host = parsed.host_str().unwrap_or_default();
    let is_local = is_this_machine(host) || is_near(host);
    match parsed.scheme() {
        "https" => Ok(parsed),
        "http" if is_local => Ok(parsed),
        _ => Err(Error::usage(format!(
            "{what} `{}` does not start with https://",
            mask_url(url)
        ))
        .hint(Advice::PlainHttp)),
    }
}

impl Endpoint {
    /// Makes the address of `base`, not of a project yet; `roots` are trusted in addition to the system's certificates.
    pub(super) fn new(
        base: &str,
        roots: &[Certificate],
        timeout: Duration,
        proxy: &ProxySettings,
    ) -> Result<Self> {
        let what = "the push service's address";
        let url = check_url(base, what)?;
        let uri: Uri = url.as_str().parse().kind(ErrorKind::Usage, || {
            format!("{what} `{base}` is not a valid address")
        })?;
        let tls = (uri.scheme() == Some(&Scheme::HTTPS))
            .then(|| connector(roots))
            .transpose()?;
        let host = url.host_str().unwrap_or_default();
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default().unwrap_or(443),
            proxy: Proxy::to(&url, proxy)?,
            base: uri,
            messages: OnceLock::new(),
            tls,
            timeout,
            lease: LeaseExpiry::default(),
        })
    }

    /// Sets the project of all messages. The first one stays.
    ///
    /// # Errors
    /// Its address is not one.
    pub(super) fn set_project(&self, project: &str) -> Result<()> {
        let base = self.base.to_string();
        let whole = format!(
            "{}/v1/projects/{project}/messages:send",
            base.trim_end_matches('/')
        );
        let uri = whole.parse().kind(ErrorKind::Usage, || {
            format!("{project} is not a project that messages can be posted to")
        })?;
        self.messages.get_or_init(|| uri);
        Ok(())
    }

    /// Returns the address that messages are posted to. No message is submitted before the project is set.
    pub(super) fn uri(&self) -> &Uri {
        self.messages.get().unwrap_or(&self.base)
    }

    /// Returns the expiry of the caller's lease; after it no connection writes any more.
    pub(super) fn lease(&self) -> &OnceLock<Expiry> {
        &self.lease
    }

    /// Returns the host and port, and the proxy on the way there.
    pub(super) fn place(&self) -> String {
        format!("{}{}", self.target(), by(self.proxy.as_ref()))
    }

    /// Opens a connection that speaks HTTP/2.
    pub(super) async fn connect(&self) -> Result<OpenedTransport> {
        let timed_out = |_| {
            Err(Error::new(
                ErrorKind::Unreachable,
                "no answer before the timeout",
            ))
        };
        timeout(self.timeout * 2, self.open())
            .await
            .unwrap_or_else(timed_out)
            .map_err(|error| {
                let place = self.place();
                let error = error.context(format!("cannot connect to the push service {place}"));
                match error.kind() {
                    ErrorKind::Unreachable if error.hints().is_empty() => {
                        error.hint(Advice::WayOut)
                    }
                    _ => error,
                }
            })
    }

    async fn open(&self) -> Result<OpenedTransport> {
        let socket = self.connect_tcp().await?;
        let lease = Arc::clone(&self.lease);
        let socket = LeaseGuarded { io: socket, lease };
        let io: Pin<Box<dyn Io>> = match &self.tls {
            None => Box::pin(socket),
            Some(tls) => {
                let stream = tls.connect(&self.host, socket).await.map_err(tls_failure)?;
                let agreed = stream.get_ref().negotiated_alpn().ok().flatten();
                if agreed.as_deref() != Some(b"h2") {
                    return Err(not_http2(agreed.as_deref()).permanent());
                }
                Box::pin(stream)
            }
        };
        let (send, connection) = h2::client::Builder::new()
            .enable_push(false)
            // Holds until the server's own limit arrives.
            .initial_max_send_streams(super::MAX_STREAMS)
            // Answers are small; this keeps window updates rare.
            .initial_connection_window_size(1 << 20)
            .handshake(io)
            .await
            .kind(ErrorKind::Unreachable, || "the HTTP/2 handshake failed")?;
        Ok(OpenedTransport { send, connection })
    }

    /// Connects to the service, or opens a tunnel to it.
    async fn connect_tcp(&self) -> Result<TcpStream> {
        let Some(proxy) = &self.proxy else {
            return self.connect_to(&self.host, self.port).await;
        };
        let mut socket = self.connect_to(&proxy.host, proxy.port).await?;
        proxy.open_tunnel(&mut socket, &self.target()).await?;
        Ok(socket)
    }

    /// Returns the host and port as a request names them.
    fn target(&self) -> String {
        let host = self.base.host().unwrap_or_default();
        format!("{host}:{}", self.port)
    }

    /// Connects to the first address that answers. The name is resolved anew each time.
    async fn connect_to(&self, host: &str, port: u16) -> Result<TcpStream> {
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((host, port))
            .await
            .kind(ErrorKind::Unreachable, || format!("cannot resolve {host}"))?
            .collect();
        let each = self.timeout / u32::try_from(addresses.len().clamp(1, 4)).unwrap_or(1);
        let mut last = Error::new(ErrorKind::Unreachable, format!("{host} has no address"));
        for address in addresses {
            match timeout(each, TcpStream::connect(address)).await {
                Ok(Ok(socket)) => {
                    // With Nagle's algorithm a batch of messages would wait for the answer to the one before.
                    let _ = socket.set_nodelay(true);
                    return Ok(socket);
                }
                Ok(Err(cause)) => {
                    last = Error::from_cause(ErrorKind::Unreachable, cause).context(address);
                }
                Err(_) => {
                    last = Error::new(ErrorKind::Unreachable, "no answer before the timeout")
                        .context(address);
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
        .kind(ErrorKind::Failed, || "cannot set up TLS")?;
    Ok(connector.into())
}

/// Returns whether a failure is about a certificate that no trusted authority signed.
pub(super) fn is_untrusted(failure: &impl std::fmt::Debug) -> bool {
    let text = format!("{failure:?}").to_lowercase();
    text.contains("certificate verify failed") || text.contains("not trusted")
}

fn tls_failure(cause: native_tls::Error) -> Error {
    if is_untrusted(&cause) {
        return Error::from_cause(ErrorKind::Credentials, cause)
            .context("the server's certificate is not trusted")
            .hint(Advice::PrivateAuthority);
    }
    Error::from_cause(ErrorKind::Unreachable, cause).context("the TLS handshake failed")
}

fn not_http2(agreed: Option<&[u8]>) -> Error {
    let protocol = agreed.map_or("nothing".into(), String::from_utf8_lossy);
    Error::new(
        ErrorKind::Unreachable,
        format!(
            "the push service does not speak HTTP/2 (TLS agreed on {protocol}; a proxy in between?)"
        ),
    )
    .hint(Advice::NoHttp2)
}

/// Makes the HTTP client for everything except messages; it trusts the same certificates.
pub(super) fn https(
    roots: &[Certificate],
    timeout: Duration,
    proxy: Option<&Proxy>,
) -> Result<reqwest::Client> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("pushctl/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(timeout)
        .timeout(timeout * 3);
    if let Some(proxy) = proxy {
        let proxy = reqwest::Proxy::all(&proxy.url)
            .kind(ErrorKind::Usage, || "the proxy cannot be used")?;
        builder = builder.proxy(proxy);
    }
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
        .kind(ErrorKind::Failed, || "cannot set up the HTTP client")
}

/// Parses every certificate of a PEM bundle.
pub(super) fn roots(pem: &[u8]) -> Result<Vec<Certificate>> {
    let roots = Certificate::stack_from_pem(pem)
        .kind(ErrorKind::Usage, || "the trusted certificates are not PEM")?;
    if roots.is_empty() {
        return Err(Error::usage(
            "the file of trusted certificates contains none",
        ));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_allowed_only_to_this_machine() {
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
