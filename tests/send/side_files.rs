//! Outcome files and lists of dead tokens: checked before the first claim; a failure to write them never stops the
//! ledger.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};

use super::{BOTH, Kept, Office, Sent, id, order, people, tokens};
use crate::support::cli::Outcome;
use crate::support::fcm::script::{Reply, Script};
use crate::support::postgres::Postgres;
use crate::support::programs::may_mount;

/// Some of these people have a dead token.
fn some_dead() -> Script {
    Script::default().always("t-1*", Reply::Unregistered)
}

fn is_dead(n: u64) -> bool {
    format!("t-{n}").starts_with("t-1")
}

/// Checks that nothing was sent or claimed.
fn assert_untouched(office: &Office) {
    assert!(office.stand_in.accepted().is_empty());
    let pushes = office.in_store(async |store| store.newest_push().await.unwrap());
    assert_eq!(pushes, None);
}

/// Takes the directory away in the middle of a send, and puts a file in its place.
fn break_outcomes(office: &Office) {
    let here = office.sandbox.here();
    fs::rename(here.join("outcomes"), here.join("away")).unwrap();
    fs::write(here.join("outcomes"), "").unwrap();
}

fn mend_outcomes(office: &Office) {
    fs::remove_file(office.sandbox.here().join("outcomes")).unwrap();
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_before_the_first_claim() {
    for kept in BOTH {
        let office = Office::keeping(kept, Script::default());
        office.audience(&people(0..3));
        office.sandbox.write("here/taken", "precious");
        for (directory, why) in [
            ("taken", "File exists"),
            ("taken/below", "Not a directory"),
            // Not even the superuser can create a file there.
            ("/proc/outcomes", "No such file"),
        ] {
            for more in [&[][..], &["--validate-only"]] {
                let arguments = [&["--outcomes", directory][..], more].concat();
                let said = office.refused(&arguments, 1);
                assert!(
                    said.contains("cannot write outcome files into")
                        && said.contains(directory)
                        && said.contains(why)
                        && said.contains("nothing was sent")
                        && said.contains("--outcomes"),
                    "{said}"
                );
            }
        }
        // Once there is a directory, the same send goes on.
        assert_eq!(office.send(&[]).count("accepted"), 3);
        assert_eq!(office.delivered().len(), 3);
        let taken = fs::read_to_string(office.sandbox.here().join("taken")).unwrap();
        assert_eq!(taken, "precious");
    }
}

#[test]
fn a_resumed_send_wants_its_directory_too() {
    let office = Office::playing(Script::default());
    office.sandbox.write("here/taken", "");
    office.audience(&people(0..400));
    let sending = office.start(&["--rate", "50"]);
    office.wait_for(5);
    crate::support::programs::signal("INT", sending.id());
    let stopped = office.sent(office.ended(sending));
    let had = office.delivered();
    let taken = [("PUSHCTL_OUTCOMES", "taken")];
    let resumed = with(&office, &["resume", stopped.run()], &taken);
    assert_eq!(resumed.status, 1, "{resumed}");
    resumed.says("cannot write outcome files");
    assert_eq!(office.delivered(), had);
    assert_eq!(
        office
            .resume(stopped.run(), &["--rate", "5000"])
            .count("accepted"),
        400
    );
}

fn with(office: &Office, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let mut command = office.command(arguments);
    command.envs(variables.iter().copied());
    office.sandbox.outcome(&command.output().unwrap())
}

#[test]
fn answers_are_recorded_when_the_directory_goes_away_in_the_middle() {
    for kept in BOTH {
        let office = Office::keeping(kept, some_dead());
        office.audience(&people(0..60));
        let sending = office.start(&["--rate", "40"]);
        office.wait_for(12);
        break_outcomes(&office);
        let sent = office.sent(office.ended(sending));
        recorded_all_the_same(&office, &sent);
        mend_outcomes(&office);
        written_again(&office, &sent);
    }
}

/// Checks that every recipient was sent to and recorded, and that the error names the missing file.
fn recorded_all_the_same(office: &Office, sent: &Sent) {
    let dead = (0..60).filter(|n| is_dead(*n)).count() as u64;
    let alive: Vec<u64> = (0..60).filter(|n| !is_dead(*n)).collect();
    assert_eq!(sent.status(), 1, "{}", sent.outcome);
    assert_eq!(office.delivered(), tokens(alive));
    let counts = ["accepted", "dead", "in_doubt", "under_way", "not_attempted"];
    assert_eq!(
        counts.map(|name| sent.count(name)),
        [60 - dead, dead, 0, 0, 0]
    );
    assert_eq!(sent.summary["ended"], "done");
    assert!(sent.summary["files"].is_null());
    let file = format!("outcomes/{}.outcomes.csv", sent.run());
    let again = format!("pushctl runs files {}", sent.run());
    let told = sent.summary["files_error"].as_str().unwrap();
    assert!(told.contains(&file), "{told}");
    let said = &sent.outcome.stderr;
    assert!(said.contains(&file) && said.contains(&again), "{said}");
    // Nothing is left to be sent.
    assert_eq!(office.run(&["resume", sent.run()]).status, 6);
}

fn written_again(office: &Office, sent: &Sent) {
    let outcome = office.run(&["runs", "files", sent.run()]);
    assert_eq!(outcome.status, 0, "{outcome}");
    let rows = office.lines(&format!("{}.outcomes.csv", sent.run()));
    let users: BTreeSet<&str> = rows.iter().map(|row| &*row.user).collect();
    assert_eq!((rows.len(), users.len()), (60, 60));
    for n in 0..60 {
        let row = rows.iter().find(|row| row.user == id(n)).unwrap();
        let expected = if is_dead(n) { "dead" } else { "accepted" };
        assert_eq!(row.outcome, expected, "{n}");
    }
    clears_exactly_the_dead(office, sent);
}

/// Runs the SQL for the owner against a source: what is dead is cleared, whether by its text or by its hash.
fn clears_exactly_the_dead(office: &Office, sent: &Sent) {
    let source = Postgres::shared().database("owner");
    for n in 0..60 {
        let user = id(n);
        source.execute(&format!(
            "INSERT INTO users (id, username) VALUES ('{user}', 'u{n}');
             INSERT INTO devices (user_id, fingerprint, token) VALUES ('{user}', 'one', 't-{n}'), ('{user}', 'two', 'other-{n}')"
        ));
    }
    let sql = office.outcomes(&format!("{}.dead-tokens.sql", sent.run()));
    source.execute(&fs::read_to_string(sql).unwrap());
    let left = source.query("SELECT token FROM devices WHERE token IS NOT NULL");
    let left: BTreeSet<String> = left.into_iter().flatten().collect();
    let expected = (0..60).filter(|n| !is_dead(*n)).map(|n| format!("t-{n}"));
    let others = (0..60).map(|n| format!("other-{n}"));
    assert_eq!(left, expected.chain(others).collect());
}

#[test]
fn a_list_that_cannot_be_kept_while_it_goes_on_is_whole_at_the_end() {
    let office = Office::playing(some_dead());
    office.audience(&people(0..60));
    let sending = office.start(&["--rate", "40"]);
    // Before the first dead token, so that none is in the partial list.
    office.wait_for(1);
    break_outcomes(&office);
    office.wait_for(30);
    mend_outcomes(&office);
    let sent = office.sent(office.ended(sending));
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    assert!(sent.summary["files_error"].is_null());
    clears_exactly_the_dead(&office, &sent);
    let list = fs::read_to_string(office.outcomes(&format!("{}.dead-tokens.csv", sent.run())));
    let listed = list.unwrap().lines().count() - 1;
    assert_eq!(listed as u64, sent.count("dead"));
}

/// `send` that may write no file longer than so many blocks of 512 bytes: a full disk as far as files are concerned.
fn limited(office: &Office, blocks: u32) -> Sent {
    let send = office.command(&order(&[]));
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; ulimit -f \"$0\" && exec \"$@\""])
        .arg(blocks.to_string())
        .arg(send.get_program())
        .args(send.get_args())
        .current_dir(office.sandbox.here())
        .env_clear()
        .stdin(Stdio::null());
    for (name, value) in send.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    office.sent(office.sandbox.outcome(&command.output().unwrap()))
}

