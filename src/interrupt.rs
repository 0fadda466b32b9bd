//! Interrupts: the binary catches a signal once, and every wait in the library ends on it.
//!
//! Work is not aborted from outside: each module that holds a resource (a running statement, a lease, an incomplete
//! file) waits for the interrupt itself, cleans up and returns an error of that kind.

use std::future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};

/// The sending end. If it is dropped before it fired, the interrupt never comes.
pub struct Trigger {
    fired: watch::Sender<Option<ErrorKind>>,
    sending: Arc<Mutex<Option<Sending>>>,
}

/// The receiving end; cheap to clone.
#[derive(Clone)]
pub struct Interrupt {
    fired: watch::Receiver<Option<ErrorKind>>,
    sending: Arc<Mutex<Option<Sending>>>,
}

/// A send in progress: its run, and how many of its messages have no recorded answer.
struct Sending {
    run: String,
    unanswered: Box<dyn Fn() -> usize + Send>,
}

/// Ends a send in progress when it is dropped.
pub struct SendingGuard(Arc<Mutex<Option<Sending>>>);

pub fn channel() -> (Trigger, Interrupt) {
    let (sender, receiver) = watch::channel(None);
    let sending = Arc::default();
    let trigger = Trigger {
        fired: sender,
        sending: Arc::clone(&sending),
    };
    let fired = receiver;
    (trigger, Interrupt { fired, sending })
}

impl Trigger {
    /// Interrupts all receivers, once: the first kind is kept.
    /// `kind` is [`ErrorKind::Interrupted`], [`ErrorKind::Terminated`] or [`ErrorKind::Cancelled`].
    pub fn fire(&self, kind: ErrorKind) {
        self.fired.send_if_modified(|fired| {
            let first = fired.is_none();
            fired.get_or_insert(kind);
            first
        });
    }

    /// Returns the run that is being sent, and how many of its messages have no recorded answer: these are in doubt if
    /// the process ends now.
    pub fn unanswered(&self) -> Option<(String, usize)> {
        let sending = lock(&self.sending);
        let sending = sending.as_ref()?;
        Some((sending.run.clone(), (sending.unanswered)()))
    }
}

impl Interrupt {
    /// Returns an interrupt that never comes.
    pub fn never() -> Self {
        channel().1
    }

    /// Returns the kind that fired, if any.
    pub fn fired(&self) -> Option<ErrorKind> {
        *self.fired.borrow()
    }

    /// Waits until it fires: returns at once if it has fired, and never if its trigger was dropped.
    pub async fn wait(&self) -> ErrorKind {
        let mut receiver = self.fired.clone();
        match receiver.wait_for(Option::is_some).await.map(|kind| *kind) {
            Ok(Some(kind)) => kind,
            _ => future::pending().await,
        }
    }

    /// Awaits `work`, which may be dropped at any `await`, or the interrupt.
    pub fn or<'a, T: 'a>(
        &'a self,
        work: impl Future<Output = Result<T>> + 'a,
    ) -> impl Future<Output = Result<T>> + 'a {
        let work = Box::pin(work);
        async move {
            tokio::select! {
                biased;
                kind = self.wait() => Err(Self::error(kind)),
                done = work => done,
            }
        }
    }

    /// Notes that a run is being sent, until the guard is dropped. `unanswered` counts the messages without a recorded
    /// answer.
    pub fn sending(
        &self,
        run: &str,
        unanswered: impl Fn() -> usize + Send + 'static,
    ) -> SendingGuard {
        *lock(&self.sending) = Some(Sending {
            run: run.to_owned(),
            unanswered: Box::new(unanswered),
        });
        SendingGuard(Arc::clone(&self.sending))
    }

    /// Returns the error of interrupted work.
    pub fn error(kind: ErrorKind) -> Error {
        Error::new(
            kind,
            match kind {
                ErrorKind::Interrupted => "interrupted",
                ErrorKind::Terminated => "terminated",
                _ => "cancelled",
            },
        )
    }
}

impl Drop for SendingGuard {
    fn drop(&mut self) {
        *lock(&self.0) = None;
    }
}

fn lock(sending: &Mutex<Option<Sending>>) -> MutexGuard<'_, Option<Sending>> {
    sending.lock().unwrap_or_else(PoisonError::into_inner)
}
