//! Maps a trouble or an SQLSTATE to its kind and hint. [`ErrorKind::Unreachable`] is transient, every other kind
//! permanent.

use super::{ConnectPhase, FailureCause, SqlError};
use crate::advice::Advice;
use crate::error::ErrorKind;

/// The kind and hint of a trouble.
pub(crate) struct FailureAdvice {
    pub(crate) kind: ErrorKind,
    pub(crate) advice: Vec<Advice>,
}

pub(crate) fn verdict(trouble: &FailureCause) -> FailureAdvice {
    let (kind, advice) = match trouble {
        FailureCause::Sql(error) => return sql(error),
        FailureCause::NoSuchHost => (ErrorKind::Usage, Advice::HostName),
        FailureCause::Unresolved => (ErrorKind::Unreachable, Advice::NameServer),
        FailureCause::TimedOut { phase, .. } => (
            ErrorKind::Unreachable,
            match phase {
                ConnectPhase::Password => Advice::SlowPasswordCommand,
                ConnectPhase::Resolving => Advice::NameServer,
                ConnectPhase::Dialing => Advice::AllowList,
                _ => Advice::NoFarEnd,
            },
        ),
        FailureCause::Refused => (ErrorKind::Unreachable, Advice::NoListener),
        FailureCause::Unroutable => (ErrorKind::Unreachable, Advice::NoRoute),
        FailureCause::Forbidden => (ErrorKind::Failed, Advice::LocalFirewall),
        FailureCause::NoSocket => (ErrorKind::Unreachable, Advice::NoSocket),
        FailureCause::Silent => (ErrorKind::Unreachable, Advice::AllowList),
        FailureCause::Reset | FailureCause::Closed => (ErrorKind::Unreachable, Advice::IdleLimit),
        FailureCause::Network => (ErrorKind::Unreachable, Advice::Network),
        FailureCause::TlsDeclined => (ErrorKind::Usage, Advice::NoTls),
        FailureCause::NotPostgres => (ErrorKind::Usage, Advice::WrongService),
        FailureCause::DirectTlsClosed => (ErrorKind::Unreachable, Advice::DirectTls),
        FailureCause::NotTls => (ErrorKind::Usage, Advice::DirectTls),
        FailureCause::TlsIncompatible => (ErrorKind::Failed, Advice::OldTls),
        FailureCause::CertificateUntrusted => (ErrorKind::Credentials, Advice::RootCertificates),
        FailureCause::CertificateExpired => (ErrorKind::Credentials, Advice::ExpiredCertificate),
        FailureCause::CertificateNotYetValid => (ErrorKind::Credentials, Advice::EarlyCertificate),
        FailureCause::CertificateMisnamed => (ErrorKind::Credentials, Advice::CertificateName),
        FailureCause::ClosedAfterCertificate => (ErrorKind::Unreachable, Advice::ClientCertificate),
        FailureCause::ClientCertificate => (ErrorKind::Credentials, Advice::ClientCertificate),
        FailureCause::PasswordMissing => (ErrorKind::Credentials, Advice::NoPassword),
        FailureCause::PasswordCommand => (ErrorKind::Credentials, Advice::PasswordCommand),
        FailureCause::Authentication => (ErrorKind::Credentials, Advice::Password),
        FailureCause::WrongServer(_) => (ErrorKind::Unreachable, Advice::WrongServer),
        FailureCause::Protocol => (ErrorKind::Failed, Advice::Protocol),
    };
    FailureAdvice {
        kind,
        advice: vec![advice],
    }
}

/// Messages of poolers, whose SQLSTATE (08P01, "protocol violation") is not specific. Checked first.
const POOLER: &[(&str, ErrorKind, Advice)] = &[
    (
        "unsupported startup parameter",
        ErrorKind::Usage,
        Advice::PoolerOptions,
    ),
    ("no such database", ErrorKind::Usage, Advice::PoolerDatabase),
    ("does not exist", ErrorKind::Usage, Advice::DatabaseOrUser),
    ("no such user", ErrorKind::Credentials, Advice::Password),
    (
        "authentication failed",
        ErrorKind::Credentials,
        Advice::Password,
    ),
    (
        "no more connections allowed",
        ErrorKind::Unreachable,
        Advice::Pooling,
    ),
    (
        "query_wait_timeout",
        ErrorKind::Unreachable,
        Advice::Pooling,
    ),
];

