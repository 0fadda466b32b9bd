//! Through PgBouncer in transaction mode, as most platforms have it.

use pushctl::error::ErrorKind;
use std::time::Duration;

use pushctl::interrupt;
use pushctl::source::Snapshot;

use super::{at, read, read_patiently, read_until};
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::{Database, Postgres, at_port};

fn url(database: &Database, pooler: &PgBouncer, more: &str) -> String {
    at_port(&database.url(), pooler.port()) + more
}

/// Everything a command does with a snapshot.
async fn everything(snapshot: &Snapshot) -> pushctl::error::Result<(u64, Option<String>)> {
    snapshot
        .set_parameters(&[("pushctl.rows", "1000".to_owned())])
        .await?;
    snapshot.set_local("work_mem", "8MB").await?;
    let mut bytes = 0;
    let rows = snapshot
        .copy_out(
            "SELECT n FROM generate_series(1, current_setting('pushctl.rows')::int) AS n",
            &mut |chunk: &[u8]| {
                bytes += chunk.len();
                Ok(())
            },
        )
        .await?;
    Ok((
        rows,
        snapshot
            .query("SELECT current_setting('work_mem')")
            .await?
            .rows[0][0]
            .clone(),
    ))
}

#[tokio::test]
async fn a_transaction_pooler_needs_no_setting() {
    let postgres = Postgres::shared();
    let database = postgres.database("pooled");
    let pooler = PgBouncer::start(postgres);
    let source = at(url(&database, &pooler, ""));
    // The pool has one server connection: each run meets what the one before has left behind.
    for _ in 0..3 {
        let told = read_patiently(&source, everything).await;
        assert_eq!(told.attempts, 1);
        assert_eq!(told.value(), (1000, Some("8MB".to_owned())));
    }
    let left = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'";
    database.wait_until(left, "0");
}

#[tokio::test]
async fn start_up_options_are_refused_by_a_pooler_and_set_where_it_is_named() {
    let postgres = Postgres::shared();
    let database = postgres.database("pooled_options");
    let pooler = PgBouncer::start(postgres);
    let options = "&options=-c%20work_mem%3D8MB";
    let told = read(&at(url(&database, &pooler, options)), everything).await;
    assert_eq!(told.attempts, 1);
    told.check(
        ErrorKind::Usage,
        "unsupported startup parameter",
        "pgbouncer=true",
    );
    let told = read_patiently(
        &at(url(
            &database,
            &pooler,
            &format!("{options}&pgbouncer=true"),
        )),
        everything,
    )
    .await;
    assert_eq!(told.value().0, 1000);
}

#[tokio::test]
async fn what_other_clients_left_prepared_is_cleared_away() {
    let postgres = Postgres::shared();
    let database = postgres.database("pooled_leftovers");
    let pooler = PgBouncer::start(postgres);
    // The driver numbers its statements from 0 in each process; another process has left all these behind.
    let prepare: Vec<String> = (0..3000)
        .map(|n| format!("PREPARE s{n} AS SELECT {n}"))
        .collect();
    // It is found out by failing, unless the pooler was named.
    for (parameter, attempts) in [("", 2), ("&pgbouncer=true", 1)] {
        database
            .leave_behind(pooler.port(), &prepare.join("; "))
            .await;
        let told = read_patiently(&at(url(&database, &pooler, parameter)), everything).await;
        assert_eq!(told.attempts, attempts, "{}", told.log);
        assert_eq!(told.value().0, 1000);
    }
}

#[tokio::test]
async fn a_cancel_request_passes_through_a_pooler() {
    let postgres = Postgres::shared();
    let database = postgres.database("pooled_cancel");
    let pooler = PgBouncer::start(postgres);
    let sleepers = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(61)%' AND state = 'active' AND pid <> pg_backend_pid()";
    let (trigger, interrupt) = interrupt::channel();
    let source = at(url(&database, &pooler, ""));
    let (told, ()) = tokio::join!(
        read_until(
            &source,
            Duration::from_secs(60),
            &interrupt,
            async |snapshot: &Snapshot| { snapshot.query("SELECT pg_sleep(61)").await }
        ),
        async {
            while database.query(sleepers) != [["1"]] {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            trigger.fire(ErrorKind::Interrupted);
        }
    );
    told.check(ErrorKind::Interrupted, "interrupted", "");
    database.wait_until(sleepers, "0");
}

#[tokio::test]
async fn a_poolers_refusals_have_kinds() {
    let postgres = Postgres::shared();
    let database = postgres.database("pooled_refusals");
    let pooler = PgBouncer::start(postgres);
    let url = url(&database, &pooler, "");
    let told = read(&at(url.replace("p%40ss", "wrong-password")), everything).await;
    assert_eq!(told.attempts, 1);
    told.check(
        ErrorKind::Credentials,
        "authentication failed",
        "config show",
    );
    let told = read(&at(url.replace(&database.name, "elsewhere")), everything).await;
    assert_eq!(told.attempts, 1);
    told.check(ErrorKind::Usage, "does not exist", "database");
}
