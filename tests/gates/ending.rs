//! What ends a send from outside: a cancel, and the time limit.

use std::net::TcpListener;
use std::process::Child;
use std::time::{Duration, Instant};

use pushctl::run::gates::Road;

use super::{
    BEGINNINGS, due, generate, killed_while_shared, messages, occurrence_for, spawn, start,
};
use crate::pipeline::office::{File, Office, until};
use crate::support::fcm::script::{Reply, Script};

/// Cancels what has begun to send, long before its end.
fn cancelled(office: &Office, road: Road, child: Child, before: usize) {
    until(|| messages(office) >= before + 5);
    // Of a run that is over nothing is open; the cancel holds all the same.
    let name = if road == Road::Send { "--all" } else { "daily" };
    office.run(&["cancel", name]);
    let outcome = office.ended(child);
    assert_eq!(outcome.status, 20, "{road:?}: {outcome}");
    assert!(outcome.stderr.contains("cancelled by alice@"), "{outcome}");
    let sent = messages(office) - before;
    assert!(sent < 300, "{road:?}: {sent}");
}

#[test]
fn a_cancel_ends_a_send_on_every_road() {
    let mut office = Office::new(800, Script::default());
    office.set("PUSHCTL_CADENCE", "off");
    office.set("PUSHCTL_RATE", "50");
    office.file(&due(-9, ""));
    generate(&office);
    for road in BEGINNINGS {
        occurrence_for(&office, road);
        let before = messages(&office);
        let child = spawn(&office, road, &[]);
        cancelled(&office, road, child, before);
    }
}

#[test]
fn a_cancel_ends_one_that_joined() {
    let office = killed_while_shared(400, Script::default());
    let before = messages(&office);
    let child = spawn(&office, Road::Join, &[]);
    cancelled(&office, Road::Join, child, before);
}

#[test]
fn a_cancel_ends_a_send_of_what_is_in_doubt() {
    let mut script = Script::default().always("token-fan-*", Reply::Reset);
    script.rules[0].times = Some(800);
    let mut office = Office::new(800, script);
    office.set("PUSHCTL_CADENCE", "off");
    office.file(&due(-1, ""));
    assert_eq!(start(&office, Road::Tick, &[]).status, 12);
    let more = ["--override", "failures", "--reason", "agreed"];
    let outcome = start(&office, Road::Resume, &more);
    assert_eq!(outcome.status, 3, "{outcome}");
    office.set("PUSHCTL_RATE", "50");
    let before = messages(&office);
    let child = spawn(&office, Road::InDoubtRetry, &[]);
    cancelled(&office, Road::InDoubtRetry, child, before);
}

/// What accepts connections and says nothing.
pub(super) fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("postgres://reader@127.0.0.1:{port}/shop");
    (listener, url)
}

/// A machine that is busy may take longer than the second that is promised.
const SLACK: Duration = Duration::from_secs(8);

fn out_of_time(office: &Office, road: Road) {
    let (before, began) = (messages(office), Instant::now());
    let outcome = start(office, road, &[]);
    assert_eq!(outcome.status, 5, "{road:?}: {outcome}");
    assert!(began.elapsed() < SLACK, "{road:?}: {:?}", began.elapsed());
    assert_eq!(messages(office), before, "{road:?}");
}

#[test]
fn no_road_waits_longer_than_the_deadline_for_a_source_that_is_silent() {
    let (_listener, url) = silent();
    let mut office = Office::new(10, Script::default());
    let market = office.market.url();
    // A process that waits tries again as long as it would not be too late.
    let file = |minutes| File {
        lateness: 30,
        ..due(minutes, "")
    };
    office.file(&file(-9));
    generate(&office);
    let away = |office: &mut Office| {
        office.set("DATABASE_URL", url.clone());
        office.set("PUSHCTL_DEADLINE", "2s");
    };
    let back = |office: &mut Office| {
        office.set("DATABASE_URL", market.clone());
        office.set("PUSHCTL_DEADLINE", "60s");
    };
    away(&mut office);
    out_of_time(&office, Road::Send);
    out_of_time(&office, Road::SendAutomation);
    office.ends(&["cancel", "--all"], 6);
    office.file(&file(-5));
    out_of_time(&office, Road::Tick);
    office.ends(&["cancel", "daily"], 0);
    back(&mut office);
    office.file(&File {
        lateness: 1,
        ..due(-3, "")
    });
    // Late, and with a person who says so: nothing is tried again.
    let more = [
        "--until",
        "generate",
        "--override",
        "lateness",
        "--reason",
        "r",
    ];
    assert_eq!(start(&office, Road::Pipeline, &more).status, 0);
    away(&mut office);
    out_of_time(&office, Road::Pipeline);
    out_of_time(&office, Road::Resume);
    back(&mut office);
    assert_eq!(start(&office, Road::Resume, &[]).status, 0);
    away(&mut office);
    out_of_time(&office, Road::InDoubtRetry);
}

#[test]
fn one_that_joined_waits_no_longer_either() {
    let (_listener, url) = silent();
    let mut office = killed_while_shared(60, Script::default());
    office.set("DATABASE_URL", url);
    office.set("PUSHCTL_DEADLINE", "2s");
    out_of_time(&office, Road::Join);
}
