//! The public handle, and its background tasks: one for each connection, and one that renews the bearer token.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::client_state::{ClientState, MAX_JOBS};
use super::connection;
use super::dispatch::{Halt, HaltCause, PoolSlot};
use super::login::Login;
use super::transport::OpenedTransport;
use super::{FcmSettings, MAX_STREAMS, MessageReport, SendJob};
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::expiry::Expiry;
use crate::retry::RetryPolicy;

/// Sends messages. Dropping it closes the connections: messages in flight are then in doubt, and nothing is reported.
pub struct Client {
    shared: Arc<ClientState>,
    _tasks: JoinSet<()>,
}

/// The reports, one for each job, in the order in which the jobs end.
pub struct Reports(UnboundedReceiver<MessageReport>);

/// The state of a client, for a progress display.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DispatchProgress {
    /// Requests that have no answer yet.
    pub under_way: usize,
    /// Messages that wait to be sent, for the first time or as a retry.
    pub queued: usize,
    /// Queued messages that were never sent.
    pub fresh: usize,
    /// Messages of which at least one request was sent.
    pub left: u64,
    /// How many more could be sent at once, by the rate limit and the capacity of the connections.
    pub vacant: usize,
    /// Open connections.
    pub connections: usize,
    /// The present rate, in messages a second.
    pub rate: f64,
    /// The rest of the pause after a 429.
    pub paused: Option<Duration>,
}

impl Client {
    /// Opens the first connection, which proves that the service speaks HTTP/2, and fetches a bearer token. Transient
    /// failures are retried until the patience in the settings ends.
    pub async fn connect(
        settings: FcmSettings,
        login: Login,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Reports)> {
        let settings = checked(settings)?;
        let (sender, receiver) = unbounded_channel();
        let shared = Arc::new(ClientState::new(settings, login, clock, sender)?);
        let (opened, bearer, ()) = tokio::try_join!(
            shared.open_transport(),
            shared.fetch_bearer(),
            shared.find_project()
        )?;
        shared.dispatch().authorize(&bearer);
        Ok((Self::start(shared, opened, bearer.renew), Reports(receiver)))
    }

    fn start(shared: Arc<ClientState>, opened: OpenedTransport, renew: Instant) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(renew_bearer(Arc::clone(&shared), renew));
        // The first slot gets the connection that was just opened, so no other task needs to open one.
        shared.dispatch().set_slot(0, PoolSlot::Opening);
        let slots = shared.dispatch().slot_count();
        let mut opened = Some(opened);
        for number in 0..slots {
            tasks.spawn(connection::run(Arc::clone(&shared), number, opened.take()));
        }
        Self {
            shared,
            _tasks: tasks,
        }
    }

    /// From now on, sends only until `lease` expires. The expiry is checked immediately before each message is written;
    /// after it nothing more is sent, and the client halts.
    pub fn send_under(&self, lease: &Expiry) {
        // A client has one lease: a second call changes nothing.
        let _ = self.shared.endpoint.lease().set(lease.clone());
    }

    /// Queues jobs, and waits while there are too many. The caller must take reports meanwhile, or it waits for ever.
    /// At most a few hundred at a time are sensible.
    pub async fn submit_all(&self, jobs: impl IntoIterator<Item = SendJob>) {
        let mut jobs: Vec<SendJob> = jobs.into_iter().collect();
        while !jobs.is_empty() {
            let rest = jobs.split_off(jobs.len().min(MAX_JOBS / 4));
            let count = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
            // The semaphore is never closed.
            if let Ok(permit) = self.shared.room.acquire_many(count).await {
                permit.forget();
            }
            let now = Instant::now();
            let mut dispatch = self.shared.dispatch();
            for job in jobs {
                dispatch.submit(job, now);
            }
            self.shared.publish(dispatch, None);
            jobs = rest;
        }
    }

    /// Ends the queue: once all jobs are reported, [`Reports::next_many`] returns 0.
    pub fn close(&self) {
        let mut dispatch = self.shared.dispatch();
        dispatch.close();
        self.shared.publish(dispatch, None);
    }

    /// Sends nothing more. Messages that were not sent are reported unsent; those in flight are still awaited.
    pub fn stop(&self) {
        let halt = Halt::new(HaltCause::Asked, "as requested");
        self.shared.halt(halt);
    }

    /// Stops, and reports messages in flight as in doubt instead of waiting for their answers.
    pub fn abandon(&self) {
        self.stop();
        self.shared.abandoned.store(true, Ordering::Release);
        self.shared.wake_all();
    }

    /// Changes the rate limit, as other processes that share it come and go.
    pub fn set_rate(&self, rate: f64) {
        let mut dispatch = self.shared.dispatch();
        dispatch.set_rate(rate, Instant::now());
        self.shared.publish(dispatch, None);
    }

    /// Returns why the client stopped, if it did.
    pub fn halted(&self) -> Option<Halt> {
        self.shared.dispatch().halted().cloned()
    }

    /// Returns the present state.
    pub fn progress(&self) -> DispatchProgress {
        let now = Instant::now();
        let dispatch = self.shared.dispatch();
        DispatchProgress {
            under_way: dispatch.under_way(),
            queued: dispatch.queued(),
            fresh: dispatch.fresh(),
            left: dispatch.left(),
            vacant: dispatch.vacant(now),
            connections: dispatch.open_connections(),
            rate: dispatch.limiter().rate(now),
            paused: dispatch
                .limiter()
                .paused_until(now)
                .map(|until| until - now),
        }
    }
}

impl Reports {
    /// Waits for a report, then appends those that are there, at most `limit`. Returns how many; 0 once the client is
    /// closed and every job is reported.
    pub async fn next_many(&mut self, into: &mut Vec<MessageReport>, limit: usize) -> usize {
        self.0.recv_many(into, limit).await
    }
}

fn checked(settings: FcmSettings) -> Result<FcmSettings> {
    if settings.connections == 0 || !(1..=MAX_STREAMS).contains(&settings.streams) {
        return Err(Error::usage(format!(
            "a send needs at least one connection, and 1 to {MAX_STREAMS} streams on each"
        )));
    }
    if settings.rate == 0 {
        return Err(Error::usage(
            "the rate must be at least one message a second",
        ));
    }
    Ok(settings)
}

/// Renews the bearer token before it expires, and when the service rejected it: one request at a time, for all
/// messages.
async fn renew_bearer(shared: Arc<ClientState>, mut renew: Instant) {
    loop {
        tokio::select! {
            () = sleep_until(renew) => {}
            () = shared.token_wanted.notified() => {
                if !shared.dispatch().needs_bearer() {
                    continue;
                }
            }
        }
        match shared.fetch_bearer().await {
            Ok(bearer) => {
                renew = bearer.renew;
                let mut dispatch = shared.dispatch();
                dispatch.authorize(&bearer);
                shared.publish(dispatch, None);
            }
            // The present token may be valid for a while.
            Err(error) if error.is_retryable() && !shared.dispatch().needs_bearer() => {
                renew = Instant::now() + RetryPolicy::REQUEST.longest;
            }
            Err(error) => {
                let cause = match error.kind() {
                    ErrorKind::Unreachable => HaltCause::Unreachable,
                    _ => HaltCause::Credentials,
                };
                shared.halt(Halt::of(cause, &error));
                return;
            }
        }
    }
}
