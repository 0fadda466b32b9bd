//! Maps a trouble or an SQLSTATE to its kind and hint. [`Kind::Unreachable`] is transient, every other kind permanent.

use super::{ConnectPhase, FailureCause, SqlError};
use crate::error::Kind;

/// The kind and hint of a trouble.
pub(crate) struct FailureAdvice {
    pub(crate) kind: Kind,
    pub(crate) advice: Vec<&'static str>,
}

const ALLOW_LIST: &str = "a firewall may be dropping the packets: check that the database's allow-list (security group) has every static egress \
     address of this machine, and that host and port are right";
const NOBODY_HOME: &str = "the connection was accepted but not answered: a tunnel or proxy whose far end is gone, or an overloaded server";
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
            Kind::Usage,
            "check the host's spelling; a private name resolves only inside its network",
        ),
        FailureCause::Unresolved => (
            Kind::Unreachable,
            "no name server answered: check this machine's DNS; hostaddr avoids it",
        ),
        FailureCause::TimedOut { phase, .. } => (
            Kind::Unreachable,
            match phase {
                ConnectPhase::Password => {
                    "password_command is slow or waits for input; it must print a password and exit"
                }
                ConnectPhase::Resolving => {
                    "no name server answered: check this machine's DNS; hostaddr avoids it"
                }
                ConnectPhase::Dialing => ALLOW_LIST,
                _ => NOBODY_HOME,
            },
        ),
        FailureCause::Refused => (
            Kind::Unreachable,
            "no service listens at this address: check host and port, and that the server (or the tunnel to it) is running",
        ),
        FailureCause::Unroutable => (
            Kind::Unreachable,
            "check this machine's network: IPv6 may be off, or a VPN or private link down",
        ),
        FailureCause::Forbidden => (
            Kind::Failed,
            "a local firewall, sandbox or file permission denies it",
        ),
        FailureCause::NoSocket => (
            Kind::Unreachable,
            "check that the server is running on this machine, and the socket's directory and port",
        ),
        FailureCause::Silent => (Kind::Unreachable, ALLOW_LIST),
        FailureCause::Reset | FailureCause::Closed => (Kind::Unreachable, IDLE_LIMIT),
        FailureCause::Network => (Kind::Unreachable, "check this machine's network"),
        FailureCause::TlsDeclined => (
            Kind::Usage,
            "enable TLS on the server; use sslmode=disable only on a trusted network",
        ),
        FailureCause::NotPostgres => (
            Kind::Usage,
            "check host and port: another service is listening there",
        ),
        FailureCause::DirectTlsClosed => (Kind::Unreachable, DIRECT),
        FailureCause::NotTls => (Kind::Usage, DIRECT),
        FailureCause::TlsIncompatible => (
            Kind::Failed,
            "the server's TLS version or ciphers may be too old for this machine's OpenSSL",
        ),
        FailureCause::CertificateUntrusted => (Kind::Credentials, ROOTS),
        FailureCause::CertificateExpired => (
            Kind::Credentials,
            "renew the server's certificate, and check that sslrootcert is the current bundle",
        ),
        FailureCause::CertificateNotYetValid => (
            Kind::Credentials,
            "check this machine's clock and the server's certificate",
        ),
        FailureCause::CertificateMisnamed => (
            Kind::Credentials,
            "connect by the name in the certificate; through a tunnel, give that name as host and the tunnel as hostaddr \
             (sslmode=verify-ca checks sslrootcert but not the name)",
        ),
        FailureCause::ClosedAfterCertificate => (Kind::Unreachable, CLIENT_CERTIFICATE),
        FailureCause::ClientCertificate => (Kind::Credentials, CLIENT_CERTIFICATE),
        FailureCause::PasswordMissing => (
            Kind::Credentials,
            "put it into the URL, PGPASSWORD, ~/.pgpass (mode 0600) or password_command",
        ),
        FailureCause::PasswordCommand => (
            Kind::Credentials,
            "run password_command by hand: it must print the password and exit with 0",
        ),
        FailureCause::Authentication => (Kind::Credentials, PASSWORD),
        FailureCause::WrongServer(_) => (
            Kind::Unreachable,
            "name another host, or relax target_session_attrs; during a failover this resolves itself",
        ),
        FailureCause::Protocol => (
            Kind::Failed,
            "check proxies and poolers between this machine and the server; -vv logs each statement",
        ),
    };
    FailureAdvice {
        kind,
        advice: vec![advice],
    }
}

