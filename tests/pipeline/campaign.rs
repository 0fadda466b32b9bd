//! Starts that are killed at any moment, and later starts that continue the run.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pushctl::csv_writer::hex;
use pushctl::pipeline::driver::DriveResult;
use pushctl::pipeline::{PhaseRecords, RunPlan};
use pushctl::state::ledger::{Ending as Outcome, Standing};
use pushctl::state::{RunFilter, RunStatus, Store};
use sha2::{Digest as _, Sha256};

use super::stage::{Site, Stage, StartOutcome, TICK, WAIT, hand, text, today};
use crate::support::campaign::{Campaign, Random};
use crate::support::fcm::script::{Reply, Script};
use crate::support::store::{Hand, Place};

const FANS: u32 = 120;
/// The first starts of a run may be killed.
const KILLS: u32 = 7;
/// Where the child finds its site, and what it is to do.
const SITE: &str = "PUSHCTL_TEST_SITE";
const AT: &str = "PUSHCTL_TEST_AT";
const FORM: &str = "PUSHCTL_TEST_FORM";

/// How a run is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Process,
    Ticks,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn campaign_runs_killed_in_every_phase_reach_each_recipient_once() {
    let campaign = Campaign::start("runs killed", 6, 100);
    let mut random = campaign.random();
    let mut killed = BTreeMap::new();
    // A few rounds may all be killed in the same phases: more are played until the kills are spread.
    let is_over = |round: u32, phases: usize| {
        round >= campaign.rounds() && (phases > 2 || round >= 6 * campaign.rounds())
    };
    let mut round = 0;
    while !is_over(round, killed.len()) {
        let form = [Form::Process, Form::Ticks][(round % 2) as usize];
        let place = match round % 3 {
            0 => Place::postgres(),
            _ => Place::sqlite(),
        };
        one(place, form, &mut random, &mut killed).await;
        round += 1;
    }
    campaign.report(&format!("killed in: {killed:?}"));
    assert!(killed.len() > 2, "the kills hit only {killed:?}");
}

async fn one(place: Place, form: Form, random: &mut Random, killed: &mut BTreeMap<String, u32>) {
    let then = Box::new(Reply::Accept);
    let script = Script::default().always("*", Reply::Slow { ms: 15, then });
    let mut stage = Stage::new(place, FANS, script);
    // The kills take minutes of the run's clock; being late is the matter of other tests.
    let patient = "lead_minutes = 2\nmax_lateness_minutes = 240";
    stage.site.text = text(1, "").replace("lead_minutes = 2", patient);
    stage.site.rate = 150;
    let mut now: Timestamp = today("13:31:00").parse().unwrap();
    let mut starts = 0;
    loop {
        starts += 1;
        assert!(starts < 30, "it does not come to an end");
        // Some are left alone, and in the end all.
        let is_killed = starts <= KILLS && random.fraction() < 0.7;
        let patience = is_killed.then(|| {
            let longest = if form == Form::Process { 2.5 } else { 1.8 };
            Duration::from_secs_f64(longest * random.fraction())
        });
        let said = child(&stage.site, form, now, patience);
        let store = stage.site.store(hand(&now.to_string())).await.unwrap();
        let (status, phases) = standing(&store).await;
        if status.is_some_and(|status| status != RunStatus::Open) {
            break;
        }
        if said.iter().any(|line| line.starts_with("ended")) {
            now += SignedDuration::from_secs(60 + i64::try_from(random.next() % 120).unwrap());
        } else {
            let last = phases.0.iter().rev().find(|phase| phase.ended_at.is_none());
            let word = last.map_or("between", |phase| phase.phase.as_str());
            *killed.entry(word.to_owned()).or_default() += 1;
            // As far as the one before had come by its own clock.
            let latest = phases.0.iter().map(|phase| phase.begun_at).max();
            now = latest.unwrap_or(now).max(now) + SignedDuration::from_secs(1);
        }
    }
    verify(&stage).await;
}

