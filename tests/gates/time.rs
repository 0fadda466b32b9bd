//! Quiet hours, lateness, the test pushes and the window.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use pushctl::run::gates::Road;
use pushctl::state::RunStatus;

use super::{due, generate, messages, overridden, refused, spawn, start};
use crate::pipeline::office::{File, Office, until};
use crate::support::fcm::script::{Reply, Script};
use crate::support::store::Place;

/// Quiet hours from some minutes from now to some minutes from now.
pub(super) fn quiet(from: i64, to: i64) -> String {
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    let clock = |minutes: i64| {
        let at = now.saturating_add(SignedDuration::from_mins(minutes));
        at.strftime("%H:%M").to_string()
    };
    format!("quiet_hours = \"{}-{}\"", clock(from), clock(to))
}

/// Waits until the minute after this one.
fn next_minute() {
    let now = Timestamp::now().as_second();
    let left = 61 - now.rem_euclid(60);
    std::thread::sleep(Duration::from_secs(u64::try_from(left).unwrap()));
}

/// Waits for the next minute, unless enough of this one is left for messages before it.
fn early_in_a_minute() {
    if Timestamp::now().as_second().rem_euclid(60) > 30 {
        next_minute();
    }
}

#[test]
fn in_the_quiet_hours_nothing_is_sent_on_any_road() {
    let office = Office::new(10, Script::default());
    let hours = quiet(-2, 120);
    office.file(&due(-8, &hours));
    generate(&office);
    refused(&office, Road::SendAutomation, 12, "within quiet_hours = ");
    refused(&office, Road::Pipeline, 12, "within quiet_hours = ");
    refused(&office, Road::Resume, 12, "within quiet_hours = ");
    refused(&office, Road::Now, 12, "within quiet_hours = ");
    office.file(&due(-6, &hours));
    refused(&office, Road::Tick, 12, "within quiet_hours = ");
    assert_eq!(office.tests(), 0, "a test push left in the quiet hours");
    overridden(&office, Road::Resume, "quiet-hours");
    assert_eq!(office.reached().len(), 10);
    let quiet_now = "have begun; no further message was sent";
    refused(&office, Road::InDoubtRetry, 12, quiet_now);
    overridden(&office, Road::InDoubtRetry, "quiet-hours");
}

/// Each road that sends test pushes waits for the end of the quiet hours first, where the automation says so.
#[test]
fn test_pushes_wait_for_the_end_of_the_quiet_hours() {
    for (road, minutes) in [(Road::Pipeline, -1), (Road::Tick, -1), (Road::Resume, -1)] {
        let office = Office::new(10, Script::default());
        let delay = "quiet_hours_action = \"delay\"";
        office.file(&due(minutes, &format!("{}\n{delay}", quiet(-2, 120))));
        let first = match road {
            Road::Resume => Road::Tick,
            road => road,
        };
        let mut child = spawn(&office, first, &["--json"]);
        if first == Road::Tick {
            let waiting = office.ended(child).json();
            assert_eq!(waiting["status"], "waiting", "{waiting:#}");
            assert_eq!(waiting["phase"], "test", "{waiting:#}");
            child = spawn(&office, road, &[]);
        }
        std::thread::sleep(Duration::from_secs(2));
        let is_over = child.try_wait().unwrap().is_some();
        assert_eq!(is_over, road == Road::Tick, "{road:?}");
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(messages(&office), 0, "{road:?}");
    }
}

/// An automation all of whose fans are test users, of which five are sent to in a second.
fn testers(office: &Office, safeguards: &str) {
    let ids = (1..=1_200).map(|n| format!("\"00000000-0000-4000-8000-{n:012}\""));
    office.file(&File {
        test: format!("user_ids = [{}]", ids.collect::<Vec<_>>().join(", ")),
        ..due(0, safeguards)
    });
}

