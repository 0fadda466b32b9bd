//! The state store between two commands: whole in its one file, and never older than the outcome files.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{BOTH, Kept, Office, order, people, tokens};
use crate::support::fcm::script::{Reply, Script};
use crate::support::programs::signal;

fn file(office: &Office) -> PathBuf {
    office.sandbox.home().join("state.db")
}

/// Copies the store file alone, as a backup of one file does.
fn back_up(office: &Office, name: &str) -> PathBuf {
    let copy = office.sandbox.home().join(name);
    fs::copy(file(office), &copy).unwrap();
    copy
}

/// Replaces the store by a copy.
fn restore(office: &Office, copy: &PathBuf) {
    for log in ["state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(office.sandbox.home().join(log));
    }
    fs::copy(copy, file(office)).unwrap();
}

/// Sends with outcome files in another directory, and returns the summary.
fn elsewhere(office: &Office, arguments: &[&str]) -> Value {
    let outcome = office.run(&order(arguments));
    assert_eq!(outcome.status, 0, "{outcome}");
    outcome.json()
}

#[test]
fn a_copy_of_the_store_file_alone_knows_all_recipients() {
    let office = Office::playing(Script::default().always("t-1", Reply::Unregistered));
    office.audience(&people(0..300));
    let first = office.send(&[]);
    assert_eq!(first.count("accepted"), 299, "{}", first.outcome);
    let copy = back_up(&office, "copy.db").display().to_string();
    for directory in ["outcomes", "elsewhere"] {
        let sent = elsewhere(&office, &["--state", &copy, "--outcomes", directory]);
        assert_eq!(
            (&sent["messages"], &sent["accepted"]),
            (&json!(0), &json!(299))
        );
    }
    assert_eq!(office.delivered().len(), 299);
    let listed = office.run(&["runs", "--state", &copy, "--json"]);
    assert!(listed.stdout.contains(first.run()), "{listed}");
}

#[test]
fn the_file_is_whole_after_an_interrupt_and_after_an_error() {
    let office = Office::playing(Script::default().on("t-300", [Reply::NotFound]));
    office.audience(&people(0..400));
    let sending = office.start(&["--rate", "150"]);
    office.wait_for(50);
    signal("TERM", sending.id());
    let stopped = office.sent(office.ended(sending));
    assert_eq!(stopped.status(), 143, "{}", stopped.outcome);
    restore(&office, &back_up(&office, "interrupted.db"));
    let sent = office.resume(stopped.run(), &["--rate", "5000"]);
    // The push service refuses in a way that ends the send.
    assert_eq!(sent.status(), 4, "{}", sent.outcome);
    restore(&office, &back_up(&office, "failed.db"));
    let sent = office.resume(stopped.run(), &[]);
    let sum = ["accepted", "failed", "in_doubt"].map(|name| sent.count(name));
    assert_eq!(sum.iter().sum::<u64>(), 400, "{}", sent.summary);
    assert_eq!(office.delivered().len() as u64, sent.count("accepted"));
    // Commands that only read leave it whole, also if they fail.
    office.run(&["runs", "show", "unknown"]);
    restore(&office, &back_up(&office, "read.db"));
    assert_eq!(office.run(&["resume", stopped.run()]).status, 6);
}

#[test]
fn the_last_of_several_processes_leaves_the_file_whole() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..300));
    let slow = office.start(&["--rate", "100"]);
    office.wait_for(20);
    // These end while another process has the file open.
    for _ in 0..5 {
        assert_eq!(office.run(&["status"]).status, 0);
    }
    let quick = office.send(&[
        "--occurrence",
        "other",
        "--limit",
        "50",
        "--rate",
        "5000",
        "--cadence",
        "off",
    ]);
    assert_eq!(quick.status(), 0, "{}", quick.outcome);
    assert_eq!(office.ended(slow).status, 0);
    let copy = back_up(&office, "copy.db").display().to_string();
    let accepted = office.stand_in.accepted().len();
    assert_eq!(accepted, 350);
    let again = office.send(&["--state", &copy]);
    assert_eq!(again.count("messages"), 0, "{}", again.outcome);
    assert_eq!(office.stand_in.accepted().len(), accepted);
}

#[test]
fn a_store_that_was_restored_from_an_older_copy_is_refused() {
    for kept in BOTH {
        let office = Office::keeping(kept, Script::default());
        office.audience(&people(0..3));
        office.send(&["--occurrence", "first"]);
        let copy = (kept == Kept::Sqlite).then(|| back_up(&office, "old.db"));
        office.audience(&people(3..6));
        let newest = office.send(&["--occurrence", "second"]);
        match &copy {
            Some(copy) => restore(&office, copy),
            None => forget_the_second(&office),
        }
        // Repeatedly, with another push and with the same.
        for occurrence in ["second", "second", "third"] {
            let said = office.refused(&["--occurrence", occurrence], 12);
            let file = format!("outcomes/{}.outcomes.csv", newest.run());
            for told in [
                "older than the outcome files",
                newest.run(),
                &file,
                "--override state-store",
            ] {
                assert!(said.contains(told), "{told}: {said}");
            }
        }
        assert_eq!(office.delivered(), tokens(0..6));
    }
}

