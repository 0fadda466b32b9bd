//! The source: the database that audiences are read from.
//!
//! [`Address::resolve`] determines its address; [`Source::read`] connects with the attempts that [`retry_plan`] allows,
//! opens one read-only snapshot and hands it to the caller's work. [`failure`] turns each failure into an error.
//!
//! The order of a connection: `tcp` (name, TCP) → `tls` → `connect` (hosts, authentication) → `transaction` (the
//! transaction) → `snapshot` (the queries). Deliberately absent: a pool, and any way to write.

mod reading;
mod snapshot;
mod transaction;

use std::any::Any;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use native_tls::TlsConnector;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_postgres::CancelToken;

pub use crate::advice::Advice;
use crate::postgres::address::Address;
pub use crate::postgres::failure::SqlError;
pub use crate::postgres::retry_plan::{RetryLimits, RetryPlan, RetryStep};
pub use reading::Reading;
pub use snapshot::{Relation, Rows, Snapshot};

use crate::budget::Budget;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::postgres::cancel_route::Route;
use crate::postgres::connect::{ConnectOptions, Connected};
use crate::postgres::failure::Seconds;
use crate::retry::{given_up, jitter};
use snapshot::{Running, lock};
use transaction::{GOODBYE, Leftovers};

/// The longest failover of a managed database, by its operators' figures.
const FAILOVER: Duration = Duration::from_secs(150);

/// The client's name, shown by the server as `pushctl/<version> <command> <run>`.
#[derive(Debug, Clone)]
pub struct Purpose {
    pub command: String,
    pub run: String,
}

/// The database that audiences are read from.
#[derive(Debug, Clone)]
pub struct Source {
    address: Address,
    limits: RetryLimits,
    purpose: Purpose,
    access: Option<Arc<dyn Access>>,
}

/// Decides with other processes whether and when a command may connect.
pub trait Access: fmt::Debug + Send + Sync {
    /// Waits until this process may connect.
    ///
    /// # Errors
    /// It may not: others could not reach the host a moment ago, or no connection became free within the budget.
    fn enter<'a>(
        &'a self,
        budget: &'a Budget,
        interrupt: &'a Interrupt,
    ) -> BoxFuture<'a, Result<Permit>>;

    /// Gives the permit back, and tells the others whether the host was reached.
    fn leave<'a>(
        &'a self,
        permit: Permit,
        contact: Contact,
        budget: &'a Budget,
    ) -> BoxFuture<'a, ()>;
}

/// What a process holds while it may connect, if anything.
pub type Permit = Option<Box<dyn Any + Send>>;

/// Whether a command reached the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// It answered, with success or with an error.
    Reached,
    /// A transient failure.
    Unreached,
    /// The command was interrupted.
    Unknown,
}

/// Notes whether a connection was made.
struct Seen<'a> {
    watch: &'a dyn Watch,
    connected: AtomicBool,
}

impl Watch for Seen<'_> {
    fn attempt(&self, attempt: u32) {
        self.watch.attempt(attempt);
    }

    fn waiting(&self, wait: Duration, cause: &Error) {
        self.watch.waiting(wait, cause);
    }

    fn connected(&self, host: &str, server_version: &str) {
        self.connected.store(true, Ordering::Relaxed);
        self.watch.connected(host, server_version);
    }
}

/// Receives the progress of a connection; every method has an empty default.
pub trait Watch: Send + Sync {
    /// An attempt begins, the `attempt`th.
    fn attempt(&self, attempt: u32) {
        let _ = attempt;
    }

    /// An attempt has failed; another follows after `wait`.
    fn waiting(&self, wait: Duration, cause: &Error) {
        let _ = (wait, cause);
    }

    /// The connection is established and authenticated.
    fn connected(&self, host: &str, server_version: &str) {
        let _ = (host, server_version);
    }
}

/// Takes no notice.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watch for Unwatched {}

impl Source {
    /// Returns a source that has not been connected to yet.
    pub fn new(address: Address, mut limits: RetryLimits, purpose: Purpose) -> Self {
        limits.usual_timeout = limits.usual_timeout.or(address.connect_timeout);
        Self {
            address,
            limits,
            purpose,
            access: None,
        }
    }

    /// Returns the same source; whether and when it may be connected to is decided by `access`.
    #[must_use]
    pub fn with_access(self, access: Arc<dyn Access>) -> Self {
        let access = Some(access);
        Self { access, ..self }
    }

