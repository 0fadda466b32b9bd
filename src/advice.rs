//! The next step for each failure: one table for the errors of every command and for `pushctl doctor`.
//!
//! A hint that names a file, a flag or a number of one failure is written where that failure is.

use std::fmt;

macro_rules! advice {
    ($($name:ident => $text:literal,)+) => {
        /// The next step after a failure.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Advice {
            $($name,)+
        }

        impl fmt::Display for Advice {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(match self {
                    $(Self::$name => $text,)+
                })
            }
        }
    };
}

impl From<Advice> for String {
    fn from(advice: Advice) -> Self {
        advice.to_string()
    }
}

advice! {
    AllowList => "a firewall may be dropping the packets: check that the database's allow-list (security group) has \
        every static egress address of this machine, and that host and port are right",
    NoFarEnd => "the connection was accepted but not answered: a tunnel or proxy whose far end is gone, or an \
        overloaded server",
    IdleLimit => "a server restart, a failover, or an idle limit of a proxy, pooler or load balancer closes \
        connections like this; check its log at this time",
    DirectTls => "check host and port: another service may be listening there; and sslnegotiation=direct needs \
        PostgreSQL 17 or a proxy that speaks it",
    RootCertificates => "check sslrootcert: it must hold the root that signed the server's certificate (a managed \
        database publishes a bundle)",
    ClientCertificate => "check sslcert and sslkey: the server accepts only certificates signed by its own root",
    Pooling => "too many clients: connect through a pooler (PgBouncer, the platform's pooling endpoint), or let \
        fewer jobs run at once (connection_limit)",
    Password => "check the user and password; `pushctl config show` names their origin",
    HostName => "check the host's spelling; a private name resolves only inside its network",
    NameServer => "no name server answered: check this machine's DNS; hostaddr avoids it",
    SlowPasswordCommand => "password_command is slow or waits for input; it must print a password and exit",
    NoListener => "no service listens at this address: check host and port, and that the server (or the tunnel to \
        it) is running",
    NoRoute => "check this machine's network: IPv6 may be off, or a VPN or private link down",
    LocalFirewall => "a local firewall, sandbox or file permission denies it",
    NoSocket => "check that the server is running on this machine, and the socket's directory and port",
    Network => "check this machine's network",
    NoTls => "enable TLS on the server; use sslmode=disable only on a trusted network",
    WrongService => "check host and port: another service is listening there",
    OldTls => "the server's TLS version or ciphers may be too old for this machine's OpenSSL",
    ExpiredCertificate => "renew the server's certificate, and check that sslrootcert is the current bundle",
    EarlyCertificate => "check this machine's clock and the server's certificate",
    CertificateName => "connect by the name in the certificate; through a tunnel, give that name as host and the \
        tunnel as hostaddr (sslmode=verify-ca checks sslrootcert but not the name)",
    NoPassword => "put it into the URL, PGPASSWORD, ~/.pgpass (mode 0600) or password_command",
    PasswordCommand => "run password_command by hand: it must print the password and exit with 0",
    WrongServer => "name another host, or relax target_session_attrs; during a failover this resolves itself",
    Protocol => "check proxies and poolers between this machine and the server; -vv logs each statement",
    PoolerOptions => "a pooler refuses start-up options: set pgbouncer=true, or leave options out",
    PoolerDatabase => "check the database's name in the pooler's configuration",
    DatabaseOrUser => "check the names of database and user",
    DatabaseName => "check the database's name; psql -l lists them",
    SchemaName => "check the schema's name and search_path",
    ReadOnlyQuery => "an audience query may only read: remove the part that writes",
    SlowReader => "pushctl read too slowly: is the disk full or stalled?",
    ReplicaConflict => "on a replica, recovery cancelled the query: raise max_standby_streaming_delay there, or read \
        from another",
    Deadlock => "a deadlock; pushctl retries by itself",
    LeftStatements => "another client of the same pooler has left prepared statements behind: set pgbouncer=true",
    SourceRole => "check source.role, and that its owner has run: GRANT the_role TO the_log_in",
    SelectPrivilege => "grant this role SELECT on the tables that the audience reads",
    MissingTable => "check that this is the right database, and the tables and search_path of this role",
    WrongQuery => "check the query against this database's tables",
    ServerDiskFull => "the server's disk is full: its temporary files need room",
    ServerLimit => "the server is at a configured limit (temp_file_limit, a role's limit)",
    ObjectInUse => "an object is in use; pushctl retries by itself",
    LockHeld => "another session holds a lock on a table (a migration?): SELECT * FROM pg_locks WHERE NOT granted",
    StatementTimeout => "the statement was cancelled on the server, or a statement_timeout of this role or database \
        is too short",
    StartingUp => "the server is starting up or shutting down",
    DroppedDatabase => "the database has been dropped",
    ServerSystem => "the server's disk or system failed; check the server's log",
    ServerFault => "an internal fault of the server; check the server's log",
    HostBasedAccess => "the server lets this user in only from listed addresses, or only with TLS: check its \
        allow-list (pg_hba.conf) for every static egress address of this machine, and sslmode",
    OtherStore => "name another file with --state, or a PostgreSQL store with PUSHCTL_STATE_URL",
    StoreDiskFull => "free some space and run the command again: earlier records are kept",
    DamagedStore => "move the file aside and restore a backup with `pushctl state import`",
    AskDoctorAboutState => "`pushctl doctor --only state` shows which step of the connection fails",
    StorePassword => "check the user and the password in PUSHCTL_STATE_URL",
    StoreSchema => "the owner of the database runs: CREATE SCHEMA pushctl AUTHORIZATION the_role; or: GRANT CREATE ON \
        DATABASE the_database TO the_role",
    StorePrivilege => "the owner of the schema runs: GRANT USAGE ON SCHEMA pushctl TO the_role; GRANT SELECT, INSERT, UPDATE, \
        DELETE ON ALL TABLES IN SCHEMA pushctl TO the_role; GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA pushctl TO \
        the_role",
    StoreConnections => "use the pooler's address in PUSHCTL_STATE_URL, or raise max_connections or the role's CONNECTION \
        LIMIT",
    AskDoctorAboutSource => "`pushctl doctor --only source` shows which step of the connection fails",
    NoBreaker => "--no-breaker tries at once",
    ConnectionLimit => "allow more time with --deadline, raise connection_limit, or let fewer jobs run at once; `pushctl \
        status` shows what runs",
    Migrate => "run `pushctl state migrate`",
    HistoryPrivilege => "GRANT SELECT ON cadence_rules, user_notifications, and INSERT ON user_notifications",
    WrongHistory => "check that PUSH_CADENCE_DATABASE_URL names the right database, and ?schema= the right schema",
    UnknownLayer => "every layer needs its row in notification_layers",
    CadenceService => "check CADENCE_SERVICE_URL, and that the service is running",
    WrongAccountFile => "create a key for a service account in the console and use the file that it offers; without key \
        files: `gcloud iam workload-identity-pools create-cred-config`, or credentials = \"metadata\"",
    WrongKey => "the key starts with -----BEGIN PRIVATE KEY-----; line breaks may be written as \\n",
    KeyShape => "copy the whole value of private_key again, from -----BEGIN PRIVATE KEY----- to -----END PRIVATE KEY-----; \
        line breaks may be written as \\n",
    KeyOfConsole => "use the private_key of the JSON file that the console offers for a service account: an RSA key",
    KeyEncrypted => "pushctl has no passphrase for it: use the key of the console's JSON file, which is not encrypted",
    KeyIsJson => "set GOOGLE_APPLICATION_CREDENTIALS to this JSON or its file, or use only its value private_key",
    KeyAlone => "use the JSON file of the console; or set FIREBASE_PRIVATE_KEY_FILE to this file, beside FIREBASE_PROJECT_ID \
        and FIREBASE_CLIENT_EMAIL",
    RawLineBreaks => "inside a string of JSON a line break is written as \\n: a shell or an editor has expanded those of the \
        private key",
    SubjectToken => "pushctl reads the token from a file (credential_source.file) or from a server (credential_source.url): \
        let a job beside it write the file",
    SubjectFormat => "check credential_source.format: text, or json with the subject_token_field_name of the token",
    SubjectServer => "check credential_source.url and its headers, and that this machine may ask it for a token",
    SubjectRejected => "check that the token has not expired, and that the provider's issuer, allowed audiences and attribute \
        condition admit it; pushctl reads it anew for every exchange",
    Impersonation => "check the account's name, that the role Service Account Token Creator is granted on it, and that the \
        IAM Service Account Credentials API is enabled",
    MetadataAccount => "check that a service account is attached to this machine, with the scope firebase.messaging or \
        cloud-platform",
    MetadataProject => "set FIREBASE_PROJECT_ID, or push.project_id in the configuration file",
    NoMetadata => "credentials = \"metadata\" works only on a machine in Google's cloud; GCE_METADATA_HOST names another host",
    NotThisServer => "check its address: another server, a proxy or a log-in page may have answered",
    TokenClock => "check that this machine's clock is right: the answer carries the time",
    WayOut => "check the address (push.url, push.token_url), and that this machine may connect to it: its firewall, and \
        HTTPS_PROXY where a proxy is the only way out",
    ProxyAddress => "set HTTPS_PROXY to http://HOST:PORT of a proxy that opens tunnels (CONNECT); NO_PROXY names hosts that \
        need none",
    ProxyPassword => "put the user and the password of the proxy into HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT",
    ProxyRule => "let the proxy's rules allow tunnels to this host, or except it with NO_PROXY",
    ItsOwnTrouble => "the other side has a fault of its own: look at its log or its status page, and try again later",
    DeletedKey => "check in the console that the account's key was not deleted",
    AssertionClock => "check that this machine's clock is right: the assertion carries the time",
    WebAddress => "write https://HOST or https://HOST/PATH, without NAME=, quotes and blanks",
    PlainHttp => "use https://; plain http is allowed only to a server on this machine",
    PrivateAuthority => "if a private authority signed it, name that authority's certificate in the settings",
    NoHttp2 => "the push service requires HTTP/2; look for a proxy in between that speaks only HTTP/1.1",
    BadMessage => "it would reject every other message too: change the texts or the data",
    PushProject => "check the project id, that the Firebase Cloud Messaging API is enabled in it, and that the \
        service account may send messages",
    Tunnel => "this goes through localhost: if it is a tunnel, check that it leads to the right database, and for \
        which user",
    Stalled => "the connection stalled: a proxy, tunnel or network in between stopped passing data on",
    SlowStatement => "raise --deadline, or look for what the statement waits for: a lock (pg_locks), a full or busy \
        server (pg_stat_activity)",
    NoAccount => "set GOOGLE_APPLICATION_CREDENTIALS to their file (or to `metadata`, on a machine in Google's cloud), or \
        FIREBASE_PROJECT_ID, FIREBASE_CLIENT_EMAIL and FIREBASE_PRIVATE_KEY",
    FewConnections => "few connections are left: connect through a pooler (PgBouncer, the platform's pooling endpoint), or \
        let fewer jobs run at once (connection_limit)",
    Renew => "renew the certificate before it ends",
    Clock => "set this machine's clock, or the server's (NTP): occurrences, windows and tokens depend on it",
    VerifyServer => "use sslmode=verify-full with sslrootcert=FILE (a managed database's root bundle) or sslrootcert=system",
    NoRules => "add the rules to cadence_rules, or set them inactive there",
    HistoryOff => "set PUSH_CADENCE_DATABASE_URL or CADENCE_SERVICE_URL, or --cadence embedded",
    StoreReadOnly => "name the primary of the state store's database, and a role that may write",
    FreeSpace => "free some space, or set another directory",
    NoticeHost => "check the address of the notice, and this machine's way out",
    SomeAddresses => "each connection tries every address of the name, and loses time with one that does not answer",
}
