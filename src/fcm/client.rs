//! The handle, and what runs behind it: a task a connection, and one that keeps the bearer token fresh.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::account::ServiceAccount;
use super::auth::TokenSource;
use super::connection;
use super::dispatch::{Dispatch, Halt, HaltCause, PoolSlot};
use super::transport;
use super::transport::{Endpoint, OpenedTransport};
use super::{FcmSettings, MAX_STREAMS, MessageReport, SendJob, Setback};
use crate::clock::Clock;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::expiry::Expiry;

/// Jobs that may be in the client at once, from [`Client::submit`] to their report: enough for every stream, and for
/// those that wait to be sent again, at a kilobyte or so each.
const ROOM: usize = 8_192;
/// Failures to connect that are further apart than this, beyond the patience there is, are not one outage.
const UNRELATED: Duration = Duration::from_secs(60);
/// Pauses between attempts to reach the token endpoint or, at start-up, the service: the first, and the longest.
const AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

/// Sends messages. Dropping it drops the connections: what is under way is then in doubt, and nothing is reported.
pub struct Client {
    shared: Arc<ClientState>,
    _tasks: JoinSet<()>,
}

/// The reports, one a job, in the order in which the jobs end.
pub struct Reports(UnboundedReceiver<MessageReport>);

/// What is going on, for a progress display.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DispatchProgress {
    /// Requests that wait for their answer.
    pub under_way: usize,
    /// Messages that wait to be sent, for the first time or again.
    pub queued: usize,
    /// Of those, for the first time.
    pub fresh: usize,
    /// Messages that have left for the first time, in all.
    pub left: u64,
    /// How many more could leave at once, by the pace and by the room on the connections.
    pub vacant: usize,
    /// Connections that are open.
    pub connections: usize,
    /// Messages a second that may leave at present.
    pub rate: f64,
    /// How long everything still waits, after a 429.
    pub paused: Option<Duration>,
}

/// What the tasks share.
pub(super) struct ClientState {
    pub(super) endpoint: Endpoint,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) streams: usize,
    pub(super) answer_timeout: Duration,
    patience: Duration,
    dispatch: Mutex<Dispatch>,
    reports: Mutex<Option<UnboundedSender<MessageReport>>>,
    room: Semaphore,
    token_source: TokenSource,
    /// Somebody found that there is no bearer token.
    token_wanted: Notify,
    /// Since when no connection was of use, and when that was last found.
    outage: Mutex<Option<(Instant, Instant)>>,
    abandoned: AtomicBool,
}

impl Client {
    /// Opens the first connection, which proves that HTTP/2 is spoken, and fetches a bearer token. What passes by
    /// itself is tried again for as long as the settings are patient.
    pub async fn connect(
        settings: FcmSettings,
        account: ServiceAccount,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Reports)> {
        let settings = checked(settings)?;
        let (sender, receiver) = unbounded_channel();
        let shared = Arc::new(ClientState::new(settings, account, clock, sender)?);
        let (opened, bearer) = tokio::try_join!(
            shared.persist(|| async { shared.endpoint.connect().await }),
            shared.persist(|| async { shared.token_source.lend(shared.clock.as_ref()).await }),
        )?;
        shared.dispatch().authorize(&bearer);
        Ok((Self::start(shared, opened, bearer.renew), Reports(receiver)))
    }

    fn start(shared: Arc<ClientState>, opened: OpenedTransport, renew: Instant) -> Self {
        let mut tasks = JoinSet::new();
        tasks.spawn(keep_bearer(Arc::clone(&shared), renew));
        // The first lane is about to have a connection: nobody else need open one.
        shared.dispatch().set_berth(0, PoolSlot::Opening);
        let lanes = shared.dispatch().lanes();
        let mut opened = Some(opened);
        for number in 0..lanes {
            tasks.spawn(connection::run(Arc::clone(&shared), number, opened.take()));
        }
        Self {
            shared,
            _tasks: tasks,
        }
    }

    /// From now on, sends only while this right lasts. The last look at it is immediately before a message is written;
    /// once it has ended nothing leaves any more, and the client halts.
    pub fn send_under(&self, right: &Expiry) {
        // The first right is kept: there is one a client.
        let _ = self.shared.endpoint.right().set(right.clone());
    }

    /// Queues a job; waits while there is no room for it. Reports must be taken meanwhile, or none ever comes.
    pub async fn submit(&self, job: SendJob) {
        self.submit_all([job]).await;
    }

