use pushctl::state::{CancelTarget, NewRun, RunStatus};

use super::{a_run, another, run};
use crate::state::{in_both_stores, push};
use crate::support::cli::Sandbox;
use crate::support::store::Place;

in_both_stores!(
    a_cancel_stops_the_open_runs_that_are_meant_and_no_others,
    nothing_left_to_cancel_has_its_own_exit_status,
    a_name_that_means_nothing_gets_a_suggestion,
    an_automation_is_paused_once_and_goes_on_when_it_is_enabled,
);

async fn a_cancel_stops_the_open_runs_that_are_meant_and_no_others(place: Place) {
    let sandbox = Sandbox::new();
    let store = place.open().await;
    for new in [
        a_run(),
        another(2, "layer3-daily"),
        another(3, "waterfall"),
        another(4, "showcase"),
    ] {
        store.begin_run(&new).await.unwrap();
    }
    store.begin_phase(&a_run().id, "generate").await.unwrap();
    place.clock.advance(std::time::Duration::from_secs(60));
    store.begin_phase(&a_run().id, "send").await.unwrap();
    let one = run(
        &sandbox,
        &place,
        &["cancel", "0198b2a4", "--reason", "wrong shoe", "--json"],
    );
    assert_eq!(one.status, 0, "{one}");
    let one = one.json();
    assert_eq!(one["stopped"][0]["run"], a_run().id);
    assert_eq!(one["stopped"][0]["phase"], "send");
    let cancelled = store.cancellation(&a_run().id).await.unwrap().unwrap();
    assert_eq!(cancelled.target, CancelTarget::Run(a_run().id));
    assert_eq!(cancelled.reason.as_deref(), Some("wrong shoe"));
    assert_eq!(one["who"], cancelled.who);
    let by_name = run(&sandbox, &place, &["cancel", "waterfall"]);
    assert_eq!((by_name.status, by_name.stdout.as_str()), (0, ""));
    assert!(
        by_name.stderr.contains("cancelled waterfall@3"),
        "{by_name}"
    );
    assert!(by_name.stderr.contains("nothing is sent"), "{by_name}");
    for spared in [another(2, "layer3-daily"), another(4, "showcase")] {
        assert_eq!(store.cancellation(&spared.id).await.unwrap(), None);
    }
    // A send without an automation has no phases, and is sending as soon as it has a push.
    let send = NewRun {
        occurrence: push(1).occurrence,
        ..another(5, "layer3-daily")
    };
    store.begin_run(&send).await.unwrap();
    store.open_push(&push(1)).await.unwrap();
    let sending = run(&sandbox, &place, &["cancel", &send.id]);
    assert!(sending.stderr.contains("it was sending"), "{sending}");
    let all = run(&sandbox, &place, &["cancel", "--all", "--json"]).json();
    assert_eq!(all["stopped"].as_array().unwrap().len(), 5);
    let quiet = run(&sandbox, &place, &["cancel", "--all", "-q"]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

async fn nothing_left_to_cancel_has_its_own_exit_status(place: Place) {
    let sandbox = Sandbox::new();
    let store = place.open().await;
    let none = run(&sandbox, &place, &["cancel", "--all"]);
    assert_eq!(none.status, 6, "{none}");
    store.begin_run(&a_run()).await.unwrap();
    store
        .end_run(&a_run().id, RunStatus::Done, &serde_json::json!({}))
        .await
        .unwrap();
    for what in ["layer3-daily", "0198b2a4", &a_run().id] {
        let outcome = run(&sandbox, &place, &["cancel", what]);
        assert_eq!(outcome.status, 6, "{outcome}");
        assert!(
            outcome.stderr.contains("nothing left to cancel"),
            "{outcome}"
        );
    }
}

async fn a_name_that_means_nothing_gets_a_suggestion(place: Place) {
    let sandbox = Sandbox::new();
    let store = place.open().await;
    store.begin_run(&a_run()).await.unwrap();
    for words in [
        &["cancel", "layer3-dialy"][..],
        &["pause", "layer3-dialy"],
        &["resume", "layer3-dialy", "--enable"],
    ] {
        let outcome = run(&sandbox, &place, words);
        assert_eq!(outcome.status, 2, "{outcome}");
        assert!(
            outcome.stderr.contains("did you mean layer3-daily?"),
            "{outcome}"
        );
    }
    assert_eq!(store.cancellation(&a_run().id).await.unwrap(), None);
    assert_eq!(store.pauses().await.unwrap(), []);
    store.begin_run(&another(1, "x")).await.unwrap();
    let several = run(&sandbox, &place, &["cancel", "0198b2a"]);
    assert!(several.stderr.contains("several runs"), "{several}");
    assert_eq!(run(&sandbox, &place, &["cancel"]).status, 2);
}

async fn an_automation_is_paused_once_and_goes_on_when_it_is_enabled(place: Place) {
    let sandbox = Sandbox::new();
    let store = place.open().await;
    store.begin_run(&a_run()).await.unwrap();
    let words = ["pause", "layer3-daily", "--reason", "new copy on Monday"];
    let paused = run(&sandbox, &place, &words);
    assert_eq!((paused.status, paused.stdout.as_str()), (0, ""), "{paused}");
    assert!(paused.stderr.contains("is open and goes on"), "{paused}");
    let again = run(&sandbox, &place, &["pause", "layer3-daily", "--json"]).json();
    assert_eq!(again["new"], false);
    assert_eq!(again["reason"], "new copy on Monday");
    // One that this machine does not know, on purpose.
    let unknown = run(&sandbox, &place, &["pause", "elsewhere", "--yes"]);
    assert_eq!(unknown.status, 0, "{unknown}");
    let resumed = run(
        &sandbox,
        &place,
        &["resume", "layer3-daily", "--enable", "--json"],
    );
    assert_eq!(resumed.json()["was_paused"], true);
    let again = run(&sandbox, &place, &["resume", "layer3-daily", "--enable"]);
    assert!(again.stderr.contains("was not paused"), "{again}");
    let held = store.pauses().await.unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
}
