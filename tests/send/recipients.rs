//! Recipients by the source: the account is not deleted, and the token is registered to them.

use super::{BOTH, Kept, Office, Sent, id, until};
use crate::support::fcm::script::{Reply, Script};
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::{Database, Postgres, at_port};

/// People by number, and whether their account is deleted.
fn people(database: &Database, people: &[(u64, bool)]) {
    for (n, deleted) in people {
        let deleted = u8::from(*deleted);
        database.execute(&format!(
            "INSERT INTO users (id, deleted_at) VALUES ('{}', {deleted})",
            id(*n)
        ));
    }
}

/// A registration of a token.
fn device(database: &Database, person: u64, token: &str, updated: &str) {
    database.execute(&format!(
        "INSERT INTO devices (user_id, fingerprint, token, updated_at)
         VALUES ('{}', md5(random()::text), '{token}', '{updated}')",
        id(person)
    ));
}

/// Returns a source with every kind of ineligible recipient.
fn market() -> Database {
    let database = Postgres::shared().database("recipients");
    people(
        &database,
        &[
            (0, false),
            (1, true),
            (2, false),
            (3, false),
            (4, false),
            (5, true),
        ],
    );
    device(&database, 0, "own-0", "2026-01-01");
    device(&database, 1, "own-1", "2026-01-01");
    // Handed down: 3 has it now.
    device(&database, 2, "handed-down", "2026-01-01");
    device(&database, 3, "handed-down", "2026-01-02");
    // The phone used last was handed down to someone who left; the one before is still theirs.
    device(&database, 4, "older-4", "2025-01-01");
    device(&database, 4, "newer-4", "2026-01-01");
    device(&database, 5, "newer-4", "2026-01-02");
    database
}

fn audience(people: std::ops::Range<u64>) -> String {
    let ids: Vec<String> = people.map(id).collect();
    format!("user_id\n{}\n", ids.join("\n"))
}

fn office(kept: Kept, database: &Database) -> Office {
    let mut office = Office::keeping(kept, Script::default());
    office.set("DATABASE_URL", database.url());
    office
}

/// Returns the counts that a dry run and the live send after it agree on.
fn counts(sent: &Sent) -> String {
    let sendable =
        sent.count("accepted") + sent.count("not_attempted") - sent.count("further_devices");
    format!(
        "{} rows: {sendable} to send to, {} without a token, {} taken, {} repeated, {}",
        sent.count("rows"),
        sent.count("without_token"),
        sent.count("token_taken"),
        sent.count("repeated"),
        sent.summary["skipped_by_reason"]
    )
}

#[test]
fn a_deleted_account_and_a_token_that_moved_are_counted_listed_and_never_sent_to() {
    let database = market();
    for kept in BOTH {
        let office = office(kept, &database);
        // 9 is in no table, like an id out of another system.
        office.audience(&(audience(0..5) + &id(9) + "\n"));
        let dry = office.send(&["--dry-run"]);
        let sent = office.send(&[]);
        assert_eq!(sent.status(), 0, "{}", sent.outcome);
        assert_eq!(
            sent.outcomes(),
            [
                (&*id(0), "accepted", ""),
                (&id(1), "skipped", "deleted"),
                (&id(2), "skipped", "token-moved"),
                (&id(3), "accepted", ""),
                (&id(4), "accepted", ""),
                (&id(9), "skipped", "no-token"),
            ]
        );
        assert_eq!(office.delivered(), ["handed-down", "older-4", "own-0"]);
        assert_eq!(counts(&dry), counts(&sent));
        assert_eq!(sent.summary["skipped_by_reason"]["deleted"], 1);
        assert_eq!(sent.summary["skipped_by_reason"]["token-moved"], 1);
    }
}

#[test]
fn with_all_devices_those_that_moved_are_left_out() {
    let database = market();
    device(&database, 0, "second-0", "2025-01-01");
    let office = office(Kept::Sqlite, &database);
    office.audience(&audience(0..5));
    let dry = office.send(&["--all-devices", "--dry-run"]);
    let sent = office.send(&["--all-devices"]);
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    assert_eq!(
        office.delivered(),
        ["handed-down", "older-4", "own-0", "second-0"]
    );
    assert_eq!(sent.count("further_devices"), 1);
    assert_eq!(counts(&dry), counts(&sent));
}

#[test]
fn the_latest_of_registrations_at_the_same_instant_is_the_one_with_the_highest_id() {
    let database = Postgres::shared().database("ties");
    people(&database, &[(0, false), (1, false)]);
    for (device, person) in [(7, 0), (5, 1)] {
        database.execute(&format!(
            "INSERT INTO devices (id, user_id, fingerprint, token, updated_at)
             VALUES ('{}', '{}', 'f', 'tied', '2026-01-01')",
            id(device),
            id(person)
        ));
    }
    let office = office(Kept::Sqlite, &database);
    office.audience(&audience(0..2));
    let sent = office.send(&[]);
    assert_eq!(
        sent.outcomes(),
        [
            (&*id(0), "accepted", ""),
            (&id(1), "skipped", "token-moved")
        ]
    );
}

/// The people of [`market`] as a file with a token column has them.
fn with_tokens() -> String {
    let rows = [
        (0, "own-0"),
        (1, "own-1"),
        (2, "handed-down"),
        (3, "handed-down"),
        // In no row of devices: from elsewhere.
        (4, "elsewhere-4"),
        // 9 is in no table.
        (9, "token-9"),
    ];
    let rows = rows.map(|(n, token)| format!("{},{token}\n", id(n)));
    // Of a row without a token the source is asked.
    format!("user_id,token\n{}{},\n", rows.concat(), id(6))
}

