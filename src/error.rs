//! An error is a kind (which decides the exit status), a chain of causes, and hints that say what to do next.
//!
//! There is deliberately no `From` with a hidden kind: code that converts a foreign error names the kind, with
//! [`Error::new`] or [`Context::kind`].

use std::fmt;

/// What went wrong, as far as the caller's next step depends on it. Each kind leads to one exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// None of the other kinds.
    Failed,
    /// The command line, the environment, the configuration or a query file is wrong.
    Usage,
    /// Some recipients failed, the others did not.
    Partial,
    /// A password, certificate, privilege or service account was refused.
    Credentials,
    /// A server or service could not be reached, or did not answer, before the deadline.
    Unreachable,
    /// There was nothing to do, and the caller asked for that to count.
    Nothing,
    /// Another process holds what this one needs.
    Locked,
    /// A guard refused.
    Refused,
    /// A person cancelled the run.
    Cancelled,
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
    /// A defect of pushctl itself.
    Bug,
}

/// The result of every fallible function of the library.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure with its kind, causes and hints.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    is_permanent: bool,
    chain: anyhow::Error,
    hints: Vec<String>,
}

impl Error {
    /// Returns a failure without a deeper cause. `message` is one sentence without a full stop, in lower case.
    pub fn new(kind: ErrorKind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            is_permanent: false,
            chain: anyhow::Error::msg(message.to_string()),
            hints: Vec::new(),
        }
    }

    /// Returns an error of the most common kind: a wrong command line, configuration or file.
    pub fn usage(message: impl fmt::Display) -> Self {
        Self::new(ErrorKind::Usage, message)
    }

    /// Converts a foreign error, keeping its whole chain of causes.
    pub fn from_cause(kind: ErrorKind, cause: impl Into<anyhow::Error>) -> Self {
        Self {
            kind,
            is_permanent: false,
            chain: cause.into(),
            hints: Vec::new(),
        }
    }

    /// Adds the message of what was attempted; the present message becomes its cause.
    #[must_use]
    pub fn context(mut self, message: impl fmt::Display) -> Self {
        self.chain = self.chain.context(message.to_string());
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hints.push(hint.to_string());
        self
    }

    /// Returns the kind, which decides the exit status.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Marks a failure that another attempt would only repeat.
    #[must_use]
    pub fn permanent(self) -> Self {
        Self {
            is_permanent: true,
            ..self
        }
    }

    /// Makes it a failure that another attempt may not have.
    #[must_use]
    pub fn transient(self) -> Self {
        Self {
            kind: ErrorKind::Unreachable,
            is_permanent: false,
            ..self
        }
    }

    /// Returns whether another attempt may succeed without any change: the other side could not be reached, or did not
    /// answer.
    pub fn is_retryable(&self) -> bool {
        self.kind == ErrorKind::Unreachable && !self.is_permanent
    }

    /// Returns the hints, most useful first.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// Returns the first cause of this type in the chain, for a caller that can say more about it.
    pub fn find<C: std::error::Error + 'static>(&self) -> Option<&C> {
        self.chain.chain().find_map(|cause| cause.downcast_ref())
    }

    /// Returns the message and its causes, outermost first. A cause that its parent already quotes is left out.
    pub fn messages(&self) -> Vec<String> {
        let mut messages: Vec<String> = Vec::new();
        for cause in self.chain.chain() {
            let text = cause.to_string();
            if messages.last().is_none_or(|last| !last.contains(&text)) {
                messages.push(text);
            }
        }
        messages
    }
}

/// The outermost message, or with `{:#}` the whole chain on one line.
impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages = self.messages();
        if out.alternate() {
            return write!(out, "{}", messages.join(": "));
        }
        write!(out, "{}", messages.first().map_or("", String::as_str))
    }
}

impl std::error::Error for Error {}

/// Converts a foreign result, with kind and context.
pub trait Context<T> {
    /// Converts a failure into an error of `kind` with `message()`, and keeps the cause.
    fn kind<M: fmt::Display>(self, kind: ErrorKind, message: impl FnOnce() -> M) -> Result<T>;
}

impl<T, E: Into<anyhow::Error>> Context<T> for std::result::Result<T, E> {
    fn kind<M: fmt::Display>(self, kind: ErrorKind, message: impl FnOnce() -> M) -> Result<T> {
        self.map_err(|cause| Error::from_cause(kind, cause).context(message()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_its_parent_already_quotes_is_not_said_twice() {
        let io = std::io::Error::other("disk is full");
        let error = Error::from_cause(ErrorKind::Failed, io)
            .context("cannot write a.csv: disk is full")
            .context("cannot generate layer2");
        assert_eq!(
            error.messages(),
            ["cannot generate layer2", "cannot write a.csv: disk is full"]
        );
    }
}
