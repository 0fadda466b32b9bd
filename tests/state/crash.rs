//! What remains when a sender or the state database dies at any moment.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use pushctl::state::ledger::{Claimed, Ending, Guard, LedgerPush, Standing};
use pushctl::state::{Location, Store};

use super::{answer, candidates, holder, in_both_stores, push, sender, user, won};
use crate::support::campaign::Campaign;
use crate::support::postgres::{Postgres, at_port};
use crate::support::proxy::{Fate, Proxy};
use crate::support::store::{Place, address};

in_both_stores!(
    campaign_senders_killed_at_any_moment_claim_no_user_twice_and_lose_nothing,
    the_lease_of_a_killed_process_is_free_at_once,
);

const USERS: u64 = 2_000;
const GROUP: usize = 50;
/// Where the child finds its store: a path or a URL.
const PLACE: &str = "PUSHCTL_TEST_STORE";

async fn campaign_senders_killed_at_any_moment_claim_no_user_twice_and_lose_nothing(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let mut announced: HashMap<u64, u32> = HashMap::new();
    let campaign = Campaign::start("senders killed", 12, 200);
    let mut random = campaign.random();
    for _ in 0..campaign.rounds() {
        let delay = Duration::from_micros(random.next() >> 48);
        for line in run_and_kill(&place, delay) {
            let numbers = line
                .strip_prefix("won ")
                .into_iter()
                .flat_map(str::split_whitespace);
            numbers.for_each(|number| *announced.entry(number.parse().unwrap()).or_default() += 1);
        }
        store.settle(&push).await.unwrap();
        check(&store, &push, &announced).await;
    }
    // A sender that is not killed claims the rest.
    let sender = sender(&store).await;
    let claimed = store
        .claim(&push, &sender, candidates(0..USERS), &Guard::none())
        .await
        .unwrap();
    let everyone = store.recipients(&push, 0, 10_000).await.unwrap();
    assert_eq!(everyone.len() as u64, USERS);
    assert_eq!(
        won(&claimed).len()
            + claimed
                .iter()
                .filter(|one| matches!(one, Claimed::Before(_)))
                .count(),
        everyone.len()
    );
    assert!(
        !announced.is_empty(),
        "every child was killed before it claimed any user"
    );
}

/// Checks that no user was claimed twice, that every claim the child printed is in the ledger, and that claims without
/// an outcome are in doubt.
async fn check(store: &Store, push: &LedgerPush, announced: &HashMap<u64, u32>) {
    assert!(
        announced.values().all(|times| *times == 1),
        "won twice: {announced:?}"
    );
    let everyone = store.recipients(push, 0, 10_000).await.unwrap();
    let known: HashSet<_> = everyone.iter().map(|one| one.user.clone()).collect();
    assert_eq!(known.len(), everyone.len());
    for number in announced.keys() {
        assert!(
            known.contains(&user(*number)),
            "user {number} was claimed, and the claim is lost"
        );
    }
    assert!(everyone.iter().all(|one| matches!(
        one.standing,
        Standing::Ended(Ending::Accepted | Ending::InDoubt)
    )));
}

