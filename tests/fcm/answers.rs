//! What happens for each class of answer.

use pushctl::error::ErrorKind;
use std::time::Duration;

use pushctl::fcm::{HaltCause, Outcome, Platform};
use serde_json::json;

use super::{Bench, accepted_once, code, tokens};
use crate::support::fcm::StandIn;
use crate::support::fcm::script::{Reply, RetryAfter, Script};

const MS: Duration = Duration::from_millis(1);

#[tokio::test]
async fn an_accepted_message_is_recorded_with_the_name_from_the_service() {
    let stand_in = StandIn::playing(Script::default());
    let sent = Bench::of(&stand_in).send(&["t:1"]).await;
    let accepted = stand_in.accepted();
    assert_eq!(
        sent.reports[0].outcome,
        Outcome::Accepted {
            name: accepted[0].name.clone()
        }
    );
    assert_eq!(sent.reports[0].attempts, 1);
    assert_eq!(
        stand_in.attempts("t:1")[0].message["message"],
        json!({
            "token": "t:1",
            "notification": { "title": "Hi Ana", "body": "Someone wants your shoes" },
            "data": {
                "click_action": "https://tradeblock.us/closet",
                "url": "https://tradeblock.us/closet",
                "kind": "layer2",
            },
            "android": { "collapse_key": "run-1", "notification": { "tag": "run-1" } },
            "apns": { "headers": { "apns-collapse-id": "run-1" } },
        })
    );
    assert_eq!(stand_in.refused(), 0);
}

#[tokio::test]
async fn an_error_about_one_token_is_recorded_and_never_retried() {
    for (reply, expected) in [
        (Reply::Unregistered, "UNREGISTERED"),
        (Reply::InvalidToken, "INVALID_ARGUMENT"),
        (Reply::SenderIdMismatch, "SENDER_ID_MISMATCH"),
        (Reply::ThirdPartyAuth, "THIRD_PARTY_AUTH_ERROR"),
    ] {
        let dead = reply == Reply::Unregistered;
        let stand_in = StandIn::playing(Script::default().always("bad", reply));
        let sent = Bench::of(&stand_in)
            .send(&["good-0", "bad", "good-1"])
            .await;
        assert_eq!(code(&sent.reports[1]), expected);
        assert_eq!(sent.reports[1].outcome == Outcome::Dead, dead, "{expected}");
        assert_eq!(stand_in.attempts("bad").len(), 1, "{expected}");
        assert_eq!(accepted_once(&stand_in), ["good-0", "good-1"]);
        assert_eq!(sent.client.halted(), None);
    }
}

#[tokio::test]
async fn an_error_about_the_message_stops_the_send() {
    let stand_in = StandIn::playing(Script::default().nth("*", 3, Reply::InvalidMessage));
    let one_by_one = Bench::of(&stand_in).with(|settings| {
        settings.connections = 1;
        settings.streams = 1;
    });
    let sent = one_by_one.send(&tokens("t", 6)).await;
    let codes: Vec<&str> = sent.reports.iter().map(code).collect();
    assert_eq!(
        codes,
        [
            "accepted",
            "accepted",
            "INVALID_ARGUMENT",
            "STOPPED",
            "STOPPED",
            "STOPPED"
        ]
    );
    let halt = sent.client.halted().expect("halted");
    assert_eq!(halt.cause, HaltCause::BadMessage);
    assert!(
        halt.reason.contains("message.notification.title"),
        "{}",
        halt.reason
    );
    assert_eq!(accepted_once(&stand_in).len(), 2);
}

#[tokio::test]
async fn a_bad_certificate_stops_only_its_platform() {
    let stand_in = StandIn::playing(Script::default().always("apple-0", Reply::ThirdPartyAuth));
    let one_by_one = Bench::of(&stand_in).with(|settings| {
        settings.connections = 1;
        settings.streams = 1;
    });
    let to = [
        ("apple-0", Some(Platform::Apple)),
        ("apple-1", Some(Platform::Apple)),
        ("android-0", Some(Platform::Android)),
        ("unknown-0", None),
        ("apple-2", Some(Platform::Apple)),
    ];
    let sent = one_by_one.send_to(to.into_iter()).await;
    let codes: Vec<&str> = sent.reports.iter().map(code).collect();
    assert_eq!(
        codes,
        [
            "THIRD_PARTY_AUTH_ERROR",
            "PLATFORM_STOPPED",
            "accepted",
            "accepted",
            "PLATFORM_STOPPED"
        ]
    );
    assert_eq!(accepted_once(&stand_in), ["android-0", "unknown-0"]);
}

