//! A state store that refuses writes: the cause and the next step are named, at once, before any message.

use std::time::{Duration, Instant};

use super::{Kept, Office, order, people};
use crate::support::cli::Outcome;
use crate::support::fcm::script::Script;
use crate::support::postgres::Postgres;

/// Runs a send that its store refuses; checks that it ends early and sends nothing.
fn refused(office: &Office, status: i32, told: &[&str]) -> Outcome {
    office.audience(&people(0..3));
    let began = Instant::now();
    let outcome = office.run(&order(&[]));
    assert_eq!(outcome.status, status, "{outcome}");
    assert!(began.elapsed() < Duration::from_secs(30), "{outcome}");
    for told in told {
        assert!(outcome.stderr.contains(told), "{told}: {outcome}");
    }
    assert_eq!(office.delivered(), [""; 0]);
    outcome
}

#[test]
fn a_read_only_database_is_refused_at_once() {
    let office = Office::keeping(Kept::Postgres, Script::default());
    assert_eq!(office.run(&["state", "migrate"]).status, 0);
    let database = office.state.as_ref().unwrap();
    database.execute(&format!(
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        database.name
    ));
    refused(
        &office,
        1,
        &[
            "the server accepts no writes",
            "target_session_attrs=read-write",
            "PUSHCTL_STATE_URL",
        ],
    );
    // Reading goes on.
    assert_eq!(office.run(&["runs"]).status, 0);
}

#[test]
fn a_standby_is_refused_at_once() {
    let cluster = Postgres::start("standby_state");
    let office = Office::keeping_in(
        &cluster,
        crate::support::fcm::StandIn::playing(Script::default()),
    );
    assert_eq!(office.run(&["state", "migrate"]).status, 0);
    cluster.demote();
    refused(&office, 1, &["the server accepts no writes", "a standby"]);
}

#[test]
fn a_missing_privilege_is_named_with_its_grant() {
    let office = Office::keeping(Kept::Postgres, Script::default());
    let database = office.state.as_ref().unwrap();
    database.execute(&format!(
        "REVOKE CREATE ON DATABASE {} FROM tls_only",
        database.name
    ));
    refused(
        &office,
        4,
        &[
            "permission denied for database",
            "CREATE SCHEMA pushctl AUTHORIZATION",
        ],
    );
    database.execute(&format!(
        "GRANT CREATE ON DATABASE {} TO tls_only",
        database.name
    ));
    assert_eq!(office.run(&["state", "migrate"]).status, 0);
    let grants = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pushctl";
    database.execute("REVOKE INSERT ON ALL TABLES IN SCHEMA pushctl FROM tls_only");
    refused(&office, 4, &["may not write to", grants]);
    database.execute(
        "REASSIGN OWNED BY tls_only TO CURRENT_USER; REVOKE ALL ON SCHEMA pushctl FROM tls_only",
    );
    refused(&office, 4, &["permission denied for schema", grants]);
    // The grants of the hint are enough.
    database.execute(&format!(
        "GRANT USAGE ON SCHEMA pushctl TO tls_only; {grants} TO tls_only;
         GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA pushctl TO tls_only"
    ));
    assert_eq!(office.send(&[]).count("accepted"), 3);
}

#[test]
fn a_schema_of_another_application_is_not_changed() {
    for (tables, named) in [
        ("CREATE TABLE pushctl.runs (id int)", "runs"),
        (
            "CREATE TABLE pushctl.migrations (id int, script text)",
            "migrations",
        ),
        ("CREATE VIEW pushctl.claims AS SELECT 1", "claims"),
    ] {
        let office = Office::keeping(Kept::Postgres, Script::default());
        let database = office.state.as_ref().unwrap();
        database.execute(&format!(
            "CREATE SCHEMA pushctl AUTHORIZATION tls_only; SET ROLE tls_only; {tables}"
        ));
        let told = format!("tables that pushctl did not make: {named}\n");
        refused(&office, 2, &[&told, "another database"]);
        for command in ["migrate", "export"] {
            assert_eq!(office.run(&["state", command]).status, 2);
        }
        let left = database.query("SELECT relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = 'pushctl'");
        assert_eq!(left, [[named]]);
    }
}

#[test]
fn a_backup_of_a_postgresql_store_names_what_to_use() {
    let office = Office::keeping(Kept::Postgres, Script::default());
    let outcome = office.run(&["state", "backup", "backup.db"]);
    assert_eq!(outcome.status, 2, "{outcome}");
    for told in [
        "in PostgreSQL",
        "pushctl state export",
        "pg_dump --schema=pushctl",
    ] {
        assert!(outcome.stderr.contains(told), "{told}: {outcome}");
    }
    assert!(!office.sandbox.here().join("backup.db").exists());
}
