//! The rate of messages, measured by the stand-in.

use std::time::Duration;

use super::{Bench, accepted_once, tokens};
use crate::support::fcm::StandIn;
use crate::support::fcm::script::{Reply, RetryAfter, Script};

/// Returns the time between the first attempts of the first message and of the last one.
fn time_to_send(stand_in: &StandIn, tokens: &[String]) -> Duration {
    let sent = |token: &String| stand_in.attempts(token)[0].at;
    tokens.iter().map(sent).max().expect("sent") - sent(&tokens[0])
}

#[tokio::test]
async fn messages_are_not_sent_faster_than_the_rate_limit() {
    let stand_in = StandIn::playing(Script::default());
    let bench = Bench::of(&stand_in).with(|settings| settings.rate = 100);
    let tokens = tokens("t", 101);
    let sent = bench.send(&tokens).await;
    assert_eq!(sent.accepted(), 101);
    let took = time_to_send(&stand_in, &tokens);
    assert!(took >= Duration::from_millis(950), "{took:?}");
}

#[tokio::test]
async fn a_large_send_starts_slowly() {
    let stand_in = StandIn::playing(Script::default());
    let bench = Bench::of(&stand_in).with(|settings| {
        settings.rate = 1_000;
        settings.expected = Some(10_001);
        settings.ramp = Duration::from_secs(10);
    });
    // It starts with 100 a second; without the ramp these would take a fifth of a second.
    let tokens = tokens("t", 200);
    bench.send(&tokens).await;
    let took = time_to_send(&stand_in, &tokens);
    assert!(took >= Duration::from_millis(900), "{took:?}");
}

#[tokio::test]
async fn a_burst_of_429_causes_one_pause_and_then_every_message_is_accepted_once() {
    let late = Reply::Slow {
        ms: 1_000,
        then: Box::new(Reply::Quota {
            retry_after: Some(RetryAfter::Seconds(1)),
        }),
    };
    let stand_in = StandIn::playing(Script::default().on("busy-*", [late]));
    let bench = Bench::of(&stand_in).with(|settings| settings.rate = 100_000);
    let sent = bench.send_warm(&tokens("busy", 60)).await;
    assert_eq!(sent.accepted(), 60);
    assert_eq!(accepted_once(&stand_in).len(), 61);
    assert!(sent.reports.iter().all(|report| report.attempts == 2));
    // All sixty were in flight together, so the rate was halved once, not sixty times.
    let rate = sent.client.progress().rate;
    assert!((50_000.0..60_000.0).contains(&rate), "{rate}");
}
