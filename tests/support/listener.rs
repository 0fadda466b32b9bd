//! A server on loopback for a stand-in: each connection has a thread of its own.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// Serves every connection from now on, and returns the port.
pub(crate) fn listen(
    serve: impl Fn(TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            // A client that closes the connection causes an error here, which is ignored.
            thread::spawn(move || drop(serve(connection)));
        }
    });
    port
}
