//! The state after the sender, the push service or the state database dies at any moment of a send, and after `resume`.
//!
//! The service is a process of its own, whose log has every accepted message. After each death the run is resumed until
//! it is finished. Then:
//!
//! * no token is in the log twice;
//! * every recipient is in exactly one row of the outcomes;
//! * every accepted recipient is in the log; a recipient in the log who does not count as accepted is in doubt;
//! * a recipient in doubt was claimed, and the answer was not recorded: never more than may be in flight at once;
//! * after the death of a sender, most messages in doubt were on the wire: at most half as many claims wait to leave.

use std::collections::{BTreeSet, HashSet};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pushctl::state::ledger::Standing;
use pushctl::state::{RunFilter, RunStatus};
use serde_json::Value;
use tempfile::TempDir;

use super::{BOTH, Kept, Office, Sent, id, people, until};
use crate::support::campaign::{Campaign, Random};
use crate::support::fcm::ledger::Memory;
use crate::support::fcm::script::Script;
use crate::support::fcm::{Options, StandIn};
use crate::support::postgres::Postgres;
use crate::support::programs::free_port;

const PEOPLE: u64 = 5_000;
/// Fast enough for a short test, slow enough for a send to be hit in the middle.
const RATE: &str = "4000";
/// Claims that may be under way at once, at that rate.
const AHEAD: u64 = 4_000;
/// Claims that may be ahead of a wire on which there is almost nothing: what leaves in five milliseconds.
const FEW: u64 = 20;
/// Bytes of a line of the service's log, about.
const LINE: u64 = 82;
/// Where the service keeps its things, and its port.
const PLACE: &str = "PUSHCTL_TEST_SERVICE";

/// The push service in a process of its own, which can be killed and started again.
struct Service {
    directory: TempDir,
    port: u16,
    process: Child,
}

impl Service {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let process = Self::spawn(&directory, port);
        Self {
            directory,
            port,
            process,
        }
    }

    fn spawn(directory: &TempDir, port: u16) -> Child {
        let ready = directory.path().join("ready");
        let _ = std::fs::remove_file(&ready);
        let process = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "send::crash::a_service_that_is_there_to_be_killed",
            ])
            .args(["--ignored", "--nocapture"])
            .env(PLACE, format!("{port} {}", directory.path().display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        until(|| ready.exists());
        process
    }

    /// Kills it, and starts it again on the same port.
    fn crash(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = Self::spawn(&self.directory, self.port);
    }

    /// How many about: the log's size tells, and costs nothing to look at.
    fn accepted_about(&self) -> u64 {
        let log = std::fs::metadata(self.directory.path().join("log"));
        log.map_or(0, |log| log.len() / LINE)
    }

    /// Whether nothing of what it was sent waits in a socket, and none of its threads has work. True where the system
    /// does not say.
    fn is_idle(&self) -> bool {
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let port = format!(":{:04X}", self.port);
        let waits = sockets.lines().any(|line| {
            let mut fields = line.split_whitespace().skip(1);
            let mut field = || fields.next().unwrap_or_default();
            let (local, remote, _state, queues) = (field(), field(), field(), field());
            let (sends, receives) = queues.split_once(':').unwrap_or_default();
            let is_empty = |queue: &str| queue.bytes().all(|digit| digit == b'0');
            (local.ends_with(&port) && !is_empty(receives))
                || (remote.ends_with(&port) && !is_empty(sends))
        });
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.process.id()));
        let works = threads.into_iter().flatten().flatten().any(|thread| {
            let status = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            let state = status.rsplit(") ").next().unwrap_or_default();
            !state.is_empty() && !state.starts_with('S')
        });
        !waits && !works
    }

    /// Every token that it ever accepted a message for.
    fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        let tokens = text.lines().filter_map(|line| line.split('\t').nth(2));
        tokens.map(str::to_owned).collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
