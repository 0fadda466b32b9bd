//! Maps a trouble or an SQLSTATE to its kind and hint. [`ErrorKind::Unreachable`] is transient, every other kind
//! permanent.

use super::{ConnectPhase, FailureCause, SqlError};
use crate::error::ErrorKind;

/// The kind and hint of a trouble.
pub(crate) struct FailureAdvice {
    pub(crate) kind: ErrorKind,
    pub(crate) advice: Vec<&'static str>,
}

const ALLOW_LIST: &str = "a firewall may be dropping the packets: check that the database's allow-list (security group) has every static egress \
     address of this machine, and that host and port are right";
const NO_FAR_END: &str = "the connection was accepted but not answered: a tunnel or proxy whose far end is gone, or an overloaded server";
const IDLE_LIMIT: &str = "a server restart, a failover, or an idle limit of a proxy, pooler or load balancer closes connections like this; check its log at this time";
const DIRECT: &str = "check host and port: another service may be listening there; and sslnegotiation=direct needs \
     PostgreSQL 17 or a proxy that speaks it";
const ROOTS: &str = "check sslrootcert: it must hold the root that signed the server's certificate (a managed database publishes a bundle)";
const CLIENT_CERTIFICATE: &str =
    "check sslcert and sslkey: the server accepts only certificates signed by its own root";
const POOLING: &str = "too many clients: connect through a pooler (PgBouncer, the platform's pooling endpoint), \
     or let fewer jobs run at once (connection_limit)";
const PASSWORD: &str = "check the user and password; `pushctl config show` names their origin";

pub(crate) fn verdict(trouble: &FailureCause) -> FailureAdvice {
    let (kind, advice) = match trouble {
        FailureCause::Sql(error) => return sql(error),
        FailureCause::NoSuchHost => (
            ErrorKind::Usage,
            "check the host's spelling; a private name resolves only inside its network",
        ),
        FailureCause::Unresolved => (
            ErrorKind::Unreachable,
            "no name server answered: check this machine's DNS; hostaddr avoids it",
        ),
        FailureCause::TimedOut { phase, .. } => (
            ErrorKind::Unreachable,
            match phase {
                ConnectPhase::Password => {
                    "password_command is slow or waits for input; it must print a password and exit"
                }
                ConnectPhase::Resolving => {
                    "no name server answered: check this machine's DNS; hostaddr avoids it"
                }
                ConnectPhase::Dialing => ALLOW_LIST,
                _ => NO_FAR_END,
            },
        ),
        FailureCause::Refused => (
            ErrorKind::Unreachable,
            "no service listens at this address: check host and port, and that the server (or the tunnel to it) is running",
        ),
        FailureCause::Unroutable => (
            ErrorKind::Unreachable,
            "check this machine's network: IPv6 may be off, or a VPN or private link down",
        ),
        FailureCause::Forbidden => (
            ErrorKind::Failed,
            "a local firewall, sandbox or file permission denies it",
        ),
        FailureCause::NoSocket => (
            ErrorKind::Unreachable,
            "check that the server is running on this machine, and the socket's directory and port",
        ),
        FailureCause::Silent => (ErrorKind::Unreachable, ALLOW_LIST),
        FailureCause::Reset | FailureCause::Closed => (ErrorKind::Unreachable, IDLE_LIMIT),
        FailureCause::Network => (ErrorKind::Unreachable, "check this machine's network"),
        FailureCause::TlsDeclined => (
            ErrorKind::Usage,
            "enable TLS on the server; use sslmode=disable only on a trusted network",
        ),
        FailureCause::NotPostgres => (
            ErrorKind::Usage,
            "check host and port: another service is listening there",
        ),
        FailureCause::DirectTlsClosed => (ErrorKind::Unreachable, DIRECT),
        FailureCause::NotTls => (ErrorKind::Usage, DIRECT),
        FailureCause::TlsIncompatible => (
            ErrorKind::Failed,
            "the server's TLS version or ciphers may be too old for this machine's OpenSSL",
        ),
        FailureCause::CertificateUntrusted => (ErrorKind::Credentials, ROOTS),
        FailureCause::CertificateExpired => (
            ErrorKind::Credentials,
            "renew the server's certificate, and check that sslrootcert is the current bundle",
        ),
        FailureCause::CertificateNotYetValid => (
            ErrorKind::Credentials,
            "check this machine's clock and the server's certificate",
        ),
        FailureCause::CertificateMisnamed => (
            ErrorKind::Credentials,
            "connect by the name in the certificate; through a tunnel, give that name as host and the tunnel as hostaddr \
             (sslmode=verify-ca checks sslrootcert but not the name)",
        ),
        FailureCause::ClosedAfterCertificate => (ErrorKind::Unreachable, CLIENT_CERTIFICATE),
        FailureCause::ClientCertificate => (ErrorKind::Credentials, CLIENT_CERTIFICATE),
        FailureCause::PasswordMissing => (
            ErrorKind::Credentials,
            "put it into the URL, PGPASSWORD, ~/.pgpass (mode 0600) or password_command",
        ),
        FailureCause::PasswordCommand => (
            ErrorKind::Credentials,
            "run password_command by hand: it must print the password and exit with 0",
        ),
        FailureCause::Authentication => (ErrorKind::Credentials, PASSWORD),
        FailureCause::WrongServer(_) => (
            ErrorKind::Unreachable,
            "name another host, or relax target_session_attrs; during a failover this resolves itself",
        ),
        FailureCause::Protocol => (
            ErrorKind::Failed,
            "check proxies and poolers between this machine and the server; -vv logs each statement",
        ),
    };
    FailureAdvice {
        kind,
        advice: vec![advice],
    }
}