#[test]
fn a_token_column_is_checked_where_there_is_a_source() {
    let database = market();
    people(&database, &[(6, false)]);
    device(&database, 6, "own-6", "2026-01-01");
    let office = office(Kept::Sqlite, &database);
    office.audience(&with_tokens());
    let dry = office.send(&["--dry-run"]);
    let sent = office.send(&[]);
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    assert_eq!(
        sent.outcomes(),
        [
            (&*id(0), "accepted", ""),
            (&id(1), "skipped", "deleted"),
            (&id(2), "skipped", "token-moved"),
            (&id(3), "accepted", ""),
            (&id(4), "accepted", ""),
            (&id(6), "accepted", ""),
            (&id(9), "skipped", "unknown-user"),
        ]
    );
    assert_eq!(
        office.delivered(),
        ["elsewhere-4", "handed-down", "own-0", "own-6"]
    );
    assert_eq!(counts(&dry), counts(&sent));
    for one in [&dry, &sent] {
        let notes = one.summary["notes"].to_string();
        assert!(
            notes.contains("2 tokens of the file are not in devices"),
            "{notes}"
        );
    }
}

#[test]
fn a_token_column_is_used_unchecked_without_a_source_and_the_summary_says_so() {
    let mut office = Office::playing(Script::default());
    office.audience(&with_tokens());
    let dry = office.send(&["--dry-run"]);
    let sent = office.send(&[]);
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    assert_eq!(sent.count("accepted"), 5, "{}", sent.summary);
    // Two rows bring the same token, and a row brings none.
    assert_eq!(sent.outcomes()[3], (&*id(3), "skipped", "token-taken"));
    assert_eq!(sent.count("without_token"), 1);
    assert_eq!(counts(&dry), counts(&sent));
    for one in [&dry, &sent] {
        let notes = one.summary["notes"].to_string();
        assert!(
            notes.contains("accounts and tokens were not checked"),
            "{notes}"
        );
    }
    // With a configured source that is unreachable, no message is sent.
    let port = crate::support::programs::closed_port();
    office.set(
        "DATABASE_URL",
        format!("postgres://reader@127.0.0.1:{port}/shop"),
    );
    office.refused(&["--deadline", "2s", "--layer", "2"], 5);
}

#[test]
fn a_source_that_may_not_be_asked_is_an_error_that_names_the_table_and_the_grant() {
    let database = market();
    for (prepare, status, named) in [
        (
            "REVOKE SELECT ON users FROM reader",
            4,
            "permission denied for table users",
        ),
        (
            "GRANT SELECT ON users TO reader; REVOKE SELECT ON devices FROM reader",
            4,
            "permission denied for table devices",
        ),
        (
            "GRANT SELECT ON devices TO reader; DROP TABLE users CASCADE",
            2,
            "relation \"users\" does not exist",
        ),
    ] {
        database.execute(prepare);
        let office = office(Kept::Sqlite, &database);
        for file in [audience(0..2), with_tokens()] {
            office.audience(&file);
            let said = office.refused(&[], status);
            assert!(said.contains(named), "{said}");
            assert!(
                said.contains("GRANT SELECT ON users, devices TO \"reader\""),
                "{said}"
            );
        }
        assert_eq!(office.stand_in.connections(), 0);
    }
}

#[test]
fn tokens_are_asked_for_through_a_transaction_pooler() {
    let database = market();
    let pooler = PgBouncer::start(Postgres::shared());
    let url = at_port(&database.url(), pooler.port());
    for share in [false, true] {
        let mut office = Office::playing(Script::default());
        office.set("DATABASE_URL", url.clone());
        office.audience(&audience(0..5));
        let sent = office.send(if share { &["--share"] } else { &[] });
        assert_eq!(sent.status(), 0, "{}", sent.outcome);
        assert_eq!(office.delivered(), ["handed-down", "older-4", "own-0"]);
    }
}

#[test]
fn an_account_deleted_after_a_stop_is_skipped_by_resume() {
    let database = Postgres::shared().database("later");
    people(&database, &(0..40).map(|n| (n, false)).collect::<Vec<_>>());
    for n in 0..40 {
        device(&database, n, &format!("own-{n}"), "2026-01-01");
    }
    let slow = Reply::Slow {
        ms: 20,
        then: Box::new(Reply::Accept),
    };
    let mut office = Office::playing(Script::default().always("*", slow));
    office.set("DATABASE_URL", database.url());
    office.audience(&audience(0..40));
    let mut sending = office.start(&["--rate", "10"]);
    until(|| !office.delivered().is_empty());
    sending.kill().expect("it is ours");
    sending.wait().expect("it ends");
    database.execute(&format!(
        "UPDATE users SET deleted_at = 1 WHERE id = '{}'",
        id(39)
    ));
    device(&database, 37, "own-38", "2026-02-01");
    let sent = office.resume("last", &["--rate", "1000"]);
    let of = |n: u64| {
        let outcomes = sent.outcomes();
        let one = outcomes.iter().find(|(user, ..)| *user == id(n));
        let (_, outcome, code) = *one.expect("every row has an outcome");
        (outcome.to_owned(), code.to_owned())
    };
    assert_eq!(of(39), ("skipped".to_owned(), "deleted".to_owned()));
    assert_eq!(of(38), ("skipped".to_owned(), "token-moved".to_owned()));
    // Their latest token is the one that was handed down to them.
    assert_eq!(of(37).0, "accepted");
    assert!(office.delivered().contains(&"own-38".to_owned()));
    assert!(!office.delivered().contains(&"own-37".to_owned()));
}