    /// Queues jobs together, which costs less than one by one; at most a few hundred at a time are sensible.
    pub async fn submit_all(&self, jobs: impl IntoIterator<Item = SendJob>) {
        let mut jobs: Vec<SendJob> = jobs.into_iter().collect();
        while !jobs.is_empty() {
            let rest = jobs.split_off(jobs.len().min(ROOM / 4));
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
            self.shared.settle(dispatch, None);
            jobs = rest;
        }
    }

    /// Says that no more jobs will come: once all are reported, [`Reports::next`] ends.
    pub fn close(&self) {
        let mut dispatch = self.shared.dispatch();
        dispatch.close();
        self.shared.settle(dispatch, None);
    }

    /// Lets nothing more leave. What has not left is reported unsent, what has left is still awaited.
    pub fn stop(&self) {
        let halt = Halt::new(HaltCause::Asked, "it was asked to");
        self.shared.halt(halt);
    }

    /// Awaits no answer any longer: what has left is reported in doubt.
    pub fn abandon(&self) {
        self.stop();
        self.shared.abandoned.store(true, Ordering::Release);
        self.shared.wake_all();
    }

    /// Changes how many messages a second may leave: others share the rate, and come and go.
    pub fn set_rate(&self, rate: f64) {
        let mut dispatch = self.shared.dispatch();
        dispatch.set_rate(rate, Instant::now());
        self.shared.settle(dispatch, None);
    }

    /// Why it stopped, if it did.
    pub fn halted(&self) -> Option<Halt> {
        self.shared.dispatch().halted().cloned()
    }

    /// What is going on.
    pub fn progress(&self) -> DispatchProgress {
        let now = Instant::now();
        let dispatch = self.shared.dispatch();
        DispatchProgress {
            under_way: dispatch.under_way(),
            queued: dispatch.queued(),
            fresh: dispatch.fresh(),
            left: dispatch.left(),
            vacant: dispatch.vacant(now),
            connections: dispatch.connections(),
            rate: dispatch.limiter().rate(now),
            paused: dispatch
                .limiter()
                .paused_until(now)
                .map(|until| until - now),
        }
    }
}

impl Reports {
    /// The next report; none once the client is closed and every job is reported.
    pub async fn next(&mut self) -> Option<MessageReport> {
        self.0.recv().await
    }

    /// Appends at least one report, and at most `limit` that are there, to `into`. Returns how many; 0 at the end.
    pub async fn next_many(&mut self, into: &mut Vec<MessageReport>, limit: usize) -> usize {
        self.0.recv_many(into, limit).await
    }
}

fn checked(settings: FcmSettings) -> Result<FcmSettings> {
    if settings.connections == 0 || !(1..=MAX_STREAMS).contains(&settings.streams) {
        return Err(Error::usage(format!(
            "there must be at least one connection, and 1 to {MAX_STREAMS} streams on each"
        )));
    }
    if settings.rate == 0 {
        return Err(Error::usage(
            "the rate must be at least one message a second",
        ));
    }
    Ok(settings)
}

impl ClientState {
    fn new(
        settings: FcmSettings,
        account: ServiceAccount,
        clock: Arc<dyn Clock>,
        reports: UnboundedSender<MessageReport>,
    ) -> Result<Self> {
        let roots = match &settings.trusted {
            None => Vec::new(),
            Some(path) => {
                let named = || format!("cannot read {}", path.display());
                let pem = std::fs::read(path).kind(ErrorKind::Usage, named)?;
                transport::roots(&pem).map_err(|error| error.context(named()))?
            }
        };
        let endpoint = Endpoint::new(
            &settings.base_url,
            account.project(),
            &roots,
            settings.connect_timeout,
        )?;
        let token_uri = settings
            .token_uri
            .clone()
            .unwrap_or_else(|| account.token_uri.clone());
        transport::check_url(&token_uri, "the token endpoint")?;
        let http = transport::https(&roots, settings.connect_timeout)?;
        Ok(Self {
            endpoint,
            clock,
            streams: settings.streams,
            answer_timeout: settings.answer_timeout,
            patience: settings.patience,
            token_source: TokenSource::new(http, account, token_uri),
            dispatch: Mutex::new(Dispatch::new(settings, Instant::now())),
            reports: Mutex::new(Some(reports)),
            room: Semaphore::new(ROOM),
            token_wanted: Notify::new(),
            outage: Mutex::new(None),
            abandoned: AtomicBool::new(false),
        })
    }

