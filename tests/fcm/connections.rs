//! Connections that refuse streams, reset them, send GOAWAY or break: messages that were certainly not processed are
//! sent again, the others are in doubt.

use pushctl::error::ErrorKind;
use std::time::Duration;

use pushctl::fcm::{MessageReport, Outcome};

use super::{Bench, accepted_once, code, collect, jobs, tokens};
use crate::support::fcm::raw::{Ending, Plan, RawPeer};
use crate::support::fcm::script::{Reply, Script};
use crate::support::fcm::{Options, Protocol, StandIn};

#[tokio::test]
async fn without_http_2_nothing_is_sent_and_the_error_names_the_reason() {
    let stand_in = StandIn::start(&Options {
        protocol: Protocol::Http1,
        ..Options::default()
    })
    .expect("started");
    let lender = StandIn::playing(Script::default());
    let bench = Bench::of(&stand_in)
        .trusting(&lender)
        .with(|settings| settings.token_uri = Some(lender.token_uri()));
    let error = bench.connect().await.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:#}");
    assert!(
        format!("{error:#}").contains("does not speak HTTP/2 (TLS agreed on"),
        "{error:#}"
    );
    assert_eq!(error.hints().len(), 1);
}

#[tokio::test]
async fn an_untrusted_certificate_is_rejected() {
    let stand_in = StandIn::playing(Script::default());
    let other = StandIn::playing(Script::default());
    let bench = Bench::of(&other).with(|settings| settings.base_url = stand_in.base_url());
    let error = bench.connect().await.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Credentials, "{error:#}");
    assert!(format!("{error:#}").contains("not trusted"), "{error:#}");
}

#[tokio::test]
async fn http_2_without_tls_is_allowed_only_to_this_machine() {
    let stand_in = StandIn::start(&Options {
        protocol: Protocol::Cleartext,
        ..Options::default()
    })
    .expect("started");
    let lender = StandIn::playing(Script::default());
    let bench = Bench::of(&lender).with(|settings| settings.base_url = stand_in.base_url());
    let (client, _reports) = bench.connect().await.expect("connected");
    drop(client);
    let bench = bench.with(|settings| settings.base_url = "http://fcm.example.com".into());
    let error = bench.connect().await.err().expect("refused");
    assert_eq!(error.kind(), ErrorKind::Usage, "{error:#}");
}

#[tokio::test]
async fn connections_are_opened_when_needed_and_kept_open() {
    let script = Script::default().always(
        "*",
        Reply::Slow {
            ms: 300,
            then: Box::new(Reply::Accept),
        },
    );
    let stand_in = StandIn::playing(script);
    let bench = Bench::of(&stand_in).with(|settings| settings.rate = 100_000);
    let few = bench.send(&tokens("few", 60)).await;
    assert_eq!(few.accepted(), 60);
    // One connection for messages and one for the token endpoint.
    assert_eq!(stand_in.connections(), 2);
    let many = bench.send(&tokens("many", 900)).await;
    assert_eq!(many.accepted(), 900);
    assert_eq!(stand_in.connections(), 2 + 4);
    assert_eq!(many.client.progress().connections, 0, "closed at the end");
    // The stand-in resets any stream beyond the hundredth.
    assert!(many.reports.iter().all(|report| report.attempts == 1));
}

#[tokio::test]
async fn the_service_may_allow_fewer_streams() {
    let script = Script::default().always(
        "*",
        Reply::Slow {
            ms: 20,
            then: Box::new(Reply::Accept),
        },
    );
    let stand_in = StandIn::start(&Options {
        script,
        streams: Some(5),
        ..Options::default()
    })
    .expect("started");
    let sent = Bench::of(&stand_in).send(&tokens("t", 100)).await;
    assert_eq!(sent.accepted(), 100);
    assert_eq!(accepted_once(&stand_in).len(), 100);
}

#[tokio::test]
async fn a_refused_stream_is_sent_again() {
    let script = Script::default()
        .on("twice", [Reply::Refuse, Reply::Refuse])
        .always("always", Reply::Refuse);
    let stand_in = StandIn::playing(script);
    let sent = Bench::of(&stand_in).send(&["twice", "other"]).await;
    assert_eq!(sent.accepted(), 2);
    assert_eq!(sent.reports[0].attempts, 3);
    assert!(stand_in.waits("twice")[1] >= Duration::from_millis(100));
    assert_eq!(accepted_once(&stand_in), ["other", "twice"]);
}

#[tokio::test]
async fn a_graceful_goaway_during_a_send_loses_nothing_and_repeats_nothing() {
    let mut script = Script::default().always("*", Reply::GoAway);
    script.rules[0].after = 50;
    script.rules[0].every = 200;
    let stand_in = StandIn::playing(script);
    let sent = Bench::of(&stand_in)
        .with(|settings| settings.rate = 100_000)
        .send(&tokens("t", 1_500))
        .await;
    assert_eq!(sent.accepted(), 1_500);
    assert_eq!(accepted_once(&stand_in).len(), 1_500);
    assert!(stand_in.connections() >= 5, "{}", stand_in.connections());
}

