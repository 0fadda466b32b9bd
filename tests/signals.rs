//! Signals during a connection attempt to a server that does not answer.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::cli::Sandbox;
use crate::support::programs::signal;

/// pushctl in the middle of connecting; the stream keeps it there.
struct Waiting {
    pushctl: Child,
    _sandbox: Sandbox,
    _silent: TcpStream,
}

impl Waiting {
    fn start(arguments: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let url = format!("postgres://reader:hunter2@127.0.0.1:{port}/shop");
        let sandbox = Sandbox::new();
        let pushctl = sandbox
            .command(&[
                "generate",
                "layer2",
                "--deadline",
                "60s",
                "--connect-timeout",
                "30s",
                "--retries",
                "1",
            ])
            .args(arguments)
            .env("DATABASE_URL", url)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("pushctl starts");
        let silent = accept(&listener);
        Self {
            pushctl,
            _sandbox: sandbox,
            _silent: silent,
        }
    }

    fn signal(&self, name: &str) {
        signal(name, self.pushctl.id());
    }

    /// Exit status and stderr.
    fn end(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        let mut stderr = self.pushctl.stderr.take().expect("piped");
        stderr.read_to_string(&mut said).expect("UTF-8");
        (self.pushctl.wait().expect("it ends").code(), said)
    }
}

/// The first connection; a minute is more than enough for it on any machine.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("a socket");
    for _ in 0..600 {
        if let Ok((stream, _)) = listener.accept() {
            return stream;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("pushctl never connected");
}

#[test]
fn sigint_and_sigterm_end_the_command_with_statuses_of_their_own() {
    for (signal, status, word) in [
        ("INT", 130, "error: interrupted\n"),
        ("TERM", 143, "error: terminated\n"),
        ("HUP", 143, "error: terminated\n"),
    ] {
        let waiting = Waiting::start(&["-q"]);
        waiting.signal(signal);
        assert_eq!(waiting.end(), (Some(status), word.to_owned()));
    }
}

#[test]
fn sigusr1_tells_how_far_it_is_and_the_command_goes_on() {
    let mut waiting = Waiting::start(&["-q", "--log-format", "json"]);
    let mut stdout = BufReader::new(waiting.pushctl.stdout.take().expect("piped"));
    waiting.signal("USR1");
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a line");
    let told: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(told["level"], "info");
    let stage = told["stage"].as_str().unwrap_or_default();
    let (what, port) = stage.rsplit_once(':').expect("a host and a port");
    assert_eq!(what, "connecting to the source 127.0.0.1");
    assert!(port.parse::<u16>().is_ok(), "{line}");
    assert!(
        told["message"]
            .as_str()
            .is_some_and(|text| text.starts_with("connecting to the source 127.0.0.1:")),
        "{line}"
    );
    assert!(waiting.pushctl.try_wait().expect("its state").is_none());
    waiting.signal("TERM");
    assert_eq!(waiting.end().0, Some(143));
}

#[test]
fn work_on_files_that_takes_long_shows_its_progress_and_ends_at_a_signal() {
    let sandbox = Sandbox::new();
    sandbox.write("here/a.csv", "user_id\n1\n");
    // Nothing is ever written into this pipe, so it is read for ever.
    let pipe = sandbox.here().join("b.csv");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    let words = ["--title", "T", "--body", "B", "--audience", "b.csv"];
    for (arguments, stage) in [
        (
            &["diff", "a.csv", "b.csv", "--key", "user_id"][..],
            "comparing a.csv and b.csv",
        ),
        (&[&["preview"], &words[..]].concat(), "rendering"),
    ] {
        let mut pushctl = sandbox
            .command(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .expect("pushctl starts");
        let mut stderr = BufReader::new(pushctl.stderr.take().expect("piped"));
        let writer = std::fs::OpenOptions::new()
            .write(true)
            .open(&pipe)
            .expect("it is read");
        signal("USR1", pushctl.id());
        let mut line = String::new();
        stderr.read_line(&mut line).expect("a line");
        assert!(line.contains(stage), "{line}");
        signal("TERM", pushctl.id());
        assert_eq!(pushctl.wait().expect("it ends").code(), Some(143));
        drop(writer);
    }
}