#[test]
fn quiet_hours_that_begin_while_test_pushes_are_sent_stop_them_or_pause_them() {
    let offices: [Office; 2] = std::array::from_fn(|_| {
        let mut office = Office::new(1_200, Script::default());
        office.set("PUSHCTL_RATE", "5");
        office
    });
    next_minute();
    let hours = quiet(1, 120);
    testers(&offices[0], &hours);
    testers(
        &offices[1],
        &format!("{hours}\nquiet_hours_action = \"delay\""),
    );
    let tick = ["run-pipeline", "daily", "--tick", "--json"];
    let [refused, delayed] = offices.each_ref().map(|office| office.spawn(&tick));
    let [refusing, delaying] = offices;
    let refused = refusing.ended(refused);
    assert_eq!(refused.status, 12, "{refused}");
    assert!(refused.stderr.contains("have begun"), "{refused}");
    let delayed = delaying.ended(delayed);
    assert_eq!(delayed.status, 0, "{delayed}");
    assert_eq!(delayed.json()["phase"], "test", "{delayed}");
    for office in [&refusing, &delaying] {
        let tested = messages(office);
        assert!((1..1_200).contains(&tested), "{tested}");
    }
    assert_eq!(refusing.runs()[0].status, RunStatus::Refused);
    assert_eq!(delaying.runs()[0].status, RunStatus::Open);
}

#[test]
fn quiet_hours_that_begin_while_sending_stop_it_or_pause_it() {
    let offices: [Office; 3] = std::array::from_fn(|_| {
        let mut office = Office::new(2_400, Script::default());
        office.set("PUSHCTL_RATE", "5");
        office
    });
    // The offices are made first, so that the minute of the occurrence is not over before the starts.
    next_minute();
    let hours = quiet(1, 120);
    let delay = format!("{hours}\nquiet_hours_action = \"delay\"");
    // The third has no quiet hours, but its minute of lateness ends, too.
    for (office, safeguards) in offices.iter().zip([&*hours, &*delay, ""]) {
        office.file(&File {
            lateness: 1,
            ..due(0, safeguards)
        });
    }
    let [refusing, delaying, late] = offices;
    let tick = ["run-pipeline", "daily", "--tick", "--json"];
    let children = [&refusing, &delaying, &late].map(|office| office.spawn(&tick));
    let [refused, delayed, too_late] = children;
    let refused = refusing.ended(refused);
    assert_eq!(refused.status, 12, "{refused}");
    assert!(refused.stderr.contains("have begun"), "{refused}");
    let delayed = delaying.ended(delayed);
    assert_eq!(delayed.status, 0, "{delayed}");
    assert_eq!(delayed.json()["status"], "waiting", "{delayed}");
    assert_eq!(delayed.json()["phase"], "send", "{delayed}");
    let too_late = late.ended(too_late);
    assert_eq!(too_late.status, 12, "{too_late}");
    assert!(
        too_late.stderr.contains("max_lateness_minutes"),
        "{too_late}"
    );
    for office in [&refusing, &delaying, &late] {
        let reached = office.reached().len();
        assert!(reached < 1_200, "{reached}");
        // Nothing that had not left is claimed: a run that continues later finds every recipient.
        let claimed = office.in_store(async |store| {
            let run = store
                .runs(&pushctl::state::RunFilter::default())
                .await
                .unwrap()
                .remove(0);
            let push = store
                .pushes("daily", &run.occurrence)
                .await
                .unwrap()
                .remove(0);
            let tally = store.tally(&push).await.unwrap();
            tally.iter().map(|row| row.count).sum::<u64>()
        });
        assert_eq!(claimed, reached as u64);
    }
    assert_eq!(refusing.runs()[0].status, RunStatus::Refused);
    assert_eq!(delaying.runs()[0].status, RunStatus::Open);
}