#[ignore = "started, and killed, by the tests around it"]
fn a_service_that_is_there_to_be_killed() {
    let Ok(place) = std::env::var(PLACE) else {
        return;
    };
    let (port, directory) = place.split_once(' ').unwrap();
    let directory = PathBuf::from(directory);
    let stand_in = StandIn::start(&Options {
        port: port.parse().unwrap(),
        log: Some(directory.join("log")),
        keep: Some(directory.clone()),
        memory: Memory::Spared,
        script: Script::default(),
        ..Options::default()
    })
    .unwrap();
    std::fs::write(directory.join("ca.pem"), stand_in.authority_pem()).unwrap();
    let account = stand_in.service_account().to_string();
    std::fs::write(directory.join("account.json"), account).unwrap();
    std::fs::write(directory.join("ready"), "").unwrap();
    // The killing is never late.
    loop {
        std::thread::park();
    }
}

/// What dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Sender,
    /// It stands still until all that it had put on the wire has been read, and is killed then. A service that is busy
    /// drops what it has not read of a connection when that ends, and would count too few.
    FrozenSender,
    Service,
    Database,
}

/// What a campaign has seen.
#[derive(Debug, Default)]
struct Seen {
    /// Rounds whose victim died before everything was sent.
    in_the_middle: u32,
    resumes: u32,
    in_doubt: u64,
    /// In doubt after the death of a sender, and how many of those requests the service has seen.
    lost: (u64, u64),
    /// Of those: messages that the service had accepted.
    accepted_in_doubt: u64,
}

#[test]
fn campaign_killed_senders_lose_no_recipient_and_send_no_push_twice() {
    let campaign = Campaign::start("killed senders", 6, 200);
    let mut random = campaign.random();
    for kept in BOTH {
        let mut seen = Seen::default();
        for _ in 0..campaign.rounds() / 2 {
            let mut round = Round::begin(kept, None);
            round.play(Victim::Sender, &mut random, &mut seen);
        }
        campaign.report(&format!("{kept:?}: {seen:?}"));
        assert!(
            seen.in_the_middle > 0,
            "no process was killed in the middle: {seen:?}"
        );
    }
}

#[test]
fn campaign_killed_senders_leave_few_unsent_claims_in_doubt() {
    let campaign = Campaign::start("claims ahead of the wire", 6, 120);
    let mut random = campaign.random();
    for kept in BOTH {
        let mut seen = Seen::default();
        let wanted = u64::from(campaign.rounds() / 2);
        let mut rounds = 0;
        // One moment may be unlucky: everything is recorded, and the next group is about to be sent. So a few rounds
        // that look bad are followed by more before they are judged.
        while rounds < wanted || (rounds < 4 * wanted && !are_few(&seen, rounds)) {
            let mut round = Round::begin(kept, None);
            round.play(Victim::FrozenSender, &mut random, &mut seen);
            rounds += 1;
        }
        campaign.report(&format!("{kept:?}: {seen:?}"));
        assert!(are_few(&seen, rounds), "{seen:?}");
    }
}

/// Returns whether at most one and a half times as many messages are in doubt as were sent without a recorded answer.
fn are_few(seen: &Seen, rounds: u64) -> bool {
    let (lost, on_the_wire) = seen.lost;
    let few = if rounds < 10 { rounds * FEW } else { FEW };
    2 * lost <= 3 * on_the_wire + 2 * few
}

#[test]
fn campaign_killed_push_services_lose_no_recipient_and_send_no_push_twice() {
    let campaign = Campaign::start("killed services", 2, 100);
    let mut random = campaign.random();
    for kept in BOTH {
        let mut seen = Seen::default();
        for _ in 0..campaign.rounds() / 2 {
            let mut round = Round::begin(kept, None);
            round.play(Victim::Service, &mut random, &mut seen);
        }
        campaign.report(&format!("{kept:?}: {seen:?}"));
    }
}

