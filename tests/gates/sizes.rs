//! The size of an audience, and how it changed, on every road that an automation is sent by.

use pushctl::run::gates::Road;

use super::{due, generate, overridden, refused, start};
use crate::pipeline::office::Office;
use crate::support::fcm::script::Script;

/// Every road refuses; then a person overrides it for the last run.
fn on_every_road(office: &Office, safeguards: &str, guard: &str, expected: &str) {
    office.file(&due(-3, safeguards));
    generate(office);
    for road in [
        Road::SendAutomation,
        Road::Pipeline,
        Road::Resume,
        Road::Now,
    ] {
        refused(office, road, 12, expected);
    }
    office.file(&due(-1, safeguards));
    refused(office, Road::Tick, 12, expected);
    // A tick can pass no guard.
    let more = ["--override", guard, "--reason", "agreed"];
    assert_eq!(start(office, Road::Tick, &more).status, 2);
    overridden(office, Road::Resume, guard);
}

/// What was overridden for the run is asked again where messages in doubt are sent again.
fn once_only(office: &Office, guard: &str, expected: &str) {
    refused(office, Road::InDoubtRetry, 12, expected);
    overridden(office, Road::InDoubtRetry, guard);
}

#[test]
fn too_many_people_are_refused_on_every_road() {
    let office = Office::new(10, Script::default());
    let expected = "the audience has 10 rows, and max_audience allows 9";
    on_every_road(&office, "max_audience = 9", "max-audience", expected);
    assert_eq!(office.reached().len(), 10);
    once_only(&office, "max-audience", expected);
    let shown = office.ends(&["runs", "show", "last"], 0);
    assert!(
        shown
            .stdout
            .contains("Overridden guards: max-audience, by alice@"),
        "{shown}"
    );
    assert!(shown.stdout.contains(": agreed"), "{shown}");
    let shown = office.ends(&["runs", "show", "last", "--json"], 0).json();
    assert_eq!(shown["overrides"][0]["guards"][0], "max-audience");
    assert_eq!(shown["overrides"][0]["reason"], "agreed");
}

#[test]
fn an_empty_audience_is_refused_on_every_road() {
    let office = Office::new(10, Script::default());
    office
        .market
        .execute("DELETE FROM users WHERE username LIKE 'fan%'");
    let expected = "the audience has 0 rows, and min_audience is 1";
    on_every_road(&office, "", "min-audience", expected);
    once_only(&office, "min-audience", expected);
    // An automation may allow it.
    office.file(&due(-5, "min_audience = 0"));
    assert_eq!(start(&office, Road::Tick, &[]).status, 0);
}

#[test]
fn a_change_that_is_too_large_is_refused_on_every_road() {
    let office = Office::new(10, Script::default());
    office.file(&due(-6, ""));
    assert_eq!(start(&office, Road::Tick, &[]).status, 0);
    office.market.execute(
        "DELETE FROM users WHERE username IN ('fan-1', 'fan-2', 'fan-3', 'fan-4', 'fan-5')",
    );
    let expected = "the last completed run had 10: a change of 50 %";
    on_every_road(&office, "max_change_percent = 40", "max-change", expected);
}

#[test]
fn too_many_skipped_rows_are_refused_on_every_road() {
    // The first two rows of each file, from one of which the test push is made, are whole.
    let office = Office::new(10, Script::default());
    office.market.execute(
        "UPDATE users SET bio = '' WHERE username IN ('fan-5', 'fan-6', 'fan-7', 'fan-8')",
    );
    let expected = "would be skipped (40 %), and max_skipped_percent allows 20 %";
    on_every_road(&office, "max_skipped_percent = 20", "max-skipped", expected);
    assert_eq!(office.reached().len(), 6);
}
