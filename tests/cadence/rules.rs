//! The rules hold in every place alike.

use std::time::Duration;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, TestRunner};
use pushctl::cadence::{Cadence, CadenceDecision, Exclusion, HistoryLocation as Where, Rule};
use pushctl::clock::Clock as _;
use pushctl::state::Store;

use super::model::{Past, Says, histories, insert, says};
use super::{at, filter, history, id, layer, open, send};
use crate::support::postgres::Database;
use crate::support::store::Place;

fn told(verdict: CadenceDecision) -> Says {
    match verdict {
        CadenceDecision::Eligible(_) => Says::Eligible,
        CadenceDecision::Excluded(Exclusion::Rule(Rule::Layer3Cooldown)) => Says::L3Cooldown,
        CadenceDecision::Excluded(Exclusion::Rule(Rule::Combined)) => Says::L2L3,
        CadenceDecision::Excluded(Exclusion::Rule(Rule::Layer5Cooldown)) => Says::L5Cooldown,
        excluded @ CadenceDecision::Excluded(_) => panic!("{excluded:?}"),
    }
}

/// What a history says of twelve people and a stranger, for each layer.
async fn ask(cadence: &Cadence) -> Vec<Vec<Says>> {
    let ids: Vec<String> = (0..13).map(id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut all = Vec::new();
    for number in 1..=5 {
        let filtered = filter(cadence, number, &ids).await;
        let says: Vec<Says> = filtered.verdicts.into_iter().map(told).collect();
        let excluded = says.iter().filter(|says| **says != Says::Eligible).count();
        assert_eq!(filtered.breakdown.total(), excluded as u64);
        let combined = says.iter().filter(|says| **says == Says::L2L3).count();
        assert_eq!(filtered.breakdown.combined, combined as u64);
        all.push(says);
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_in_a_database_and_the_embedded_one_say_what_the_rules_say() {
    let database = history();
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..40 {
        let past = histories().new_tree(&mut runner).unwrap().current();
        let expected: Vec<Vec<Says>> = (1..=5)
            .map(|layer| (0..13).map(|user| says(&past, user, layer)).collect())
            .collect();
        assert_eq!(
            from_database(&database, &past).await,
            expected,
            "in a database: {past:?}"
        );
        assert_eq!(from_store(&past).await, expected, "in the store: {past:?}");
    }
}

async fn from_database(database: &Database, past: &[Past]) -> Vec<Vec<Says>> {
    let place = Place::sqlite();
    database.execute(&insert(past, place.clock.now()));
    let cadence = Cadence::new(at(database), place.open().await).unwrap();
    ask(&cadence).await
}

/// The same history, made by sending.
async fn from_store(past: &[Past]) -> Vec<Vec<Says>> {
    let place = Place::sqlite();
    let store = place.open().await;
    let mut past = past.to_vec();
    past.sort_by_key(|(_, _, minutes)| std::cmp::Reverse(*minutes));
    let mut ago = past.first().map_or(0, |(_, _, minutes)| *minutes);
    for (index, (user, number, minutes)) in past.iter().enumerate() {
        place.clock.advance(Duration::from_secs(
            u64::try_from(ago - minutes).unwrap() * 60,
        ));
        ago = *minutes;
        sent(&store, *number, *user, index).await;
    }
    place
        .clock
        .advance(Duration::from_secs(u64::try_from(ago).unwrap() * 60));
    ask(&Cadence::new(Where::Embedded, store).unwrap()).await
}

/// One push that was accepted, whatever the rules say.
async fn sent(store: &Store, number: u32, user: u64, index: usize) {
    use pushctl::state::ledger::{Candidate, Counted, Guard, TokenHash, UserKey};
    let cadence = Cadence::new(Where::Embedded, store.clone()).unwrap();
    let push = open(store, &cadence, layer(number), &format!("past {index}")).await;
    let sender = store.enlist("run-1", &super::holder()).await.unwrap();
    let candidate = Candidate {
        user: UserKey::of(&id(user)),
        tokens: vec![TokenHash::of(&id(user))],
        counted: Counted::default(),
    };
    let claimed = store
        .claim(&push, &sender, vec![candidate], &Guard::none())
        .await
        .unwrap();
    let won: Vec<_> = claimed
        .into_iter()
        .map(|claimed| (id(user), claimed))
        .collect();
    super::accept(store, &push, &won).await;
    sender.leave().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_is_no_uuid_is_excluded_and_counted_unless_cadence_is_off() {
    let database = history();
    let ids = [
        id(1),
        "42".to_owned(),
        String::new(),
        "a0eebc999c0b4ef8bb6d6bb9bd380a11".to_owned(),
    ];
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for number in 1..=5 {
        for place in [at(&database), Where::Embedded] {
            let cadence = Cadence::new(place, Place::sqlite().open().await).unwrap();
            let filtered = filter(&cadence, number, &ids).await;
            assert_eq!(filtered.breakdown.invalid_uuid, 3);
            assert_eq!(filtered.breakdown.total(), 3);
            assert!(matches!(filtered.verdicts[0], CadenceDecision::Eligible(_)));
            assert!(
                filtered.verdicts[1..]
                    .iter()
                    .all(|verdict| *verdict == CadenceDecision::Excluded(Exclusion::InvalidUuid))
            );
        }
    }
    let off = Cadence::new(Where::Off, Place::sqlite().open().await).unwrap();
    let filtered = filter(&off, 3, &ids).await;
    assert_eq!(filtered.breakdown.total(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_cadence_off_nothing_is_recorded_and_nothing_counts_later() {
    let place = Place::sqlite();
    let store = place.open().await;
    let off = Cadence::new(Where::Off, store.clone()).unwrap();
    assert_eq!(send(&store, &off, layer(3), "one", &[id(1)]).await, [id(1)]);
    let embedded = Cadence::new(Where::Embedded, store.clone()).unwrap();
    assert_eq!(
        send(&store, &embedded, layer(3), "two", &[id(1)]).await,
        [id(1)]
    );
    assert_eq!(
        send(&store, &embedded, layer(3), "three", &[id(1)]).await,
        [""; 0]
    );
    place.clock.advance(Duration::from_secs(72 * 3600));
    assert_eq!(
        send(&store, &embedded, layer(3), "four", &[id(1)]).await,
        [id(1)]
    );
}
