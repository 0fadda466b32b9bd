//! One HTTP/2 connection of the stand-in, driven by one task.
//!
//! Requests that arrive together are checked together, logged with one write, and only then answered.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::request::Parts;
use tokio::io::{AsyncRead, AsyncWrite};

use super::Shared;
use super::answers::{self, Answer};
use super::ledger::{Accepted, Attempt, Fate, Memory};
use super::oauth::Admission;
use super::script::Reply;
use super::strict::{self, Message};

const STREAMS: u32 = 100;
const MAX_BODY: usize = 64 * 1024;

/// Serves `io` until either side ends it.
pub(super) async fn serve<S>(io: S, scheme: &'static str, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(shared.streams.unwrap_or(STREAMS))
        .initial_connection_window_size(1 << 20)
        .handshake::<_, Bytes>(io)
        .await;
    let Ok(connection) = handshake else { return };
    let number = shared.connections.fetch_add(1, Ordering::Relaxed);
    let mut wire = Wire {
        connection,
        scheme,
        number,
        admitted: None,
        arriving: Vec::new(),
        later: FuturesUnordered::new(),
        judged: Vec::new(),
        accepted: Vec::new(),
        lines: Vec::new(),
        ending: Ending::No,
        shared,
    };
    poll_fn(|cx| wire.poll(cx)).await;
}

type Later = Pin<Box<dyn Future<Output = (SendResponse<Bytes>, Message, Reply)> + Send>>;

struct Wire<S: AsyncRead + AsyncWrite + Unpin> {
    connection: Connection<S, Bytes>,
    scheme: &'static str,
    number: u64,
    admitted: Option<Admission>,
    arriving: Vec<Arriving>,
    later: FuturesUnordered<Later>,
    judged: Vec<(SendResponse<Bytes>, Act)>,
    accepted: Vec<Accepted>,
    lines: Vec<u8>,
    ending: Ending,
    shared: Arc<Shared>,
}

/// A request whose body is incomplete.
struct Arriving {
    parts: Parts,
    stream: RecvStream,
    body: Body,
    respond: SendResponse<Bytes>,
}

/// A body; it usually is one piece, which need not be copied.
enum Body {
    Whole(Bytes),
    Pieces(BytesMut),
}

/// The action on a stream.
enum Act {
    Answer(Answer),
    /// The head of an answer, then a reset.
    Truncate(Answer),
    Reset(Reason),
    Hang,
}

