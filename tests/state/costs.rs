//! What PostgreSQL reads for a group of recipients does not depend on how many claims there are, nor on what its
//! planner believes about them: an empty store, one that was just filled, and one with fresh statistics.

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use pushctl::state::Store;
use pushctl::state::ledger::{
    Basis, Counted, Dismissal, Ending, Guard, LedgerPush, Limit, NewPush, Queued, Recording,
    TokenHash, Wanted,
};

use super::{answer, candidates, push, sender, user, won};
use crate::support::postgres::Database;
use crate::support::store::Place;

/// Earlier claims of the push, and the size of a group.
const EARLIER: u64 = 20_000;
const GROUP: u64 = 500;
/// Rows that a statement may read for each recipient, of all tables and indexes.
const EACH: u64 = 20;

/// What the planner knows.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Statistics {
    /// It takes the tables for empty.
    None,
    Fresh,
    /// Those of an analysed store that was empty.
    Old,
}

fn database(place: &Place) -> &Database {
    place.database.as_ref().unwrap()
}

/// Rows that were read so far. Sessions that are over have reported theirs.
async fn rows_read(place: &Place) -> u64 {
    let database = database(place);
    let open = format!(
        "SELECT count(*)::text FROM pg_stat_activity WHERE datname = '{}' AND usename = 'tls_only'",
        database.name
    );
    let began = Instant::now();
    while database.query(&open)[0][0] != "0" {
        assert!(began.elapsed() < Duration::from_secs(30), "a session stays");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let read = "SELECT ((SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes WHERE schemaname = 'pushctl')
                      + (SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_user_tables WHERE schemaname = 'pushctl'))::text";
    database.query(read)[0][0].parse().unwrap()
}

/// The limits of layer 3: both look back over the whole store.
fn limits(place: &Place) -> Guard {
    let since = pushctl::clock::Clock::now(&*place.clock) - SignedDuration::from_hours(168);
    let limit = |layers, at_most| Limit {
        layers,
        since,
        at_most,
    };
    Guard {
        limits: vec![limit(1 << 3, 9), limit(1 << 2 | 1 << 3, 9)],
        basis: Basis::Here,
    }
}

fn counted_push(number: u32) -> NewPush {
    NewPush {
        recording: Recording::Here,
        ..push(number)
    }
}

fn queued(n: u64) -> Queued {
    Queued {
        user: user(n),
        token: Some(TokenHash::of(&format!("token-{n}"))),
        counted: Counted::default(),
        payload: b"{}".to_vec(),
    }
}

/// Claims and records people in groups.
async fn send(store: &Store, push: &LedgerPush, numbers: std::ops::Range<u64>, guard: &Guard) {
    let sender = sender(store).await;
    let numbers: Vec<u64> = numbers.collect();
    for group in numbers.chunks(500) {
        let group = candidates(group.iter().copied());
        let claimed = store.claim(push, &sender, group, guard).await.unwrap();
        let answers = won(&claimed).into_iter();
        let answers = answers
            .map(|claim| answer(claim, Ending::Accepted))
            .collect();
        store.record(push, answers).await.unwrap();
    }
}

/// A store with two earlier pushes to many people, and the planner's belief about it.
async fn filled(statistics: Statistics) -> (Place, [LedgerPush; 2]) {
    let place = Place::postgres();
    let store = place.open().await;
    for table in ["claims", "outcomes", "history", "payloads", "pushes"] {
        database(&place).execute(&format!(
            "ALTER TABLE pushctl.{table} SET (autovacuum_enabled = off)"
        ));
    }
    if statistics == Statistics::Old {
        database(&place).execute("ANALYZE");
    }
    let one = store.open_push(&counted_push(1)).await.unwrap();
    let two = store.open_push(&counted_push(2)).await.unwrap();
    send(&store, &one, 0..EARLIER, &Guard::none()).await;
    send(&store, &two, EARLIER / 2..EARLIER, &Guard::none()).await;
    if statistics == Statistics::Fresh {
        database(&place).execute("ANALYZE");
    }
    drop(store);
    (place, [one, two])
}

/// Asserts that an action reads few rows for each of so many recipients.
async fn reads_little(
    place: &Place,
    (what, statistics): (&str, Statistics),
    recipients: u64,
    action: impl AsyncFnOnce(Store),
) {
    let before = rows_read(place).await;
    action(place.open().await).await;
    let read = rows_read(place).await - before;
    assert!(read < recipients * EACH, "{what}, {statistics:?}: {read}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_reads_its_own_rows_whatever_the_planner_knows() {
    for statistics in [Statistics::None, Statistics::Old, Statistics::Fresh] {
        let (place, [one, two]) = filled(statistics).await;
        let guard = limits(&place);
        reads_little(&place, ("claim", statistics), GROUP, async |store| {
            send(&store, &two, 0..GROUP, &guard).await;
        })
        .await;
        reads_little(&place, ("claim again", statistics), GROUP, async |store| {
            send(&store, &one, 0..GROUP, &guard).await;
        })
        .await;
        reads_little(&place, ("dismiss", statistics), GROUP, async |store| {
            let sender = sender(&store).await;
            let people = EARLIER..EARLIER + GROUP;
            let people = people.map(|n| Dismissal::skipped(user(n), "no-token"));
            store
                .dismiss(&one, &sender, people.collect())
                .await
                .unwrap();
        })
        .await;
        let more = 2 * EARLIER;
        reads_little(&place, ("enqueue", statistics), GROUP, async |store| {
            let people = (more..more + GROUP).map(queued).collect();
            store.enqueue(&one, people).await.unwrap();
        })
        .await;
        reads_little(&place, ("take", statistics), GROUP / 2, async |store| {
            let (sender, half) = (sender(&store).await, u32::try_from(GROUP / 2).unwrap());
            let taken = store.take(&one, &sender, half, &guard).await.unwrap();
            assert_eq!(taken.len(), 250);
        })
        .await;
        reads_little(
            &place,
            ("take these", statistics),
            GROUP / 2,
            async |store| {
                let sender = sender(&store).await;
                let wanted = (more + GROUP / 2..more + GROUP).map(|n| Wanted {
                    user: user(n),
                    token: Some(TokenHash::of(&format!("other-{n}"))),
                });
                let taken = store.take_these(&one, &sender, wanted.collect(), &guard);
                assert_eq!(taken.await.unwrap().len(), 250);
            },
        )
        .await;
    }
}