/// Returns the lines that a sender printed until it was killed, `delay` after its first line.
fn run_and_kill(place: &Place, delay: Duration) -> Vec<String> {
    let location = match (&place.database, place.file()) {
        (Some(database), _) => database.url_with("tls_only", "sslmode=require"),
        (None, Some(file)) => file.display().to_string(),
        (None, None) => unreachable!(),
    };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "state::crash::a_sender_to_be_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(PLACE, location)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let mut said = Vec::new();
    said.extend(lines.by_ref().find(|line| line.starts_with("enlisted")));
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
    said.extend(lines);
    // The last line may be incomplete.
    said.retain(|line| line.ends_with('.'));
    for line in &mut said {
        line.pop();
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
#[ignore = "started and killed by the other tests"]
async fn a_sender_to_be_killed() {
    let Ok(place) = std::env::var(PLACE) else {
        return;
    };
    let location = if place.contains("://") {
        Location::Postgres(Box::new(address(&place)))
    } else {
        Location::Embedded(place.into())
    };
    let clock = Place::sqlite().clock;
    let store = Store::open(&location, clock).await.unwrap();
    let lease = store.take_lease("layer3-daily", &holder()).await.unwrap();
    let push = store.open_push(&push(1)).await.unwrap();
    let sender = sender(&store).await;
    println!("enlisted {lease:?}.");
    for first in (0..USERS).step_by(GROUP) {
        let numbers: Vec<u64> = (first..first + GROUP as u64).collect();
        let claimed = store
            .claim(&push, &sender, candidates(numbers.clone()), &Guard::none())
            .await
            .unwrap();
        let mine: Vec<String> = numbers
            .iter()
            .zip(&claimed)
            .filter(|(_, claimed)| matches!(claimed, Claimed::Won(_)))
            .map(|(number, _)| number.to_string())
            .collect();
        if mine.is_empty() {
            continue;
        }
        println!("won {}.", mine.join(" "));
        let answers = won(&claimed)
            .iter()
            .skip(3)
            .map(|claim| answer(*claim, Ending::Accepted))
            .collect();
        store.record(&push, answers).await.unwrap();
    }
    // Wait to be killed.
    std::future::pending::<()>().await;
}

async fn the_lease_of_a_killed_process_is_free_at_once(place: Place) {
    let store = place.open().await;
    run_and_kill(&place, Duration::from_millis(5));
    assert!(store.lease("layer3-daily").await.unwrap().is_some());
    let taking = store.take_lease("layer3-daily", &holder()).await.unwrap();
    assert!(
        matches!(taking, pushctl::state::Taking::Taken(_)),
        "{taking:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_whose_answer_was_lost_with_the_connection_are_made_once() {
    let place = Place::postgres();
    let direct = place.open().await;
    let push = direct.open_push(&push(1)).await.unwrap();
    let database = place.database.as_ref().unwrap();
    // Each pair of connections lives for a few dozen bytes more, and less, than the one before, so each point of the
    // exchange loses one, and no exchange loses many.
    let fates = (0..45).flat_map(|step| [step, 89 - step]);
    let fates = fates.map(|step| Fate::CloseAfter(900 + step * 37));
    let port = database.port();
    let proxy = std::thread::spawn(move || Proxy::script(port, fates, Fate::Pass))
        .join()
        .unwrap();
    let url = database.url_with("plain_only", "sslmode=disable");
    let url = at_port(&url, proxy.port());
    database.execute("GRANT ALL ON SCHEMA pushctl TO plain_only; GRANT ALL ON ALL TABLES IN SCHEMA pushctl TO plain_only");
    let clock = place.clock.clone();
    let store = Store::open(&Location::Postgres(Box::new(address(&url))), clock)
        .await
        .unwrap();
    let sender = sender(&store).await;
    let mut mine = Vec::new();
    for first in (0..300).step_by(3) {
        let claimed = store
            .claim(&push, &sender, candidates(first..first + 3), &Guard::none())
            .await
            .unwrap();
        let claims = won(&claimed);
        assert_eq!(claims.len(), 3, "{claimed:?}");
        let answers = claims
            .iter()
            .map(|claim| answer(*claim, Ending::Accepted))
            .collect();
        store.record(&push, answers).await.unwrap();
        mine.extend(claims.iter().map(|claim| claim.id));
    }
    assert!(
        proxy.accepted() > 60,
        "only {} connections were lost",
        proxy.accepted()
    );
    let everyone = direct.recipients(&push, 0, 1_000).await.unwrap();
    assert_eq!(
        everyone.iter().map(|one| one.claim).collect::<Vec<_>>(),
        mine
    );
    assert!(
        everyone
            .iter()
            .all(|one| one.standing == Standing::Ended(Ending::Accepted))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_send_survives_crashes_of_the_state_database() {
    let cluster = Postgres::start("state-crash");
    let place = Place::in_cluster(&cluster);
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let sending = {
        let (store, push) = (store.clone(), push.clone());
        tokio::spawn(async move {
            let sender = sender(&store).await;
            let mut mine = 0;
            for first in (0..4_000).step_by(10) {
                let claimed = store
                    .claim(
                        &push,
                        &sender,
                        candidates(first..first + 10),
                        &Guard::none(),
                    )
                    .await
                    .unwrap();
                let claims = won(&claimed);
                mine += claims.len();
                let answers = claims
                    .iter()
                    .map(|claim| answer(*claim, Ending::Accepted))
                    .collect();
                store.record(&push, answers).await.unwrap();
            }
            mine
        })
    };
    let mut crashes = 0;
    while !sending.is_finished() && crashes < 3 {
        cluster.stop("immediate");
        cluster.resume();
        crashes += 1;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_eq!(sending.await.unwrap(), 4_000);
    assert!(crashes > 0);
    let everyone = store.recipients(&push, 0, 10_000).await.unwrap();
    assert_eq!(everyone.len(), 4_000);
    assert!(
        everyone
            .iter()
            .all(|one| one.standing == Standing::Ended(Ending::Accepted))
    );
}
