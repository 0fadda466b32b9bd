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
    office.sandbox.write("here/short.db", "a note\n");
    fs::create_dir(office.sandbox.here().join("folder")).unwrap();
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
        ("text.db", 2, "is not a SQLite database"),
        ("short.db", 2, "is not a SQLite database"),
        ("folder", 2, "is a directory"),
        ("foreign.db", 2, "of another application"),
        ("newer.db", 2, "made by a newer pushctl"),
    ] {
        let path = office.sandbox.here().join(name);
        let before = fs::read(&path).ok();
        for command in [&order(&[])[..], &["runs"], &["state", "migrate"]] {
            let outcome = office.run(&[command, &["--state", name]].concat());
            assert_eq!(outcome.status, status, "{command:?} {outcome}");
            for told in [told, "hint: ", name] {
                assert!(outcome.stderr.contains(told), "{told}: {outcome}");
            }
        }
        // Also the header is as it was: another application's file is not turned into a log-keeping one.
        assert_eq!(fs::read(&path).ok(), before, "{name} was changed");
    }
    assert_eq!(office.delivered(), tokens(0..1));
    let status = office.run(&["state", "status", "--state", "newer.db"]);
    assert!(
        status.stderr.contains("made by a newer pushctl")
            && status.stderr.contains("rollback --to"),
        "{status}"
    );
}

/// The side files of the store.
fn side_files(office: &Office) -> Vec<&'static str> {
    let files = ["state.db-wal", "state.db-shm", "state.db-journal"];
    let exists = |name: &&str| office.sandbox.home().join(name).exists();
    files.into_iter().filter(exists).collect()
}

#[test]
fn the_file_is_whole_after_every_command_and_every_end() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..40));
    let wrong: &[&str] = &["--title", "[[var:nmae]]"];
    let commands: [(&[&str], i32); 19] = [
        (&["state", "migrate"], 0),
        (&["state", "status"], 0),
        (&order(&["--dry-run"]), 0),
        (&order(&["--validate-only"]), 0),
        (&order(&[]), 0),
        (&order(wrong), 2),
        (&["status"], 0),
        (&["runs"], 0),
        (&["runs", "show", "last"], 0),
        (&["runs", "show", "unknown"], 2),
        (&["runs", "export", "last"], 0),
        (&["runs", "files", "last"], 0),
        (&["resume", "last"], 6),
        (&["cancel", "--all"], 6),
        (&["sync"], 0),
        (&["state", "export", "export.jsonl"], 0),
        (&["state", "backup", "backup.db"], 0),
        (&["state", "import", "export.jsonl"], 12),
        (&["state", "rollback", "--to", "2"], 12),
    ];
    for (command, status) in commands {
        let outcome = office.run(command);
        assert_eq!(outcome.status, status, "{command:?} {outcome}");
        assert_eq!(side_files(&office), [""; 0], "{command:?}");
    }
    for (number, signals) in [
        &["INT"][..],
        &["TERM"],
        &["HUP"],
        &["INT", "INT"],
        &["KILL"],
    ]
    .into_iter()
    .enumerate()
    {
        let first = 1_000 * (number as u64 + 1);
        office.audience(&people(first..first + 300));
        let sent = office.stand_in.accepted().len();
        let sending = office.start(&["--rate", "100"]);
        office.wait_for(sent + 20);
        for name in signals {
            signal(name, sending.id());
        }
        office.ended(sending);
        // After a crash the next command makes the file whole.
        let is_crash = signals == ["KILL"] || signals.len() > 1;
        if is_crash {
            assert_eq!(office.run(&["status"]).status, 0);
        }
        assert_eq!(side_files(&office), [""; 0], "{signals:?}");
        let copy = back_up(&office, "copy.db").display().to_string();
        let (runs, copied) = (
            office.run(&["runs", "--json"]),
            office.run(&["runs", "--json", "--state", &copy]),
        );
        assert_eq!(runs.stdout, copied.stdout, "{signals:?}");
    }
}

#[test]
fn a_backup_of_a_running_send_is_a_store_of_one_moment() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..400));
    let sending = office.start(&["--rate", "100"]);
    office.wait_for(30);
    let outcome = office.run(&["state", "backup", "backup.db", "--json"]);
    assert_eq!(outcome.status, 0, "{outcome}");
    let backup = office.sandbox.here().join("backup.db");
    let size = fs::metadata(&backup).unwrap().len();
    assert_eq!(outcome.json()["bytes"], size);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&backup).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert!(!office.sandbox.here().join("backup.db-wal").exists());
    // The send goes on; the copy has a part of it.
    let whole = office.sent(office.ended(sending));
    assert_eq!(whole.count("accepted"), 400, "{}", whole.outcome);
    let shown = office.run(&["runs", "--state", "backup.db", "--json"]);
    assert!(shown.stdout.contains(whole.run()), "{shown}");
    // Never over a file that exists, unless asked; never over the store.
    for (arguments, status, told) in [
        (&["backup.db"][..], 12, "exists"),
        (&["backup.db", "--force"], 0, ""),
        (
            &[file(&office).to_str().unwrap(), "--force"],
            2,
            "the state store itself",
        ),
        (&["outcomes", "--force"], 2, "is a directory"),
        (&["none/backup.db"], 1, "none/backup.db"),
        (
            &["other.db", "--state", "missing.db"],
            2,
            "there is no state store",
        ),
    ] {
        let outcome = office.run(&[&["state", "backup"], arguments].concat());
        assert_eq!(outcome.status, status, "{arguments:?} {outcome}");
        assert!(outcome.stderr.contains(told), "{told}: {outcome}");
    }
    assert!(!office.sandbox.here().join("missing.db").exists());
    // Restored, the newest copy goes on where the store was.
    restore(&office, &backup);
    assert_eq!(office.run(&["resume", whole.run()]).status, 6);
}

#[test]
fn a_damaged_page_is_named_with_the_way_to_restore() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..300));
    office.send(&[]);
    let mut bytes = fs::read(file(&office)).unwrap();
    for page in bytes.chunks_mut(4096).skip(1) {
        page[..64].fill(0xA5);
    }
    fs::write(file(&office), bytes).unwrap();
    for command in [
        &["runs"][..],
        &["state", "backup", "copy.db"],
        &["state", "export", "export.jsonl"],
    ] {
        let outcome = office.run(command);
        assert_eq!(outcome.status, 1, "{outcome}");
        for told in [
            "state.db is damaged",
            "pushctl state backup",
            "pushctl state import",
        ] {
            assert!(outcome.stderr.contains(told), "{told}: {outcome}");
        }
    }
    assert!(!office.sandbox.here().join("copy.db").exists());
}
