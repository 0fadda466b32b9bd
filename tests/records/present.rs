use std::sync::Arc;

use pushctl::clock::{Clock, System};
use pushctl::state::process_id::ProcessId;
use pushctl::state::{Store, Taking};

use super::{a_run, another, run};
use crate::state::in_both_stores;
use crate::support::cli::Sandbox;
use crate::support::store::Place;

in_both_stores!(
    what_is_running_held_and_ahead_is_told,
    a_send_that_others_have_joined_runs_as_long_as_one_of_them_lives,
);

const AUTOMATION: &str = r#"
name = "layer2-daily"
enabled = true

[schedule]
send_at = "13:33"
timezone = "America/Chicago"
frequency = "daily"

[audience]
name = "layer2"

[[push]]
audience_file = "trending-closet-items"
layer = 2
title = "Trending"
body = "See what people want"
deep_link = "https://tradeblock.us/closet"

[test]
required = false
"#;

async fn what_is_running_held_and_ahead_is_told(place: Place) {
    let sandbox = Sandbox::new();
    let nothing = run(&sandbox, &place, &["status"]);
    assert_eq!(
        (nothing.status, nothing.stdout.as_str()),
        (0, ""),
        "{nothing}"
    );
    nothing.says("nothing is running");
    // Leases are measured by the clock of the command, which is the machine's.
    let clock: Arc<dyn Clock> = Arc::new(System);
    let store = Store::open(&place.location, clock).await.unwrap();
    store.begin_run(&a_run()).await.unwrap();
    store.begin_phase(&a_run().id, "window").await.unwrap();
    store.begin_run(&another(2, "waterfall")).await.unwrap();
    let name = format!("occurrence/{}", a_run().occurrence);
    let holder = ProcessId::this_process("alice@worker-1");
    let lease = match store.take_lease(&name, &holder).await.unwrap() {
        Taking::Taken(lease) => lease,
        Taking::Held(held) => panic!("{held:?}"),
    };
    store
        .pause("layer2-daily", "bob@laptop", Some("new copy"))
        .await
        .unwrap();
    sandbox.write("here/automations/layer2.toml", AUTOMATION);
    let checked = run(&sandbox, &place, &["status", "--json"]).json();
    let running = checked["running"].as_array().unwrap();
    let interrupted = checked["interrupted"].as_array().unwrap();
    assert_eq!((running.len(), interrupted.len()), (1, 1), "{checked}");
    let window = &running[0];
    assert_eq!(window["automation"], "layer3-daily");
    assert_eq!(
        (&window["phase"], &window["state"]),
        (&"window".into(), &"running".into())
    );
    assert!(
        window["holder"]
            .as_str()
            .unwrap()
            .starts_with("alice@worker-1 (process"),
        "{window}"
    );
    let other = &interrupted[0];
    assert_eq!(other["automation"], "waterfall");
    assert_eq!(
        (&other["phase"], &other["holder"]),
        (&"begun".into(), &serde_json::Value::Null)
    );
    let id = another(2, "waterfall").id;
    assert_eq!(other["resume"], format!("pushctl resume {id}"));
    assert_eq!(other["cancel"], format!("pushctl cancel {id}"));
    assert_eq!(checked["paused"][0]["who"], "bob@laptop");
    assert_eq!(
        checked["next"][0]["automation"], "layer2-daily",
        "{checked}"
    );
    assert_eq!(checked["next"][0]["paused"], true);
    assert_eq!(checked["wrong_files"], 0);
    sandbox.write("here/automations/broken.toml", "name = \"broken");
    let told = run(&sandbox, &place, &["status"]);
    told.says("not shown here: 1");
    let text = told.stdout;
    for part in [
        "Running\n",
        "alice@worker-1 (process ",
        "\nInterrupted\n",
        &format!("to continue: pushctl resume {id}\n"),
        &format!("to cancel:   pushctl cancel {id}\n"),
        "\nPaused\n",
        "new copy",
        "\nNext\n",
        "13:33 C",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    lease.release().await.unwrap();
}

async fn a_send_that_others_have_joined_runs_as_long_as_one_of_them_lives(place: Place) {
    let sandbox = Sandbox::new();
    let clock: Arc<dyn Clock> = Arc::new(System);
    let store = Store::open(&place.location, clock).await.unwrap();
    store.begin_run(&a_run()).await.unwrap();
    let holder = ProcessId::this_process("carol@worker-3");
    let joined = store.enlist(&a_run().id, &holder).await.unwrap();
    let other = store.enlist("another run", &holder).await.unwrap();
    let status = run(&sandbox, &place, &["status", "--json"]).json();
    assert_eq!(status["interrupted"], serde_json::json!([]), "{status}");
    let at_work = status["running"][0]["holder"].as_str().unwrap();
    assert!(at_work.starts_with("carol@worker-3"), "{status}");
    joined.leave().await.unwrap();
    let status = run(&sandbox, &place, &["status", "--json"]).json();
    assert_eq!(status["running"], serde_json::json!([]), "{status}");
    assert_eq!(status["interrupted"][0]["run"], a_run().id);
    other.leave().await.unwrap();
}
