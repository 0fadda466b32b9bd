use pushctl::state::ledger::{Candidate, Counted, Ending, Guard, TokenHash, UserKey};

use super::ledger::claim;
use super::{answer, in_both_stores, push, sender, tally, user, won};
use crate::support::store::Place;

in_both_stores!(
    recipients_are_read_in_pages_while_others_are_claimed,
    ids_other_than_uuids_are_kept_as_they_are,
    an_opened_push_is_returned_as_it_was_opened,
    the_timeline_counts_outcomes_by_step,
    outcomes_add_up_to_the_number_of_claims,
);

async fn recipients_are_read_in_pages_while_others_are_claimed(place: Place) {
    let store = place.open().await;
    let (a, b) = (
        store.open_push(&push(1)).await.unwrap(),
        store.open_push(&push(2)).await.unwrap(),
    );
    for part in 0..5 {
        claim(&store, &a, part * 20..part * 20 + 20).await;
        claim(&store, &b, part * 20..part * 20 + 20).await;
    }
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let page = store.recipients(&b, after, 7).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.claim;
        seen.extend(page.into_iter().map(|one| one.user));
    }
    assert_eq!(seen, (0..100).map(user).collect::<Vec<_>>());
}

async fn ids_other_than_uuids_are_kept_as_they_are(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let sender = sender(&store).await;
    let ids = [
        "42",
        "alice@example.com",
        "Žofie",
        "sixteen-letters.",
        "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    ];
    let group = ids.map(|id| Candidate {
        user: UserKey::of(id),
        tokens: vec![TokenHash::of(id)],
        counted: Counted::default(),
    });
    let claimed = store
        .claim(&push, &sender, group.to_vec(), &Guard::none())
        .await
        .unwrap();
    assert_eq!(won(&claimed).len(), ids.len());
    let kept = store.recipients(&push, 0, 10).await.unwrap();
    assert_eq!(
        kept.iter()
            .map(|one| one.user.to_string())
            .collect::<Vec<_>>(),
        ids
    );
}

async fn an_opened_push_is_returned_as_it_was_opened(place: Place) {
    let store = place.open().await;
    let opened = store.open_push(&push(1)).await.unwrap();
    let mut other = push(1);
    other.words.title = "Something else".into();
    other.run = "run-2".into();
    assert_eq!(place.open().await.open_push(&other).await.unwrap(), opened);
    assert_eq!(opened.words, push(1).words);
    assert_eq!(opened.run, "run-1");
}

async fn the_timeline_counts_outcomes_by_step(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let claims = won(&claim(&store, &push, 0..6).await);
    for (index, claim) in claims.iter().enumerate() {
        let ending = if index == 5 {
            Ending::Failed
        } else {
            Ending::Accepted
        };
        store
            .record(&push, vec![answer(*claim, ending)])
            .await
            .unwrap();
        place.clock.advance(std::time::Duration::from_secs(4));
    }
    let step = std::time::Duration::from_secs(10);
    let timeline = store.timeline(&push, step).await.unwrap();
    let counts: Vec<_> = timeline
        .iter()
        .map(|(at, ending, count)| (at.as_second() % 60, *ending, *count))
        .collect();
    assert_eq!(
        counts,
        [
            (0, Ending::Accepted, 3),
            (10, Ending::Accepted, 2),
            (20, Ending::Failed, 1)
        ]
    );
}

async fn outcomes_add_up_to_the_number_of_claims(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let claims = won(&claim(&store, &push, 0..7).await);
    let endings = [
        Ending::Accepted,
        Ending::Accepted,
        Ending::Dead,
        Ending::Failed,
        Ending::Cancelled,
        Ending::InDoubt,
    ];
    let mut answers: Vec<_> = claims
        .iter()
        .zip(endings)
        .map(|(claim, ending)| answer(*claim, ending))
        .collect();
    // The same claim twice in one group: the last outcome counts.
    answers.push(answer(claims[3], Ending::Skipped));
    store.record(&push, answers.clone()).await.unwrap();
    // A repetition, as after a lost answer.
    store.record(&push, answers).await.unwrap();
    let expected = [
        ("Unanswered ", 1),
        ("Ended(Accepted) ", 2),
        ("Ended(Dead) UNREGISTERED", 1),
        ("Ended(Skipped) UNREGISTERED", 1),
        ("Ended(Cancelled) UNREGISTERED", 1),
        ("Ended(InDoubt) UNREGISTERED", 1),
    ];
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect();
    assert_eq!(tally(&store, &push).await, expected);
}
