//! What a shell, a container or a file system limits: an error names it, and no limit ends pushctl without a word.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use crate::support::cli::{Outcome, Sandbox};

const AUDIENCE: &str = "user_id,name,token\na0eebc99-9c0b-4ef8-bb6d-000000000000,Ana,t-0\n";

/// Runs pushctl from a shell that sets limits or closes streams: `$@` is the program with its arguments.
fn in_shell(sandbox: &Sandbox, script: &str, arguments: &[&str]) -> Outcome {
    let program = sandbox.command(arguments);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, "sh"])
        .arg(program.get_program())
        .args(program.get_args())
        .env_clear()
        .env("HOME", sandbox.home())
        .env("PATH", "/usr/bin:/bin")
        .current_dir(sandbox.here())
        .stdin(Stdio::null());
    sandbox.outcome(&shell.output().expect("a shell"))
}

#[test]
fn a_limit_of_the_process_is_an_error_with_the_next_step() {
    for (script, arguments, told) in [
        (
            "ulimit -f 0; exec \"$@\"",
            &["state", "migrate"][..],
            &["state.db", "ulimit -f"][..],
        ),
        (
            "ulimit -f 0; exec \"$@\"",
            &["runs", "--state", "other.db"],
            &["other.db", "ulimit -f"],
        ),
        (
            "ulimit -f 0; exec \"$@\"",
            &["state", "export", "copy.jsonl"],
            &["state.db", "File too large", "ulimit -f"],
        ),
        (
            "ulimit -f 100; exec \"$@\"",
            &["state", "backup", "copy.db"],
            &["copy.db", "File too large", "ulimit -f"],
        ),
        (
            "ulimit -n 4; exec \"$@\"",
            &["runs"],
            &["Too many open files", "ulimit -n"],
        ),
        (
            "ulimit -n 7; exec \"$@\"",
            &["runs"],
            &["Too many open files", "ulimit -n"],
        ),
        (
            "ulimit -n 12; exec \"$@\"",
            &["runs"],
            &["Too many open files", "ulimit -n"],
        ),
    ] {
        let sandbox = Sandbox::new();
        if !script.contains("-f 0") || arguments[1] == "export" {
            assert_eq!(sandbox.run(&["state", "migrate"]).status, 0);
        }
        let outcome = in_shell(&sandbox, script, arguments);
        assert_eq!(outcome.status, 1, "{script} {arguments:?} {outcome}");
        for told in told {
            assert!(outcome.stderr.contains(told), "{told}: {script} {outcome}");
        }
        for copy in ["copy.jsonl", "copy.db"] {
            assert!(
                !sandbox.here().join(copy).exists(),
                "{script} {arguments:?}"
            );
        }
        // Without the limit all is well.
        assert_eq!(sandbox.run(&["runs"]).status, 0);
    }
}

#[test]
fn closed_streams_end_a_command_quietly() {
    for (script, arguments) in [
        ("\"$@\" | head -n 1", &["audiences"][..]),
        ("\"$@\" | true", &["state", "export"]),
        ("\"$@\" >&-", &["audiences"]),
        ("\"$@\" >&-", &["runs", "--json"]),
        ("\"$@\" 2>&-", &["runs"]),
        ("\"$@\" <&-", &["runs"]),
        ("\"$@\" <&- >&- 2>&-", &["state", "migrate"]),
        ("\"$@\" 2>/dev/full", &["state", "migrate"]),
    ] {
        let sandbox = Sandbox::new();
        assert_eq!(sandbox.run(&["state", "migrate"]).status, 0);
        let outcome = in_shell(&sandbox, script, arguments);
        assert_eq!(outcome.status, 0, "{script} {arguments:?} {outcome}");
        assert!(!outcome.stderr.contains("error"), "{script} {outcome}");
        // A closed stream is not the store's file.
        assert_eq!(sandbox.run(&["runs"]).status, 0);
    }
}

#[test]
fn a_full_device_as_standard_output_is_an_error() {
    let sandbox = Sandbox::new();
    let outcome = in_shell(&sandbox, "\"$@\" >/dev/full", &["runs", "--json"]);
    assert_eq!(outcome.status, 1, "{outcome}");
    assert!(outcome.stderr.contains("standard output"), "{outcome}");
}

