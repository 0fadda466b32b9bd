use std::time::Duration;

use pushctl::state::ledger::{
    Basis, Candidate, Claimed, Counted, Ending, Guard, LedgerPush, Limit, Recording,
};
use pushctl::state::{Owed, Store};

use super::{answer, candidate, in_both_stores, push, sender, user, won};
use crate::support::store::Place;

in_both_stores!(
    of_two_sends_at_once_for_a_user_who_may_get_one_more_push_one_succeeds,
    pushes_in_the_remote_history_count_for_the_limits,
    a_push_counts_while_it_is_in_flight_in_doubt_or_accepted_and_not_otherwise,
    a_push_stops_counting_when_the_window_has_passed,
    pushes_in_the_remote_history_are_not_counted_here_too,
    an_earlier_claim_is_reported_rather_than_an_exceeded_limit,
    sends_without_a_history_do_not_count,
);

/// Makes a limit on pushes of layers 2 and 3 within a week.
fn weekly(place: &Place, at_most: u32, basis: Basis) -> Guard {
    use pushctl::clock::Clock;
    let limit = Limit {
        layers: 1 << 2 | 1 << 3,
        since: place.clock.now() - Duration::from_secs(168 * 3600),
        at_most,
    };
    Guard {
        limits: vec![limit],
        basis,
    }
}

async fn open(store: &Store, number: u32, recording: Recording) -> LedgerPush {
    let new = pushctl::state::ledger::NewPush {
        recording,
        ..push(number)
    };
    store.open_push(&new).await.unwrap()
}

async fn claim(
    store: &Store,
    push: &LedgerPush,
    candidates: Vec<Candidate>,
    guard: &Guard,
) -> Vec<Claimed> {
    let sender = sender(store).await;
    store.claim(push, &sender, candidates, guard).await.unwrap()
}

async fn of_two_sends_at_once_for_a_user_who_may_get_one_more_push_one_succeeds(place: Place) {
    let stores = [place.open().await, place.open().await];
    let guard = weekly(&place, 1, Basis::Here);
    for round in 0..25 {
        let number = 2 * u32::try_from(round).unwrap();
        let pushes = [
            open(&stores[0], number, Recording::Here).await,
            open(&stores[1], number + 1, Recording::Here).await,
        ];
        let group: Vec<Candidate> = (0..8).map(|n| candidate(round * 100 + n)).collect();
        let (a, b) = tokio::join!(
            claim(&stores[0], &pushes[0], group.clone(), &guard),
            claim(&stores[1], &pushes[1], group, &guard),
        );
        for pair in a.iter().zip(&b) {
            let one = matches!(
                pair,
                (Claimed::Won(_), Claimed::Over(0)) | (Claimed::Over(0), Claimed::Won(_))
            );
            assert!(one, "{pair:?}");
        }
    }
}

async fn pushes_in_the_remote_history_count_for_the_limits(place: Place) {
    let store = place.open().await;
    let guard = weekly(&place, 3, Basis::Elsewhere { synced: 0 });
    let counted = |n, elsewhere| Candidate {
        counted: Counted([elsewhere, 0, 0]),
        ..candidate(n)
    };
    let first = open(&store, 1, Recording::Elsewhere).await;
    let claimed = claim(
        &store,
        &first,
        vec![counted(1, 1), counted(2, 2), counted(3, 3)],
        &guard,
    )
    .await;
    assert!(
        matches!(
            claimed[..],
            [Claimed::Won(_), Claimed::Won(_), Claimed::Over(0)]
        ),
        "{claimed:?}"
    );
    let second = open(&store, 2, Recording::Elsewhere).await;
    let claimed = claim(&store, &second, vec![counted(1, 1), counted(2, 2)], &guard).await;
    assert!(
        matches!(claimed[..], [Claimed::Won(_), Claimed::Over(0)]),
        "{claimed:?}"
    );
}

