use std::time::Duration;

use pushctl::state::LEASE_TTL;
use pushctl::state::ledger::{Claimed, Device, Dismissal, Ending, Guard, Standing};

use super::{answer, before, candidates, in_both_stores, push, sender, tally, user, won};
use crate::support::store::Place;

in_both_stores!(
    claims_of_a_dead_sender_are_in_doubt_and_those_of_a_living_one_in_flight,
    a_claim_in_doubt_is_taken_over_by_one_sender,
    a_late_answer_resolves_the_doubt,
    a_sender_that_was_declared_dead_claims_no_more,
    a_sender_that_wakes_up_leaves_claims_that_another_took_over,
);

async fn claims_of_a_dead_sender_are_in_doubt_and_those_of_a_living_one_in_flight(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let (dies, lives) = (sender(&store).await, sender(&store).await);
    let claims = won(&store
        .claim(&push, &dies, candidates(0..5), &Guard::none())
        .await
        .unwrap());
    store
        .claim(&push, &lives, candidates(5..7), &Guard::none())
        .await
        .unwrap();
    store
        .record(&push, vec![answer(claims[0], Ending::Accepted)])
        .await
        .unwrap();
    assert_eq!(store.settle(&push).await.unwrap(), 0);
    dies.leave().await.unwrap();
    assert_eq!(store.settle(&push).await.unwrap(), 4);
    assert_eq!(store.settle(&push).await.unwrap(), 0);
    let expected = [
        ("Unanswered ", 2),
        ("Ended(Accepted) ", 1),
        ("Ended(InDoubt) sender-died", 4),
    ];
    assert_eq!(
        tally(&store, &push).await,
        expected.map(|(name, count)| (name.to_owned(), count))
    );
}

async fn a_claim_in_doubt_is_taken_over_by_one_sender(place: Place) {
    let (store, other) = (place.open().await, place.open().await);
    let push = store.open_push(&push(1)).await.unwrap();
    let dies = sender(&store).await;
    store
        .claim(&push, &dies, candidates(0..40), &Guard::none())
        .await
        .unwrap();
    dies.leave().await.unwrap();
    store.settle(&push).await.unwrap();
    let (a, b) = (sender(&store).await, sender(&other).await);
    let claimed = store
        .claim(&push, &a, candidates(0..40), &Guard::none())
        .await
        .unwrap();
    let devices = before(claimed);
    assert!(
        devices
            .iter()
            .all(|device| device.standing == Standing::Ended(Ending::InDoubt))
    );
    let (of_a, of_b) = tokio::join!(store.retry(&a, &devices), other.retry(&b, &devices));
    let (of_a, of_b) = (of_a.unwrap(), of_b.unwrap());
    assert_eq!(of_a.len() + of_b.len(), 40);
    let by_b = |id: i64| of_b.iter().any(|claim| claim.id == id);
    assert!(of_a.iter().all(|claim| !by_b(claim.id)));
    // In flight again, and an answer is recorded as for any other.
    assert_eq!(tally(&store, &push).await, [("Unanswered ".to_owned(), 40)]);
    let answers = of_a
        .iter()
        .chain(&of_b)
        .map(|claim| answer(*claim, Ending::Accepted))
        .collect();
    store.record(&push, answers).await.unwrap();
    assert_eq!(store.retry(&a, &devices).await.unwrap(), []);
}

async fn a_late_answer_resolves_the_doubt(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let sleeps = sender(&store).await;
    let claims = won(&store
        .claim(&push, &sleeps, candidates([1]), &Guard::none())
        .await
        .unwrap());
    // It has not renewed its lease for so long that another process counts it as dead.
    place.let_pass(LEASE_TTL * 2);
    assert_eq!(store.settle(&push).await.unwrap(), 1);
    store
        .record(&push, vec![answer(claims[0], Ending::Accepted)])
        .await
        .unwrap();
    assert_eq!(
        tally(&store, &push).await,
        [("Ended(Accepted) ".to_owned(), 1)]
    );
}

async fn a_sender_that_wakes_up_leaves_claims_that_another_took_over(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let sleeps = sender(&store).await;
    let claims = won(&store
        .claim(&push, &sleeps, candidates(0..4), &Guard::none())
        .await
        .unwrap());
    place.let_pass(LEASE_TTL * 2);
    assert_eq!(store.settle(&push).await.unwrap(), 4);
    let other = sender(&store).await;
    let before = store
        .claim(&push, &other, candidates(0..3), &Guard::none())
        .await
        .unwrap();
    let devices: Vec<Device> = before
        .into_iter()
        .flat_map(|one| match one {
            Claimed::Before(devices) => devices,
            other => panic!("{other:?}"),
        })
        .collect();
    let taken = store.retry(&other, &devices).await.unwrap();
    assert_eq!(taken.len(), 3);
    let failed = vec![answer(taken[0], Ending::Failed)];
    store.record(&push, failed).await.unwrap();
    // It has answers for all four and tries to retry the second. Only the last claim is still its own.
    let late = claims.iter().map(|one| answer(*one, Ending::Accepted));
    store.record(&push, late.collect()).await.unwrap();
    assert_eq!(store.release(&push, &sleeps, &claims).await.unwrap(), 0);
    let expected = [
        ("Unanswered ", 2),
        ("Ended(Accepted) ", 1),
        ("Ended(Failed) UNREGISTERED", 1),
    ];
    assert_eq!(
        tally(&store, &push).await,
        expected.map(|(name, count)| (name.to_owned(), count))
    );
    // It cannot claim further users either, not even to skip them.
    let skipped = vec![Dismissal::skipped(user(9), "no-token")];
    let errors = [
        store
            .claim(&push, &sleeps, candidates([5]), &Guard::none())
            .await
            .unwrap_err(),
        store.dismiss(&push, &sleeps, skipped).await.unwrap_err(),
        store.retry(&sleeps, &devices).await.unwrap_err(),
        store
            .take(&push, &sleeps, 10, &Guard::none())
            .await
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), pushctl::error::ErrorKind::Locked, "{error:#}");
    }
    assert!(!sleeps.is_alive(&store).await.unwrap());
    assert!(other.is_alive(&store).await.unwrap());
    let everyone = store.recipients(&push, 0, 100).await.unwrap();
    assert_eq!(everyone.len(), 4);
}

async fn a_sender_that_was_declared_dead_claims_no_more(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let sleeps = sender(&store).await;
    let other = sender(&store).await;
    place.let_pass(LEASE_TTL * 2);
    // It has not renewed its lease for so long that another process declares it dead; then it wakes up.
    store
        .claim(&push, &sleeps, candidates([1]), &Guard::none())
        .await
        .unwrap();
    assert_eq!(store.settle(&push).await.unwrap(), 1);
    let waking = async {
        loop {
            let claimed = store
                .claim(&push, &sleeps, candidates([2]), &Guard::none())
                .await;
            match claimed {
                Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                Err(error) => return error,
            }
        }
    };
    let error = tokio::time::timeout(LEASE_TTL, waking).await.unwrap();
    assert_eq!(error.kind(), pushctl::error::ErrorKind::Locked);
    assert!(
        store
            .claim(&push, &other, candidates([3]), &Guard::none())
            .await
            .is_ok()
    );
}
