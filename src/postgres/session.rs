//! A long-lived connection to PostgreSQL: for the state store and the notification history.
//!
//! It connects as the source does (address, TLS, every address of every host), at first use and again after
//! a loss; all users in the process take turns. All work is repeatable, so a connection that dies in
//! the middle (a restart, a failover) costs only time. Statements are unnamed, and settings are made inside
//! transactions, so it works through a pooler.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use native_tls::TlsConnector;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error as Refusal};

use crate::budget::Budget;
use crate::clock::text::Seconds;
use crate::error::{Error, ErrorKind, Result};
use crate::postgres::Address;
use crate::postgres::connect::{ConnectOptions, Connected, connect, connector};
use crate::retry::{Retries, RetryPolicy};

/// Connect timeout of one host, unless the address sets one.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Limit of one attempt of an operation. The server's own limits are shorter, so that its message names what was slow.
const TRY: Duration = Duration::from_secs(60);

/// The beginning of every transaction. Commits must be durable, even if the server's configuration turns that off.
pub(crate) const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = '50s'; SET LOCAL lock_timeout = '40s'; \
     SET LOCAL idle_in_transaction_session_timeout = '20s'; \
     SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'";

/// A parameter with its type, as an unnamed statement needs it.
pub(crate) type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// A server's address, and the connection if it is open.
pub(crate) struct ReconnectingSession {
    address: Address,
    /// The server's name in errors: `the state store`, ….
    what: &'static str,
    /// Makes an error of a statement's failure.
    explain: fn(Refusal) -> Error,
    /// The server's name and place, as waits name it.
    named: Arc<str>,
    /// How long an operation retries to reach the server.
    budget: Budget,
    session: Mutex<Option<Session>>,
    /// A write has succeeded, so a server that is read-only now is the old primary of a failover.
    has_written: AtomicBool,
    connector: OnceLock<Option<TlsConnector>>,
}

/// One connection; dropping it closes it, and the server rolls back an open transaction.
pub(crate) struct Session {
    pub(crate) client: Arc<Client>,
    task: JoinHandle<Result<(), Refusal>>,
}

impl ReconnectingSession {
    pub(crate) fn new(
        address: Address,
        what: &'static str,
        explain: fn(Refusal) -> Error,
        budget: Budget,
    ) -> Self {
        Self {
            named: format!("{what} {}", address.place()).into(),
            address,
            what,
            explain,
            budget,
            session: Mutex::new(None),
            has_written: AtomicBool::new(false),
            connector: OnceLock::new(),
        }
    }

    /// Returns the hosts and ports, as progress shows them.
    pub(crate) fn place(&self) -> String {
        self.address.place()
    }

    /// Connects once, to verify the address.
    pub(crate) async fn open(&self) -> Result<()> {
        let check = |client: Arc<Client>| async move { client.check_connection().await };
        self.retried(RetryPolicy::CONNECTION, &check).await
    }

    /// Closes the connection; the next use opens it again.
    pub(crate) async fn close(&self) {
        *self.session.lock().await = None;
    }

    /// Runs `work` on the connection, again on a new one if it was lost. `work` must be repeatable, and must
    /// end the transaction that it begins.
    pub(crate) async fn with<T, F>(&self, work: impl Fn(Arc<Client>) -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        self.retried(RetryPolicy::STATEMENT, &work).await
    }

    /// Opens a further connection for the caller alone.
    pub(crate) async fn another(&self) -> Result<Session> {
        let limit = self.address.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        let hosts = u32::try_from(self.address.hosts.len()).unwrap_or(1);
        let name = self
            .address
            .application_name
            .as_deref()
            .unwrap_or(concat!("pushctl/", env!("CARGO_PKG_VERSION")));
        let options = ConnectOptions {
            application_name: name,
            connector: self.connector()?,
            limit,
            end: self.budget.end().min(Instant::now() + limit * hosts),
            turn: 0,
            trace: None,
        };
        let Connected { client, task, .. } = connect(&self.address, options)
            .await
            .map_err(|error| error.context(format!("cannot reach {}", self.what)))?;
        Ok(Session {
            client: Arc::new(client),
            task,
        })
    }

    /// Made once, because it reads the system's certificates.
    fn connector(&self) -> Result<Option<TlsConnector>> {
        if let Some(made) = self.connector.get() {
            return Ok(made.clone());
        }
        let made = connector(&self.address)?;
        Ok(self.connector.get_or_init(|| made).clone())
    }

    /// Converts a statement's failure into an error, and says whether a retry may succeed.
    pub(crate) fn explain(&self, refusal: Refusal) -> Error {
        let passes = passes(&refusal) || self.is_failing_over(&refusal);
        let is_lost = refusal.code().is_none();
        let mut error = (self.explain)(refusal);
        if is_lost {
            error = error.context(format!("cannot reach {}", self.named));
        }
        if passes {
            error.transient()
        } else {
            error.permanent()
        }
    }

    async fn retried<T, F>(
        &self,
        policy: RetryPolicy,
        work: &impl Fn(Arc<Client>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        let retried = async {
            let mut slot = self.session.lock().await;
            let mut retries = Retries::new(policy, self.budget.end());
            loop {
                match self.attempt(slot.take(), work).await {
                    Ok((session, value)) => {
                        *slot = Some(session);
                        return Ok(value);
                    }
                    Err(error) => retries.after(error).await?,
                }
            }
        };
        self.budget
            .wait_with_grace(Arc::clone(&self.named), retried)
            .await
    }

    /// Runs `work` once. The session is kept only after success, so that a retry starts on a new one.
    async fn attempt<T, F>(
        &self,
        session: Option<Session>,
        work: &impl Fn(Arc<Client>) -> F,
    ) -> Result<(Session, T)>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        let session = match session.filter(|session| !session.client.is_closed()) {
            Some(session) => session,
            None => self.another().await?,
        };
        match timeout(TRY, work(Arc::clone(&session.client))).await {
            Ok(Ok(value)) => Ok((session, value)),
            Ok(Err(refusal)) => Err(self.explain(refusal)),
            Err(_) => Err(self.silent()),
        }
    }

    /// Notes that a write has succeeded.
    pub(crate) fn note_write(&self) {
        self.has_written.store(true, Ordering::Relaxed);
    }

    /// Returns whether the old primary answered, which it may do for a moment after a failover.
    fn is_failing_over(&self, refusal: &Refusal) -> bool {
        refusal.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
            && self.has_written.load(Ordering::Relaxed)
    }

    fn silent(&self) -> Error {
        let time = Seconds(TRY);
        Error::new(
            ErrorKind::Unreachable,
            format!("{} has not answered for {time}", self.what),
        )
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns whether a retry may succeed: the connection was lost, the server is starting or stopping, or two
/// transactions conflicted.
fn passes(refusal: &Refusal) -> bool {
    let Some(state) = refusal.code() else {
        return true;
    };
    let code = state.code();
    let classes = ["08", "57P", "58"];
    let states = [
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::QUERY_CANCELED,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    classes.iter().any(|class| code.starts_with(class)) || states.contains(state)
}
