//! Drives one connection, and the requests on it, in one task.
//!
//! The connection and its requests are polled together: an answer wakes no other task, frames that are ready at the
//! same time are written together, and a message needs no task of its own.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use h2::client::{Connection, SendRequest};
use h2::{Ping, PingPong};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::answer::{PushAnswer, classify};
use super::client::ClientState;
use super::dispatch::{Current, InFlight, Next, PoolSlot};
use super::request;
use super::request::{Broken, Doubt, Reply};
use super::transport::{Io, OpenedTransport};
use crate::error::{Error, Kind};

/// After this long without an answer a connection is pinged before messages are sent on it.
const SILENCE: Duration = Duration::from_secs(10);
/// The timeout for the answer to a ping.
const PING_PATIENCE: Duration = Duration::from_secs(5);
/// Messages in flight on a connection without any answer yet: the most that are in doubt if it does not work.
const UNPROVEN: usize = 10;
/// The first and the longest wait between attempts to connect.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Opens and drives the connection of slot `number`, again after each loss, until nothing is left to send.
pub(super) async fn run(
    shared: Arc<ClientState>,
    number: usize,
    mut opened: Option<OpenedTransport>,
) {
    let mut failures = 0;
    loop {
        let connection = match opened.take() {
            Some(connection) => connection,
            None if !wanted(&shared, number).await => return,
            None => match shared.endpoint.connect().await {
                Ok(connection) => connection,
                Err(error) => {
                    shared.unreachable(error.error());
                    pause(&mut failures).await;
                    shared.set_berth(number, PoolSlot::Closed);
                    continue;
                }
            },
        };
        match PushConnection::new(&shared, number, connection)
            .drive()
            .await
        {
            ConnectionEnd::Finished => {
                shared.set_berth(number, PoolSlot::Closed);
                return;
            }
            ConnectionEnd::Lost { silent: false } => failures = 0,
            // A connection that answers nothing is no better than a failure to connect.
            ConnectionEnd::Lost { silent: true } => {
                let message = "the push service accepts connections and does not answer";
                shared.unreachable(&Error::new(Kind::Unreachable, message));
                shared.set_berth(number, PoolSlot::Opening);
                pause(&mut failures).await;
            }
        }
        shared.set_berth(number, PoolSlot::Closed);
    }
}

async fn pause(failures: &mut u32) {
    let wait = RECONNECT.0.saturating_mul(2_u32.saturating_pow(*failures));
    *failures += 1;
    sleep(wait.min(RECONNECT.1)).await;
}

/// Waits until another connection is needed. Returns false when nothing is left to send.
async fn wanted(shared: &ClientState, number: usize) -> bool {
    poll_fn(|cx| {
        let mut dispatch = shared.dispatch();
        if dispatch.is_done() {
            return Poll::Ready(false);
        }
        let open = dispatch.may_open(number);
        let slot = if open {
            PoolSlot::Opening
        } else {
            PoolSlot::Closed
        };
        dispatch.slot(number, slot, cx.waker());
        if open {
            Poll::Ready(true)
        } else {
            Poll::Pending
        }
    })
    .await
}

/// The reason why a connection is no longer used.
enum ConnectionEnd {
    /// Nothing is left to send.
    Finished,
    /// It broke or was closed; `silent` if messages were sent on it and no answer ever came.
    Lost { silent: bool },
}

type Landing = Pin<Box<dyn Future<Output = (usize, Result<Reply, Broken>)> + Send>>;

struct PushConnection<'s> {
    shared: &'s Arc<ClientState>,
    number: usize,
    send: SendRequest<Bytes>,
    /// `None` once it has ended: the requests on it only fail when it is dropped.
    connection: Option<Connection<Pin<Box<dyn Io>>, Bytes>>,
    pings: Option<PingPong>,
    /// Messages in flight by index; the futures carry only the index, so a message is never lost with its future.
    seats: Vec<Option<InFlight>>,
    free: Vec<usize>,
    landing: FuturesUnordered<Landing>,
    /// Of this poll: messages with a result, messages taken from the queue, and messages that could not be sent.
    landed: Vec<(InFlight, Result<PushAnswer, Broken>)>,
    taken: Vec<InFlight>,
    returned: Vec<InFlight>,
    timer: Pin<Box<Sleep>>,
    /// Nothing more is sent on the connection; requests in flight may still be answered.
    retired: bool,
    /// When the latest answer came.
    heard: Option<Instant>,
    /// Whether messages were sent on it.
    used: bool,
    opened: Instant,
    pinging: Option<Instant>,
}

