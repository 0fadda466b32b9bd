//! The occurrence's lease, and claims: no road sends beside another process, and none sends to a person twice.

use pushctl::delivery::lease_name;
use pushctl::run::gates::Road;
use pushctl::state::Taking;
use pushctl::state::process_id::ProcessId;

use super::{due, generate, messages, spawn, start};
use crate::pipeline::office::{Office, until};
use crate::support::fcm::script::Script;
use crate::support::store::Place;

/// Another process holds the occurrence.
fn held(office: &Office, (automation, occurrence): (&str, &str), road: Road, more: &[&str]) {
    let name = lease_name(automation, occurrence);
    let holder = ProcessId::this_process("bob@worker-2");
    let before = messages(office);
    office.in_store(async |store| {
        let Taking::Taken(lease) = store.take_lease(&name, &holder).await.unwrap() else {
            panic!("{road:?}: another process has {name}");
        };
        let outcome = start(office, road, more);
        assert_eq!(outcome.status, 11, "{road:?}: {outcome}");
        assert!(
            outcome.stderr.contains("bob@worker-2"),
            "{road:?}: {outcome}"
        );
        lease.release().await.unwrap();
    });
    assert_eq!(messages(office), before, "{road:?}");
}

#[test]
fn an_occurrence_that_another_process_holds_is_sent_on_no_road() {
    for place in [Place::sqlite(), Place::postgres()] {
        let office = Office::at(place, 10, Script::default());
        office.file(&due(-1, ""));
        generate(&office);
        let more = ["--occurrence", "mine"];
        held(&office, ("send", "mine"), Road::Send, &more);
        held(&office, ("daily", "mine"), Road::SendAutomation, &more);
        assert_eq!(office.runs().len(), 0);
        office.ends(&["run-pipeline", "daily", "--until", "generate"], 0);
        let run = office.runs().remove(0);
        let of_it = ("daily", &*run.occurrence);
        for road in [Road::Pipeline, Road::Resume] {
            held(&office, of_it, road, &[]);
        }
        // A scheduler starts ticks all the time, and one is enough.
        let name = lease_name("daily", &run.occurrence);
        let holder = ProcessId::this_process("bob@worker-2");
        office.in_store(async |store| {
            let Taking::Taken(lease) = store.take_lease(&name, &holder).await.unwrap() else {
                panic!("another process has {name}");
            };
            let outcome = start(&office, Road::Tick, &[]);
            assert!([0, 11].contains(&outcome.status), "{outcome}");
            assert!(outcome.stderr.contains("bob@worker-2"), "{outcome}");
            lease.release().await.unwrap();
        });
        assert_eq!(messages(&office), 0);
        assert_eq!(start(&office, Road::Tick, &[]).status, 0);
        held(&office, of_it, Road::InDoubtRetry, &[]);
    }
}

#[test]
fn what_a_killed_process_claimed_is_not_sent_again_on_any_road() {
    for road in [
        Road::Send,
        Road::SendAutomation,
        Road::Pipeline,
        Road::Tick,
        Road::Resume,
    ] {
        let mut office = Office::new(60, Script::default());
        office.file(&due(-1, ""));
        generate(&office);
        office.set("PUSHCTL_RATE", "20");
        let first = match road {
            Road::Resume => Road::Tick,
            road => road,
        };
        let mut child = spawn(&office, first, &[]);
        until(|| office.reached().len() >= 5);
        child.kill().unwrap();
        child.wait().unwrap();
        office.set("PUSHCTL_RATE", "1000");
        let outcome = start(&office, road, &[]);
        // What was on the wire is in doubt.
        assert!([0, 3].contains(&outcome.status), "{road:?}: {outcome}");
        let all = match road {
            Road::Send | Road::SendAutomation => 30,
            _ => 60,
        };
        let fans = (1..=60).map(|n| office.stand_in.attempts(&format!("token-fan-{n}")).len());
        assert!(fans.clone().all(|sent| sent <= 1), "{road:?}");
        assert!(fans.sum::<usize>() >= all - 5, "{road:?}: {outcome}");
    }
}
