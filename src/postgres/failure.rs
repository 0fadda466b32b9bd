//! Failures of the source: recognised, described, and given a kind and a hint.
//!
//! Three steps: `classify` finds the `FailureCause` in a foreign error's chain of causes; `FailureCause` has a message;
//! `advice` maps it to the kind (which decides whether to retry) and the hint.
//!
//! [`ErrorKind::Unreachable`] means transient: the source is retried while budget remains.
//! Every other kind ends the run at once.

mod advice;
mod classify;
mod sql;

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub use sql::SqlError;

use super::address::TargetSession;
pub(crate) use crate::clock::text::Seconds;
use crate::error::{Error, ErrorKind};

/// The phase of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectPhase {
    Password,
    Resolving,
    Dialing,
    AskingForTls,
    Handshake,
    Authentication,
    Greeting,
}

/// The failures that are distinguished.
#[derive(Debug)]
pub(crate) enum FailureCause {
    NoSuchHost,
    Unresolved,
    TimedOut {
        phase: ConnectPhase,
        after: Duration,
    },
    Refused,
    Unroutable,
    Forbidden,
    NoSocket,
    Silent,
    Reset,
    Closed,
    Network,
    TlsDeclined,
    NotPostgres,
    NotTls,
    DirectTlsClosed,
    TlsIncompatible,
    CertificateUntrusted,
    CertificateExpired,
    CertificateNotYetValid,
    CertificateMisnamed,
    ClientCertificate,
    ClosedAfterCertificate,
    PasswordMissing,
    PasswordCommand,
    Authentication,
    WrongServer(TargetSession),
    Protocol,
    Sql(Box<SqlError>),
}

/// A trouble with its details.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) trouble: FailureCause,
    /// The innermost message of the foreign error, without secrets.
    detail: Option<String>,
    address: Option<SocketAddr>,
}

impl Failure {
    pub(crate) fn of(trouble: FailureCause) -> Self {
        Self {
            trouble,
            detail: None,
            address: None,
        }
    }

    pub(crate) fn detailed(trouble: FailureCause, detail: impl fmt::Display) -> Self {
        Self {
            trouble,
            detail: Some(detail.to_string()),
            address: None,
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
    pub(crate) fn io(cause: io::Error) -> Self {
        Self::detailed(classify::io(&cause), classify::innermost(&cause))
    }

    /// Recognises an error of the system's resolver.
    #[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
    pub(crate) fn resolving(cause: io::Error) -> Self {
        Self::detailed(classify::resolving(&cause), classify::innermost(&cause))
    }

    /// Recognises an error of the TLS handshake.
    #[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
    pub(crate) fn tls(cause: native_tls::Error) -> Self {
        Self::detailed(
            classify::tls(&cause),
            classify::tidy(&classify::outermost_tls(&cause)),
        )
    }

    /// Recognises an error of the driver by its cause; the error itself has no details.
    pub(crate) fn driver(cause: &tokio_postgres::Error) -> Self {
        if let Some(error) = cause.as_db_error() {
            return Self::of(FailureCause::Sql(Box::new(SqlError::from(error))));
        }
        let detail = cause.source().map(classify::innermost);
        Self {
            trouble: classify::driver(cause),
            detail,
            address: None,
        }
    }

    /// Adds the address at which it happened.
    pub(crate) fn at(mut self, address: SocketAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Combines the failures of one host's addresses: the last decides the kind, all appear in the message.
    pub(crate) fn all(mut failures: Vec<Self>) -> Self {
        let told: Vec<String> = failures.iter().map(Self::told).collect();
        let several = failures.len() > 1;
        let worst = failures.iter().position(|failure| {
            matches!(
                failure.trouble,
                FailureCause::Refused | FailureCause::Silent
            )
        });
        let mut spokesman = match worst {
            Some(index) => failures.swap_remove(index),
            None => failures
                .pop()
                .unwrap_or_else(|| Self::of(FailureCause::NoSuchHost)),
        };
        if several {
            spokesman.detail = Some(told.join("; "));
            spokesman.address = None;
        }
        spokesman
    }

    /// Returns whether a retry may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        self.kind() == ErrorKind::Unreachable
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        advice::verdict(&self.trouble).kind
    }

    /// Returns the error, with `context` as its outermost message.
    pub(crate) fn into_error(self, context: impl fmt::Display) -> Error {
        let verdict = advice::verdict(&self.trouble);
        let sentence = self.trouble.to_string();
        let address = self.address;
        let error = match (self.trouble, self.detail) {
            (FailureCause::Sql(cause), _) => Error::from_cause(verdict.kind, *cause),
            (_, Some(detail)) if !detail.is_empty() => {
                Error::new(verdict.kind, detail).context(sentence)
            }
            _ => Error::new(verdict.kind, sentence),
        };
        let error = match address {
            Some(address) => error.context(format!("{context} ({address})")),
            None => error.context(context),
        };
        verdict.advice.iter().fold(error, Error::hint)
    }

    fn told(&self) -> String {
        let what = self
            .detail
            .clone()
            .unwrap_or_else(|| self.trouble.to_string());
        self.address
            .map_or(what.clone(), |address| format!("{address}: {what}"))
    }
}

impl fmt::Display for ConnectPhase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Password => "while password_command was running",
            Self::Resolving => "while its name was being resolved",
            Self::Dialing => "before the TCP connection was accepted",
            Self::AskingForTls => "after the TCP connection was accepted and before TLS began",
            Self::Handshake => "in the TLS handshake",
            Self::Authentication => "in authentication",
            Self::Greeting => "right after authentication",
        })
    }
}

impl fmt::Display for FailureCause {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::TimedOut { phase, after } => {
                return write!(out, "timed out after {}, {phase}", Seconds(*after));
            }
            Self::WrongServer(target) => {
                return write!(out, "it does not satisfy target_session_attrs={target}");
            }
            Self::Sql(error) => return error.fmt(out),
            Self::NoSuchHost => "there is no such host",
            Self::Unresolved => "its name cannot be resolved at the moment",
            Self::Refused => "the connection was refused",
            Self::Unroutable => "there is no route to it",
            Self::Forbidden => "this machine does not permit the connection",
            Self::NoSocket => "there is no such socket",
            Self::Silent => "the network stopped answering",
            Self::Reset => "the connection was reset",
            Self::Closed => "the connection was closed unexpectedly",
            Self::Network => "the network failed",
            Self::TlsDeclined => "the server does not offer TLS, but sslmode requires it",
            Self::NotPostgres => "the service at this address does not speak PostgreSQL's protocol",
            Self::DirectTlsClosed => "the connection was closed when TLS began without negotiation",
            Self::NotTls => "the service at this address does not speak TLS",
            Self::TlsIncompatible => "client and server could not agree on a TLS connection",
            Self::CertificateUntrusted => "no trusted root signed the server's certificate",
            Self::CertificateExpired => "the server's certificate has expired",
            Self::CertificateNotYetValid => "the server's certificate is not valid yet",
            Self::CertificateMisnamed => "the server's certificate is for another host",
            Self::ClosedAfterCertificate => {
                "the connection was closed after the client certificate was sent"
            }
            Self::ClientCertificate => "the server rejected the client certificate",
            Self::PasswordMissing => "the server asks for a password, and none is configured",
            Self::PasswordCommand => "password_command failed",
            Self::Authentication => "authentication failed",
            Self::Protocol => "the server sent something unexpected",
        })
    }
}
