//! Starts a real PostgreSQL for the tests, and removes it after them.
//!
//! Most tests use a database of their own in the one cluster that a test process shares:
//!
//! ```ignore
//! let database = Postgres::shared().database("layer2");      // the market's schema, empty
//! database.execute("INSERT INTO users …");                   // as the superuser
//! let url = database.url();                                  // for pushctl: role `reader`, TLS, verify-full
//! ```
//!
//! `reader` may connect and SELECT, nothing else; tables made later are readable too. Other roles: see [`ROLES`].
//! A test that stops or restarts its server starts its own: `Postgres::start("name")`.
//!
//! The binaries come from `PUSHCTL_TEST_PG_BIN`, from `PATH`, or from Debian's directories. Root may not run a server,
//! so for root it runs as `postgres` or `nobody`. Each cluster has a keeper: a shell that waits until this process has
//! ended in any way, then stops the server and removes its files.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::certificates::Certificates;
use super::programs::{as_server_user, free_port, keeper, postgres_binaries, server_user};

/// Every role that can log in, with its password. [`HBA`] says how each is used.
pub(crate) const ROLES: [(&str, &str); 6] = [
    ("reader", "reader's p@ss/word"),
    ("nobody_special", "unprivileged"),
    ("tls_only", "tls-only-secret"),
    ("plain_only", "plain-only-secret"),
    ("trusted", "never-needed"),
    ("cert_user", "never-needed-either"),
];

/// How each role logs in. All others need the password, encrypted or not.
const HBA: &str = "\
local     all all                      trust
hostnossl all tls_only    127.0.0.1/32 reject
hostssl   all plain_only  127.0.0.1/32 reject
hostssl   all cert_user   127.0.0.1/32 cert
host      all trusted     127.0.0.1/32 trust
host      all all         127.0.0.1/32 scram-sha-256
";

/// A cluster.
pub(crate) struct Postgres {
    binaries: PathBuf,
    directory: PathBuf,
    port: u16,
    certificates: Certificates,
    keeper: Child,
}

/// A database of one test.
pub(crate) struct Database {
    port: u16,
    socket: PathBuf,
    root: PathBuf,
    /// Its name, unique in the cluster.
    pub(crate) name: String,
}

impl Postgres {
    /// The cluster that this test process shares.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start("shared"))
    }

    /// Starts a separate cluster, which takes about two seconds.
    pub(crate) fn start(name: &str) -> Self {
        let directory =
            std::env::temp_dir().join(format!("pushctl-pg-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(directory.join("socket")).unwrap();
        let cluster = Self {
            binaries: postgres_binaries(),
            port: free_port(),
            certificates: Certificates::make(&directory.join("certificates")),
            keeper: keeper(&directory),
            directory,
        };
        cluster.give_away();
        cluster.run(
            "initdb",
            &[
                "-D",
                &cluster.path("data"),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ],
        );
        cluster.configure();
        cluster.resume();
        let admin = cluster.admin();
        for (role, password) in ROLES {
            admin.execute(&format!(
                "CREATE ROLE {role} LOGIN PASSWORD '{}'",
                password.replace('\'', "''")
            ));
        }
        admin.execute("CREATE DATABASE market_template");
        let template = Database {
            name: "market_template".to_owned(),
            ..cluster.admin()
        };
        template.execute(include_str!("../market/schema.sql"));
        template.execute(
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
             ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO reader",
        );
        cluster
    }

    /// Creates a database with the market's schema and no rows. `name` helps to recognise it.
    pub(crate) fn database(&self, name: &str) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{name}_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.admin()
            .execute(&format!("CREATE DATABASE {name} TEMPLATE market_template"));
        Database {
            name,
            ..self.admin()
        }
    }

    /// Returns the superuser's database, for actions on the whole cluster.
    pub(crate) fn admin(&self) -> Database {
        Database {
            port: self.port,
            socket: self.directory.join("socket"),
            root: self.certificates.pem("root"),
            name: "postgres".to_owned(),
        }
    }

    /// Returns its port, on 127.0.0.1 only.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns its certificates; the server uses `server`.
    pub(crate) fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Stops it; `fast` disconnects everyone properly, `immediate` is a crash.
    pub(crate) fn stop(&self, mode: &str) {
        self.run(
            "pg_ctl",
            &["-D", &self.path("data"), "-w", "-m", mode, "stop"],
        );
    }

    /// Starts it again.
    pub(crate) fn resume(&self) {
        self.run(
            "pg_ctl",
            &[
                "-D",
                &self.path("data"),
                "-w",
                "-t",
                "120",
                "-l",
                &self.path("log"),
                "start",
            ],
        );
    }

    /// Turns it into a standby that never leaves recovery.
    pub(crate) fn demote(&self) {
        self.stop("fast");
        fs::write(self.directory.join("data/standby.signal"), "").unwrap();
        self.give_away();
        self.resume();
    }

    fn configure(&self) {
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\n\
             fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nshared_buffers = 64MB\nmax_connections = 80\n\
             max_wal_size = 2GB\njit = off\nlog_min_messages = warning\n\
             ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\nssl_ca_file = '{}'\n",
            self.port,
            self.path("socket"),
            self.certificates.pem("server").display(),
            self.certificates.key("server").display(),
            self.certificates.pem("root").display(),
        );
        let mut file = fs::OpenOptions::new()
            .append(true)
            .open(self.directory.join("data/postgresql.conf"))
            .unwrap();
        file.write_all(settings.as_bytes()).unwrap();
        fs::write(self.directory.join("data/pg_hba.conf"), HBA).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// Runs one of the server's programs as a user that may run it, and expects success.
    fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = as_server_user(&self.binaries.join(program));
        let output = self.directory.join("output");
        let file = fs::File::create(&output).unwrap();
        // Output goes to a file, because the server that pg_ctl starts would keep a pipe open.
        let status = command
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .status()
            .unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
        assert!(
            status.success(),
            "{program} failed: {}\n{}",
            fs::read_to_string(output).unwrap_or_default(),
            fs::read_to_string(self.directory.join("log")).unwrap_or_default()
        );
    }

    /// Makes the server's user the owner of the files.
    fn give_away(&self) {
        if let Some(user) = server_user() {
            let status = Command::new("chown")
                .args([
                    "-R",
                    &format!("{user}:"),
                    &self.directory.display().to_string(),
                ])
                .status();
            assert!(status.unwrap().success());
        }
    }
}

