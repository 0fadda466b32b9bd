//! Open runs that no process carries: `status` shows them as waiting or interrupted, and a cancel ends them.

use pushctl::state::RunStatus;
use serde_json::{Value, json};

use super::office::{File, Office, until};
use crate::support::fcm::script::Script;
use crate::support::store::Place;

/// The open runs, by what they are doing.
fn status(office: &Office) -> Value {
    office.ends(&["status", "--json"], 0).json()
}

/// The only run is in this section of `status`, and `runs` says the same word of it.
fn only(office: &Office, section: &str) -> Value {
    let status = status(office);
    for other in ["running", "waiting", "interrupted", "cancelled"] {
        let count = status[other].as_array().unwrap().len();
        assert_eq!(count, usize::from(other == section), "{other}: {status:#}");
    }
    let one = status[section][0].clone();
    assert_eq!(one["state"], section);
    let listed = office.ends(&["runs", "--json"], 0).json();
    assert_eq!(
        (&listed["runs"][0]["status"], &listed["runs"][0]["state"]),
        (&json!("open"), &json!(section))
    );
    let shown = office.ends(&["runs", "show", "last"], 0).stdout;
    assert!(shown.starts_with(&format!("daily: {section}\n")), "{shown}");
    one
}

fn killed_in_the_middle(place: Place) {
    let mut office = Office::at(place, 600, Script::default());
    office.set("PUSHCTL_RATE", "60");
    office.file(&File::default());
    let mut process = office.spawn(&["run-pipeline", "daily"]);
    until(|| office.reached().len() >= 20);
    let running = only(&office, "running");
    assert_eq!(running["phase"], "send");
    assert!(running["holder"].as_str().unwrap().starts_with("alice@"));
    assert_eq!(running["resume"], Value::Null);
    process.kill().unwrap();
    process.wait().unwrap();
    // At once: its process is known to be dead, though its lease has half a minute left.
    let interrupted = only(&office, "interrupted");
    let run = office.runs().remove(0);
    assert_eq!(interrupted["holder"], Value::Null);
    assert_eq!(interrupted["resume"], format!("pushctl resume {}", run.id));
    assert_eq!(interrupted["cancel"], format!("pushctl cancel {}", run.id));
    let reached = office.reached().len();
    let said = office.ends(&["cancel", "daily", "--reason", "wrong shoe"], 0);
    said.says("it was sending");
    let run = office.runs().remove(0);
    assert_eq!(run.status, RunStatus::Cancelled);
    let phases = office.in_store(async |store| store.phases(&run.id).await.unwrap());
    assert!(
        phases.iter().all(|phase| phase.ended_at.is_some()),
        "{phases:#?}"
    );
    // Nothing is open, nothing continues, and the counts add up.
    assert_eq!(status(&office)["interrupted"], json!([]));
    office.ends(&["cancel", "daily"], 6);
    office.ends(&["resume", &run.id], 6);
    assert_eq!(office.tick(0).json(), json!([]));
    assert_eq!(office.reached().len(), reached);
    let shown = office.ends(&["runs", "show", "last", "--json"], 0).json();
    assert_eq!(shown["status"], "cancelled");
    assert_eq!(shown["cancel"]["reason"], "wrong shoe");
    assert_eq!(shown["adds_up"], true, "{shown:#}");
}

#[test]
fn a_run_killed_in_the_middle_is_interrupted_and_ended_by_a_cancel() {
    killed_in_the_middle(Place::sqlite());
}

#[test]
fn a_run_killed_in_the_middle_is_interrupted_and_ended_by_a_cancel_from_any_machine() {
    killed_in_the_middle(Place::postgres());
}

#[test]
fn a_run_between_two_phases_waits_for_a_time_and_needs_no_process() {
    let office = Office::new(10, Script::default());
    office.file(&File::waiting(20));
    office.tick(0);
    let waiting = only(&office, "waiting");
    assert_eq!(waiting["holder"], Value::Null);
    assert_eq!(waiting["next_phase"], "send");
    let due: jiff::Timestamp = waiting["due_at"].as_str().unwrap().parse().unwrap();
    let ahead = due.duration_since(jiff::Timestamp::now()).as_mins();
    assert!((17..=20).contains(&ahead), "{waiting}");
    let text = office.ends(&["status"], 0);
    for part in ["Waiting\n", "send", " min"] {
        assert!(text.stdout.contains(part), "{part}: {text}");
    }
    text.says("nothing is running");
    assert!(!text.stdout.contains("Running"), "{text}");
}

#[test]
fn an_occurrence_that_was_cancelled_before_its_time_is_not_announced() {
    let office = Office::new(10, Script::default());
    office.file(&File::waiting(20));
    assert_eq!(status(&office)["next"][0]["status"], Value::Null);
    office.tick(0);
    assert_eq!(status(&office)["next"][0]["status"], Value::Null);
    office.ends(&["cancel", "daily"], 0);
    assert_eq!(status(&office)["next"][0]["status"], "cancelled");
    let text = office.ends(&["status"], 0).stdout;
    let (_, next) = text.split_once("Next\n").unwrap();
    assert!(next.contains("cancelled"), "{text}");
}

#[test]
fn a_run_that_failed_or_was_refused_is_not_open() {
    let office = Office::new(10, Script::default());
    office.file(&File {
        safeguards: "max_audience = 3".to_owned(),
        ..File::default()
    });
    office.tick(12);
    let status = status(&office);
    for section in ["running", "waiting", "interrupted", "cancelled"] {
        assert_eq!(status[section], json!([]), "{status:#}");
    }
}
