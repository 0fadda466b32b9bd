//! Dry runs and the state store: they neither create it nor migrate it.

use pushctl::budget::Budget;
use pushctl::state::migrations::{Loss, NEEDED};
use pushctl::state::{Location, Store};

use super::office::{File, Office};
use crate::support::fcm::script::Script;
use crate::support::store::{Place, address};

/// Every dry run, by their words.
const DRY: [&[&str]; 3] = [
    &["run-pipeline", "daily", "--mode", "real-dry-run"],
    &["run-pipeline", "daily", "--mode", "test-dry-run"],
    &["send", "--automation", "daily", "--push", "1", "--dry-run"],
];

/// Runs `work` on the store as it is.
fn as_it_is<T>(office: &Office, work: impl AsyncFnOnce(Store) -> T) -> T {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let clock = std::sync::Arc::new(pushctl::clock::System);
        let location = match office.place.file() {
            Some(file) => Location::Embedded(file),
            None => Location::Postgres(Box::new(address(&office.place.setting()))),
        };
        let budget = Budget::open(std::time::Duration::from_secs(20));
        let store = Store::open_as_it_is(&location, clock, budget)
            .await
            .unwrap();
        let value = work(store.clone()).await;
        store.close().await;
        value
    })
}

fn version(office: &Office) -> usize {
    as_it_is(office, async |store| {
        store.migrations().await.unwrap().applied.len()
    })
}

fn exists(office: &Office) -> bool {
    match (&office.place.database, office.place.file()) {
        (Some(database), _) => {
            let sql = "SELECT count(*) FROM pg_namespace WHERE nspname = 'pushctl'";
            database.query(sql)[0][0] == "1"
        }
        (None, file) => file.unwrap().parent().unwrap().exists(),
    }
}

#[test]
fn no_store_is_created() {
    for place in [Place::sqlite(), Place::postgres()] {
        let office = Office::at(place, 10, Script::default());
        office.file(&File::default());
        for words in DRY {
            let outcome = office.ends(&[words, &["--json"]].concat(), 0);
            assert!(!exists(&office), "{words:?}: {outcome}");
        }
        let outcome = office.ends(&[DRY[0], &["--until", "generate"]].concat(), 0);
        assert!(!outcome.stderr.contains("pushctl resume"), "{outcome}");
        assert!(!exists(&office));
        assert_eq!(office.stand_in.connections(), 0);
    }
}

/// The first migration that only adds tables.
const ADDITIVE: u32 = 5;

#[test]
fn an_old_store_is_read_where_it_is_empty_and_left_as_it_is() {
    for place in [Place::sqlite(), Place::postgres()] {
        let office = Office::at(place, 10, Script::default());
        office.file(&File::default());
        as_it_is(&office, async |store| {
            store.migrate().await.unwrap();
            store.rollback(NEEDED - 1, Loss::Refused).await.unwrap();
        });
        for words in DRY {
            office.ends(words, 0);
            assert_eq!(version(&office), NEEDED as usize - 1, "{words:?}");
        }
        // With records in it, it is read too while only new tables are missing.
        as_it_is(&office, async |store| {
            store.pause("other", "alice", None).await.unwrap();
        });
        for words in DRY {
            office.ends(words, 0);
            assert_eq!(version(&office), NEEDED as usize - 1, "{words:?}");
        }
        // Otherwise the command to run is named.
        as_it_is(&office, async |store| {
            store.rollback(ADDITIVE - 2, Loss::Refused).await.unwrap();
        });
        for words in DRY {
            let outcome = office.ends(words, 2);
            assert!(
                outcome.stderr.contains("pushctl state migrate"),
                "{outcome}"
            );
            assert_eq!(version(&office), ADDITIVE as usize - 2, "{words:?}");
        }
    }
}

#[test]
fn a_store_that_is_there_counts() {
    for place in [Place::sqlite(), Place::postgres()] {
        let office = Office::at(place, 10, Script::default());
        office.file(&File::default());
        office.ends(&["run-pipeline", "daily"], 0);
        let dry = office.ends(&[DRY[0], &["--json"]].concat(), 0).json();
        assert_eq!(dry["pushes"][0]["excluded"], 5, "{dry:#}");
        assert_eq!(dry["pushes"][0]["not_attempted"], 0, "{dry:#}");
    }
}