/// Ends the keeper's wait, and waits for it.
impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

impl Database {
    /// Returns the URL for `reader`, with full verification of the certificate.
    pub(crate) fn url(&self) -> String {
        self.url_with(
            "reader",
            &format!("sslmode=verify-full&sslrootcert={}", self.root.display()),
        )
    }

    /// Returns the URL for another role of [`ROLES`] with these parameters (`sslmode=disable`, …).
    pub(crate) fn url_with(&self, role: &str, parameters: &str) -> String {
        let password = ROLES
            .iter()
            .find(|(name, _)| *name == role)
            .map_or("", |(_, password)| password);
        let password = password
            .replace('%', "%25")
            .replace('/', "%2F")
            .replace('@', "%40")
            .replace('\'', "%27")
            .replace(' ', "%20");
        format!(
            "postgres://{role}:{password}@localhost:{}/{}?{parameters}",
            self.port, self.name
        )
    }

    /// Returns the server's port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Returns the directory of its Unix socket, where every local user may log in.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Runs statements as the superuser.
    pub(crate) fn execute(&self, statements: &str) {
        self.query(statements);
    }

    /// Runs statements as the superuser, and returns the rows of all of them as text, NULL as `∅`.
    pub(crate) fn query(&self, statements: &str) -> Vec<Vec<String>> {
        // It uses a separate thread, so that it can be called inside and outside of an async test.
        thread::scope(|scope| {
            let work = || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(self.ask(statements))
            };
            scope.spawn(work).join().unwrap()
        })
    }

    /// Runs statements as `reader` through another port, and disconnects without cleaning up.
    pub(crate) async fn leave_behind(&self, port: u16, statements: &str) {
        let (role, password) = ROLES[0];
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(port)
            .user(role)
            .password(password)
            .dbname(&self.name);
        let (client, connection) = config.connect(NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        client.batch_execute(statements).await.unwrap();
        drop(client);
        let _ = connection.await;
    }

    /// Repeats a query until it returns `expected`, for ten seconds at most.
    pub(crate) fn wait_until(&self, question: &str, expected: &str) {
        let started = Instant::now();
        loop {
            let answer = self.query(question);
            if answer
                .first()
                .and_then(|row| row.first())
                .is_some_and(|value| value == expected)
            {
                return;
            }
            assert!(
                started.elapsed() < Duration::from_secs(10),
                "{question} is still {answer:?}, not {expected}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    async fn ask(&self, statements: &str) -> Vec<Vec<String>> {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(&self.socket)
            .port(self.port)
            .user("postgres")
            .dbname(&self.name);
        let (client, connection) = config
            .connect(NoTls)
            .await
            .expect("the test's server lets its superuser in");
        let connection = tokio::spawn(connection);
        let answer = client
            .simple_query(statements)
            .await
            .unwrap_or_else(|error| panic!("{statements}: {error:?}"));
        drop(client);
        let _ = connection.await;
        answer
            .into_iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(
                    (0..row.len())
                        .map(|column| row.get(column).unwrap_or("∅").to_owned())
                        .collect(),
                ),
                _ => None,
            })
            .collect()
    }
}

/// Returns the URL of a database at another port of this machine: that of a proxy, a pooler, or of nothing.
pub(crate) fn at_port(url: &str, port: u16) -> String {
    let (login, place) = url.split_once('@').unwrap();
    let (host, path) = place.split_once('/').unwrap();
    let (name, _) = host.rsplit_once(':').unwrap();
    format!("{login}@{name}:{port}/{path}")
}
