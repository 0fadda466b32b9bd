//! Tokens that earlier sends found dead are not tried again; lists of dead and invalid tokens, and the command that
//! gets them.

use std::os::unix::fs::MetadataExt as _;

use super::{BOTH, Kept, Office, Sent, id, people, tokens};
use crate::support::fcm::script::{Reply, Script};
use crate::support::postgres::{Database, Postgres};

fn dead(numbers: &[u64]) -> Script {
    numbers.iter().fold(Script::default(), |script, n| {
        script.always(&format!("t-{n}"), Reply::Unregistered)
    })
}

/// A push of its own for each occurrence.
fn send(office: &Office, occurrence: &str, more: &[&str]) -> Sent {
    office.send(&[&["--occurrence", occurrence], more].concat())
}

fn suppressed(sent: &Sent) -> u64 {
    sent.summary["skipped_by_reason"]["suppressed"]
        .as_u64()
        .unwrap_or(0)
}

fn tries(office: &Office, token: &str) -> usize {
    let requests = office.stand_in.requests();
    requests.iter().filter(|one| one.token == token).count()
}

#[test]
fn a_dead_token_is_not_tried_again_and_the_dry_run_says_so() {
    for kept in BOTH {
        let office = Office::keeping(kept, dead(&[2, 5]));
        office.audience(&people(0..8));
        let first = send(&office, "monday", &[]);
        assert_eq!((first.count("dead"), suppressed(&first)), (2, 0));
        let dry = send(&office, "tuesday", &["--dry-run"]);
        assert_eq!((dry.count("not_attempted"), suppressed(&dry)), (6, 2));
        let second = send(&office, "tuesday", &[]);
        second.accepted(0, 6);
        assert_eq!((second.count("dead"), suppressed(&second)), (0, 2));
        assert!(
            second
                .outcomes()
                .contains(&(&*id(2), "skipped", "suppressed"))
        );
        assert_eq!((tries(&office, "t-2"), tries(&office, "t-5")), (1, 1));
        // The first push again: its recipients have their outcomes.
        let again = send(&office, "monday", &[]);
        assert_eq!((again.count("dead"), suppressed(&again)), (2, 0));
    }
}

#[test]
fn with_a_period_of_0_every_token_is_tried() {
    let mut office = Office::playing(dead(&[2]));
    office.audience(&people(0..4));
    send(&office, "monday", &[]);
    office.set("PUSHCTL_DEAD_TOKENS_SUPPRESS", "0");
    let second = send(&office, "tuesday", &[]);
    assert_eq!((second.count("dead"), suppressed(&second)), (1, 0));
    // What is older than the period is tried, too.
    office.set("PUSHCTL_DEAD_TOKENS_SUPPRESS", "1s");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let third = send(&office, "wednesday", &[]);
    assert_eq!(third.count("dead"), 1, "{}", third.outcome);
}

fn market(people: u64) -> Database {
    let database = Postgres::shared().database("suppressed");
    for n in 0..people {
        let user = id(n);
        database.execute(&format!("INSERT INTO users (id) VALUES ('{user}')"));
        database.execute(&format!(
            "INSERT INTO devices (user_id, fingerprint, token, updated_at)
             VALUES ('{user}', 'f{n}', 't-{n}', now() - interval '1 hour')"
        ));
    }
    database
}

#[test]
fn a_token_that_is_registered_again_is_tried_again() {
    let database = market(4);
    for kept in BOTH {
        database.execute("UPDATE devices SET updated_at = now() - interval '1 hour'");
        let mut office = Office::keeping(kept, dead(&[1, 2]));
        office.set("DATABASE_URL", database.url());
        let ids: Vec<String> = (0..4).map(id).collect();
        office.audience(&format!("user_id\n{}\n", ids.join("\n")));
        let first = send(&office, "monday", &[]);
        assert_eq!(first.count("dead"), 2, "{}", first.outcome);
        let second = send(&office, "tuesday", &["--share"]);
        assert_eq!((second.count("accepted"), suppressed(&second)), (2, 2));
        database.execute("UPDATE devices SET updated_at = now() WHERE token = 't-1'");
        let third = send(&office, "wednesday", &["--all-devices"]);
        assert_eq!((third.count("dead"), suppressed(&third)), (1, 1));
        database.execute("UPDATE devices SET updated_at = 'infinity' WHERE token = 't-2'");
        let fourth = send(&office, "thursday", &[]);
        assert_eq!(fourth.status(), 0, "{}", fourth.outcome);
        assert_eq!(fourth.count("accepted"), 2);
    }
}

