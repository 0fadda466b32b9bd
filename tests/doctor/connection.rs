//! A connection that fails in each of its phases.

use std::process::Command;
use std::time::Duration;

use super::{Installation, source, through};
use crate::support::postgres::{Database, Postgres, at_port};
use crate::support::programs::{closed_port, with_silent_names};
use crate::support::proxy::{Blackhole, Fate, Proxy};

/// The steps after `tcp`.
const LATER: [&str; 4] = ["tls", "log-in", "query", "audience layer2"];

#[tokio::test]
async fn packets_that_are_dropped_name_the_allow_list() {
    let database = source();
    let hole = Blackhole::open().await;
    let installation =
        Installation::of(&through(&database, hole.port)).set("PUSHCTL_CONNECT_TIMEOUT", "2s");
    let examined = installation.examine(&["--only", "source"]);
    examined.fails(
        "source",
        "tcp",
        "before the TCP connection was accepted",
        "static egress address",
        5,
    );
    for step in LATER {
        examined.skips("source", step, "tcp");
    }
}

#[test]
fn a_tunnel_whose_far_end_is_gone_is_named() {
    let database = source();
    let proxy = Proxy::start(database.port(), Fate::Silence);
    let installation =
        Installation::of(&through(&database, proxy.port())).set("PUSHCTL_CONNECT_TIMEOUT", "2s");
    let examined = installation.examine(&["--only", "source"]);
    examined.is("source", "tcp", "ok");
    examined.fails(
        "source",
        "tls",
        "timed out",
        "a tunnel or proxy whose far end is gone",
        5,
    );
    examined.skips("source", "log-in", "tls");
    // A tunnel that is down.
    let examined =
        Installation::of(&through(&database, closed_port())).examine(&["--only", "source"]);
    examined.fails("source", "tcp", "refused", "the tunnel to it", 5);
}

#[test]
fn a_connection_that_is_closed_names_idle_limits() {
    let database = source();
    let proxy = Proxy::start(database.port(), Fate::CloseAfter(0));
    let url = at_port(
        &database.url_with("reader", "sslmode=disable"),
        proxy.port(),
    );
    let examined = Installation::of(&url).examine(&["--only", "source"]);
    examined.fails("source", "log-in", "the connection was", "idle limit", 5);
}

#[test]
fn a_wrong_password_is_refused_at_the_log_in_and_names_tunnels() {
    let database = source();
    let url = database.url().replace("reader:reader", "reader:hunter2");
    let examined = Installation::of(&url).examine(&["--only", "source"]);
    examined.fails(
        "source",
        "log-in",
        "password authentication failed",
        "if it is a tunnel",
        4,
    );
    examined
        .is("source", "tls", "ok")
        .skips("source", "query", "log-in");
    assert!(
        !examined.outcome.stdout.contains("hunter2"),
        "{}",
        examined.outcome
    );
}

#[test]
fn a_bad_certificate_is_shown_with_its_names_and_its_end() {
    let database = source();
    let cases = [
        ("expired", "has expired", "sslrootcert", "expired on"),
        (
            "misnamed",
            "is for another host",
            "hostaddr",
            "for elsewhere.example.com",
        ),
        ("early", "not valid yet", "clock", "for localhost"),
    ];
    for (name, says, hint, shows) in cases {
        let pair = Postgres::shared().certificates().pair(name);
        let proxy = Proxy::start(database.port(), Fate::Tls(pair, Box::new(Fate::Pass)));
        let examined =
            Installation::of(&through(&database, proxy.port())).examine(&["--only", "source"]);
        examined.fails("source", "tls", says, hint, 4);
        let seen = examined.step("source", "tls")["seen"].to_string();
        assert!(seen.contains(shows), "{name}: {seen}");
        examined.skips("source", "log-in", "tls");
    }
    let stranger = Postgres::shared().certificates().pem("stranger");
    let parameters = format!("sslmode=verify-full&sslrootcert={}", stranger.display());
    let examined =
        Installation::of(&database.url_with("reader", &parameters)).examine(&["--only", "source"]);
    examined.fails("source", "tls", "no trusted root signed", "sslrootcert", 4);
}

#[test]
fn too_many_clients_name_pooling() {
    let database = source();
    database.execute(&format!(
        "ALTER DATABASE {} CONNECTION LIMIT 0",
        database.name
    ));
    let examined = Installation::of(&database.url()).examine(&["--only", "source"]);
    examined.fails("source", "log-in", "too many connections", "pooler", 5);
}

#[tokio::test]
async fn few_free_connections_are_a_warning() {
    let cluster = Postgres::start("crowded");
    cluster
        .admin()
        .execute("ALTER SYSTEM SET max_connections = 8");
    cluster.stop("fast");
    cluster.resume();
    let database = cluster.database("crowded");
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(database.socket())
        .port(database.port())
        .user("postgres")
        .dbname("postgres");
    config.application_name("nightly report");
    let mut held = Vec::new();
    for _ in 0..3 {
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        held.push(client);
    }
    // Four of five that are not reserved, the doctor's own included.
    let examined = Installation::of(&database.url()).examine(&["--only", "source"]);
    examined.all_well().is("source", "connections", "warning");
    let step = examined.step("source", "connections");
    let seen = step["seen"].as_str().unwrap();
    assert!(
        seen.contains("4 of 8 used, 3 reserved") && seen.contains("nightly report 3"),
        "{step}"
    );
    assert!(step["hints"].to_string().contains("pooler"), "{step}");
}

