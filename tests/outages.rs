//! What an engineer sees when the way to the database fails: each failure through the real binary, with its own
//! message, hint and exit status, inside the deadline, without a file or a secret.

use std::time::{Duration, Instant};

use crate::pipeline::office::{File, Office};
use crate::send::deadline::while_away;
use crate::support::campaign::Campaign;
use crate::support::cli::{Outcome, Sandbox};
use crate::support::fcm::script::Script;
use crate::support::pgbouncer::PgBouncer;
use crate::support::postgres::{Database, Postgres, ROLES, at_port};
use crate::support::programs::closed_port;
use crate::support::proxy::{Blackhole, Fate, Proxy};
use crate::support::store::Place;

/// What a busy machine may add to the deadline before the process is gone; it only proves that nothing hangs.
const SLACK: Duration = Duration::from_secs(10);

/// Runs `generate layer3` at this address with five seconds, and checks everything that holds of every failure.
fn fail(url: &str, status: i32, says: &str, advises: &str) -> Outcome {
    let sandbox = Sandbox::new();
    let arguments = [
        "generate",
        "layer3",
        "--deadline",
        "5s",
        "-vv",
        "--output",
        "out",
    ];
    let began = Instant::now();
    let outcome = sandbox.run_with(&arguments, &[("DATABASE_URL", url)]);
    assert!(
        began.elapsed() < Duration::from_secs(5) + SLACK,
        "{:?}: {outcome}",
        began.elapsed()
    );
    assert_eq!(outcome.status, status, "{outcome}");
    let errors: Vec<&str> = outcome
        .stderr
        .lines()
        .filter(|line| !line.contains("DEBUG") && !line.contains("INFO"))
        .collect();
    let told = errors.join("\n");
    assert!(
        told.contains("error: ") && told.contains(says),
        "{says:?} is missing: {outcome}"
    );
    assert!(
        told.contains("hint: ") && told.contains(advises),
        "{advises:?} is missing: {outcome}"
    );
    assert!(
        errors.last().is_some_and(|last| last.starts_with("hint: ")),
        "the next step comes last: {outcome}"
    );
    for (_, password) in ROLES {
        assert!(
            !outcome.stderr.contains(password) && !outcome.stdout.contains(password),
            "{outcome}"
        );
    }
    assert!(!outcome.stderr.contains("p%40ss"), "{outcome}");
    let left: Vec<_> = sandbox.here().join("out").read_dir().unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    outcome
}

fn database(name: &str) -> Database {
    Postgres::shared().database(&format!("outage_{name}"))
}

fn through(database: &Database, proxy: &Proxy) -> String {
    at_port(&database.url(), proxy.port())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blackholed_host() {
    let hole = Blackhole::open().await;
    let url = format!(
        "postgres://reader:secret-word@127.0.0.1:{}/market",
        hole.port
    );
    let outcome = fail(
        &url,
        5,
        "before the TCP connection was accepted",
        "allow-list",
    );
    assert!(!outcome.stderr.contains("secret-word"), "{outcome}");
}

#[test]
fn a_port_where_nothing_listens() {
    let url = format!(
        "postgres://reader:secret-word@127.0.0.1:{}/market",
        closed_port()
    );
    fail(&url, 5, "refused", "check host and port");
}

#[test]
fn silence_in_every_phase() {
    let database = database("silence");
    let pair = || Postgres::shared().certificates().pair("server");
    for (fate, says) in [
        (Fate::Silence, "before TLS began"),
        (Fate::StallAfter(1), "in the TLS handshake"),
        (
            Fate::Tls(pair(), Box::new(Fate::Silence)),
            "in authentication",
        ),
    ] {
        let proxy = Proxy::start(database.port(), fate);
        fail(
            &through(&database, &proxy),
            5,
            says,
            "the connection was accepted but not answered",
        );
    }
}

#[test]
fn a_connection_that_is_reset_or_closed_every_time() {
    let database = database("reset");
    for (fate, says) in [
        (Fate::ResetAfter(1), "reset"),
        (Fate::CloseAfter(1), "the connection was"),
    ] {
        let proxy = Proxy::start(database.port(), fate);
        fail(&through(&database, &proxy), 5, says, "idle limit");
    }
}

#[test]
fn a_wrong_password_and_an_unknown_database() {
    let database = database("refused");
    fail(
        &database.url().replace("p%40ss", "p%41ss"),
        4,
        "password authentication failed",
        "tunnel",
    );
    fail(
        &database.url().replace("/outage_refused", "/elsewhere"),
        2,
        "does not exist",
        "database",
    );
}

#[test]
fn a_missing_table_and_a_missing_privilege() {
    let database = database("privilege");
    database.execute("REVOKE SELECT ON offers FROM reader");
    fail(
        &database.url(),
        4,
        "permission denied for table offers",
        "grant this role SELECT",
    );
    database.execute("DROP TABLE offers CASCADE");
    fail(&database.url(), 2, "relation \"offers\" does not exist", "");
}

#[test]
fn certificates_that_cannot_be_trusted() {
    let database = database("certificates");
    let certificates = Postgres::shared().certificates();
    let stranger = certificates.pem("stranger").display().to_string();
    let root = certificates.pem("root").display().to_string();
    fail(
        &database.url().replace(&root, &stranger),
        4,
        "no trusted root signed",
        "sslrootcert",
    );
    for (shown, says) in [("expired", "expired"), ("misnamed", "is for another host")] {
        let proxy = Proxy::start(
            database.port(),
            Fate::Tls(certificates.pair(shown), Box::new(Fate::Pass)),
        );
        fail(&through(&database, &proxy), 4, says, "");
    }
}

#[test]
fn a_server_that_is_down_and_comes_back_is_waited_for() {
    let postgres = Postgres::start("comes_back");
    let database = postgres.database("market");
    postgres.stop("fast");
    fail(&database.url(), 5, "", "");
    let sandbox = Sandbox::new();
    let child = sandbox
        .command(&["generate", "layer3", "-q"])
        .env("DATABASE_URL", database.url())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    postgres.resume();
    let outcome = sandbox.outcome(&child.wait_with_output().unwrap());
    assert_eq!(outcome.status, 0, "{outcome}");
}

#[test]
fn a_source_or_its_pooler_that_is_away_for_a_while_is_waited_for() {
    let postgres = Postgres::start("away");
    let database = postgres.database("market");
    for seconds in Campaign::outages() {
        for fate in [Fate::ResetAfter(0), Fate::Silence] {
            let proxy = Proxy::start(database.port(), fate);
            let sandbox = Sandbox::new();
            let child = sandbox
                .command(&["generate", "layer3", "-q"])
                .env("DATABASE_URL", through(&database, &proxy))
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_secs(*seconds));
            proxy.turn(Fate::Pass);
            let outcome = sandbox.outcome(&child.wait_with_output().unwrap());
            assert_eq!(outcome.status, 0, "{outcome}");
        }
    }
    let pooler = PgBouncer::start(&postgres);
    let port = pooler.port();
    drop(pooler);
    let sandbox = Sandbox::new();
    let url = at_port(&database.url(), port);
    let child = sandbox
        .command(&["generate", "layer3", "-q"])
        .env("DATABASE_URL", url)
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(1));
    let _pooler = PgBouncer::start_at(&postgres, port);
    let outcome = sandbox.outcome(&child.wait_with_output().unwrap());
    assert_eq!(outcome.status, 0, "{outcome}");
}

