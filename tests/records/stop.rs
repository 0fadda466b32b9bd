use std::sync::Arc;
use std::time::Duration;

use pushctl::clock::{Clock, System};
use pushctl::state::ledger::{Ending, Guard, Standing};
use pushctl::state::process_id::ProcessId;
use pushctl::state::{CancelTarget, Lease, NewRun, RunStatus, Store, Taking};
use serde_json::{Value, json};

use super::{a_run, another, run};
use crate::state::{candidates, in_both_stores, push, sender};
use crate::support::cli::Sandbox;
use crate::support::store::Place;

in_both_stores!(
    a_cancel_stops_the_open_runs_that_are_meant_and_no_others,
    nothing_left_to_cancel_has_its_own_exit_status,
    a_run_that_no_process_carries_is_ended_by_the_cancel,
    a_run_that_a_living_process_carries_is_left_to_it,
    a_process_that_goes_away_without_having_heard_leaves_the_end_to_the_cancel,
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
    assert_eq!(one["stopped"][0]["status"], "cancelled");
    let cancelled = store.cancellation(&a_run().id).await.unwrap().unwrap();
    assert_eq!(cancelled.target, CancelTarget::Run(a_run().id));
    assert_eq!(cancelled.reason.as_deref(), Some("wrong shoe"));
    assert_eq!(one["who"], cancelled.who);
    let by_name = run(&sandbox, &place, &["cancel", "waterfall"]);
    assert_eq!((by_name.status, by_name.stdout.as_str()), (0, ""));
    by_name.says("cancelled waterfall@3");
    by_name.says("nothing is sent");
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
    sending.says("it was sending");
    let all = run(&sandbox, &place, &["cancel", "--all", "--json"]).json();
    // The others were over with their own cancels.
    let mut stopped: Vec<&str> = all["stopped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["occurrence"].as_str().unwrap())
        .collect();
    stopped.sort_unstable();
    assert_eq!(stopped, ["layer3-daily@2", "showcase@4"]);
    store.begin_run(&another(6, "showcase")).await.unwrap();
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
        outcome.says("nothing to cancel");
    }
}

/// The store on the machine's clock, by which the command measures leases.
async fn store_now(place: &Place) -> Store {
    let clock: Arc<dyn Clock> = Arc::new(System);
    Store::open(&place.location, clock).await.unwrap()
}

/// The lease of [`a_run`]'s occurrence, held by this process.
async fn held(store: &Store) -> Lease {
    let name = format!("occurrence/{}", a_run().occurrence);
    let holder = ProcessId::this_process("bob@worker-2");
    match store.take_lease(&name, &holder).await.unwrap() {
        Taking::Taken(lease) => lease,
        Taking::Held(held) => panic!("{held:?}"),
    }
}

async fn status(store: &Store) -> RunStatus {
    store.run(&a_run().id).await.unwrap().unwrap().status
}

async fn a_run_that_no_process_carries_is_ended_by_the_cancel(place: Place) {
    let sandbox = Sandbox::new();
    let store = place.open().await;
    let new = NewRun {
        occurrence: push(1).occurrence,
        ..a_run()
    };
    store.begin_run(&new).await.unwrap();
    let attempt = store.begin_phase(&new.id, "generate").await.unwrap();
    store
        .end_phase(&new.id, "generate", attempt, "done", &json!({}))
        .await
        .unwrap();
    place.clock.advance(Duration::from_secs(1));
    store.begin_phase(&new.id, "send").await.unwrap();
    store.begin_phase(&new.id, "push-1").await.unwrap();
    // Claimed by a process that died a while ago, and never answered.
    let opened = store.open_push(&push(1)).await.unwrap();
    let dead = sender(&store).await;
    store
        .claim(&opened, &dead, candidates(0..3), &Guard::none())
        .await
        .unwrap();
    dead.leave().await.unwrap();
    let words = ["cancel", "layer3-daily", "--reason", "wrong shoe"];
    let outcome = run(&sandbox, &place, &words);
    assert_eq!(outcome.status, 0, "{outcome}");
    outcome.says("it was sending");
    let ended = store.run(&new.id).await.unwrap().unwrap();
    assert_eq!(ended.status, RunStatus::Cancelled);
    let reason = ended.summary.unwrap()["reason"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        reason.starts_with("cancelled by ") && reason.ends_with(": wrong shoe"),
        "{reason}"
    );
    let phases = store.phases(&new.id).await.unwrap();
    let results: Vec<&str> = phases
        .iter()
        .map(|phase| phase.result.as_deref().unwrap_or("open"))
        .collect();
    assert_eq!(results, ["done", "cancelled", "cancelled"], "{phases:#?}");
    let tally = store.tally(&opened).await.unwrap();
    assert_eq!(tally.len(), 1, "{tally:?}");
    assert_eq!(
        (tally[0].standing, tally[0].count),
        (Standing::Ended(Ending::InDoubt), 3)
    );
    // The occurrence is free, and the run is over for all processes.
    let leases = store_now(&place).await.leases("occurrence/").await.unwrap();
    assert_eq!(leases, []);
    assert_eq!(run(&sandbox, &place, &words).status, 6);
    let resumed = run(&sandbox, &place, &["resume", &new.id]);
    assert_eq!(resumed.status, 6, "{resumed}");
    let shown = run(&sandbox, &place, &["status", "--json"]).json();
    for section in ["running", "waiting", "interrupted", "cancelled"] {
        assert_eq!(shown[section], json!([]), "{shown}");
    }
}

