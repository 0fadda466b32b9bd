//! The notification history before, during and after a send.

use std::fmt::Write as _;

use serde_json::json;

use super::{BOTH, Office, id, people, tokens, until};
use crate::cadence::history;
use crate::support::cadence::{Mood, Service};
use crate::support::fcm::script::{Reply, Script};
use crate::support::postgres::Database;
use crate::support::programs::closed_port;

fn url(database: &Database) -> String {
    database.url_with("tls_only", "sslmode=require")
}

/// Records a push to a person, the given hours ago.
fn had(database: &Database, person: u64, layer: u32, hours: u32) {
    database.execute(&format!(
        "INSERT INTO user_notifications (id, user_id, layer_id, sent_at)
         VALUES (gen_random_uuid(), '{}', {layer}, now() - interval '{hours} hours')",
        id(person)
    ));
}

fn recorded(database: &Database) -> Vec<Vec<String>> {
    database.query(
        "SELECT user_id, layer_id, push_title, push_body, audience_description, coalesce(deep_link, '-')
         FROM user_notifications WHERE push_title IS NOT NULL ORDER BY user_id",
    )
}

#[test]
fn an_unreachable_history_stops_a_send_unless_cadence_failure_is_send() {
    let mut office = Office::playing(Script::default());
    office.set(
        "PUSH_CADENCE_DATABASE_URL",
        format!(
            "postgres://tls_only:hunter2@127.0.0.1:{}/history?sslmode=disable",
            closed_port()
        ),
    );
    office.audience(&people(0..3));
    let aborting = office.start(&["--layer", "3", "--deadline", "4s"]);
    let sending = office.start(&[
        "--layer",
        "3",
        "--occurrence",
        "anyway",
        "--cadence-failure",
        "send",
    ]);
    let outcome = office.ended(aborting);
    assert_eq!(outcome.status, 5, "{outcome}");
    outcome.says("the notification history does not answer, so no message is sent");
    outcome.says("--cadence-failure send");
    let sent = office.sent(office.ended(sending));
    sent.accepted(0, 3);
    let notes = sent.summary["notes"].to_string();
    assert!(
        notes.contains("the notification history does not answer"),
        "{notes}"
    );
    assert!(
        notes.contains("not recorded in the notification history yet: 3 pushes"),
        "{notes}"
    );
    assert!(!notes.contains("hunter2"));
    // Only the second one's.
    assert_eq!(office.delivered(), tokens(0..3));
}

#[test]
fn pushes_that_an_unreachable_history_missed_are_recorded_by_the_next_send() {
    for kept in BOTH {
        let database = history();
        let slow = Reply::Slow {
            ms: 2_000,
            then: Box::new(Reply::Accept),
        };
        let mut office = Office::keeping(kept, Script::default().on("t-0", [slow]));
        office.set("PUSH_CADENCE_DATABASE_URL", url(&database));
        office.audience(&people(0..3));
        let arguments = [
            "--layer",
            "3",
            "--body",
            "Hi [[var:name]]",
            "--deep-link",
            "https://tradeblock.us/x",
        ];
        let sending = office.start(&arguments);
        until(|| !office.stand_in.attempts("t-0").is_empty());
        database.execute("ALTER TABLE user_notifications RENAME TO away");
        let sent = office.sent(office.ended(sending));
        sent.accepted(0, 3);
        let notes = sent.summary["notes"].to_string();
        assert!(
            notes.contains("not recorded in the notification history yet: 3 pushes")
                && notes.contains("pushctl sync"),
            "{notes}"
        );
        database.execute("ALTER TABLE away RENAME TO user_notifications");
        assert_eq!(recorded(&database).len(), 0);
        // Pushes not recorded there yet count: no recipient gets a second one of layer 3.
        office.audience(&people(2..5));
        let sent = office.send(&arguments);
        assert_eq!(
            (sent.count("accepted"), sent.count("excluded")),
            (2, 1),
            "{}",
            sent.outcome
        );
        let expected: Vec<Vec<String>> = (0..5)
            .map(|n| {
                [
                    &*id(n),
                    "3",
                    "Hello",
                    &format!("Hi Ana {n}"),
                    "a",
                    "https://tradeblock.us/x",
                ]
                .map(str::to_owned)
                .to_vec()
            })
            .collect();
        assert_eq!(recorded(&database), expected);
        assert_eq!(office.send(&arguments).count("messages"), 0);
        assert_eq!(recorded(&database).len(), 5);
    }
}