async fn standing(store: &Store) -> (Option<RunStatus>, PhaseRecords) {
    let runs = store.runs(&RunFilter::default()).await.unwrap();
    assert!(runs.len() <= 1, "{runs:#?}");
    let Some(run) = runs.first() else {
        return (None, PhaseRecords::default());
    };
    (
        Some(run.status),
        PhaseRecords(store.phases(&run.id).await.unwrap()),
    )
}

async fn verify(stage: &Stage) {
    let reached = stage.reached();
    let store = stage.site.store(hand(&today("14:00:00"))).await.unwrap();
    let run = store.runs(&RunFilter::default()).await.unwrap().remove(0);
    let records = PhaseRecords(store.phases(&run.id).await.unwrap());
    let shown = || format!("{run:#?}\n{records:#?}");
    assert!(
        matches!(run.status, RunStatus::Done | RunStatus::Partial),
        "{}",
        shown()
    );
    for phase in [
        "generate", "test", "window", "push-1", "push-2", "send", "cleanup",
    ] {
        let done = records
            .0
            .iter()
            .filter(|one| one.phase == phase && one.result.as_deref() == Some("done"));
        assert_eq!(done.count(), 1, "{phase}: {}", shown());
        // Nothing of a phase was begun after it was done.
        let ended = records.ended(phase).unwrap();
        let later = records
            .0
            .iter()
            .any(|one| one.phase == phase && one.begun_at > ended);
        assert!(!later, "{phase} was repeated: {}", shown());
    }
    // No recipient is lost: one that was not reached is recorded as in doubt.
    let mut in_doubt = 0;
    let pushes = store.pushes("daily", &run.occurrence).await.unwrap();
    assert_eq!(pushes.len(), 2);
    for push in &pushes {
        let everyone = store.recipients(push, 0, 10_000).await.unwrap();
        assert_eq!(everyone.len(), FANS as usize / 2);
        for one in everyone {
            match one.standing {
                Standing::Ended(Outcome::Accepted) => {}
                Standing::Ended(Outcome::InDoubt) => in_doubt += 1,
                other => panic!("{other:?}: {}", shown()),
            }
        }
    }
    assert!(reached.len() <= FANS as usize);
    assert!(
        reached.len() + in_doubt >= FANS as usize,
        "{} reached, {in_doubt} in doubt",
        reached.len()
    );
    // The files sent are the files tested.
    let files = records.files().unwrap();
    assert_eq!(
        RunPlan::of(&run).unwrap().automation.push.len(),
        files.pushes.len()
    );
    for file in files
        .pushes
        .iter()
        .flat_map(|push| push.live.iter().chain(&push.test))
    {
        let content = std::fs::read(files.directory.join(&file.name)).unwrap();
        assert_eq!(hex(&Sha256::digest(content)), file.sha256);
    }
}

/// Starts a process, kills it after a while unless it ends before, and returns its output.
fn child(site: &Site, form: Form, at: Timestamp, patience: Option<Duration>) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "pipeline::campaign::a_start_that_is_there_to_be_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(SITE, serde_json::to_string(site).unwrap())
        .env(AT, at.to_string())
        .env(FORM, format!("{form:?}"))
        .stdout(Stdio::piped())
        .env("RUST_BACKTRACE", "0")
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let mut said = Vec::new();
    said.extend(lines.by_ref().find(|line| line.starts_with("started")));
    if let Some(patience) = patience {
        std::thread::sleep(patience);
        child.kill().unwrap();
    }
    child.wait().unwrap();
    said.extend(lines);
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "started, and killed, by the test around it"]
async fn a_start_that_is_there_to_be_killed() {
    let Ok(site) = std::env::var(SITE) else {
        return;
    };
    let site: Site = serde_json::from_str(&site).unwrap();
    let clock = Arc::new(Hand::at(&std::env::var(AT).unwrap()));
    let options = match std::env::var(FORM).unwrap().as_str() {
        "Process" => WAIT,
        _ => TICK,
    };
    println!("started");
    let came = site.start(options, clock).await.unwrap();
    match came {
        StartOutcome::To(DriveResult::Over(run)) => println!("ended: over, {:?}", run.error),
        other => println!("ended: {other:?}"),
    }
}
