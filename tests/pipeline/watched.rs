//! Receivers of notices that misbehave, the heartbeat of the tick, and the metrics file.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::block_in_place;

use super::exposition::{Exposition, parsed};
use super::office::{File, Office};
use crate::notify::server::{Answer, Server};
use crate::support::fcm::script::{Reply, Script};
use crate::support::programs::with_silent_names;
use crate::support::store::Place;

fn file(notify: &str) -> File {
    File {
        notify: format!("webhook = \"env:HOOK\"\n{notify}"),
        ..File::default()
    }
}

fn texts(server: &Server) -> Vec<Value> {
    let bodies = server.requests().into_iter();
    bodies
        .map(|request| serde_json::from_slice(&request.body).unwrap())
        .collect()
}

fn undelivered(office: &Office) -> u64 {
    office.in_store(async |store| store.queued_notice_count().await.unwrap())
}

/// How long a run may take that waits for no notice: each of three would take five seconds.
const SOON: Duration = Duration::from_secs(12);

async fn a_mute_webhook_delays_no_push_and_the_next_tick_delivers(place: Place) {
    let mute = Server::start(Vec::new()).await;
    let mut office = Office::at(place, 10, Script::default());
    office.set("HOOK", mute.url("/hook"));
    office.file(&file("kind = \"json\""));
    let began = Instant::now();
    let outcome = block_in_place(|| office.tick(0));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(outcome.json()["status"], "done");
    assert_eq!(office.reached().len(), 10);
    outcome.says("tried again");
    // The pushes did not wait for the first notice, and the others wait for the next tick.
    assert_eq!(mute.requests().len(), 1);
    assert_eq!(block_in_place(|| undelivered(&office)), 3);
    let webhook = Server::start(vec![Answer::status(200, "ok"); 5]).await;
    office.set("HOOK", webhook.url("/hook"));
    block_in_place(|| office.tick(0));
    let events: Vec<Value> = texts(&webhook)
        .iter()
        .map(|body| body["event"].clone())
        .collect();
    assert_eq!(events, ["audience_ready", "test_sent", "done"]);
    assert_eq!(block_in_place(|| undelivered(&office)), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mute_webhook_delays_no_push_with_an_embedded_store() {
    a_mute_webhook_delays_no_push_and_the_next_tick_delivers(Place::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mute_webhook_delays_no_push_with_a_store_in_postgres() {
    a_mute_webhook_delays_no_push_and_the_next_tick_delivers(Place::postgres()).await;
}

#[test]
fn a_name_server_that_does_not_answer_delays_no_push() {
    let mut office = Office::new(10, Script::default());
    office.set("HOOK", "https://hooks.example.com/hook");
    office.file(&file("kind = \"slack\""));
    let tick = office.command(&["run-pipeline", "daily", "--tick", "--json"]);
    let silent = with_silent_names(&tick, "127.0.0.93", &office.sandbox.home());
    let Some((mut tick, _silent)) = silent else {
        return;
    };
    let began = Instant::now();
    let outcome = office.sandbox.outcome(&tick.output().unwrap());
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert_eq!(outcome.status, 0, "{outcome}");
    outcome.says("tried again");
    assert_eq!(office.reached().len(), 10);
    assert_eq!(undelivered(&office), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_notice_that_fails_is_kept_and_one_that_is_refused_is_dropped() {
    for (answer, kept) in [
        (Answer::status(500, "boom"), 3),
        (Answer::status(429, "").header("retry-after", "0"), 3),
        (Answer::Reset, 3),
        (Answer::status(404, "no_team"), 0),
    ] {
        let server = Server::start(vec![answer.clone(); 40]).await;
        let mut office = Office::new(4, Script::default());
        office.set("HOOK", server.url("/hook"));
        office.file(&file(""));
        let outcome = block_in_place(|| office.tick(0));
        outcome.says("the webhook did not accept the notice");
        assert_eq!(office.reached().len(), 4);
        let left = block_in_place(|| undelivered(&office));
        assert_eq!(left, kept, "{answer:?}\n{outcome}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_do_not_deliver_a_notice_at_once() {
    for place in [Place::sqlite(), Place::postgres()] {
        let store = place.open().await;
        let notice = serde_json::json!({});
        for target in ["webhook env:A", "webhook env:A", "webhook env:B"] {
            store.queue_notice(target, &notice).await.unwrap();
        }
        let queued = store.queued_notices().await.unwrap();
        let time = Duration::from_secs(30);
        let claim = async |place: usize, who| {
            let claimed = store.claim_notice(&queued[place], who, time).await;
            claimed.unwrap()
        };
        assert!(claim(0, 1).await);
        assert!(!claim(0, 2).await);
        // The later one of the same target waits; another target does not.
        assert!(!claim(1, 2).await);
        assert!(claim(2, 2).await);
        store.release_notice(queued[0].id, 2).await.unwrap();
        assert!(!claim(0, 2).await);
        store.release_notices(1).await.unwrap();
        assert!(claim(0, 2).await);
        assert_eq!(store.queued_notices().await.unwrap()[0].tries, 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_reached_no_one_beats_failure() {
    let monitor = Server::start(vec![Answer::status(200, "ok"); 9]).await;
    let mut office = Office::new(4, Script::default());
    office.set("BEAT", monitor.url("/beat"));
    office
        .market
        .execute("DELETE FROM devices WHERE token <> 'token-tester'");
    office.file(&File {
        notify: "heartbeat = \"env:BEAT\"\nheartbeat_kind = \"healthchecks\"".to_owned(),
        ..File::default()
    });
    let outcome = block_in_place(|| office.run(&["run-pipeline", "daily", "--tick", "--json"]));
    let requests = monitor.requests();
    assert_eq!(office.reached().len(), 0, "{outcome}");
    let run = outcome.json()["run"].as_str().unwrap().to_owned();
    assert_eq!(requests[0].path, format!("/beat/start?rid={run}"));
    assert_eq!(requests[1].path, format!("/beat/fail?rid={run}"));
    let body = String::from_utf8_lossy(&requests[1].body).into_owned();
    assert!(body.contains("no recipient was reached"), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_recipients_all_have_had_enough_beats_success() {
    let monitor = Server::start(vec![Answer::status(200, "ok"); 9]).await;
    let mut office = Office::new(2, Script::default());
    office.set("BEAT", monitor.url("/beat"));
    office.file(&File {
        notify: "heartbeat = \"env:BEAT\"\nheartbeat_kind = \"healthchecks\"".to_owned(),
        ..File::default()
    });
    let fans =
        "user_id\n00000000-0000-4000-8000-000000000001\n00000000-0000-4000-8000-000000000002\n";
    office.sandbox.write("here/fans.csv", fans);
    let send = ["send", "--audience", "fans.csv", "--layer", "3", "--yes"];
    let words = ["--title", "earlier", "--body", "b"];
    block_in_place(|| office.ends(&[&send[..], &words].concat(), 0));
    let outcome = block_in_place(|| office.tick(0));
    assert_eq!(outcome.json()["pushes"][0]["excluded"], 1, "{outcome}");
    assert_eq!(office.reached().len(), 2);
    let run = outcome.json()["run"].as_str().unwrap().to_owned();
    let last = monitor.requests().pop().unwrap().path;
    assert_eq!(last, format!("/beat?rid={run}"), "{outcome}");
}

/// Changes the notices of a run, and returns how many of three the next tick leaves. It says why.
fn left_after(place: Place, change: &str, reason: &str) -> u64 {
    let mut office = Office::at(place, 4, Script::default());
    office.set("HOOK", "http://127.0.0.1:9/hook");
    office.file(&file("kind = \"json\""));
    office.tick(0);
    assert_eq!(undelivered(&office), 3);
    office.place.execute(change);
    let outcome = office.tick(0);
    outcome.says(reason);
    undelivered(&office)
}

#[test]
fn notices_are_dropped_after_twenty_attempts() {
    for place in [Place::sqlite(), Place::postgres()] {
        let change = "UPDATE pushctl.notices SET tries = 19";
        // The others have to wait for their last attempt.
        let left = left_after(place, change, "is dropped: 20 attempts did not deliver it");
        assert!(left < 3, "{left}");
    }
}

#[test]
fn notices_are_dropped_after_a_day() {
    for place in [Place::sqlite(), Place::postgres()] {
        let change = "UPDATE pushctl.notices SET queued_at = queued_at - 86400000001";
        assert_eq!(
            left_after(place, change, "is dropped: it is out of date"),
            0
        );
    }
}

#[test]
fn sends_and_resumed_runs_write_metrics_too() {
    let script = Script::default().on("token-fan-2", [Reply::AcceptThenReset]);
    let mut office = Office::new(6, script);
    office.set("PUSHCTL_CADENCE", "off");
    office.file(&File::default());
    office.ends(&["generate", "fans"], 0);
    let file = ["--metrics-file", "pushctl.prom"];
    let send = [
        "send",
        "--automation",
        "daily",
        "--push",
        "1",
        "--yes",
        "--json",
    ];
    let summary = office.ends(&[&send[..], &file].concat(), 3).json();
    let of = |metrics: &Exposition, outcome: &str| {
        let labels = [("automation", "daily"), ("push", "1"), ("outcome", outcome)];
        metrics.value("pushctl_last_run_recipients", &labels)
    };
    let after = metrics(&office);
    assert_eq!(
        (of(&after, "accepted"), of(&after, "in_doubt")),
        (Some(2.0), Some(1.0))
    );
    let resume = [
        "resume",
        summary["run"].as_str().unwrap(),
        "--in-doubt",
        "retry",
        "--yes",
    ];
    office.ends(&[&resume[..], &file].concat(), 0);
    let after = metrics(&office);
    assert_eq!(
        (of(&after, "accepted"), of(&after, "in_doubt")),
        (Some(3.0), Some(0.0))
    );
    let status = after.value("pushctl_exit_status", &[("command", "resume")]);
    assert_eq!(status, Some(0.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_heartbeat_of_the_tick_says_whether_it_ended_well() {
    let monitor = Server::start(vec![Answer::status(200, "ok"); 9]).await;
    let script = Script::default().always("token-tester", Reply::Unregistered);
    let mut office = Office::new(4, script);
    office.set("PUSHCTL_TICK_HEARTBEAT_URL", monitor.url("/tick"));
    let all = ["run-pipeline", "--all", "--tick"];
    office.file(&File::waiting(20));
    // The test push is refused: the tick ends with that.
    block_in_place(|| office.ends(&all, 12));
    // Nothing is due any more, and other starts are not the scheduler's.
    block_in_place(|| office.ends(&all, 0));
    block_in_place(|| office.tick(0));
    let asked: Vec<String> = monitor
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(asked, ["/tick/fail", "/tick"]);
    office.set("PUSHCTL_TICK_HEARTBEAT_KIND", "sentry");
    block_in_place(|| office.ends(&all, 0));
    let last = monitor.requests().pop().unwrap().path;
    assert!(last.starts_with("/tick?status=ok&check_in_id="), "{last}");
}

fn metrics(office: &Office) -> Exposition {
    let path = office.sandbox.here().join("pushctl.prom");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    parsed(&std::fs::read_to_string(path).unwrap())
}

fn metrics_are_those_of_every_automation_in_the_store(place: Place) {
    let mut office = Office::at(place, 10, Script::default());
    office.file(&File::default());
    office.tick(0);
    office.set("PUSHCTL_METRICS", "pushctl.prom");
    office.file(&File {
        name: "weekly",
        ..File::waiting(20)
    });
    office.ends(&["run-pipeline", "--all", "--tick"], 0);
    let metrics = metrics(&office);
    let of = |name: &str, labels: &[(&str, &str)]| metrics.value(name, labels);
    let daily = ("automation", "daily");
    assert_eq!(of("pushctl_runs", &[daily, ("status", "done")]), Some(1.0));
    assert_eq!(
        of("pushctl_open_runs", &[("automation", "weekly")]),
        Some(1.0)
    );
    let accepted = |push| {
        let labels = [daily, ("push", push), ("outcome", "accepted")];
        of("pushctl_last_run_recipients", &labels).unwrap()
    };
    assert!((accepted("1") + accepted("2") - 10.0).abs() < 0.1);
    let rows = ["haves", "wants"]
        .map(|file| of("pushctl_last_run_audience_rows", &[daily, ("file", file)]).unwrap());
    assert!((rows[0] + rows[1] - 10.0).abs() < 0.1);
    for phase in ["generate", "test", "push-1", "send", "cleanup"] {
        let labels = [daily, ("phase", phase)];
        assert!(
            of("pushctl_last_run_phase_duration_seconds", &labels).is_some(),
            "{phase}"
        );
    }
    let success = of("pushctl_last_success_timestamp_seconds", &[daily]);
    assert!(success.is_some());
    assert_eq!(success, of("pushctl_last_run_timestamp_seconds", &[daily]));
    assert_eq!(of("pushctl_undelivered_notices", &[]), Some(0.0));
    assert_eq!(
        of("pushctl_exit_status", &[("command", "run-pipeline")]),
        Some(0.0)
    );
}

#[test]
fn metrics_are_those_of_every_automation_in_an_embedded_store() {
    metrics_are_those_of_every_automation_in_the_store(Place::sqlite());
}

#[test]
fn metrics_are_those_of_every_automation_in_a_store_in_postgres() {
    metrics_are_those_of_every_automation_in_the_store(Place::postgres());
}

#[test]
fn a_metrics_file_that_cannot_be_written_is_a_warning_after_the_pushes() {
    let office = Office::restricted(10);
    office.file(&File::default());
    let directory = office.sandbox.here().join("readonly");
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o555)).unwrap();
    let path = "readonly/pushctl.prom";
    let outcome = office.ends(
        &["run-pipeline", "daily", "--tick", "--metrics-file", path],
        0,
    );
    outcome.says("the metrics file is not written");
    assert_eq!(office.reached().len(), 10);
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn the_check_names_the_nearest_kind() {
    let office = Office::new(1, Script::default());
    office.file(&file("kind = \"slak\"\nheartbeat_kind = \"sentri\""));
    let outcome = office.ends(&["check"], 2);
    for hint in ["did you mean \"slack\"?", "did you mean \"sentry\"?"] {
        assert!(outcome.stdout.contains(hint), "{outcome}");
    }
    office.file(&file("heartbeat_kind = \"sentry\""));
    let outcome = office.ends(&["check"], 0);
    let warning = "`heartbeat_kind` has no effect without `heartbeat`";
    assert!(outcome.stdout.contains(warning), "{outcome}");
}
