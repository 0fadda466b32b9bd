//! Servers that answer, and say no.

use pushctl::error::ErrorKind;
use pushctl::source::Snapshot;

use super::{Surroundings, at, read, read_patiently, select_one};
use crate::support::postgres::{Database, Postgres};

/// The URL for `reader`, changed.
fn changed(database: &Database, from: &str, to: &str) -> String {
    let url = database.url();
    assert!(url.contains(from), "{url}");
    url.replace(from, to)
}

#[tokio::test]
async fn a_wrong_password_is_final_and_names_tunnels_on_localhost() {
    let database = Postgres::shared().database("password");
    let told = read(
        &at(changed(&database, "p%40ss", "wrong-password")),
        select_one,
    )
    .await;
    assert_eq!(told.attempts, 1);
    let error = told.check(
        ErrorKind::Credentials,
        "password authentication failed for user \"reader\" (SQLSTATE 28P01)",
        "tunnel",
    );
    assert!(
        error.hints()[0].contains("config show"),
        "{:?}",
        error.hints()
    );
}

#[tokio::test]
async fn a_missing_password_is_an_error_that_says_so() {
    let database = Postgres::shared().database("nopassword");
    let url = format!(
        "postgres://reader@localhost:{}/{}?sslmode=require",
        database.port(),
        database.name
    );
    let told = read(&at(url), select_one).await;
    assert_eq!(told.attempts, 1);
    told.check(
        ErrorKind::Credentials,
        "asks for a password, and none is configured",
        "~/.pgpass",
    );
}

#[tokio::test]
async fn an_unknown_database_is_a_matter_of_configuration() {
    let database = Postgres::shared().database("unknown");
    let told = read(
        &at(changed(&database, "/unknown", "/elsewhere")),
        select_one,
    )
    .await;
    assert_eq!(told.attempts, 1);
    told.check(
        ErrorKind::Usage,
        "does not exist (SQLSTATE 3D000)",
        "database's name",
    );
}

#[tokio::test]
async fn a_missing_table_is_final() {
    let database = Postgres::shared().database("missing");
    let told = read(&at(database.url()), async |snapshot: &Snapshot| {
        snapshot.query("SELECT * FROM carts").await
    })
    .await;
    assert_eq!(told.attempts, 1);
    told.check(
        ErrorKind::Usage,
        "relation \"carts\" does not exist (SQLSTATE 42P01)",
        "right database",
    );
}

#[tokio::test]
async fn a_missing_privilege_says_what_to_grant() {
    let database = Postgres::shared().database("privilege");
    let url = database.url_with("nobody_special", "sslmode=require");
    let told = read(&at(url), async |snapshot: &Snapshot| {
        snapshot.query("SELECT * FROM users").await
    })
    .await;
    assert_eq!(told.attempts, 1);
    told.check(
        ErrorKind::Credentials,
        "permission denied for table users (SQLSTATE 42501)",
        "grant this role SELECT",
    );
}

#[tokio::test]
async fn too_many_connections_name_pooling() {
    let database = Postgres::shared().database("full");
    database.execute(&format!(
        "ALTER DATABASE {} CONNECTION LIMIT 0",
        database.name
    ));
    let told = read(&at(database.url()), select_one).await;
    told.check(
        ErrorKind::Unreachable,
        "too many connections for database",
        "pooler",
    );
}

#[test]
fn a_lock_of_another_session_is_waited_for() {
    let database = Postgres::shared().database("locked");
    let told = std::thread::scope(|scope| {
        scope.spawn(|| database.execute("BEGIN; LOCK users; SELECT pg_sleep(6); COMMIT"));
        let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'users'::regclass";
        database.wait_until(held, "1");
        let source = at(database.url());
        let reading = read_patiently(&source, async |snapshot: &Snapshot| {
            snapshot.set_local("lock_timeout", "200").await?;
            snapshot.query("SELECT count(*) FROM users").await
        });
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(reading)
    });
    assert!(told.attempts > 1);
    assert!(
        told.log.contains("canceling statement due to lock timeout"),
        "{}",
        told.log
    );
    assert_eq!(told.value().rows, [[Some("0".to_owned())]]);
}

#[test]
fn a_missing_configuration_is_a_usage_error_that_shows_the_ways() {
    let error = Surroundings::default().address().unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Usage, "no database is configured")
    );
    assert!(
        error.hints()[0].contains("DATABASE_URL"),
        "{:?}",
        error.hints()
    );
}
