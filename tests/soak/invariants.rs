//! What holds after every step, and at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use pushctl::audience::manifest::manifests_in;
use pushctl::csv_writer::hex;
use pushctl::state::ledger::{Ending, Standing};
use pushctl::state::{RunFilter, RunStatus};
use sha2::{Digest as _, Sha256};

use super::commands::{Act, Disturbance};
use super::world::World;
use crate::pipeline::office::Office;
use crate::support::cli::Outcome;
use crate::support::fcm::ledger::Fate;

/// What a busy machine may add to a deadline.
const SLACK: Duration = Duration::from_secs(6);

/// How a command ended.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
    pub(super) limit: Duration,
}

impl Ended {
    /// Checks the time, the exit status and the error.
    pub(super) fn check(&self, act: &Act, shown: &str) {
        let Self {
            outcome,
            took,
            limit,
        } = self;
        assert!(*took <= *limit + SLACK, "{shown}: {took:?}\n{outcome}");
        let mut may = vec![0, 3, 5, 6, 11, 12, 20];
        match act.disturbance {
            Disturbance::Signal("KILL", _) => may.push(-1),
            Disturbance::Signal("INT", _) => may.extend([130, -1]),
            Disturbance::Signal("TERM", _) => may.extend([143, -1]),
            Disturbance::FileLimit(_) => may.push(1),
            _ => {}
        }
        // A peer that speaks another protocol, a file that does not exist, a run that never was.
        may.extend([2, 4]);
        assert!(may.contains(&outcome.status), "{shown}: {outcome}");
        for never in ["panicked", "hunter2", "a bug in pushctl", "PRIVATE KEY"] {
            assert!(!outcome.stderr.contains(never), "{shown}: {outcome}");
        }
        if !matches!(outcome.status, -1 | 0) {
            assert!(!outcome.stderr.trim().is_empty(), "{shown}: {outcome}");
        }
    }
}

/// Returns the names in the directory of audiences.
pub(super) fn names(office: &Office) -> Vec<String> {
    let directory = office.sandbox.here().join("generated");
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.collect()
}

/// After every step: a manifest's files are there and whole, and the store can be read.
pub(super) fn hold(world: &World) {
    let directory = world.office.sandbox.here().join("generated");
    for (name, manifest) in manifests_in(&directory) {
        for file in manifest.files {
            let content = std::fs::read(directory.join(&file.name));
            let content = content.unwrap_or_else(|error| panic!("{name}: {}: {error}", file.name));
            assert_eq!(hex(&Sha256::digest(&content)), file.sha256, "{name}");
        }
    }
    no_copy_is_unrecorded(world, false);
}

/// Every message that the service accepted is recorded as accepted, or its claim is in doubt; none was sent for a claim
/// that does not exist, and so none twice.
fn no_copy_is_unrecorded(world: &World, is_over: bool) {
    let mut on_the_wire: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for one in world.office.stand_in.accepted() {
        if one.fate != Fate::Validated {
            on_the_wire.entry(one.token).or_default().insert(one.name);
        }
    }
    let (mut accepted, mut open) = (BTreeMap::new(), BTreeMap::new());
    world.office.in_store(async |store| {
        for run in store.runs(&RunFilter::default()).await.unwrap() {
            for push in store
                .pushes(&run.automation, &run.occurrence)
                .await
                .unwrap()
            {
                for one in store.recipients(&push, 0, 10_000).await.unwrap() {
                    let number = one.user.to_string();
                    let number = number.rsplit('-').next().unwrap().trim_start_matches('0');
                    let token = format!("token-fan-{number}");
                    match one.standing {
                        Standing::Ended(Ending::Accepted) => {
                            let name = one.message_name.unwrap();
                            let names: &mut BTreeSet<String> = accepted.entry(token).or_default();
                            names.insert(name);
                        }
                        Standing::Ended(Ending::InDoubt) | Standing::Unanswered => {
                            let ids: &mut BTreeSet<i64> = open.entry(token).or_default();
                            ids.insert(one.claim);
                        }
                        Standing::Queued => assert!(!is_over, "{one:?}"),
                        Standing::Ended(_) => {}
                    }
                }
            }
        }
    });
    let none = BTreeSet::new();
    for (token, sent) in &on_the_wire {
        let recorded = accepted.get(token).unwrap_or(&none);
        let lost = sent.difference(recorded).count();
        let in_doubt = open.get(token).map_or(0, BTreeSet::len);
        assert!(
            lost <= in_doubt,
            "{token}: {sent:?} sent, {recorded:?} recorded, {in_doubt} in doubt"
        );
    }
    for (token, recorded) in &accepted {
        let sent = on_the_wire.get(token).unwrap_or(&none);
        assert!(
            recorded.is_subset(sent),
            "{token}: {recorded:?} recorded, {sent:?} sent"
        );
    }
}

/// With every peer well again, each run comes to its end, and each recipient is accounted for.
pub(super) fn hold_at_the_end(world: &World) {
    let filter = RunFilter {
        status: Some(RunStatus::Open),
        ..RunFilter::default()
    };
    let open = || {
        world
            .office
            .in_store(async |store| store.runs(&filter).await.unwrap())
    };
    let mut said = Vec::new();
    for _ in 0..3 {
        for run in open() {
            let outcome = world.office.run(&["resume", &run.id, "--yes"]);
            assert!(
                [0, 3, 5, 6, 11, 12, 20].contains(&outcome.status),
                "{outcome}"
            );
            said.push(outcome.to_string());
        }
    }
    let left = open();
    assert!(left.is_empty(), "{left:#?}\n{}", said.join("\n"));
    no_copy_is_unrecorded(world, false);
    for command in [
        &["status", "--json"][..],
        &["runs", "--json"],
        &["state", "status"],
    ] {
        let outcome = world.office.run(command);
        assert_eq!(outcome.status, 0, "{outcome}");
    }
    let hidden = names(&world.office);
    let outcome = world.office.run(&["generate", "fans"]);
    assert_eq!(outcome.status, 0, "{outcome}");
    let left = names(&world.office)
        .into_iter()
        .filter(|name| name.starts_with(".pushctl-"));
    assert_eq!(left.count(), 0, "{hidden:?}");
}
