//! From a host to a TCP connection: resolves the name anew each time, tries every address, sets the socket's timeouts.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::thread;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::address::{Host, Keepalive};
use super::failure::{Failure, FailureCause};

/// How long one address is waited for before the next is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

/// Returns the addresses of a host.
///
/// The system's resolver blocks, for many seconds where no name server answers. It is given a thread of its own
/// that neither a timeout here nor the end of the process waits for.
pub(crate) async fn resolve(host: &Host) -> Result<Vec<SocketAddr>, Failure> {
    if let Some(address) = host.hostaddr.or_else(|| host.name.parse::<IpAddr>().ok()) {
        return Ok(vec![SocketAddr::new(address, host.port)]);
    }
    let (sender, receiver) = oneshot::channel();
    let name = (host.name.clone(), host.port);
    thread::Builder::new()
        .name("resolver".to_owned())
        .spawn(move || {
            let addresses = name.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            // The receiver may be gone after a timeout.
            let _ = sender.send(addresses);
        })
        .map_err(Failure::io)?;
    let addresses = receiver
        .await
        .unwrap_or_else(|_| {
            Err(io::Error::other(
                "the name resolver ended without an answer",
            ))
        })
        .map_err(Failure::resolving)?;
    if addresses.is_empty() {
        Err(Failure::of(FailureCause::NoSuchHost))
    } else {
        Ok(addresses)
    }
}

/// Connects to the first address that answers: each is given a head start over the next, none is cut short by another.
/// `turn` rotates them, so that an address which accepts and then stays silent is not always the one that wins.
pub(crate) async fn dial(
    mut addresses: Vec<SocketAddr>,
    keepalive: &Keepalive,
    turn: u32,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let turn = turn as usize % addresses.len().max(1);
    addresses.rotate_left(turn);
    let mut waiting = addresses.into_iter();
    let mut racing = FuturesUnordered::new();
    let mut failures = Vec::new();
    loop {
        if racing.is_empty() {
            match waiting.next() {
                Some(address) => racing.push(connect(address, keepalive)),
                None => return Err(Failure::all(failures)),
            }
        }
        tokio::select! {
            Some(result) = racing.next() => match result {
                Ok(connected) => return Ok(connected),
                Err(failure) => {
                    failures.push(failure);
                    racing.extend(waiting.next().map(|address| connect(address, keepalive)));
                }
            },
            () = sleep(HEAD_START), if waiting.len() > 0 => {
                racing.extend(waiting.next().map(|address| connect(address, keepalive)));
            }
        }
    }
}

pub(super) async fn connect(
    address: SocketAddr,
    keepalive: &Keepalive,
) -> Result<(TcpStream, SocketAddr), Failure> {
    let tcp = TcpStream::connect(address)
        .await
        .map_err(|cause| Failure::io(cause).at(address))?;
    tune(&tcp, keepalive).map_err(|cause| Failure::io(cause).at(address))?;
    Ok((tcp, address))
}

/// Both are needed: keepalives end a wait for a reply, the user timeout ends the sending of a request.
fn tune(tcp: &TcpStream, keepalive: &Keepalive) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let socket = SockRef::from(tcp);
    if keepalive.enabled {
        let probes = TcpKeepalive::new()
            .with_time(keepalive.idle)
            .with_interval(keepalive.interval);
        #[cfg(not(target_os = "windows"))]
        let probes = probes.with_retries(keepalive.count);
        socket.set_tcp_keepalive(&probes)?;
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(keepalive.user_timeout))?;
    Ok(())
}