#[tokio::test]
async fn an_error_without_a_token_stops_the_send_and_declares_no_token_dead() {
    for reply in [
        Reply::PermissionDenied,
        Reply::NotFound,
        Reply::Html { status: 404 },
        Reply::Html { status: 403 },
    ] {
        let stand_in = StandIn::playing(Script::default().always("*", reply.clone()));
        let sent = Bench::of(&stand_in).send(&tokens("t", 250)).await;
        assert_eq!(sent.tally(), [("STOPPED", 250)].into(), "{reply:?}");
        let halt = sent.client.halted().expect("halted");
        assert_eq!(halt.error().kind(), ErrorKind::Credentials);
        assert_eq!(halt.error().kind(), pushctl::error::ErrorKind::Credentials);
        assert_eq!(accepted_once(&stand_in), [""; 0]);
    }
}

#[tokio::test]
async fn a_429_sets_its_recipient_aside_for_its_retry_after_and_no_other() {
    for (retry_after, least) in [
        (Some(RetryAfter::Seconds(1)), 1_000),
        // A date has whole seconds, so up to one second is lost.
        (Some(RetryAfter::Date(2)), 1_000),
        (None, 100),
    ] {
        let stand_in =
            StandIn::playing(Script::default().on("slow-down", [Reply::Quota { retry_after }]));
        let one_by_one = Bench::of(&stand_in).with(|settings| {
            settings.connections = 1;
            settings.streams = 1;
        });
        let sent = one_by_one.send(&["before", "slow-down", "other"]).await;
        assert_eq!(sent.accepted(), 3);
        assert_eq!(sent.reports[1].attempts, 2);
        let asked = stand_in.attempts("slow-down")[0].at;
        let again = stand_in.attempts("slow-down")[1].at;
        assert!(
            again - asked >= least * MS,
            "{:?} after {retry_after:?}",
            again - asked
        );
        assert!(stand_in.attempts("other")[0].at < again);
        assert!(sent.client.progress().rate > 4_000.0, "the rate was cut");
        assert_eq!(accepted_once(&stand_in).len(), 3);
    }
}

#[tokio::test]
async fn a_server_error_is_retried_a_few_times_with_waits_that_double() {
    for (reply, failed) in [
        (Reply::Internal { retry_after: None }, "INTERNAL"),
        (Reply::Unavailable { retry_after: None }, "UNAVAILABLE"),
        (Reply::Html { status: 503 }, "UNAVAILABLE"),
    ] {
        let script = Script::default()
            .always("never", reply.clone())
            .on("at-last", [reply.clone(), reply]);
        let stand_in = StandIn::playing(script);
        let sent = Bench::of(&stand_in)
            .send(&["never", "at-last", "other"])
            .await;
        assert_eq!(code(&sent.reports[0]), failed);
        assert_eq!(sent.reports[0].attempts, 4);
        let waits = stand_in.waits("never");
        assert_eq!(waits.len(), 3);
        for (wait, least) in waits.iter().zip([100, 200, 400]) {
            assert!(*wait >= least * MS, "{waits:?}");
        }
        assert_eq!(code(&sent.reports[1]), "accepted");
        assert_eq!(sent.reports[1].attempts, 3);
        assert_eq!(sent.reports[2].attempts, 1);
        assert_eq!(accepted_once(&stand_in), ["at-last", "other"]);
    }
}

#[tokio::test]
async fn a_server_error_with_retry_after_is_retried_after_that_time() {
    let reply = Reply::Unavailable {
        retry_after: Some(RetryAfter::Seconds(1)),
    };
    let stand_in = StandIn::playing(Script::default().on("t", [reply]));
    let sent = Bench::of(&stand_in).send(&["t", "other"]).await;
    assert_eq!(sent.accepted(), 2);
    assert!(stand_in.waits("t")[0] >= 1_000 * MS);
    // An error for one message does not pause the others.
    let (first, other) = (stand_in.attempts("t"), stand_in.attempts("other"));
    assert!(other[0].at < first[1].at);
}

#[tokio::test]
async fn an_unclear_answer_leaves_the_message_in_doubt() {
    for (status, expected) in [
        (200, "NO_MESSAGE_NAME"),
        (502, "HTTP_502"),
        (504, "HTTP_504"),
    ] {
        let stand_in = StandIn::playing(Script::default().always("odd", Reply::Html { status }));
        let sent = Bench::of(&stand_in).send(&["odd", "good"]).await;
        assert!(
            matches!(sent.reports[0].outcome, Outcome::InDoubt { .. }),
            "{status}"
        );
        assert_eq!(code(&sent.reports[0]), expected);
        assert_eq!(stand_in.attempts("odd").len(), 1);
        assert_eq!(code(&sent.reports[1]), "accepted");
    }
}
