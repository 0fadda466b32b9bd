//! The history in the database of another service.

use pushctl::error::ErrorKind;
use std::collections::HashSet;
use std::time::Duration;

use pushctl::cadence::{Cadence, RuleState};

use super::{at, filter, history, holder, id, layer, send};
use crate::support::postgres::Postgres;
use crate::support::store::{Place, address};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_is_missing_or_switched_off_is_reported_and_the_others_hold() {
    let database = history();
    let cadence = Cadence::new(at(&database), Place::sqlite().open().await).unwrap();
    assert_eq!(cadence.screen(layer(3)).await.unwrap().unapplied(), []);
    database.execute(
        "DELETE FROM cadence_rules WHERE name = 'layer_3_cooldown_hours';
         UPDATE cadence_rules SET is_active = false WHERE name = 'layer_5_cooldown_hours'",
    );
    let screen = cadence.screen(layer(3)).await.unwrap();
    let unapplied = screen.unapplied();
    assert_eq!(unapplied.len(), 1);
    assert_eq!(
        (unapplied[0].rule.name(), unapplied[0].state),
        ("layer_3_cooldown_hours", RuleState::Missing)
    );
    assert_eq!(screen.guard().limits.len(), 1);
    let unapplied = cadence.screen(layer(5)).await.unwrap().unapplied();
    assert_eq!(
        (unapplied[0].rule.name(), unapplied[0].state),
        ("layer_5_cooldown_hours", RuleState::Inactive)
    );
    database.execute(
        "UPDATE cadence_rules SET is_active = NULL WHERE name = 'combined_l2_l3_limit_hours'",
    );
    assert_eq!(
        cadence.screen(layer(2)).await.unwrap().unapplied()[0].state,
        RuleState::Inactive
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_values_of_the_rules_are_those_in_the_table() {
    let database = history();
    let place = Place::sqlite();
    let store = place.open().await;
    let cadence = Cadence::new(at(&database), store.clone()).unwrap();
    database.execute(
        "UPDATE cadence_rules SET value_in_hours = 1 WHERE name = 'layer_3_cooldown_hours'",
    );
    assert_eq!(
        send(&store, &cadence, layer(3), "one", &[id(1)])
            .await
            .len(),
        1
    );
    cadence.sync(&holder()).await.unwrap();
    assert_eq!(
        send(&store, &cadence, layer(3), "two", &[id(1)])
            .await
            .len(),
        0
    );
    place.clock.advance(Duration::from_secs(3600));
    assert_eq!(
        send(&store, &cadence, layer(3), "three", &[id(1)])
            .await
            .len(),
        1
    );
    database.execute(
        "UPDATE cadence_rules SET value_count = 0 WHERE name = 'combined_l2_l3_limit_hours'",
    );
    assert_eq!(
        send(&store, &cadence, layer(2), "four", &[id(2)])
            .await
            .len(),
        0
    );
    database.execute(
        "UPDATE cadence_rules SET value_count = NULL WHERE name = 'combined_l2_l3_limit_hours'",
    );
    let error = cadence.screen(layer(2)).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(
        error.to_string().contains("combined_l2_l3_limit_hours"),
        "{error}"
    );
    // An exempt layer is not affected.
    assert_eq!(
        send(&store, &cadence, layer(1), "five", &[id(2)])
            .await
            .len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_pushes_are_recorded_once_with_their_words_and_count_before_and_after() {
    let database = history();
    let place = Place::sqlite();
    let store = place.open().await;
    let cadence = Cadence::new(at(&database), store.clone()).unwrap();
    let ids: Vec<String> = (0..1_200).map(id).collect();
    assert_eq!(
        send(&store, &cadence, layer(3), "monday", &ids).await.len(),
        1_200
    );
    // Not delivered yet, and they count.
    assert_eq!(
        send(&store, &cadence, layer(3), "tuesday", &ids).await,
        [""; 0]
    );
    let synced = cadence.sync(&holder()).await.unwrap();
    assert_eq!(
        (synced.delivered, synced.left, synced.unrecordable),
        (1_200, 0, 0)
    );
    assert!(synced.failure.is_none());
    let again = cadence.sync(&holder()).await.unwrap();
    assert_eq!((again.delivered, again.left), (0, 0));
    let recorded = database.query(
        "SELECT count(*), count(DISTINCT user_id), count(DISTINCT push_title), min(push_body), min(audience_description),
                min(deep_link), min(layer_id), count(notification_id) FROM user_notifications",
    );
    let expected = [
        "1200",
        "1200",
        "1200",
        "Everything moves.",
        "everyone",
        "https://example.com/restock",
        "3",
        "0",
    ];
    assert_eq!(recorded[0], expected);
    // Delivered, and they count: from there, and once.
    assert_eq!(
        send(&store, &cadence, layer(3), "tuesday", &ids).await,
        [""; 0]
    );
    assert_eq!(
        send(&store, &cadence, layer(2), "tuesday", &ids)
            .await
            .len(),
        1_200
    );
    cadence.sync(&holder()).await.unwrap();
    assert_eq!(
        send(&store, &cadence, layer(2), "wednesday", &ids)
            .await
            .len(),
        1_200
    );
    assert_eq!(
        send(&store, &cadence, layer(2), "thursday", &ids).await,
        [""; 0]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_is_repeated_records_nothing_twice() {
    let database = history();
    let place = Place::sqlite();
    let store = place.open().await;
    let cadence = Cadence::new(at(&database), store.clone()).unwrap();
    send(&store, &cadence, layer(3), "monday", &[id(1), id(2), id(3)]).await;
    // Delivered by one who died before it could say so.
    let file = place.file().unwrap();
    let copy = file.with_file_name("copy.db");
    rusqlite::Connection::open(&file)
        .unwrap()
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    cadence.sync(&holder()).await.unwrap();
    let location = pushctl::state::Location::Embedded(copy);
    let earlier = pushctl::state::Store::open(&location, place.clock.clone())
        .await
        .unwrap();
    let again = Cadence::new(at(&database), earlier)
        .unwrap()
        .sync(&holder())
        .await
        .unwrap();
    assert_eq!((again.delivered, again.left), (3, 0));
    assert_eq!(
        database.query("SELECT count(*) FROM user_notifications")[0][0],
        "3"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_user_passes_while_the_history_is_unreachable_and_no_push_is_lost() {
    let cluster = Postgres::start("history-away");
    let database = cluster.database("history");
    database.execute(&format!(
        "SET market.users = '0'; {}",
        include_str!("../market/history.sql")
    ));
    database.execute("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO tls_only");
    // What was committed a moment ago is not on the disk, in this cluster, and would be lost by the crash.
    database.execute("CHECKPOINT");
    let store = Place::sqlite().open().await;
    let cadence = Cadence::new(at(&database), store.clone()).unwrap();
    let screen = cadence.screen(layer(3)).await.unwrap();
    send(&store, &cadence, layer(3), "monday", &[id(1)]).await;
    cluster.stop("immediate");
    assert_eq!(
        screen.filter(&[&id(2)]).await.unwrap_err().kind(),
        ErrorKind::Unreachable
    );
    let synced = cadence.sync(&holder()).await.unwrap();
    assert_eq!((synced.delivered, synced.left), (0, 1));
    assert_eq!(synced.failure.unwrap().kind(), ErrorKind::Unreachable);
    cluster.resume();
    let synced = cadence.sync(&holder()).await.unwrap();
    let failure = synced.failure.map(|error| format!("{error:#}"));
    assert_eq!((synced.delivered, synced.left), (1, 0), "{failure:?}");
    assert_eq!(
        database.query("SELECT user_id FROM user_notifications"),
        [[id(1)]]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_the_history_is_an_error_with_a_hint() {
    let database = Postgres::shared().database("elsewhere");
    let cadence = Cadence::new(at(&database), Place::sqlite().open().await).unwrap();
    let error = cadence.screen(layer(3)).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(
        error.hints()[0].contains("PUSH_CADENCE_DATABASE_URL"),
        "{:?}",
        error.hints()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_in_the_url_is_where_the_tables_are_looked_for() {
    let database = history();
    database.execute(
        "CREATE SCHEMA \"the Cadence\"; GRANT USAGE ON SCHEMA \"the Cadence\" TO tls_only;
         ALTER TABLE cadence_rules SET SCHEMA \"the Cadence\"; ALTER TABLE user_notifications SET SCHEMA \"the Cadence\"",
    );
    let url = database.url_with("tls_only", "sslmode=require&schema=the%20Cadence");
    let place = pushctl::cadence::HistoryLocation::Postgres(Box::new(address(&url)));
    let store = Place::sqlite().open().await;
    let cadence = Cadence::new(place, store.clone()).unwrap();
    assert_eq!(
        send(&store, &cadence, layer(3), "monday", &[id(1)])
            .await
            .len(),
        1
    );
    assert_eq!(cadence.sync(&holder()).await.unwrap().delivered, 1);
    assert_eq!(
        database.query("SELECT count(*) FROM \"the Cadence\".user_notifications")[0][0],
        "1"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audience_larger_than_a_batch_is_answered_in_its_order() {
    let database = history();
    let place = Place::sqlite();
    database.execute(&super::model::insert(
        &[(7, 3, 10), (11_999, 3, 10)],
        pushctl::clock::Clock::now(&*place.clock),
    ));
    let cadence = Cadence::new(at(&database), place.open().await).unwrap();
    let ids: Vec<String> = (0..12_000).map(id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let filtered = filter(&cadence, 3, &ids).await;
    let excluded =
        filtered.verdicts.iter().enumerate().filter(|(_, verdict)| {
            matches!(verdict, pushctl::cadence::CadenceDecision::Excluded(_))
        });
    assert_eq!(
        excluded.map(|(place, _)| place).collect::<HashSet<_>>(),
        HashSet::from([7, 11_999])
    );
    assert_eq!(filtered.breakdown.layer_3_cooldown, 2);
}
