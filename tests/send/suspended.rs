//! A sender that is suspended for longer than its lease; and one whose machine has another time.
//!
//! Messages on the wire may still be answered. No further message leaves, whether another process has resumed the run
//! or not.

use std::collections::{BTreeMap, HashSet};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use pushctl::state::ledger::{Candidate, Counted, Ending, Guard, Sender, Standing};
use pushctl::state::process_id::ProcessId;
use pushctl::state::{RunFilter, Store, Taking};

use super::{BOTH, Kept, Office, Sent, people, tokens, until};
use crate::state::before;
use crate::support::campaign::{Campaign, Random};
use crate::support::fcm::script::{Reply, RetryAfter, Script};

const PEOPLE: u64 = 1_200;
/// The tests wait for it to end; a busy machine must not make it end.
const LEASE: Duration = Duration::from_secs(3);

fn office(kept: Kept, script: Script) -> Office {
    let mut office = Office::keeping(kept, script);
    office.set("PUSHCTL_LEASE", "3s");
    office.audience(&people(0..PEOPLE));
    office
}

fn signal(child: &Child, name: &str) {
    let kill = Command::new("kill")
        .args([format!("-{name}"), child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
}

fn run_of(office: &Office) -> String {
    let runs = office.in_store(async |store: Store| store.runs(&RunFilter::default()).await);
    runs.unwrap().remove(0).id
}

/// A sender that was stopped, what it had put on the wire by then, and over which connections.
struct Stopped {
    child: Child,
    connections: HashSet<u64>,
}

impl Stopped {
    /// Stops it, and waits until its lease has ended. Those who come later have the usual one.
    fn stop(office: &mut Office, child: Child) -> Self {
        office.set("PUSHCTL_LEASE", "30s");
        signal(&child, "STOP");
        std::thread::sleep(LEASE + Duration::from_millis(300));
        let requests = office.stand_in.requests();
        Self {
            child,
            connections: requests.iter().map(|one| one.connection).collect(),
        }
    }

    /// Wakes it up, and sees it end without another message.
    fn wake(self, office: &Office) -> Sent {
        let woken = Instant::now();
        signal(&self.child, "CONT");
        let sent = office.sent(office.ended(self.child));
        let requests = office.stand_in.requests();
        let mine = requests
            .iter()
            .filter(|one| self.connections.contains(&one.connection));
        let late: Vec<&str> = mine
            .filter(|one| one.at > woken)
            .map(|one| &*one.token)
            .collect();
        assert_eq!(late, [""; 0], "sent after it woke up");
        sent
    }
}

fn assert_lapsed(sent: &Sent) {
    assert_eq!(sent.status(), 11, "{}", sent.outcome);
    let told = &sent.outcome.stderr;
    assert!(
        told.contains("the send stopped") && told.contains("was suspended"),
        "{told}"
    );
    assert!(told.contains("pushctl resume"), "{told}");
}

/// Claims wait for a pause of the service to end when the process is stopped: none of them has left. Another process
/// finds them in doubt and is told to send them again.
#[test]
fn unsent_messages_are_sent_by_the_process_that_took_over_only() {
    for kept in BOTH {
        let quota = Reply::Quota {
            retry_after: Some(RetryAfter::Seconds(3)),
        };
        // So many in a row that the whole send pauses.
        let mut office = office(kept, Script::default().burst("*", 400, 20, quota));
        let child = office.start(&["--rate", "2000"]);
        office.wait_for(399);
        // Every answer is recorded; the pause goes on.
        std::thread::sleep(Duration::from_millis(300));
        let stopped = Stopped::stop(&mut office, child);
        let run = run_of(&office);
        let resumed = office.resume(&run, &["--in-doubt", "retry"]);
        assert_eq!(resumed.status(), 0, "{}", resumed.outcome);
        assert_eq!(office.delivered(), tokens(0..PEOPLE));
        let woken = stopped.wake(&office);
        assert_lapsed(&woken);
        assert!(
            woken
                .outcome
                .stdout
                .contains("another process has taken over this send"),
            "{}",
            woken.outcome
        );
        assert_eq!(office.delivered(), tokens(0..PEOPLE));
        // Nor has it written over what the other one says.
        assert_eq!(standing(&office), [("accepted", PEOPLE)]);
    }
}

/// No other process has resumed the run: unsent claims are released, and `resume` sends the rest.
#[test]
fn a_suspended_sender_stops_and_can_be_resumed() {
    for kept in BOTH {
        let mut office = office(kept, Script::default());
        let child = office.start(&["--rate", "1000"]);
        office.wait_for(300);
        let woken = Stopped::stop(&mut office, child).wake(&office);
        assert_lapsed(&woken);
        assert!(office.delivered().len() < 900);
        let resumed = office.resume(&run_of(&office), &["--rate", "5000"]);
        let in_doubt = resumed.count("in_doubt");
        assert!(in_doubt < 300, "{}", resumed.outcome);
        assert_eq!(resumed.count("accepted") + in_doubt, PEOPLE);
        assert!(office.delivered().len() as u64 >= PEOPLE - in_doubt);
    }
}

/// A sender that woke up holds some claims, and leaves without an answer. A resume that counted before would call the
/// run done, and these messages would be in doubt without a word about it.
#[test]
fn a_resume_waits_for_the_claims_of_a_living_sender() {
    for kept in BOTH {
        let script = Script::default().burst("*", 100, 5, Reply::Reset);
        let office = office(kept, script);
        let sent = office.send(&["--rate", "2000"]);
        assert_eq!(sent.count("in_doubt"), 5, "{}", sent.outcome);
        let run = run_of(&office);
        let resumed = office.in_store(async |store: Store| {
            let living = hold_all_in_doubt(&store, &run).await;
            let mut child =
                office.spawn(&["resume", &run, "--json", "--yes", "--in-doubt", "retry"]);
            std::thread::sleep(Duration::from_secs(3));
            assert!(child.try_wait().unwrap().is_none(), "it did not wait");
            living.leave().await.unwrap();
            office.sent(office.ended(child))
        });
        assert_eq!(resumed.status(), 0, "{}", resumed.outcome);
        assert!(
            resumed.outcome.stderr.contains("another process"),
            "{}",
            resumed.outcome
        );
        assert_eq!(resumed.count("accepted"), PEOPLE);
    }
}

/// Takes over every message in doubt, as a sender that is about to send them again.
async fn hold_all_in_doubt(store: &Store, run: &str) -> Sender {
    let occurrence = store.run(run).await.unwrap().unwrap().occurrence;
    let push = store.pushes("send", &occurrence).await.unwrap().remove(0);
    let holder = ProcessId::this_process("bob@worker-2");
    let living = store.enlist(run, &holder).await.unwrap();
    let everyone = store.recipients(&push, 0, 5_000).await.unwrap();
    let doubted = everyone
        .into_iter()
        .filter(|one| one.standing == Standing::Ended(Ending::InDoubt));
    let candidates = doubted.map(|one| Candidate {
        user: one.user,
        tokens: one.token.into_iter().collect(),
        counted: Counted::default(),
    });
    let claimed = store
        .claim(&push, &living, candidates.collect(), &Guard::none())
        .await
        .unwrap();
    let devices = before(claimed);
    assert_eq!(store.retry(&living, &devices).await.unwrap().len(), 5);
    living
}

#[test]
fn campaign_suspended_senders_send_nothing_late_and_lose_no_recipient() {
    let campaign = Campaign::start("suspended senders", 2, 60);
    let mut random = campaign.random();
    for kept in BOTH {
        let mut twice = 0;
        for _ in 0..campaign.rounds() / 2 {
            twice += round(kept, &mut random);
        }
        campaign.report(&format!(
            "{kept:?}: {twice} were on the wire at the stop and were sent again, as was asked for"
        ));
    }
}

/// Stops a sender at a random moment, wakes it before, while or after another one sends all that is in doubt again.
fn round(kept: Kept, random: &mut Random) -> usize {
    let mut office = office(kept, Script::default());
    let mut child = office.start(&["--rate", "2000"]);
    let mark = 1 + random.next() % (PEOPLE * 9 / 10);
    until(|| {
        let over = child.try_wait().unwrap().is_some();
        over || office.stand_in.accepted().len() as u64 >= mark
    });
    std::thread::sleep(Duration::from_micros(random.next() >> 50));
    if child.try_wait().unwrap().is_some() {
        // The send was done, or the machine was too busy: there is no process to stop.
        return 0;
    }
    let stopped = Stopped::stop(&mut office, child);
    let on_the_wire: HashSet<String> = sent_so_far(&office);
    let run = run_of(&office);
    let resume = [
        "resume",
        run.as_str(),
        "--json",
        "--yes",
        "--in-doubt",
        "retry",
        "--rate",
        "2000",
    ];
    let resumed = match random.next() % 3 {
        0 => {
            stopped.wake(&office);
            office.run(&resume)
        }
        1 => {
            let other = office.spawn(&resume);
            std::thread::sleep(Duration::from_micros(random.next() >> 45));
            stopped.wake(&office);
            office.ended(other)
        }
        _ => {
            let resumed = office.run(&resume);
            stopped.wake(&office);
            resumed
        }
    };
    // One that woke up just before may have been done in time.
    assert!([0, 2, 3, 11].contains(&resumed.status), "{resumed}");
    let mut all = vec![format!("{resumed}")];
    if resumed.status != 0 {
        all.push(office.run(&resume).to_string());
    }
    assert_eq!(standing(&office), [("accepted", PEOPLE)], "{all:#?}");
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for one in office.stand_in.accepted() {
        *counts.entry(one.token).or_default() += 1;
    }
    assert_eq!(counts.len() as u64, PEOPLE);
    let twice: Vec<&String> = counts
        .iter()
        .filter(|(_, count)| **count > 1)
        .map(|(token, _)| token)
        .collect();
    assert!(
        twice.iter().all(|token| on_the_wire.contains(*token)),
        "sent twice, and not in doubt after the stop: {twice:?}"
    );
    assert!(counts.values().all(|count| *count <= 2), "{counts:?}");
    twice.len()
}

/// Returns the recipients by state.
fn standing(office: &Office) -> Vec<(&'static str, u64)> {
    let tally = office.in_store(async |store: Store| {
        let run = store.runs(&RunFilter::default()).await.unwrap().remove(0);
        let pushes = store.pushes("send", &run.occurrence).await.unwrap();
        store.tally(&pushes[0]).await.unwrap()
    });
    tally
        .iter()
        .map(|row| (row.standing.as_str(), row.count))
        .collect()
}

fn sent_so_far(office: &Office) -> HashSet<String> {
    let accepted = office.stand_in.accepted().into_iter();
    accepted.map(|one| one.token).collect()
}

/// To a process whose machine is 45 seconds behind, every other's clock is 45 seconds ahead.
#[test]
fn a_machine_that_is_ahead_of_another_takes_no_living_lease_over() {
    let office = office(Kept::Postgres, Script::default());
    let holder = ProcessId::this_process("bob@worker-2");
    office.on_another_machine(Duration::from_secs(45), async |store: Store| {
        let name = "occurrence/send@2026-11-21";
        let taking = store.take_lease(name, &holder).await.unwrap();
        let Taking::Taken(lease) = taking else {
            panic!("the lease was free");
        };
        let told = office.refused(&["--occurrence", "2026-11-21"], 11);
        assert!(told.contains("bob@worker-2"), "{told}");
        lease.release().await.unwrap();
    });
    assert_eq!(office.delivered(), [""; 0]);
    let sent = office.send(&["--occurrence", "2026-11-21"]);
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
}
