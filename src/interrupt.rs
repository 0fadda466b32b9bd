//! Interrupts: the binary catches a signal once, and every wait in the library ends on it.
//!
//! Work is not aborted from outside: each module that holds a resource (a running statement, a lease, an incomplete
//! file) waits for the interrupt itself, cleans up and returns an error of that kind.

use std::future;

use tokio::sync::watch;

use crate::error::{Error, ErrorKind, Result};

/// The sending end. If it is dropped before it fired, the interrupt never comes.
#[derive(Debug)]
pub struct Trigger(watch::Sender<Option<ErrorKind>>);

/// The receiving end; cheap to clone.
#[derive(Debug, Clone)]
pub struct Interrupt(watch::Receiver<Option<ErrorKind>>);

pub fn channel() -> (Trigger, Interrupt) {
    let (sender, receiver) = watch::channel(None);
    (Trigger(sender), Interrupt(receiver))
}

impl Trigger {
    /// Interrupts all receivers, once: the first kind is kept.
    /// `kind` is [`ErrorKind::Interrupted`], [`ErrorKind::Terminated`] or [`ErrorKind::Cancelled`].
    pub fn fire(&self, kind: ErrorKind) {
        self.0.send_if_modified(|fired| {
            let first = fired.is_none();
            fired.get_or_insert(kind);
            first
        });
    }
}

impl Interrupt {
    /// Returns an interrupt that never comes.
    pub fn never() -> Self {
        channel().1
    }

    /// Returns the kind that fired, if any.
    pub fn fired(&self) -> Option<ErrorKind> {
        *self.0.borrow()
    }

    /// Waits until it fires: returns at once if it has fired, and never if its trigger was dropped.
    pub async fn wait(&self) -> ErrorKind {
        let mut receiver = self.0.clone();
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