    /// Returns the address that it connects to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the hosts and ports, as progress shows them.
    pub fn place(&self) -> String {
        self.address.place()
    }

    fn named(&self) -> String {
        format!("the database {}", self.place())
    }

    /// Refuses limits that cannot fit into a deadline.
    pub fn check_plan(&self, deadline: Duration) -> Result<()> {
        self.plan().check(working(deadline))
    }

    fn plan(&self) -> RetryPlan {
        RetryPlan::new(self.address.hosts.len(), &self.limits, jitter())
    }

    /// Connects, opens one snapshot, and runs `work` on it.
    ///
    /// A transient failure ([`ErrorKind::Unreachable`]), also one that `work` returns, starts again with a new
    /// connection and a new snapshot while attempts and budget remain, so `work` must be repeatable. When the budget
    /// ends, when `interrupt` fires, or when the future is dropped, the running statement is cancelled on the server.
    pub async fn read<T>(
        &self,
        budget: &Budget,
        interrupt: &Interrupt,
        watch: &dyn Watch,
        work: impl AsyncFnMut(&Snapshot) -> Result<T>,
    ) -> Result<T> {
        let Some(access) = &self.access else {
            return self.try_reading(budget, interrupt, watch, work).await;
        };
        let permit = access.enter(budget, interrupt).await?;
        let seen = Seen {
            watch,
            connected: AtomicBool::new(false),
        };
        let outcome = self.try_reading(budget, interrupt, &seen, work).await;
        let contact = match &outcome {
            _ if seen.connected.load(Ordering::Relaxed) => Contact::Reached,
            Err(error) if error.is_retryable() => Contact::Unreached,
            Err(error)
                if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::Terminated) =>
            {
                Contact::Unknown
            }
            _ => Contact::Reached,
        };
        access.leave(permit, contact, budget).await;
        outcome
    }

    async fn try_reading<T>(
        &self,
        budget: &Budget,
        interrupt: &Interrupt,
        watch: &dyn Watch,
        mut work: impl AsyncFnMut(&Snapshot) -> Result<T>,
    ) -> Result<T> {
        let mut plan = self.plan();
        let connector = crate::postgres::connect::connector(&self.address)?;
        let (began, total) = (Instant::now(), budget.total());
        let end = budget.end() - total.saturating_sub(working(total));
        let mut last = None;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let failed = plan.begun();
            let Some(step) = plan.next(left) else {
                return Err(give_up(last, failed, began.elapsed(), budget));
            };
            if let Some(cause) = &last {
                tracing::debug!(target: "pushctl::source", wait_ms = step.wait.as_millis(), "attempt {failed} failed: {cause:#}");
                watch.waiting(step.wait, cause);
                let paused = budget.watch(self.named(), || true, sleep(step.wait));
                tokio::select! {
                    kind = interrupt.wait() => return Err(Interrupt::error(kind)),
                    () = paused => {}
                }
            }
            watch.attempt(failed + 1);
            let previous = last.as_ref();
            let attempt = ReadAttempt {
                source: self,
                number: failed,
                budget,
                end,
                interrupt,
                watch,
                previous,
                connector: connector.clone(),
            };
            match attempt.run(step.timeout, &mut work).await {
                Err(error) if error.is_retryable() => last = Some(error),
                outcome => return outcome,
            }
        }
    }
}

/// One connection and one snapshot.
struct ReadAttempt<'a> {
    source: &'a Source,
    number: u32,
    budget: &'a Budget,
    end: Instant,
    interrupt: &'a Interrupt,
    watch: &'a dyn Watch,
    previous: Option<&'a Error>,
    connector: Option<TlsConnector>,
}

