//! `--now`: an occurrence of its own, whose test pushes leave a minute later at the earliest. One minute for all of
//! them.

use pushctl::run::gates::Road;

use super::obstacles::{MARKER, newer};
use super::{due, ending, failures, messages, spawn, start};
use crate::pipeline::office::{File, Office, until};
use crate::pipeline::stage::QUERY;
use crate::support::fcm::script::Script;

fn file(safeguards: &str) -> File {
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
fn generated(office: &Office) {
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
        &marker, &outcomes, &store, &failing, &deleted, &cancelled, &had, &away, &names,
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
    ended(&away, at_away, 5, "");
}
