//! The push service and the token endpoint behind an HTTP proxy, which is the only way to them.

use std::time::{Duration, Instant};

use super::{Kept, Office, order, people};
use crate::support::fcm::{HOST_NAME, Options, StandIn};
use crate::support::http_proxy::{HttpProxy, Manner};
use crate::support::programs::closed_port;

/// An office whose push service no name server knows.
fn office() -> Office {
    let stand_in = StandIn::start(&Options {
        host: HOST_NAME,
        ..Options::default()
    });
    let office = Office::with(Kept::Sqlite, stand_in.unwrap());
    office.audience(&people(0..3));
    office
}

/// Sends through a proxy, whose variable is this.
fn send(office: &mut Office, variable: &str, url: String, status: i32) -> String {
    office.set(variable, url);
    let outcome = office.run(&order(&["--layer", "3", "--deadline", "6s"]));
    assert_eq!(outcome.status, status, "{outcome}");
    assert!(!outcome.stderr.contains("hunter2"), "{outcome}");
    outcome.stderr
}

#[test]
fn messages_and_tokens_go_through_the_proxy_of_either_variable() {
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"] {
        let (proxy, mut office) = (HttpProxy::start(Manner::Tunnel), office());
        let url = format!("http://127.0.0.1:{}", proxy.port());
        send(&mut office, variable, url, 0);
        assert_eq!(office.delivered().len(), 3);
        let asked = proxy.asked();
        assert_eq!(asked.len(), 2, "{asked:?}");
        let tunnel = format!("CONNECT {HOST_NAME}:");
        assert!(
            asked.iter().all(|line| line.starts_with(&tunnel)),
            "{asked:?}"
        );
    }
}

#[test]
fn a_proxy_gets_its_user_and_password() {
    let (proxy, mut office) = (
        // ann:hunter2
        HttpProxy::start(Manner::Authorized("Basic YW5uOmh1bnRlcjI=")),
        office(),
    );
    let place = format!("127.0.0.1:{}", proxy.port());
    let said = send(&mut office, "HTTPS_PROXY", format!("http://{place}"), 4);
    assert!(said.contains("http://USER:PASSWORD@HOST:PORT"), "{said}");
    assert!(office.delivered().is_empty());
    send(
        &mut office,
        "HTTPS_PROXY",
        format!("http://ann:hunter2@{place}"),
        0,
    );
    assert_eq!(office.delivered().len(), 3);
    let shown = office.run(&["config", "show"]);
    assert!(shown.stdout.contains("push.proxy"), "{shown}");
    assert!(!shown.stdout.contains("hunter2"), "{shown}");
}

#[test]
fn a_proxy_that_fails_is_named_and_ends_no_send_late() {
    // Which of the two connections fails first is not known, and the error of either names the proxy.
    for (manner, status, word) in [
        (Manner::Answer("HTTP/1.1 403 Forbidden"), 4, "NO_PROXY"),
        (Manner::Answer("HTTP/1.1 502 Bad Gateway"), 5, "HTTPS_PROXY"),
        (Manner::Answer("SSH-2.0-OpenSSH_9.2p1"), 5, "HTTPS_PROXY"),
        (Manner::Silent, 5, "--deadline"),
        (Manner::Close, 5, "HTTPS_PROXY"),
        (Manner::CloseTunnel, 5, "HTTPS_PROXY"),
    ] {
        let (proxy, mut office) = (HttpProxy::start(manner), office());
        let place = format!("127.0.0.1:{}", proxy.port());
        office.set("HTTPS_PROXY", format!("http://{place}"));
        let began = Instant::now();
        let outcome = office.run(&order(&["--layer", "3", "--deadline", "6s"]));
        assert!(began.elapsed() < Duration::from_secs(11), "{manner:?}");
        assert_eq!(outcome.status, status, "{manner:?}: {outcome}");
        assert!(office.delivered().is_empty());
        outcome.says(&place);
        outcome.says(word);
    }
    let mut office = office();
    let place = format!("127.0.0.1:{}", closed_port());
    let said = send(&mut office, "HTTPS_PROXY", format!("http://{place}"), 5);
    assert!(said.contains(&place), "{said}");
    for wrong in ["socks5://u:hunter2@127.0.0.1:1080", "https://127.0.0.1:1"] {
        let said = send(&mut office, "HTTPS_PROXY", wrong.to_owned(), 2);
        assert!(said.contains("is not an HTTP proxy"), "{said}");
    }
}

#[test]
fn an_exception_and_this_machine_need_no_proxy() {
    let proxy = HttpProxy::start(Manner::Close);
    let url = format!("http://127.0.0.1:{}", proxy.port());
    let mut excepted = office();
    excepted.set("NO_PROXY", "example.org,.example.com");
    let said = send(&mut excepted, "HTTPS_PROXY", url.clone(), 5);
    assert!(said.contains(HOST_NAME), "{said}");
    let mut local = Office::playing(crate::support::fcm::script::Script::default());
    local.audience(&people(0..3));
    send(&mut local, "HTTPS_PROXY", url, 0);
    assert_eq!(local.delivered().len(), 3);
    assert!(proxy.asked().is_empty());
}
