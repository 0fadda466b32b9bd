//! An HTTP proxy that opens tunnels to ports of this machine, whatever host is asked for.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// How a proxy answers a CONNECT request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It opens the tunnel.
    Tunnel,
    /// It opens the tunnel for this `Proxy-Authorization`.
    Authorized(&'static str),
    /// This line is its answer.
    Answer(&'static str),
    /// It never answers.
    Silent,
    /// It closes the connection.
    Close,
    /// It opens the tunnel, and closes it at once.
    CloseTunnel,
}

/// A proxy, stopped when it is dropped.
pub(crate) struct HttpProxy {
    port: u16,
    /// The request lines.
    asked: Arc<Mutex<Vec<String>>>,
    runtime: Option<Runtime>,
}

impl HttpProxy {
    pub(crate) fn start(manner: Manner) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::clone(&asked);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let requests = Arc::clone(&requests);
                tokio::spawn(async move {
                    // Broken connections are intended here, so the error is ignored.
                    let _ = serve(client, manner, &requests).await;
                });
            }
        });
        Self {
            port,
            asked,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the request lines so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for HttpProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(
    mut client: TcpStream,
    manner: Manner,
    requests: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut received = Vec::new();
    while !received.ends_with(b"\r\n\r\n") {
        received.push(client.read_u8().await?);
    }
    let head = String::from_utf8(received).unwrap();
    let line = head.lines().next().unwrap().to_owned();
    let port = line.split([':', ' ']).nth(2).unwrap().parse::<u16>();
    requests.lock().unwrap().push(line);
    let may = |value: &str| {
        head.to_lowercase()
            .contains(&format!("proxy-authorization: {value}").to_lowercase())
    };
    match manner {
        Manner::Tunnel | Manner::CloseTunnel => {}
        Manner::Authorized(value) if may(value) => {}
        Manner::Authorized(_) => {
            return client
                .write_all(
                    b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
                )
                .await;
        }
        Manner::Answer(line) => {
            return client.write_all(format!("{line}\r\n\r\n").as_bytes()).await;
        }
        Manner::Silent => {
            while client.read_u8().await.is_ok() {}
            return Ok(());
        }
        Manner::Close => return Ok(()),
    }
    let mut server = TcpStream::connect(("127.0.0.1", port.unwrap())).await?;
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await?;
    if manner != Manner::CloseTunnel {
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    }
    Ok(())
}