#[tokio::test]
async fn after_a_goaway_requests_above_its_stream_are_sent_again_and_those_below_are_in_doubt() {
    // Of five requests (streams 1 to 9) one is answered; the GOAWAY then names the third as the last one processed.
    let peer = RawPeer::start(Plan {
        requests: 5,
        answered: 1,
        ending: Ending::GoAway(5),
    });
    let lender = StandIn::playing(Script::default());
    let bench = Bench::of(&lender).with(|settings| settings.base_url = peer.base_url());
    let tokens = tokens("t", 5);
    let sent = bench.send(&tokens).await;
    let codes: Vec<&str> = sent.reports.iter().map(code).collect();
    assert_eq!(
        codes,
        [
            "accepted",
            "CONNECTION_LOST",
            "CONNECTION_LOST",
            "accepted",
            "accepted"
        ]
    );
    let requests: Vec<Vec<usize>> = tokens.iter().map(|token| peer.requests(token)).collect();
    assert_eq!(
        requests,
        [vec![0], vec![0], vec![0], vec![0, 1], vec![0, 1]]
    );
}

#[tokio::test]
async fn a_connection_that_ends_without_goaway_leaves_its_requests_in_doubt() {
    let peer = RawPeer::start(Plan {
        requests: 4,
        answered: 2,
        ending: Ending::Close,
    });
    let lender = StandIn::playing(Script::default());
    let bench = Bench::of(&lender).with(|settings| {
        settings.base_url = peer.base_url();
        settings.connections = 1;
        settings.streams = 4;
    });
    let tokens = tokens("t", 8);
    let sent = bench.send(&tokens).await;
    let tally = sent.tally();
    // Each answer frees a stream. A request that takes it can leave before the end is noticed; the peer never reads it.
    let lost = tally["CONNECTION_LOST"];
    assert!((2..=4).contains(&lost), "{tally:?}");
    assert_eq!(tally["accepted"], 8 - lost, "{tally:?}");
    for (token, report) in tokens.iter().zip(&sent.reports) {
        let requests = peer.requests(token).len();
        match code(report) {
            "accepted" => assert_eq!(requests, 1, "{token} {report:?}"),
            _ => assert!(requests <= 1, "{token} {report:?}"),
        }
    }
    let read = tokens
        .iter()
        .filter(|token| peer.requests(token).len() == 1);
    assert!(read.count() >= 6);
}

#[tokio::test]
async fn a_message_whose_answer_is_lost_is_in_doubt_and_not_sent_again() {
    for (reply, expected) in [
        (Reply::AcceptThenReset, "RESET"),
        (Reply::AcceptThenTruncate, "RESET"),
        (Reply::AcceptThenDrop, "CONNECTION_LOST"),
        (Reply::Reset, "RESET"),
        (Reply::Drop, "CONNECTION_LOST"),
        (Reply::GoAwayNow, "CONNECTION_LOST"),
        (Reply::Hang, "TIMED_OUT"),
    ] {
        let stand_in = StandIn::playing(Script::default().always("lost", reply.clone()));
        let bench = Bench::of(&stand_in).with(|settings| {
            settings.connections = 1;
            settings.streams = 1;
            settings.answer_timeout = Duration::from_millis(500);
        });
        let sent = bench.send(&["before", "lost", "after"]).await;
        let codes: Vec<&str> = sent.reports.iter().map(code).collect();
        assert_eq!(codes, ["accepted", expected, "accepted"], "{reply:?}");
        assert!(matches!(sent.reports[1].outcome, Outcome::InDoubt { .. }));
        assert_eq!(stand_in.attempts("lost").len(), 1, "{reply:?}");
        accepted_once(&stand_in);
    }
}

/// Sends a message, waits, and sends another one.
async fn send_apart(bench: &Bench) -> Vec<MessageReport> {
    let (client, reports) = bench.connect().await.expect("connected");
    let mut both = jobs([("first", None), ("second", None)].into_iter());
    let second = both.split_off(1);
    let submit = async {
        client.submit_all(both).await;
        tokio::time::sleep(Duration::from_millis(10_500)).await;
        client.submit_all(second).await;
        client.close();
    };
    let (reports, ()) = tokio::join!(collect(reports), submit);
    reports.into_values().collect()
}

#[tokio::test]
async fn an_idle_connection_that_is_alive_is_kept() {
    let stand_in = StandIn::playing(Script::default());
    let reports = send_apart(&Bench::of(&stand_in)).await;
    assert!(reports.iter().all(|report| code(report) == "accepted"));
    let connection = |token| stand_in.attempts(token)[0].connection;
    assert_eq!(connection("first"), connection("second"));
}

#[tokio::test]
async fn an_idle_connection_that_died_costs_no_message() {
    let peer = RawPeer::start(Plan {
        requests: 1,
        answered: 1,
        ending: Ending::Mute,
    });
    let lender = StandIn::playing(Script::default());
    let bench = Bench::of(&lender).with(|settings| settings.base_url = peer.base_url());
    let reports = send_apart(&bench).await;
    assert!(
        reports.iter().all(|report| code(report) == "accepted"),
        "{reports:?}"
    );
    assert_eq!(
        (peer.requests("first"), peer.requests("second")),
        (vec![0], vec![1])
    );
}