/// Messages of poolers, whose SQLSTATE (08P01, "protocol violation") is not specific. Checked first.
const POOLER: &[(&str, Kind, &str)] = &[
    (
        "unsupported startup parameter",
        Kind::Usage,
        "a pooler refuses start-up options: set pgbouncer=true, or leave options out",
    ),
    (
        "no such database",
        Kind::Usage,
        "check the database's name in the pooler's configuration",
    ),
    (
        "does not exist",
        Kind::Usage,
        "check the names of database and user",
    ),
    ("no such user", Kind::Credentials, PASSWORD),
    ("authentication failed", Kind::Credentials, PASSWORD),
    ("no more connections allowed", Kind::Unreachable, POOLING),
    ("query_wait_timeout", Kind::Unreachable, POOLING),
];

/// Prefixes of SQLSTATEs; the first match decides.
const SQLSTATES: &[(&str, Kind, &str)] = &[
    ("08", Kind::Unreachable, IDLE_LIMIT),
    ("28", Kind::Credentials, PASSWORD),
    (
        "3D000",
        Kind::Usage,
        "check the database's name; psql -l lists them",
    ),
    (
        "3F000",
        Kind::Usage,
        "check the schema's name and search_path",
    ),
    (
        "25006",
        Kind::Usage,
        "an audience query may only read: remove the part that writes",
    ),
    (
        "25P03",
        Kind::Unreachable,
        "pushctl read too slowly: is the disk full or stalled?",
    ),
    (
        "40001",
        Kind::Unreachable,
        "on a replica, recovery cancelled the query: raise max_standby_streaming_delay there, or read from another",
    ),
    (
        "40P01",
        Kind::Unreachable,
        "a deadlock; pushctl retries by itself",
    ),
    (
        "42P05",
        Kind::Unreachable,
        "another client of the same pooler has left prepared statements behind: set pgbouncer=true",
    ),
    (
        "42501",
        Kind::Credentials,
        "grant this role SELECT on the tables that the audience reads",
    ),
    (
        "42P01",
        Kind::Usage,
        "check that this is the right database, and the tables and search_path of this role",
    ),
    (
        "42",
        Kind::Usage,
        "check the query against this database's tables",
    ),
    (
        "53100",
        Kind::Failed,
        "the server's disk is full: its temporary files need room",
    ),
    ("53300", Kind::Unreachable, POOLING),
    (
        "53400",
        Kind::Unreachable,
        "the server is at a configured limit (temp_file_limit, a role's limit)",
    ),
    (
        "55006",
        Kind::Unreachable,
        "an object is in use; pushctl retries by itself",
    ),
    (
        "55P03",
        Kind::Unreachable,
        "another session holds a lock on a table (a migration?): SELECT * FROM pg_locks WHERE NOT granted",
    ),
    (
        "57014",
        Kind::Failed,
        "the statement was cancelled on the server, or a statement_timeout of this role or database is too short",
    ),
    ("57P01", Kind::Unreachable, IDLE_LIMIT),
    ("57P02", Kind::Unreachable, IDLE_LIMIT),
    (
        "57P03",
        Kind::Unreachable,
        "the server is starting up or shutting down",
    ),
    ("57P04", Kind::Usage, "the database has been dropped"),
    ("57P05", Kind::Unreachable, IDLE_LIMIT),
    (
        "58",
        Kind::Unreachable,
        "the server's disk or system failed; check the server's log",
    ),
    (
        "XX",
        Kind::Failed,
        "an internal fault of the server; check the server's log",
    ),
];

fn sql(error: &SqlError) -> FailureAdvice {
    let verdict = |(_, kind, advice): &(&str, Kind, &'static str)| FailureAdvice {
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
            kind: Kind::Credentials,
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
                kind: Kind::Failed,
                advice: Vec::new(),
            },
            verdict,
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(sqlstate: &str, message: &str) -> Kind {
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
            assert_eq!(kind(sqlstate, "x"), Kind::Unreachable, "{sqlstate}");
        }
        let permanent = [
            "28000", "28P01", "3D000", "42P01", "42501", "42601", "57014", "22012", "53100",
            "XX000", "25006", "0A000",
        ];
        for sqlstate in permanent {
            assert_ne!(kind(sqlstate, "x"), Kind::Unreachable, "{sqlstate}");
        }
    }

    #[test]
    fn a_pooler_is_told_by_its_words() {
        assert_eq!(kind("08P01", "no such database: market"), Kind::Usage);
        assert_eq!(
            kind("08P01", "unsupported startup parameter: options"),
            Kind::Usage
        );
        assert_eq!(
            kind("08P01", "password authentication failed"),
            Kind::Credentials
        );
        assert_eq!(kind("08P01", "server conn crashed?"), Kind::Unreachable);
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
