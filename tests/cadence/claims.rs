//! Between the filter and the claim no push slips through.

use pushctl::cadence::{Cadence, Exclusion, HistoryLocation as Where, Rule};
use pushctl::clock::Clock as _;
use pushctl::state::ledger::Claimed;

use super::model::insert;
use super::{at, history, holder, id, layer, open, screened};
use crate::support::store::Place;

/// Two processes filter at the same time, both see room for one more push, and both claim.
async fn one_gets_through(place: &Place, history: &Where, ids: &[String]) {
    let stores = [place.open().await, place.open().await];
    let cadences = stores
        .clone()
        .map(|store| Cadence::new(history.clone(), store).unwrap());
    let screens = [
        cadences[0].screen(layer(3)).await.unwrap(),
        cadences[1].screen(layer(2)).await.unwrap(),
    ];
    let candidates = [
        screened(&screens[0], ids).await,
        screened(&screens[1], ids).await,
    ];
    assert_eq!(candidates[0].len(), ids.len());
    assert_eq!(candidates[1].len(), ids.len());
    let pushes = [
        open(&stores[0], &cadences[0], layer(3), "one").await,
        open(&stores[1], &cadences[1], layer(2), "two").await,
    ];
    let senders = [
        stores[0].enlist("a", &holder()).await.unwrap(),
        stores[1].enlist("b", &holder()).await.unwrap(),
    ];
    let guards = [screens[0].guard(), screens[1].guard()];
    let [of_a, of_b] = candidates;
    let (a, b) = tokio::join!(
        stores[0].claim(&pushes[0], &senders[0], of_a, &guards[0]),
        stores[1].claim(&pushes[1], &senders[1], of_b, &guards[1]),
    );
    for (a, b) in a.unwrap().into_iter().zip(b.unwrap()) {
        match (a, b) {
            (Claimed::Won(_), Claimed::Over(limit)) => {
                assert_eq!(screens[1].exclusion(limit), Exclusion::Rule(Rule::Combined));
            }
            (Claimed::Over(limit), Claimed::Won(_)) => {
                assert_eq!(screens[0].exclusion(limit), Exclusion::Rule(Rule::Combined));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Every user has had two of the three pushes that a week allows.
async fn with_history_elsewhere(place: Place) {
    let database = history();
    let ids: Vec<String> = (0..30).map(id).collect();
    let past: Vec<_> = (0..30)
        .flat_map(|user| [(user, 2, 10), (user, 3, 80 * 60)])
        .collect();
    database.execute(&insert(&past, place.clock.now()));
    one_gets_through(&place, &at(&database), &ids).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_sends_at_once_one_gets_through_with_an_embedded_store_and_the_history_in_a_database()
 {
    with_history_elsewhere(Place::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_sends_at_once_one_gets_through_with_store_and_history_in_databases() {
    with_history_elsewhere(Place::postgres()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_sends_at_once_one_gets_through_with_the_stores_own_history() {
    for place in [Place::sqlite(), Place::postgres()] {
        let store = place.open().await;
        let cadence = Cadence::new(Where::Embedded, store.clone()).unwrap();
        let ids: Vec<String> = (0..30).map(id).collect();
        for occurrence in ["saturday", "sunday"] {
            assert_eq!(
                super::send(&store, &cadence, layer(2), occurrence, &ids)
                    .await
                    .len(),
                30
            );
        }
        one_gets_through(&place, &Where::Embedded, &ids).await;
    }
}
