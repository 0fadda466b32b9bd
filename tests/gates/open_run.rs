//! An automation has one open live run at a time.

use std::time::Duration;

use pushctl::run::gates::Road;
use pushctl::state::{CancelTarget, Run, RunStatus};

use super::{due, generate, refused, start};
use crate::pipeline::office::{File, Office, until};
use crate::support::fcm::script::Script;
use crate::support::store::Place;

fn open(office: &Office) -> Vec<Run> {
    let mut runs = office.runs();
    runs.retain(|run| run.status == RunStatus::Open);
    runs
}

#[test]
fn while_a_run_is_open_no_other_one_begins() {
    for place in [Place::sqlite(), Place::postgres()] {
        let office = Office::at(place, 10, Script::default());
        office.file(&due(-1, ""));
        generate(&office);
        // It was begun, and its process is gone.
        let now = ["run-pipeline", "daily", "--now", "--until", "generate"];
        office.ends(&now, 0);
        let run = open(&office).remove(0);
        for road in [Road::SendAutomation, Road::Pipeline, Road::Now, Road::Tick] {
            let outcome = refused(&office, road, 11, &run.id);
            for command in ["resume", "cancel"] {
                let hint = format!("`pushctl {command} {}`", run.id);
                assert!(outcome.stderr.contains(&hint), "{road:?}: {outcome}");
            }
        }
        assert_eq!(open(&office).len(), 1);
        // Of another road, by a person who says why.
        let more = ["--override", "open-run", "--reason", "the other waits"];
        let outcome = start(&office, Road::SendAutomation, &more);
        assert_eq!(outcome.status, 0, "{outcome}");
        assert_eq!(office.reached().len(), 5);
        office.ends(&["cancel", &run.id], 0);
    }
}

#[test]
fn of_two_that_begin_at_once_one_does_and_after_a_kill_it_is_still_the_only_one() {
    for place in [Place::sqlite(), Place::postgres()] {
        let office = Office::at(place, 10, Script::default());
        office.file(&due(600, ""));
        let now = ["run-pipeline", "daily", "--now"];
        // The store is made first: this is about runs, not about three migrations at once.
        assert!(office.runs().is_empty());
        let mut children = [office.spawn(&now), office.spawn(&now), office.spawn(&now)];
        let mut over = Vec::new();
        until(|| {
            over = children
                .iter_mut()
                .filter_map(|child| child.try_wait().unwrap())
                .map(|status| status.code())
                .collect();
            over.len() == 2
        });
        assert_eq!(over, [Some(11), Some(11)]);
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(open(&office).len(), 1);
        for child in &mut children {
            let _ = child.kill();
            child.wait().unwrap();
        }
        let run = open(&office).remove(0);
        refused(&office, Road::Now, 11, &run.id);
        assert_eq!(open(&office), [run]);
    }
}

/// The roads that begin another occurrence.
const OTHERS: [Road; 4] = [Road::SendAutomation, Road::Pipeline, Road::Now, Road::Tick];

/// Begins the next occurrence on a road, after the run of another one that cannot send any more; it is closed as `status`
/// with these words, and the road's own run begins.
fn begins_after(office: &Office, road: Road, old: &Run, (status, words): (RunStatus, &str)) {
    office.file(&due(-1, ""));
    if road == Road::SendAutomation {
        generate(office);
    }
    let more: &[&str] = match road {
        Road::Now => &["--until", "generate"],
        _ => &[],
    };
    let outcome = start(office, road, more);
    // A tick carries both on, and reports what became of the old one.
    if road == Road::Tick {
        assert_ne!(outcome.status, 0, "{outcome}");
    } else {
        assert_eq!(outcome.status, 0, "{road:?}: {outcome}");
        let closed = format!("run {} ({}) is closed: ", old.id, old.occurrence);
        assert!(outcome.stderr.contains(&closed), "{road:?}: {outcome}");
    }
    assert!(outcome.stderr.contains(words), "{road:?}: {outcome}");
    let closed = office.in_store(async |store| store.run(&old.id).await.unwrap());
    assert_eq!(closed.unwrap().status, status, "{road:?}");
    let (reached, still_open) = match road {
        Road::SendAutomation => (5, 0),
        Road::Now => (0, 1),
        _ => (10, 0),
    };
    assert_eq!(office.reached().len(), reached, "{road:?}: {outcome}");
    assert_eq!(open(office).len(), still_open, "{road:?}");
}

#[test]
fn one_that_is_too_late_to_send_is_closed_by_the_next_start_which_says_so() {
    for road in OTHERS {
        let office = Office::new(10, Script::default());
        let mut file = due(-20, "");
        file.lateness = 30;
        office.file(&file);
        office.ends(&["run-pipeline", "daily", "--until", "test"], 0);
        let old = open(&office).remove(0);
        // By the clock of a machine that is hours ahead it would be; here the run itself is made older.
        office.in_store(async |store| {
            let mut plan = old.plan.clone();
            let times = &mut plan["course"]["times"];
            times["lateness_seconds"] = 60.into();
            store.amend_plan(&old.id, &plan).await.unwrap();
        });
        begins_after(&office, road, &old, (RunStatus::Refused, "too late"));
    }
}

#[test]
fn one_that_is_cancelled_and_has_no_process_is_closed_by_the_next_start_which_says_so() {
    for place in [Place::sqlite, Place::postgres] {
        for road in OTHERS {
            let office = Office::at(place(), 10, Script::default());
            office.file(&File::waiting(10));
            let mut waits = office.spawn(&["run-pipeline", "daily"]);
            until(|| office.tests() == 2);
            let old = open(&office).remove(0);
            waits.kill().unwrap();
            waits.wait().unwrap();
            // A cancel that its process does not see any more.
            office.in_store(async |store| {
                let target = CancelTarget::Run(old.id.clone());
                let reason = Some("wrong link");
                let stopped = store.cancel(&target, "carol@office", reason).await;
                assert_eq!(stopped.unwrap().len(), 1);
            });
            let words = "cancelled by carol@office";
            begins_after(&office, road, &old, (RunStatus::Cancelled, words));
        }
    }
}

#[test]
fn a_run_that_a_safeguard_closed_is_not_opened_beside_another_one() {
    let office = Office::new(10, Script::default());
    office.file(&due(-3, "max_audience = 9"));
    assert_eq!(start(&office, Road::Pipeline, &[]).status, 12);
    let refused_run = office.runs().remove(0);
    let now = ["run-pipeline", "daily", "--now", "--until", "generate"];
    office.file(&due(600, ""));
    office.ends(&now, 0);
    let outcome = office.ends(&["resume", &refused_run.id], 11);
    assert!(outcome.stderr.contains("pushctl cancel"), "{outcome}");
}
