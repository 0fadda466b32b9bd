//! `--override GUARD --reason TEXT`: which names it takes, and where.

use std::process::Child;

use pushctl::run::gates::{Guard, Road};
use tokio::task::block_in_place;

use super::now::{file, generated};
use super::obstacles::{MARKER, newer};
use super::time::quiet;
use super::{due, failures, messages, spawn, start};
use crate::notify::server::{Answer, Server};
use crate::pipeline::office::{File, Office};
use crate::support::fcm::script::{Reply, Script};

#[test]
fn names_are_checked_and_a_reason_is_required() {
    let office = Office::new(2, Script::default());
    office.file(&due(-1, ""));
    let given = |more: &[&str]| office.ends(&[&["run-pipeline", "daily"][..], more].concat(), 2);
    let slip = given(&["--override", "max-audiense", "--reason", "r"]);
    assert!(slip.stderr.contains("did you mean max-audience?"), "{slip}");
    let all = Guard::all().iter();
    let (fixed, passable): (Vec<&Guard>, Vec<&Guard>) = all.partition(|one| one.fixed().is_some());
    for guard in [
        Guard::Lease,
        Guard::Claim,
        Guard::Cadence,
        Guard::Recipient,
        Guard::Deadline,
    ] {
        assert!(fixed.contains(&&guard), "{guard}");
    }
    let names: Vec<&str> = passable.iter().map(|guard| guard.as_str()).collect();
    let listed = format!("hint: these can be overridden: {}", names.join(", "));
    assert!(slip.stderr.contains(&listed), "{slip}");
    for guard in fixed {
        for start in [&["--now"][..], &[]] {
            let with = ["--override", guard.as_str(), "--reason", "r"];
            let refused = given(&[start, &with].concat());
            let why = format!("{guard} cannot be overridden: ");
            assert!(refused.stderr.contains(&why), "{refused}");
            assert!(refused.stderr.contains(&listed), "{refused}");
        }
    }
    for guard in passable {
        for tick in [&["daily", "--tick"][..], &["--all", "--tick"]] {
            let with = ["--override", guard.as_str(), "--reason", "r"];
            office.ends(&[&["run-pipeline"][..], tick, &with].concat(), 2);
        }
    }
    given(&["--override", "paused"]);
    given(&["--override", "paused", "--reason", " "]);
    given(&["--reason", "r"]);
    given(&["--tick", "--override", "paused", "--reason", "r"]);
    assert_eq!((office.tests(), office.runs().len()), (0, 0));
    // Several at once, and the notice of who and why.
    let several = [
        "--override",
        "paused,max-audience",
        "--reason",
        "r",
        "--json",
    ];
    office.ends(&[&["run-pipeline", "daily"][..], &several].concat(), 0);
    let shown = office.ends(&["runs", "show", "last", "--json"], 0).json();
    let guards = shown["overrides"][0]["guards"].as_array().unwrap();
    assert_eq!(guards.len(), 2);
    assert!(
        shown["overrides"][0]["actor"]
            .as_str()
            .unwrap()
            .starts_with("alice@")
    );
}

/// An office in which a start with `--now` meets a guard.
fn meets(guard: Guard, hook: &str) -> Office {
    let script = match guard {
        Guard::Test => Script::default().always("token-tester", Reply::Unregistered),
        Guard::Failures => failures::bad(),
        _ => Script::default(),
    };
    let fans = if guard == Guard::Failures { 120 } else { 10 };
    let mut office = Office::new(fans, script);
    office.set("HOOK", hook);
    let empty = "DELETE FROM users WHERE username LIKE 'fan%'";
    let safeguards = match guard {
        Guard::MaxAudience => "max_audience = 9".to_owned(),
        Guard::MaxChange => "max_change_percent = 40".to_owned(),
        Guard::MaxSkipped => "max_skipped_percent = 20".to_owned(),
        Guard::QuietHours => quiet(-2, 120),
        _ => String::new(),
    };
    if guard == Guard::MaxChange {
        office.file(&due(-1, ""));
        assert_eq!(start(&office, Road::Tick, &[]).status, 0);
        office.market.execute(&format!(
            "{empty} AND right(username, 1) IN ('1', '2', '3', '4', '5')"
        ));
    }
    office.file(&File {
        notify: "webhook = \"env:HOOK\"".to_owned(),
        ..file(&safeguards)
    });
    match guard {
        Guard::Paused => drop(office.ends(&["pause", "daily"], 0)),
        Guard::OpenRun => {
            let now = ["run-pipeline", "daily", "--now", "--until", "generate"];
            office.ends(&now, 0);
        }
        Guard::MinAudience => office.market.execute(empty),
        Guard::MaxSkipped => office.market.execute(
            "UPDATE users SET bio = '' WHERE username IN ('fan-5', 'fan-6', 'fan-7', 'fan-8')",
        ),
        Guard::Outcomes => {
            office.sandbox.write("here/taken", "a file");
            office.set("PUSHCTL_OUTCOMES", "taken");
        }
        Guard::StateStore => newer(&mut office, "newer"),
        _ => {}
    }
    office
}

