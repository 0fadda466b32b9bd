use std::time::Duration;

use pushctl::state::{Begun, CancelTarget, NewRun, Run, RunFilter, RunStatus, Store};
use serde_json::json;

use super::in_both_stores;
use crate::support::store::Place;

in_both_stores!(
    an_occurrence_has_one_open_run,
    two_processes_that_begin_one_occurrence_get_the_same_run,
    a_run_ends_once_and_keeps_its_first_status,
    runs_are_listed_newest_first_in_pages,
    each_attempt_of_a_phase_is_kept_with_its_result,
    a_cancel_stops_open_runs_and_never_later_ones,
    a_cancel_of_one_run_does_not_stop_others,
    a_pause_lasts_until_it_is_ended_and_names_the_actor,
    a_run_that_a_guard_refused_can_be_reopened,
);

fn new_run(id: &str, automation: &str, occurrence: &str) -> NewRun {
    NewRun {
        id: id.to_owned(),
        automation: automation.to_owned(),
        occurrence: occurrence.to_owned(),
        mode: "live-send".to_owned(),
        begun_by: "alice@worker-1".to_owned(),
        plan: json!({"files": {"a.csv": "sha256:00"}}),
    }
}

async fn begin(store: &Store, id: &str, automation: &str, occurrence: &str) -> Run {
    match store
        .begin_run(&new_run(id, automation, occurrence))
        .await
        .unwrap()
    {
        Begun::New(run) => run,
        Begun::Open(run) => panic!("{} is open", run.id),
    }
}

async fn an_occurrence_has_one_open_run(place: Place) {
    let store = place.open().await;
    let first = begin(&store, "r1", "layer3-daily", "monday").await;
    assert_eq!(first.plan, json!({"files": {"a.csv": "sha256:00"}}));
    assert_eq!(first.status, RunStatus::Open);
    let again = store
        .begin_run(&new_run("r2", "layer3-daily", "monday"))
        .await
        .unwrap();
    assert_eq!(again, Begun::Open(first.clone()));
    assert_eq!(store.run("r2").await.unwrap(), None);
    // Repeating a beginning whose answer was lost is harmless.
    let same = store
        .begin_run(&new_run("r1", "layer3-daily", "monday"))
        .await
        .unwrap();
    assert_eq!(same, Begun::New(first));
    begin(&store, "r3", "layer3-daily", "tuesday").await;
    assert!(
        store
            .end_run("r1", RunStatus::Failed, &json!({}))
            .await
            .unwrap()
    );
    begin(&store, "r4", "layer3-daily", "monday").await;
}

