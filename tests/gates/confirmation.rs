//! A person agrees before a phone rings.

use super::{due, generate};
use crate::pipeline::office::{File, Office};
use crate::support::fcm::script::Script;

#[test]
fn nothing_is_sent_that_a_person_has_not_agreed_to() {
    let office = Office::new(10, Script::default());
    office.file(&File {
        enabled: false,
        ..due(-1, "")
    });
    generate(&office);
    let listed = std::fs::read_dir(office.sandbox.here().join("generated")).unwrap();
    let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let haves = names
        .into_iter()
        .find(|name| name.starts_with("haves") && !name.contains("TEST"));
    let path = format!("generated/{}", haves.unwrap());
    let link = "https://example.com/x";
    let by_hand = [
        "send",
        "--audience",
        &path,
        "--layer",
        "3",
        "--title",
        "Hi [[var:username]]",
        "--body",
        "B",
    ];
    let outcome = office.ends(&by_hand, 2);
    for part in [
        "up to 5 recipients (5 rows)",
        "layer 3, link none",
        "Hi fan-",
    ] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome}");
    }
    assert!(!outcome.stderr.contains(link));
    let of_it = [
        "send",
        "--automation",
        "daily",
        "--push",
        "1",
        "--override",
        "quiet-hours",
        "--reason",
        "late news",
    ];
    let outcome = office.ends(&of_it, 2);
    for part in [
        "up to 5 recipients",
        "layer 3",
        "Hello fan-",
        "overridden guards: quiet-hours",
        "late news",
    ] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome}");
    }
    for more in [&[][..], &["--now"]] {
        let outcome = office.ends(&[&["run-pipeline", "daily"][..], more].concat(), 2);
        for part in ["daily is not enabled", "push 2: layer 3", "to wants"] {
            assert!(outcome.stderr.contains(part), "{part}: {outcome}");
        }
    }
    assert_eq!((office.reached().len(), office.runs().len()), (0, 0));
    // An automation that is enabled was agreed to when it was enabled.
    office.file(&due(-1, ""));
    office.ends(&["run-pipeline", "daily"], 0);
    let again = office.ends(&["resume", "last", "--in-doubt", "retry"], 2);
    for part in ["which may already have arrived", "push 1: layer 3"] {
        assert!(again.stderr.contains(part), "{part}: {again}");
    }
    office.ends(&["resume", "last", "--in-doubt", "retry", "--yes"], 0);
}