    pub(super) fn dispatch(&self) -> MutexGuard<'_, Dispatch> {
        lock(&self.dispatch)
    }

    /// Whether a message may be written now.
    pub(super) fn may_send(&self) -> bool {
        !self.endpoint.right().get().is_some_and(Expiry::is_past)
    }

    /// Stops for good if a message is to leave and the right to send has ended: also where no connection would take it,
    /// for on one that is opened now nothing can be written.
    pub(super) fn look_at_right(&self, dispatch: &mut Dispatch, now: Instant) {
        if dispatch.is_due(now) && !self.may_send() {
            dispatch.stop(Halt::lapsed(), now);
        }
    }

    /// The right to send has ended.
    pub(super) fn lapse(&self) {
        self.halt(Halt::lapsed());
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// After any change: hands reports on, asks for a token if there is none, and wakes whom it concerns.
    pub(super) fn settle(&self, mut dispatch: MutexGuard<'_, Dispatch>, lane: Option<usize>) {
        let mut reported = 0;
        if dispatch.has_reports()
            && let Some(reports) = lock(&self.reports).as_ref()
        {
            for report in dispatch.reports() {
                reported += 1;
                // Whoever no longer listens does not want to know.
                let _ = reports.send(report);
            }
        }
        if dispatch.needs_bearer() {
            self.token_wanted.notify_one();
        }
        let done = dispatch.is_done();
        let wakers = if done {
            dispatch.everybody()
        } else {
            dispatch.next_lane(lane).into_iter().collect()
        };
        drop(dispatch);
        if reported > 0 {
            self.room.add_permits(reported);
        }
        if done {
            lock(&self.reports).take();
        }
        for waker in wakers {
            waker.wake();
        }
    }

    pub(super) fn set_berth(&self, lane: usize, slot: PoolSlot) {
        let mut dispatch = self.dispatch();
        dispatch.set_berth(lane, slot);
        self.settle(dispatch, None);
    }

    /// Stops for good.
    pub(super) fn halt(&self, halt: Halt) {
        let mut dispatch = self.dispatch();
        dispatch.stop(halt, Instant::now());
        self.settle(dispatch, None);
    }

    fn wake_all(&self) {
        let wakers = self.dispatch().everybody();
        for waker in wakers {
            waker.wake();
        }
    }

    /// A connection was made.
    pub(super) fn reached(&self) {
        lock(&self.outage).take();
    }

    /// A connection could not be made or was of no use; if that goes on for too long, everything stops.
    pub(super) fn unreachable(&self, error: &Error) {
        tracing::debug!(%error, "no connection to the push service");
        let now = Instant::now();
        let mut outage = lock(&self.outage);
        let since = match *outage {
            // An old failure has nothing to do with this one.
            Some((since, last)) if now - last < self.patience + UNRELATED => since,
            _ => now,
        };
        *outage = Some((since, now));
        drop(outage);
        if now - since >= self.patience {
            self.halt(Halt::of(HaltCause::Unreachable, error));
        }
    }

    /// Tries until it works, until the failure is one that lasts, or until patience ends.
    async fn persist<T, F: Future<Output = Result<T, Setback>>>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<T> {
        let started = Instant::now();
        let mut wait = AGAIN.0;
        loop {
            match attempt().await {
                Ok(done) => return Ok(done),
                Err(Setback::Lasting(error)) => return Err(error),
                Err(Setback::Passing(error)) if started.elapsed() + wait > self.patience => {
                    return Err(error);
                }
                Err(Setback::Passing(error)) => {
                    tracing::debug!(error = format!("{error:#}"), "trying again");
                    sleep(wait).await;
                    wait = (wait * 2).min(AGAIN.1);
                }
            }
        }
    }
}

/// Replaces the bearer token before it ends, or when somebody finds it refused: one request, whoever waits for it.
async fn keep_bearer(shared: Arc<ClientState>, mut renew: Instant) {
    loop {
        tokio::select! {
            () = sleep_until(renew) => {}
            () = shared.token_wanted.notified() => {
                if !shared.dispatch().needs_bearer() {
                    continue;
                }
            }
        }
        match shared
            .persist(|| shared.token_source.lend(shared.clock.as_ref()))
            .await
        {
            Ok(bearer) => {
                renew = bearer.renew;
                let mut dispatch = shared.dispatch();
                dispatch.authorize(&bearer);
                shared.settle(dispatch, None);
            }
            // The old one may still be good for a while.
            Err(error) if error.is_retryable() && !shared.dispatch().needs_bearer() => {
                renew = Instant::now() + AGAIN.1;
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