#[test]
fn files_that_grow_too_long_for_the_disk_cost_no_answer() {
    // A store elsewhere: its own files would be cut too.
    let office = Office::keeping(
        Kept::Postgres,
        Script::default().always("dead-*", Reply::Unregistered),
    );
    let padding = "x".repeat(600);
    let mut file = people(0..400);
    for n in 400..440 {
        let _ = writeln!(file, "{},Bo,dead-{n}-{padding}", id(n));
    }
    office.audience(&file);
    let sent = limited(&office, 16);
    assert_eq!(sent.status(), 1, "{}", sent.outcome);
    assert!(
        sent.outcome.stderr.contains("File too large"),
        "{}",
        sent.outcome
    );
    let counts = ["accepted", "dead", "in_doubt", "under_way", "not_attempted"];
    assert_eq!(counts.map(|name| sent.count(name)), [400, 40, 0, 0, 0]);
    assert_eq!(office.delivered(), tokens(0..400));
    let outcome = office.run(&["runs", "files", sent.run()]);
    assert_eq!(outcome.status, 0, "{outcome}");
    outcome.says("by their hash");
    assert_eq!(
        office.lines(&format!("{}.outcomes.csv", sent.run())).len(),
        440
    );
    let sql = office.outcomes(&format!("{}.dead-tokens.sql", sent.run()));
    let sql = fs::read_to_string(sql).unwrap();
    for n in 400..440 {
        assert!(
            sql.contains(&id(n)) || sql.contains(&format!("dead-{n}-")),
            "{n}"
        );
    }
}

