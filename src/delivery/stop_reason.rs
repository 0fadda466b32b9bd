//! The reason for which a send ends before its last row.

use jiff::Timestamp;

use crate::error::{Error, ErrorKind};
use crate::fcm::Halt;
use crate::state::Cancellation;

/// Why a send ended before its last row.
#[derive(Debug)]
pub(super) enum Stop {
    /// A signal.
    Interrupted(ErrorKind),
    /// The run was cancelled.
    Cancelled(Cancellation),
    /// The push service, or the failure guard.
    Halted(Halt),
    /// The end of the time budget.
    OutOfTime,
    /// Quiet hours began; with an end where the run waits for it.
    Quiet {
        hours: String,
        until: Option<Timestamp>,
    },
    /// No message may leave after this instant.
    Late(Timestamp),
    /// An error of the history, the store or the file.
    Failed(Error),
}
