use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use pushctl::budget::Budget;
use pushctl::clock::Clock;
use pushctl::error::ErrorKind;
use pushctl::state::migrations::{Loss, NEEDED};
use pushctl::state::{Begun, Store};

use super::{in_both_stores, push, sender};
use crate::support::cli::Sandbox;
use crate::support::store::Place;

in_both_stores!(
    every_migration_goes_up_down_and_up_again,
    first_use_migrates_an_empty_store,
    many_first_uses_at_once_do_not_collide,
    many_first_commands_at_once_do_not_collide,
    an_older_store_with_rows_is_rejected_with_the_command_to_run,
    an_older_store_that_lacks_only_new_tables_is_completed_by_the_first_use,
    a_newer_store_is_rejected,
    a_rollback_destroys_no_rows_without_consent,
);

async fn as_it_is(place: &Place) -> Store {
    let clock = Arc::clone(&place.clock) as Arc<dyn Clock>;
    let budget = Budget::open(Duration::from_secs(20));
    Store::open_as_it_is(&place.location, clock, budget)
        .await
        .unwrap()
}

async fn every_migration_goes_up_down_and_up_again(place: Place) {
    let store = as_it_is(&place).await;
    let pending = store.migrations().await.unwrap().pending;
    assert_eq!(pending.len(), NEEDED as usize);
    assert_eq!(store.migrate().await.unwrap(), pending);
    assert_eq!(store.migrate().await.unwrap(), [""; 0]);
    for version in (0..NEEDED).rev() {
        let undone = store.rollback(version, Loss::Refused).await.unwrap();
        assert_eq!(undone, [pending[version as usize]]);
        let status = store.migrations().await.unwrap();
        assert_eq!(status.applied.len(), version as usize);
        assert_eq!(status.pending, pending[version as usize..]);
        // Migrate up from here, and down again.
        assert_eq!(store.migrate().await.unwrap(), pending[version as usize..]);
        store.rollback(version, Loss::Refused).await.unwrap();
    }
    store.migrate().await.unwrap();
    let status = store.migrations().await.unwrap();
    assert_eq!(
        status
            .applied
            .iter()
            .map(|one| one.name.as_str())
            .collect::<Vec<_>>(),
        pending
    );
    sender(&store).await;
}

async fn first_use_migrates_an_empty_store(place: Place) {
    let store = place.open().await;
    assert_eq!(store.migrations().await.unwrap().pending, [""; 0]);
    // A partly migrated store is migrated too, as long as it is empty.
    store.rollback(1, Loss::Refused).await.unwrap();
    let store = place.open().await;
    assert_eq!(store.migrations().await.unwrap().pending, [""; 0]);
}

/// A command opens the store and writes at once, while others still look at it.
async fn many_first_uses_at_once_do_not_collide(place: Place) {
    let first_use = async |n: u32| {
        let store = place.open().await;
        assert!(store.pause(&format!("a{n}"), "alice", None).await.unwrap());
        store.close().await;
    };
    for round in 0..6 {
        // Every second time the store is there, empty and at an earlier migration.
        place.remove();
        if round % 2 == 1 {
            let old = as_it_is(&place).await;
            old.migrate().await.unwrap();
            old.rollback(round / 2 % NEEDED, Loss::Refused)
                .await
                .unwrap();
            old.close().await;
        }
        futures_util::future::join_all((0..5).map(first_use)).await;
        let store = place.open().await;
        assert_eq!(store.pauses().await.unwrap().len(), 5);
        store.close().await;
    }
}

async fn many_first_commands_at_once_do_not_collide(place: Place) {
    let sandbox = Sandbox::new();
    for _ in 0..4 {
        place.remove();
        let children: Vec<Child> = (0..8)
            .map(|n| {
                sandbox
                    .command(&["--yes", "pause", &format!("a{n}")])
                    .env("PUSHCTL_STATE_URL", place.setting())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for child in children {
            let outcome = sandbox.outcome(&child.wait_with_output().unwrap());
            assert_eq!(outcome.status, 0, "{outcome}");
        }
        assert_eq!(place.open().await.pauses().await.unwrap().len(), 8);
    }
}

async fn an_older_store_with_rows_is_rejected_with_the_command_to_run(place: Place) {
    let store = place.open().await;
    let run = pushctl::state::NewRun {
        id: "r1".to_owned(),
        automation: "layer2".to_owned(),
        occurrence: "monday".to_owned(),
        mode: "live-send".to_owned(),
        begun_by: "alice@worker-1".to_owned(),
        plan: serde_json::Value::Null,
    };
    assert!(matches!(
        store.begin_run(&run).await.unwrap(),
        Begun::New(_)
    ));
    store.rollback(1, Loss::Refused).await.unwrap();
    let clock = Arc::clone(&place.clock) as Arc<dyn Clock>;
    let error = Store::open(&place.location, clock).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(
        error
            .hints()
            .iter()
            .any(|hint| hint.contains("pushctl state migrate")),
        "{:?}",
        error.hints()
    );
    as_it_is(&place).await.migrate().await.unwrap();
    assert!(place.open().await.run("r1").await.unwrap().is_some());
}

async fn an_older_store_that_lacks_only_new_tables_is_completed_by_the_first_use(place: Place) {
    let store = place.open().await;
    store.pause("layer2", "alice", None).await.unwrap();
    store.rollback(4, Loss::Refused).await.unwrap();
    let store = place.open().await;
    assert_eq!(store.migrations().await.unwrap().pending.len(), 0);
    assert_eq!(store.pauses().await.unwrap().len(), 1);
}

async fn a_newer_store_is_rejected(place: Place) {
    drop(place.open().await);
    let sql = format!(
        "INSERT INTO migrations VALUES ({}, 'from-the-future', 0)",
        NEEDED + 1
    );
    match (&place.database, place.file()) {
        (Some(database), _) => database.execute(&sql.replace("migrations", "pushctl.migrations")),
        (None, Some(file)) => drop(
            rusqlite::Connection::open(file)
                .unwrap()
                .execute(&sql, [])
                .unwrap(),
        ),
        (None, None) => unreachable!(),
    }
    let clock = Arc::clone(&place.clock) as Arc<dyn Clock>;
    let error = Store::open(&place.location, clock).await.unwrap_err();
    assert!(error.to_string().contains("knows only up to"), "{error}");
}

async fn a_rollback_destroys_no_rows_without_consent(place: Place) {
    let store = place.open().await;
    store.open_push(&push(1)).await.unwrap();
    let error = store.rollback(0, Loss::Refused).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("pushes"), "{error}");
    assert_eq!(
        store
            .pushes("layer3-daily", "2026-11-21T13:33-06:00")
            .await
            .unwrap()
            .len(),
        1
    );
    let undone = store.rollback(1, Loss::Accepted).await.unwrap();
    assert_eq!(undone.len(), NEEDED as usize - 1);
}
