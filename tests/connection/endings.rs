//! How a reading ends that cannot go on: nothing is left running on the server, and nothing is left out of the error.

use std::time::Duration;

use pushctl::budget::Budget;
use pushctl::error::{Error, ErrorKind, Result};
use pushctl::interrupt::{self, Interrupt};
use pushctl::source::Snapshot;

use super::{AMPLE, Attempts, at, read, read_patiently, read_until, select_one};
use crate::support::postgres::{Database, Postgres};

/// Waits on the server for longer than any test.
const SLEEPS: &str = "SELECT pg_sleep(60)";
const SLEEPERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%' AND state = 'active' \
                        AND datname = current_database() AND pid <> pg_backend_pid()";

async fn until_asleep(database: &Database) {
    while database.query(SLEEPERS) != [["1"]] {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_error_of_the_sink_ends_the_stream_and_the_statement() {
    let database = Postgres::shared().database("sink");
    let told = read(&at(database.url()), async |snapshot: &Snapshot| {
        let endless = "SELECT generate_series(1, 100000000), repeat('x', 1000)";
        snapshot
            .copy_out(endless, &mut |_: &[u8]| {
                Err(Error::new(ErrorKind::Failed, "the disk is full"))
            })
            .await
    })
    .await;
    assert_eq!(told.attempts, 1);
    told.check(ErrorKind::Failed, "the disk is full", "");
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%100000000%' AND state = 'active' \
                   AND datname = current_database() AND pid <> pg_backend_pid()";
    database.wait_until(running, "0");
}

#[tokio::test]
async fn at_the_deadline_the_running_statement_is_cancelled_on_the_server() {
    let database = Postgres::shared().database("deadline");
    let told = read(&at(database.url()), async |snapshot: &Snapshot| {
        snapshot.query(SLEEPS).await
    })
    .await;
    let log = told.log.clone();
    told.check(
        ErrorKind::Unreachable,
        "the deadline ended while reading from localhost",
        "raise --deadline",
    );
    assert!(log.contains("cancel request sent"), "{log}");
    database.wait_until(SLEEPERS, "0");
}

#[tokio::test]
async fn an_interrupt_cancels_the_running_statement_on_the_server() {
    let database = Postgres::shared().database("interrupt");
    for (kind, words) in [
        (ErrorKind::Interrupted, "interrupted"),
        (ErrorKind::Terminated, "terminated"),
    ] {
        let (trigger, interrupt) = interrupt::channel();
        let source = at(database.url());
        let told = tokio::join!(
            read_until(
                &source,
                Duration::from_secs(60),
                &interrupt,
                async |snapshot: &Snapshot| snapshot.query(SLEEPS).await
            ),
            async {
                until_asleep(&database).await;
                trigger.fire(kind);
            }
        )
        .0;
        told.check(kind, words, "");
        database.wait_until(SLEEPERS, "0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_that_is_dropped_cancels_its_statement() {
    let database = Postgres::shared().database("dropped");
    let source = at(database.url());
    let never = Interrupt::never();
    let reading = read_until(
        &source,
        Duration::from_secs(60),
        &never,
        async |snapshot: &Snapshot| snapshot.query(SLEEPS).await,
    );
    tokio::select! {
        told = reading => panic!("{:?}", told.outcome),
        () = until_asleep(&database) => {}
    }
    database.wait_until(SLEEPERS, "0");
}

/// Ends the session's backend while it waits for a statement.
async fn kill_idle(database: &Database, snapshot: &Snapshot) -> Result<()> {
    let pid = snapshot.query("SELECT pg_backend_pid()").await?.rows[0][0]
        .clone()
        .unwrap();
    database.wait_until(
        &format!("SELECT state FROM pg_stat_activity WHERE pid = {pid}"),
        "idle in transaction",
    );
    // The driver closes the statement on its own, and drops an error that it gets meanwhile.
    tokio::time::sleep(Duration::from_millis(200)).await;
    database.execute(&format!("SELECT pg_terminate_backend({pid})"));
    Ok(())
}

#[tokio::test]
async fn a_backend_that_is_killed_is_followed_by_a_new_one() {
    let database = Postgres::shared().database("killed");
    let mut killed = false;
    let source = at(database.url());
    let told = read_patiently(&source, async |snapshot: &Snapshot| {
        if !killed {
            kill_idle(&database, snapshot).await?;
            killed = true;
        }
        select_one(snapshot).await
    })
    .await;
    assert_eq!(told.attempts, 2);
    assert!(
        told.log
            .contains("terminating connection due to administrator command"),
        "{}",
        told.log
    );
    assert_eq!(told.value(), "1");
}

#[tokio::test]
async fn a_backend_that_is_killed_each_time_ends_with_the_servers_own_words() {
    let database = Postgres::shared().database("always_killed");
    let told = read(&at(database.url()), async |snapshot: &Snapshot| {
        kill_idle(&database, snapshot).await?;
        select_one(snapshot).await
    })
    .await;
    told.check(
        ErrorKind::Unreachable,
        "terminating connection due to administrator command (SQLSTATE 57P01)",
        "idle limit",
    );
}

#[tokio::test]
async fn a_server_that_restarts_is_waited_for() {
    let postgres = Postgres::start("restart");
    let database = postgres.database("restart");
    let mut stopped = false;
    let source = at(database.url());
    let work = async |snapshot: &Snapshot| -> Result<String> {
        if !stopped {
            stopped = true;
            postgres.stop("immediate");
            let _ = select_one(snapshot).await.expect_err("the server is gone");
            postgres.resume();
            return Err(Error::new(
                ErrorKind::Unreachable,
                "its connection was lost",
            ));
        }
        select_one(snapshot).await
    };
    let told = read_patiently(&source, work).await;
    assert_eq!(told.value(), "1");
}

#[tokio::test]
async fn the_server_itself_ends_what_outlives_the_deadline() {
    let database = Postgres::shared().database("limits");
    let told = read_patiently(&at(database.url()), async |snapshot: &Snapshot| {
        let query = "SELECT name, setting::int FROM pg_settings WHERE name IN \
                     ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'client_connection_check_interval') ORDER BY name";
        snapshot.query(query).await
    })
    .await;
    let deadline = u32::try_from(AMPLE.as_millis()).unwrap();
    for row in told.value().rows {
        let limit: u32 = row[1].as_deref().unwrap().parse().unwrap();
        assert!((1..=deadline).contains(&limit), "{row:?}");
    }
}

#[test]
fn a_run_that_vanishes_leaves_no_statement_behind() {
    let database = Postgres::shared().database("vanished");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let source = at(database.url());
    runtime.spawn(async move {
        let work = async |snapshot: &Snapshot| snapshot.query(SLEEPS).await;
        let _ = source
            .read(
                &Budget::start(AMPLE),
                &Interrupt::never(),
                &Attempts::default(),
                work,
            )
            .await;
    });
    database.wait_until(SLEEPERS, "1");
    // Like SIGKILL: the socket closes without a message.
    runtime.shutdown_background();
    database.wait_until(SLEEPERS, "0");
}
