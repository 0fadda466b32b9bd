//! How it is shown: lines in a pipe, nothing with `-q`, rounds with `--watch`, and its end by a signal.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::{Installation, source};
use crate::support::cli::Sandbox;
use crate::support::programs::{closed_port, signal};

#[test]
fn a_pipe_gets_a_line_for_each_step_and_the_failure_last() {
    let url = format!("postgres://reader@127.0.0.1:{}/market", closed_port());
    let installation = Installation::of(&url);
    let outcome = installation.run(&["doctor", "--only", "source,files"]);
    assert_eq!(outcome.status, 5, "{outcome}");
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert!(
        lines.iter().all(|line| {
            ["ok: ", "warning: ", "failed: ", "skipped: "]
                .iter()
                .any(|word| line.starts_with(word))
        }),
        "{outcome}"
    );
    let failed = lines
        .iter()
        .find(|line| line.starts_with("failed: source tcp: "))
        .unwrap();
    assert!(
        failed.contains("; next: no service listens at this address"),
        "{failed}"
    );
    assert!(
        outcome
            .stdout
            .contains("skipped: source log-in: not tested, because tcp failed"),
        "{outcome}"
    );
    let error = outcome
        .stderr
        .lines()
        .find(|line| line.contains("error: "))
        .unwrap();
    assert!(error.contains("source tcp failed"), "{outcome}");
    assert!(
        outcome.stderr.lines().last().unwrap().contains("hint: "),
        "{outcome}"
    );
}

#[test]
fn quiet_prints_nothing_on_success_and_only_failures_otherwise() {
    let installation = Installation::of(&source().url());
    let outcome = installation.run(&["doctor", "-q"]);
    assert_eq!(
        (
            outcome.status,
            outcome.stdout.as_str(),
            outcome.stderr.as_str()
        ),
        (0, "", "")
    );
    let installation = installation.set(
        "DATABASE_URL",
        format!("postgres://reader@127.0.0.1:{}/m", closed_port()),
    );
    let outcome = installation.run(&["doctor", "-q"]);
    assert_eq!(outcome.status, 5, "{outcome}");
    assert!(
        outcome
            .stdout
            .lines()
            .all(|line| line.starts_with("failed: ")),
        "{outcome}"
    );
}

#[test]
fn a_round_marks_what_changed_and_an_interrupt_ends_the_watch() {
    let installation = Installation::of(&source().url());
    let mut command = installation.command(&["doctor", "--only", "files", "--watch", "300ms"]);
    let mut watching = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut rounds = 0;
    let mut changed = String::new();
    for line in lines.map(Result::unwrap) {
        if line.starts_with("== ") {
            rounds += 1;
            if rounds == 1 {
                installation
                    .sandbox
                    .write("here/generated", "a file in the way");
            }
        }
        if line.contains("(changed: was ok)") {
            changed = line;
            break;
        }
        assert!(rounds < 20, "no change was seen");
    }
    assert!(changed.starts_with("failed: files output"), "{changed}");
    signal("INT", watching.id());
    assert_eq!(watching.wait().unwrap().code(), Some(130));
}

#[test]
fn a_part_that_does_not_exist_is_a_usage_error_with_the_parts() {
    let outcome = Sandbox::new().run(&["doctor", "--only", "sauce"]);
    assert_eq!(outcome.status, 2, "{outcome}");
    assert!(outcome.stderr.contains("source"), "{outcome}");
}
