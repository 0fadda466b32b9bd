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
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::answer::{PushAnswer, classify};
use super::client_state::ClientState;
use super::dispatch::{Current, InFlight, Next, PoolSlot};
use super::request;
use super::request::{DoubtCause, NoAnswer, Reply};
use super::transport::{Io, OpenedTransport};
use crate::error::{Error, ErrorKind};

/// After this long without an answer a connection is pinged before messages are sent on it.
const PING_AFTER: Duration = Duration::from_secs(10);
/// The timeout for the answer to a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Messages in flight on a connection without any answer yet: the most that are in doubt if it does not work.
const MAX_UNPROVEN: usize = 10;
/// The first and the longest wait between attempts to connect.
const RECONNECT_WAITS: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

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
                    shared.unreachable(&error);
                    pause(&mut failures).await;
                    shared.set_slot(number, PoolSlot::Closed);
                    continue;
                }
            },
        };
        match PushConnection::new(&shared, number, connection)
            .drive()
            .await
        {
            ConnectionEnd::Finished => {
                shared.set_slot(number, PoolSlot::Closed);
                return;
            }
            ConnectionEnd::Lost { silent: false } => failures = 0,
            // A connection that answers nothing is no better than a failure to connect.
            ConnectionEnd::Lost { silent: true } => {
                let message = "the push service accepts connections and does not answer";
                shared.unreachable(&Error::new(ErrorKind::Unreachable, message));
                shared.set_slot(number, PoolSlot::Opening);
                pause(&mut failures).await;
            }
        }
        shared.set_slot(number, PoolSlot::Closed);
    }
}

async fn pause(failures: &mut u32) {
    let wait = RECONNECT_WAITS
        .0
        .saturating_mul(2_u32.saturating_pow(*failures));
    *failures += 1;
    sleep(wait.min(RECONNECT_WAITS.1)).await;
}