/// Whether and how the connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    Gracefully,
    Abruptly,
    /// Without GOAWAY, once the queued data is written.
    Silently,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let open = self.accept(cx);
            self.receive(cx);
            while let Poll::Ready(Some((respond, message, reply))) = self.later.poll_next_unpin(cx)
            {
                self.reply(respond, message, reply);
            }
            if self.ending == Ending::Silently && self.judged.is_empty() {
                return Poll::Ready(());
            }
            if self.judged.is_empty() {
                return if open { Poll::Pending } else { Poll::Ready(()) };
            }
            if self
                .shared
                .ledger
                .commit(&mut self.accepted, &mut self.lines)
                .is_err()
            {
                // A message that cannot be logged is not answered.
                return Poll::Ready(());
            }
            self.answer();
        }
    }

    /// Accepts every request that has arrived; returns false once the connection has ended.
    fn accept(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            match self.connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    let (parts, stream) = request.into_parts();
                    self.arriving.push(Arriving {
                        parts,
                        stream,
                        body: Body::Whole(Bytes::new()),
                        respond,
                    });
                }
                Poll::Ready(_) => return false,
                Poll::Pending => return true,
            }
        }
    }

    /// Handles the requests whose body is complete.
    fn receive(&mut self, cx: &mut Context<'_>) {
        let mut place = 0;
        while place < self.arriving.len() {
            match self.arriving[place].poll(cx) {
                Poll::Pending => place += 1,
                Poll::Ready(complete) => {
                    let arrived = self.arriving.swap_remove(place);
                    if complete {
                        self.judge(arrived);
                    }
                }
            }
        }
    }

    fn judge(&mut self, arrived: Arriving) {
        let Arriving {
            parts,
            body,
            respond,
            ..
        } = arrived;
        let body = match body {
            Body::Whole(body) => body,
            Body::Pieces(body) => body.freeze(),
        };
        if parts.uri.path() == "/token" {
            self.lend(respond, &body);
            return;
        }
        let shared = &self.shared;
        let admitted = &mut self.admitted;
        let message = strict::head(&parts, self.scheme, &shared.path, &shared.oauth, admitted)
            .and_then(|()| strict::body(&body));
        let message = match message {
            Ok(message) => message,
            Err(answer) => {
                shared.refused.fetch_add(1, Ordering::Relaxed);
                self.judged.push((respond, Act::Answer(*answer)));
                return;
            }
        };
        if shared.ledger.memory() == Memory::Kept {
            shared.ledger.attempt(Attempt {
                token: message.token.clone(),
                at: Instant::now(),
                connection: self.number,
                message: serde_json::from_slice(&body).unwrap_or_default(),
            });
        }
        let reply = shared.next_reply(&message.token);
        self.reply(respond, message, reply);
    }

    fn lend(&mut self, respond: SendResponse<Bytes>, form: &[u8]) {
        let answer = self.shared.oauth.answer(form).dated();
        let delay = self.shared.oauth.delay();
        if delay.is_zero() {
            self.judged.push((respond, Act::Answer(answer)));
            return;
        }
        let mut respond = respond;
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            send(&mut respond, answer);
        });
    }

    fn reply(&mut self, respond: SendResponse<Bytes>, message: Message, reply: Reply) {
        let mut accept = |fate| {
            let name = self.shared.ledger.name(&self.shared.project);
            let answer = answers::accepted(&name);
            let fate = if message.validate_only {
                Fate::Validated
            } else {
                fate
            };
            self.accepted.push(Accepted {
                token: message.token.clone(),
                name,
                fate,
            });
            answer
        };
        let act = match reply {
            Reply::Accept => Act::Answer(accept(Fate::Answered)),
            Reply::Unregistered => Act::Answer(answers::unregistered()),
            Reply::InvalidToken => Act::Answer(answers::invalid_token()),
            Reply::InvalidMessage => Act::Answer(answers::violation(
                "message.notification.title",
                "Invalid value at 'message.notification.title'",
            )),
            Reply::SenderIdMismatch => Act::Answer(answers::sender_id_mismatch()),
            Reply::ThirdPartyAuth => Act::Answer(answers::third_party_auth()),
            Reply::ExpiredToken => Act::Answer(answers::unauthenticated()),
            Reply::PermissionDenied => Act::Answer(answers::permission_denied()),
            Reply::NotFound => Act::Answer(answers::not_found()),
            Reply::Quota { retry_after } => Act::Answer(answers::quota(retry_after)),
            Reply::Internal { retry_after } => Act::Answer(answers::internal(retry_after)),
            Reply::Unavailable { retry_after } => Act::Answer(answers::unavailable(retry_after)),
            Reply::Html { status } => Act::Answer(Answer::html(status)),
            Reply::Slow { ms, then } => {
                self.later.push(Box::pin(async move {
                    tokio::time::sleep(Duration::from_millis(ms)).await;
                    (respond, message, *then)
                }));
                return;
            }
            Reply::AcceptThenReset => {
                accept(Fate::Lost);
                Act::Reset(Reason::INTERNAL_ERROR)
            }
            Reply::AcceptThenDrop => {
                accept(Fate::Lost);
                self.ending = Ending::Silently;
                Act::Hang
            }
            Reply::AcceptThenTruncate => Act::Truncate(accept(Fate::Lost)),
            Reply::Reset => Act::Reset(Reason::CANCEL),
            Reply::Refuse => Act::Reset(Reason::REFUSED_STREAM),
            Reply::Hang => Act::Hang,
            Reply::GoAway => {
                let answer = accept(Fate::Answered);
                self.ending = Ending::Gracefully;
                Act::Answer(answer)
            }
            Reply::GoAwayNow => {
                self.ending = Ending::Abruptly;
                Act::Hang
            }
            Reply::Drop => {
                self.ending = Ending::Silently;
                Act::Hang
            }
        };
        self.judged.push((respond, act));
    }

    fn answer(&mut self) {
        for (mut respond, act) in self.judged.drain(..) {
            match act {
                Act::Answer(answer) => send(&mut respond, answer),
                Act::Truncate(answer) => {
                    if let Ok(mut stream) = respond.send_response(answer.head, false) {
                        let half = answer.body.len() / 2;
                        let body = Bytes::from(answer.body).slice(..half);
                        let _ = stream.send_data(body, false);
                        // The reset must not overtake the part that is queued.
                        tokio::spawn(async move {
                            tokio::time::sleep(Duration::from_millis(50)).await;
                            stream.send_reset(Reason::INTERNAL_ERROR);
                        });
                    }
                }
                Act::Reset(reason) => respond.send_reset(reason),
                Act::Hang => self.later.push(Box::pin(async move {
                    let never: Later = Box::pin(std::future::pending());
                    let answer = never.await;
                    drop(respond);
                    answer
                })),
            }
        }
        match self.ending {
            Ending::Gracefully => {
                self.connection.graceful_shutdown();
                self.ending = Ending::No;
            }
            Ending::Abruptly => {
                self.connection.abrupt_shutdown(Reason::INTERNAL_ERROR);
                self.ending = Ending::No;
            }
            Ending::No | Ending::Silently => {}
        }
    }
}

impl Arriving {
    /// Returns, when ready, whether the body is complete.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while !self.stream.is_end_stream() {
            match self.stream.poll_data(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(piece))) => {
                    let _ = self.stream.flow_control().release_capacity(piece.len());
                    self.body.push(piece);
                    if self.body.len() > MAX_BODY {
                        return Poll::Ready(false);
                    }
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Ready(None) => break,
            }
        }
        Poll::Ready(true)
    }
}

impl Body {
    fn push(&mut self, piece: Bytes) {
        match self {
            Self::Whole(whole) if whole.is_empty() => *whole = piece,
            Self::Whole(whole) => {
                let mut pieces = BytesMut::from(&whole[..]);
                pieces.extend_from_slice(&piece);
                *self = Self::Pieces(pieces);
            }
            Self::Pieces(pieces) => pieces.extend_from_slice(&piece),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Whole(whole) => whole.len(),
            Self::Pieces(pieces) => pieces.len(),
        }
    }
}

/// Queues an answer; the client may have disconnected.
fn send(respond: &mut SendResponse<Bytes>, answer: Answer) {
    if let Ok(mut stream) = respond.send_response(answer.head, false) {
        let _ = stream.send_data(Bytes::from(answer.body), true);
    }
}
