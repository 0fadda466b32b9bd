use pushctl::state::Store;
use pushctl::state::ledger::{Ending, Guard, NewPush, Recording};

use super::run_with;
use crate::state::{answer, candidates, in_both_stores, push, sender, won};
use crate::support::cli::Sandbox;
use crate::support::postgres::{Database, Postgres};
use crate::support::store::Place;

in_both_stores!(what_is_owed_is_delivered_once_and_said,);

/// Three pushes that a history elsewhere was not told of.
async fn owe(store: &Store) {
    let new = NewPush {
        recording: Recording::Elsewhere,
        ..push(1)
    };
    let push = store.open_push(&new).await.unwrap();
    let sender = sender(store).await;
    let claimed = store
        .claim(&push, &sender, candidates(0..3), &Guard::none())
        .await
        .unwrap();
    let answers = won(&claimed)
        .into_iter()
        .map(|claim| answer(claim, Ending::Accepted))
        .collect();
    store.record(&push, answers).await.unwrap();
}

fn history() -> Database {
    let database = Postgres::shared().database("history");
    database.execute(&format!(
        "SET market.users = '0'; {}",
        include_str!("../market/history.sql")
    ));
    database.execute("GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO tls_only");
    database
}

async fn what_is_owed_is_delivered_once_and_said(place: Place) {
    let sandbox = Sandbox::new();
    owe(&place.open().await).await;
    let sync = |words: &[&str], url: &str| {
        let variables = [("PUSH_CADENCE_DATABASE_URL", url)];
        let set = &variables[..usize::from(!url.is_empty())];
        run_with(&sandbox, &place, words, set)
    };
    let nowhere = sync(&["sync"], "");
    assert_eq!(nowhere.status, 2, "{nowhere}");
    nowhere.says("3 pushes are still missing");
    nowhere.says("PUSH_CADENCE_DATABASE_URL");
    let away = "postgres://tls_only@localhost:1/history?connect_timeout=2";
    let away = sync(&["sync", "--deadline", "2s"], away);
    assert_eq!(away.status, 5, "{away}");
    let database = history();
    let url = database.url_with("tls_only", "sslmode=require");
    let done = sync(&["sync"], &url);
    assert_eq!((done.status, done.stdout.as_str()), (0, ""), "{done}");
    done.says("3 pushes recorded in the notification history");
    assert_eq!(
        database.query("SELECT count(*) FROM user_notifications")[0][0],
        "3"
    );
    let again = sync(&["sync", "--json"], &url).json();
    assert_eq!(
        (&again["delivered"], &again["left"]),
        (&0.into(), &0.into())
    );
    let quiet = sync(&["sync", "-q"], &url);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}