/// Waits until another connection is needed. Returns false when nothing is left to send.
async fn wanted(shared: &ClientState, number: usize) -> bool {
    poll_fn(|cx| {
        let mut dispatch = shared.dispatch();
        shared.check_lease(&mut dispatch, Instant::now());
        if dispatch.has_reports() {
            shared.publish(dispatch, Some(number));
            dispatch = shared.dispatch();
        }
        if dispatch.is_done() {
            return Poll::Ready(false);
        }
        let open = dispatch.may_open(number);
        let slot = if open {
            PoolSlot::Opening
        } else {
            PoolSlot::Closed
        };
        dispatch.register_slot(number, slot, cx.waker());
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

type PendingAnswer = Pin<Box<dyn Future<Output = (usize, Result<Reply, NoAnswer>)> + Send>>;

struct PushConnection<'s> {
    shared: &'s Arc<ClientState>,
    number: usize,
    send: SendRequest<Bytes>,
    /// `None` once it has ended: the requests on it only fail when it is dropped.
    connection: Option<Connection<Pin<Box<dyn Io>>, Bytes>>,
    pings: Option<PingPong>,
    /// Messages in flight by index; the futures carry only the index, so a message is never lost with its future.
    in_flight: Vec<Option<InFlight>>,
    free_indexes: Vec<usize>,
    answers: FuturesUnordered<PendingAnswer>,
    /// Of this poll: messages with a result, messages taken from the queue, and messages that could not be sent.
    results: Vec<(InFlight, Result<PushAnswer, NoAnswer>)>,
    taken: Vec<InFlight>,
    not_sent: Vec<InFlight>,
    timer: Pin<Box<Sleep>>,
    /// Nothing more is sent on the connection; requests in flight may still be answered.
    draining: bool,
    /// When the latest answer came.
    last_answer: Option<Instant>,
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
            in_flight: Vec::new(),
            free_indexes: Vec::new(),
            answers: FuturesUnordered::new(),
            results: Vec::new(),
            taken: Vec::new(),
            not_sent: Vec::new(),
            timer: Box::pin(sleep_until(now)),
            draining: false,
            last_answer: None,
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
            let (next, bearer) = self.exchange_work(room, cx, now);
            if let Some(bearer) = bearer.filter(|_| !self.taken.is_empty()) {
                // Poll again: requests that were sent must be written, and messages that could not be sent must be
                // returned.
                self.send_taken(&bearer, now);
                continue;
            }
            if self.answers.is_empty() {
                if next == Next::Done {
                    return Poll::Ready(ConnectionEnd::Finished);
                }
                if self.draining || self.connection.is_none() {
                    let silent = self.used && self.last_answer.is_none();
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
        while let Poll::Ready(Some((index, result))) = self.answers.poll_next_unpin(cx) {
            let Some(message) = self.in_flight.get_mut(index).and_then(Option::take) else {
                continue;
            };
            self.free_indexes.push(index);
            match &result {
                // The connection may be dead; its other requests can still be answered.
                Err(NoAnswer::InDoubt(DoubtCause::TimedOut)) => self.draining = true,
                Err(NoAnswer::InDoubt(DoubtCause::ConnectionLost | DoubtCause::Abandoned)) => {}
                Ok(_) | Err(NoAnswer::NotAccepted | NoAnswer::InDoubt(DoubtCause::Reset)) => {
                    if self.last_answer.replace(now).is_none() {
                        self.shared.reached();
                    }
                }
            }
            let clock = &self.shared.clock;
            let answer = result.map(|reply| {
                let retry_after = reply.headers.get(RETRY_AFTER);
                classify(reply.status, retry_after, &reply.body, || clock.now())
            });
            self.results.push((message, answer));
        }
        if self.shared.is_abandoned() {
            let left = self.in_flight.drain(..).flatten();
            let doubt = || Err(NoAnswer::InDoubt(DoubtCause::Abandoned));
            self.results.extend(left.map(|message| (message, doubt())));
            self.answers.clear();
            self.free_indexes.clear();
        }
    }

    /// Returns how many more requests may be sent on the connection now.
    fn room(&mut self, cx: &mut Context<'_>, now: Instant) -> usize {
        if self.connection.is_none() || self.draining {
            return 0;
        }
        if let Poll::Ready(Err(_)) = self.send.poll_ready(cx) {
            // Usually a GOAWAY: the requests in flight continue.
            self.draining = true;
            return 0;
        }
        if !self.is_alive(cx, now) {
            return 0;
        }
        let most = self
            .shared
            .streams
            .min(self.send.current_max_send_streams());
        let most = if self.last_answer.is_some() {
            most
        } else {
            most.min(MAX_UNPROVEN)
        };
        most.saturating_sub(self.answers.len())
    }

    /// Returns the slot's state without capacity. A connection without any answer yet counts as one that is being
    /// opened, so that no other is opened meanwhile.
    fn without_room(&self) -> PoolSlot {
        if self.last_answer.is_none() && !self.draining && self.connection.is_some() {
            PoolSlot::Opening
        } else {
            PoolSlot::Full
        }
    }

    /// Returns whether messages can be sent on the connection; after a long silence it is pinged first.
    fn is_alive(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let silent = now - self.last_answer.unwrap_or(self.opened) > PING_AFTER;
        let Some(pings) = &mut self.pings else {
            return true;
        };
        match self.pinging {
            None if !silent || !self.answers.is_empty() => return true,
            None => {
                if self.shared.dispatch().queued() == 0 {
                    return true;
                }
                if pings.send_ping(Ping::opaque()).is_err() {
                    self.draining = true;
                    return false;
                }
                self.pinging = Some(now + PING_TIMEOUT);
            }
            Some(_) => {}
        }
        match pings.poll_pong(cx) {
            Poll::Ready(Ok(_)) => {
                self.pinging = None;
                self.last_answer = Some(now);
                true
            }
            Poll::Ready(Err(_)) => {
                self.draining = true;
                false
            }
            Poll::Pending => {
                if self.pinging.is_some_and(|end| now >= end) {
                    self.pinging = None;
                    self.draining = true;
                }
                false
            }
        }
    }

    /// Exchanges work with the dispatch: returns results, and takes new messages and the token to send them with.
    fn exchange_work(
        &mut self,
        room: usize,
        cx: &Context<'_>,
        now: Instant,
    ) -> (Next, Option<Current>) {
        let shared = self.shared;
        let mut dispatch = shared.dispatch();
        for message in self.not_sent.drain(..) {
            dispatch.put_back(message, now);
        }
        for (message, answer) in self.results.drain(..) {
            dispatch.handle_answer(message, answer, now);
        }
        shared.check_lease(&mut dispatch, now);
        let full = self.without_room();
        let slot = if room > 0 { PoolSlot::Room } else { full };
        dispatch.register_slot(self.number, slot, cx.waker());
        let next = dispatch.take(self.number, room, now, &mut self.taken);
        if self.taken.len() == room {
            dispatch.register_slot(self.number, full, cx.waker());
        }
        let bearer = dispatch.bearer();
        shared.publish(dispatch, Some(self.number));
        (next, bearer)
    }

    /// Sends the messages that were taken.
    fn send_taken(&mut self, bearer: &Current, now: Instant) {
        let mut lapsed = false;
        for mut message in self.taken.drain(..) {
            lapsed = lapsed || !self.shared.may_send();
            if self.draining || lapsed {
                self.not_sent.push(message);
                continue;
            }
            let body = message.job.body.clone();
            let request = request(self.shared.endpoint.uri(), &bearer.header, body.len());
            let Ok((response, mut stream)) = self.send.send_request(request, false) else {
                // No stream was opened, so nothing was sent.
                self.draining = true;
                self.not_sent.push(message);
                continue;
            };
            self.used = true;
            message.attempts += 1;
            message.first.get_or_insert(now);
            message.sent = now;
            message.generation = bearer.generation;
            // If this fails, the response reports the error.
            let _ = stream.send_data(body, true);
            let index = self.free_indexes.pop().unwrap_or_else(|| {
                self.in_flight.push(None);
                self.in_flight.len() - 1
            });
            self.in_flight[index] = Some(message);
            let patience = self.shared.answer_timeout;
            self.answers.push(Box::pin(async move {
                (index, request::answer(response, patience).await)
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
pub(super) fn request(uri: &http::Uri, bearer: &HeaderValue, length: usize) -> Request<()> {
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
