//! A send that stops: by the caller, because too many messages fail, or because the service is unreachable.

use pushctl::error::ErrorKind;
use std::time::{Duration, Instant};

use pushctl::fcm::{HaltCause, Outcome};

use super::{Bench, accepted_once, code, collect, jobs, next, tokens};
use crate::support::fcm::StandIn;
use crate::support::fcm::script::{Reply, Script};

fn slow(ms: u64) -> Script {
    Script::default().always(
        "*",
        Reply::Slow {
            ms,
            then: Box::new(Reply::Accept),
        },
    )
}

#[tokio::test]
async fn after_a_stop_nothing_more_is_sent_and_requests_in_flight_are_awaited() {
    let stand_in = StandIn::playing(slow(500));
    let bench = Bench::of(&stand_in).with(|settings| {
        settings.connections = 1;
        settings.streams = 10;
    });
    let (client, reports) = bench.connect().await.expect("connected");
    let names = tokens("t", 100);
    client
        .submit_all(jobs(names.iter().map(|token| (token.as_str(), None))))
        .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    client.stop();
    client
        .submit_all(
            jobs([("late", None)].into_iter())
                .into_iter()
                .map(|mut job| {
                    job.id = 1_000;
                    job
                }),
        )
        .await;
    client.close();
    let reports = collect(reports).await;
    let accepted = reports
        .values()
        .filter(|report| code(report) == "accepted")
        .count();
    let unsent = reports
        .values()
        .filter(|report| code(report) == "STOPPED")
        .count();
    assert_eq!((accepted, unsent), (10, 91));
    assert_eq!(accepted_once(&stand_in).len(), 10);
    assert_eq!(client.halted().expect("halted").cause, HaltCause::Asked);
    assert!(
        reports
            .values()
            .filter(|report| code(report) == "STOPPED")
            .all(|report| report.attempts == 0)
    );
}

#[tokio::test]
async fn abandoned_messages_are_in_doubt_at_once() {
    let stand_in = StandIn::playing(Script::default().always("*", Reply::Hang));
    let bench = Bench::of(&stand_in).with(|settings| settings.connections = 1);
    let (client, reports) = bench.connect().await.expect("connected");
    let names = tokens("t", 120);
    client
        .submit_all(jobs(names.iter().map(|token| (token.as_str(), None))))
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.close();
    let started = Instant::now();
    client.abandon();
    let reports = collect(reports).await;
    assert!(started.elapsed() < Duration::from_secs(5));
    let doubtful = reports
        .values()
        .filter(|report| code(report) == "ABANDONED")
        .count();
    let unsent = reports
        .values()
        .filter(|report| code(report) == "STOPPED")
        .count();
    // The connection had no answer yet, so no more than these were sent on it.
    assert_eq!((doubtful, unsent), (10, 110));
}

#[tokio::test]
async fn a_list_of_dead_tokens_stops_the_send_before_its_end() {
    let stand_in = StandIn::playing(Script::default().always("*", Reply::Unregistered));
    let bench = Bench::of(&stand_in).with(|settings| settings.connections = 1);
    let sent = bench.send(&tokens("t", 1_000)).await;
    let halt = sent.client.halted().expect("halted");
    assert_eq!(halt.cause, HaltCause::Safeguard);
    assert_eq!(halt.error().kind(), ErrorKind::Refused);
    assert!(
        halt.reason.contains("100.0 % of the last 100 answers"),
        "{}",
        halt.reason
    );
    let dead = sent
        .reports
        .iter()
        .filter(|report| report.outcome == Outcome::Dead)
        .count();
    // Messages in flight at the stop are still counted.
    assert!((100..=300).contains(&dead), "{dead}");
    assert_eq!(sent.tally()["STOPPED"], 1_000 - dead);
}

#[tokio::test]
async fn a_failure_rate_above_the_threshold_stops_the_send() {
    let stand_in = StandIn::playing(Script::default().always("*7", Reply::InvalidToken));
    let bench = Bench::of(&stand_in).with(|settings| {
        settings.connections = 1;
        settings.limits.failure_rate = Some(0.05);
    });
    let sent = bench.send(&tokens("t", 2_000)).await;
    let halt = sent.client.halted().expect("halted");
    assert_eq!(halt.cause, HaltCause::Safeguard);
    assert!(
        halt.reason.contains("more than the 5.0 % that are allowed"),
        "{}",
        halt.reason
    );
    assert!(sent.accepted() < 500, "{}", sent.accepted());
}

#[tokio::test]
async fn an_unreachable_service_stops_the_send_after_the_patience_and_counts_add_up() {
    let stand_in = StandIn::playing(slow(50));
    let bench = Bench::of(&stand_in).with(|settings| {
        settings.connections = 1;
        settings.rate = 200;
        settings.patience = Duration::from_secs(2);
    });
    let (client, mut reports) = bench.connect().await.expect("connected");
    let names = tokens("t", 1_000);
    client
        .submit_all(jobs(names.iter().map(|token| (token.as_str(), None))))
        .await;
    client.close();
    for _ in 0..20 {
        let report = next(&mut reports).await.expect("a report");
        assert_eq!(code(&report), "accepted");
    }
    drop(stand_in);
    let reports = collect(reports).await;
    assert_eq!(reports.len(), 1_000 - 20);
    let halt = client.halted().expect("halted");
    assert_eq!(halt.cause, HaltCause::Unreachable, "{}", halt.reason);
    assert_eq!(halt.error().kind(), pushctl::error::ErrorKind::Unreachable);
    let count = |wanted: &str| {
        let all = reports.values();
        all.filter(|report| code(report) == wanted).count()
    };
    let (accepted, lost, unsent) = (
        count("accepted"),
        count("CONNECTION_LOST"),
        count("STOPPED"),
    );
    assert_eq!(accepted + lost + unsent, 1_000 - 20);
    assert!(
        lost <= 100 && unsent > 0,
        "{lost} in doubt, {unsent} unsent"
    );
}

#[tokio::test]
async fn breaking_connections_are_replaced_while_some_messages_are_accepted() {
    let mut script = Script::default().always("*", Reply::Drop);
    script.rules[0].after = 30;
    script.rules[0].every = 60;
    let stand_in = StandIn::playing(script);
    let bench = Bench::of(&stand_in).with(|settings| {
        settings.rate = 500;
        settings.connections = 1;
        settings.streams = 5;
    });
    let sent = bench.send(&tokens("t", 500)).await;
    assert_eq!(sent.client.halted(), None);
    let lost = sent.tally()["CONNECTION_LOST"];
    // Each of the eight breaks loses the messages in flight on its connection.
    assert!((8..=40).contains(&lost), "{lost}");
    assert_eq!(sent.accepted() + lost, 500);
    assert!(accepted_once(&stand_in).len() >= sent.accepted());
    assert!(stand_in.connections() >= 9, "{}", stand_in.connections());
}