#[test]
fn nothing_that_is_not_text_is_taken_for_a_name() {
    let odd = |text: &str| OsStr::from_bytes(&[text.as_bytes(), b"\xff.csv"].concat()).to_owned();
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.here().join(odd("a")), AUDIENCE).unwrap();
    for (arguments, last) in [
        (
            &[
                "send",
                "--dry-run",
                "--offline",
                "--layer",
                "1",
                "--title",
                "x",
                "--body",
                "y",
                "--audience",
            ][..],
            odd("a"),
        ),
        (&["generate", "layer2", "--output"], odd("out")),
        (&["runs", "--state"], odd("state")),
        (&["runs", "--config"], odd("config")),
        (&["state", "export"], odd("copy")),
        (&["state", "export", "--json"], odd("copy")),
        (&["state", "backup"], odd("copy")),
        (&["diff", "--key", "user_id", "b.csv"], odd("a")),
        (&["check"], odd("automation")),
        (&["runs", "show"], odd("run")),
        (&[], odd("command")),
        (&["--state=x.db", "runs", "show"], odd("--html=page")),
    ] {
        let mut command = sandbox.command(arguments);
        let outcome = sandbox.outcome(&command.arg(&last).output().unwrap());
        assert_eq!(outcome.status, 2, "{arguments:?} {outcome}");
        assert!(outcome.stderr.contains(r"\xff.csv"), "{outcome}");
        assert!(outcome.stderr.contains("is not UTF-8"), "{outcome}");
    }
    let entries = std::fs::read_dir(sandbox.here()).unwrap().count();
    assert_eq!(entries, 1, "a file was made");
    for variable in [
        "HOME",
        "XDG_STATE_HOME",
        "PUSHCTL_STATE_URL",
        "PUSHCTL_OUTCOMES",
    ] {
        let mut command = sandbox.command(&["runs"]);
        command.env(variable, odd("/tmp/none"));
        let outcome = sandbox.outcome(&command.output().unwrap());
        assert_eq!(outcome.status, 2, "{variable} {outcome}");
        let told = format!("the environment variable {variable} is not UTF-8");
        assert!(outcome.stderr.contains(&told), "{variable} {outcome}");
    }
}

#[test]
fn names_with_blanks_quotes_and_dashes_work() {
    let sandbox = Sandbox::new();
    for name in [
        "with blank",
        "it's \"quoted\"",
        "-dash",
        "--state",
        "ž…",
        "#?%41",
        "a;b&c",
    ] {
        let store = format!("--state={name}.db");
        assert_eq!(
            sandbox.run(&["state", "migrate", &store]).status,
            0,
            "{name}"
        );
        assert!(sandbox.here().join(format!("{name}.db")).exists(), "{name}");
        let audience = format!("{name}.csv");
        std::fs::write(sandbox.here().join(&audience), AUDIENCE).unwrap();
        let audience = format!("--audience={audience}");
        let mut send = vec![
            "send",
            "--dry-run",
            "--offline",
            "--layer",
            "1",
            "--title",
            "x",
            "--body",
            "y",
            "--json",
        ];
        send.extend([audience.as_str(), store.as_str()]);
        let outcome = sandbox.run(&send);
        assert_eq!(outcome.status, 0, "{name} {outcome}");
        let copy = format!("{name}.copy");
        for action in ["backup", "export"] {
            let outcome = sandbox.run(&[
                "state",
                action,
                &store,
                "--json",
                "--",
                &format!("{copy}.{action}"),
            ]);
            assert_eq!(outcome.status, 0, "{name} {outcome}");
            assert_eq!(outcome.json()["file"], format!("{copy}.{action}"));
            assert!(
                sandbox.here().join(format!("{copy}.{action}")).exists(),
                "{name}"
            );
        }
    }
    for long in ["x".repeat(300), "x/".repeat(3_000)] {
        let outcome = sandbox.run(&["runs", "--state", &format!("{long}state.db")]);
        assert_eq!(outcome.status, 1, "{outcome}");
        assert!(outcome.stderr.contains("File name too long"), "{outcome}");
    }
}

#[test]
fn sighup_stays_ignored_under_nohup() {
    use crate::support::programs::signal;
    let sandbox = Sandbox::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://reader@{}/shop", silent.local_addr().unwrap());
    let program = sandbox.command(&["generate", "layer2", "-q", "--deadline", "20s"]);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(program.get_program())
        .args(program.get_args())
        .env_clear()
        .env("HOME", sandbox.home())
        .env("DATABASE_URL", url)
        .current_dir(sandbox.here())
        .stderr(Stdio::piped())
        .process_group(0);
    let mut pushctl = shell.spawn().unwrap();
    let _connection = silent.accept().unwrap();
    signal("HUP", pushctl.id());
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(pushctl.try_wait().unwrap().is_none(), "it ended");
    signal("TERM", pushctl.id());
    assert_eq!(pushctl.wait().unwrap().code(), Some(143));
}
