//! The commands over the state store, on both stores: its own upkeep, what runs did, and stopping them.

mod compare;
mod deliver;
mod present;
mod show;
mod stop;
mod upkeep;
mod who;

use pushctl::state::NewRun;

use crate::support::cli::{Outcome, Sandbox};
use crate::support::store::Place;

/// pushctl on this store.
fn run(sandbox: &Sandbox, place: &Place, arguments: &[&str]) -> Outcome {
    run_with(sandbox, place, arguments, &[])
}

/// The same with variables.
fn run_with(
    sandbox: &Sandbox,
    place: &Place,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Outcome {
    let setting = place.setting();
    let mut arguments = arguments.to_vec();
    arguments.extend(["--state", &setting]);
    let mut outcome = sandbox.run_with(&arguments, variables);
    // The port and the name of the database, or the directory, are of this test alone.
    for text in [&mut outcome.stdout, &mut outcome.stderr] {
        *text = text.replace(&setting, "[STATE]");
    }
    outcome
}

/// A run of the daily automation.
fn a_run() -> NewRun {
    NewRun {
        id: "0198b2a4-0000-7000-8000-000000000001".to_owned(),
        automation: "layer3-daily".to_owned(),
        occurrence: "layer3-daily@2026-11-21T13:33-06:00".to_owned(),
        mode: "live-send".to_owned(),
        begun_by: "alice@worker-1".to_owned(),
        plan: serde_json::json!({}),
    }
}

/// Another run, of any automation.
fn another(number: u32, automation: &str) -> NewRun {
    NewRun {
        id: format!("0198b2a5-0000-7000-8000-{number:012}"),
        automation: automation.to_owned(),
        occurrence: format!("{automation}@{number}"),
        ..a_run()
    }
}
