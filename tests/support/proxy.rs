//! A failing network: a TCP proxy in the test process, between pushctl and a real server.
//!
//! It runs on threads of its own, so that a busy test does not block it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openssl::ssl::{AlpnError, Ssl, SslAcceptor, SslMethod};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};

use super::certificates::Pair;

/// What happens to a connection.
#[derive(Clone)]
pub(crate) enum Fate {
    /// It is passed on.
    Pass,
    /// It is accepted, and nothing is ever sent on it.
    Silence,
    /// After this many bytes from the server nothing more arrives.
    StallAfter(usize),
    /// After this many bytes from the server the connection is reset.
    ResetAfter(usize),
    /// After this many bytes from the server the connection is closed properly.
    CloseAfter(usize),
    /// After this many bytes from the server the proxy says that none will follow, and goes on reading.
    HalfCloseAfter(usize),
    /// The server's bytes arrive one at a time.
    Trickle,
    /// A request for TLS is declined, and the rest is passed on.
    WithoutTls,
    /// These bytes are the answer to everything.
    Say(&'static [u8]),
    /// The proxy ends TLS with this certificate, after PostgreSQL's request for TLS.
    Tls(Pair, Box<Fate>),
    /// The proxy ends TLS, which begins at once.
    DirectTls(Pair, Box<Fate>),
}

/// A proxy, stopped when it is dropped.
pub(crate) struct Proxy {
    port: u16,
    fates: Arc<Mutex<Fates>>,
    runtime: Option<Runtime>,
}

struct Fates {
    coming: VecDeque<Fate>,
    after: Fate,
    accepted: usize,
}

impl Proxy {
    /// Starts a proxy to a loopback port with the same fate for every connection.
    pub(crate) fn start(upstream: u16, fate: Fate) -> Self {
        Self::script(upstream, [], fate)
    }

    /// Starts a proxy with one fate for each of the first connections, and `after` for all later ones.
    pub(crate) fn script(
        upstream: u16,
        coming: impl IntoIterator<Item = Fate>,
        after: Fate,
    ) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let fates = Arc::new(Mutex::new(Fates {
            coming: coming.into_iter().collect(),
            after,
            accepted: 0,
        }));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        runtime.spawn(accept(listener, upstream, Arc::clone(&fates)));
        Self {
            port,
            fates,
            runtime: Some(runtime),
        }
    }

    /// Returns its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Changes the fate of later connections.
    pub(crate) fn turn(&self, fate: Fate) {
        self.fates.lock().unwrap().after = fate;
    }

    /// Returns how many connections it has accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.fates.lock().unwrap().accepted
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A port that drops packets: its queue of waiting connections is full, so the kernel ignores new ones.
pub(crate) struct Blackhole {
    /// The port on 127.0.0.1.
    pub(crate) port: u16,
    _listener: TcpListener,
    _queue: Vec<tokio::task::JoinHandle<io::Result<TcpStream>>>,
}

impl Blackhole {
    /// Opens the port in a test without a runtime. The connections in the queue stay until the tests end.
    pub(crate) fn open_for_the_test() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let blackhole = runtime.block_on(Self::open());
        std::mem::forget(runtime);
        blackhole
    }

    /// Opens the port and fills its queue.
    pub(crate) async fn open() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let queue = (0..4)
            .map(|_| tokio::spawn(TcpStream::connect(address)))
            .collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let probe =
            tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await;
        assert!(
            probe.is_err(),
            "this kernel answers although the queue is full"
        );
        Self {
            port: address.port(),
            _listener: listener,
            _queue: queue,
        }
    }
}

async fn accept(listener: std::net::TcpListener, upstream: u16, fates: Arc<Mutex<Fates>>) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((client, _)) = listener.accept().await {
        let fate = {
            let mut fates = fates.lock().unwrap();
            fates.accepted += 1;
            fates
                .coming
                .pop_front()
                .unwrap_or_else(|| fates.after.clone())
        };
        tokio::spawn(async move {
            // Broken connections are intended here, so the error is ignored.
            let _ = meet(client, upstream, fate).await;
        });
    }
}

