//! The commands of a round, and what happens to their processes.

use std::fmt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use pushctl::state::{RunFilter, RunStatus};

use super::invariants::Ended;
use super::world::{DEADLINE, World};
use crate::support::campaign::Random;
use crate::support::programs::signal;

/// What happens to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disturbance {
    None,
    /// A signal, after so many milliseconds.
    Signal(&'static str, u64),
    /// It stands still for a while, after so many milliseconds.
    Suspended(u64),
    /// It may write files of so many blocks.
    FileLimit(u64),
}

/// A command line with what happens to it.
#[derive(Debug, Clone)]
pub(super) struct Act {
    pub(super) words: Vec<String>,
    pub(super) disturbance: Disturbance,
}

impl fmt::Display for Act {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.words.join(" "))?;
        match self.disturbance {
            Disturbance::None => Ok(()),
            other => write!(out, " ({other:?})"),
        }
    }
}

/// Plays one command, or two at once, and checks how they ended. Returns what it was.
pub(super) fn step(world: &mut World, random: &mut Random) -> String {
    world.steps += 1;
    let faults = world.break_some(random);
    let mut acts = vec![act(world, random)];
    if random.one_in(4) {
        acts.push(act(world, random));
    }
    let shown = acts
        .iter()
        .map(Act::to_string)
        .collect::<Vec<_>>()
        .join(" & ");
    let shown = if faults.is_empty() {
        shown
    } else {
        format!("{shown}; {faults}")
    };
    let began = Instant::now();
    let children: Vec<Child> = acts.iter().map(|act| start(world, act)).collect();
    let mut statuses = Vec::new();
    for (act, child) in acts.iter().zip(children) {
        let ended = disturbed(act, child, began, world);
        ended.check(act, &shown);
        statuses.push(ended.outcome.status.to_string());
    }
    format!("{shown}: {}", statuses.join(", "))
}

fn start(world: &World, act: &Act) -> Child {
    let words: Vec<&str> = act.words.iter().map(String::as_str).collect();
    let mut command = world.office.command(&words);
    if let Disturbance::FileLimit(blocks) = act.disturbance {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("ulimit -f {blocks}; exec \"$@\""), "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .current_dir(world.office.sandbox.here())
            .stdin(Stdio::null());
        command = shell;
    }
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("pushctl starts")
}

