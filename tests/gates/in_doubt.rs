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
