//! `run-pipeline`: four modes, --until, ticks of all automations, and repeated starts.

use pushctl::state::RunStatus;

use super::office::{File, Office};
use super::stage::QUERY;
use crate::support::fcm::script::Script;

fn office(file: &File) -> Office {
    let office = Office::new(10, Script::default());
    office.file(file);
    office
}

#[test]
fn one_tick_after_the_time_does_everything_and_the_next_does_nothing() {
    let office = office(&File::default());
    let outcome = office.tick(0).json();
    assert_eq!(outcome["status"], "done", "{outcome:#}");
    assert_eq!(outcome["pushes"][0]["accepted"], 5, "{outcome:#}");
    assert_eq!(office.reached().len(), 10);
    assert_eq!(office.tests(), 2);
    // A scheduler fires twice.
    assert_eq!(office.tick(0).json(), serde_json::json!([]));
    let process = office.ends(&["run-pipeline", "daily"], 6);
    process.says("is done already: run ");
    assert_eq!(office.reached().len(), 10);
    assert_eq!(office.tests(), 2);
    assert_eq!(office.runs().len(), 1);
}

#[test]
fn success_is_silent_when_it_is_asked_to_be() {
    let office = office(&File::default());
    let outcome = office.ends(&["-q", "run-pipeline", "daily", "--tick"], 0);
    assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str()), ("", ""));
    assert_eq!(office.reached().len(), 10);
}

#[test]
fn four_modes_reach_whom_they_say() {
    for (mode, fans, tests) in [
        ("live-send", 10, 2),
        ("real-dry-run", 0, 0),
        ("test-live-send", 0, 2),
        ("test-dry-run", 0, 0),
    ] {
        let office = office(&File::default());
        let outcome = office.ends(&["run-pipeline", "daily", "--mode", mode, "--json"], 0);
        let document = outcome.json();
        assert_eq!(document["mode"], mode);
        assert_eq!(document["status"], "done", "{document:#}");
        assert_eq!(document["audience"]["rows"], 10);
        assert_eq!(
            (office.reached().len(), office.tests()),
            (fans, tests),
            "{mode}"
        );
        if mode == "real-dry-run" {
            assert_eq!(document["pushes"][1]["not_attempted"], 5, "{document:#}");
            assert_eq!(office.stand_in.connections(), 0);
        }
        // A dry run does not use up the occurrence.
        if mode != "live-send" {
            assert_eq!(office.tick(0).json()["status"], "done");
            assert_eq!(office.reached().len(), 10);
        }
    }
}

#[test]
fn it_stops_after_a_phase_and_resume_goes_on() {
    for phase in ["generate", "test", "window", "send", "cleanup"] {
        let office = office(&File::default());
        let outcome = office.ends(&["run-pipeline", "daily", "--until", phase, "--json"], 0);
        let document = outcome.json();
        let (tests, fans) = match phase {
            "generate" => (0, 0),
            "test" | "window" => (2, 0),
            _ => (2, 10),
        };
        assert_eq!(
            (office.tests(), office.reached().len()),
            (tests, fans),
            "{phase}"
        );
        if phase == "cleanup" {
            assert_eq!(document["status"], "done");
            office.ends(&["resume", "last"], 6);
            continue;
        }
        assert_eq!(document["status"], "open");
        assert_eq!(document["phase"], phase);
        let resumed = office.ends(&["resume", "last", "--json"], 0).json();
        assert_eq!(resumed["status"], "done", "{resumed:#}");
        assert_eq!((office.tests(), office.reached().len()), (2, 10), "{phase}");
    }
}

#[test]
fn one_broken_file_holds_no_other_automation_up() {
    let office = office(&File::default());
    office.file(&File {
        name: "second",
        due_in: 20,
        lead: 60,
        window: 30,
        ..File::default()
    });
    office.file(&File {
        name: "off",
        enabled: false,
        ..File::default()
    });
    let broken = "name = \"broken\"\nenabled = true\ncolour = \"red\"\n";
    office.sandbox.write("here/automations/broken.toml", broken);
    let outcome = office.ends(&["run-pipeline", "--all", "--tick", "--json"], 2);
    let documents = outcome.json();
    let of = |name: &str| {
        let mut all = documents.as_array().unwrap().iter();
        all.find(|one| one["automation"] == name).cloned()
    };
    assert_eq!(of("daily").unwrap()["status"], "done");
    assert_eq!(of("second").unwrap()["status"], "waiting");
    assert_eq!(of("second").unwrap()["phase"], "window");
    assert_eq!(of("off"), None);
    outcome.says("automations/broken.toml");
    assert_eq!(office.reached().len(), 10);
}