/// What happens to the files between their generation and the push.
fn happens(office: &Office, guard: Guard) {
    let directory = office.sandbox.here().join("generated");
    match guard {
        Guard::CommitMarker => {
            generated(office);
            std::fs::create_dir(office.sandbox.here().join(MARKER)).unwrap();
        }
        Guard::Audience => {
            generated(office);
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|ending| ending == "csv") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    std::fs::write(path, text.replace("likes shoes", "likes boots")).unwrap();
                }
            }
        }
        _ => {}
    }
}

/// The exit status of a start that passes the guard, and how many fans are reached in all.
fn passed(guard: Guard) -> (i32, usize) {
    match guard {
        Guard::MinAudience => (0, 0),
        Guard::MaxSkipped => (0, 6),
        // Everything is sent, and the files are missing.
        Guard::Outcomes => (1, 10),
        Guard::Failures => (3, 0),
        _ => (0, 10),
    }
}

/// The guards that refuse a start with `--now` before it has waited for its time, and the exit status.
fn refused_at_once(guard: Guard) -> Option<i32> {
    match guard {
        Guard::OpenRun => Some(11),
        Guard::Paused
        | Guard::MinAudience
        | Guard::MaxAudience
        | Guard::MaxChange
        | Guard::MaxSkipped
        | Guard::QuietHours => Some(12),
        _ => None,
    }
}

/// One minute for all of them: the test pushes of `--now` leave a minute later at the earliest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_passes_each_guard_that_can_be_overridden_once_and_it_is_recorded() {
    let webhook = Server::start(vec![Answer::status(200, "ok"); 400]).await;
    block_in_place(|| {
        let all = Guard::all().iter().copied();
        let guards = all.filter(|guard| guard.fixed().is_none());
        let begun: Vec<(Guard, Office, Child)> = guards
            .map(|guard| {
                let office = meets(guard, &webhook.url("/hook"));
                let before = messages(&office);
                if let Some(status) = refused_at_once(guard) {
                    let outcome = start(&office, Road::Now, &[]);
                    assert_eq!(outcome.status, status, "{guard}: {outcome}");
                    assert_eq!(messages(&office), before, "{guard}: {outcome}");
                }
                let reason = format!("{guard} was agreed");
                let more = ["--override", guard.as_str(), "--reason", &reason];
                let child = spawn(&office, Road::Now, &more);
                (guard, office, child)
            })
            .collect();
        for (guard, office, _) in &begun {
            happens(office, *guard);
        }
        for (guard, office, child) in begun {
            let outcome = office.ended(child);
            let (status, reached) = passed(guard);
            assert_eq!(outcome.status, status, "{guard}: {outcome}");
            assert_eq!(office.reached().len(), reached, "{guard}: {outcome}");
            if guard == Guard::Failures {
                assert_eq!(messages(&office), 122, "{outcome}");
            }
            recorded(&office, guard);
            let notices = webhook.requests().into_iter();
            let mut notices = notices.map(|one| String::from_utf8(one.body).unwrap());
            let told = format!("{guard} was agreed");
            assert!(notices.any(|notice| notice.contains(&told)), "{guard}");
        }
    });
}

/// `runs show` says who passed the guard and why: as text, as JSON and as a page.
fn recorded(office: &Office, guard: Guard) {
    let run = office.runs().remove(0).id;
    let shown = office.ends(&["runs", "show", &run], 0).stdout;
    let line = format!("Overridden guards: {guard}, by alice@");
    assert!(shown.contains(&line), "{shown}");
    assert!(shown.contains(&format!(": {guard} was agreed")), "{shown}");
    let shown = office.ends(&["runs", "show", &run, "--json"], 0).json();
    let of_it = &shown["overrides"][0];
    assert_eq!(of_it["guards"], serde_json::json!([guard]), "{shown:#}");
    assert_eq!(of_it["reason"], format!("{guard} was agreed"));
    assert!(of_it["actor"].as_str().unwrap().starts_with("alice@"));
    office.ends(&["runs", "show", &run, "--html", "run.html"], 0);
    let page = std::fs::read_to_string(office.sandbox.here().join("run.html")).unwrap();
    for part in [
        "Overridden guards",
        &format!("{guard} was agreed"),
        "alice@",
    ] {
        assert!(page.contains(part), "{guard}: {part}");
    }
}
