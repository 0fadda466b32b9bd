//! The deadline of a send binds every peer: each ends within it and a second, and its error names what it waited for.

use std::time::{Duration, Instant};

use super::{Office, people, tokens};
use crate::support::campaign::Campaign;
use crate::support::fcm::StandIn;
use crate::support::fcm::script::{Reply, Script};
use crate::support::postgres::{Postgres, at_port};
use crate::support::programs::closed_port;
use crate::support::proxy::{Fate, Proxy};

/// A busy machine starts and ends processes late.
const SLACK: Duration = Duration::from_secs(3);

/// A proxy that accepts connections and says nothing.
fn silent() -> Proxy {
    Proxy::start(closed_port(), Fate::Silence)
}

/// A `send` of three messages that fails as unreachable within this deadline; returns what it said.
fn fails_in_time(office: &Office, deadline: u64) -> String {
    office.audience(&people(0..3));
    let deadline_flag = format!("{deadline}s");
    let began = Instant::now();
    let said = office.refused(&["--deadline", &deadline_flag, "--layer", "3"], 5);
    let took = began.elapsed();
    assert!(
        took < Duration::from_secs(deadline) + SLACK,
        "{took:?}: {said}"
    );
    said
}

#[test]
fn a_push_service_that_refuses_or_is_silent_costs_no_more_than_the_deadline() {
    let mut office = Office::playing(Script::default());
    office.set("PUSHCTL_PUSH_PATIENCE", "2m");
    office.lose_push_service();
    let said = fails_in_time(&office, 4);
    assert!(said.contains("Connection refused"), "{said}");
    assert!(said.contains("gave up after"), "{said}");
    let proxy = silent();
    office.set(
        "PUSHCTL_PUSH_URL",
        format!("https://127.0.0.1:{}", proxy.port()),
    );
    let said = fails_in_time(&office, 4);
    let place = format!("waiting for the push service 127.0.0.1:{}", proxy.port());
    assert!(said.contains(&place), "{said}");
    assert!(said.contains("the deadline of 4 s has passed"), "{said}");
}

#[test]
fn a_history_that_refuses_or_is_silent_costs_no_more_than_the_deadline() {
    let mut office = Office::playing(Script::default());
    let url = |port| format!("postgres://someone@127.0.0.1:{port}/history?sslmode=disable");
    let proxy = silent();
    for port in [closed_port(), proxy.port()] {
        office.set("PUSH_CADENCE_DATABASE_URL", url(port));
        let said = fails_in_time(&office, 4);
        assert!(said.contains("the notification history"), "{said}");
        assert!(said.contains(&port.to_string()), "{said}");
    }
    office.set("PUSH_CADENCE_DATABASE_URL", "");
    office.set(
        "CADENCE_SERVICE_URL",
        format!("http://127.0.0.1:{}", proxy.port()),
    );
    // The service is asked about recipients only, after the send has begun.
    let sent = office.send(&["--deadline", "4s", "--layer", "3"]);
    assert_eq!(sent.status(), 5, "{}", sent.outcome);
    let said = &sent.outcome.stderr;
    assert!(said.contains("waiting for the cadence service"), "{said}");
}

#[test]
fn a_state_store_that_refuses_or_is_silent_costs_no_more_than_the_deadline() {
    let mut office = Office::playing(Script::default());
    let proxy = silent();
    for port in [closed_port(), proxy.port()] {
        let url = format!("postgres://someone@127.0.0.1:{port}/state?sslmode=disable");
        office.set("PUSHCTL_STATE_URL", url);
        let said = fails_in_time(&office, 4);
        assert!(said.contains("the state store"), "{said}");
        assert!(said.contains(&port.to_string()), "{said}");
    }
}

#[test]
fn a_state_store_that_may_only_be_read_is_refused_at_once() {
    let mut office = Office::playing(Script::default());
    let database = super::state_database(Postgres::shared());
    database.execute(&format!(
        "ALTER DATABASE {} SET default_transaction_read_only = on",
        database.name
    ));
    office.set("PUSHCTL_STATE_URL", super::state_url(&database));
    office.audience(&people(0..3));
    let began = Instant::now();
    let said = office.refused(&["--layer", "3"], 1);
    assert!(began.elapsed() < Duration::from_secs(10), "{said}");
    assert!(said.contains("the server accepts no writes"), "{said}");
    assert!(said.contains("target_session_attrs=read-write"), "{said}");
}

