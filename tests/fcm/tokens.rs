//! Bearer tokens: fetched once for all connections and replaced in time; and what happens when none can be fetched.

use pushctl::error::ErrorKind;
use std::time::{Duration, Instant};

use pushctl::fcm::HaltCause;

use super::{Bench, accepted_once, tokens};
use crate::support::fcm::script::{Reply, Script};
use crate::support::fcm::{Options, StandIn};

#[tokio::test]
async fn a_token_that_expires_during_a_send_is_replaced_once_for_all_messages() {
    // All hundred are in flight before the first of them finds its token expired.
    let late = Reply::Slow {
        ms: 1_000,
        then: Box::new(Reply::ExpiredToken),
    };
    let stand_in = StandIn::start(&Options {
        script: Script::default().on("t-*", [late]),
        token_delay: Duration::from_millis(200),
        ..Options::default()
    })
    .expect("started");
    let sent = Bench::of(&stand_in).send_warm(&tokens("t", 100)).await;
    assert_eq!(sent.accepted(), 100);
    assert_eq!(accepted_once(&stand_in).len(), 101);
    assert_eq!(
        stand_in.token_requests(),
        2,
        "one at the start, one for all"
    );
    assert!(sent.reports.iter().all(|report| report.attempts == 2));
}

#[tokio::test]
async fn a_token_is_replaced_before_it_expires() {
    let stand_in = StandIn::start(&Options {
        token_lifetime: Duration::from_secs(2),
        ..Options::default()
    })
    .expect("started");
    let slowly = Bench::of(&stand_in).with(|settings| settings.rate = 20);
    let sent = slowly.send(&tokens("t", 90)).await;
    assert_eq!(sent.accepted(), 90);
    assert_eq!(stand_in.refused(), 0, "no message met an expired token");
    assert!(
        (3..=5).contains(&stand_in.token_requests()),
        "{}",
        stand_in.token_requests()
    );
}

#[tokio::test]
async fn a_new_token_that_is_rejected_too_stops_the_send() {
    let stand_in = StandIn::playing(Script::default().always("*", Reply::ExpiredToken));
    let sent = Bench::of(&stand_in).send(&tokens("t", 50)).await;
    assert_eq!(sent.tally(), [("STOPPED", 50)].into());
    let halt = sent.client.halted().expect("halted");
    assert_eq!(halt.cause, HaltCause::Credentials);
    assert!(sent.reports.iter().all(|report| report.attempts <= 2));
}

#[tokio::test]
async fn a_rejected_account_is_not_tried_again() {
    for status in [400, 401, 403] {
        let stand_in = StandIn::start(&Options {
            token_refusal: Some(status),
            ..Options::default()
        })
        .expect("started");
        let error = Bench::of(&stand_in).connect().await.err().expect("refused");
        assert_eq!(error.kind(), ErrorKind::Credentials, "{error:#}");
        assert!(
            format!("{error:#}").contains("pushctl@example-project"),
            "{error:#}"
        );
        assert_eq!(stand_in.token_requests(), 1);
    }
}

#[tokio::test]
async fn a_failing_token_endpoint_is_retried_until_the_patience_ends() {
    let stand_in = StandIn::start(&Options {
        token_refusal: Some(503),
        ..Options::default()
    })
    .expect("started");
    let started = Instant::now();
    let bench = Bench::of(&stand_in).with(|settings| settings.patience = Duration::from_secs(2));
    let error = bench.connect().await.err().expect("unreachable");
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error:#}");
    assert_eq!(
        stand_in.token_requests(),
        3,
        "at once, after half a second, after another second"
    );
    assert!(started.elapsed() >= Duration::from_millis(1_500));
}

#[tokio::test]
async fn no_secret_is_in_an_error_or_in_a_debug_output() {
    let stand_in = StandIn::start(&Options {
        token_refusal: Some(400),
        ..Options::default()
    })
    .expect("started");
    let error = Bench::of(&stand_in).connect().await.err().expect("refused");
    let said = format!("{error:?} {error:#} {:?}", super::account());
    for secret in ["PRIVATE KEY", "eyJ", "ya29", "MII"] {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
}
