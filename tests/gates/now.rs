//! `--now`: an occurrence of its own, whose test pushes leave a minute later at the earliest. One minute for all of
//! them.

use std::time::Duration;

use pushctl::run::gates::Road;

use super::obstacles::{MARKER, newer};
use super::{due, ending, failures, messages, spawn, start};
use crate::pipeline::office::{File, Office, until, within};
use crate::pipeline::stage::QUERY;
use crate::support::fcm::script::Script;
use crate::support::store::Place;

pub(super) fn file(safeguards: &str) -> File {
    File {
        lead: 1,
        lateness: 1,
        ..due(600, safeguards)
    }
}

fn office(fans: u32, script: Script) -> Office {
    let office = Office::new(fans, script);
    office.file(&file(""));
    office
}

/// Waits until the audience has been generated.
pub(super) fn generated(office: &Office) {
    until(|| {
        let runs = office.runs();
        let Some(run) = runs.first() else {
            return false;
        };
        let phases = office.in_store(async |store| store.phases(&run.id).await.unwrap());
        phases
            .iter()
            .any(|phase| phase.phase == "generate" && phase.ended_at.is_some())
    });
}

#[test]
fn an_occurrence_of_its_own_meets_the_guards_of_its_later_phases() {
    let marker = office(10, Script::default());
    let mut outcomes = office(10, Script::default());
    outcomes.sandbox.write("here/taken", "a file");
    outcomes.set("PUSHCTL_OUTCOMES", "taken");
    let mut store = office(10, Script::default());
    newer(&mut store, "newer");
    let failing = office(120, failures::bad());
    let deleted = office(10, Script::default());
    let mut cancelled = office(400, Script::default());
    cancelled.set("PUSHCTL_RATE", "20");
    // Everyone has had a push of the layer.
    let had = Office::new(10, Script::default());
    had.file(&due(-1, ""));
    assert_eq!(start(&had, Road::Tick, &[]).status, 0);
    had.file(&file(""));
    // Everyone has had the push today, and the file has the usual limit.
    let mut twice = Office::new(10, Script::default());
    twice.set("PUSHCTL_CADENCE", "off");
    twice.file(&due(-1, ""));
    assert_eq!(start(&twice, Road::Tick, &[]).status, 0);
    twice.file(&file("# the usual overlap"));
    let (_listener, url) = ending::silent();
    let mut away = office(10, Script::default());
    away.set("DATABASE_URL", url);
    away.set("PUSHCTL_DEADLINE", "2s");
    let names = office(10, Script::default());
    let query = QUERY.replace("SELECT id AS user_id", "SELECT username AS user_id");
    names.sandbox.write("here/queries/fans.sql", &query);
    names.file(&File {
        test: "required = false".to_owned(),
        ..file("")
    });

    let offices = [
        &marker, &outcomes, &store, &failing, &deleted, &cancelled, &had, &twice, &away, &names,
    ];
    let children = offices.map(|office| spawn(office, Road::Now, &["--json"]));
    generated(&marker);
    std::fs::create_dir(marker.sandbox.here().join(MARKER)).unwrap();
    generated(&deleted);
    deleted
        .market
        .execute("UPDATE users SET deleted_at = 1 WHERE username = 'fan-2'");
    let [
        at_marker,
        at_outcomes,
        at_store,
        at_failing,
        at_deleted,
        at_cancelled,
        at_had,
        at_twice,
        at_away,
        at_names,
    ] = children;

    let ended = |office: &Office, child, status: i32, expected: &str| {
        let outcome = office.ended(child);
        assert_eq!(outcome.status, status, "{expected}: {outcome}");
        let told = outcome.stderr.contains(expected) || outcome.stdout.contains(expected);
        assert!(told, "{expected}: {outcome}");
    };
    let interrupted = "was interrupted";
    ended(&marker, at_marker, 12, interrupted);
    ended(&outcomes, at_outcomes, 1, "cannot write outcome files into");
    ended(&store, at_store, 12, "is older than the outcome files");
    ended(&names, at_names, 2, "is a UUID");
    for office in [&marker, &outcomes, &store, &names] {
        assert_eq!(messages(office), 0);
    }
    until(|| cancelled.reached().len() >= 3);
    cancelled.ends(&["cancel", "daily"], 0);
    ended(&cancelled, at_cancelled, 20, "cancelled by alice@");
    assert!(cancelled.reached().len() < 200);
    ended(&failing, at_failing, 12, "of the first 30 messages");
    assert!(messages(&failing) < 60);
    ended(&deleted, at_deleted, 0, "deleted");
    assert_eq!(deleted.stand_in.attempts("token-fan-2").len(), 0);
    assert_eq!(deleted.reached().len(), 9);
    // It panics where a person was reached twice.
    assert_eq!(start(&deleted, Road::Resume, &[]).status, 6);
    assert_eq!(deleted.reached().len(), 9);
    ended(&had, at_had, 0, "l3Cooldown");
    assert_eq!(had.reached().len(), 10);
    ended(&twice, at_twice, 12, "5 of the 5 recipients had this push");
    assert_eq!(twice.reached().len(), 10);
    ended(&away, at_away, 5, "");
}

/// The refusal of a second process, which names the run and the process that carries it.
fn stays_out(office: &mut Office, run: &str, holder: &str) {
    let before = messages(office);
    office.set("USER", "bob");
    let outcome = start(office, Road::Now, &[]);
    office.set("USER", "alice");
    assert_eq!(outcome.status, 11, "{outcome}");
    for part in [run, "begun by alice@", holder] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome}");
    }
    assert_eq!(office.runs().len(), 1, "{outcome}");
    assert!(messages(office) >= before);
}

#[test]
fn no_second_process_sends_beside_one_that_holds_the_lease_or_has_claimed() {
    std::thread::scope(|scope| {
        for place in [Place::sqlite(), Place::postgres()] {
            scope.spawn(move || sends_alone(place));
        }
    });
}

fn sends_alone(place: Place) {
    let mut office = Office::at(place, 120, Script::default());
    office.file(&file(""));
    office.set("PUSHCTL_RATE", "5");
    let mut first = spawn(&office, Road::Now, &[]);
    until(|| office.tests() == 0 && !office.runs().is_empty());
    let run = office.runs().remove(0).id;
    let holder = format!("(process {}) carries it", first.id());
    // It holds the lease, and has claimed no one yet.
    stays_out(&mut office, &run, &holder);
    assert_eq!(office.reached().len(), 0);
    within(Duration::from_secs(120), || office.reached().len() >= 5);
    stays_out(&mut office, &run, &holder);
    first.kill().unwrap();
    first.wait().unwrap();
    // It is dead, and what it claimed is claimed.
    stays_out(&mut office, &run, "");
    office.set("PUSHCTL_RATE", "1000");
    let resumed = start(&office, Road::Resume, &[]);
    assert!([0, 3].contains(&resumed.status), "{resumed}");
    let attempts = |n| office.stand_in.attempts(&format!("token-fan-{n}")).len();
    assert!((1..=120).all(|n| attempts(n) <= 1), "{resumed}");
    assert!(office.reached().len() > 100, "{resumed}");
    assert_eq!(office.tests(), 2);
}