async fn two_processes_that_begin_one_occurrence_get_the_same_run(place: Place) {
    let (one, two) = (place.open().await, place.open().await);
    for round in 0..20 {
        let occurrence = format!("day {round}");
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        let (a, b) = (
            new_run(&a, "layer2", &occurrence),
            new_run(&b, "layer2", &occurrence),
        );
        let (a, b) = tokio::join!(one.begin_run(&a), two.begin_run(&b));
        let (new, open) = match (a.unwrap(), b.unwrap()) {
            (Begun::New(new), Begun::Open(open)) | (Begun::Open(open), Begun::New(new)) => {
                (new, open)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(new, open);
    }
}

async fn a_run_ends_once_and_keeps_its_first_status(place: Place) {
    let store = place.open().await;
    begin(&store, "r1", "layer2", "monday").await;
    place.clock.advance(Duration::from_secs(60));
    assert!(
        store
            .end_run("r1", RunStatus::Partial, &json!({"accepted": 3}))
            .await
            .unwrap()
    );
    assert!(
        !store
            .end_run("r1", RunStatus::Done, &json!({}))
            .await
            .unwrap()
    );
    let run = store.run("r1").await.unwrap().unwrap();
    assert_eq!(run.status, RunStatus::Partial);
    assert_eq!(run.summary, Some(json!({"accepted": 3})));
    assert_eq!(
        run.ended_at.unwrap().duration_since(run.begun_at).as_secs(),
        60
    );
}

async fn runs_are_listed_newest_first_in_pages(place: Place) {
    let store = place.open().await;
    for (id, automation) in [
        ("r1", "layer2"),
        ("r2", "layer3"),
        ("r3", "layer2"),
        ("r4", "layer2"),
    ] {
        begin(&store, id, automation, id).await;
        place.clock.advance(Duration::from_secs(1));
    }
    store
        .end_run("r3", RunStatus::Done, &json!({}))
        .await
        .unwrap();
    let ids = |runs: Vec<Run>| runs.into_iter().map(|run| run.id).collect::<Vec<_>>();
    let all = store.runs(&RunFilter::default()).await.unwrap();
    let before = all[1].begun_at;
    assert_eq!(ids(all), ["r4", "r3", "r2", "r1"]);
    let layer2 = RunFilter {
        automation: Some("layer2".to_owned()),
        ..RunFilter::default()
    };
    assert_eq!(ids(store.runs(&layer2).await.unwrap()), ["r4", "r3", "r1"]);
    let open = RunFilter {
        status: Some(RunStatus::Open),
        limit: 2,
        ..RunFilter::default()
    };
    assert_eq!(ids(store.runs(&open).await.unwrap()), ["r4", "r2"]);
    let next = RunFilter {
        before: Some(before),
        ..RunFilter::default()
    };
    assert_eq!(ids(store.runs(&next).await.unwrap()), ["r2", "r1"]);
}

async fn each_attempt_of_a_phase_is_kept_with_its_result(place: Place) {
    let store = place.open().await;
    begin(&store, "r1", "layer2", "monday").await;
    assert_eq!(store.begin_phase("r1", "generate").await.unwrap(), 1);
    place.clock.advance(Duration::from_secs(5));
    // The process died, and the next one begins the phase again.
    assert_eq!(store.begin_phase("r1", "generate").await.unwrap(), 2);
    place.clock.advance(Duration::from_secs(5));
    let detail = json!({"sha256": "00"});
    store
        .end_phase("r1", "generate", 2, "done", &detail)
        .await
        .unwrap();
    assert_eq!(store.begin_phase("r1", "test").await.unwrap(), 1);
    let phases = store.phases("r1").await.unwrap();
    let attempts: Vec<_> = phases
        .iter()
        .map(|one| (one.phase.as_str(), one.attempt, one.result.as_deref()))
        .collect();
    assert_eq!(
        attempts,
        [
            ("generate", 1, None),
            ("generate", 2, Some("done")),
            ("test", 1, None)
        ]
    );
    assert_eq!(phases[1].detail, Some(detail));
    assert_eq!(
        phases[1]
            .ended_at
            .unwrap()
            .duration_since(phases[1].begun_at)
            .as_secs(),
        5
    );
}

async fn a_cancel_stops_open_runs_and_never_later_ones(place: Place) {
    let store = place.open().await;
    begin(&store, "r0", "layer2", "sunday").await;
    store
        .end_run("r0", RunStatus::Done, &json!({}))
        .await
        .unwrap();
    begin(&store, "r1", "layer2", "monday").await;
    begin(&store, "r2", "layer3", "monday").await;
    assert_eq!(store.cancellation("r1").await.unwrap(), None);
    let target = CancelTarget::Automation("layer2".to_owned());
    let stopped = store
        .cancel(&target, "bob@laptop", Some("wrong link"))
        .await
        .unwrap();
    assert_eq!(
        stopped
            .iter()
            .map(|run| run.id.as_str())
            .collect::<Vec<_>>(),
        ["r1"]
    );
    let cancellation = store.cancellation("r1").await.unwrap().unwrap();
    assert_eq!(cancellation.target, target);
    assert_eq!(
        (cancellation.who.as_str(), cancellation.reason.as_deref()),
        ("bob@laptop", Some("wrong link"))
    );
    assert_eq!(store.cancellation("r2").await.unwrap(), None);
    // The clock has not moved: the order counts, not the time.
    begin(&store, "r3", "layer2", "tuesday").await;
    assert_eq!(store.cancellation("r3").await.unwrap(), None);
    let stopped = store
        .cancel(&CancelTarget::All, "carol@laptop", None)
        .await
        .unwrap();
    assert_eq!(stopped.len(), 3);
    assert_eq!(
        store.cancellation("r3").await.unwrap().unwrap().who,
        "carol@laptop"
    );
    // The first one stays.
    assert_eq!(
        store.cancellation("r1").await.unwrap().unwrap().who,
        "bob@laptop"
    );
}

async fn a_cancel_of_one_run_does_not_stop_others(place: Place) {
    let store = place.open().await;
    begin(&store, "r1", "layer2", "monday").await;
    begin(&store, "r2", "layer2", "tuesday").await;
    let stopped = store
        .cancel(&CancelTarget::Run("r2".to_owned()), "bob@laptop", None)
        .await
        .unwrap();
    assert_eq!(stopped.len(), 1);
    assert_eq!(store.cancellation("r1").await.unwrap(), None);
    assert!(store.cancellation("r2").await.unwrap().is_some());
    assert_eq!(
        store
            .cancel(&CancelTarget::Run("r9".to_owned()), "bob@laptop", None)
            .await
            .unwrap(),
        []
    );
}

async fn a_pause_lasts_until_it_is_ended_and_names_the_actor(place: Place) {
    let store = place.open().await;
    assert!(
        store
            .pause("layer2", "bob@laptop", Some("new copy"))
            .await
            .unwrap()
    );
    assert!(!store.pause("layer2", "carol@laptop", None).await.unwrap());
    let pauses = store.pauses().await.unwrap();
    assert_eq!(pauses.len(), 1);
    assert_eq!(
        (pauses[0].who.as_str(), pauses[0].reason.as_deref()),
        ("bob@laptop", Some("new copy"))
    );
    assert!(store.unpause("layer2").await.unwrap());
    assert!(!store.unpause("layer2").await.unwrap());
    assert_eq!(store.pauses().await.unwrap(), []);
}

async fn a_run_that_a_guard_refused_can_be_reopened(place: Place) {
    let store = place.open().await;
    for (id, occurrence, status) in [
        ("r1", "monday", RunStatus::Refused),
        ("r2", "tuesday", RunStatus::Done),
        ("r3", "wednesday", RunStatus::Refused),
    ] {
        begin(&store, id, "layer3-daily", occurrence).await;
        store
            .end_run(id, status, &json!({"rows": 5}))
            .await
            .unwrap();
    }
    begin(&store, "r4", "layer3-daily", "wednesday").await;
    // A cancel in between concerned the runs that were open then.
    store
        .cancel(&CancelTarget::All, "alice", None)
        .await
        .unwrap();
    assert!(store.reopen_run("r1").await.unwrap());
    let run = store.run("r1").await.unwrap().unwrap();
    assert_eq!(
        (run.status, run.ended_at, run.summary),
        (RunStatus::Open, None, None)
    );
    assert_eq!(store.cancellation("r1").await.unwrap(), None);
    // The first is open, the second completed, and the third one's occurrence has another open run.
    for id in ["r1", "r2", "r3"] {
        assert!(!store.reopen_run(id).await.unwrap(), "{id}");
    }
}
