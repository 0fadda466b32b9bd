//! An HTTP/2 peer made of raw frames, for what a well-behaved server never does: a GOAWAY at a chosen stream, a
//! connection that ends at a chosen moment. It uses no TLS and reads no headers.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

const PREFACE: usize = 24;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
/// HPACK: `:status: 200` is entry 8 of the static table.
const STATUS_200: &[u8] = &[0x88];

/// The actions on one connection; later connections answer everything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// After this many requests …
    pub(crate) requests: usize,
    /// … this many are answered …
    pub(crate) answered: usize,
    /// … and then the connection ends like this.
    pub(crate) ending: Ending,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending {
    /// GOAWAY names the last stream (1, 3, 5, …) that was processed, and the connection is closed.
    GoAway(u32),
    /// It is closed without GOAWAY.
    Close,
    /// It stays open, and everything that arrives is ignored.
    Mute,
}

/// The peer. Its thread ends with the process.
pub(crate) struct RawPeer {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<(usize, serde_json::Value)>>>,
}

impl RawPeer {
    /// Starts the peer; its first connection follows the plan.
    pub(crate) fn start(plan: Plan) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let bodies: Arc<Mutex<Vec<_>>> = Arc::default();
        let seen = Arc::clone(&bodies);
        thread::spawn(move || {
            for (number, socket) in listener.incoming().flatten().enumerate() {
                let plan = (number == 0).then_some(plan);
                let mut peer = Peer {
                    socket,
                    number,
                    seen: Arc::clone(&seen),
                };
                thread::spawn(move || {
                    let _ = peer.serve(plan);
                });
            }
        });
        Self { address, bodies }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the number of the connection of each request for `token`.
    pub(crate) fn requests(&self, token: &str) -> Vec<usize> {
        let bodies = self.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = bodies
            .iter()
            .filter(|(_, body)| body["message"]["token"] == token);
        mine.map(|(connection, _)| *connection).collect()
    }
}

struct Peer {
    socket: TcpStream,
    number: usize,
    seen: Arc<Mutex<Vec<(usize, serde_json::Value)>>>,
}

impl Peer {
    fn serve(&mut self, plan: Option<Plan>) -> io::Result<()> {
        let mut preface = [0; PREFACE];
        self.socket.read_exact(&mut preface)?;
        self.write(SETTINGS, 0, 0, &[])?;
        let mut complete: Vec<u32> = Vec::new();
        loop {
            let (kind, flags, stream, payload) = self.read()?;
            match kind {
                SETTINGS if flags & ACK == 0 => self.write(SETTINGS, ACK, 0, &[])?,
                PING if flags & ACK == 0 => self.write(PING, ACK, 0, &payload)?,
                DATA if flags & END_STREAM != 0 => {
                    let body = serde_json::from_slice(&payload).unwrap_or_default();
                    let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.push((self.number, body));
                    drop(seen);
                    complete.push(stream);
                    match plan {
                        None => self.answer(stream)?,
                        Some(plan) if complete.len() == plan.requests => {
                            return self.end(plan, &complete);
                        }
                        Some(_) => {}
                    }
                }
                _ => {}
            }
        }
    }

    fn end(&mut self, plan: Plan, complete: &[u32]) -> io::Result<()> {
        for stream in &complete[..plan.answered] {
            self.answer(*stream)?;
        }
        match plan.ending {
            Ending::GoAway(last) => {
                let mut payload = last.to_be_bytes().to_vec();
                payload.extend_from_slice(&0_u32.to_be_bytes());
                self.write(GOAWAY, 0, 0, &payload)?;
            }
            Ending::Close => {}
            Ending::Mute => loop {
                thread::park();
            },
        }
        self.socket.shutdown(std::net::Shutdown::Write)?;
        // Closing with unread data would reset the connection and could lose data that was written.
        io::copy(&mut self.socket, &mut io::sink()).map(|_| ())
    }

    fn answer(&mut self, stream: u32) -> io::Result<()> {
        let body = format!(
            "{{\"name\":\"projects/p/messages/{}-{stream}\"}}",
            self.number
        );
        self.write(HEADERS, END_HEADERS, stream, STATUS_200)?;
        self.write(DATA, END_STREAM, stream, body.as_bytes())
    }

    fn read(&mut self) -> io::Result<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        self.socket.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
        let mut payload = vec![0; usize::try_from(length).expect("24 bits")];
        self.socket.read_exact(&mut payload)?;
        Ok((head[3], head[4], stream, payload))
    }

    fn write(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len())
            .expect("a small frame")
            .to_be_bytes();
        let mut frame = vec![length[1], length[2], length[3], kind, flags];
        frame.extend_from_slice(&stream.to_be_bytes());
        frame.extend_from_slice(payload);
        self.socket.write_all(&frame)
    }
}
