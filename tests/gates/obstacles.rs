//! Guards that look at what lies around a run before its first claim: an unfinished publication, a directory that takes
//! no outcome files, a store that is older than they are.

use std::cell::Cell;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pushctl::run::gates::Road;

use super::{BEGINNINGS, due, generate, killed_while_shared, messages, occurrence_for, start};
use crate::pipeline::office::Office;
use crate::support::fcm::script::Script;
use crate::support::store::Place;

/// What a guard refuses, and with which words.
pub(super) struct Obstacle<'a> {
    pub(super) guard: &'a str,
    pub(super) status: i32,
    pub(super) expected: &'a str,
    /// The exit status of a run that was sent although it is there.
    pub(super) passed: i32,
    pub(super) put: &'a dyn Fn(&mut Office),
    pub(super) clear: &'a dyn Fn(&mut Office),
}

impl Obstacle<'_> {
    /// The road is refused, before the test pushes too, and a person passes the guard.
    fn on(&self, office: &mut Office, road: Road) {
        self.stops(office, road);
        self.passes(office, road);
    }

    fn stops(&self, office: &mut Office, road: Road) {
        (self.put)(office);
        let before = messages(office);
        let outcome = start(office, road, &[]);
        assert_eq!(outcome.status, self.status, "{road:?}: {outcome}");
        assert!(
            outcome.stderr.contains(self.expected),
            "{road:?}: {outcome}"
        );
        assert_eq!(messages(office), before, "{road:?}");
        (self.clear)(office);
    }

    fn passes(&self, office: &mut Office, road: Road) {
        (self.put)(office);
        let before = messages(office);
        let more = ["--override", self.guard, "--reason", "agreed"];
        let outcome = start(office, road, &more);
        if road == Road::Join {
            // What the process that was killed had under way is in doubt.
            assert!([self.passed, 3].contains(&outcome.status), "{outcome}");
        } else {
            assert_eq!(outcome.status, self.passed, "{road:?}: {outcome}");
        }
        let sent = messages(office) > before;
        // Nothing was in doubt.
        assert_eq!(sent, road != Road::InDoubtRetry, "{road:?}: {outcome}");
        (self.clear)(office);
    }

    /// Every road but `--now` and `--join`. One office for all: cadence is off, and each occurrence is another one.
    fn on_every_road(&self, office: &mut Office) {
        office.set("PUSHCTL_CADENCE", "off");
        office.file(&due(-9, ""));
        generate(office);
        self.on(office, Road::Send);
        self.on(office, Road::SendAutomation);
        let begun = |office: &Office, minutes| {
            office.file(&due(minutes, ""));
            office.ends(&["run-pipeline", "daily", "--until", "generate"], 0);
        };
        begun(office, -7);
        self.stops(office, Road::Pipeline);
        self.on(office, Road::Resume);
        self.on(office, Road::InDoubtRetry);
        begun(office, -5);
        self.passes(office, Road::Pipeline);
        begun(office, -3);
        self.stops(office, Road::Tick);
        let more = ["--override", self.guard, "--reason", "agreed"];
        let before = messages(office);
        assert_eq!(start(office, Road::Tick, &more).status, 2);
        assert_eq!(messages(office), before);
    }

    fn on_a_join(&self) {
        let mut office = killed_while_shared(60, Script::default());
        self.on(&mut office, Road::Join);
    }
}

pub(super) const MARKER: &str = "generated/.pushctl-killed.commit";

#[test]
fn a_file_beside_an_unfinished_publication_is_sent_on_no_road() {
    Obstacle {
        guard: "commit-marker",
        status: 12,
        expected: "was interrupted",
        passed: 0,
        put: &|office| std::fs::create_dir(office.sandbox.here().join(MARKER)).unwrap(),
        clear: &|office| std::fs::remove_dir(office.sandbox.here().join(MARKER)).unwrap(),
    }
    .on_every_road(&mut Office::new(10, Script::default()));
}

#[test]
fn without_a_place_for_outcome_files_nothing_is_sent_on_any_road() {
    let obstacle = Obstacle {
        guard: "outcomes",
        status: 1,
        expected: "cannot write outcome files into",
        // Everything is sent, and the files are missing.
        passed: 1,
        put: &|office| {
            office.sandbox.write("here/taken", "a file");
            office.set("PUSHCTL_OUTCOMES", "taken");
        },
        clear: &|office| office.set("PUSHCTL_OUTCOMES", "outcomes"),
    };
    obstacle.on_every_road(&mut Office::new(10, Script::default()));
    obstacle.on_a_join();
}