#[test]
fn a_joiner_does_not_send_in_the_quiet_hours() {
    let mut office = Office::at(Place::postgres(), 400, Script::default());
    office.set("PUSHCTL_RATE", "10");
    early_in_a_minute();
    office.file(&due(-1, &quiet(1, 120)));
    generate(&office);
    let words = [
        "send",
        "--automation",
        "daily",
        "--push",
        "1",
        "--yes",
        "--share",
    ];
    let mut first = office.spawn(&words);
    until(|| office.reached().len() >= 3);
    first.kill().unwrap();
    first.wait().unwrap();
    next_minute();
    let before = office.reached().len();
    let joined = start(&office, Road::Join, &[]);
    assert_eq!(joined.status, 12, "{joined}");
    assert_eq!(office.reached().len(), before);
    let joined = start(
        &office,
        Road::Join,
        &["--override", "quiet-hours", "--reason", "r"],
    );
    assert!(office.reached().len() > before, "{joined}");
}

#[test]
fn what_is_too_late_is_not_sent() {
    for road in [Road::Pipeline, Road::Tick] {
        let office = Office::new(10, Script::default());
        office.file(&due(-40, ""));
        refused(&office, road, 12, "too late: ");
        assert_eq!(office.tests(), 0);
    }
}

#[test]
fn a_person_who_resumes_reads_how_late_it_is() {
    let office = Office::new(10, Script::default());
    office.file(&due(-40, ""));
    let late = refused(&office, Road::Tick, 12, "too late: ");
    let run = office.runs().remove(0);
    assert!(
        late.stderr
            .contains(&format!("`pushctl resume {}`", run.id)),
        "{late}"
    );
    let resumed = start(&office, Road::Resume, &[]);
    assert_eq!(resumed.status, 0, "{resumed}");
    assert!(resumed.stderr.contains("too late: "), "{resumed}");
    assert_eq!(office.reached().len(), 10);
}

#[test]
fn a_test_push_that_fails_stops_every_road() {
    let script = Script::default().always("token-tester", Reply::Unregistered);
    let office = Office::new(10, script);
    let expected = "a test push was not accepted";
    office.file(&due(-5, ""));
    refused(&office, Road::Pipeline, 12, expected);
    refused(&office, Road::Resume, 12, expected);
    office.file(&due(-2, ""));
    refused(&office, Road::Tick, 12, expected);
    overridden(&office, Road::Resume, "test");
    assert_eq!(office.reached().len(), 10);
    // With --now the time comes after the lead; the shortest is a minute.
    office.file(&File {
        lead: 1,
        ..due(600, "")
    });
    refused(&office, Road::Now, 12, expected);
}

#[test]
fn the_whole_window_lies_before_the_first_push() {
    for road in [Road::Pipeline, Road::Tick] {
        let office = Office::new(10, Script::default());
        office.file(&File {
            window: 25,
            lateness: 5,
            ..due(2, "")
        });
        refused(&office, road, 12, "the cancellation window of 25 minutes");
        assert_eq!(office.tests(), 0, "a test push left before the refusal");
        // A person who resumes it gets the whole window all the same.
        let mut resumed = office.spawn(&["resume", "last"]);
        until(|| office.tests() == 2);
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(resumed.try_wait().unwrap(), None);
        resumed.kill().unwrap();
        let outcome = office.ended(resumed);
        let run = office.runs().remove(0);
        assert_eq!(
            (run.status, office.reached().len()),
            (RunStatus::Open, 0),
            "{outcome}"
        );
        // So does an occurrence of its own.
        office.ends(&["cancel", &run.id], 0);
        let tick = ["run-pipeline", "daily", "--tick", "--json"];
        office.run(&tick);
        let now = ["run-pipeline", "daily", "--now", "--until", "window"];
        let mut now = office.spawn(&now);
        until(|| office.runs()[0].occurrence != run.occurrence);
        now.kill().unwrap();
        office.ended(now);
        let course = &office.runs()[0].plan["course"]["times"];
        assert_eq!(course["window_seconds"], 25 * 60);
    }
}
