//! Receives the answer to one request; without an answer, decides whether the service can have processed the request.
//!
//! HTTP/2 (RFC 9113, 8.7) separates "not accepted" from "in doubt": a stream above the number in a GOAWAY, or one that
//! was reset with `REFUSED_STREAM`, was not processed. `h2` gives an open stream a *remote* GOAWAY error only when the
//! stream's number is above the one in the frame; streams below it stay open, and if the connection then ends they get
//! an I/O error. So a remote GOAWAY error and a remote `REFUSED_STREAM` mean "not accepted"; any other error means "in
//! doubt".
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::{HeaderMap, StatusCode};
use tokio::time::timeout;

/// The largest part of an answer's body that is read; bodies have a few hundred bytes.
const MAX_BODY: usize = 64 * 1024;

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The state of a message whose request got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// The service certainly did not accept the message.
    NotAccepted,
    /// The service may have accepted the message.
    InDoubt(DoubtCause),
}

/// The way in which an answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DoubtCause {
    /// No answer came before the timeout.
    TimedOut,
    /// The service reset the stream with another code than `REFUSED_STREAM`.
    Reset,
    /// The connection ended.
    ConnectionLost,
    /// The caller stopped waiting for answers.
    Abandoned,
}

/// Waits for the answer, at most `limit`.
pub(super) async fn answer(response: ResponseFuture, limit: Duration) -> Result<Reply, NoAnswer> {
    timeout(limit, receive(response))
        .await
        .unwrap_or(Err(NoAnswer::InDoubt(DoubtCause::TimedOut)))
}

async fn receive(response: ResponseFuture) -> Result<Reply, NoAnswer> {
    let (head, stream) = response
        .await
        .map_err(|error| no_answer(&error))?
        .into_parts();
    let body = match read(stream).await {
        Ok(body) => body,
        Err(error) if head.status.is_success() => return Err(no_answer(&error)),
        // The status alone decides.
        Err(_) if head.status == StatusCode::TOO_MANY_REQUESTS => Bytes::new(),
        Err(_) if head.status.is_server_error() => Bytes::new(),
        // The status says that it was rejected, only the reason is missing: another attempt gets the reason.
        Err(_) => return Err(NoAnswer::NotAccepted),
    };
    Ok(Reply {
        status: head.status,
        headers: head.headers,
        body,
    })
}

/// Reads the body. It usually is one piece, which is not copied.
async fn read(mut stream: RecvStream) -> Result<Bytes, h2::Error> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        if first.is_empty() {
            first = piece;
        } else if first.len() + rest.len() < MAX_BODY {
            rest.extend_from_slice(&piece);
        }
        if stream.is_end_stream() {
            break;
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::from(&first[..]);
    whole.unsplit(rest);
    Ok(whole.freeze())
}

/// Returns what an error on an open stream means for the message.
pub(super) fn no_answer(error: &h2::Error) -> NoAnswer {
    if error.is_remote() {
        if error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM) {
            return NoAnswer::NotAccepted;
        }
        return NoAnswer::InDoubt(DoubtCause::Reset);
    }
    NoAnswer::InDoubt(DoubtCause::ConnectionLost)
}
