//! Each safeguard refuses with its own message and exit status 12, and no recipient is reached.

use serde_json::Value;

use super::office::{File, Office};
use crate::support::fcm::script::{Reply, Script};

fn guarded(safeguards: &str) -> File {
    File {
        safeguards: safeguards.to_owned(),
        ..File::default()
    }
}

/// A run of ten fans that is refused for this reason before any recipient is reached.
fn refuses(office: &Office, file: &File, expected: &str) -> Value {
    office.file(file);
    let outcome = office.tick(12);
    let document = outcome.json();
    assert_eq!(document["status"], "refused", "{document:#}");
    let reason = document["reason"].as_str().unwrap();
    assert!(reason.contains(expected), "{reason}");
    outcome.says(expected);
    assert_eq!(office.reached().len(), 0);
    document
}

fn ten() -> Office {
    Office::new(10, Script::default())
}

#[test]
fn too_many_people() {
    let expected = "the audience has 10 rows, and max_audience allows 9";
    refuses(&ten(), &guarded("max_audience = 9"), expected);
    let office = ten();
    office.file(&guarded("max_audience = 10\nwarn_audience = 9"));
    let outcome = office.tick(0);
    let warned = "the audience has 10 rows, more than warn_audience = 9";
    outcome.says(warned);
}

#[test]
fn an_audience_that_changed_too_much_since_the_last_completed_run() {
    let office = ten();
    let guard = "max_change_percent = 40";
    // There was none before. Far enough apart to be two occurrences also if minutes pass in between.
    office.file(&File {
        due_in: -6,
        ..guarded(guard)
    });
    office.tick(0);
    assert_eq!(office.reached().len(), 10);
    office.market.execute(
        "DELETE FROM users WHERE username IN ('fan-1', 'fan-2', 'fan-3', 'fan-4', 'fan-5')",
    );
    // A run is not compared with a dry run.
    office.ends(&["run-pipeline", "daily", "--mode", "test-dry-run"], 12);
    office.file(&File {
        due_in: -2,
        ..guarded(guard)
    });
    let outcome = office.tick(12);
    let expected = "the audience has 5 rows, the last completed run had 10: a change of 50 %, and max_change_percent allows 40 %";
    outcome.says(expected);
    assert_eq!(office.tests(), 2);
}

#[test]
fn too_many_rows_that_would_be_skipped() {
    let office = ten();
    office
        .market
        .execute("UPDATE users SET bio = '' WHERE username IN ('fan-2', 'fan-4')");
    let expected =
        "2 of the 5 rows of haves would be skipped (40 %), and max_skipped_percent allows 20 %";
    refuses(&office, &guarded("max_skipped_percent = 20"), expected);
}

#[test]
fn quiet_hours() {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    let clock = |minutes: i64| {
        let at = now.saturating_add(jiff::SignedDuration::from_mins(minutes));
        at.strftime("%H:%M").to_string()
    };
    // The time itself is not quiet, but it has become so since.
    let hours = format!("quiet_hours = \"{}-{}\"", clock(0), clock(120));
    let file = File {
        due_in: -5,
        ..guarded(&hours)
    };
    let office = ten();
    refuses(&office, &file, "the test pushes are due at ");
    assert_eq!(office.tests(), 0);
    let office = ten();
    let delayed = format!("{hours}\nquiet_hours_action = \"delay\"");
    office.file(&File {
        due_in: -5,
        ..guarded(&delayed)
    });
    let outcome = office.tick(0).json();
    assert_eq!(outcome["status"], "waiting", "{outcome:#}");
    assert_eq!(outcome["phase"], "test");
    assert_eq!((office.tests(), office.reached().len()), (0, 0));
}

#[test]
fn a_rejected_test_push_is_sent_again_when_a_person_resumes() {
    let script = Script::default().on("token-tester", [Reply::Unregistered, Reply::Unregistered]);
    let office = Office::new(10, script);
    let expected = "push 1 to ";
    let document = refuses(&office, &File::default(), expected);
    let reason = document["reason"].as_str().unwrap();
    assert!(
        reason.contains("a test push was not accepted, so nothing is sent live"),
        "{reason}"
    );
    assert!(
        reason.contains("the push service accepted 0 of 1"),
        "{reason}"
    );
    // No other start continues the run.
    assert_eq!(office.tick(0).json(), serde_json::json!([]));
    assert_eq!(office.reached().len(), 0);
    // By now the tester's device is registered.
    let resumed = office.ends(&["resume", "last", "--json"], 0).json();
    assert_eq!(resumed["status"], "done", "{resumed:#}");
    assert_eq!((office.tests(), office.reached().len()), (2, 10));
}

