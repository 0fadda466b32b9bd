//! stdout is data, stderr is talk, and neither assumes a terminal.

use std::fs::File;
use std::process::Stdio;

use crate::support::cli::Sandbox;

#[test]
fn quiet_and_success_print_nothing() {
    let outcome = Sandbox::new().run(&["man", "--dir", "pages", "-q"]);
    assert_eq!(
        (
            outcome.stdout.as_str(),
            outcome.stderr.as_str(),
            outcome.status
        ),
        ("", "", 0)
    );
}

#[test]
fn a_table_or_a_document_is_data_and_is_printed_also_under_quiet() {
    let sandbox = Sandbox::new();
    assert!(
        sandbox
            .run(&["config", "show", "-q"])
            .stdout
            .starts_with("SETTING")
    );
    assert!(sandbox.run(&["config", "show", "-q", "--json"]).json()["settings"].is_array());
}

#[test]
fn no_escape_sequence_is_written_to_a_pipe_unless_it_is_asked_for() {
    let sandbox = Sandbox::new();
    let escapes = |arguments: &[&str], variables: &[(&str, &str)]| {
        let outcome = sandbox.run_with(arguments, variables);
        (
            outcome.stdout.contains('\u{1b}'),
            outcome.stderr.contains('\u{1b}'),
        )
    };
    let show = ["config", "show"];
    let wrong = ["config", "show", "--deadline", "x"];
    assert_eq!(escapes(&show, &[]), (false, false));
    assert_eq!(escapes(&wrong, &[]), (false, false));
    assert_eq!(escapes(&["--help"], &[]), (false, false));
    assert_eq!(escapes(&["nonsense"], &[]), (false, false));
    for forced in [&[("FORCE_COLOR", "1")][..], &[("PUSHCTL_COLOR", "always")]] {
        assert_eq!(escapes(&show, forced), (true, false));
        assert_eq!(escapes(&wrong, forced), (false, true));
    }
    assert_eq!(escapes(&["--help"], &[("FORCE_COLOR", "1")]), (true, false));
    assert_eq!(
        escapes(&["--help", "--color", "always"], &[]),
        (true, false)
    );
    assert_eq!(escapes(&["nonsense", "--color=always"], &[]), (false, true));
    assert_eq!(
        escapes(&show, &[("FORCE_COLOR", "1"), ("NO_COLOR", "1")]),
        (false, false)
    );
    assert_eq!(
        escapes(
            &["config", "show", "--color", "never"],
            &[("FORCE_COLOR", "1")]
        ),
        (false, false)
    );
}

#[test]
fn a_failure_under_json_is_one_document_and_also_a_message_on_stderr() {
    let outcome = Sandbox::new().run(&["config", "show", "--json", "--config", "missing.toml"]);
    assert_eq!(outcome.status, 2);
    let error = &outcome.json()["error"];
    assert_eq!(error["kind"], "usage");
    assert_eq!(error["exit_status"], 2);
    assert_eq!(
        error["message"],
        "cannot read the configuration file missing.toml"
    );
    assert_eq!(error["causes"][0], "No such file or directory (os error 2)");
    assert!(outcome.stderr.starts_with("error: cannot read"));
}

#[test]
fn a_json_log_line_is_one_line_with_level_message_timestamp_and_run_id() {
    let sandbox = Sandbox::new();
    sandbox.config("deadlin = 1");
    let outcome = sandbox.run(&["config", "show", "--log-format", "json"]);
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.lines().count()),
        ("", 1)
    );
    let line: serde_json::Value = serde_json::from_str(&outcome.stderr).expect("JSON");
    let names: Vec<&String> = line.as_object().expect("an object").keys().collect();
    assert_eq!(
        names,
        [
            "level",
            "message",
            "timestamp",
            "run_id",
            "kind",
            "exit_status",
            "hints"
        ]
    );
    assert_eq!(line["level"], "error");
    line["timestamp"]
        .as_str()
        .and_then(|text| text.parse::<jiff::Timestamp>().ok())
        .expect("an instant");
    line["run_id"]
        .as_str()
        .and_then(|text| text.parse::<uuid::Uuid>().ok())
        .expect("an id");
}

#[test]
fn json_log_lines_go_to_stdout_when_no_data_does() {
    let sandbox = Sandbox::new();
    sandbox.config("deadlin = 1");
    let free = sandbox.run(&["generate", "layer2", "--log-format", "json"]);
    assert_eq!((free.stdout.lines().count(), free.stderr.as_str()), (1, ""));
    let document = sandbox.run(&["generate", "layer2", "--log-format", "json", "--json"]);
    assert_eq!(document.json()["error"]["kind"], "usage");
    assert_eq!(document.stderr.lines().count(), 1);
}

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let sandbox = Sandbox::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = sandbox
        .command(&["config", "show"])
        .stdout(writer)
        .output()
        .expect("pushctl starts");
    let outcome = sandbox.outcome(&output);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
}

#[test]
fn a_full_disk_under_stdout_is_an_error() {
    let sandbox = Sandbox::new();
    let full = File::options()
        .write(true)
        .open("/dev/full")
        .expect("/dev/full");
    let output = sandbox
        .command(&["config", "show"])
        .stdout(full)
        .output()
        .expect("pushctl starts");
    insta::assert_snapshot!(sandbox.outcome(&output), @r"
    ---- stderr
    error: cannot write to standard output
    caused by: No space left on device (os error 28)
    ---- exit status 1
    ");
}

#[test]
fn closed_streams_and_an_empty_environment_are_survived() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["config", "show"]);
    command.env_clear().current_dir("/").stdin(Stdio::null());
    let outcome = sandbox.outcome(&command.output().expect("pushctl starts"));
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let status = std::process::Command::new("sh")
        .args(["-c", "exec \"$0\" config show --deadline x <&- >&- 2>&-"])
        .arg(assert_cmd::cargo::cargo_bin!("pushctl"))
        .status()
        .expect("sh");
    assert_eq!(status.code(), Some(2));
}

#[test]
fn a_working_directory_that_is_gone_is_survived() {
    let status = std::process::Command::new("sh")
        .args([
            "-c",
            "d=$(mktemp -d) && cd \"$d\" && rmdir \"$d\" && exec \"$0\" config show >/dev/null",
        ])
        .arg(assert_cmd::cargo::cargo_bin!("pushctl"))
        .status()
        .expect("sh");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn every_json_log_line_of_a_run_is_an_object_of_the_same_run_without_secrets() {
    let sandbox = Sandbox::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("its address")
        .port();
    let url = format!("postgres://reader:hunter2@127.0.0.1:{port}/shop");
    let arguments = [
        "generate",
        "layer2",
        "--log-format",
        "json",
        "-vv",
        "--connect-timeout",
        "1s",
        "--retries",
        "2",
        "--deadline",
        "10s",
    ];
    let outcome = sandbox.run_with(&arguments, &[("DATABASE_URL", &url)]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (5, ""));
    let lines: Vec<serde_json::Value> = outcome
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert!(lines.len() > 2, "{outcome}");
    for line in &lines {
        assert_eq!(line["run_id"], lines[0]["run_id"]);
        assert!(
            line["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{line}"
        );
        assert!(
            ["error", "warn", "info", "debug"]
                .iter()
                .any(|level| line["level"] == *level),
            "{line}"
        );
    }
    assert_eq!(lines.last().expect("lines")["exit_status"], 5);
    assert!(!outcome.to_string().contains("hunter2"));
}
