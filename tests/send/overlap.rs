//! The same words to a file that was made once more, and to the people of the one before.

use super::{BOTH, Kept, Office, people, tokens};
use crate::support::fcm::script::{Reply, Script};

#[test]
fn a_regenerated_file_with_one_more_row_reaches_nobody_twice() {
    for kept in BOTH {
        let office = Office::keeping(kept, Script::default());
        office.audience(&people(0..20));
        office.send(&[]).accepted(0, 20);
        office.audience(&people(0..21));
        let dry = office.send(&["--dry-run"]);
        let notes = dry.summary["notes"].to_string();
        let words = "20 of the 21 recipients had this push before, under another occurrence";
        assert!(notes.contains(words), "{notes}");
        assert!(notes.contains("would be refused"), "{notes}");
        let refused = office.send(&[]);
        assert_eq!(refused.status(), 12, "{}", refused.outcome);
        assert_eq!(refused.summary["ended"], "refused");
        assert_eq!(refused.count("not_attempted"), 21);
        assert!(
            refused.outcome.stderr.contains(words),
            "{}",
            refused.outcome
        );
        assert_eq!(office.delivered(), tokens(0..20));
        // A person may send it nevertheless, and it is then one push: a resume repeats nothing.
        let resumed = office.resume(
            refused.run(),
            &["--override", "overlap", "--reason", "agreed"],
        );
        resumed.accepted(0, 21);
        assert_eq!(office.stand_in.accepted().len(), 41);
    }
}

#[test]
fn a_smaller_overlap_is_noted_and_another_push_has_none() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..10));
    office.send(&[]).accepted(0, 10);
    office.audience(&people(5..15));
    let sent = office.send(&[]);
    sent.accepted(0, 10);
    let notes = sent.summary["notes"].to_string();
    assert!(notes.contains("5 of the 10 recipients had"), "{notes}");
    // Other words, and an occurrence with a name.
    let other = office.send(&["--body", "Another text"]);
    other.accepted(0, 10);
    assert!(!other.summary["notes"].to_string().contains("had this push"));
    let named = office.send(&["--occurrence", "again"]);
    named.accepted(0, 10);
    assert!(named.summary["notes"].to_string().contains("10 of the 10"));
}

#[test]
fn who_was_not_reached_does_not_count() {
    let script = Script::default()
        .always("t-0", Reply::Unregistered)
        .always("t-1", Reply::InvalidToken);
    let office = Office::keeping(Kept::Sqlite, script);
    office.audience(&people(0..2));
    office.send(&["--max-failure-rate", "1"]);
    // Only checked, and not delivered.
    office.audience(&people(2..6));
    office.send(&["--validate-only"]);
    office.audience(&people(0..7));
    let sent = office.send(&["--max-failure-rate", "1"]);
    let notes = sent.summary["notes"].to_string();
    assert!(!notes.contains("had this push"), "{notes}");
    assert_eq!(sent.count("accepted"), 5, "{}", sent.outcome);
}