#[test]
fn a_test_that_is_not_required_stops_nothing() {
    let script = Script::default().always("token-tester", Reply::Unregistered);
    let office = Office::new(10, script);
    let file = File::default();
    office.file(&File {
        test: format!("{}\nrequired = false", file.test),
        ..file
    });
    office.tick(0);
    assert_eq!(office.reached().len(), 10);
}

#[test]
fn a_required_test_without_test_users_is_refused() {
    let unknown_user = "00000000-0000-4000-8000-00000000dead";
    let file = File {
        test: format!("user_ids = [\"{unknown_user}\"]"),
        ..File::default()
    };
    refuses(&ten(), &file, "haves has no test file");
    // Without any at all the file itself is refused.
    let office = ten();
    office.file(&File {
        test: "required = true".to_owned(),
        ..File::default()
    });
    let outcome = office.ends(&["run-pipeline", "daily", "--tick"], 2);
    outcome.says("test");
    office.file(&File {
        test: "user_ids = []".to_owned(),
        ..File::default()
    });
    office.ends(&["run-pipeline", "daily", "--tick"], 2);
    assert_eq!(office.reached().len(), 0);
}

#[test]
fn too_many_failures_while_it_sends() {
    let script = Script::default().always("token-fan*", Reply::SenderIdMismatch);
    let mut office = Office::new(3_000, script);
    office.set("PUSHCTL_RATE", "400");
    office.file(&guarded("max_failure_rate = 0.1"));
    let outcome = office.tick(12);
    let document = outcome.json();
    assert_eq!(document["status"], "refused", "{document:#}");
    let push = &document["pushes"][0];
    assert_eq!(push["ended"], "refused", "{document:#}");
    assert!(push["not_attempted"].as_u64().unwrap() > 0, "{document:#}");
    assert_eq!(document["pushes"].as_array().unwrap().len(), 1);
    assert_eq!(office.reached().len(), 0);
}

#[test]
fn a_file_that_is_not_the_tested_one() {
    let office = ten();
    office.file(&File::default());
    office.ends(&["run-pipeline", "daily", "--until", "test"], 0);
    let directory = office.sandbox.here().join("generated");
    let mut changed = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with("haves") && !name.contains("TEST") {
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replace("fan-2", "fan-3")).unwrap();
            changed += 1;
        }
    }
    assert_eq!(changed, 1);
    let outcome = office.tick(12);
    outcome.says("has changed since the send began");
    assert_eq!(office.reached().len(), 0);
}

#[test]
fn a_history_that_cannot_be_asked() {
    for (word, status, reached) in [("abort", 5, 0), ("send", 0, 10)] {
        let mut office = ten();
        office.file(&guarded(&format!("cadence_failure = \"{word}\"")));
        office.set("PUSHCTL_CADENCE", "http");
        office.set("CADENCE_SERVICE_URL", "http://127.0.0.1:9");
        office.set("PUSHCTL_DEADLINE", "16s");
        let outcome = office.tick(status);
        assert_eq!(office.reached().len(), reached, "{outcome}");
    }
}

#[test]
fn the_control_group_is_the_same_in_every_run_and_counted() {
    let mut office = Office::new(200, Script::default());
    office.set("PUSHCTL_CADENCE", "off");
    let mut groups = Vec::new();
    // Far enough apart to be two occurrences also if a minute ends in between.
    for due_in in [-1, -4] {
        office.file(&File {
            due_in,
            ..guarded("holdout_percent = 30")
        });
        let before = office.stand_in.accepted().len();
        let document = office.tick(0).json();
        let accepted = office.stand_in.accepted();
        let mut reached: Vec<String> = accepted[before..]
            .iter()
            .map(|one| one.token.clone())
            .filter(|token| token != "token-tester")
            .collect();
        reached.sort_unstable();
        let held: u64 = document["pushes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|push| {
                push["held_out"]
                    .as_u64()
                    .unwrap_or_else(|| panic!("{push:#}"))
            })
            .sum();
        assert_eq!(held + reached.len() as u64, 200, "{document:#}");
        assert!((30..=90).contains(&held), "{held} of 200");
        groups.push(reached);
    }
    assert_eq!(groups[0], groups[1]);
}