/// Prefixes of SQLSTATEs; the first match decides.
const SQLSTATES: &[(&str, ErrorKind, Advice)] = &[
    ("08", ErrorKind::Unreachable, Advice::IdleLimit),
    ("28", ErrorKind::Credentials, Advice::Password),
    ("3D000", ErrorKind::Usage, Advice::DatabaseName),
    ("3F000", ErrorKind::Usage, Advice::SchemaName),
    ("25006", ErrorKind::Usage, Advice::ReadOnlyQuery),
    ("25P03", ErrorKind::Unreachable, Advice::SlowReader),
    ("40001", ErrorKind::Unreachable, Advice::ReplicaConflict),
    ("40P01", ErrorKind::Unreachable, Advice::Deadlock),
    ("42P05", ErrorKind::Unreachable, Advice::LeftStatements),
    ("42501", ErrorKind::Credentials, Advice::SelectPrivilege),
    ("42P01", ErrorKind::Usage, Advice::MissingTable),
    ("42", ErrorKind::Usage, Advice::WrongQuery),
    ("53100", ErrorKind::Failed, Advice::ServerDiskFull),
    ("53300", ErrorKind::Unreachable, Advice::Pooling),
    ("53400", ErrorKind::Unreachable, Advice::ServerLimit),
    ("55006", ErrorKind::Unreachable, Advice::ObjectInUse),
    ("55P03", ErrorKind::Unreachable, Advice::LockHeld),
    ("57014", ErrorKind::Failed, Advice::StatementTimeout),
    ("57P01", ErrorKind::Unreachable, Advice::IdleLimit),
    ("57P02", ErrorKind::Unreachable, Advice::IdleLimit),
    ("57P03", ErrorKind::Unreachable, Advice::StartingUp),
    ("57P04", ErrorKind::Usage, Advice::DroppedDatabase),
    ("57P05", ErrorKind::Unreachable, Advice::IdleLimit),
    ("58", ErrorKind::Unreachable, Advice::ServerSystem),
    ("XX", ErrorKind::Failed, Advice::ServerFault),
];

fn sql(error: &SqlError) -> FailureAdvice {
    let verdict = |(_, kind, advice): &(&str, ErrorKind, Advice)| FailureAdvice {
        kind: *kind,
        advice: vec![*advice],
    };
    if error.sqlstate == "08P01"
        && let Some(row) = POOLER
            .iter()
            .find(|(words, ..)| error.message.contains(words))
    {
        return verdict(row);
    }
    if error.message.contains("pg_hba.conf") {
        return FailureAdvice {
            kind: ErrorKind::Credentials,
            advice: vec![Advice::HostBasedAccess],
        };
    }
    // SET ROLE: of a role that does not exist, or that the log-in is no member of.
    let is_role = error.message.starts_with("role \"") && error.sqlstate == "22023";
    if is_role || error.message.starts_with("permission denied to set role") {
        return FailureAdvice {
            kind: ErrorKind::Usage,
            advice: vec![Advice::SourceRole],
        };
    }
    SQLSTATES
        .iter()
        .find(|(prefix, ..)| error.sqlstate.starts_with(prefix))
        .map_or(
            FailureAdvice {
                kind: ErrorKind::Failed,
                advice: Vec::new(),
            },
            verdict,
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(sqlstate: &str, message: &str) -> ErrorKind {
        let error = SqlError {
            sqlstate: sqlstate.to_owned(),
            message: message.to_owned(),
            detail: None,
            hint: None,
            position: None,
        };
        sql(&error).kind
    }

    #[test]
    fn what_is_transient_is_retried_and_nothing_else() {
        let transient = [
            "08000", "08006", "08P01", "57P01", "57P02", "57P03", "53300", "53400", "40001",
            "40P01", "55006", "58000", "58030",
        ];
        for sqlstate in transient {
            assert_eq!(kind(sqlstate, "x"), ErrorKind::Unreachable, "{sqlstate}");
        }
        let permanent = [
            "28000", "28P01", "3D000", "42P01", "42501", "42601", "57014", "22012", "53100",
            "XX000", "25006", "0A000",
        ];
        for sqlstate in permanent {
            assert_ne!(kind(sqlstate, "x"), ErrorKind::Unreachable, "{sqlstate}");
        }
    }

    #[test]
    fn a_pooler_is_told_by_its_words() {
        assert_eq!(kind("08P01", "no such database: market"), ErrorKind::Usage);
        assert_eq!(
            kind("08P01", "unsupported startup parameter: options"),
            ErrorKind::Usage
        );
        assert_eq!(
            kind("08P01", "password authentication failed"),
            ErrorKind::Credentials
        );
        assert_eq!(
            kind("08P01", "server conn crashed?"),
            ErrorKind::Unreachable
        );
    }

    #[test]
    fn a_more_special_state_comes_before_its_class() {
        for (index, (prefix, ..)) in SQLSTATES.iter().enumerate() {
            let hidden = SQLSTATES[..index]
                .iter()
                .find(|(earlier, ..)| prefix.starts_with(earlier));
            assert!(hidden.is_none(), "{prefix} is hidden by {hidden:?}");
        }
    }
}