/// Does what happens to the process, and waits for its end.
fn disturbed(act: &Act, mut child: Child, began: Instant, world: &World) -> Ended {
    let mut limit = DEADLINE;
    let after = |ms: u64| {
        let left = Duration::from_millis(ms).saturating_sub(began.elapsed());
        std::thread::sleep(left);
    };
    match act.disturbance {
        Disturbance::Signal(name, ms) => {
            after(ms);
            // A process that is not waited for keeps its id.
            signal(name, child.id());
        }
        Disturbance::Suspended(ms) => {
            after(ms);
            signal("STOP", child.id());
            std::thread::sleep(Duration::from_secs(2));
            signal("CONT", child.id());
            limit += Duration::from_secs(2);
        }
        Disturbance::None | Disturbance::FileLimit(_) => {}
    }
    // A process that ends never is killed, and found out by its time.
    while child.try_wait().unwrap().is_none() && began.elapsed() < 5 * DEADLINE {
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = began.elapsed();
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    Ended {
        outcome: world.office.sandbox.outcome(&output),
        took,
        limit,
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn act(world: &World, random: &mut Random) -> Act {
    let has_files = !super::invariants::names(&world.office).is_empty();
    let words = match random.below(20) {
        _ if !has_files => words(&["generate", "fans", "--output", "generated"]),
        0..4 => words(&["generate", "fans", "--output", "generated"]),
        4 => words(&[
            "generate",
            "fans",
            "--output",
            "generated",
            "--fallback-max-age",
            "1h",
        ]),
        5..9 => send(world, random),
        9..13 => {
            automation(world, random, 60);
            words(&["run-pipeline", "daily", "--tick"])
        }
        13 => {
            // It sends after its lead.
            automation(world, random, 1);
            words(&["run-pipeline", "daily", "--now", "--yes"])
        }
        14..17 => resume(world, random),
        17 => words(&["cancel", "daily", "--yes"]),
        18 => words(&["sync"]),
        _ => words(&["status", "--json"]),
    };
    Act {
        words,
        disturbance: disturbance(random),
    }
}

fn disturbance(random: &mut Random) -> Disturbance {
    let ms = 30 + random.below(1_500);
    match random.below(12) {
        0..3 => Disturbance::Signal("KILL", ms),
        3 => Disturbance::Signal("INT", ms),
        4 => Disturbance::Signal("TERM", ms),
        5 => Disturbance::Suspended(ms),
        6 => Disturbance::FileLimit(random.below(600)),
        _ => Disturbance::None,
    }
}

/// A send of one of the files that were generated, or of one that does not exist.
fn send(world: &World, random: &mut Random) -> Vec<String> {
    let mut files: Vec<String> = super::invariants::names(&world.office)
        .into_iter()
        .filter(|name| {
            std::path::Path::new(name)
                .extension()
                .is_some_and(|end| end == "csv")
                && !name.contains("_TEST_")
        })
        .collect();
    files.sort();
    let chosen = usize::try_from(random.below(files.len() as u64 + 1)).unwrap();
    let file = files.get(chosen).map_or("missing.csv", String::as_str);
    let title = format!("Send {} to [[var:username]]", world.steps);
    let mut line = words(&["send", "--audience", &format!("generated/{file}")]);
    line.extend(words(&[
        "--title",
        &title,
        "--body",
        "[[var:bio]]",
        "--layer",
        "3",
        "--yes",
    ]));
    if random.one_in(3) {
        line.extend(words(&["--share"]));
    }
    line
}

/// Writes the automation anew: due a minute ago, now and then with other safeguards.
fn automation(world: &World, random: &mut Random, lead: u32) {
    let at = Timestamp::now() - SignedDuration::from_mins(1);
    let webhook = if random.one_in(4) {
        format!("[notify]\nwebhook = \"{}\"\n", World::dead_webhook())
    } else {
        String::new()
    };
    let safeguards = [
        "",
        "max_failure_rate = 0.5",
        "max_audience = 30",
        "holdout_percent = 10",
    ];
    let safeguards = safeguards[usize::try_from(random.below(4)).unwrap()];
    let text = format!(
        "name = \"daily\"\nenabled = true\n\
         [schedule]\nsend_at = \"{}\"\ntimezone = \"UTC\"\nfrequency = \"daily\"\nlead_minutes = {lead}\nmax_lateness_minutes = 30\n\
         [audience]\nname = \"fans\"\nfallback_max_age = \"1h\"\n[test]\nrequired = false\nuser_ids = []\n\
         [window]\ncancel_minutes = 0\n[safeguards]\n{safeguards}\n{webhook}\
         [[push]]\naudience_file = \"haves\"\nlayer = 3\ntitle = \"Haves\"\nbody = \"[[var:bio]]\"\n\
         [[push]]\naudience_file = \"wants\"\nlayer = 3\ntitle = \"Wants\"\nbody = \"[[var:bio]]\"\n",
        at.strftime("%H:%M"),
    );
    world
        .office
        .sandbox
        .write("here/automations/daily.toml", &text);
}

/// Resumes a run that is open, or the last one.
fn resume(world: &World, random: &mut Random) -> Vec<String> {
    let filter = RunFilter {
        status: Some(RunStatus::Open),
        ..RunFilter::default()
    };
    let open = world
        .office
        .in_store(async |store| store.runs(&filter).await.unwrap());
    let chosen = usize::try_from(random.below(open.len().max(1) as u64)).unwrap();
    let run = open.get(chosen).map_or("last", |run| &run.id);
    words(&["resume", run, "--yes"])
}