#[test]
fn campaign_killed_state_databases_lose_no_recipient_and_send_no_push_twice() {
    let cluster = Postgres::start("send-crash");
    let campaign = Campaign::start("killed state databases", 2, 100);
    let mut random = campaign.random();
    let mut seen = Seen::default();
    for _ in 0..campaign.rounds() {
        let mut round = Round::begin(Kept::Postgres, Some(&cluster));
        round.play(Victim::Database, &mut random, &mut seen);
    }
    campaign.report(&format!("{seen:?}"));
}

fn stop(process: &Child) {
    let id = process.id().to_string();
    let stopped = Command::new("kill").args(["-STOP", &id]).status();
    assert!(stopped.unwrap().success());
}

/// The token of one of [`people`].
fn token_of(user: &str) -> String {
    let n: uuid::Uuid = user.parse().unwrap();
    let first: uuid::Uuid = id(0).parse().unwrap();
    format!("t-{}", n.as_u128() - first.as_u128())
}

/// One send of five thousand messages.
struct Round<'a> {
    service: Service,
    office: Office,
    cluster: Option<&'a Postgres>,
}

impl<'a> Round<'a> {
    fn begin(kept: Kept, cluster: Option<&'a Postgres>) -> Self {
        let service = Service::start();
        let stand_in = StandIn::playing(Script::default());
        let mut office = match cluster {
            Some(cluster) => Office::keeping_in(cluster, stand_in),
            None => Office::with(kept, stand_in),
        };
        let at = |name: &str| service.directory.path().join(name).display().to_string();
        office.set("GOOGLE_APPLICATION_CREDENTIALS", at("account.json"));
        office.set("PUSHCTL_PUSH_CA", at("ca.pem"));
        office.set(
            "PUSHCTL_PUSH_URL",
            format!("https://127.0.0.1:{}", service.port),
        );
        office.set("PUSHCTL_PUSH_PATIENCE", "20s");
        office.audience(&people(0..PEOPLE));
        Self {
            service,
            office,
            cluster,
        }
    }

    /// Lets the victim die at a random moment, resumes until the run is finished, and looks at what is left.
    fn play(&mut self, victim: Victim, random: &mut Random, seen: &mut Seen) {
        let mut sending = Some(self.office.start(&["--rate", RATE]));
        // From the first message to about the last: how far the send is tells more than the time it took.
        let mark = 1 + random.next() % (PEOPLE * 19 / 20);
        self.wait_for(mark, sending.as_mut().unwrap());
        // And somewhere between two messages.
        std::thread::sleep(Duration::from_micros(random.next() >> 50));
        let before = self.service.log().len() as u64;
        seen.in_the_middle += u32::from(before < PEOPLE);
        match victim {
            Victim::Sender => {
                let mut killed = sending.take().unwrap();
                killed.kill().unwrap();
                killed.wait().unwrap();
            }
            Victim::FrozenSender => {
                let mut killed = sending.take().unwrap();
                stop(&killed);
                self.let_it_read();
                killed.kill().unwrap();
                killed.wait().unwrap();
            }
            Victim::Service => self.service.crash(),
            Victim::Database => {
                let cluster = self.cluster.unwrap();
                cluster.stop("immediate");
                cluster.resume();
            }
        }
        // A claim without an answer now will never have one.
        let dies = matches!(victim, Victim::Sender | Victim::FrozenSender);
        let lost = dies.then(|| self.unanswered());
        let mut latest = sending.map(|child| self.office.sent(self.office.ended(child)));
        for _ in 0..5 {
            if latest.as_ref().is_some_and(|sent| self.is_finished(sent)) {
                break;
            }
            seen.resumes += 1;
            let run = self.run();
            latest = Some(self.office.resume(&run, &["--rate", "5000"]));
        }
        let latest = latest.expect("it was sent or resumed");
        if let Some(lost) = lost {
            let rows = latest.rows.iter().filter(|row| row.outcome == "in_doubt");
            assert_eq!(
                rows.map(|row| row.user.clone()).collect::<BTreeSet<_>>(),
                lost
            );
            if victim == Victim::FrozenSender {
                self.compare(&lost, seen);
            }
        }
        self.look(&latest, seen);
    }