#[test]
fn a_disk_without_room_or_without_writing_is_refused_before_the_first_claim() {
    if !may_mount() {
        return;
    }
    let office = Office::playing(Script::default());
    office.audience(&people(0..4_000));
    fs::create_dir(office.sandbox.here().join("outcomes")).unwrap();
    for (options, told) in [
        (
            "size=400k",
            [" free, and the outcome files of ", "about 881 KiB"],
        ),
        (
            "ro",
            ["cannot write outcome files", "Read-only file system"],
        ),
    ] {
        let outcome = mounted(&office, options);
        assert_eq!(outcome.status, 1, "{outcome}");
        for told in told {
            assert!(outcome.stderr.contains(told), "{told}: {outcome}");
        }
        assert_untouched(&office);
    }
}

/// Runs `send` with another file system mounted at `outcomes`, in a mount namespace of its own.
fn mounted(office: &Office, options: &str) -> Outcome {
    let send = office.command(&order(&[]));
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--map-root-user", "sh", "-c"])
        .arg(format!(
            "mount -t tmpfs -o {options} none outcomes && exec \"$0\" \"$@\""
        ))
        .arg(send.get_program())
        .args(send.get_args())
        .current_dir(office.sandbox.here())
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .stdin(Stdio::null());
    for (name, value) in send.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    office.sandbox.outcome(&command.output().unwrap())
}

#[test]
fn the_files_of_a_run_that_is_not_over_are_not_written_again() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..400));
    let sending = office.start(&["--rate", "50"]);
    office.wait_for(5);
    let outcome = office.run(&["runs", "files", "last"]);
    assert_eq!(outcome.status, 2, "{outcome}");
    outcome.says("is still open");
    crate::support::programs::signal("INT", sending.id());
    assert_eq!(office.ended(sending).status, 130);
}
