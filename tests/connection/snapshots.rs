//! What a snapshot gives, and what it does not let happen.

use std::time::Duration;

use pushctl::error::{Error, Result};
use pushctl::exit::Kind;
use pushctl::interrupt::{self, Interrupt};
use pushctl::source::{Rows, Snapshot, SqlError};

use super::{AMPLE, Surroundings, at, read, read_patiently, read_until, select_one};
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
async fn a_verified_connection_reads_a_snapshot_in_universal_time() {
    let database = Postgres::shared().database("snapshot");
    let told = read_patiently(&at(database.url()), async |snapshot: &Snapshot| {
        assert!(snapshot.server_version().starts_with(|digit: char| digit.is_ascii_digit()));
        snapshot
            .query(
                "SELECT current_setting('TimeZone'), current_setting('transaction_isolation'), current_setting('transaction_read_only'), \
                 current_setting('application_name'), ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
            )
            .await
    })
    .await;
    let name = format!("pushctl/{} generate run-7", env!("CARGO_PKG_VERSION"));
    let row: Vec<String> = told.value().rows.remove(0).into_iter().flatten().collect();
    assert_eq!(row, ["UTC", "repeatable read", "on", &name, "true"]);
}

#[tokio::test]
async fn what_is_committed_meanwhile_is_not_seen() {
    let database = Postgres::shared().database("frozen");
    let told = read_patiently(&at(database.url()), async |snapshot: &Snapshot| {
        let count =
            async || Ok::<_, Error>(snapshot.query("SELECT count(*) FROM users").await?.rows);
        let before = count().await?;
        database.execute("INSERT INTO users (first_name) VALUES ('Ann')");
        Ok((before, count().await?))
    })
    .await;
    let (before, after) = told.value();
    assert_eq!(before, after);
}

#[tokio::test]
async fn rows_keep_their_nulls_and_their_odd_characters() {
    let database = Postgres::shared().database("odd");
    let text = "tab\t newline\n return\r backslash\\ quote\" \\N comma, café 👟";
    let told = read_patiently(&at(database.url()), async |snapshot: &Snapshot| {
        snapshot.set_parameters(&[("pushctl.odd", text.to_owned()), ("pushctl.empty", String::new())]).await?;
        snapshot
            .query("SELECT current_setting('pushctl.odd') AS \"an, odd\"\"name\", NULL AS nothing, current_setting('pushctl.empty') AS empty -- end")
            .await
    })
    .await;
    let expected = Rows {
        columns: ["an, odd\"name", "nothing", "empty"]
            .map(str::to_owned)
            .to_vec(),
        rows: vec![vec![Some(text.to_owned()), None, Some(String::new())]],
    };
    assert_eq!(told.value(), expected);
}

#[tokio::test]
async fn rows_are_streamed_as_the_servers_csv() {
    let database = Postgres::shared().database("csv");
    let told = read_patiently(&at(database.url()), async |snapshot: &Snapshot| {
        let mut csv = Vec::new();
        let rows = snapshot
            .copy_out(
                "SELECT n, 'say \"' || n || '\"', NULL FROM generate_series(1, 100000) AS n;\n",
                &mut |chunk: &[u8]| {
                    csv.extend_from_slice(chunk);
                    Ok(())
                },
            )
            .await?;
        Ok((rows, csv))
    })
    .await;
    let (rows, csv) = told.value();
    let expected = (1..=100_000).fold(String::new(), |csv, n| {
        csv + &format!("{n},\"say \"\"{n}\"\"\",\n")
    });
    assert_eq!(rows, 100_000);
    assert!(csv == expected.as_bytes());
}

#[tokio::test]
async fn statements_are_logged_with_their_parameters_names_and_not_their_values() {
    let database = Postgres::shared().database("log");
    let told = read(&at(database.url()), async |snapshot: &Snapshot| {
        snapshot
            .set_parameters(&[("pushctl.lookback_days", "7531".to_owned())])
            .await?;
        snapshot
            .query("SELECT current_setting('pushctl.lookback_days')::int")
            .await
    })
    .await;
    let copy = told
        .log
        .lines()
        .find(|line| line.contains("COPY (SELECT current_setting"))
        .unwrap_or_else(|| panic!("{}", told.log));
    assert!(
        copy.contains("pushctl.lookback_days") && copy.contains("ms=") && copy.contains("rows=1"),
        "{copy}"
    );
    assert!(!told.log.contains("7531"), "{}", told.log);
}

