//! A send whose answers are bad stops itself on every road, unless a person says that it is to go on.

use pushctl::run::gates::Road;

use super::{due, generate, killed_while_shared, messages, start};
use crate::pipeline::office::Office;
use crate::support::fcm::script::{Reply, Script};

/// Messages of a push; half of them allow the first conclusion.
const PUSH: usize = 60;

pub(super) fn bad() -> Script {
    Script::default().always("token-fan-*", Reply::Html { status: 502 })
}

/// It stops before the push that it sends is over.
fn stops(office: &Office, road: Road, expected: &str) {
    let before = messages(office);
    let outcome = start(office, road, &[]);
    assert_eq!(outcome.status, 12, "{road:?}: {outcome}");
    for part in [expected, "--override failures"] {
        assert!(outcome.stderr.contains(part), "{road:?}: {outcome}");
    }
    let sent = messages(office) - before;
    // A resume finishes the first push, of which too little is left, and stops in the second.
    let most = if road == Road::Resume { 2 * PUSH } else { PUSH };
    assert!((1..most).contains(&sent), "{road:?}: {sent}");
}

fn goes_on(office: &Office, road: Road) {
    let more = ["--override", "failures", "--reason", "agreed"];
    let outcome = start(office, road, &more);
    assert_eq!(outcome.status, 3, "{road:?}: {outcome}");
}

#[test]
fn a_send_whose_answers_are_bad_stops_on_every_road() {
    const FIRST: &str = "of the first 30 messages";
    let mut office = Office::new(120, bad());
    office.set("PUSHCTL_CADENCE", "off");
    office.file(&due(-9, ""));
    generate(&office);
    for road in [Road::Send, Road::SendAutomation] {
        stops(&office, road, FIRST);
        let before = messages(&office);
        goes_on(&office, road);
        assert!(messages(&office) > before, "{road:?}");
    }
    office.file(&due(-5, ""));
    stops(&office, Road::Pipeline, FIRST);
    stops(&office, Road::Resume, FIRST);
    let before = messages(&office);
    goes_on(&office, Road::Resume);
    assert!(messages(&office) > before);
    stops(&office, Road::InDoubtRetry, FIRST);
    let before = messages(&office);
    goes_on(&office, Road::InDoubtRetry);
    assert!(messages(&office) >= before + 2 * PUSH);
    office.file(&due(-3, ""));
    stops(&office, Road::Tick, FIRST);
    let more = ["--override", "failures", "--reason", "agreed"];
    let before = messages(&office);
    assert_eq!(start(&office, Road::Tick, &more).status, 2);
    assert_eq!(messages(&office), before);
}

#[test]
fn one_that_joined_stops_too() {
    let office = killed_while_shared(250, bad());
    let joined = start(&office, Road::Join, &[]);
    assert_eq!(joined.status, 12, "{joined}");
    assert!(
        joined.stderr.contains("of the first 100 messages"),
        "{joined}"
    );
    assert!(messages(&office) < 250);
}