async fn a_run_that_a_living_process_carries_is_left_to_it(place: Place) {
    let sandbox = Sandbox::new();
    let store = store_now(&place).await;
    store.begin_run(&a_run()).await.unwrap();
    let lease = held(&store).await;
    let left = run(&sandbox, &place, &["cancel", "--all", "--json"]);
    assert_eq!(left.status, 0, "{left}");
    let document = left.json();
    assert_eq!(document["stopped"][0]["status"], "open");
    let holder = document["stopped"][0]["holder"].as_str().unwrap();
    assert!(holder.starts_with("bob@worker-2 (process "), "{document}");
    left.says("bob@worker-2");
    assert_eq!(status(&store).await, RunStatus::Open);
    assert!(!lease.is_lost());
    assert!(store.cancellation(&a_run().id).await.unwrap().is_some());
    // It sends nothing any more, and is not shown as running.
    let shown = run(&sandbox, &place, &["status", "--json"]).json();
    assert_eq!(shown["running"], json!([]), "{shown}");
    assert_eq!(shown["cancelled"][0]["run"], a_run().id, "{shown}");
    lease.release().await.unwrap();
    assert_eq!(run(&sandbox, &place, &["cancel", "layer3-daily"]).status, 0);
    assert_eq!(status(&store).await, RunStatus::Cancelled);
}

/// A tick looks for a cancel, finds none, says when the next phase is due, and ends; meanwhile the cancel is recorded.
async fn a_process_that_goes_away_without_having_heard_leaves_the_end_to_the_cancel(place: Place) {
    let sandbox = Sandbox::new();
    let store = store_now(&place).await;
    store.begin_run(&a_run()).await.unwrap();
    let lease = held(&store).await;
    let tick = {
        let store = store.clone();
        tokio::spawn(async move {
            while store.cancellation(&a_run().id).await.unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            lease.release().await.unwrap();
        })
    };
    let words = ["cancel", &a_run().id, "--json"];
    let cancelled = tokio::task::block_in_place(|| run(&sandbox, &place, &words));
    tick.await.unwrap();
    assert_eq!(cancelled.status, 0, "{cancelled}");
    let stopped: Value = cancelled.json()["stopped"][0].clone();
    assert_eq!(stopped["status"], "cancelled", "{cancelled}");
    assert_eq!(stopped["holder"], Value::Null);
    assert_eq!(status(&store).await, RunStatus::Cancelled);
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
        outcome.says("did you mean layer3-daily?");
    }
    assert_eq!(store.cancellation(&a_run().id).await.unwrap(), None);
    assert_eq!(store.pauses().await.unwrap(), []);
    store.begin_run(&another(1, "x")).await.unwrap();
    let several = run(&sandbox, &place, &["cancel", "0198b2a"]);
    several.says("several runs");
    assert_eq!(run(&sandbox, &place, &["cancel"]).status, 2);
}

async fn an_automation_is_paused_once_and_goes_on_when_it_is_enabled(place: Place) {
    let sandbox = Sandbox::new();
    let store = place.open().await;
    store.begin_run(&a_run()).await.unwrap();
    let words = ["pause", "layer3-daily", "--reason", "new copy on Monday"];
    let paused = run(&sandbox, &place, &words);
    assert_eq!((paused.status, paused.stdout.as_str()), (0, ""), "{paused}");
    paused.says("is open and is held, too");
    let lease = held(&store_now(&place).await).await;
    let carried = run(&sandbox, &place, &words);
    carried.says("is in progress and continues");
    lease.release().await.unwrap();
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
    again.says("was not paused");
    let held = store.pauses().await.unwrap();
    assert_eq!(held.len(), 1, "{held:?}");
}
