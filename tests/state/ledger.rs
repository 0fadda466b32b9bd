use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pushctl::progress::Silent;
use pushctl::state::ledger::{
    Candidate, Claimed, Dismissal, Ending, Guard, LedgerPush, Limit, Standing, TokenHash,
};
use pushctl::state::{Owed, Pruned, Pruning, Store};

use super::{answer, candidate, candidates, in_both_stores, push, sender, tally, user, won};
use crate::support::store::Place;

in_both_stores!(
    a_user_is_claimed_once_for_a_push_by_any_sender,
    two_senders_at_once_claim_every_user_once_and_no_token_twice,
    a_token_of_two_users_is_claimed_once,
    several_devices_of_a_user_are_claimed_together,
    an_accepted_push_stays_accepted,
    a_skipped_recipient_is_never_claimed,
    old_records_are_deleted_except_those_in_the_outbox,
    a_stopped_retention_is_continued_by_the_next,
);

pub(super) async fn claim(
    store: &Store,
    push: &LedgerPush,
    numbers: impl IntoIterator<Item = u64>,
) -> Vec<Claimed> {
    let sender = sender(store).await;
    store
        .claim(push, &sender, candidates(numbers), &Guard::none())
        .await
        .unwrap()
}

async fn a_user_is_claimed_once_for_a_push_by_any_sender(place: Place) {
    let store = place.open().await;
    let first = store.open_push(&push(1)).await.unwrap();
    let claimed = claim(&store, &first, [1, 2]).await;
    assert_eq!(won(&claimed).len(), 2);
    let again = claim(&place.open().await, &first, [2, 3, 3]).await;
    assert!(
        matches!(&again[..], [Claimed::Before(devices), Claimed::Won(_), Claimed::Repeated]
            if devices.len() == 1 && devices[0].standing == Standing::Unanswered && devices[0].claim == won(&claimed)[1]),
        "{again:?}"
    );
    // Another push, or another occurrence, is independent.
    let second = store.open_push(&push(2)).await.unwrap();
    assert_eq!(won(&claim(&store, &second, [1, 2]).await).len(), 2);
    let mut tomorrow = push(1);
    tomorrow.occurrence = "2026-11-22T13:33-06:00".into();
    let tomorrow = store.open_push(&tomorrow).await.unwrap();
    assert_eq!(won(&claim(&store, &tomorrow, [1, 2]).await).len(), 2);
}

