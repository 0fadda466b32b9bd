//! Signals during a send.

use std::time::{Duration, Instant};

use pushctl::state::RunStatus;

use super::{BOTH, Office, people, tokens, until};
use crate::support::fcm::script::{Reply, RetryAfter, Script};
use crate::support::programs::signal;

#[test]
fn a_signal_ends_a_send_in_order_and_resume_finishes_it() {
    for kept in BOTH {
        for (name, status) in [("INT", 130), ("TERM", 143)] {
            let office = Office::keeping(kept, Script::default());
            office.audience(&people(0..600));
            let sending = office.start(&["--rate", "150"]);
            office.wait_for(60);
            signal(name, sending.id());
            let stopped = office.sent(office.ended(sending));
            assert_eq!(stopped.status(), status, "{}", stopped.outcome);
            assert_eq!(stopped.summary["ended"], "stopped");
            assert!(stopped.count("not_attempted") > 0, "{}", stopped.summary);
            assert_eq!(
                (stopped.count("in_doubt"), stopped.count("under_way")),
                (0, 0)
            );
            assert_eq!(stopped.count("accepted"), office.delivered().len() as u64);
            let hint = format!("pushctl resume {}", stopped.run());
            assert!(
                stopped.outcome.stderr.contains(&hint),
                "{}",
                stopped.outcome
            );
            let sent = office.resume(stopped.run(), &["--rate", "5000"]);
            sent.accepted(0, 600);
            assert_eq!(office.delivered(), tokens(0..600));
            assert_eq!(office.run(&["resume", stopped.run()]).status, 6);
        }
    }
}

#[test]
fn a_signal_stops_a_send_during_a_pause_of_the_service() {
    let hour = Reply::Quota {
        retry_after: Some(RetryAfter::Seconds(3_600)),
    };
    let office = Office::playing(Script::default().on("t-0", [hour]));
    office.audience(&people(0..50));
    let sending = office.start(&["--rate", "20"]);
    until(|| !office.stand_in.attempts("t-0").is_empty());
    std::thread::sleep(Duration::from_millis(200));
    let told = Instant::now();
    signal("TERM", sending.id());
    let stopped = office.sent(office.ended(sending));
    assert_eq!(stopped.status(), 143, "{}", stopped.outcome);
    assert!(told.elapsed() < Duration::from_secs(8));
    assert_eq!(stopped.count("in_doubt"), 0, "{}", stopped.summary);
    let sent = office.resume(stopped.run(), &["--rate", "5000"]);
    assert_eq!(sent.count("accepted"), 50, "{}", sent.outcome);
    assert_eq!(office.delivered(), tokens(0..50));
}

#[test]
fn a_second_signal_stops_a_send_immediately_and_messages_in_flight_are_in_doubt() {
    for kept in BOTH {
        // The service accepted the first of these, which the sender cannot know.
        let lost = Reply::Slow {
            ms: 60_000,
            then: Box::new(Reply::Accept),
        };
        let script = Script::default().on("t-3", [Reply::Hang]).on("t-5", [lost]);
        let office = Office::keeping(kept, script);
        office.audience(&people(0..40));
        let sending = office.start(&[]);
        office.wait_for(38);
        // So that what was answered is recorded.
        std::thread::sleep(Duration::from_millis(500));
        let told = Instant::now();
        signal("INT", sending.id());
        std::thread::sleep(Duration::from_millis(300));
        signal("INT", sending.id());
        let outcome = office.ended(sending);
        assert_eq!(outcome.status, 130, "{outcome}");
        assert!(told.elapsed() < Duration::from_secs(5));
        let runs = office.in_store(async |store| {
            store
                .runs(&pushctl::state::RunFilter::default())
                .await
                .unwrap()
        });
        let sent = office.resume(&runs[0].id, &[]);
        assert_eq!(sent.status(), 3, "{}", sent.outcome);
        assert_eq!(
            (sent.count("accepted"), sent.count("in_doubt")),
            (38, 2),
            "{}",
            sent.summary
        );
        assert_eq!(office.delivered().len(), 38);
        // Sent again on demand, under the same tag.
        let sent = office.resume(&runs[0].id, &["--in-doubt", "retry"]);
        sent.accepted(0, 40);
        assert_eq!(office.delivered(), tokens(0..40));
        let run = office.in_store(async |store| store.run(sent.run()).await.unwrap().unwrap());
        assert_eq!(run.status, RunStatus::Done);
        assert_eq!(run.summary.unwrap()["in_doubt"], 0);
        let tags: Vec<_> = office
            .stand_in
            .attempts("t-3")
            .iter()
            .map(|attempt| attempt.message["message"]["android"]["collapse_key"].clone())
            .collect();
        assert_eq!(tags.len(), 2);
        assert!(tags[0] == tags[1] && tags[0].is_string(), "{tags:?}");
    }
}
