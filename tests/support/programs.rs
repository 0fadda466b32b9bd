//! Finds, starts and stops the programs that the tests use.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Returns a loopback port that refuses connections until the tests end: it is taken, and nothing listens there.
pub(crate) fn closed_port() -> u16 {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    std::mem::forget(socket);
    port
}

/// Returns a loopback port that is free at this moment, for a server that is about to listen there.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Makes a command that runs `program` as the server's user.
pub(crate) fn as_server_user(program: &Path) -> Command {
    match server_user() {
        None => Command::new(program),
        Some(user) => {
            let mut command = Command::new("setpriv");
            command
                .args([
                    "--reuid",
                    user,
                    "--regid",
                    group(user).as_str(),
                    "--clear-groups",
                ])
                .arg(program);
            command
        }
    }
}

/// Starts a shell that stops the server and removes its files once this process has ended, which closes its stdin.
pub(crate) fn keeper(directory: &Path) -> Child {
    const SCRIPT: &str = r#"
        trap '' INT TERM HUP
        read -r _
        server=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$server"
        while [ -n "$server" ] && kill -0 "$server" 2>/dev/null; do sleep 0.05; done
        rm -rf "$0"
    "#;
    Command::new("sh")
        .args(["-c", SCRIPT])
        .arg(directory)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("a shell")
}

/// Sends a signal with the shell's own `kill`, because not every machine has the program of that name.
pub(crate) fn signal(name: &str, process: u32) {
    let status = Command::new("sh")
        .args(["-c", "kill -s \"$0\" \"$1\"", name])
        .arg(process.to_string())
        .status()
        .expect("a shell");
    assert!(status.success(), "kill -s {name} {process}");
}

/// Returns whether this machine allows private mounts: most containers forbid them, and tests that need them are
/// skipped.
#[expect(
    clippy::print_stderr,
    reason = "a skipped test has no other way to say so"
)]
pub(crate) fn may_mount() -> bool {
    let may = Command::new("unshare")
        .args(["--mount", "--map-root-user"])
        .args(["sh", "-c", "mount -t tmpfs none /tmp"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !may {
        eprintln!("skipped: this machine allows no mounts of a process's own");
    }
    may
}

/// Returns the same command on a machine whose name server, an address of its own, never answers. The socket keeps it
/// silent. `None` where the test may not make one.
pub(crate) fn with_silent_names(
    command: &Command,
    server: &str,
    directory: &Path,
) -> Option<(Command, UdpSocket)> {
    if !may_mount() {
        return None;
    }
    let silent = UdpSocket::bind((server, 53)).ok()?;
    let names = directory.join("resolv.conf");
    let text = format!("nameserver {server}\noptions timeout:30 attempts:3\n");
    fs::write(&names, text).expect("the directory is the test's");
    let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let mut inside = Command::new("unshare");
    inside
        .args(["--mount", "sh", "-c", script])
        .arg(names)
        .arg(command.get_program())
        .args(command.get_args())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            inside.env(name, value);
        }
    }
    if let Some(here) = command.get_current_dir() {
        inside.current_dir(here);
    }
    Some((inside, silent))
}

/// Returns the user for the server, if it cannot be the present one.
pub(crate) fn server_user() -> Option<&'static str> {
    if fs::metadata("/proc/self").ok()?.uid() != 0 {
        return None;
    }
    let exists = |user: &&str| {
        Command::new("id")
            .arg(user)
            .output()
            .is_ok_and(|output| output.status.success())
    };
    ["postgres", "nobody"].into_iter().find(exists)
}

fn group(user: &str) -> String {
    let output = Command::new("id").args(["-g", user]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The directory of PostgreSQL's server programs.
pub(crate) fn postgres_binaries() -> PathBuf {
    let named = std::env::var_os("PUSHCTL_TEST_PG_BIN").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| {
            versions
                .flatten()
                .map(|version| version.path().join("bin"))
                .collect()
        })
        .unwrap_or_default();
    debian.sort();
    named
        .into_iter()
        .chain(std::env::split_paths(&path))
        .chain(debian.into_iter().rev())
        .find(|directory| ["initdb", "postgres", "pg_ctl"].iter().all(|program| directory.join(program).exists()))
        .expect("PostgreSQL's server programs: install postgresql, or name their directory in PUSHCTL_TEST_PG_BIN")
}
