//! Several processes that take from one queue.

use super::{Kept, Office, id, until};
use crate::support::fcm::script::{Reply, Script};
use crate::support::postgres::{Database, Postgres};

const PEOPLE: u64 = 800;

/// Returns a source in which each person has a device; two share its token.
fn source() -> Database {
    let database = Postgres::shared().database("shared");
    let people: Vec<String> = (0..PEOPLE)
        .map(|n| {
            let token = if n == 1 { 0 } else { n };
            format!("('{}'::uuid, 'token-{token}')", id(n))
        })
        .collect();
    database.execute(&format!(
        "WITH people (id, token) AS (VALUES {}), made AS (INSERT INTO users (id) SELECT id FROM people RETURNING id)
         INSERT INTO devices (user_id, fingerprint, token) SELECT made.id, 'f', token FROM made JOIN people USING (id)",
        people.join(", ")
    ));
    database
}

fn office(database: &Database) -> Office {
    let slow = Reply::Slow {
        ms: 20,
        then: Box::new(Reply::Accept),
    };
    let mut office = Office::keeping(Kept::Postgres, Script::default().always("*", slow));
    office.set("DATABASE_URL", database.url());
    let ids: Vec<String> = (0..PEOPLE).map(id).collect();
    office.audience(&format!("user_id\n{}\n", ids.join("\n")));
    office
}

#[test]
fn four_processes_share_a_send_and_each_recipient_gets_one_message() {
    let database = source();
    let office = office(&database);
    let first = office.start(&["--share", "--rate", "100"]);
    office.wait_for(1);
    let joined: Vec<_> = (0..3)
        .map(|_| office.spawn(&["send", "--join", "last", "--rate", "100", "--json"]))
        .collect();
    let joined: Vec<_> = joined
        .into_iter()
        .map(|child| office.ended(child))
        .collect();
    let sent = office.sent(office.ended(first));
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    let counts = [
        "rows",
        "accepted",
        "token_taken",
        "under_way",
        "not_attempted",
    ];
    assert_eq!(
        counts.map(|name| sent.count(name)),
        [PEOPLE, PEOPLE - 1, 0, 0, 0]
    );
    // One of the two who share a token registered it later.
    assert_eq!(sent.summary["skipped_by_reason"]["token-moved"], 1);
    assert_eq!(office.delivered().len() as u64, PEOPLE - 1);
    let of_others: u64 = joined
        .iter()
        .map(|outcome| outcome.json()["messages"].as_u64().expect("a number"))
        .sum();
    assert!(of_others > 0, "no joined process sent anything");
    assert_eq!(of_others + sent.count("messages"), PEOPLE - 1);
    // A hundred a second is what the send may, not what each of the four may.
    let mut left: Vec<_> = (0..PEOPLE)
        .flat_map(|n| office.stand_in.attempts(&format!("token-{n}")))
        .map(|attempt| attempt.at)
        .collect();
    left.sort_unstable();
    let duration = left[left.len() - 1] - left[0];
    assert!(duration.as_secs_f64() > 0.85 * 8.0, "{duration:?}");
}

#[test]
fn joined_processes_and_a_resume_finish_after_the_first_process_is_killed() {
    let database = source();
    let office = office(&database);
    let mut first = office.start(&["--share", "--rate", "200"]);
    office.wait_for(50);
    let joined = office.spawn(&["send", "--join", "last", "--rate", "200", "--json"]);
    first.kill().expect("it is ours");
    first.wait().expect("it ends");
    let run = office.in_store(async |store| {
        let runs = store
            .runs(&pushctl::state::RunFilter::default())
            .await
            .unwrap();
        runs[0].id.clone()
    });
    office.ended(joined);
    let sent = office.resume(&run, &[]);
    let counted = sent.count("accepted") + sent.count("in_doubt") + sent.count("skipped");
    assert_eq!(counted, PEOPLE, "{}", sent.outcome);
    // It panics if a token was delivered to twice.
    let delivered = office.delivered().len() as u64;
    assert!(delivered >= sent.count("accepted"), "{delivered}");
    assert!(delivered <= sent.count("accepted") + sent.count("in_doubt"));
}

#[test]
fn the_rate_of_a_resume_reaches_the_processes_that_joined_before_and_those_that_join_later() {
    let database = source();
    let office = office(&database);
    let mut first = office.start(&["--share", "--rate", "20"]);
    office.wait_for(1);
    let before = office.spawn(&["send", "--join", "last", "--json"]);
    let has_joined = |count: usize| {
        until(|| {
            office.in_store(async |store| {
                let runs = store
                    .runs(&pushctl::state::RunFilter::default())
                    .await
                    .unwrap();
                store.senders_of(&runs[0].id).await.unwrap().len() == count
            })
        });
    };
    has_joined(2);
    first.kill().expect("it is ours");
    first.wait().expect("it ends");
    let resumed = office.spawn(&["resume", "last", "--rate", "150", "--json"]);
    until(|| {
        let shown = office.run(&["runs", "show", "last", "--json"]);
        shown.json()["status"] == "open" && office.delivered().len() > 150
    });
    let later = office.spawn(&["send", "--join", "last", "--json"]);
    let sent = office.sent(office.ended(resumed));
    let messages = [before, later].map(|child| office.ended(child).json()["messages"].as_u64());
    // At a part of the first rate, 10 a second, each would send fewer than 100 until the others are done.
    assert!(
        messages.iter().all(|count| count.unwrap_or_default() > 100),
        "{messages:?}, {}",
        sent.summary
    );
}

#[test]
fn a_send_that_is_not_shared_cannot_be_joined() {
    let database = source();
    let office = office(&database);
    let first = office.start(&["--rate", "200"]);
    until(|| !office.delivered().is_empty());
    let refused = office.run(&["send", "--join", "last"]);
    assert_eq!(refused.status, 2, "{refused}");
    refused.says("--share");
    office.ended(first);
    let over = office.run(&["send", "--join", "nothing-of-the-kind"]);
    assert_eq!(over.status, 2, "{over}");
}
