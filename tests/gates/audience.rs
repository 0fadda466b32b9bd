//! Only the audience of the automation is sent to, and only the file that was made.

use std::path::PathBuf;

use pushctl::run::gates::Road;
use serde_json::Value;

use super::{due, generate, overridden, refused, start};
use crate::pipeline::office::Office;
use crate::support::fcm::script::Script;

fn office() -> Office {
    let office = Office::new(10, Script::default());
    office.file(&due(-1, ""));
    office
}

/// The files of `generated/` whose names hold this.
fn files(office: &Office, part: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(office.sandbox.here().join("generated"))
        .into_iter()
        .flatten();
    let paths = entries.map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().contains(part);
    paths.filter(named).collect()
}

fn change_manifest(office: &Office, change: impl Fn(&mut Value)) {
    for path in files(office, ".manifest.json") {
        let mut manifest = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut manifest);
        std::fs::write(path, manifest.to_string()).unwrap();
    }
}

/// Changes a file without its number of rows.
fn tamper(office: &Office, part: &str) {
    for path in files(office, part) {
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, text.replace("likes shoes", "likes boots")).unwrap();
    }
}

#[test]
fn only_the_audience_of_the_automation_is_sent_by_hand() {
    let by_hand = Road::SendAutomation;
    let limited = office();
    limited.ends(&["generate", "fans", "--limit", "2"], 0);
    refused(&limited, by_hand, 12, "it was made with --limit 2");
    overridden(&limited, by_hand, "audience");
    assert_eq!(limited.reached().len(), 2);

    let office = office();
    generate(&office);
    let now = jiff::Timestamp::now();
    let hours_ago = |hours| now.saturating_sub(jiff::SignedDuration::from_hours(hours));
    change_manifest(&office, |manifest| {
        manifest["as_of"] = hours_ago(25).unwrap().to_string().into();
    });
    refused(&office, by_hand, 12, "max_audience_age allows 24h");
    office.file(&due(-1, "max_audience_age = \"48h\""));
    change_manifest(&office, |manifest| {
        manifest["parameters"] = serde_json::json!({ "days": "7" });
    });
    refused(&office, by_hand, 12, "it was made with days = 7");
    change_manifest(&office, |manifest| {
        manifest["parameters"] = serde_json::json!({});
    });
    // A copy elsewhere has no manifest that says what it is.
    let path = files(&office, "haves")
        .into_iter()
        .find(|path| !path.to_string_lossy().contains("TEST"));
    std::fs::copy(path.unwrap(), office.sandbox.here().join("mine.csv")).unwrap();
    let more = ["--audience", "mine.csv"];
    let outcome = start(&office, by_hand, &more);
    assert_eq!(outcome.status, 12, "{outcome}");
    assert!(outcome.stderr.contains("no manifest lists"), "{outcome}");
    tamper(&office, "haves");
    refused(&office, by_hand, 12, "has changed since the send began");
    generate(&office);
    let outcome = start(&office, by_hand, &[]);
    assert_eq!(outcome.status, 0, "{outcome}");
    assert_eq!(office.reached().len(), 5);
}

#[test]
fn a_file_that_its_manifest_does_not_know_is_not_sent() {
    let office = office();
    generate(&office);
    tamper(&office, "haves");
    let path = files(&office, "haves")
        .into_iter()
        .find(|path| !path.to_string_lossy().contains("TEST"));
    let path = path.unwrap().display().to_string();
    let words = [
        "send",
        "--audience",
        &path,
        "--layer",
        "1",
        "--title",
        "T",
        "--body",
        "B",
        "--yes",
    ];
    let outcome = office.ends(&words, 12);
    assert!(outcome.stderr.contains("is not the file that"), "{outcome}");
    let passed = ["--override", "audience", "--reason", "edited by hand"];
    office.ends(&[&words[..], &passed].concat(), 0);
    assert_eq!(office.reached().len(), 5);
}

#[test]
fn only_the_tested_file_is_sent_on_every_road() {
    for road in [Road::Pipeline, Road::Tick, Road::Resume] {
        let office = office();
        office.ends(&["run-pipeline", "daily", "--until", "test"], 0);
        tamper(&office, "wants");
        let outcome = start(&office, road, &[]);
        assert_eq!(outcome.status, 12, "{road:?}: {outcome}");
        assert!(
            outcome.stderr.contains("has changed since the send began"),
            "{outcome}"
        );
        // The first push had its file.
        assert_eq!(office.reached().len(), 5);
    }
    let now = office();
    now.file(&due(600, ""));
    now.ends(
        &["run-pipeline", "daily", "--now", "--until", "generate"],
        0,
    );
    tamper(&now, "TEST");
    let waiting = now.runs().remove(0);
    now.in_store(async |store| {
        let mut plan = waiting.plan.clone();
        let times = &mut plan["course"]["times"];
        times["test_at"] = times["generate_at"].clone();
        store.amend_plan(&waiting.id, &plan).await.unwrap();
    });
    refused(&now, Road::Resume, 12, "has changed since the send began");

    let over = office();
    assert_eq!(start(&over, Road::Tick, &[]).status, 0);
    tamper(&over, "haves");
    refused(
        &over,
        Road::InDoubtRetry,
        12,
        "has changed since the send began",
    );
    overridden(&over, Road::InDoubtRetry, "audience");
}