async fn a_push_counts_while_it_is_in_flight_in_doubt_or_accepted_and_not_otherwise(place: Place) {
    let store = place.open().await;
    let guard = weekly(&place, 1, Basis::Here);
    let first = open(&store, 1, Recording::Here).await;
    let group: Vec<Candidate> = (0..7).map(candidate).collect();
    let claims = won(&claim(&store, &first, group.clone(), &guard).await);
    let endings = [
        Ending::Accepted,
        Ending::InDoubt,
        Ending::Failed,
        Ending::Dead,
        Ending::Skipped,
        Ending::Cancelled,
    ];
    let answers = claims
        .iter()
        .zip(endings)
        .map(|(claim, ending)| answer(*claim, ending))
        .collect();
    store.record(&first, answers).await.unwrap();
    let touches = store
        .touches(&[user(0), user(2), user(6), user(99)], None, &guard)
        .await
        .unwrap();
    assert_eq!(
        touches.iter().map(Vec::len).collect::<Vec<_>>(),
        [1, 0, 1, 0]
    );
    let second = open(&store, 2, Recording::Here).await;
    let claimed = claim(&store, &second, group, &guard).await;
    let over: Vec<bool> = claimed.iter().map(|one| *one == Claimed::Over(0)).collect();
    assert_eq!(over, [true, true, false, false, false, false, true]);
}

async fn a_push_stops_counting_when_the_window_has_passed(place: Place) {
    let store = place.open().await;
    let first = open(&store, 1, Recording::Here).await;
    claim(
        &store,
        &first,
        vec![candidate(1)],
        &weekly(&place, 1, Basis::Here),
    )
    .await;
    place.clock.advance(Duration::from_secs(168 * 3600 - 1));
    let second = open(&store, 2, Recording::Here).await;
    let claimed = claim(
        &store,
        &second,
        vec![candidate(1)],
        &weekly(&place, 1, Basis::Here),
    )
    .await;
    assert_eq!(claimed, [Claimed::Over(0)]);
    place.clock.advance(Duration::from_secs(1));
    let claimed = claim(
        &store,
        &second,
        vec![candidate(1)],
        &weekly(&place, 1, Basis::Here),
    )
    .await;
    assert!(matches!(claimed[..], [Claimed::Won(_)]), "{claimed:?}");
}

async fn pushes_in_the_remote_history_are_not_counted_here_too(place: Place) {
    let store = place.open().await;
    let first = open(&store, 1, Recording::Elsewhere).await;
    let asked_before = store.deliveries().await.unwrap();
    let claims = won(&claim(&store, &first, vec![candidate(1)], &Guard::none()).await);
    store
        .record(&first, vec![answer(claims[0], Ending::Accepted)])
        .await
        .unwrap();
    let owed: Vec<i64> = store
        .owed(0, 10)
        .await
        .unwrap()
        .iter()
        .map(|one: &Owed| one.claim)
        .collect();
    store.delivered(&owed).await.unwrap();
    let asked_after = store.deliveries().await.unwrap();
    let second = open(&store, 2, Recording::Elsewhere).await;
    // A process that read the history before the delivery may not have seen that push.
    let guard = weekly(
        &place,
        1,
        Basis::Elsewhere {
            synced: asked_before,
        },
    );
    assert_eq!(
        claim(&store, &second, vec![candidate(1)], &guard).await,
        [Claimed::Over(0)]
    );
    let guard = weekly(
        &place,
        1,
        Basis::Elsewhere {
            synced: asked_after,
        },
    );
    assert_eq!(
        won(&claim(&store, &second, vec![candidate(1)], &guard).await).len(),
        1
    );
}

async fn an_earlier_claim_is_reported_rather_than_an_exceeded_limit(place: Place) {
    let store = place.open().await;
    let guard = weekly(&place, 1, Basis::Here);
    let push = open(&store, 1, Recording::Here).await;
    claim(&store, &push, vec![candidate(1)], &guard).await;
    let again = claim(&store, &push, vec![candidate(1)], &guard).await;
    assert!(matches!(again[..], [Claimed::Before(_)]), "{again:?}");
}

async fn sends_without_a_history_do_not_count(place: Place) {
    let store = place.open().await;
    let guard = weekly(&place, 1, Basis::Here);
    let rehearsal = open(&store, 1, Recording::Nowhere).await;
    let claims = won(&claim(&store, &rehearsal, vec![candidate(1)], &Guard::none()).await);
    store
        .record(&rehearsal, vec![answer(claims[0], Ending::Accepted)])
        .await
        .unwrap();
    assert_eq!(store.owed_count().await.unwrap(), 0);
    let real = open(&store, 2, Recording::Here).await;
    assert_eq!(
        won(&claim(&store, &real, vec![candidate(1)], &guard).await).len(),
        1
    );
}
