use std::future::pending;
use std::io::Cursor;

use pushctl::error::{Error, ErrorKind};
use pushctl::state::ledger::{Ending, Guard, Queued};
use pushctl::state::{CancelTarget, NewRun, Store};

use super::{answer, candidates, in_both_stores, push, sender, user, won};
use crate::support::store::Place;

in_both_stores!(
    an_export_fills_a_store_of_either_kind_with_the_same_rows,
    an_incomplete_export_is_rejected_and_leaves_an_empty_store,
    an_import_into_a_store_with_rows_is_rejected,
    a_stopped_import_leaves_an_empty_store,
    a_store_with_an_incomplete_import_is_rejected,
    an_export_that_cannot_be_written_ends_with_the_error,
    a_store_with_pending_migrations_is_exported_as_it_is,
);

/// Inserts some rows into every table.
async fn fill(store: &Store) {
    let run = NewRun {
        id: "run-1".to_owned(),
        automation: "layer3-daily".to_owned(),
        occurrence: "2026-11-21T13:33-06:00".to_owned(),
        mode: "live-send".to_owned(),
        begun_by: "alice@worker-1".to_owned(),
        plan: serde_json::json!({"quotes": "\"'\\ and\nlines", "ž": 1}),
    };
    store.begin_run(&run).await.unwrap();
    store.begin_phase("run-1", "generate").await.unwrap();
    store
        .cancel(&CancelTarget::All, "bob@laptop", None)
        .await
        .unwrap();
    store
        .pause("layer2", "bob@laptop", Some("new copy"))
        .await
        .unwrap();
    let new = pushctl::state::ledger::NewPush {
        recording: pushctl::state::ledger::Recording::Elsewhere,
        ..push(1)
    };
    let push = store.open_push(&new).await.unwrap();
    let sender = sender(store).await;
    let claims = won(&store
        .claim(&push, &sender, candidates(0..450), &Guard::none())
        .await
        .unwrap());
    let answers = claims
        .iter()
        .map(|claim| answer(*claim, Ending::Accepted))
        .collect();
    store.record(&push, answers).await.unwrap();
    let owed = store.owed(0, 5).await.unwrap();
    store
        .delivered(&owed.iter().map(|one| one.claim).collect::<Vec<_>>())
        .await
        .unwrap();
    let queued = Queued {
        user: user(1000),
        token: None,
        counted: pushctl::state::ledger::Counted([1, 2, 3]),
        payload: vec![0, 255, 10],
    };
    store.enqueue(&push, vec![queued]).await.unwrap();
    sender.leave().await.unwrap();
}

async fn exported(store: &Store) -> String {
    let mut bytes = Vec::new();
    store.export(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

async fn an_export_fills_a_store_of_either_kind_with_the_same_rows(place: Place) {
    let store = place.open().await;
    fill(&store).await;
    let text = exported(&store).await;
    assert!(!text.contains("token-1"), "a token in clear");
    for other in [Place::sqlite(), Place::postgres()] {
        let other = other.open().await;
        let count = other
            .import(&mut Cursor::new(&text), pending())
            .await
            .unwrap();
        assert_eq!(usize::try_from(count), Ok(text.lines().count() - 2));
        assert_eq!(exported(&other).await, text);
        // Row numbers continue after those of the exported store.
        let sender = sender(&other).await;
        let push = other.open_push(&push(2)).await.unwrap();
        assert_eq!(
            won(&other
                .claim(&push, &sender, candidates(0..3), &Guard::none())
                .await
                .unwrap())
            .len(),
            3
        );
    }
}

async fn an_incomplete_export_is_rejected_and_leaves_an_empty_store(place: Place) {
    let source = Place::sqlite().open().await;
    fill(&source).await;
    let text = exported(&source).await;
    let store = place.open().await;
    let lines: Vec<&str> = text.lines().collect();
    let cut = lines[..lines.len() - 1].join("\n");
    let torn = format!(
        "{}\n{{\"table\":\"claims\",\"row\":",
        lines[..lines.len() / 2].join("\n")
    );
    let missing = [&lines[..300], &lines[301..]].concat().join("\n");
    for (broken, complaint) in [
        (&cut, "incomplete"),
        (&torn, "not a row"),
        (&missing, "incomplete"),
    ] {
        let error = store
            .import(&mut Cursor::new(broken), pending())
            .await
            .unwrap_err();
        assert!(error.to_string().contains(complaint), "{error}");
    }
    store
        .import(&mut Cursor::new(&text), pending())
        .await
        .unwrap();
    assert_eq!(exported(&store).await, text);
}

async fn an_import_into_a_store_with_rows_is_rejected(place: Place) {
    let store = place.open().await;
    store.pause("layer2", "bob@laptop", None).await.unwrap();
    let text = exported(&store).await;
    let error = store
        .import(&mut Cursor::new(&text), pending())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert_eq!(store.pauses().await.unwrap().len(), 1);
}

async fn a_stopped_import_leaves_an_empty_store(place: Place) {
    let source = Place::sqlite().open().await;
    fill(&source).await;
    let text = exported(&source).await;
    let store = place.open().await;
    let empty = exported(&store).await;
    let stop = async {
        tokio::task::yield_now().await;
        Error::new(ErrorKind::Interrupted, "interrupted")
    };
    let error = store
        .import(&mut Cursor::new(&text), stop)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted);
    assert_eq!(exported(&store).await, empty);
}

async fn a_store_with_an_incomplete_import_is_rejected(place: Place) {
    let source = Place::sqlite().open().await;
    fill(&source).await;
    let text = exported(&source).await;
    let store = place.open().await;
    store
        .import(&mut Cursor::new(&text), pending())
        .await
        .unwrap();
    // A process that is killed during an import leaves rows, but none in `deliveries`.
    place.forget_deliveries();
    let clock = std::sync::Arc::clone(&place.clock) as std::sync::Arc<dyn pushctl::clock::Clock>;
    let refused = Store::open(&place.location, clock.clone()).await;
    let refused = refused.unwrap_err();
    assert!(refused.to_string().contains("interrupted"), "{refused}");
    let mut copy = Vec::new();
    assert!(store.export(&mut copy).await.is_err());
    let budget = pushctl::budget::Budget::open(std::time::Duration::from_secs(20));
    let again = Store::open_as_it_is(&place.location, clock, budget)
        .await
        .unwrap();
    again
        .import(&mut Cursor::new(&text), pending())
        .await
        .unwrap();
    assert_eq!(exported(&place.open().await).await, text);
}

/// A writer that fails like a full disk after some bytes.
struct Full(usize);

impl std::io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self
            .0
            .checked_sub(bytes.len())
            .ok_or(std::io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn an_export_that_cannot_be_written_ends_with_the_error(place: Place) {
    let store = place.open().await;
    fill(&store).await;
    let error = store.export(&mut Full(2_000)).await.unwrap_err();
    assert!(error.to_string().contains("cannot write the export"));
    // The store can still be used.
    assert!(exported(&store).await.lines().count() > 1_300);
}

async fn a_store_with_pending_migrations_is_exported_as_it_is(place: Place) {
    let store = place.open().await;
    store.pause("layer2", "bob@laptop", None).await.unwrap();
    store
        .rollback(1, pushctl::state::migrations::Loss::Accepted)
        .await
        .unwrap();
    let text = exported(&store).await;
    assert!(text.starts_with("{\"pushctl_state\":1,"), "{text}");
    assert_eq!(text.lines().count(), 3);
    let other = Place::sqlite().open().await;
    let error = other
        .import(&mut Cursor::new(&text), pending())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("at migration 1"), "{error}");
}