impl<'s> PushConnection<'s> {
    fn new(shared: &'s Arc<ClientState>, number: usize, opened: OpenedTransport) -> Self {
        let OpenedTransport {
            send,
            mut connection,
        } = opened;
        let now = Instant::now();
        Self {
            pings: connection.ping_pong(),
            shared,
            number,
            send,
            connection: Some(connection),
            seats: Vec::new(),
            free: Vec::new(),
            landing: FuturesUnordered::new(),
            landed: Vec::new(),
            taken: Vec::new(),
            returned: Vec::new(),
            timer: Box::pin(sleep_until(now)),
            retired: false,
            heard: None,
            used: false,
            opened: now,
            pinging: None,
        }
    }

    async fn drive(mut self) -> ConnectionEnd {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionEnd> {
        loop {
            let connection = self.connection.as_mut();
            if connection.is_some_and(|connection| Pin::new(connection).poll(cx).is_ready()) {
                self.connection = None;
            }
            let now = Instant::now();
            self.collect(cx, now);
            let room = self.room(cx, now);
            let (next, bearer) = self.turn(room, cx, now);
            if let Some(bearer) = bearer.filter(|_| !self.taken.is_empty()) {
                // Poll again: requests that were sent must be written, and messages that could not be sent must be
                // returned.
                self.launch(&bearer, now);
                continue;
            }
            if self.landing.is_empty() {
                if next == Next::Done {
                    return Poll::Ready(ConnectionEnd::Finished);
                }
                if self.retired || self.connection.is_none() {
                    let silent = self.used && self.heard.is_none();
                    return Poll::Ready(ConnectionEnd::Lost { silent });
                }
            }
            if !self.is_due(next, cx) {
                return Poll::Pending;
            }
        }
    }

    /// Collects the answers that have arrived.
    fn collect(&mut self, cx: &mut Context<'_>, now: Instant) {
        while let Poll::Ready(Some((seat, result))) = self.landing.poll_next_unpin(cx) {
            let Some(flight) = self.seats.get_mut(seat).and_then(Option::take) else {
                continue;
            };
            self.free.push(seat);
            match &result {
                // The connection may be dead; its other requests can still be answered.
                Err(Broken::InDoubt(Doubt::TimedOut)) => self.retired = true,
                Err(Broken::InDoubt(Doubt::ConnectionLost | Doubt::Abandoned)) => {}
                Ok(_) | Err(Broken::NotAccepted | Broken::InDoubt(Doubt::Reset)) => {
                    if self.heard.replace(now).is_none() {
                        self.shared.reached();
                    }
                }
            }
            let clock = &self.shared.clock;
            let answer = result.map(|reply| {
                let retry_after = reply.retry_after.as_ref();
                classify(reply.status, retry_after, &reply.body, || clock.now())
            });
            self.landed.push((flight, answer));
        }
        if self.shared.is_abandoned() {
            let left = self.seats.drain(..).flatten();
            let doubt = || Err(Broken::InDoubt(Doubt::Abandoned));
            self.landed.extend(left.map(|flight| (flight, doubt())));
            self.landing.clear();
            self.free.clear();
        }
    }

    /// Returns how many more requests may be sent on the connection now.
    fn room(&mut self, cx: &mut Context<'_>, now: Instant) -> usize {
        if self.connection.is_none() || self.retired {
            return 0;
        }
        if let Poll::Ready(Err(_)) = self.send.poll_ready(cx) {
            // Usually a GOAWAY: the requests in flight continue.
            self.retired = true;
            return 0;
        }
        if !self.is_alive(cx, now) {
            return 0;
        }
        let most = self
            .shared
            .streams
            .min(self.send.current_max_send_streams());
        let most = if self.heard.is_some() {
            most
        } else {
            most.min(UNPROVEN)
        };
        most.saturating_sub(self.landing.len())
    }

    /// Returns the slot's state without capacity. A connection without any answer yet counts as one that is being
    /// opened, so that no other is opened meanwhile.
    fn without_room(&self) -> PoolSlot {
        if self.heard.is_none() && !self.retired && self.connection.is_some() {
            PoolSlot::Opening
        } else {
            PoolSlot::Full
        }
    }

    /// Returns whether messages can be sent on the connection; after a long silence it is pinged first.
    fn is_alive(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let silent = now - self.heard.unwrap_or(self.opened) > SILENCE;
        let Some(pings) = &mut self.pings else {
            return true;
        };
        match self.pinging {
            None if !silent || !self.landing.is_empty() => return true,
            None => {
                if self.shared.dispatch().queued() == 0 {
                    return true;
                }
                if pings.send_ping(Ping::opaque()).is_err() {
                    self.retired = true;
                    return false;
                }
                self.pinging = Some(now + PING_PATIENCE);
            }
            Some(_) => {}
        }
        match pings.poll_pong(cx) {
            Poll::Ready(Ok(_)) => {
                self.pinging = None;
                self.heard = Some(now);
                true
            }
            Poll::Ready(Err(_)) => {
                self.retired = true;
                false
            }
            Poll::Pending => {
                if self.pinging.is_some_and(|end| now >= end) {
                    self.pinging = None;
                    self.retired = true;
                }
                false
            }
        }
    }

    /// Exchanges work with the dispatch: returns results, and takes new messages and the token to send them with.
    fn turn(&mut self, room: usize, cx: &Context<'_>, now: Instant) -> (Next, Option<Current>) {
        let shared = self.shared;
        let mut dispatch = shared.dispatch();
        for flight in self.returned.drain(..) {
            dispatch.put_back(flight, now);
        }
        for (flight, answer) in self.landed.drain(..) {
            dispatch.land(flight, answer, now);
        }
        let full = self.without_room();
        let slot = if room > 0 { PoolSlot::Room } else { full };
        dispatch.slot(self.number, slot, cx.waker());
        let next = dispatch.take(self.number, room, now, &mut self.taken);
        if self.taken.len() == room {
            dispatch.slot(self.number, full, cx.waker());
        }
        let bearer = dispatch.bearer();
        shared.settle(dispatch, Some(self.number));
        (next, bearer)
    }

    /// Sends the messages that were taken.
    fn launch(&mut self, bearer: &Current, now: Instant) {
        let mut lapsed = false;
        for mut flight in self.taken.drain(..) {
            lapsed = lapsed || !self.shared.may_send();
            if self.retired || lapsed {
                self.returned.push(flight);
                continue;
            }
            let body = flight.job.body.clone();
            let request = request(&self.shared.endpoint.uri, &bearer.header, body.len());
            let Ok((response, mut stream)) = self.send.send_request(request, false) else {
                // No stream was opened, so nothing was sent.
                self.retired = true;
                self.returned.push(flight);
                continue;
            };
            self.used = true;
            flight.attempts += 1;
            flight.first.get_or_insert(now);
            flight.sent = now;
            flight.generation = bearer.generation;
            // If this fails, the response reports the error.
            let _ = stream.send_data(body, true);
            let seat = self.free.pop().unwrap_or_else(|| {
                self.seats.push(None);
                self.seats.len() - 1
            });
            self.seats[seat] = Some(flight);
            let patience = self.shared.answer_timeout;
            self.landing.push(Box::pin(async move {
                (seat, request::answer(response, patience).await)
            }));
        }
        if lapsed {
            self.shared.lapse();
        }
    }

    /// Sets the timer for the next event. Returns true if its time has already come.
    fn is_due(&mut self, next: Next, cx: &mut Context<'_>) -> bool {
        let next = match next {
            Next::Wait(when) => Some(when),
            Next::More | Next::Idle | Next::Done => None,
        };
        let Some(when) = next.into_iter().chain(self.pinging).min() else {
            return false;
        };
        if self.timer.deadline() != when {
            self.timer.as_mut().reset(when);
        }
        self.timer.as_mut().poll(cx).is_ready()
    }
}

/// Makes the head of a request. `Content-Length` is for proxies in between.
fn request(uri: &http::Uri, bearer: &HeaderValue, length: usize) -> Request<()> {
    let mut headers = HeaderMap::with_capacity(3);
    headers.insert(AUTHORIZATION, bearer.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_LENGTH, length.into());
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    *request.headers_mut() = headers;
    request
}