    /// Counts the recipients in doubt, and those of them who were on the wire.
    fn compare(&self, lost: &BTreeSet<String>, seen: &mut Seen) {
        let log: HashSet<String> = self.service.log().into_iter().collect();
        let seen_of = |user: &String| log.contains(&token_of(user));
        let on_the_wire = lost.iter().filter(|user| seen_of(user)).count() as u64;
        let lost = lost.len() as u64;
        seen.lost.0 += lost;
        seen.lost.1 += on_the_wire;
    }

    /// Until the service has accepted all that it was sent. A quiet moment alone does not tell: on a busy machine the
    /// service waits for its turn.
    fn let_it_read(&self) {
        let mut before = None;
        let mut calm = 0;
        while calm < 3 {
            std::thread::sleep(Duration::from_millis(50));
            let now = Some(self.service.accepted_about());
            calm = if self.service.is_idle() && now == before {
                calm + 1
            } else {
                0
            };
            before = now;
        }
    }

    /// Returns the claimed recipients without an outcome.
    fn unanswered(&self) -> BTreeSet<String> {
        self.office.in_store(async |store| {
            let run = store.runs(&RunFilter::default()).await.unwrap().remove(0);
            let pushes = store.pushes("send", &run.occurrence).await.unwrap();
            let Some(push) = pushes.first() else {
                return BTreeSet::new();
            };
            let all = store.recipients(push, 0, 10_000).await.unwrap();
            let lost = all
                .iter()
                .filter(|one| one.standing == Standing::Unanswered);
            lost.map(|one| one.user.to_string()).collect()
        })
    }

    /// Until so many are accepted, or the send is over.
    fn wait_for(&self, mark: u64, sending: &mut Child) {
        let started = Instant::now();
        while self.service.accepted_about() < mark && sending.try_wait().unwrap().is_none() {
            assert!(
                started.elapsed() < Duration::from_secs(60),
                "it stands still"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn run(&self) -> String {
        let runs = self
            .office
            .in_store(async |store| store.runs(&RunFilter::default()).await.unwrap());
        match &runs[..] {
            [] => panic!("it was killed before there was a run"),
            [run] => run.id.clone(),
            more => panic!("{} runs", more.len()),
        }
    }

    fn is_finished(&self, sent: &Sent) -> bool {
        let run = self
            .office
            .in_store(async |store| store.run(sent.run()).await.unwrap().unwrap());
        run.status != RunStatus::Open
    }

    /// The invariants.
    fn look(&self, sent: &Sent, seen: &mut Seen) {
        let log = self.service.log();
        let unique: HashSet<&str> = log.iter().map(String::as_str).collect();
        assert_eq!(unique.len(), log.len(), "a token was sent to twice");
        assert_eq!(sent.rows.len() as u64, PEOPLE, "{}", sent.summary);
        let users: HashSet<&str> = sent.rows.iter().map(|row| &*row.user).collect();
        assert_eq!(users.len() as u64, PEOPLE, "a recipient has two rows");
        let mut in_doubt = 0;
        for row in &sent.rows {
            let logged = unique.contains(&*token_of(&row.user));
            match &*row.outcome {
                "accepted" => assert!(logged, "accepted, and not in the log: {row:?}"),
                "in_doubt" => {
                    // A death is noticed at once: no process waits for an answer that never comes.
                    assert_ne!(row.code, "TIMED_OUT", "{row:?}");
                    in_doubt += 1;
                    seen.accepted_in_doubt += u64::from(logged);
                }
                _ => panic!("neither accepted nor in doubt: {row:?}"),
            }
        }
        assert_eq!(sent.count("in_doubt"), in_doubt);
        assert!(in_doubt <= AHEAD, "{in_doubt} in doubt");
        let ended: Value = if in_doubt == 0 { "done" } else { "partial" }.into();
        assert_eq!(sent.summary["ended"], ended);
        assert_eq!(
            sent.status(),
            if in_doubt == 0 { 0 } else { 3 },
            "{}",
            sent.outcome
        );
        seen.in_doubt += in_doubt;
    }
}
