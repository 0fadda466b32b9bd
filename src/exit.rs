//! The exit statuses: one table for `--help` and the man pages.

use std::process::ExitCode;

/// Why a command ended the way it did; each kind has one exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
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
pub const TABLE: &[(Kind, u8, &str)] = &[
    (Kind::Done, 0, "done"),
    (Kind::Failed, 1, "failed"),
    (Kind::Usage, 2, "usage or configuration"),
    (Kind::Partial, 3, "partly done: some recipients failed"),
    (Kind::Credentials, 4, "credentials refused"),
    (
        Kind::Unreachable,
        5,
        "source or service unreachable within the deadline",
    ),
    (
        Kind::Nothing,
        6,
        "nothing to do, where an option makes that a failure",
    ),
    (Kind::Locked, 11, "locked by another run"),
    (Kind::Refused, 12, "refused by a safeguard"),
    (Kind::Cancelled, 20, "cancelled"),
    (Kind::Bug, 70, "a bug in pushctl"),
    (Kind::Interrupted, 130, "interrupted"),
    (Kind::Terminated, 143, "terminated"),
];

impl Kind {
    /// Returns the exit status of this kind.
    pub fn status(self) -> u8 {
        TABLE
            .iter()
            .find(|(kind, ..)| *kind == self)
            .map_or(70, |(_, status, _)| *status)
    }
}

impl Kind {
    /// Returns the meaning of its exit status.
    pub fn meaning(self) -> &'static str {
        TABLE
            .iter()
            .find(|(kind, ..)| *kind == self)
            .map_or("", |(_, _, meaning)| meaning)
    }
}

impl From<Kind> for ExitCode {
    fn from(kind: Kind) -> Self {
        Self::from(kind.status())
    }
}

/// Returns the "Exit status" section of a command's help: the given kinds, in the table's order.
pub fn help(kinds: &[Kind]) -> String {
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
        assert_eq!(Kind::Terminated.status(), 143);
    }
}
