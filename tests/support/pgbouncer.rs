//! A real PgBouncer in transaction mode, in front of a test's server.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::postgres::{Postgres, ROLES};
use super::programs::{as_server_user, free_port};

/// A pooler, stopped when it is dropped.
pub(crate) struct PgBouncer {
    port: u16,
    process: Child,
    directory: tempfile::TempDir,
}

impl PgBouncer {
    /// Starts a pooler that offers TLS and reuses a server connection after each transaction.
    pub(crate) fn start(postgres: &Postgres) -> Self {
        Self::start_at(postgres, free_port())
    }

    /// Starts a pooler at this port.
    pub(crate) fn start_at(postgres: &Postgres, port: u16) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let certificates = postgres.certificates();
        let users = ROLES
            .map(|(role, password)| format!("\"{role}\" \"{password}\"\n"))
            .concat();
        fs::write(directory.path().join("users"), users).unwrap();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = scram-sha-256\nauth_file = {}/users\npool_mode = transaction\ndefault_pool_size = 1\n\
             client_tls_sslmode = allow\nclient_tls_cert_file = {}\nclient_tls_key_file = {}\n",
            postgres.port(),
            directory.path().display(),
            certificates.pem("server").display(),
            certificates.key("server").display(),
        );
        fs::write(directory.path().join("pgbouncer.ini"), settings).unwrap();
        readable(directory.path());
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let process = as_server_user(&program())
            .arg(directory.path().join("pgbouncer.ini"))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let pooler = Self {
            port,
            process,
            directory,
        };
        pooler.wait();
        pooler
    }

    /// Returns its port on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn wait(&self) {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "PgBouncer does not listen:\n{}",
                self.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|directory| directory.join("pgbouncer"))
        .find(|program| program.exists())
        .expect("PgBouncer, for the tests of transaction pooling: apt-get install pgbouncer")
}

/// Makes the files readable: the pooler runs as another user where the tests run as root.
fn readable(directory: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
}