/// A directory with the outcomes of a run that is an hour ahead, and that no store here knows.
pub(super) fn newer(office: &mut Office, directory: &str) {
    let ahead = jiff::Timestamp::now().as_second() + 3600;
    let ahead = uuid::Timestamp::from_unix(uuid::NoContext, ahead.unsigned_abs(), 0);
    let run = uuid::Uuid::new_v7(ahead);
    let path = format!("here/{directory}/{run}.outcomes.csv");
    office.sandbox.write(&path, "");
    office.set("PUSHCTL_OUTCOMES", directory);
}

#[test]
fn a_store_that_is_older_than_the_outcome_files_sends_on_no_road() {
    let directories = Cell::new(0);
    let obstacle = Obstacle {
        guard: "state-store",
        status: 12,
        expected: "is older than the outcome files in",
        passed: 0,
        // A send that passes makes the store the one that counts there.
        put: &|office| {
            directories.set(directories.get() + 1);
            newer(office, &format!("newer-{}", directories.get()));
        },
        clear: &|office| office.set("PUSHCTL_OUTCOMES", "outcomes"),
    };
    for place in [Place::sqlite(), Place::postgres()] {
        obstacle.on_every_road(&mut Office::at(place, 10, Script::default()));
    }
    obstacle.on_a_join();
}

/// Every road but `--now` is refused with this status and these words, and no message leaves; `put` makes the store
/// unwritable, `clear` undoes it.
fn unwritable(
    office: &mut Office,
    (status, expected): (i32, &[&str]),
    put: &dyn Fn(&mut Office),
    clear: &dyn Fn(&mut Office),
) {
    office.set("PUSHCTL_CADENCE", "off");
    office.file(&due(-9, ""));
    generate(office);
    assert!(office.runs().is_empty());
    for road in BEGINNINGS
        .into_iter()
        .chain([Road::Now, Road::InDoubtRetry])
    {
        if road == Road::InDoubtRetry {
            office.file(&due(-1, ""));
            assert_eq!(start(office, Road::Tick, &[]).status, 0);
        } else if road != Road::Now {
            occurrence_for(office, road);
        }
        let before = messages(office);
        put(office);
        let outcome = start(office, road, &[]);
        clear(office);
        assert_eq!(outcome.status, status, "{road:?}: {outcome}");
        for part in expected {
            assert!(outcome.stderr.contains(part), "{road:?}: {part}: {outcome}");
        }
        assert_eq!(messages(office), before, "{road:?}");
        if road == Road::Resume {
            office.ends(&["cancel", "daily"], 0);
        }
    }
}

#[test]
fn a_database_that_takes_no_writes_is_refused_on_every_road() {
    let role = "tls_only";
    let of = |office: &Office, sql: &str| {
        let database = office.place.database.as_ref().unwrap();
        database.execute(&sql.replace("DATABASE", &format!("DATABASE {}", database.name)));
    };
    let office = || Office::at(Place::postgres(), 10, Script::default());
    for privilege in ["INSERT", "UPDATE", "DELETE"] {
        let expected = [
            "may not write to claims",
            "cannot write the state store at ",
            "hint: GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pushctl TO tls_only",
        ];
        let revoke = format!("REVOKE {privilege} ON pushctl.claims FROM {role}");
        let grant = format!("GRANT {privilege} ON pushctl.claims TO {role}");
        unwritable(
            &mut office(),
            (4, &expected),
            &|office| of(office, &revoke),
            &|office| of(office, &grant),
        );
    }
    let expected = [
        "the server accepts no writes",
        "target_session_attrs=read-write",
    ];
    unwritable(
        &mut office(),
        (1, &expected),
        &|office| {
            of(
                office,
                "ALTER ROLE tls_only IN DATABASE SET default_transaction_read_only = on",
            );
        },
        &|office| {
            of(
                office,
                "ALTER ROLE tls_only IN DATABASE RESET default_transaction_read_only",
            );
        },
    );
    // And where there is no store yet: nothing waits for a server that may become writable.
    let office = office();
    office.file(&due(-1, ""));
    of(
        &office,
        "ALTER ROLE tls_only IN DATABASE SET default_transaction_read_only = on",
    );
    let outcome = start(&office, Road::Pipeline, &[]);
    assert_eq!(outcome.status, 1, "{outcome}");
    assert!(outcome.stderr.contains(expected[0]), "{outcome}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_takes_no_writes_is_refused_on_every_road() {
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    let file = |office: &Office| office.place.file().unwrap();
    unwritable(
        &mut Office::restricted(10),
        (
            1,
            &[
                "state.db is read-only",
                "hint: name another file with --state",
            ],
        ),
        &|office| mode(&file(office), 0o400),
        &|office| mode(&file(office), 0o600),
    );
    unwritable(
        &mut Office::restricted(10),
        (
            1,
            &[
                "cannot write the state store",
                "state.db",
                "hint: name another file with --state",
            ],
        ),
        &|office| mode(file(office).parent().unwrap(), 0o500),
        &|office| mode(file(office).parent().unwrap(), 0o700),
    );
}
