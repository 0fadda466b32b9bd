//! The answer table through `send`: counts, lists and exit statuses.

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use serde_json::json;

use super::{BOTH, Office, Sent, id, people, tokens};
use crate::support::fcm::script::{Reply, RetryAfter, Script};
use crate::support::postgres::Postgres;

/// A token, its replies one after the other, what is recorded in the end, and the tries.
type Line = (&'static str, Vec<Reply>, (&'static str, &'static str), u32);

/// Returns every answer that ends one message and not the send.
fn table() -> Vec<Line> {
    let (none, second) = (None, Some(RetryAfter::Seconds(1)));
    let internal = |retry_after| Reply::Internal { retry_after };
    let unavailable = |retry_after| Reply::Unavailable { retry_after };
    vec![
        ("fine", vec![], ("accepted", ""), 1),
        (
            "dead",
            vec![Reply::Unregistered],
            ("dead", "UNREGISTERED"),
            1,
        ),
        (
            "bad",
            vec![Reply::InvalidToken],
            ("failed", "INVALID_ARGUMENT"),
            1,
        ),
        (
            "foreign",
            vec![Reply::SenderIdMismatch],
            ("failed", "SENDER_ID_MISMATCH"),
            1,
        ),
        (
            "apns",
            vec![Reply::ThirdPartyAuth],
            ("failed", "THIRD_PARTY_AUTH_ERROR"),
            1,
        ),
        ("expired", vec![Reply::ExpiredToken], ("accepted", ""), 2),
        ("internal", vec![internal(none)], ("accepted", ""), 2),
        (
            "internal-later",
            vec![internal(second)],
            ("accepted", ""),
            2,
        ),
        (
            "unavailable",
            vec![unavailable(none), unavailable(none)],
            ("accepted", ""),
            3,
        ),
        (
            "unavailable-later",
            vec![unavailable(second)],
            ("accepted", ""),
            2,
        ),
        (
            "internal-ever",
            vec![internal(none); 9],
            ("failed", "INTERNAL"),
            4,
        ),
        (
            "unavailable-ever",
            vec![unavailable(none); 9],
            ("failed", "UNAVAILABLE"),
            4,
        ),
        (
            "html-503",
            vec![Reply::Html { status: 503 }],
            ("accepted", ""),
            2,
        ),
        (
            "html-502",
            vec![Reply::Html { status: 502 }],
            ("in_doubt", "HTTP_502"),
            1,
        ),
        (
            "html-200",
            vec![Reply::Html { status: 200 }],
            ("in_doubt", "NO_MESSAGE_NAME"),
            1,
        ),
        ("refused", vec![Reply::Refuse], ("accepted", ""), 2),
        (
            "reset",
            vec![Reply::AcceptThenReset],
            ("in_doubt", "RESET"),
            1,
        ),
        ("cancelled", vec![Reply::Reset], ("in_doubt", "RESET"), 1),
        ("hangs", vec![Reply::Hang], ("in_doubt", "TIMED_OUT"), 1),
    ]
}

#[test]
fn every_answer_about_one_message_is_counted_listed_and_retried_as_documented() {
    for kept in BOTH {
        let script = table()
            .into_iter()
            .fold(Script::default(), |script, (token, replies, ..)| {
                script.on(token, replies)
            });
        let mut office = Office::keeping(kept, script);
        office.set("PUSHCTL_PUSH_ANSWER_TIMEOUT", "2s");
        let mut file = "user_id,token\n".to_owned();
        for (n, (token, ..)) in (0..).zip(table()) {
            let _ = writeln!(file, "{},{token}", id(n));
        }
        office.audience(&file);
        let sent = office.send(&[]);
        assert_eq!(sent.status(), 3, "{}", sent.outcome);
        assert_eq!(sent.summary["ended"], "partial");
        for (n, (token, _, (outcome, code), tries)) in (0..).zip(table()) {
            let row = sent.rows.iter().find(|row| row.user == id(n)).unwrap();
            assert_eq!(
                (&*row.outcome, &*row.code, row.attempts),
                (outcome, code, tries),
                "{token}"
            );
            assert_eq!(
                office.stand_in.attempts(token).len(),
                tries as usize,
                "{token}"
            );
        }
        office.delivered();
        // One new token for all messages whose old token was refused.
        assert_eq!(office.stand_in.token_requests(), 2);
        check_waits(&office);
        dead_list(&office, &sent, &[(id(1), "dead")]);
    }
}

/// Checks that the first wait is 200 ms and doubles, with up to half of it more, and that Retry-After is obeyed.
fn check_waits(office: &Office) {
    let waits = office.stand_in.waits("internal-ever");
    for (wait, least) in waits.iter().zip([200, 400, 800]) {
        let (least, most) = (
            Duration::from_millis(least),
            Duration::from_millis(least * 2 + 400),
        );
        assert!(*wait >= least && *wait < most, "{waits:?}");
    }
    for token in ["internal-later", "unavailable-later"] {
        let waits = office.stand_in.waits(token);
        assert!(waits[0] >= Duration::from_secs(1), "{waits:?}");
    }
}

/// Checks that the list has exactly these tokens, and mode 0600.
fn dead_list(office: &Office, sent: &Sent, expected: &[(String, &str)]) {
    let mut text = "user_id,token\r\n".to_owned();
    for (user, token) in expected {
        let _ = write!(text, "{user},{token}\r\n");
    }
    for (ending, key) in [("csv", "dead_tokens"), ("sql", "dead_tokens_sql")] {
        let path = office.outcomes(&format!("{}.dead-tokens.{ending}", sent.run()));
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let told = sent.summary["files"][key].as_str().unwrap();
        assert!(
            told.ends_with(&format!("{}.dead-tokens.{ending}", sent.run())),
            "{told}"
        );
        if ending == "csv" {
            assert_eq!(std::fs::read_to_string(path).unwrap(), text);
        }
    }
    let left: Vec<_> = std::fs::read_dir(office.outcomes(""))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("partial"))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn phones_that_are_limited_fail_after_their_tries_and_hold_no_other_up() {
    let limited = Reply::Quota { retry_after: None };
    let script = (0..5).fold(Script::default(), |script, n| {
        script.always(&format!("t-{n}"), limited.clone())
    });
    let office = Office::playing(script);
    office.audience(&people(0..200));
    let sent = office.send(&["--rate", "1000"]);
    assert_eq!(sent.status(), 3, "{}", sent.outcome);
    assert_eq!((sent.count("accepted"), sent.count("failed")), (195, 5));
    assert_eq!(sent.summary["failed_by_code"]["QUOTA_EXCEEDED"], 5);
    assert_eq!(office.delivered(), tokens(5..200));
    for n in 0..5 {
        let attempts = office.stand_in.attempts(&format!("t-{n}"));
        assert_eq!(attempts.len(), 4);
        let last = office.stand_in.attempts("t-199")[0].at;
        assert!(last < attempts[3].at);
    }
}

#[test]
fn a_project_that_is_limited_pauses_and_loses_no_message() {
    let limited = Reply::Quota {
        retry_after: Some(RetryAfter::Seconds(1)),
    };
    let script = (0..30).fold(Script::default(), |script, n| {
        script.on(&format!("t-{n}"), [limited.clone()])
    });
    let office = Office::playing(script);
    office.audience(&people(0..200));
    let sent = office.send(&["--rate", "200"]);
    sent.accepted(0, 200);
    assert_eq!(office.delivered(), tokens(0..200));
}

#[test]
fn a_wrong_project_stops_with_status_4_and_declares_nothing_dead() {
    for reply in [
        Reply::NotFound,
        Reply::PermissionDenied,
        Reply::Html { status: 404 },
    ] {
        let office = Office::playing(Script::default().always("*", reply));
        office.audience(&people(0..300));
        let sent = office.send(&["--rate", "100"]);
        assert_eq!(sent.status(), 4, "{}", sent.outcome);
        assert_eq!(sent.summary["ended"], "stopped");
        assert_eq!((sent.count("dead"), sent.count("failed")), (0, 0));
        assert_eq!(sent.count("not_attempted"), 300);
        assert!(sent.summary["files"]["dead_tokens"].is_null());
        assert!(
            sent.outcome.stderr.contains("pushctl resume"),
            "{}",
            sent.outcome
        );
        assert!(office.delivered().is_empty());
    }
}

#[test]
fn resume_sends_the_rest_after_the_project_is_fixed() {
    for kept in BOTH {
        let office = Office::keeping(kept, Script::default().nth("*", 50, Reply::NotFound));
        office.audience(&people(0..300));
        let stopped = office.send(&["--rate", "200"]);
        assert_eq!(stopped.status(), 4, "{}", stopped.outcome);
        assert!(stopped.count("accepted") >= 49 && stopped.count("not_attempted") > 0);
        let sent = office.resume(stopped.run(), &["--rate", "5000"]);
        sent.accepted(0, 300);
        assert_eq!(office.delivered(), tokens(0..300));
    }
}

#[test]
fn a_message_that_the_service_refuses_stops_the_send() {
    let office = Office::playing(Script::default().always("*", Reply::InvalidMessage));
    office.audience(&people(0..300));
    let sent = office.send(&["--rate", "50"]);
    assert_eq!(sent.status(), 2, "{}", sent.outcome);
    assert!(sent.count("not_attempted") > 200, "{}", sent.summary);
    assert_eq!(sent.count("dead"), 0);
    let told = sent.summary["reason"].as_str().unwrap();
    assert!(
        told.contains("the push service rejects the message"),
        "{told}"
    );
}

#[test]
fn many_dead_tokens_stop_a_send_and_an_override_resumes_it() {
    let script = (0..150).fold(Script::default(), |script, n| {
        script.on(&format!("t-{n}"), [Reply::Unregistered])
    });
    let office = Office::playing(script);
    office.audience(&people(0..400));
    let stopped = office.send(&["--rate", "100"]);
    assert_eq!(stopped.status(), 12, "{}", stopped.outcome);
    assert_eq!(stopped.summary["ended"], "refused");
    assert!(
        stopped.summary["reason"]
            .as_str()
            .unwrap()
            .contains("dead tokens")
    );
    let dead = stopped.count("dead");
    assert!((100..=150).contains(&dead), "{dead}");
    let sent = office.resume(stopped.run(), &["--rate", "5000"]);
    assert!(sent.count("dead") >= dead, "{}", sent.summary);
    let list = office.outcomes(&format!("{}.dead-tokens.csv", sent.run()));
    let listed = csv::Reader::from_path(list).unwrap().records().count() as u64;
    assert_eq!(listed, sent.count("dead"));
    let sent = if sent.status() == 12 {
        office.resume(stopped.run(), &[])
    } else {
        sent
    };
    assert_eq!(
        (sent.status(), sent.count("dead")),
        (0, 150),
        "{}",
        sent.outcome
    );
    assert_eq!(office.delivered(), tokens(150..400));
}

#[test]
fn max_failure_rate_stops_a_send() {
    let script = (0..30).fold(Script::default(), |script, n| {
        script.on(&format!("t-{n}"), [Reply::InvalidToken])
    });
    let office = Office::playing(script);
    office.audience(&people(0..300));
    let sent = office.send(&["--max-failure-rate", "0.1", "--rate", "100"]);
    assert_eq!(sent.status(), 12, "{}", sent.outcome);
    assert!(sent.count("not_attempted") > 0);
}

#[test]
fn the_sql_for_dead_tokens_clears_exactly_these() {
    let database = Postgres::shared().database("dead");
    let odd = "it's; DROP TABLE devices; --\\";
    let mut file = "user_id,token\n".to_owned();
    for (n, token) in ["alive", "gone-1", odd, "wrong", "gone-2"]
        .iter()
        .enumerate()
    {
        let user = id(n as u64);
        database.execute(&format!(
            "INSERT INTO users (id) VALUES ('{user}');
             INSERT INTO devices (user_id, fingerprint, token, updated_at)
                 VALUES ('{user}', 'a', $t${token}$t$, '2026-01-01'), ('{user}', 'b', 'other-{n}', '2025-01-01')"
        ));
        let _ = writeln!(file, "{user},\"{token}\"");
    }
    let script = Script::default()
        .always("gone-*", Reply::Unregistered)
        .always("it's*", Reply::Unregistered)
        .always("wrong", Reply::SenderIdMismatch);
    let office = Office::playing(script);
    office.audience(&file);
    let sent = office.send(&[]);
    assert_eq!(
        (sent.status(), sent.count("dead")),
        (3, 3),
        "{}",
        sent.outcome
    );
    dead_list(
        &office,
        &sent,
        &[(id(1), "gone-1"), (id(2), odd), (id(4), "gone-2")],
    );
    let sql = office.outcomes(&format!("{}.dead-tokens.sql", sent.run()));
    database.execute(&std::fs::read_to_string(sql).unwrap());
    let left = database.query("SELECT token FROM devices WHERE token IS NOT NULL ORDER BY token");
    let expected = [
        "alive", "other-0", "other-1", "other-2", "other-3", "other-4", "wrong",
    ];
    assert_eq!(left.concat(), expected);
    let cleared = database.query("SELECT count(*) FROM devices WHERE token IS NULL");
    assert_eq!(cleared, [["3"]]);
    assert_eq!(
        sent.summary["failed_by_code"],
        json!({"SENDER_ID_MISMATCH": 1})
    );
}

#[test]
fn closed_connections_lose_no_message_and_repeat_none() {
    let script = Script::default()
        .nth("*", 100, Reply::GoAway)
        .nth("*", 200, Reply::GoAwayNow)
        .nth("*", 300, Reply::AcceptThenDrop);
    let office = Office::playing(script);
    office.audience(&people(0..600));
    let sent = office.send(&[]);
    assert!([0, 3].contains(&sent.status()), "{}", sent.outcome);
    assert_eq!(
        sent.count("accepted") + sent.count("in_doubt"),
        600,
        "{}",
        sent.summary
    );
    let delivered = office.delivered();
    for row in sent.rows.iter().filter(|row| row.outcome == "accepted") {
        let n = (0..600).find(|n| id(*n) == row.user).unwrap();
        assert!(
            delivered.binary_search(&format!("t-{n}")).is_ok(),
            "{row:?}"
        );
    }
    assert!(delivered.len() as u64 >= sent.count("accepted"));
}
