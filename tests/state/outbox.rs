use std::collections::HashSet;

use pushctl::state::ledger::{Ending, Guard, NewPush, Recording, Words};
use pushctl::state::{Owed, Store};

use super::{answer, candidates, in_both_stores, push, sender, user, won};
use crate::support::store::Place;

in_both_stores!(
    every_accepted_push_is_in_the_outbox_once_with_its_texts,
    delivered_pushes_leave_the_outbox,
    one_push_to_one_user_has_the_same_id_in_every_store,
);

/// Records three accepted recipients and one dead token.
async fn send(store: &Store) -> pushctl::state::ledger::LedgerPush {
    let new = NewPush {
        recording: Recording::Elsewhere,
        ..push(1)
    };
    let push = store.open_push(&new).await.unwrap();
    let sender = sender(store).await;
    let claims = won(&store
        .claim(&push, &sender, candidates(0..4), &Guard::none())
        .await
        .unwrap());
    let endings = [
        Ending::Accepted,
        Ending::Dead,
        Ending::Accepted,
        Ending::Accepted,
    ];
    let mut answers: Vec<_> = claims
        .iter()
        .zip(endings)
        .map(|(claim, ending)| answer(*claim, ending))
        .collect();
    answers[3].words = None;
    store.record(&push, answers.clone()).await.unwrap();
    store.record(&push, answers).await.unwrap();
    push
}

async fn every_accepted_push_is_in_the_outbox_once_with_its_texts(place: Place) {
    let store = place.open().await;
    send(&store).await;
    assert_eq!(store.owed_count().await.unwrap(), 3);
    let mut owed: Vec<Owed> = Vec::new();
    loop {
        let page = store
            .owed(owed.last().map_or(0, |last| last.claim), 2)
            .await
            .unwrap();
        if page.is_empty() {
            break;
        }
        owed.extend(page);
    }
    assert_eq!(
        owed.iter().map(|one| one.user.clone()).collect::<Vec<_>>(),
        [user(0), user(2), user(3)]
    );
    let rendered = Words {
        title: "The target: Nebulas".to_owned(),
        ..push(1).words
    };
    assert_eq!(owed[0].words, rendered);
    assert_eq!(owed[2].words, push(1).words);
    assert_eq!(
        (owed[0].layer, owed[0].audience.as_deref()),
        (3, Some("recent-offer-creators"))
    );
    assert_eq!(
        owed.iter().map(|one| one.id).collect::<HashSet<_>>().len(),
        3
    );
}

async fn delivered_pushes_leave_the_outbox(place: Place) {
    let store = place.open().await;
    let push = send(&store).await;
    let owed = store.owed(0, 10).await.unwrap();
    store
        .delivered(&[owed[0].claim, owed[1].claim])
        .await
        .unwrap();
    assert_eq!(store.owed(0, 10).await.unwrap(), owed[2..]);
    store.delivered(&[owed[2].claim]).await.unwrap();
    store.delivered(&[]).await.unwrap();
    assert_eq!(store.owed_count().await.unwrap(), 0);
    assert_eq!(store.deliveries().await.unwrap(), 2);
    assert_eq!(store.recipients(&push, 0, 10).await.unwrap().len(), 4);
}

async fn one_push_to_one_user_has_the_same_id_in_every_store(place: Place) {
    let (here, there) = (place.open().await, Place::sqlite());
    send(&here).await;
    let there = there.open().await;
    // Claim in another order, in another store.
    let new = NewPush {
        recording: Recording::Elsewhere,
        ..push(1)
    };
    let push = there.open_push(&new).await.unwrap();
    let sender = sender(&there).await;
    let claims = won(&there
        .claim(&push, &sender, candidates([3, 0]), &Guard::none())
        .await
        .unwrap());
    let answers = claims
        .iter()
        .map(|claim| answer(*claim, Ending::Accepted))
        .collect();
    there.record(&push, answers).await.unwrap();
    let ids = |owed: Vec<Owed>| -> HashSet<_> {
        owed.into_iter()
            .map(|one| (one.user.to_string(), one.id))
            .collect()
    };
    let (here, there) = (
        ids(here.owed(0, 10).await.unwrap()),
        ids(there.owed(0, 10).await.unwrap()),
    );
    assert_eq!(there.len(), 2);
    assert!(there.is_subset(&here), "{there:?} {here:?}");
}
