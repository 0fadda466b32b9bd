//! What becomes of a run whose messages in doubt are sent again.

use pushctl::run::gates::Road;
use pushctl::state::RunStatus;

use super::{due, start};
use crate::pipeline::office::Office;
use crate::support::fcm::script::{Reply, Script};
use crate::support::store::Place;

#[test]
fn a_run_is_done_once_nothing_is_in_doubt_any_more() {
    for place in [Place::sqlite(), Place::postgres()] {
        let script = Script::default().on("token-fan-2", [Reply::Reset]);
        let office = Office::at(place, 10, script);
        office.file(&due(-1, ""));
        let outcome = start(&office, Road::Pipeline, &[]);
        assert_eq!(outcome.status, 3, "{outcome}");
        assert_eq!(office.runs()[0].status, RunStatus::Partial);
        let outcome = start(&office, Road::InDoubtRetry, &["--json"]);
        assert_eq!(outcome.status, 0, "{outcome}");
        assert_eq!(office.reached().len(), 10);
        let run = office.runs().remove(0);
        let summary = run.summary.unwrap();
        assert_eq!(run.status, RunStatus::Done, "{summary:#}");
        assert_eq!(summary["status"], "done");
        assert_eq!(summary["reason"], serde_json::Value::Null);
        let push = &summary["pushes"][0];
        assert_eq!(
            (&push["in_doubt"], &push["accepted"]),
            (&0.into(), &5.into()),
            "{push:#}"
        );
    }
}

/// The history records another push to the person between the message in doubt and the retry.
#[test]
fn a_message_in_doubt_is_not_sent_again_to_a_person_whom_the_history_excludes_since() {
    for place in [Place::sqlite(), Place::postgres()] {
        let script = Script::default().on("token-fan-2", [Reply::Reset]);
        let mut office = Office::at(place, 10, script);
        office.file(&due(-1, ""));
        // What is in doubt counts in the history; without one it does not.
        office.set("PUSHCTL_CADENCE", "off");
        assert_eq!(start(&office, Road::Pipeline, &[]).status, 3);
        let run = office.runs().remove(0).id;
        office.set("PUSHCTL_CADENCE", "embedded");
        let fan = "00000000-0000-4000-8000-000000000002";
        let words = ["--layer", "3", "--title", "T", "--body", "B", "--yes"];
        office.ends(&[&["send", "--users", fan][..], &words].concat(), 0);
        assert_eq!(office.stand_in.attempts("token-fan-2").len(), 2);
        let retry = ["resume", &run, "--in-doubt", "retry", "--yes", "--json"];
        let outcome = office.run(&retry);
        assert_eq!(outcome.status, 3, "{outcome}");
        assert!(
            outcome
                .stdout
                .contains("stay in doubt: the notification history"),
            "{outcome}"
        );
        assert_eq!(office.stand_in.attempts("token-fan-2").len(), 2);
        assert_eq!(
            office
                .in_store(async |store| store.run(&run).await.unwrap())
                .unwrap()
                .status,
            RunStatus::Partial
        );
    }
}
