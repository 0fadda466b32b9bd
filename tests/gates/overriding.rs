//! `--override GUARD --reason TEXT`: which names it takes, and where.

use super::due;
use crate::pipeline::office::Office;
use crate::support::fcm::script::Script;

#[test]
fn names_are_checked_and_a_reason_is_required() {
    let office = Office::new(2, Script::default());
    office.file(&due(-1, ""));
    let given = |more: &[&str]| office.ends(&[&["run-pipeline", "daily"][..], more].concat(), 2);
    let slip = given(&["--override", "max-audiense", "--reason", "r"]);
    assert!(slip.stderr.contains("did you mean max-audience?"), "{slip}");
    for name in ["lease", "claim", "cadence", "recipient", "deadline"] {
        let fixed = given(&["--override", name, "--reason", "r"]);
        assert!(fixed.stderr.contains("cannot be overridden"), "{fixed}");
    }
    given(&["--override", "paused"]);
    given(&["--override", "paused", "--reason", " "]);
    given(&["--reason", "r"]);
    given(&["--tick", "--override", "paused", "--reason", "r"]);
    assert_eq!((office.tests(), office.runs().len()), (0, 0));
    // Several at once, and the notice of who and why.
    let several = [
        "--override",
        "paused,max-audience",
        "--reason",
        "r",
        "--json",
    ];
    office.ends(&[&["run-pipeline", "daily"][..], &several].concat(), 0);
    let shown = office.ends(&["runs", "show", "last", "--json"], 0).json();
    let guards = shown["overrides"][0]["guards"].as_array().unwrap();
    assert_eq!(guards.len(), 2);
    assert!(
        shown["overrides"][0]["actor"]
            .as_str()
            .unwrap()
            .starts_with("alice@")
    );
}
