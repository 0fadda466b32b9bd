//! The output of a pipeline: a dry run's counts are those of the live run after it, and a wait names its reason.

use serde_json::Value;

use super::office::{File, Office, until};
use crate::support::fcm::script::Script;
use crate::support::store::Place;

const SUMS: [&str; 9] = [
    "push",
    "rows",
    "repeated",
    "excluded",
    "excluded_by_rule",
    "held_out",
    "without_token",
    "skipped",
    "cadence",
];

fn sums(document: &Value) -> Vec<Vec<Value>> {
    let pushes = document["pushes"].as_array().expect("pushes").iter();
    pushes
        .map(|push| SUMS.map(|name| push[name].clone()).into())
        .collect()
}

#[test]
fn a_real_dry_run_says_what_the_live_run_after_it_does() {
    for place in [Place::sqlite(), Place::postgres()] {
        let office = Office::at(place, 30, Script::default());
        office.file(&File {
            safeguards: "holdout_percent = 20.0".to_owned(),
            ..File::default()
        });
        // Some of them had a push of this layer an hour ago.
        let fans = office
            .market
            .query("SELECT id FROM users WHERE username LIKE 'fan%' ORDER BY id LIMIT 7");
        let ids: Vec<&str> = fans.iter().map(|row| row[0].as_str()).collect();
        let ids = ids.join(",");
        let first = [
            "send", "--users", &ids, "--layer", "3", "--title", "T", "--body", "B",
        ];
        office.ends(&[&first[..], &["--yes"]].concat(), 0);
        let sent = office.stand_in.accepted().len();
        let mode = ["run-pipeline", "daily", "--json", "--mode", "real-dry-run"];
        let dry = office.ends(&mode, 0).json();
        let offline = office.ends(&[&mode[..], &["--offline"]].concat(), 0).json();
        assert_eq!(office.stand_in.accepted().len(), sent);
        let live = office.ends(&["run-pipeline", "daily", "--json"], 0).json();
        assert_eq!(sums(&dry), sums(&live), "{dry:#} {live:#}");
        let mut excluded = 0;
        for (place, push) in live["pushes"]
            .as_array()
            .expect("pushes")
            .iter()
            .enumerate()
        {
            let [dry, offline] = [&dry, &offline].map(|document| &document["pushes"][place]);
            assert_eq!(dry["not_attempted"], push["accepted"], "{dry:#}");
            assert_eq!(
                (&dry["is_upper_bound"], &offline["is_upper_bound"]),
                (&false.into(), &true.into())
            );
            let count = |document: &Value, name: &str| document[name].as_u64().expect("a count");
            assert!(count(offline, "not_attempted") >= count(push, "accepted"));
            excluded += count(push, "excluded");
        }
        assert!(excluded > 0, "{live:#}");
        // What the page and the text say of the dry run, and of the live one.
        for run in [&dry, &live] {
            let id = run["run"].as_str().expect("an id");
            let shown = office.ends(&["runs", "show", id, "--json"], 0).json();
            assert_eq!(shown["adds_up"], true, "{shown:#}");
            let funnel = shown["funnel"].as_array().expect("a funnel");
            let files = shown["files"].as_array().expect("files").iter();
            let rows: u64 = files.map(|file| file["rows"].as_u64().unwrap()).sum();
            assert_eq!(funnel.last().expect("a stage")["people"], rows, "{shown:#}");
        }
        let id = dry["run"].as_str().expect("an id");
        let shown = office.ends(&["runs", "show", id], 0);
        assert!(shown.stdout.contains("would be sent"), "{shown}");
        let refused = office.ends(&["run-pipeline", "daily", "--offline"], 2);
        refused.says("--offline needs a dry run");
    }
}

#[test]
fn a_window_says_until_when_to_whom_and_how_to_stop_it() {
    let office = Office::new(10, Script::default());
    office.file(&File::waiting(20));
    let process = office.spawn(&["run-pipeline", "daily"]);
    until(|| office.tests() == 2);
    // So that it waits.
    std::thread::sleep(std::time::Duration::from_secs(1));
    let rows = office.runs().remove(0);
    office.ends(&["cancel", "daily"], 0);
    let ended = office.ended(process);
    let expected = "daily: cancellation window until ";
    let line = ended.stderr.lines().find(|line| line.contains(expected));
    let line = line.unwrap_or_else(|| panic!("{expected:?} in {ended}"));
    assert!(line.contains(" UTC ("), "{line}");
    let shown = office.ends(&["runs", "show", &rows.id, "--json"], 0).json();
    let files = shown["files"].as_array().expect("files").iter();
    let rows: u64 = files.map(|file| file["rows"].as_u64().unwrap()).sum();
    let recipients = format!("({rows} recipients); to stop: pushctl cancel daily");
    assert!(line.contains(&recipients), "{line}");
}
