//! One request and its answer, and when there is no answer: how far the request can have got.
//!
//! What tells "not accepted" from "in doubt" is what HTTP/2 promises (RFC 9113, 8.7): a stream above the number in a
//! GOAWAY, or reset with `REFUSED_STREAM`, was not processed. `h2` gives an open stream a *remote* GOAWAY error only
//! when the stream's number is above the one in the frame; streams below it live on, and if the connection then ends
//! they get an I/O error. So: remote and GOAWAY, or remote and `REFUSED_STREAM`: safe. Anything else: in doubt.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use tokio::time::timeout;

/// An answer's body is a few hundred bytes; what comes after this much is not read.
const MAX_BODY: usize = 64 * 1024;

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<HeaderValue>,
    pub(super) body: Bytes,
}

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// It is certain that the message was not accepted.
    NotAccepted,
    /// It may have been.
    InDoubt(Doubt),
}

/// How an answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// None came in time.
    TimedOut,
    /// The service reset the stream without saying that it refused it.
    Reset,
    /// The connection ended.
    ConnectionLost,
    /// Whoever sends did not want to wait any longer.
    Abandoned,
}

/// Awaits the answer, but not longer than `patience`.
pub(super) async fn answer(response: ResponseFuture, patience: Duration) -> Result<Reply, Broken> {
    timeout(patience, receive(response))
        .await
        .unwrap_or(Err(Broken::InDoubt(Doubt::TimedOut)))
}

async fn receive(response: ResponseFuture) -> Result<Reply, Broken> {
    let (head, stream) = response.await.map_err(|error| broken(&error))?.into_parts();
    let body = match read(stream).await {
        Ok(body) => body,
        Err(error) if head.status.is_success() => return Err(broken(&error)),
        // These say enough by themselves.
        Err(_) if head.status == StatusCode::TOO_MANY_REQUESTS => Bytes::new(),
        Err(_) if head.status.is_server_error() => Bytes::new(),
        // A refusal whose explanation was lost is still a refusal: ask again to hear it.
        Err(_) => return Err(Broken::NotAccepted),
    };
    Ok(Reply {
        status: head.status,
        retry_after: head.headers.get(RETRY_AFTER).cloned(),
        body,
    })
}

/// The body: as a rule one piece, which is not copied.
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

/// What an error on an open stream says about the message.
pub(super) fn broken(error: &h2::Error) -> Broken {
    if error.is_remote() {
        if error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM) {
            return Broken::NotAccepted;
        }
        return Broken::InDoubt(Doubt::Reset);
    }
    Broken::InDoubt(Doubt::ConnectionLost)
}
