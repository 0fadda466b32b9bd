//! Cancelling: before, during and after the live phase, everything at once, and from another process.

use std::time::{Duration, Instant};

use pushctl::state::RunStatus;

use super::office::{File, Office, until};
use crate::support::cli::Outcome;
use crate::support::fcm::script::Script;
use crate::support::store::Place;

/// The documented time until a waiting process ends, and a margin for a loaded machine.
const PROMISED: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(8);

/// Cancels a running process, and returns the outcome of both. The time it took is printed.
#[expect(
    clippy::print_stderr,
    reason = "a figure for the person who runs the test"
)]
fn cancelled(office: &Office, process: std::process::Child, what: &str) -> (Outcome, Outcome) {
    let said = office.ends(&["cancel", "daily", "--reason", "wrong shoe"], 0);
    let begun = Instant::now();
    let ended = office.ended(process);
    let took = begun.elapsed();
    eprintln!("{what}: the process ended {took:.2?} after the cancel");
    assert_eq!(ended.status, 20, "{ended}");
    assert!(took < PROMISED + SLACK, "{took:?}");
    (said, ended)
}

fn in_the_window(place: Place, what: &str) {
    let office = Office::at(place, 10, Script::default());
    office.file(&File::waiting(20));
    let process = office.spawn(&["run-pipeline", "daily", "--json"]);
    until(|| office.tests() == 2);
    let (said, ended) = cancelled(&office, process, what);
    said.says("nothing is sent");
    assert_eq!(ended.json()["status"], "cancelled", "{ended}");
    for part in ["cancelled by alice@", "wrong shoe"] {
        ended.says(part);
    }
    assert_eq!(office.reached().len(), 0);
    let run = office.runs().remove(0);
    assert_eq!(run.status, RunStatus::Cancelled);
    let cancel = office.in_store(async |store| store.cancellation(&run.id).await.unwrap());
    let cancel = cancel.unwrap();
    assert!(cancel.who.starts_with("alice@"));
    assert_eq!(cancel.reason.as_deref(), Some("wrong shoe"));
    // The run is over for another cancel and for every start.
    let again = office.ends(&["cancel", "daily"], 6);
    again.says("nothing to cancel");
    assert_eq!(office.tick(0).json(), serde_json::json!([]));
    office.ends(&["run-pipeline", "daily"], 6);
    office.ends(&["resume", &run.id], 6);
    assert_eq!((office.tests(), office.reached().len()), (2, 0));
}

#[test]
fn in_the_window_nothing_is_sent() {
    in_the_window(Place::sqlite(), "in the window, embedded store");
}

#[test]
fn in_the_window_nothing_is_sent_after_a_cancel_from_another_machine() {
    in_the_window(Place::postgres(), "in the window, PostgreSQL store");
}

fn while_it_sends(place: Place, what: &str) {
    let mut office = Office::at(place, 1_200, Script::default());
    office.set("PUSHCTL_RATE", "100");
    office.file(&File::default());
    let process = office.spawn(&["run-pipeline", "daily", "--json"]);
    until(|| office.reached().len() >= 20);
    let (said, ended) = cancelled(&office, process, what);
    said.says("it was sending");
    let reached = office.reached().len();
    // The first push alone would have taken six seconds.
    assert!(reached < 600, "{reached} were reached");
    let document = ended.json();
    assert_eq!(document["status"], "cancelled");
    let pushes = document["pushes"].as_array().unwrap();
    assert_eq!(pushes.len(), 1, "{document:#}");
    assert_eq!(pushes[0]["accepted"], reached, "{document:#}");
    assert_eq!(pushes[0]["ended"], "cancelled");
    assert_eq!(office.tick(0).json(), serde_json::json!([]));
    assert_eq!(office.reached().len(), reached);
}

#[test]
fn while_it_sends_no_further_recipient_is_claimed() {
    while_it_sends(Place::sqlite(), "while it sends, embedded store");
}

#[test]
fn while_it_sends_no_further_recipient_is_claimed_after_a_cancel_from_another_machine() {
    while_it_sends(Place::postgres(), "while it sends, PostgreSQL store");
}

#[test]
fn afterwards_there_is_nothing_left() {
    let office = Office::new(10, Script::default());
    office.file(&File::default());
    office.tick(0);
    let after = office.ends(&["cancel", "daily"], 6);
    after.says("nothing to cancel");
    office.ends(&["cancel", "--all"], 6);
    assert_eq!(office.runs()[0].status, RunStatus::Done);
}

#[test]
fn between_two_ticks_the_cancel_itself_ends_it() {
    let office = Office::new(10, Script::default());
    office.file(&File::waiting(20));
    assert_eq!(office.tick(0).json()["phase"], "window");
    let said = office.ends(&["cancel", "daily", "--json"], 0);
    assert_eq!(said.json()["stopped"][0]["status"], "cancelled", "{said}");
    assert_eq!(office.runs()[0].status, RunStatus::Cancelled);
    let summary = office.runs()[0].summary.clone().unwrap();
    assert_eq!(summary["status"], "cancelled", "{summary}");
    assert_eq!(office.tick(0).json(), serde_json::json!([]));
    assert_eq!((office.tests(), office.reached().len()), (2, 0));
}

#[test]
fn the_stop_button_stops_everything() {
    let office = Office::new(10, Script::default());
    office.file(&File::waiting(20));
    office.file(&File {
        name: "second",
        ..File::waiting(25)
    });
    let one = office.spawn(&["run-pipeline", "daily"]);
    let two = office.spawn(&["run-pipeline", "second"]);
    until(|| office.tests() == 4);
    let said = office.ends(&["cancel", "--all", "--json"], 0);
    assert_eq!(said.json()["stopped"].as_array().unwrap().len(), 2);
    assert_eq!(office.ended(one).status, 20);
    assert_eq!(office.ended(two).status, 20);
    assert_eq!(office.reached().len(), 0);
}
