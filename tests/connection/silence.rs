//! Servers and networks that say nothing, or stop in the middle.

use std::time::Duration;

use pushctl::error::{Error, ErrorKind, Result};
use pushctl::interrupt::{self, Interrupt};
use pushctl::source::Snapshot;

use super::{Surroundings, at, read, read_patiently, read_until, select_one, source};
use crate::support::postgres::{Postgres, at_port};
use crate::support::programs::closed_port;
use crate::support::proxy::{Blackhole, Fate, Proxy};

const TUNNEL_OR_OVERLOAD: &str = "the connection was accepted but not answered";

/// A verified connection to a database of this name through a proxy with these fates; and how many connections that
/// had.
fn shared(name: &str, fates: impl FnOnce(u16) -> Proxy) -> (String, Proxy) {
    let database = Postgres::shared().database(name);
    let proxy = fates(database.port());
    (at_port(&database.url(), proxy.port()), proxy)
}

/// More than any buffer on the way holds.
async fn stream(snapshot: &Snapshot) -> Result<u64> {
    let rows = "SELECT generate_series(1, 500000), repeat('x', 100)";
    snapshot.copy_out(rows, &mut |_: &[u8]| Ok(())).await
}

#[tokio::test]
async fn a_blackholed_host_is_blamed_on_the_allow_list() {
    let hole = Blackhole::open().await;
    let told = read(
        &at(format!("postgres://reader@127.0.0.1:{}/market", hole.port)),
        select_one,
    )
    .await;
    let error = told.check(
        ErrorKind::Unreachable,
        "before the TCP connection was accepted",
        "static egress address",
    );
    assert!(
        error
            .hints()
            .iter()
            .any(|hint| hint.contains("failover takes 60 to 120 s")),
        "{:?}",
        error.hints()
    );
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_refused_and_tried_again() {
    let told = read(
        &at(format!(
            "postgres://reader@127.0.0.1:{}/market",
            closed_port()
        )),
        select_one,
    )
    .await;
    told.check(
        ErrorKind::Unreachable,
        "the connection was refused",
        "check host and port",
    );
}

#[tokio::test]
async fn silence_before_tls() {
    let (url, _proxy) = shared("silent", |port| Proxy::start(port, Fate::Silence));
    let told = read(&at(url), select_one).await;
    told.check(
        ErrorKind::Unreachable,
        "after the TCP connection was accepted and before TLS began",
        TUNNEL_OR_OVERLOAD,
    );
}

#[tokio::test]
async fn silence_in_the_tls_handshake() {
    let (url, _proxy) = shared("silent_tls", |port| Proxy::start(port, Fate::StallAfter(1)));
    read(&at(url), select_one).await.check(
        ErrorKind::Unreachable,
        "in the TLS handshake",
        TUNNEL_OR_OVERLOAD,
    );
}

#[tokio::test]
async fn silence_in_authentication() {
    let pair = Postgres::shared().certificates().pair("server");
    let (url, _proxy) = shared("silent_auth", |port| {
        Proxy::start(port, Fate::Tls(pair, Box::new(Fate::Silence)))
    });
    read(&at(url), select_one).await.check(
        ErrorKind::Unreachable,
        "in authentication",
        TUNNEL_OR_OVERLOAD,
    );
}

#[tokio::test]
async fn silence_in_the_middle_of_the_rows() {
    let (url, _proxy) = shared("stalled", |port| {
        Proxy::start(port, Fate::StallAfter(2_000_000))
    });
    let told = read(&at(url), stream).await;
    assert_eq!(told.attempts, 1);
    told.check(
        ErrorKind::Unreachable,
        "no data came for",
        "the connection stalled",
    );
}

#[tokio::test]
async fn a_reset_in_the_middle_of_the_rows_begins_a_new_snapshot() {
    let (url, proxy) = shared("reset_once", |port| {
        Proxy::script(port, [Fate::ResetAfter(2_000_000)], Fate::Pass)
    });
    let told = read_patiently(&at(url), stream).await;
    assert_eq!(told.attempts, 2);
    assert!(
        told.log.contains("the connection was reset"),
        "{}",
        told.log
    );
    assert_eq!(told.value(), 500_000);
    assert_eq!(proxy.accepted(), 2);
}

#[tokio::test]
async fn a_connection_that_is_always_reset_ends_with_that() {
    let (url, _proxy) = shared("reset", |port| {
        Proxy::start(port, Fate::ResetAfter(2_000_000))
    });
    read(&at(url), stream).await.check(
        ErrorKind::Unreachable,
        "the connection was reset",
        "idle limit",
    );
}

#[tokio::test]
async fn a_connection_that_is_closed_in_the_middle_is_blamed_on_an_idle_limit() {
    let (url, _proxy) = shared("closed", |port| {
        Proxy::start(port, Fate::CloseAfter(2_000_000))
    });
    let told = read(&at(url), stream).await;
    // Data that is still under way turns the close into a reset; the advice is the same.
    told.check(ErrorKind::Unreachable, "the connection was", "idle limit");
}

#[tokio::test]
async fn a_connection_that_is_closed_at_once_is_tried_again() {
    let (url, _proxy) = shared("closed_once", |port| {
        Proxy::script(port, [Fate::CloseAfter(0), Fate::CloseAfter(1)], Fate::Pass)
    });
    let told = read_patiently(&at(url), select_one).await;
    assert_eq!(told.attempts, 3);
    assert_eq!(told.value(), "1");
}

#[tokio::test]
async fn another_kind_of_server_is_distinguished_from_one_that_is_down() {
    // The second begins with what would be PostgreSQL's consent to TLS.
    let strangers: [(&[u8], &str); 2] = [
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "does not speak PostgreSQL's protocol",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "does not speak TLS"),
    ];
    for (greeting, words) in strangers {
        let (url, _proxy) = shared("stranger", |port| Proxy::start(port, Fate::Say(greeting)));
        let told = read(&at(url), select_one).await;
        assert_eq!(told.attempts, 1);
        told.check(ErrorKind::Usage, words, "another service");
    }
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_not_asked_for_twice() {
    // The resolver's two answers are told apart in a unit test; which one comes here depends on the machine's network.
    let told = read(
        &at("postgres://reader@no-such-host.invalid/market"),
        select_one,
    )
    .await;
    let Err(error) = told.outcome else {
        panic!("it exists")
    };
    let retried = told.attempts > 1;
    assert_eq!(retried, error.kind() == ErrorKind::Unreachable, "{error:#}");
    assert!(
        format!("{error:#}").contains("no-such-host.invalid:5432"),
        "{error:#}"
    );
}

#[tokio::test]
async fn an_interrupt_ends_a_wait_for_a_server_that_is_down() {
    let (trigger, interrupt) = interrupt::channel();
    let source = at(format!(
        "postgres://reader@127.0.0.1:{}/market",
        closed_port()
    ));
    let (told, ()) = tokio::join!(
        read_until(&source, Duration::from_secs(60), &interrupt, select_one),
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            trigger.fire(ErrorKind::Interrupted);
        }
    );
    told.check(ErrorKind::Interrupted, "interrupted", "");
}

#[tokio::test]
async fn an_attempt_is_bounded_however_long_the_deadline() {
    let (url, _proxy) = shared("bounded", |port| {
        Proxy::script(port, [Fate::Silence], Fate::Pass)
    });
    let mut address = Surroundings::url(url).address().unwrap();
    address.connect_timeout = Some(Duration::from_secs(3));
    let told = read_until(
        &source(address),
        Duration::from_secs(60),
        &Interrupt::never(),
        select_one,
    )
    .await;
    assert_eq!(told.attempts, 2);
    assert!(told.log.contains("timed out after 3 s"), "{}", told.log);
    assert_eq!(told.value(), "1");
}

#[tokio::test]
async fn a_transient_failure_of_the_work_itself_is_tried_again() {
    let database = Postgres::shared().database("again");
    let mut turns = 0;
    let told = read_patiently(&at(database.url()), async |_: &Snapshot| {
        turns += 1;
        if turns < 3 {
            Err(Error::new(ErrorKind::Unreachable, "not yet"))
        } else {
            Ok(turns)
        }
    })
    .await;
    assert_eq!(told.value(), 3);
}