#[test]
fn a_pipeline_whose_databases_are_away_for_a_while_reaches_its_recipients() {
    // The source and the state store are databases of one server.
    let proxy = Proxy::start(Postgres::shared().admin().port(), Fate::Pass);
    while_away(&[&proxy], || {
        let mut office = Office::at(Place::postgres(), 4, Script::default());
        let (source, state) = (office.market.url(), office.place.setting());
        office.set("DATABASE_URL", at_port(&source, proxy.port()));
        office.set("PUSHCTL_STATE_URL", at_port(&state, proxy.port()));
        office.file(&File::default());
        office.tick(0);
        assert_eq!(office.reached().len(), 4);
    });
}

/// The primary dies, and a while later its standby takes over.
#[test]
fn a_failover_is_outlived() {
    let (first, second) = (Postgres::start("first"), Postgres::start("second"));
    let (database, copy) = (first.database("market"), second.database("market"));
    if copy.name != database.name {
        second.admin().execute(&format!(
            "ALTER DATABASE {} RENAME TO {}",
            copy.name, database.name
        ));
    }
    second.demote();
    let url = database.url_with("reader", "sslmode=require&target_session_attrs=read-write");
    let host = |port: u16| format!("localhost:{port}");
    let url = url.replace(
        &host(database.port()),
        &format!("{},{}", host(database.port()), host(copy.port())),
    );
    let sandbox = Sandbox::new();
    let generate = ["generate", "layer3", "-q"];
    let before = sandbox.run_with(&generate, &[("DATABASE_URL", &url)]);
    assert_eq!(before.status, 0, "{before}");
    first.stop("immediate");
    let mut command = sandbox.command(&generate);
    let child = command.env("DATABASE_URL", &url).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    second.admin().execute("SELECT pg_promote()");
    let outcome = sandbox.outcome(&child.wait_with_output().unwrap());
    assert_eq!(outcome.status, 0, "{outcome}");
}

#[test]
fn a_plan_that_cannot_fit_is_refused_with_the_sum() {
    let sandbox = Sandbox::new();
    let arguments = [
        "generate",
        "layer3",
        "--deadline",
        "20s",
        "--retries",
        "5",
        "--connect-timeout",
        "10s",
    ];
    let outcome = sandbox.run_with(
        &arguments,
        &[("DATABASE_URL", "postgres://reader@db.example.com/market")],
    );
    assert_eq!(outcome.status, 2, "{outcome}");
    let sum = "5 attempts of 10 s and 30 s of waits = 80 s, but the deadline is";
    assert!(outcome.stderr.contains(sum), "{outcome}");
}