/// Removes the second push, as restoring an older dump does.
fn forget_the_second(office: &Office) {
    let database = office.state.as_ref().unwrap();
    database.execute(
        "DELETE FROM pushctl.claims; DELETE FROM pushctl.outcomes; DELETE FROM pushctl.history;
         DELETE FROM pushctl.pushes WHERE occurrence = 'second'; DELETE FROM pushctl.runs WHERE occurrence = 'second';
         DELETE FROM pushctl.senders WHERE id > 1; SELECT setval('pushctl.senders_id_seq', 1)",
    );
}

#[test]
fn a_copy_of_the_middle_of_a_run_does_not_know_the_rest_of_it() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..400));
    let sending = office.start(&["--rate", "100"]);
    office.wait_for(30);
    signal("TERM", sending.id());
    let stopped = office.sent(office.ended(sending));
    let copy = back_up(&office, "middle.db");
    assert_eq!(
        office.resume(stopped.run(), &["--rate", "5000"]).status(),
        0
    );
    restore(&office, &copy);
    let outcome = office.run(&["resume", stopped.run()]);
    assert_eq!(outcome.status, 12, "{outcome}");
    assert_eq!(office.delivered(), tokens(0..400));
}

#[test]
fn a_new_store_beside_the_outcome_files_of_another_is_refused() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..3));
    let first = office.send(&[]);
    let other = ["--state", "other.db"];
    let said = office.refused(&other, 12);
    assert!(
        said.contains("other.db is older") && said.contains(first.run()),
        "{said}"
    );
    // Also where the files were made before sends were noted.
    let notes = |from: &str, to: &str| {
        for entry in fs::read_dir(office.outcomes("")).unwrap() {
            let path = entry.unwrap().path().display().to_string();
            if path.contains(from) {
                fs::rename(&path, path.replace(from, to)).unwrap();
            }
        }
    };
    notes(".pushctl-store-", "hidden-");
    let said = office.refused(&other, 12);
    assert!(said.contains(first.run()), "{said}");
    notes("hidden-", ".pushctl-store-");
    assert_eq!(office.delivered(), tokens(0..3));
    // With a directory of its own it sends; from then on they share one, by turns.
    office.audience(&people(3..6));
    let sent = elsewhere(&office, &[&other[..], &["--outcomes", "own"]].concat());
    assert_eq!(sent["accepted"], 3);
    for (n, state) in [(6, &other[..]), (7, &[]), (8, &other[..]), (9, &[])] {
        let next = n + 1;
        office.audience(&people(n..next));
        assert_eq!(office.send(state).count("accepted"), 1);
    }
}

#[test]
fn an_imported_store_continues_after_the_exported_one() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..3));
    office.send(&[]);
    let export = office.run(&["state", "export", "export.jsonl"]);
    assert_eq!(export.status, 0, "{export}");
    let import = office.run(&["state", "import", "export.jsonl", "--state", "new.db"]);
    assert_eq!(import.status, 0, "{import}");
    let again = office.send(&["--state", "new.db"]);
    assert_eq!(
        (again.count("messages"), again.count("accepted")),
        (0, 3),
        "{}",
        again.outcome
    );
}

#[test]
fn an_override_lets_an_older_store_send() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..3));
    office.send(&["--occurrence", "first"]);
    let copy = back_up(&office, "old.db");
    office.send(&["--occurrence", "second", "--cadence", "off"]);
    restore(&office, &copy);
    office.audience(&people(3..6));
    office.refused(&["--occurrence", "third"], 12);
    // The open run is resumed.
    let connection = rusqlite::Connection::open(file(&office)).unwrap();
    let changed = connection.execute(
        "UPDATE runs SET plan = json_set(plan, '$.overrides', json('[{\"guards\":[\"state-store\"],\"reason\":\"r\",\"actor\":\"a\",\"at\":\"2026-11-21T13:33:00Z\"}]'))
         WHERE occurrence = 'third'",
        [],
    );
    assert_eq!(changed, Ok(1));
    drop(connection);
    let sent = office.send(&["--occurrence", "third"]);
    sent.accepted(0, 3);
    // From now on this store is the one that counts.
    office.audience(&people(6..7));
    assert_eq!(office.send(&[]).count("accepted"), 1);
}

#[test]
fn a_file_that_is_not_a_state_store_is_refused() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..1));
    office.sandbox.write("here/empty.db", "");
    office
        .sandbox
        .write("here/text.db", &"no database, by far\n".repeat(99));
    let foreign = office.sandbox.here().join("foreign.db");
    let foreign = rusqlite::Connection::open(foreign).unwrap();
    foreign
        .execute_batch("CREATE TABLE accounts (id INTEGER)")
        .unwrap();
    drop(foreign);
    elsewhere(&office, &["--state", "newer.db", "--outcomes", "newer"]);
    let newer = rusqlite::Connection::open(office.sandbox.here().join("newer.db")).unwrap();
    newer
        .execute("INSERT INTO migrations VALUES (99, '0099_later', 0)", [])
        .unwrap();
    drop(newer);
    office.audience(&people(1..2));
    for (name, status, told) in [
        ("empty.db", 1, "is an empty file"),
        ("text.db", 1, "is damaged"),
        ("foreign.db", 2, "not a pushctl state store"),
        ("newer.db", 2, "this pushctl knows only up to"),
    ] {
        let said = office.refused(&["--state", name], status);
        assert!(said.contains(told), "{told}: {said}");
    }
    assert_eq!(office.delivered(), tokens(0..1));
    assert_eq!(office.run(&["runs", "--state", "empty.db"]).status, 1);
    assert_eq!(
        fs::read(office.sandbox.here().join("empty.db")).unwrap(),
        b""
    );
}