#[tokio::test]
async fn a_query_that_writes_or_ends_the_transaction_is_refused() {
    let database = Postgres::shared().database("readonly");
    database.execute("CREATE TABLE ledger (n int); GRANT ALL ON ledger TO reader; CREATE SEQUENCE counted; GRANT ALL ON SEQUENCE counted TO reader");
    let attempts = [
        "INSERT INTO ledger VALUES (1) RETURNING n",
        "WITH made AS (INSERT INTO ledger VALUES (1) RETURNING n) SELECT * FROM made",
        "SELECT nextval('counted')",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "SELECT 1) TO STDOUT; COMMIT; INSERT INTO ledger VALUES (2); COPY (SELECT 1",
        "COMMIT",
        "SELECT 1; DELETE FROM ledger",
    ];
    for attempt in attempts {
        let told = read(&at(database.url()), async |snapshot: &Snapshot| {
            snapshot.query(attempt).await
        })
        .await;
        assert_eq!(told.attempts, 1, "{attempt}");
        let error = told.outcome.expect_err(attempt);
        assert!(
            error.find::<SqlError>().is_some() && error.kind() != Kind::Unreachable,
            "{attempt}: {error:#}"
        );
    }
    assert_eq!(
        database.query("SELECT count(*) FROM ledger; SELECT is_called FROM counted"),
        [["0"], ["f"]]
    );
}

#[tokio::test]
async fn an_error_in_a_query_says_where_in_the_text_that_was_given() {
    let database = Postgres::shared().database("position");
    let query = "SELECT 'é', n\nFROM nowhere AS n";
    for streamed in [true, false] {
        let told = read(&at(database.url()), async |snapshot: &Snapshot| {
            if streamed {
                snapshot
                    .copy_out(query, &mut |_: &[u8]| Ok(()))
                    .await
                    .map(drop)
            } else {
                snapshot.query(query).await.map(drop)
            }
        })
        .await;
        let error = told.check(
            Kind::Usage,
            "relation \"nowhere\" does not exist",
            "right database",
        );
        let sql = error
            .find::<SqlError>()
            .expect("the server's error is among the causes");
        let at = query
            .chars()
            .take_while(|character| *character != 'w')
            .count()
            - 2
            + 1;
        assert_eq!((sql.sqlstate.as_str(), sql.position), ("42P01", Some(at)));
    }
}

#[tokio::test]
async fn an_error_after_thousands_of_rows_is_an_error() {
    let database = Postgres::shared().database("late");
    let mut rows = 0;
    let told = read(&at(database.url()), async |snapshot: &Snapshot| {
        snapshot
            .copy_out(
                "SELECT 1 / (50000 - n) FROM generate_series(1, 60000) AS n",
                &mut |_: &[u8]| {
                    rows += 1;
                    Ok(())
                },
            )
            .await
    })
    .await;
    told.check(Kind::Failed, "division by zero (SQLSTATE 22012)", "");
    assert!(rows > 1000, "{rows}");
}

#[tokio::test]
async fn an_error_of_the_sink_ends_the_stream_and_the_statement() {
    let database = Postgres::shared().database("sink");
    let told = read(&at(database.url()), async |snapshot: &Snapshot| {
        let endless = "SELECT generate_series(1, 100000000), repeat('x', 1000)";
        snapshot
            .copy_out(endless, &mut |_: &[u8]| {
                Err(Error::new(Kind::Failed, "the disk is full"))
            })
            .await
    })
    .await;
    assert_eq!(told.attempts, 1);
    told.check(Kind::Failed, "the disk is full", "");
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
        Kind::Unreachable,
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
        (Kind::Interrupted, "interrupted"),
        (Kind::Terminated, "terminated"),
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
    // The driver closes the statement behind our back: what it is told meanwhile, nobody hears.
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
        Kind::Unreachable,
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
            return Err(Error::new(Kind::Unreachable, "its connection was lost"));
        }
        select_one(snapshot).await
    };
    let told = read_patiently(&source, work).await;
    assert_eq!(told.value(), "1");
}

#[tokio::test]
async fn a_users_own_options_application_name_and_schema_are_honoured() {
    let database = Postgres::shared().database("options");
    database.execute("CREATE SCHEMA shop; CREATE TABLE shop.till (n int); GRANT USAGE ON SCHEMA shop TO reader; GRANT SELECT ON shop.till TO reader");
    let url = format!(
        "{}&options=-c%20work_mem%3D77MB&schema=shop&pool_timeout=3",
        database.url()
    );
    let surroundings = Surroundings::url(url).variable("PGAPPNAME", "nightly");
    assert_eq!(
        surroundings.address().unwrap().notes(),
        ["pool_timeout (--database-url) is not used by pushctl"]
    );
    let told = read_patiently(&surroundings.source(), async |snapshot: &Snapshot| {
        snapshot.set_local("enable_nestloop", "off").await?;
        let query = "SELECT current_setting('work_mem'), current_setting('application_name'), current_setting('enable_nestloop'), count(*) FROM till";
        snapshot.query(query).await
    })
    .await;
    let row: Vec<String> = told.value().rows.remove(0).into_iter().flatten().collect();
    assert_eq!(row, ["77MB", "nightly generate run-7", "off", "0"]);
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
