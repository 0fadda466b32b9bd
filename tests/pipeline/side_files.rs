//! Outcome files of an automation's pushes that cannot be written: before the first claim, and in the middle.

use std::fs;

use pushctl::state::RunStatus;

use super::office::{File, Office, until};
use crate::support::fcm::script::Script;

#[test]
fn a_directory_that_cannot_be_written_is_refused_before_the_test_pushes_and_the_run_stays_open() {
    let office = Office::new(10, Script::default());
    office.file(&File::default());
    office.sandbox.write("here/outcomes", "a file");
    for command in [
        &["run-pipeline", "daily", "--tick", "--json"][..],
        &["run-pipeline", "daily"],
        &["resume", "last"],
    ] {
        let outcome = office.ends(command, 1);
        outcome.says("cannot write outcome files into");
    }
    assert!(office.stand_in.accepted().is_empty());
    assert_eq!(office.runs()[0].status, RunStatus::Open);
    fs::remove_file(office.sandbox.here().join("outcomes")).unwrap();
    assert_eq!(office.tick(0).json()["status"], "done");
    assert_eq!((office.reached().len(), office.tests()), (10, 2));
}

#[test]
fn a_directory_that_disappears_midway_costs_no_push_and_is_reported_at_the_end() {
    let mut office = Office::new(80, Script::default());
    office.file(&File::default());
    office.set("PUSHCTL_RATE", "20");
    let running = office.spawn(&["run-pipeline", "daily", "--json"]);
    until(|| office.reached().len() > 4);
    let here = office.sandbox.here();
    fs::rename(here.join("outcomes"), here.join("away")).unwrap();
    fs::write(here.join("outcomes"), "a file").unwrap();
    // The first push continues to its end; the second is not begun.
    let outcome = office.ended(running);
    assert_eq!(outcome.status, 1, "{outcome}");
    assert_eq!(office.reached().len(), 40);
    fs::remove_file(here.join("outcomes")).unwrap();
    let outcome = office.ends(&["resume", "last", "--json"], 1);
    let document = outcome.json();
    assert_eq!(document["status"], "done", "{document:#}");
    assert_eq!(office.reached().len(), 80);
    let run = document["run"].as_str().unwrap();
    let file = format!("{run}.push-1.outcomes.csv");
    let again = format!("pushctl runs files {run}");
    assert!(
        outcome.stderr.contains(&file) && outcome.stderr.contains(&again),
        "{outcome}"
    );
    assert!(!here.join("outcomes").join(&file).exists());
    office.ends(&["runs", "files", run], 0);
    for (name, rows) in [("test-1", 1), ("test-2", 1), ("push-1", 40), ("push-2", 40)] {
        let path = here.join(format!("outcomes/{run}.{name}.outcomes.csv"));
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), rows + 1, "{name}");
    }
}