#[test]
fn tokens_that_the_service_calls_invalid_are_listed() {
    let script = Script::default()
        .always("t-1", Reply::InvalidToken)
        .always("t-3", Reply::InvalidToken);
    let office = Office::playing(script);
    office.audience(&people(0..100));
    let sent = send(&office, "monday", &[]);
    assert_eq!((sent.status(), sent.count("failed")), (3, 2));
    let name = format!("{}.invalid-tokens.csv", sent.run());
    let told = sent.summary["files"]["invalid_tokens"].as_str().unwrap();
    assert!(told.ends_with(&name), "{told}");
    let list = office.outcomes(&name);
    assert_eq!(std::fs::metadata(&list).unwrap().mode() & 0o777, 0o600);
    let expected = format!("user_id,token\r\n{},t-1\r\n{},t-3\r\n", id(1), id(3));
    assert_eq!(std::fs::read_to_string(list).unwrap(), expected);
    assert!(sent.summary["files"]["dead_tokens"].is_null());
    // They are not suppressed: an update of the app's settings may mend them.
    let second = send(&office, "tuesday", &[]);
    assert_eq!((second.count("failed"), suppressed(&second)), (2, 0));
}

#[test]
fn the_command_gets_the_dead_tokens() {
    let mut office = Office::playing(dead(&[1, 3]));
    office.audience(&people(0..6));
    office.set(
        "PUSHCTL_DEAD_TOKENS_COMMAND",
        "cat > got.csv; echo \"$PUSHCTL_RUN\" > run; echo shown nowhere",
    );
    let sent = send(&office, "monday", &[]);
    sent.accepted(0, 4);
    let read = |name: &str| std::fs::read_to_string(office.sandbox.here().join(name)).unwrap();
    let expected = format!("user_id,token\r\n{},t-1\r\n{},t-3\r\n", id(1), id(3));
    assert_eq!(read("got.csv"), expected);
    assert_eq!(read("run").trim(), sent.run());
    assert!(!sent.outcome.stderr.contains("shown nowhere"));
    // Without a dead token it is not run.
    std::fs::remove_file(office.sandbox.here().join("got.csv")).unwrap();
    send(&office, "tuesday", &[]).accepted(0, 4);
    assert!(!office.sandbox.here().join("got.csv").exists());
}

#[test]
fn a_command_that_fails_or_hangs_is_a_note() {
    for (command, said) in [
        (
            "echo first >&2; echo no such table >&2; exit 4",
            "exit status 4: no such table",
        ),
        ("kill -9 $$", "signal 9"),
        ("sleep 600 | sleep 600", "did not end within"),
        ("no-such-program", "exit status 127"),
        ("exec <&-; exit 0", ""),
    ] {
        let mut office = Office::keeping(Kept::Sqlite, dead(&[1]));
        office.audience(&people(0..6));
        office.set("PUSHCTL_DEAD_TOKENS_COMMAND", command);
        let sent = send(&office, "monday", &["--deadline", "8s"]);
        sent.accepted(0, 5);
        let notes = sent.summary["notes"].to_string();
        assert!(notes.contains(said), "{command}: {notes}");
        assert_eq!(notes.contains("dead_tokens.command"), !said.is_empty());
        assert_eq!(office.delivered(), tokens([0, 2, 3, 4, 5]));
    }
}