async fn meet(mut client: TcpStream, upstream: u16, fate: Fate) -> io::Result<()> {
    client.set_nodelay(true)?;
    match fate {
        Fate::Tls(pair, then) => {
            // The request for TLS is eight bytes.
            client.read_exact(&mut [0; 8]).await?;
            client.write_all(b"S").await?;
            carry(handshake(client, &pair).await?, upstream, *then).await
        }
        Fate::DirectTls(pair, then) => {
            carry(handshake(client, &pair).await?, upstream, *then).await
        }
        Fate::WithoutTls => {
            client.read_exact(&mut [0; 8]).await?;
            client.write_all(b"N").await?;
            carry(client, upstream, Fate::Pass).await
        }
        Fate::ResetAfter(bytes) => {
            // Closing without lingering sends a reset.
            socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
            carry(client, upstream, Fate::CloseAfter(bytes)).await
        }
        Fate::Trickle => trickle(client, upstream).await,
        fate => carry(client, upstream, fate).await,
    }
}

async fn handshake(
    client: TcpStream,
    pair: &Pair,
) -> io::Result<tokio_openssl::SslStream<TcpStream>> {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
    acceptor.set_certificate(&pair.certificate)?;
    acceptor.set_private_key(&pair.key)?;
    acceptor.set_alpn_select_callback(|_, offered| {
        openssl::ssl::select_next_proto(b"\x0apostgresql", offered).ok_or(AlpnError::NOACK)
    });
    let mut stream = tokio_openssl::SslStream::new(Ssl::new(acceptor.build().context())?, client)?;
    Pin::new(&mut stream)
        .accept()
        .await
        .map_err(io::Error::other)?;
    Ok(stream)
}

async fn carry(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    upstream: u16,
    fate: Fate,
) -> io::Result<()> {
    let limit = match fate {
        Fate::Silence => return drain(&mut client).await,
        Fate::Say(bytes) => {
            client.write_all(bytes).await?;
            return drain(&mut client).await;
        }
        Fate::StallAfter(bytes) | Fate::CloseAfter(bytes) | Fate::HalfCloseAfter(bytes) => bytes,
        _ => usize::MAX,
    };
    let mut server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], upstream))).await?;
    server.set_nodelay(true)?;
    let passed = pass(&mut client, &mut server, limit).await?;
    if passed >= limit && matches!(fate, Fate::HalfCloseAfter(_)) {
        client.shutdown().await?;
        drain(&mut client).await?;
    }
    if passed >= limit && matches!(fate, Fate::StallAfter(_)) {
        // The server has to wait too, as with a broken network.
        drain(&mut client).await?;
    }
    Ok(())
}

/// Passes bytes both ways until one side closes, or `limit` bytes have come from the server.
async fn pass(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    server: &mut TcpStream,
    limit: usize,
) -> io::Result<usize> {
    let (mut up, mut down) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
    let mut passed = 0;
    while passed < limit {
        tokio::select! {
            read = client.read(&mut up) => match read? {
                0 => break,
                n => server.write_all(&up[..n]).await?,
            },
            read = server.read(&mut down) => match read? {
                0 => break,
                n => {
                    let n = n.min(limit - passed);
                    client.write_all(&down[..n]).await?;
                    passed += n;
                }
            },
        }
    }
    Ok(passed)
}

async fn trickle(client: TcpStream, upstream: u16) -> io::Result<()> {
    let server = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], upstream))).await?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let down = async {
        let mut byte = [0];
        while from_server.read(&mut byte).await? > 0 {
            to_client.write_all(&byte).await?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        io::Result::Ok(())
    };
    tokio::select! {
        done = down => done,
        done = tokio::io::copy(&mut from_client, &mut to_server) => done.map(drop),
    }
}

/// Reads from the client and answers nothing, until the client disconnects.
async fn drain(client: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut taken = vec![0; 4096];
    while client.read(&mut taken).await? > 0 {}
    Ok(())
}
