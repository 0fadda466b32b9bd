//! `[audience] fallback_max_age`: a pipeline sends to an earlier audience if its file says so, and the source is back
//! for the recipients' tokens.

use std::time::Duration;

use super::office::{File, Office, within};
use crate::support::fcm::script::Script;
use crate::support::postgres::at_port;
use crate::support::proxy::{Fate, Proxy};

/// An office with an audience of now, whose source goes away.
fn left_alone() -> (Office, Proxy) {
    let mut office = Office::new(4, Script::default());
    office.ends(&["generate", "fans"], 0);
    let proxy = Proxy::start(office.market.port(), Fate::ResetAfter(0));
    office.set("DATABASE_URL", at_port(&office.market.url(), proxy.port()));
    office.sandbox.config("[source]\nbreaker_failures = 0\n");
    (office, proxy)
}

const TICK: [&str; 6] = [
    "run-pipeline",
    "daily",
    "--tick",
    "--json",
    "--deadline",
    "20s",
];

#[test]
fn a_pipeline_whose_file_allows_it_sends_to_the_last_good_audience_once_the_source_is_back() {
    let (office, proxy) = left_alone();
    office.file(&File {
        audience: "fallback_max_age = \"1h\"",
        test: "required = false\nuser_ids = []".to_owned(),
        ..File::default()
    });
    let tick = office.spawn(&TICK);
    let directory = office.sandbox.here().join("generated");
    let manifests = || {
        let entries = std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten();
        let names = entries.map(|entry| entry.file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".manifest.json"))
            .count()
    };
    within(Duration::from_secs(30), || manifests() == 2);
    proxy.turn(Fate::Pass);
    let outcome = office.ended(tick);
    assert_eq!(outcome.status, 0, "{outcome}");
    outcome.says("the source stayed unreachable, so the audience as of ");
    assert_eq!(office.reached().len(), 4, "{outcome}");
    let run = office.runs().remove(0).id;
    let shown = office.ends(&["runs", "show", &run], 0);
    assert!(
        shown.stdout.contains("the source stayed unreachable"),
        "{shown}"
    );
}

#[test]
fn a_pipeline_whose_file_says_nothing_sends_to_no_earlier_audience() {
    let (office, _proxy) = left_alone();
    office.file(&File::default());
    let outcome = office.ends(&["run-pipeline", "daily", "--tick", "--deadline", "4s"], 5);
    assert!(!outcome.stderr.contains("earlier audience"), "{outcome}");
    assert_eq!(office.reached().len(), 0);
}

#[test]
fn a_file_that_allows_an_older_audience_than_a_send_by_hand_is_refused() {
    let office = Office::new(4, Script::default());
    for (audience, safeguards, expected) in [
        (
            "fallback_max_age = \"25h\"",
            "",
            "more than max_audience_age, which is 24h",
        ),
        (
            "fallback_max_age = \"3h\"",
            "max_audience_age = \"2h\"",
            "more than max_audience_age, which is 2h",
        ),
        ("fallback_max_age = \"a day\"", "", "expected a duration"),
    ] {
        office.file(&File {
            audience,
            safeguards: safeguards.to_owned(),
            ..File::default()
        });
        let outcome = office.ends(&["check"], 2);
        assert!(outcome.stdout.contains(expected), "{outcome}");
    }
}