/// Messages of poolers, whose SQLSTATE (08P01, "protocol violation") is not specific. Checked first.
const POOLER: &[(&str, ErrorKind, &str)] = &[
    (
        "unsupported startup parameter",
        ErrorKind::Usage,
        "a pooler refuses start-up options: set pgbouncer=true, or leave options out",
    ),
    (
        "no such database",
        ErrorKind::Usage,
        "check the database's name in the pooler's configuration",
    ),
    (
        "does not exist",
        ErrorKind::Usage,
        "check the names of database and user",
    ),
    ("no such user", ErrorKind::Credentials, PASSWORD),
    ("authentication failed", ErrorKind::Credentials, PASSWORD),
    (
        "no more connections allowed",
        ErrorKind::Unreachable,
        POOLING,
    ),
    ("query_wait_timeout", ErrorKind::Unreachable, POOLING),
];

/// Prefixes of SQLSTATEs; the first match decides.
const SQLSTATES: &[(&str, ErrorKind, &str)] = &[
    ("08", ErrorKind::Unreachable, IDLE_LIMIT),
    ("28", ErrorKind::Credentials, PASSWORD),
    (
        "3D000",
        ErrorKind::Usage,
        "check the database's name; psql -l lists them",
    ),
    (
        "3F000",
        ErrorKind::Usage,
        "check the schema's name and search_path",
    ),
    (
        "25006",
        ErrorKind::Usage,
        "an audience query may only read: remove the part that writes",
    ),
    (
        "25P03",
        ErrorKind::Unreachable,
        "pushctl read too slowly: is the disk full or stalled?",
    ),
    (
        "40001",
        ErrorKind::Unreachable,
        "on a replica, recovery cancelled the query: raise max_standby_streaming_delay there, or read from another",
    ),
    (
        "40P01",
        ErrorKind::Unreachable,
        "a deadlock; pushctl retries by itself",
    ),
    (
        "42P05",
        ErrorKind::Unreachable,
        "another client of the same pooler has left prepared statements behind: set pgbouncer=true",
    ),
    (
        "42501",
        ErrorKind::Credentials,
        "grant this role SELECT on the tables that the audience reads",
    ),
    (
        "42P01",
        ErrorKind::Usage,
        "check that this is the right database, and the tables and search_path of this role",
    ),
    (
        "42",
        ErrorKind::Usage,
        "check the query against this database's tables",
    ),
    (
        "53100",
        ErrorKind::Failed,
        "the server's disk is full: its temporary files need room",
    ),
    ("53300", ErrorKind::Unreachable, POOLING),
    (
        "53400",
        ErrorKind::Unreachable,
        "the server is at a configured limit (temp_file_limit, a role's limit)",
    ),
    (
        "55006",
        ErrorKind::Unreachable,
        "an object is in use; pushctl retries by itself",
    ),
    (
        "55P03",
        ErrorKind::Unreachable,
        "another session holds a lock on a table (a migration?): SELECT * FROM pg_locks WHERE NOT granted",
    ),
    (
        "57014",
        ErrorKind::Failed,
        "the statement was cancelled on the server, or a statement_timeout of this role or database is too short",
    ),
    ("57P01", ErrorKind::Unreachable, IDLE_LIMIT),
    ("57P02", ErrorKind::Unreachable, IDLE_LIMIT),
    (
        "57P03",
        ErrorKind::Unreachable,
        "the server is starting up or shutting down",
    ),
    ("57P04", ErrorKind::Usage, "the database has been dropped"),
    ("57P05", ErrorKind::Unreachable, IDLE_LIMIT),
    (
        "58",
        ErrorKind::Unreachable,
        "the server's disk or system failed; check the server's log",
    ),
    (
        "XX",
        ErrorKind::Failed,
        "an internal fault of the server; check the server's log",
    ),
];

fn sql(error: &SqlError) -> FailureAdvice {
    let verdict = |(_, kind, advice): &(&str, ErrorKind, &'static str)| FailureAdvice {
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
            advice: vec![
                "the server lets this user in only from listed addresses, or only with TLS: check its allow-list (pg_hba.conf) \
                 for every static egress address of this machine, and sslmode",
            ],
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
