use pushctl::state::ledger::{
    Candidate, Claimed, Counted, Ending, Guard, Queued, Standing, TokenHash,
};

use super::{answer, candidate, candidates, in_both_stores, push, sender, tally, user, won};
use crate::support::store::Place;

in_both_stores!(
    claims_that_were_certainly_not_sent_can_be_claimed_by_another_sender,
    only_claims_of_this_sender_without_an_outcome_are_released,
    the_claim_on_a_user_stays_if_one_of_the_devices_has_an_outcome,
    a_released_claim_from_the_queue_goes_back_into_it,
);

async fn claims_that_were_certainly_not_sent_can_be_claimed_by_another_sender(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let stops = sender(&store).await;
    let group = candidates(0..1200);
    let claims = won(&store
        .claim(&push, &stops, group.clone(), &Guard::none())
        .await
        .unwrap());
    assert_eq!(store.release(&push, &stops, &claims).await.unwrap(), 1200);
    // Repeating it is harmless, and nothing is in doubt after the sender's end.
    assert_eq!(store.release(&push, &stops, &claims).await.unwrap(), 0);
    stops.leave().await.unwrap();
    assert_eq!(store.settle(&push).await.unwrap(), 0);
    assert_eq!(tally(&store, &push).await, []);
    let other = place.open().await;
    let later = sender(&other).await;
    let claimed = other
        .claim(&push, &later, group, &Guard::none())
        .await
        .unwrap();
    assert_eq!(won(&claimed).len(), 1200);
}

async fn only_claims_of_this_sender_without_an_outcome_are_released(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let (one, two) = (sender(&store).await, sender(&store).await);
    let guard = Guard::none();
    let of_one = won(&store
        .claim(&push, &one, candidates(0..3), &guard)
        .await
        .unwrap());
    let of_two = won(&store
        .claim(&push, &two, candidates(3..5), &guard)
        .await
        .unwrap());
    let answered = vec![
        answer(of_one[0], Ending::Accepted),
        answer(of_one[1], Ending::InDoubt),
    ];
    store.record(&push, answered).await.unwrap();
    let all: Vec<_> = of_one.iter().chain(&of_two).copied().collect();
    assert_eq!(store.release(&push, &one, &all).await.unwrap(), 1);
    let expected = [
        ("Unanswered ", 2),
        ("Ended(Accepted) ", 1),
        ("Ended(InDoubt) UNREGISTERED", 1),
    ];
    assert_eq!(
        tally(&store, &push).await,
        expected.map(|(name, count)| (name.to_owned(), count))
    );
    assert_eq!(store.release(&push, &two, &of_two).await.unwrap(), 2);
}

async fn the_claim_on_a_user_stays_if_one_of_the_devices_has_an_outcome(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let one = sender(&store).await;
    let with = |n: u64| Candidate {
        tokens: ["a", "b", "c"]
            .map(|device| TokenHash::of(&format!("token-{n}{device}")))
            .to_vec(),
        counted: Counted::default(),
        ..candidate(n)
    };
    let claims = won(&store
        .claim(&push, &one, vec![with(1), with(2)], &Guard::none())
        .await
        .unwrap());
    // The message to the first user's second device was sent; none was sent to the second user.
    let accepted = vec![answer(claims[1], Ending::Accepted)];
    store.record(&push, accepted).await.unwrap();
    assert_eq!(store.release(&push, &one, &claims).await.unwrap(), 4);
    let claimed = store
        .claim(&push, &one, vec![with(1), with(2)], &Guard::none())
        .await
        .unwrap();
    let Claimed::Before(devices) = &claimed[0] else {
        panic!("{claimed:?}")
    };
    let standings: Vec<_> = devices.iter().map(|device| device.standing).collect();
    assert_eq!(
        standings,
        [Ending::Skipped, Ending::Accepted].map(Standing::Ended)
    );
    assert_eq!(won(&claimed).len(), 3);
}

async fn a_released_claim_from_the_queue_goes_back_into_it(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let queued = |n| Queued {
        user: user(n),
        token: Some(TokenHash::of(&format!("token-{n}"))),
        counted: Counted::default(),
        payload: format!("{{\"n\":{n}}}").into_bytes(),
    };
    store
        .enqueue(&push, (0..3).map(queued).collect())
        .await
        .unwrap();
    let (one, two) = (sender(&store).await, sender(&store).await);
    let taken = store.take(&push, &one, 3, &Guard::none()).await.unwrap();
    let claims: Vec<_> = taken.iter().map(|one| one.claim).collect();
    let accepted = vec![answer(claims[0], Ending::Accepted)];
    store.record(&push, accepted).await.unwrap();
    assert_eq!(store.release(&push, &one, &claims).await.unwrap(), 2);
    let again = store.take(&push, &two, 3, &Guard::none()).await.unwrap();
    let payloads: Vec<_> = again.iter().map(|one| one.payload.as_slice()).collect();
    assert_eq!(payloads, [b"{\"n\":1}", b"{\"n\":2}"]);
}
