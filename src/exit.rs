//! The exit statuses: one table for `--help` and the man pages.

use std::process::ExitCode;

use crate::error::ErrorKind;

/// How a command ended, as the process tells its caller. Errors have an [`ErrorKind`] that leads to one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// The command succeeded.
    Done,
    /// A failure of no other kind.
    Failed,
    /// The command line, the environment, the configuration or a query file is wrong.
    Usage,
    /// Done for some recipients, failed for others.
    Partial,
    /// A password, certificate, privilege or service account was refused.
    Credentials,
    /// The source or a service could not be reached within the budget.
    Unreachable,
    /// Nothing to do, and an option makes that a failure.
    Nothing,
    /// Another run holds the lock or lease.
    Locked,
    Refused,
    /// The run was cancelled.
    Cancelled,
    Interrupted,
    Terminated,
    /// A defect of pushctl itself.
    Bug,
}

/// Every kind with its exit status and its meaning, in the order they are documented.
pub const TABLE: &[(ExitStatus, u8, &str)] = &[
    (ExitStatus::Done, 0, "done"),
    (ExitStatus::Failed, 1, "failed"),
    (ExitStatus::Usage, 2, "usage or configuration"),
    (
        ExitStatus::Partial,
        3,
        "partly done: some recipients failed, or an earlier audience was used",
    ),
    (ExitStatus::Credentials, 4, "credentials refused"),
    (
        ExitStatus::Unreachable,
        5,
        "source or service unreachable within the deadline",
    ),
    (
        ExitStatus::Nothing,
        6,
        "nothing to do, where an option makes that a failure",
    ),
    (ExitStatus::Locked, 11, "locked by another run"),
    (ExitStatus::Refused, 12, "refused by a safeguard"),
    (ExitStatus::Cancelled, 20, "cancelled"),
    (ExitStatus::Bug, 70, "a bug in pushctl"),
    (ExitStatus::Interrupted, 130, "interrupted"),
    (ExitStatus::Terminated, 143, "terminated"),
];

impl ExitStatus {
    /// Returns the exit status of this kind.
    pub fn code(self) -> u8 {
        TABLE
            .iter()
            .find(|(kind, ..)| *kind == self)
            .map_or(70, |(_, status, _)| *status)
    }
}

impl ExitStatus {
    /// Returns the meaning of its exit status.
    pub fn meaning(self) -> &'static str {
        TABLE
            .iter()
            .find(|(kind, ..)| *kind == self)
            .map_or("", |(_, _, meaning)| meaning)
    }
}

impl From<ErrorKind> for ExitStatus {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Failed => Self::Failed,
            ErrorKind::Usage => Self::Usage,
            ErrorKind::Partial => Self::Partial,
            ErrorKind::Credentials => Self::Credentials,
            ErrorKind::Unreachable => Self::Unreachable,
            ErrorKind::Nothing => Self::Nothing,
            ErrorKind::Locked => Self::Locked,
            ErrorKind::Refused => Self::Refused,
            ErrorKind::Cancelled => Self::Cancelled,
            ErrorKind::Interrupted => Self::Interrupted,
            ErrorKind::Terminated => Self::Terminated,
            ErrorKind::Bug => Self::Bug,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(kind: ExitStatus) -> Self {
        Self::from(kind.code())
    }
}

/// Returns the "Exit status" section of a command's help: the given kinds, in the table's order.
pub fn help(kinds: &[ExitStatus]) -> String {
    let rows: Vec<String> = TABLE
        .iter()
        .filter(|(kind, ..)| kinds.contains(kind))
        .map(|(_, status, meaning)| format!("  {status:<4}{meaning}"))
        .collect();
    format!("Exit status:\n{}", rows.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_used_once() {
        let mut statuses: Vec<u8> = TABLE.iter().map(|(_, status, _)| *status).collect();
        statuses.dedup();
        assert_eq!(statuses.len(), TABLE.len());
        assert_eq!(ExitStatus::Terminated.code(), 143);
    }
}