async fn two_senders_at_once_claim_every_user_once_and_no_token_twice(place: Place) {
    const USERS: u64 = 2_000;
    let stores = [place.open().await, place.open().await];
    let push = stores[0].open_push(&push(1)).await.unwrap();
    // In opposite orders: what one writes first, the other writes last. Every tenth token belongs to two users.
    let group = |users: Vec<u64>| -> Vec<Candidate> {
        let token = |n: u64| {
            TokenHash::of(&format!(
                "token-{}",
                if n.is_multiple_of(10) { n + 1 } else { n }
            ))
        };
        let one = |n| Candidate {
            tokens: vec![token(n)],
            ..candidate(n)
        };
        users.into_iter().map(one).collect()
    };
    // Neither begins before the other can: on a busy machine one would be done when the other starts.
    let both = Arc::new(tokio::sync::Barrier::new(2));
    let claims = |store: Store, users: Vec<u64>| {
        let (push, both) = (push.clone(), Arc::clone(&both));
        async move {
            let sender = sender(&store).await;
            let mut numbers = Vec::new();
            for (turn, part) in users.chunks(170).enumerate() {
                // The first groups have no user in common, so each sender claims its own.
                if turn == 1 {
                    both.wait().await;
                }
                let claimed = store
                    .claim(&push, &sender, group(part.to_vec()), &Guard::none())
                    .await
                    .unwrap();
                numbers.extend(won(&claimed));
            }
            numbers
        }
    };
    let [one, two] = stores;
    let up: Vec<u64> = (0..USERS).collect();
    let down: Vec<u64> = (0..USERS).rev().collect();
    let (a, b) = tokio::join!(
        tokio::spawn(claims(one.clone(), up)),
        tokio::spawn(claims(two, down))
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(
        !a.is_empty() && !b.is_empty(),
        "one of them claimed nothing: {} and {}",
        a.len(),
        b.len()
    );
    let everyone = one.recipients(&push, 0, 10_000).await.unwrap();
    assert_eq!(everyone.len(), a.len() + b.len());
    let tokens: HashSet<_> = everyone.iter().map(|one| one.token).collect();
    let users: HashSet<_> = everyone.iter().map(|one| &one.user).collect();
    // Of each pair of users that shares a token one is claimed.
    assert_eq!(users.len() as u64, USERS - USERS / 10);
    assert_eq!(tokens.len(), users.len());
}

async fn a_token_of_two_users_is_claimed_once(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let sender = sender(&store).await;
    let with_token = |n, token| Candidate {
        tokens: vec![TokenHash::of(token)],
        ..candidate(n)
    };
    let group = vec![with_token(1, "shared"), with_token(2, "shared")];
    let claimed = store
        .claim(&push, &sender, group, &Guard::none())
        .await
        .unwrap();
    assert!(
        matches!(claimed[..], [Claimed::Won(_), Claimed::TokenTaken]),
        "{claimed:?}"
    );
    let later = vec![with_token(3, "shared")];
    let claimed = store
        .claim(&push, &sender, later, &Guard::none())
        .await
        .unwrap();
    assert_eq!(claimed, [Claimed::TokenTaken]);
}

async fn several_devices_of_a_user_are_claimed_together(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let sender = sender(&store).await;
    let devices = |n, tokens: &[&str]| Candidate {
        tokens: tokens.iter().map(|token| TokenHash::of(token)).collect(),
        ..candidate(n)
    };
    let group = vec![devices(1, &["a", "b", "c"]), devices(2, &["b", "d"])];
    let claimed = store
        .claim(&push, &sender, group, &Guard::none())
        .await
        .unwrap();
    let [Claimed::Won(alice), Claimed::Won(bob)] = &claimed[..] else {
        panic!("{claimed:?}");
    };
    assert_eq!(
        alice.iter().map(|won| won.token).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    assert!(alice.iter().all(|won| won.claim.first == alice[0].claim.id));
    assert_eq!(bob.iter().map(|won| won.token).collect::<Vec<_>>(), [1]);
    // A device registered later does not lead to a second claim.
    let group = vec![devices(1, &["new"])];
    let again = store
        .claim(&push, &sender, group, &Guard::none())
        .await
        .unwrap();
    assert!(
        matches!(&again[..], [Claimed::Before(devices)] if devices.len() == 3),
        "{again:?}"
    );
    // A push accepted on several devices is one row in the history.
    let answers = alice
        .iter()
        .map(|won| answer(won.claim, Ending::Accepted))
        .collect();
    store.record(&push, answers).await.unwrap();
    let limit = Limit {
        layers: 1 << 3,
        since: jiff::Timestamp::UNIX_EPOCH,
        at_most: 1,
    };
    let guard = Guard {
        limits: vec![limit],
        ..Guard::none()
    };
    let mut touches = store
        .touches(&[user(1), user(2)], None, &guard)
        .await
        .unwrap();
    for user in &mut touches {
        user.dedup_by_key(|touch| touch.push);
        assert_eq!(user.len(), 1, "{user:?}");
    }
}

async fn an_accepted_push_stays_accepted(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let claims = won(&claim(&store, &push, [1]).await);
    // It is in doubt until its answer arrives; every later outcome is too late.
    for ending in [
        Ending::InDoubt,
        Ending::Accepted,
        Ending::InDoubt,
        Ending::Failed,
    ] {
        store
            .record(&push, vec![answer(claims[0], ending)])
            .await
            .unwrap();
    }
    let recipient = store.recipients(&push, 0, 10).await.unwrap().remove(0);
    assert_eq!(recipient.standing, Standing::Ended(Ending::Accepted));
    assert_eq!(
        recipient.message_name.as_deref(),
        Some(&*format!("projects/p/messages/{}", claims[0].id))
    );
    assert_eq!(
        (recipient.attempts, recipient.elapsed.as_millis()),
        (1, 120)
    );
}

async fn a_skipped_recipient_is_never_claimed(place: Place) {
    let store = place.open().await;
    let push = store.open_push(&push(1)).await.unwrap();
    let sender = sender(&store).await;
    let dismissal = |n, code: &str| Dismissal {
        user: user(n),
        ending: Ending::Skipped,
        code: code.to_owned(),
    };
    store
        .claim(&push, &sender, candidates([1]), &Guard::none())
        .await
        .unwrap();
    let dismissals = vec![
        dismissal(1, "no-token"),
        dismissal(2, "no-token"),
        dismissal(3, "l3Cooldown"),
        dismissal(3, "no-token"),
    ];
    store.dismiss(&push, &sender, dismissals).await.unwrap();
    let claimed = store
        .claim(&push, &sender, candidates([2, 3]), &Guard::none())
        .await
        .unwrap();
    assert!(
        matches!(&claimed[..], [Claimed::Before(two), Claimed::Before(_)]
            if two[0].standing == Standing::Ended(Ending::Skipped) && two[0].token.is_none()),
        "{claimed:?}"
    );
    let expected = [
        ("Unanswered ", 1),
        ("Ended(Skipped) l3Cooldown", 1),
        ("Ended(Skipped) no-token", 1),
    ];
    assert_eq!(
        tally(&store, &push).await,
        expected.map(|(name, count)| (name.to_owned(), count))
    );
}

async fn old_records_are_deleted_except_those_in_the_outbox(place: Place) {
    let store = place.open().await;
    let old = store.open_push(&push(1)).await.unwrap();
    let mut owed = push(2);
    owed.recording = pushctl::state::ledger::Recording::Elsewhere;
    let owed = store.open_push(&owed).await.unwrap();
    for push in [&old, &owed] {
        let claims = won(&claim(&store, push, 0..3).await);
        let answers = claims
            .iter()
            .map(|claim| answer(*claim, Ending::Accepted))
            .collect();
        store.record(push, answers).await.unwrap();
    }
    place
        .clock
        .advance(std::time::Duration::from_secs(86_400 * 100));
    let young = store.open_push(&push(3)).await.unwrap();
    claim(&store, &young, 0..3).await;
    let before = young.opened_at - std::time::Duration::from_secs(86_400 * 90);
    let pruned = prune(&store, before).await;
    assert_eq!(pruned.pushes, 1);
    assert_eq!(store.recipients(&old, 0, 10).await.unwrap(), []);
    assert_eq!(store.recipients(&owed, 0, 10).await.unwrap().len(), 3);
    assert_eq!(store.recipients(&young, 0, 10).await.unwrap().len(), 3);
    let claims: Vec<i64> = store
        .owed(0, 10)
        .await
        .unwrap()
        .iter()
        .map(|one: &Owed| one.claim)
        .collect();
    store.delivered(&claims).await.unwrap();
    assert_eq!(prune(&store, before).await.pushes, 1);
}

pub(super) async fn prune(store: &Store, before: jiff::Timestamp) -> Pruned {
    let pruning = Pruning {
        progress: &Silent,
        should_stop: &|| false,
    };
    store.prune(before, &pruning).await.unwrap()
}

async fn a_stopped_retention_is_continued_by_the_next(place: Place) {
    let store = place.open().await;
    let old = store.open_push(&push(1)).await.unwrap();
    claim(&store, &old, 0..900).await;
    let before = old.opened_at + std::time::Duration::from_secs(1);
    let asked = AtomicU32::new(0);
    let pruning = Pruning {
        progress: &Silent,
        should_stop: &|| asked.fetch_add(1, Ordering::Relaxed) > 4,
    };
    let pruned = store.prune(before, &pruning).await.unwrap();
    assert_eq!((pruned.pushes, pruned.stopped), (0, true));
    let left = store.recipients(&old, 0, 1_000).await.unwrap().len();
    assert!((1..900).contains(&left), "{left}");
    let pruned = prune(&store, before).await;
    assert_eq!((pruned.pushes, pruned.stopped), (1, false));
    assert_eq!(store.recipients(&old, 0, 1_000).await.unwrap(), []);
}
