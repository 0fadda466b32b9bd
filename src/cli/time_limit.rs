//! Ends a command at its deadline or at a signal.

use std::future::Future;

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;

use super::context::CommandContext;

/// Awaits `work`, which may be dropped at any `await`, until the budget ends or a signal comes.
pub(super) async fn bounded<T>(
    context: &CommandContext,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        error = ended(context) => Err(error),
        done = work => done,
    }
}

/// Returns when the command has to end, with the error to end with.
pub(super) async fn ended(context: &CommandContext) -> Error {
    tokio::select! {
        kind = context.interrupt.wait() => Interrupt::error(kind),
        () = tokio::time::sleep_until(context.budget.end()) => context.budget.out_of_time(),
    }
}
