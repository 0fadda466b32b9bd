//! Notices and heartbeats of a run, and that an unreachable receiver does not hold it up.

use tokio::task::block_in_place;

use super::office::{File, Office};
use crate::notify::server::{Answer, Server};
use crate::support::fcm::script::{Reply, Script};

/// An office with a webhook and a monitor.
struct Watched {
    office: Office,
    webhook: Server,
    monitor: Server,
}

impl Watched {
    async fn new(script: Script) -> Self {
        let fine = || vec![Answer::status(200, "ok"); 20];
        let (webhook, monitor) = (Server::start(fine()).await, Server::start(fine()).await);
        let mut office = Office::new(10, script);
        office.set("HOOK", webhook.url("/hook"));
        office.set("BEAT", monitor.url("/beat"));
        Self {
            office,
            webhook,
            monitor,
        }
    }

    fn notices(&self) -> Vec<String> {
        let texts = self.webhook.requests().into_iter().map(|request| {
            let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
            body.to_string()
        });
        texts.collect()
    }

    fn beats(&self) -> Vec<String> {
        let requests = self.monitor.requests().into_iter();
        requests.map(|request| request.path).collect()
    }
}

fn file() -> File {
    File {
        notify: "webhook = \"env:HOOK\"\nheartbeat = \"env:BEAT\"".to_owned(),
        ..File::default()
    }
}

fn contains(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_of_a_run_sends_a_notice() {
    let watched = Watched::new(Script::default()).await;
    watched.office.file(&file());
    block_in_place(|| watched.office.tick(0));
    let notices = watched.notices();
    assert_eq!(notices.len(), 3, "{notices:#?}");
    contains(&notices[0], &["daily", "10", "haves", "wants"]);
    contains(&notices[1], &["2 of 2"]);
    contains(&notices[2], &["10 of 10"]);
    assert_eq!(watched.beats(), ["/beat/start", "/beat"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_window_and_its_cancel_send_notices_and_the_first_names_the_command() {
    let watched = Watched::new(Script::default()).await;
    watched.office.file(&File {
        notify: file().notify,
        ..File::waiting(20)
    });
    block_in_place(|| {
        watched.office.tick(0);
        watched.office.tick(0);
    });
    let notices = watched.notices();
    assert_eq!(notices.len(), 3, "{notices:#?}");
    contains(&notices[2], &["pushctl cancel daily", "10", "haves"]);
    assert_eq!(watched.beats(), ["/beat/start"]);
    block_in_place(|| {
        watched
            .office
            .ends(&["cancel", "daily", "--reason", "wrong shoe"], 0);
        watched.office.tick(0);
    });
    assert_eq!(watched.notices().len(), 4);
    contains(&watched.notices()[3], &["wrong shoe", "alice@"]);
    assert_eq!(watched.beats(), ["/beat/start", "/beat/fail"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_sends_a_notice_and_a_failed_beat() {
    let watched = Watched::new(Script::default().always("token-tester", Reply::Unregistered)).await;
    watched.office.file(&file());
    block_in_place(|| watched.office.tick(12));
    let notices = watched.notices();
    contains(notices.last().unwrap(), &["a test push was not accepted"]);
    assert_eq!(watched.beats(), ["/beat/start", "/beat/fail"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_sends_no_notice() {
    let watched = Watched::new(Script::default()).await;
    watched.office.file(&file());
    let dry_run = |mode| {
        let arguments = ["run-pipeline", "daily", "--mode", mode];
        block_in_place(|| watched.office.ends(&arguments, 0));
    };
    dry_run("real-dry-run");
    dry_run("test-dry-run");
    assert_eq!((watched.notices().len(), watched.beats().len()), (0, 0));
    // Messages are delivered, but this is not the job that the monitor watches.
    dry_run("test-live-send");
    assert_eq!(watched.beats().len(), 0);
    contains(&watched.notices()[1], &["2 of 2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_webhook_fails_no_run() {
    let mut watched = Watched::new(Script::default()).await;
    watched.office.set("HOOK", "http://127.0.0.1:9/secret-hook");
    watched.office.set("BEAT", "http://127.0.0.1:9/secret-beat");
    watched.office.file(&file());
    let outcome = block_in_place(|| watched.office.tick(0));
    assert_eq!(outcome.json()["status"], "done");
    assert_eq!(watched.office.reached().len(), 10);
    contains(&outcome.stderr, &["webhook", "heartbeat"]);
    assert!(!outcome.stderr.contains("secret"), "{outcome}");
}

#[test]
fn a_cancel_that_does_not_know_the_address_says_that_no_notice_was_sent() {
    let office = Office::new(10, Script::default());
    office.file(&File {
        notify: file().notify,
        ..File::waiting(20)
    });
    office.tick(0);
    let outcome = office.ends(&["cancel", "daily"], 0);
    for name in ["HOOK", "BEAT"] {
        let said = format!("the notice of daily was not sent: {name} is not set");
        outcome.says(&said);
    }
    let quiet = office.ends(&["cancel", "daily", "-q"], 6);
    assert_eq!(quiet.stdout, "");
}
