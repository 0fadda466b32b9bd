//! What a snapshot gives, and what it does not let happen.

use pushctl::error::{Error, ErrorKind};
use pushctl::postgres::SqlError;
use pushctl::source::{Rows, Snapshot};

use super::{Surroundings, at, read, read_patiently};
use crate::support::postgres::Postgres;

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
            error.find::<SqlError>().is_some() && error.kind() != ErrorKind::Unreachable,
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
            ErrorKind::Usage,
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
    told.check(ErrorKind::Failed, "division by zero (SQLSTATE 22012)", "");
    assert!(rows > 1000, "{rows}");
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
