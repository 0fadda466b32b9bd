use std::collections::HashSet;

use pushctl::state::Store;
use pushctl::state::ledger::{Counted, Ending, Guard, LedgerPush, Limit, Queued, Taken, TokenHash};

use super::{answer, candidate, in_both_stores, push, sender, tally, user, won};
use crate::support::store::Place;

in_both_stores!(
    four_senders_on_one_queue_claim_every_recipient_once,
    claims_of_a_dead_sender_are_in_doubt_and_others_take_the_rest,
    recipients_in_doubt_can_be_put_back_with_their_payload,
    a_recipient_in_the_ledger_is_not_queued_again,
    limits_are_checked_when_a_recipient_is_taken_from_the_queue,
);

fn queued(n: u64) -> Queued {
    Queued {
        user: user(n),
        token: Some(TokenHash::of(&format!("token-{n}"))),
        counted: Counted::default(),
        payload: format!("{{\"n\":{n}}}").into_bytes(),
    }
}

async fn enqueue(store: &Store, push: &LedgerPush, numbers: impl IntoIterator<Item = u64>) {
    store
        .enqueue(push, numbers.into_iter().map(queued).collect())
        .await
        .unwrap();
}

async fn four_senders_on_one_queue_claim_every_recipient_once(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    enqueue(&store, &push, 0..1000).await;
    let takers = (0..4).map(|_| async {
        let (store, push) = (place.open().await, push.clone());
        tokio::spawn(async move {
            let sender = sender(&store).await;
            let mut mine: Vec<Taken> = Vec::new();
            loop {
                let taken = store
                    .take(&push, &sender, 30, &Guard::none())
                    .await
                    .unwrap();
                if taken.is_empty() {
                    return mine;
                }
                let answers = taken
                    .iter()
                    .map(|one| answer(one.claim, Ending::Accepted))
                    .collect();
                store.record(&push, answers).await.unwrap();
                mine.extend(taken);
            }
        })
        .await
        .unwrap()
    });
    let each = futures_util::future::join_all(takers).await;
    let all: Vec<&Taken> = each.iter().flatten().collect();
    assert_eq!(all.len(), 1000);
    assert_eq!(
        all.iter()
            .map(|one| &one.user)
            .collect::<HashSet<_>>()
            .len(),
        1000
    );
    assert!(
        all.iter()
            .all(|one| one.over.is_none() && one.token.is_some())
    );
    let first = all.iter().find(|one| one.user == user(7)).unwrap();
    assert_eq!(first.payload, b"{\"n\":7}");
    assert_eq!(
        tally(&store, &push).await,
        [("Ended(Accepted) ".to_owned(), 1000)]
    );
}

async fn claims_of_a_dead_sender_are_in_doubt_and_others_take_the_rest(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    enqueue(&store, &push, 0..10).await;
    let (dies, lives) = (sender(&store).await, sender(&store).await);
    let lost = store.take(&push, &dies, 4, &Guard::none()).await.unwrap();
    let flying = store.take(&push, &lives, 1, &Guard::none()).await.unwrap();
    store
        .record(&push, vec![answer(lost[0].claim, Ending::Accepted)])
        .await
        .unwrap();
    dies.leave().await.unwrap();
    assert_eq!(store.settle(&push).await.unwrap(), 3);
    let rest = store
        .take(&push, &lives, 100, &Guard::none())
        .await
        .unwrap();
    assert_eq!(rest.len(), 5);
    let expected = [
        ("Unanswered ", 6),
        ("Ended(Accepted) ", 1),
        ("Ended(InDoubt) sender-died", 3),
    ];
    assert_eq!(
        tally(&store, &push).await,
        expected.map(|(name, count)| (name.to_owned(), count))
    );
    assert_eq!(flying.len(), 1);
}

async fn recipients_in_doubt_can_be_put_back_with_their_payload(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    enqueue(&store, &push, 0..3).await;
    let one = sender(&store).await;
    let taken = store.take(&push, &one, 3, &Guard::none()).await.unwrap();
    let endings = [Ending::Accepted, Ending::InDoubt];
    let answers = taken
        .iter()
        .zip(endings)
        .map(|(one, ending)| answer(one.claim, ending))
        .collect();
    store.record(&push, answers).await.unwrap();
    assert_eq!(store.requeue(&push).await.unwrap(), 1);
    let again = store.take(&push, &one, 3, &Guard::none()).await.unwrap();
    assert_eq!(
        again
            .iter()
            .map(|one| (&one.user, &one.payload))
            .collect::<Vec<_>>(),
        [(&user(1), &b"{\"n\":1}".to_vec())]
    );
}

async fn a_recipient_in_the_ledger_is_not_queued_again(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let one = sender(&store).await;
    let claimed = store
        .claim(&push, &one, vec![candidate(1)], &Guard::none())
        .await
        .unwrap();
    assert_eq!(won(&claimed).len(), 1);
    enqueue(&store, &push, [1, 2, 3, 3]).await;
    enqueue(&store, &push, [2, 3, 4]).await;
    let other = Queued {
        token: Some(TokenHash::of("token-4")),
        ..queued(5)
    };
    store.enqueue(&push, vec![other]).await.unwrap();
    assert_eq!(
        store
            .take(&push, &one, 10, &Guard::none())
            .await
            .unwrap()
            .len(),
        3
    );
}

async fn limits_are_checked_when_a_recipient_is_taken_from_the_queue(place: Place) {
    use pushctl::clock::Clock;
    let store = place.open().await;
    let one = sender(&store).await;
    let limit = Limit {
        layers: 1 << 3,
        since: place.clock.now() - std::time::Duration::from_secs(3600),
        at_most: 2,
    };
    let guard = Guard {
        limits: vec![limit],
        ..Guard::none()
    };
    let first = store.open_push(&push(1)).await.unwrap();
    let second = store.open_push(&push(2)).await.unwrap();
    let elsewhere = |n, count| Queued {
        counted: Counted([count, 0, 0]),
        ..queued(n)
    };
    let recipients = vec![
        elsewhere(1, 0),
        elsewhere(2, 1),
        elsewhere(3, 2),
        elsewhere(4, 1),
    ];
    store.enqueue(&second, recipients).await.unwrap();
    store
        .claim(
            &first,
            &one,
            vec![candidate(1), candidate(2)],
            &Guard::none(),
        )
        .await
        .unwrap();
    let taken = store.take(&second, &one, 10, &guard).await.unwrap();
    let over: Vec<_> = taken.iter().map(|one| one.over).collect();
    assert_eq!(over, [None, Some(0), Some(0), None]);
}
