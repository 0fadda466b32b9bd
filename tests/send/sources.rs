//! Tokens from the devices of the source.

use std::time::Duration;

use super::{Office, id, until};
use crate::support::fcm::script::{Reply, Script};
use crate::support::postgres::{Database, Postgres};

/// Devices as `(person, token, updated)`; a token of `-` is NULL.
fn source(devices: &[(u64, &str, &str)]) -> Database {
    let database = Postgres::shared().database("devices");
    for (n, (person, token, updated)) in devices.iter().enumerate() {
        let user = id(*person);
        database.execute(&format!(
            "INSERT INTO users (id) VALUES ('{user}') ON CONFLICT DO NOTHING;
             INSERT INTO devices (user_id, fingerprint, token, updated_at)
             VALUES ('{user}', 'f-{n}', nullif('{token}', '-'), '{updated}')"
        ));
    }
    database
}

fn audience(people: &[u64]) -> String {
    let ids: Vec<String> = people.iter().map(|n| id(*n)).collect();
    format!("user_id\n{}\n", ids.join("\n"))
}

fn office(database: &Database, script: Script) -> Office {
    let mut office = Office::playing(script);
    office.set("DATABASE_URL", database.url());
    office
}

const DEVICES: [(u64, &str, &str); 9] = [
    (0, "old-0", "2025-01-01"),
    (0, "new-0", "2026-01-01"),
    (1, "only-1", "2025-01-01"),
    (1, "-", "2026-01-01"),
    (2, "-", "2026-01-01"),
    (3, "shared", "2026-01-01"),
    (4, "shared", "2026-02-01"),
    (4, "own-4", "2025-01-01"),
    (9, "stranger", "2026-01-01"),
];

#[test]
fn each_recipient_is_sent_to_on_the_device_used_last_and_each_token_once() {
    let database = source(&DEVICES);
    let office = office(&database, Script::default());
    // The last one is in no table.
    office.audience(&audience(&[0, 1, 2, 3, 4, 7]));
    let sent = office.send(&[]);
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    assert_eq!(office.delivered(), ["new-0", "only-1", "shared"]);
    let counts = ["rows", "accepted", "without_token", "skipped"];
    assert_eq!(counts.map(|name| sent.count(name)), [6, 3, 2, 1]);
    // Person 4 registered the token later.
    assert_eq!(sent.outcomes()[3], (&*id(3), "skipped", "token-moved"));
    assert_eq!(sent.outcomes()[4], (&*id(4), "accepted", ""));
}

#[test]
fn with_all_devices_each_gets_the_message_and_is_counted_beside_the_rows() {
    let database = source(&DEVICES);
    let office = office(&database, Script::default());
    office.audience(&audience(&[0, 1, 2, 3, 4]));
    let sent = office.send(&["--all-devices"]);
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    assert_eq!(
        office.delivered(),
        ["new-0", "old-0", "only-1", "own-4", "shared"]
    );
    let counts = [
        "rows",
        "accepted",
        "further_devices",
        "without_token",
        "skipped",
    ];
    assert_eq!(counts.map(|name| sent.count(name)), [5, 5, 2, 1, 1]);
    // Nothing more to send, and the sums are the same.
    let again = office.send(&["--all-devices"]);
    assert_eq!(counts.map(|name| again.count(name)), [5, 5, 2, 1, 1]);
    assert_eq!(again.count("messages"), 0);
    assert_eq!(office.delivered().len(), 5);
}

#[test]
fn many_devices_of_few_people_stay_within_the_claim_window() {
    let tokens: Vec<String> = (0..90).map(|n| format!("d-{n}")).collect();
    let devices: Vec<_> = tokens
        .iter()
        .zip(0..)
        .map(|(token, n)| (n / 9, &**token, "2026-01-01"))
        .collect();
    let database = source(&devices);
    let office = office(&database, Script::default());
    office.audience(&audience(&(0..10).collect::<Vec<_>>()));
    let sent = office.send(&["--all-devices", "--rate", "60"]);
    sent.accepted(0, 90);
    assert_eq!(sent.count("further_devices"), 80);
}

#[test]
fn people_can_be_named_on_the_command_line() {
    let database = source(&DEVICES);
    let office = office(&database, Script::default());
    let users = format!("{}, {}", id(0), id(1));
    let sent = office.send(&["--users", &users, "--layer", "4"]);
    sent.accepted(0, 2);
    assert_eq!(office.delivered(), ["new-0", "only-1"]);
}

#[test]
fn the_source_is_closed_before_the_first_message_leaves() {
    let database = source(&DEVICES);
    let slow = Reply::Slow {
        ms: 1_500,
        then: Box::new(Reply::Accept),
    };
    let office = office(&database, Script::default().always("*", slow));
    office.audience(&audience(&[0, 1]));
    let sending = office.start(&[]);
    until(|| !office.stand_in.attempts("new-0").is_empty());
    let sessions = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND usename = 'reader'",
        database.name
    );
    assert_eq!(database.query(&sessions), [["0"]]);
    let sent = office.sent(office.ended(sending));
    assert_eq!((sent.status(), sent.count("accepted")), (0, 2));
}

#[test]
fn an_unreachable_source_stops_a_send() {
    let mut office = Office::playing(Script::default());
    office.audience(&audience(&[0]));
    let port = crate::support::programs::closed_port();
    office.set(
        "DATABASE_URL",
        format!("postgres://reader:hunter2@127.0.0.1:{port}/shop"),
    );
    let started = std::time::Instant::now();
    let said = office.refused(&["--deadline", "2s"], 5);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(!said.contains("hunter2"), "{said}");
    let mut office = Office::playing(Script::default());
    office.audience(&audience(&[0]));
    office.set("PUSHCTL_CADENCE", "off");
    office.refused(&[], 2);
}