#[test]
fn excluded_recipients_are_counted_by_rule_in_either_place() {
    let database = history();
    had(&database, 0, 3, 10);
    for hours in [1, 2, 3] {
        had(&database, 1, 2, hours);
    }
    had(&database, 2, 3, 100);
    had(&database, 3, 5, 1);
    let mut office = Office::playing(Script::default());
    office.set("PUSH_CADENCE_DATABASE_URL", url(&database));
    let file = people(0..5) + "no-uuid,Zed,t-9\n";
    office.audience(&file);
    let sent = office.send(&["--layer", "3"]);
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    assert_eq!(
        sent.summary["excluded_by_rule"],
        json!({"invalidUuid": 1, "l2l3WeeklyLimit": 1, "l3Cooldown": 1})
    );
    assert_eq!(sent.summary["cadence"], "postgres");
    assert_eq!(office.delivered(), tokens(2..5));
    // Every rule holds for layer 5 only after its own; layers 1 and 4 pass by all of them.
    let sent = office.send(&["--layer", "5"]);
    assert_eq!(
        sent.summary["excluded_by_rule"],
        json!({"invalidUuid": 1, "l2l3WeeklyLimit": 1, "l5Cooldown": 1})
    );
    let sent = office.send(&["--layer", "4", "--body", "Another"]);
    assert_eq!(sent.count("accepted"), 5, "{}", sent.summary);
    // The store's own history holds the same rules.
    let office = Office::playing(Script::default());
    office.audience(&file);
    assert_eq!(office.send(&["--layer", "3"]).count("accepted"), 5);
    let sent = office.send(&["--layer", "3", "--body", "Another"]);
    assert_eq!(
        sent.summary["excluded_by_rule"],
        json!({"invalidUuid": 1, "l3Cooldown": 5})
    );
    assert_eq!(sent.summary["cadence"], "embedded");
    // `--cadence off` excludes no recipient, and a note says so.
    let sent = office.send(&["--layer", "3", "--body", "Another one", "--cadence", "off"]);
    assert_eq!(sent.count("accepted"), 6, "{}", sent.summary);
    assert!(sent.summary["notes"].to_string().contains("cadence is off"));
}

#[test]
fn two_sends_at_once_leave_the_last_free_place_to_one_of_them() {
    for kept in BOTH {
        for embedded in [true, false] {
            let mut office = Office::keeping(kept, Script::default());
            office.audience(&people(0..40));
            let elsewhere = (!embedded).then(history);
            if let Some(database) = &elsewhere {
                office.set("PUSH_CADENCE_DATABASE_URL", url(database));
                for n in 0..40 {
                    had(database, n, 2, 5);
                    had(database, n, 3, 100);
                }
            } else {
                for body in ["one", "two"] {
                    assert_eq!(
                        office
                            .send(&["--layer", "2", "--body", body])
                            .count("accepted"),
                        40
                    );
                }
            }
            let before = office.stand_in.accepted().len();
            let both =
                ["three", "four"].map(|body| office.start(&["--layer", "2", "--body", body]));
            let sent = both.map(|child| office.sent(office.ended(child)));
            let accepted: u64 = sent.iter().map(|one| one.count("accepted")).sum();
            let excluded: u64 = sent.iter().map(|one| one.count("excluded")).sum();
            assert_eq!(
                (accepted, excluded),
                (40, 40),
                "{:#}\n{:#}",
                sent[0].summary,
                sent[1].summary
            );
            let mut reached: Vec<_> = office.stand_in.accepted()[before..]
                .iter()
                .map(|one| one.token.clone())
                .collect();
            reached.sort_unstable();
            assert_eq!(reached, tokens(0..40));
        }
    }
}

#[test]
fn the_existing_service_is_asked_and_records_pushes() {
    let service = Service::start([(id(1), "l3Cooldown"), (id(2), "l2l3WeeklyLimit")]);
    let mut office = Office::playing(Script::default());
    office.set("CADENCE_SERVICE_URL", service.url());
    let mut file = people(0..4);
    let _ = writeln!(file, "no-uuid,Zed,t-9");
    office.audience(&file);
    let sent = office.send(&["--layer", "3", "--body", "Hi [[var:name]]"]);
    sent.accepted(0, 2);
    // It reports counts by rule, and not the recipients.
    assert_eq!(
        sent.summary["excluded_by_rule"],
        json!({"invalidUuid": 1, "cadence": 2})
    );
    let notes = sent.summary["notes"].to_string();
    assert!(notes.contains("l3Cooldown 1, l2l3WeeklyLimit 1"), "{notes}");
    let mut tracked = service.tracked();
    tracked.sort_by_key(|one| one["userId"].to_string());
    assert_eq!(
        tracked[1],
        json!({"userId": id(3), "layerId": 3, "pushTitle": "Hello", "pushBody": "Hi Ana 3", "audienceDescription": "a"})
    );
    assert_eq!(tracked.len(), 2);
    // An answer of a failed service, with every user eligible, does not count.
    service.next([Mood::FailsOpen; 20]);
    office.audience(&people(5..8));
    let sent = office.send(&["--layer", "3", "--deadline", "4s"]);
    assert_ne!(sent.status(), 0, "{}", sent.outcome);
    assert_eq!(
        (sent.count("accepted"), sent.count("not_attempted")),
        (0, 3),
        "{}",
        sent.summary
    );
    service.next([]);
    let sent = office.resume(sent.run(), &[]);
    assert_eq!(sent.count("accepted"), 3, "{}", sent.outcome);
    assert_eq!(service.tracked().len(), 5);
}
