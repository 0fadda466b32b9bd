//! A pause holds an automation on every road.

use pushctl::run::gates::Road;

use super::{due, generate, overridden, refused, start};
use crate::pipeline::office::Office;
use crate::support::fcm::script::{Reply, Script};
use crate::support::store::Place;

const HINT: &str = "`pushctl resume daily --enable` ends the pause";

#[test]
fn a_paused_automation_sends_on_no_road() {
    for place in [Place::sqlite(), Place::postgres()] {
        let office = Office::at(place, 10, Script::default());
        office.file(&due(-1, ""));
        generate(&office);
        let pause = || office.ends(&["pause", "daily", "--reason", "new copy"], 0);
        pause();
        for road in [Road::SendAutomation, Road::Pipeline, Road::Now] {
            refused(&office, road, 12, HINT);
        }
        assert_eq!(office.runs().len(), 0, "a refused start left a run behind");
        // What comes is held without a failure: a scheduler starts it every few minutes.
        refused(&office, Road::Tick, 0, HINT);
        // What was begun is held, too, and stays as it is.
        office.ends(&["resume", "daily", "--enable"], 0);
        office.ends(&["run-pipeline", "daily", "--until", "test"], 0);
        pause();
        for road in [Road::Pipeline, Road::Tick, Road::Resume] {
            refused(&office, road, 12, HINT);
        }
        overridden(&office, Road::Resume, "paused");
        assert_eq!(office.reached().len(), 10);
        // And so are messages in doubt of a run that is over.
        refused(&office, Road::InDoubtRetry, 12, HINT);
        overridden(&office, Road::InDoubtRetry, "paused");
    }
}

#[test]
fn a_joiner_is_held_by_a_pause() {
    let slow = Reply::Slow {
        ms: 20,
        then: Box::new(Reply::Accept),
    };
    let office = Office::at(Place::postgres(), 400, Script::default().always("*", slow));
    office.file(&due(-1, ""));
    generate(&office);
    let words = ["send", "--automation", "daily", "--push", "1", "--yes"];
    let first = office.spawn(&[&words[..], &["--share", "--rate", "20"]].concat());
    crate::pipeline::office::until(|| !office.reached().is_empty());
    office.ends(&["pause", "daily"], 0);
    let joined = start(&office, Road::Join, &[]);
    assert_eq!(joined.status, 12, "{joined}");
    assert!(joined.stderr.contains(HINT), "{joined}");
    office.ends(&["cancel", "daily"], 0);
    assert_eq!(office.ended(first).status, 20);
}
