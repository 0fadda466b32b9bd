//! The state that the tasks of a client share: what is to be sent, what came back, and whether the service is reached.

use super::auth::{Bearer, TokenSource};
use super::dispatch::{Dispatch, Halt, HaltCause, PoolSlot};
use super::login::Login;
use super::transport;
use super::transport::Endpoint;
use super::transport::OpenedTransport;
use super::{FcmSettings, MessageReport};
use crate::budget::Budget;
use crate::clock::Clock;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::expiry::Expiry;
use crate::retry::{Retries, RetryPolicy};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// Failures to connect that are further apart than this, in addition to the patience, are separate outages.
const SEPARATE_OUTAGE: Duration = Duration::from_secs(60);

/// The largest number of jobs in the client, from [`Client::submit`] to their report: enough for every stream and for
/// those that wait for a retry, at about a kilobyte each.
pub(super) const MAX_JOBS: usize = 8_192;

/// The state that the tasks share.
pub(super) struct ClientState {
    pub(super) endpoint: Endpoint,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) streams: usize,
    pub(super) answer_timeout: Duration,
    pub(super) patience: Duration,
    pub(super) budget: Budget,
    pub(super) dispatch: Mutex<Dispatch>,
    pub(super) reports: Mutex<Option<UnboundedSender<MessageReport>>>,
    pub(super) room: Semaphore,
    pub(super) token_source: TokenSource,
    /// Notified when a bearer token is needed.
    pub(super) token_wanted: Notify,
    /// When the first and the latest failed attempt of the present outage happened.
    pub(super) outage: Mutex<Option<(Instant, Instant)>>,
    pub(super) abandoned: AtomicBool,
}

impl ClientState {
    pub(super) fn new(
        settings: FcmSettings,
        login: Login,
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
            &roots,
            settings.connect_timeout,
            &settings.proxy,
        )?;
        Ok(Self {
            endpoint,
            clock,
            streams: settings.streams,
            answer_timeout: settings.answer_timeout,
            patience: settings.patience,
            budget: settings.budget.clone(),
            token_source: TokenSource::new(login, &roots, &settings)?,
            dispatch: Mutex::new(Dispatch::new(settings, Instant::now())),
            reports: Mutex::new(Some(reports)),
            room: Semaphore::new(MAX_JOBS),
            token_wanted: Notify::new(),
            outage: Mutex::new(None),
            abandoned: AtomicBool::new(false),
        })
    }

    pub(super) fn dispatch(&self) -> MutexGuard<'_, Dispatch> {
        lock(&self.dispatch)
    }

    /// Returns whether the lease still allows sending.
    pub(super) fn may_send(&self) -> bool {
        !self.endpoint.lease().get().is_some_and(Expiry::is_past)
    }

    /// Stops for good if a message is due and the lease has expired. It is also checked where no connection takes the
    /// message, because nothing can be written on a connection that is opened after the expiry.
    pub(super) fn check_lease(&self, dispatch: &mut Dispatch, now: Instant) {
        if dispatch.is_due(now) && !self.may_send() {
            dispatch.stop(Halt::lapsed(), now);
        }
    }

    /// Halts because the lease has expired.
    pub(super) fn lapse(&self) {
        self.halt(Halt::lapsed());
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Publishes a change of the dispatch: delivers reports, requests a token if one is needed, and wakes the tasks
    /// concerned.
    pub(super) fn publish(&self, mut dispatch: MutexGuard<'_, Dispatch>, number: Option<usize>) {
        let mut reported = 0;
        if dispatch.has_reports()
            && let Some(reports) = lock(&self.reports).as_ref()
        {
            for report in dispatch.reports() {
                reported += 1;
                // The receiver may be gone; then the caller does not want reports.
                let _ = reports.send(report);
            }
        }
        if dispatch.needs_bearer() {
            self.token_wanted.notify_one();
        }
        let done = dispatch.is_done();
        let wakers = if done {
            dispatch.all_wakers()
        } else {
            dispatch.next_waker(number).into_iter().collect()
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

    pub(super) fn set_slot(&self, number: usize, slot: PoolSlot) {
        let mut dispatch = self.dispatch();
        dispatch.set_slot(number, slot);
        self.publish(dispatch, None);
    }

    /// Stops for good.
    pub(super) fn halt(&self, halt: Halt) {
        let mut dispatch = self.dispatch();
        dispatch.stop(halt, Instant::now());
        self.publish(dispatch, None);
    }

    pub(super) fn wake_all(&self) {
        let wakers = self.dispatch().all_wakers();
        for waker in wakers {
            waker.wake();
        }
    }

    /// Records that a connection works.
    pub(super) fn reached(&self) {
        lock(&self.outage).take();
    }

    /// Records that a connection could not be opened or got no answers. Halts once that has lasted for too long.
    pub(super) fn unreachable(&self, error: &Error) {
        tracing::debug!(%error, "no connection to the push service");
        let now = Instant::now();
        let mut outage = lock(&self.outage);
        let since = match *outage {
            // A failure long ago belongs to another outage.
            Some((since, last)) if now - last < self.patience + SEPARATE_OUTAGE => since,
            _ => now,
        };
        *outage = Some((since, now));
        drop(outage);
        if now - since >= self.patience {
            self.halt(Halt::of(HaltCause::Unreachable, error));
        }
    }

    /// Repeats `attempt` until it succeeds or fails permanently, or until the patience or the budget ends. `what` is
    /// waited for.
    pub(super) async fn retry<T, F: Future<Output = Result<T>>>(
        &self,
        what: String,
        attempt: impl Fn() -> F,
    ) -> Result<T> {
        let end = self.budget.end().min(Instant::now() + self.patience);
        let retried = async {
            let mut retries = Retries::new(RetryPolicy::REQUEST, end);
            loop {
                match attempt().await {
                    Ok(done) => return Ok(done),
                    Err(error) => retries.after(error).await?,
                }
            }
        };
        self.budget.wait(what, retried).await
    }

    /// Opens a connection to the push service.
    pub(super) async fn open_transport(&self) -> Result<OpenedTransport> {
        let what = format!("the push service {}", self.endpoint.place());
        self.retry(what, || self.endpoint.connect()).await
    }

    /// Fetches a bearer token.
    pub(super) async fn fetch_bearer(&self) -> Result<Bearer> {
        let place = self.token_source.place();
        self.retry(place, || self.token_source.fetch(self.clock.as_ref()))
            .await
    }

    /// Finds the project to send to, which the metadata server may have to be asked for.
    pub(super) async fn find_project(&self) -> Result<()> {
        let place = self.token_source.place();
        let project = self.retry(place, || self.token_source.project()).await?;
        self.endpoint.set_project(&project)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
