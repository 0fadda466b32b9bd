//! Several hosts, and which of them will do.

use pushctl::error::ErrorKind;
use std::time::Duration;

use super::{at, read, read_patiently, select_one};
use crate::support::postgres::{Database, Postgres};
use crate::support::programs::{closed_port, may_mount};
use crate::support::proxy::{Fate, Proxy};

/// The URL for `reader` at these ports of this machine.
fn url(database: &Database, ports: &[u16], parameters: &str) -> String {
    let hosts: Vec<String> = ports
        .iter()
        .map(|port| format!("localhost:{port}"))
        .collect();
    database
        .url_with("reader", parameters)
        .replace(&format!("localhost:{}", database.port()), &hosts.join(","))
}

#[tokio::test]
async fn the_next_host_is_asked_when_one_cannot_be_reached() {
    let database = Postgres::shared().database("next");
    let told = read_patiently(
        &at(url(
            &database,
            &[closed_port(), database.port()],
            "sslmode=require",
        )),
        select_one,
    )
    .await;
    assert_eq!(told.attempts, 1);
    assert_eq!(told.value(), "1");
}

#[tokio::test]
async fn a_silent_host_leaves_time_for_the_next() {
    let database = Postgres::shared().database("patient");
    let silent = Proxy::start(database.port(), Fate::Silence);
    let told = read(
        &at(url(
            &database,
            &[silent.port(), database.port()],
            "sslmode=require",
        )),
        select_one,
    )
    .await;
    assert_eq!(told.value(), "1");
}

#[tokio::test]
async fn every_hosts_failure_is_reported() {
    let database = Postgres::shared().database("everyone");
    let closing = Proxy::start(database.port(), Fate::CloseAfter(0));
    let refusing = closed_port();
    let told = read(
        &at(url(
            &database,
            &[refusing, closing.port()],
            "sslmode=require",
        )),
        select_one,
    )
    .await;
    let error = told.check(
        ErrorKind::Unreachable,
        "cannot connect to any of 2 hosts as reader",
        "check host and port",
    );
    let text = format!("{error:#}");
    assert!(
        text.contains(&format!("localhost:{refusing}"))
            && text.contains("the connection was refused"),
        "{text}"
    );
    assert!(
        text.contains(&format!("localhost:{}", closing.port()))
            && (text.contains("closed unexpectedly") || text.contains("was reset")),
        "{text}"
    );
}

#[tokio::test]
async fn a_refused_password_is_not_tried_on_the_next_host() {
    let database = Postgres::shared().database("once");
    let second = Proxy::start(database.port(), Fate::Pass);
    let source = at(url(
        &database,
        &[database.port(), second.port()],
        "sslmode=require",
    )
    .replace("p%40ss", "wrong-password"));
    let told = read(&source, select_one).await;
    assert_eq!(told.attempts, 1);
    told.check(
        ErrorKind::Credentials,
        "password authentication failed",
        "config show",
    );
    assert_eq!(second.accepted(), 0);
}

#[tokio::test]
async fn target_session_attrs_chooses_between_a_primary_and_a_standby() {
    let primary = Postgres::shared().database("primary");
    let cluster = Postgres::start("standby");
    cluster.demote();
    let standby = cluster.admin();
    let ports = [primary.port(), standby.port()];
    let role = |target: &str| {
        let url = url(
            &primary,
            &ports,
            &format!("sslmode=require&target_session_attrs={target}"),
        );
        at(url.replace(&format!("/{}?", primary.name), "/postgres?"))
    };
    let recovering = async |snapshot: &pushctl::source::Snapshot| {
        let answer = snapshot.query("SELECT pg_is_in_recovery()").await?;
        Ok(answer.rows[0][0].as_deref() == Some("t"))
    };
    for (target, is_standby) in [
        ("any", false),
        ("primary", false),
        ("read-write", false),
        ("standby", true),
        ("read-only", true),
        ("prefer-standby", true),
    ] {
        let told = read_patiently(&role(target), recovering).await;
        assert_eq!(told.attempts, 1, "{target}");
        assert_eq!(told.value(), is_standby, "{target}");
    }
}

#[tokio::test]
async fn a_server_of_the_wrong_kind_is_a_failover_that_may_be_over_soon() {
    let database = Postgres::shared().database("wrong_kind");
    let parameters = "sslmode=require&target_session_attrs=";
    let told = read(
        &at(url(
            &database,
            &[database.port()],
            &format!("{parameters}standby"),
        )),
        select_one,
    )
    .await;
    told.check(
        ErrorKind::Unreachable,
        "does not satisfy target_session_attrs=standby",
        "failover",
    );
    let preferring = at(url(
        &database,
        &[database.port()],
        &format!("{parameters}prefer-standby"),
    ));
    assert_eq!(read_patiently(&preferring, select_one).await.value(), "1");
}

#[tokio::test]
async fn a_session_that_may_not_write_is_read_only_wherever_it_is() {
    let database = Postgres::shared().database("habit");
    database.execute(&format!(
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        database.name
    ));
    let source = |target: &str| {
        at(url(
            &database,
            &[database.port()],
            &format!("sslmode=require&target_session_attrs={target}"),
        ))
    };
    assert_eq!(
        read_patiently(&source("read-only"), select_one)
            .await
            .value(),
        "1"
    );
    read(&source("read-write"), select_one).await.check(
        ErrorKind::Unreachable,
        "target_session_attrs=read-write",
        "relax",
    );
}

#[tokio::test]
async fn a_dead_name_server_does_not_hold_up_the_deadline_or_the_end() {
    // A name server that never answers, in a network of its own: this test runs itself there, in `dead_names`.
    const INSIDE: &str = "PUSHCTL_TEST_DEAD_NAMES";
    if std::env::var_os(INSIDE).is_some() {
        let told = read(&at("postgres://reader@db.example.com/market"), select_one).await;
        told.check(ErrorKind::Unreachable, "resolved", "name server");
        return;
    }
    if !may_mount() {
        return;
    }
    let script = "mount --bind \"$1\" /etc/resolv.conf && exec \"$0\" --exact \"$2\" --nocapture";
    let directory = tempfile::tempdir().unwrap();
    let names = directory.path().join("resolv.conf");
    std::fs::write(
        &names,
        "nameserver 127.0.0.91\noptions timeout:30 attempts:3\n",
    )
    .unwrap();
    let silent = std::net::UdpSocket::bind("127.0.0.91:53");
    if let Err(error) = &silent {
        assert_eq!(
            error.kind(),
            std::io::ErrorKind::PermissionDenied,
            "{error}"
        );
        return;
    }
    let started = std::time::Instant::now();
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", script])
        .arg(std::env::current_exe().unwrap())
        .arg(&names)
        .arg("connection::hosts::a_dead_name_server_does_not_hold_up_the_deadline_or_the_end")
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
    assert!(
        started.elapsed() < Duration::from_secs(20),
        "{:?}",
        started.elapsed()
    );
}
