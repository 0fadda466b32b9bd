//! Guards during a send: mostly bad answers, and user ids that are not UUIDs.

use std::fmt::Write as _;

use serde_json::json;

use super::{BOTH, Office, Sent, id, people, tokens};
use crate::support::fcm::script::{Reply, Script};

const ROWS: u64 = 8_000;
/// Answers that the first conclusion is drawn from, and messages that may be under way until then.
const SAMPLE: u64 = 100;
const OPEN: u64 = 150;
/// Streams of every connection together: what may be under way when a later conclusion is drawn.
const STREAMS: u64 = 800;

/// People whose tokens say whether they are good.
fn file(is_bad: impl Fn(u64) -> bool) -> String {
    let mut text = "user_id,token\n".to_owned();
    for n in 0..ROWS {
        let kind = if is_bad(n) { "bad" } else { "good" };
        let _ = writeln!(text, "{},{kind}-{n}", id(n));
    }
    text
}

/// Checks that the send stopped, with the counts, the most frequent code, and the hints.
fn stopped(sent: &Sent, which: &str, code: &str) {
    assert_eq!(sent.status(), 12, "{}", sent.outcome);
    assert_eq!(sent.summary["ended"], "refused");
    let reason = sent.summary["reason"].as_str().unwrap();
    for part in [which, &format!("most often {code} (")] {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    for hint in [
        format!("`pushctl resume {}` sends the rest", sent.run()),
        "--override failures".to_owned(),
    ] {
        assert!(sent.outcome.stderr.contains(&hint), "{}", sent.outcome);
    }
}

#[test]
fn a_send_whose_first_answers_are_all_bad_stops_after_a_hundred_of_them() {
    for (reply, code) in [
        (Reply::Html { status: 502 }, "HTTP_502"),
        (Reply::AcceptThenReset, "RESET"),
        (Reply::Reset, "RESET"),
        (Reply::InvalidToken, "INVALID_ARGUMENT"),
    ] {
        let office = Office::playing(Script::default().always("*", reply));
        office.audience(&people(0..ROWS));
        let sent = office.send(&[]);
        stopped(&sent, "of the first 100 messages", code);
        let requests = office.stand_in.requests().len() as u64;
        assert!((SAMPLE..=OPEN).contains(&requests), "{code}: {requests}");
        assert_eq!(sent.count("not_attempted"), ROWS - requests, "{code}");
    }
}

#[test]
fn resume_sends_the_rest_once_the_cause_is_fixed() {
    for kept in BOTH {
        let mut script = Script::default().always("*", Reply::Html { status: 502 });
        script.rules[0].times = Some(120);
        let office = Office::keeping(kept, script);
        office.audience(&people(0..2_000));
        let sent = office.send(&[]);
        stopped(&sent, "of the first 100 messages", "HTTP_502");
        let rest = office.resume(sent.run(), &[]);
        assert_eq!(rest.status(), 3, "{}", rest.outcome);
        assert_eq!(
            (rest.count("in_doubt"), rest.count("accepted")),
            (120, 1_880),
            "{}",
            rest.summary
        );
        assert_eq!(office.delivered().len(), 1_880);
    }
}

#[test]
fn a_bad_half_stops_the_send_wherever_it_stands() {
    for (is_late, which) in [(false, "of the first 100"), (true, "of the last 100")] {
        let script = Script::default().always("bad-*", Reply::Html { status: 502 });
        let office = Office::playing(script);
        office.audience(&file(|n| (n >= ROWS / 2) == is_late));
        let sent = office.send(&[]);
        stopped(&sent, which, "HTTP_502");
        let good = office.delivered().len() as u64;
        let bad = office.stand_in.requests().len() as u64 - good;
        let (fewest, most) = if is_late {
            (51, SAMPLE + STREAMS)
        } else {
            (SAMPLE, OPEN)
        };
        assert!((fewest..=most).contains(&bad), "{bad}");
        assert_eq!(good, if is_late { ROWS / 2 } else { 0 });
        assert_eq!(sent.count("in_doubt"), bad);
    }
}

#[test]
fn a_third_that_fails_throughout_stops_nothing_unless_less_is_allowed() {
    let script = || Script::default().always("bad-*", Reply::InvalidToken);
    let office = Office::playing(script());
    office.audience(&file(|n| n % 3 == 0));
    let sent = office.send(&[]);
    assert_eq!(sent.status(), 3, "{}", sent.outcome);
    assert_eq!(sent.count("failed"), ROWS.div_ceil(3));
    let office = Office::playing(script());
    office.audience(&file(|n| n % 3 == 0));
    let sent = office.send(&["--max-failure-rate", "0.1"]);
    stopped(
        &sent,
        "more than the 10.0 % that are allowed",
        "INVALID_ARGUMENT",
    );
}

#[test]
fn a_small_audience_is_judged_by_half_of_it_and_a_handful_is_sent() {
    let bad = || Script::default().always("*", Reply::Html { status: 502 });
    let office = Office::playing(bad());
    office.audience(&people(0..60));
    let sent = office.send(&[]);
    stopped(&sent, "of the first 30 messages", "HTTP_502");
    assert!(sent.count("not_attempted") >= 15, "{}", sent.summary);
    let office = Office::playing(bad());
    office.audience(&people(0..19));
    let sent = office.send(&[]);
    assert_eq!((sent.status(), sent.count("in_doubt")), (3, 19));
}

/// Checks that nothing was claimed or sent, and that no run was recorded.
fn nothing_happened(office: &Office) {
    assert_eq!(office.stand_in.requests().len(), 0);
    let runs = office.run(&["runs", "--json"]).json();
    assert_eq!(runs["runs"], json!([]));
}

#[test]
fn an_audience_without_a_valid_user_id_is_an_error_of_the_file() {
    for kept in BOTH {
        let office = Office::keeping(kept, Script::default());
        office.audience("name,id,token\nAna,1001,t-0\nBob,1002,t-1\n");
        for more in [&[][..], &["--dry-run"], &["--layer", "4"]] {
            let told = office.refused(more, 2);
            for part in ["a.csv", "column \"id\"", "line 2: \"1001\"", "UUID"] {
                assert!(told.contains(part), "{part}: {told}");
            }
        }
        nothing_happened(&office);
        // Without a history an id is only an id.
        let sent = office.send(&["--cadence", "off"]);
        assert_eq!((sent.status(), sent.count("accepted")), (0, 2));
        assert_eq!(office.delivered(), tokens(0..2));
    }
}

#[test]
fn some_invalid_user_ids_are_counted_and_noted() {
    let office = Office::playing(Script::default());
    office.audience(&(people(0..3) + "1001,Zed,t-9\n1002,Yen,t-8\n"));
    let dry = office.send(&["--dry-run"]);
    assert!(dry.summary["notes"].to_string().contains("2 of 5 user ids"));
    let sent = office.send(&[]);
    assert_eq!((sent.status(), sent.count("accepted")), (0, 3));
    assert_eq!(sent.summary["excluded_by_rule"], json!({"invalidUuid": 2}));
    let notes = sent.summary["notes"].to_string();
    for part in ["2 of 5 user ids", "1001", "line 5"] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    assert_eq!(office.delivered(), tokens(0..3));
}