#[test]
fn all_is_an_array_however_many_there_are() {
    let office = office(&File::default());
    let outcome = office.ends(&["run-pipeline", "--all", "--tick", "--json"], 0);
    assert_eq!(outcome.json().as_array().unwrap().len(), 1);
}

#[test]
fn a_disabled_automation_needs_a_confirmation() {
    let office = office(&File {
        enabled: false,
        ..File::default()
    });
    let outcome = office.ends(&["run-pipeline", "daily", "--tick"], 2);
    outcome.says("daily is not enabled");
    assert_eq!(office.reached().len(), 0);
    office.ends(&["run-pipeline", "daily", "--tick", "--yes"], 0);
    assert_eq!(office.reached().len(), 10);
}

#[test]
fn a_pause_holds_what_comes_and_what_was_begun() {
    let office = office(&File::default());
    office.ends(&["pause", "daily", "--reason", "new copy"], 0);
    let tick = office.ends(&["run-pipeline", "daily", "--tick"], 0);
    tick.says("daily is paused by alice@");
    tick.says("new copy");
    let process = office.ends(&["run-pipeline", "daily"], 12);
    process.says("resume daily --enable");
    assert_eq!((office.tests(), office.runs().len()), (0, 0));
    office.ends(&["resume", "daily", "--enable"], 0);
    office.ends(&["run-pipeline", "daily", "--until", "test"], 0);
    office.ends(&["pause", "daily"], 0);
    for start in [
        &["run-pipeline", "daily"][..],
        &["run-pipeline", "daily", "--tick"],
        &["resume", "last"],
    ] {
        let held = office.ends(start, 12);
        held.says("resume daily --enable");
    }
    assert_eq!(office.runs()[0].status, RunStatus::Open);
    office.ends(&["resume", "daily", "--enable"], 0);
    office.ends(&["run-pipeline", "daily"], 0);
    assert_eq!((office.tests(), office.reached().len()), (2, 10));
}

#[test]
fn a_missed_occurrence_is_reported_once() {
    let office = office(&File {
        due_in: -40,
        ..File::default()
    });
    let late = office.ends(&["run-pipeline", "daily", "--tick"], 12);
    late.says("too late: ");
    late.says("max_lateness_minutes allows 30 minutes");
    let again = office.ends(&["run-pipeline", "daily", "--tick"], 0);
    assert!(!again.stderr.contains("too late"), "{again}");
    assert_eq!((office.tests(), office.reached().len()), (0, 0));
    let runs = office.runs();
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].status, RunStatus::Refused);
}

#[test]
fn a_job_page_gets_a_table() {
    let office = office(&File::default());
    let arguments = [
        "run-pipeline",
        "daily",
        "--mode",
        "real-dry-run",
        "--format",
        "markdown",
    ];
    let outcome = office.ends(&arguments, 0);
    assert!(outcome.stdout.starts_with("### daily: done\n"), "{outcome}");
    let rows = outcome.stdout.lines().filter(|line| line.starts_with("| "));
    let rows: Vec<&str> = rows.collect();
    assert_eq!(rows.len(), 4, "{outcome}");
    assert_eq!(rows[2], "| 1 | 5 | 0 | 0 | 0 | 0 | 0 | 5 |");
}

#[test]
fn a_start_with_nothing_due_names_the_next_time() {
    let office = office(&File {
        due_in: 600,
        lead: 30,
        window: 25,
        ..File::default()
    });
    let process = office.ends(&["run-pipeline", "daily"], 6);
    process.says("the next occurrence is ");
    assert_eq!(office.tick(0).json(), serde_json::json!([]));
}

#[test]
fn an_audience_without_a_valid_user_id_reaches_no_one_and_says_so() {
    let office = office(&File::default());
    let query = QUERY.replace("SELECT id AS user_id", "SELECT username AS user_id");
    office.sandbox.write("here/queries/fans.sql", &query);
    let outcome = office.ends(&["run-pipeline", "daily"], 2);
    for part in ["column \"user_id\"", "fan", "UUID"] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome}");
    }
    assert_eq!(office.reached().len(), 0);
    assert_eq!(office.runs()[0].status, RunStatus::Failed);
}