#[test]
fn dead_dns_is_told_at_the_name_and_within_the_deadline() {
    let examined = Installation::of("postgres://reader@no-such-host.invalid/market")
        .examine(&["--only", "source"]);
    examined
        .is("source", "name", "failed")
        .skips("source", "tcp", "name");
    let installation = Installation::of("postgres://reader@db.example.com/market");
    let options = ["--only", "source", "--deadline", "4s"];
    let doctor = installation.command(&["doctor", "--json"]);
    let silent = with_silent_names(&doctor, "127.0.0.92", &installation.sandbox.home());
    let Some((mut command, _silent)) = silent else {
        return;
    };
    let examined = installation.examined(&mut command, &options);
    examined
        .is("source", "name", "failed")
        .skips("source", "tcp", "name");
    assert_eq!(examined.outcome.status, 5, "{}", examined.outcome);
    assert!(
        examined.took < Duration::from_secs(6),
        "{:?}",
        examined.took
    );
}

#[tokio::test]
async fn everything_dead_ends_within_the_deadline() {
    let hole = Blackhole::open().await;
    let dead = |user: &str| format!("postgres://{user}@127.0.0.1:{}/market", hole.port);
    let installation = Installation::of(&dead("reader"))
        .set("PUSHCTL_STATE_URL", dead("state"))
        .set("PUSH_CADENCE_DATABASE_URL", dead("history"))
        .set(
            "PUSHCTL_PUSH_URL",
            format!("https://127.0.0.1:{}", hole.port),
        )
        .set(
            "PUSHCTL_PUSH_TOKEN_URL",
            format!("https://127.0.0.1:{}/token", hole.port),
        );
    let examined = installation.examine(&["--deadline", "3s"]);
    assert!(
        examined.took < Duration::from_secs(5),
        "{:?}",
        examined.took
    );
    assert_eq!(examined.outcome.status, 5, "{}", examined.outcome);
    for section in ["source", "state", "history"] {
        examined
            .is(section, "tcp", "failed")
            .skips(section, "log-in", "tcp");
    }
    examined
        .is("push", "connection", "failed")
        .is("push", "token", "failed")
        .skips("push", "message", "token");
    examined.is("files", "output", "ok");
}

#[test]
fn of_several_hosts_one_that_answers_is_enough() {
    let database = source();
    let url = database.url().replace(
        &format!("localhost:{}", database.port()),
        &format!("localhost:{},localhost:{}", closed_port(), database.port()),
    );
    let examined = Installation::of(&url).examine(&["--only", "source"]);
    examined
        .all_well()
        .is("source", "hosts", "ok")
        .is("source", "send", "ok");
    let document = examined.document.to_string();
    assert!(document.contains("\"status\":\"warning\""), "{document}");
    // None that is a standby.
    let examined = Installation::of(&format!("{url}&target_session_attrs=standby"))
        .examine(&["--only", "source"]);
    examined
        .is("source", "hosts", "failed")
        .skips("source", "send", "hosts");
}

#[test]
fn a_clock_that_is_two_minutes_off_is_told_against_the_server_and_the_push_service() {
    let database = source();
    let installation = Installation::of(&database.url());
    let Some(library) = two_minutes_ahead(&installation) else {
        return;
    };
    let mut command = installation.command(&["doctor", "--json"]);
    command.env("LD_PRELOAD", &library);
    let examined = installation.examined(&mut command, &["--only", "source,push"]);
    examined.fails("source", "clock", "120 s ahead of the server's", "NTP", 1);
    examined.is("push", "clock", "failed");
    let seen = examined.step("push", "clock")["seen"].to_string();
    assert!(seen.contains("ahead of the push service's"), "{seen}");
}

/// Compiles a library that moves the clock of a process; `None` on a machine without a compiler.
fn two_minutes_ahead(installation: &Installation) -> Option<String> {
    const SOURCE: &str = "#define _GNU_SOURCE\n#include <dlfcn.h>\n#include <time.h>\n\
        int clock_gettime(clockid_t id, struct timespec *at) {\n\
        static int (*real)(clockid_t, struct timespec *);\n\
        if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, \"clock_gettime\");\n\
        int result = real(id, at);\n\
        if (id == CLOCK_REALTIME) at->tv_sec += 120;\n\
        return result; }\n";
    installation.sandbox.write("home/ahead.c", SOURCE);
    let library = installation.sandbox.home().join("ahead.so");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .arg(installation.sandbox.home().join("ahead.c"))
        .arg("-ldl")
        .output();
    compiled
        .is_ok_and(|output| output.status.success())
        .then(|| library.display().to_string())
}

/// A standby that never leaves recovery.
pub(super) fn standby(name: &str) -> (Postgres, Database) {
    let cluster = Postgres::start(name);
    let database = cluster.database("state");
    cluster.demote();
    (cluster, database)
}

#[test]
fn a_source_may_be_a_standby() {
    let (_cluster, database) = standby("reading");
    let examined = Installation::of(&database.url()).examine(&["--only", "source"]);
    examined.all_well();
    let step = examined.step("source", "query");
    assert_eq!(step["details"]["standby"], true, "{step}");
}
