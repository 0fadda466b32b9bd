//! Machines whose disk does not last: the tested files are kept in the state store until the run is over.

use super::office::{File, Office};
use crate::support::fcm::script::{Reply, Script};
use crate::support::store::Place;

/// Files that are kept in the store.
fn kept(office: &Office) -> String {
    let database = office.place.database.as_ref().unwrap();
    database.query("SELECT count(DISTINCT name) FROM pushctl.files")[0][0].clone()
}

fn lose_the_disk(office: &Office) {
    std::fs::remove_dir_all(office.sandbox.here().join("generated")).unwrap();
}

#[test]
fn files_outlive_the_disk_between_ticks_and_not_the_run() {
    let office = Office::at(Place::postgres(), 10, Script::default());
    office.file(&File::default());
    office.ends(&["run-pipeline", "daily", "--until", "generate"], 0);
    assert_eq!(kept(&office), "4");
    lose_the_disk(&office);
    office.ends(&["run-pipeline", "daily", "--until", "test"], 0);
    assert_eq!(office.tests(), 2);
    lose_the_disk(&office);
    office.tick(0);
    assert_eq!((office.tests(), office.reached().len()), (2, 10));
    assert_eq!(kept(&office), "0");
}

#[test]
fn what_a_safeguard_stopped_goes_on_from_another_machine() {
    let script = Script::default().on("token-tester", [Reply::Unregistered]);
    let office = Office::at(Place::postgres(), 10, script);
    office.file(&File::default());
    office.tick(12);
    assert_eq!(kept(&office), "4");
    lose_the_disk(&office);
    office.ends(&["resume", "last"], 0);
    assert_eq!(office.reached().len(), 10);
    assert_eq!(kept(&office), "0");
}

#[test]
fn without_such_a_store_nothing_else_is_sent_in_their_place() {
    let office = Office::new(10, Script::default());
    office.file(&File::default());
    office.ends(&["run-pipeline", "daily", "--until", "test"], 0);
    lose_the_disk(&office);
    let outcome = office.tick(12);
    outcome.says("nothing but the tested file is sent");
    outcome.says("PUSHCTL_STATE_URL");
    assert_eq!(office.reached().len(), 0);
}