impl ReadAttempt<'_> {
    async fn run<T>(
        &self,
        limit: Duration,
        work: &mut impl AsyncFnMut(&Snapshot) -> Result<T>,
    ) -> Result<T> {
        let Source {
            address, purpose, ..
        } = self.source;
        let program = address
            .application_name
            .as_deref()
            .unwrap_or(concat!("pushctl/", env!("CARGO_PKG_VERSION")));
        let name = transaction::application_name(program, &purpose.command, &purpose.run);
        let options = ConnectOptions {
            application_name: &name,
            connector: self.connector.clone(),
            limit,
            end: self.end,
            turn: self.number,
            trace: None,
        };
        let named = self.source.named();
        let connecting = crate::postgres::connect::connect(address, options);
        let connected = tokio::select! {
            kind = self.interrupt.wait() => return Err(Interrupt::error(kind)),
            connected = self.budget.watch(named, || true, connecting) => connected?,
        };
        let Connected {
            client,
            task,
            route,
            version,
        } = connected;
        let token = client.cancel_token();
        let connection = task.abort_handle();
        let snapshot = Snapshot::new(client, task, route.host.to_string(), version);
        let cancel = CancelOnDrop {
            token,
            route,
            running: snapshot.watch_running(),
            connection,
        };
        let is_idle = || {
            snapshot
                .running()
                .is_some_and(|running| running.is_silent())
        };
        let conversation = self.converse(&snapshot, work);
        let named = format!("rows from {}", self.source.named());
        let outcome = tokio::select! {
            biased;
            kind = self.interrupt.wait() => Err(Interrupt::error(kind)),
            outcome = self.budget.watch(named, is_idle, conversation) => outcome,
            () = sleep_until(self.end) => Err(out_of_time(&snapshot, self.previous)),
        };
        let limit = self.budget.left().min(GOODBYE);
        if outcome.is_ok() {
            let _ = timeout(limit, snapshot.commit()).await;
        } else {
            cancel.fire(limit).await;
            snapshot.abandon().await;
        }
        outcome
    }

    async fn converse<T>(
        &self,
        snapshot: &Snapshot,
        work: &mut impl AsyncFnMut(&Snapshot) -> Result<T>,
    ) -> Result<T> {
        let address = &self.source.address;
        let left = self.end.saturating_duration_since(Instant::now());
        // The failure may come from statements that another client of a pooler left behind.
        let leftovers = if address.pgbouncer || self.number > 0 {
            Leftovers::Clear
        } else {
            Leftovers::Ignore
        };
        snapshot
            .open(&transaction::opening(
                address,
                snapshot.server_version(),
                left,
                leftovers,
            ))
            .await?;
        self.watch
            .connected(snapshot.host(), snapshot.server_version());
        work(snapshot).await
    }
}

/// Cancels the running statement when the future is dropped.
struct CancelOnDrop {
    token: CancelToken,
    route: Route,
    running: Arc<Mutex<Option<Running>>>,
    connection: AbortHandle,
}

impl CancelOnDrop {
    /// Cancels now, so that dropping does not cancel again.
    async fn fire(self, limit: Duration) {
        if lock(&self.running).take().is_some() {
            transaction::cancel(&self.token, &self.route, limit).await;
        }
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if lock(&self.running).take().is_none() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let (token, route, connection) = (
                self.token.clone(),
                self.route.clone(),
                self.connection.clone(),
            );
            runtime.spawn(async move {
                transaction::cancel(&token, &route, GOODBYE).await;
                connection.abort();
            });
        }
    }
}

/// Returns the part of a budget for the work; the rest is kept for cancelling and for the error message.
fn working(total: Duration) -> Duration {
    total.saturating_sub((total / 20).min(GOODBYE))
}

fn out_of_time(snapshot: &Snapshot, previous: Option<&Error>) -> Error {
    let running = snapshot.running();
    let state = running.map_or_else(
        || "no statement was running".to_owned(),
        |running| running.describe(),
    );
    let before = previous.map_or_else(String::new, |previous| {
        format!("; the attempt before had failed: {previous:#}")
    });
    let error = Error::new(ErrorKind::Unreachable, format!("{state}{before}")).context(format!(
        "the deadline ended while reading from {}",
        snapshot.host()
    ));
    let error = previous
        .into_iter()
        .flat_map(Error::hints)
        .fold(error, Error::hint);
    if running.is_some_and(|running| running.stalled()) {
        error.hint(Advice::Stalled)
    } else {
        error.hint(Advice::SlowStatement)
    }
}

fn give_up(last: Option<Error>, failed: u32, time: Duration, budget: &Budget) -> Error {
    let deadline = budget.total();
    let Some(error) = last else {
        return Error::new(
            ErrorKind::Unreachable,
            format!(
                "the deadline of {} ended before the connection could begin{}",
                Seconds(deadline),
                budget.spent_on()
            ),
        )
        .hint("raise --deadline");
    };
    let error = given_up(error, failed, time);
    if deadline < FAILOVER {
        error.hint(format!(
            "a managed database's failover takes 60 to 120 s, longer than the deadline of {}",
            Seconds(deadline)
        ))
    } else {
        error
    }
}