#[test]
fn a_short_deadline_is_enough_for_a_short_send() {
    for deadline in ["4s", "8s", "15s"] {
        let office = Office::playing(Script::default());
        office.audience(&people(0..3));
        let sent = office.send(&["--deadline", deadline]);
        assert_eq!(sent.status(), 0, "{}", sent.outcome);
        assert_eq!(office.delivered(), tokens(0..3));
    }
}

#[test]
fn messages_in_flight_at_the_deadline_are_in_doubt_and_the_rest_is_not_attempted() {
    let silence = || Reply::Slow {
        ms: 60_000,
        then: Box::new(Reply::Accept),
    };
    let script = (0..400).fold(Script::default(), |script, n| {
        script.on(&format!("t-{n}"), [silence()])
    });
    let office = Office::playing(script);
    office.audience(&people(0..400));
    let began = Instant::now();
    let sent = office.send(&["--deadline", "5s", "--rate", "50"]);
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5) + SLACK, "{took:?}");
    assert_eq!(sent.status(), 5, "{}", sent.outcome);
    let in_doubt = sent.count("in_doubt");
    assert!(in_doubt > 0, "{}", sent.outcome);
    assert_eq!(
        sent.count("not_attempted"),
        400 - in_doubt,
        "{}",
        sent.outcome
    );
}

/// Runs `work` while a server is away behind each proxy, in each form and for each time of an outage.
pub(crate) fn while_away(proxies: &[&Proxy], work: impl Fn()) {
    for seconds in Campaign::outages() {
        for fate in [Fate::ResetAfter(0), Fate::Silence] {
            for proxy in proxies {
                proxy.turn(fate.clone());
            }
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(Duration::from_secs(*seconds));
                    for proxy in proxies {
                        proxy.turn(Fate::Pass);
                    }
                });
                work();
            });
        }
    }
}

#[test]
fn a_state_store_and_a_history_that_are_away_for_a_while_are_waited_for() {
    let state = super::state_database(Postgres::shared());
    let history = crate::cadence::history();
    let proxies = [&state, &history].map(|database| Proxy::start(database.port(), Fate::Pass));
    while_away(&[&proxies[0], &proxies[1]], || {
        let mut office = Office::playing(Script::default());
        let url = super::state_url(&state);
        office.set("PUSHCTL_STATE_URL", at_port(&url, proxies[0].port()));
        let url = history.url_with("tls_only", "sslmode=require");
        let url = at_port(&url, proxies[1].port());
        office.set("PUSH_CADENCE_DATABASE_URL", url);
        office.audience(&people(0..3));
        let occurrence = uuid::Uuid::now_v7().to_string();
        let sent = office.send(&["--occurrence", &occurrence]);
        assert_eq!(sent.status(), 0, "{}", sent.outcome);
        assert_eq!(office.delivered(), tokens(0..3));
    });
}

#[test]
fn a_state_store_that_restarts_in_the_middle_of_a_send_is_waited_for() {
    let cluster = Postgres::start("restarts_in_a_send");
    let office = Office::keeping_in(&cluster, StandIn::playing(Script::default()));
    office.audience(&people(0..150));
    let sending = office.start(&["--rate", "50"]);
    office.wait_for(50);
    cluster.stop("immediate");
    std::thread::sleep(Duration::from_secs(2));
    cluster.resume();
    let sent = office.sent(office.ended(sending));
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    assert_eq!(sent.count("accepted"), 150, "{}", sent.outcome);
    office.delivered();
}

#[test]
fn a_wait_is_reported_every_ten_seconds_and_not_with_q() {
    let mut office = Office::playing(Script::default());
    let proxy = silent();
    let url = format!(
        "postgres://someone@127.0.0.1:{}/state?sslmode=disable",
        proxy.port()
    );
    office.set("PUSHCTL_STATE_URL", url);
    let arguments = ["status", "--deadline", "22s"];
    let loud = office.spawn(&arguments);
    let quiet = office.spawn(&[&arguments[..], &["-q"]].concat());
    let (loud, quiet) = (office.ended(loud), office.ended(quiet));
    assert_eq!((loud.status, quiet.status), (5, 5), "{loud}{quiet}");
    let said = |seconds: u32| {
        format!(
            "waiting for the state store 127.0.0.1:{}: {seconds} s",
            proxy.port()
        )
    };
    for seconds in [10, 20] {
        assert!(loud.stderr.contains(&said(seconds)), "{loud}");
        assert!(!quiet.stderr.contains(&said(seconds)), "{quiet}");
    }
}
