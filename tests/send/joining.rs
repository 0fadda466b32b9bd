//! Joining a shared send at any moment: also while recipients are still being entered.
//!
//! Every person has a token except each [`WITHOUT`]th, so a recipient who has a token and counts as tokenless is
//! noticed.

use std::collections::BTreeMap;
use std::process::Child;
use std::thread::sleep;
use std::time::Duration;

use pushctl::state::RunFilter;
use pushctl::state::ledger::Standing;

use super::{BOTH, Kept, Office, Sent, id, until};
use crate::support::campaign::{Campaign, Random};
use crate::support::fcm::script::{Reply, Script};
use crate::support::postgres::{Database, Postgres};

/// Each person whose number is a multiple of this has no device.
const WITHOUT: u64 = 97;

fn source(people: u64) -> Database {
    let database = Postgres::shared().database("joining");
    database.execute(&format!(
        "INSERT INTO users (id) SELECT ('a0eebc99-9c0b-4ef8-bb6d-' || lpad(to_hex(n), 12, '0'))::uuid
         FROM generate_series(0, {people} - 1) AS n;
         INSERT INTO devices (user_id, fingerprint, token, updated_at)
         SELECT ('a0eebc99-9c0b-4ef8-bb6d-' || lpad(to_hex(n), 12, '0'))::uuid, 'f', 'own-' || n, '2026-01-01'
         FROM generate_series(0, {people} - 1) AS n WHERE n % {WITHOUT} <> {WITHOUT} - 1"
    ));
    database
}

fn with_a_token(people: u64) -> u64 {
    people - people / WITHOUT
}

fn office(kept: Kept, database: &Database, people: u64) -> Office {
    let mut office = Office::keeping(kept, Script::default());
    office.set("DATABASE_URL", database.url());
    let ids: Vec<String> = (0..people).map(id).collect();
    office.audience(&format!("user_id\n{}\n", ids.join("\n")));
    office
}

/// Waits until the run is recorded.
fn begun(office: &Office) -> String {
    let mut run = None;
    until(|| {
        run = office.in_store(async |store| {
            let runs = store.runs(&RunFilter::default()).await.unwrap();
            runs.first().map(|run| run.id.clone())
        });
        run.is_some()
    });
    run.unwrap()
}

/// How many people are in the ledger for the push.
fn entered(office: &Office) -> u64 {
    office.in_store(async |store| {
        let runs = store.runs(&RunFilter::default()).await.unwrap();
        let Some(run) = runs.first() else { return 0 };
        let pushes = store
            .pushes(&run.automation, &run.occurrence)
            .await
            .unwrap();
        let Some(push) = pushes.first() else { return 0 };
        let tally = store.tally(push).await.unwrap();
        tally.iter().map(|row| row.count).sum()
    })
}

fn join(office: &Office) -> Child {
    office.spawn(&["send", "--join", "last", "--json"])
}

/// Checks that exactly the recipients without a token count as such, that none is sent to twice, and the sums.
fn check(office: &Office, people: u64, sent: &Sent) {
    let counts = [
        "rows",
        "accepted",
        "without_token",
        "not_attempted",
        "under_way",
        "others",
    ];
    assert_eq!(
        counts.map(|name| sent.count(name)),
        [people, with_a_token(people), people / WITHOUT, 0, 0, 0],
        "{}",
        sent.summary
    );
    assert_eq!(office.delivered().len() as u64, with_a_token(people));
}

/// One shared send, and those that join it after these waits from the moment it is recorded.
fn round(
    kept: Kept,
    database: &Database,
    people: u64,
    rate: &str,
    waits: &[Duration],
) -> (Vec<u64>, u64) {
    let office = office(kept, database, people);
    let first = office.start(&["--share", "--rate", rate]);
    begun(&office);
    let mut joined = Vec::new();
    let mut waited = Duration::ZERO;
    for wait in waits {
        sleep(wait.saturating_sub(waited));
        waited = *wait;
        joined.push((join(&office), entered(&office)));
    }
    let sent = office.sent(office.ended(first));
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    check(&office, people, &sent);
    let mut of_others = 0;
    let mut seen = Vec::new();
    for (child, there) in joined {
        let outcome = office.ended(child);
        // Joining after the end is an error.
        if outcome.status == 6 {
            continue;
        }
        let joined = office.sent(outcome);
        assert_eq!(joined.status(), 0, "{}", joined.outcome);
        assert_eq!(
            joined.count("without_token"),
            people / WITHOUT,
            "{}",
            joined.summary
        );
        of_others += joined.count("messages");
        seen.push(there);
    }
    assert_eq!(of_others + sent.count("messages"), with_a_token(people));
    (seen, of_others)
}

#[test]
fn joining_while_recipients_are_entered_counts_none_with_a_token_as_tokenless() {
    const PEOPLE: u64 = 9_000;
    let database = source(PEOPLE);
    for kept in BOTH {
        let waits = [0, 150, 600].map(Duration::from_millis);
        let (seen, of_others) = round(kept, &database, PEOPLE, "3000", &waits);
        assert!(
            seen.iter().any(|there| *there < PEOPLE),
            "no process joined in the middle: {seen:?}"
        );
        assert!(of_others > 0, "those who joined sent nothing");
    }
}

#[test]
fn campaign_joining_at_every_instant_counts_none_with_a_token_as_tokenless() {
    let campaign = Campaign::start("joiners", 2, 60);
    let full = campaign.rounds() > 2;
    let people = if full { 60_000 } else { 6_000 };
    let longest = if full { 12.0 } else { 1.5 };
    let mut random = campaign.random();
    let database = source(people);
    for number in 0..campaign.rounds() {
        let kept = BOTH[number as usize % 2];
        let mut waits: Vec<Duration> = (0..3)
            .map(|_| Duration::from_secs_f64(random.fraction() * longest))
            .collect();
        waits.sort_unstable();
        let (seen, of_others) = round(kept, &database, people, "20000", &waits);
        campaign.report(&format!(
            "{kept:?}: joined after {waits:?} with {seen:?} of {people} entered; they sent {of_others}"
        ));
    }
}

#[test]
fn campaign_killed_sharing_processes_lose_no_recipient_and_send_no_push_twice() {
    let campaign = Campaign::start("killed sharers", 2, 60);
    let full = campaign.rounds() > 2;
    let people = if full { 20_000 } else { 9_000 };
    let mut random = campaign.random();
    let database = source(people);
    for number in 0..campaign.rounds() {
        let kept = BOTH[number as usize % 2];
        let office = office(kept, &database, people);
        let seen = killed_while_entering(&office, people, &mut random);
        campaign.report(&format!("{kept:?}: {seen}"));
    }
}

fn killed_while_entering(office: &Office, people: u64, random: &mut Random) -> String {
    let mut first = office.start(&["--share", "--rate", "20000"]);
    let run = begun(office);
    let joined = [join(office), join(office)];
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a few thousand"
    )]
    let some = (random.fraction() * 0.8 * people as f64) as u64;
    let mut there = 0;
    until(|| {
        there = entered(office);
        there > some
    });
    first.kill().expect("it is ours");
    first.wait().expect("it ends");
    for child in joined {
        let outcome = office.sent(office.ended(child));
        assert_eq!(outcome.count("in_doubt"), 0, "{}", outcome.outcome);
        assert_eq!(outcome.status(), 0, "{}", outcome.outcome);
    }
    let sent = office.resume(&run, &[]);
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    check(office, people, &sent);
    format!("killed with {there} of {people} entered")
}

/// What became of people, by number.
fn outcomes_of(sent: &Sent, people: impl IntoIterator<Item = u64>) -> Vec<(String, String)> {
    let all: BTreeMap<&str, (&str, &str)> = sent
        .outcomes()
        .into_iter()
        .map(|(user, outcome, code)| (user, (outcome, code)))
        .collect();
    let of = |n| {
        let (outcome, code) = all[&*id(n)];
        (outcome.to_owned(), code.to_owned())
    };
    people.into_iter().map(of).collect()
}

/// Enters all recipients, and is killed after the first messages.
fn entered_and_killed(office: &Office, people: u64) -> String {
    let mut first = office.start(&["--share", "--rate", "40"]);
    let run = begun(office);
    until(|| entered(office) == people && !office.delivered().is_empty());
    first.kill().expect("it is ours");
    first.wait().expect("it ends");
    run
}

#[test]
fn what_changes_while_people_wait_in_the_queue_is_seen_before_they_are_sent_to() {
    const PEOPLE: u64 = 190;
    for kept in BOTH {
        let database = source(PEOPLE);
        let office = office(kept, &database, PEOPLE);
        let run = entered_and_killed(&office, PEOPLE);
        // The process with the file begins at the other end, and has not come so far.
        let (deleted, rotated, gone) = (id(180), id(181), id(183));
        database.execute(&format!(
            "UPDATE users SET deleted_at = 1 WHERE id = '{deleted}';
             UPDATE devices SET token = 'new-181' WHERE user_id = '{rotated}';
             INSERT INTO devices (user_id, fingerprint, token, updated_at)
             VALUES ('{}', 'g', 'own-182', '2026-02-01');
             UPDATE devices SET token = NULL WHERE user_id = '{gone}'",
            id(184)
        ));
        let joined = office.sent(office.ended(join(&office)));
        assert_eq!(
            joined.status(),
            if joined.count("in_doubt") > 0 { 3 } else { 0 },
            "{}",
            joined.outcome
        );
        // Only of a deleted account can one that joined be certain; the others are left to the process with the file.
        assert_eq!(joined.count("without_token"), 1, "{}", joined.summary);
        assert_eq!(joined.summary["skipped_by_reason"]["deleted"], 1);
        let notes = joined.summary["notes"].to_string();
        assert!(
            notes.contains("3 recipients still wait in the queue"),
            "{notes}"
        );
        let waiting = office.in_store(async |store| {
            let run = store.run(&run).await.unwrap().unwrap();
            let pushes = store
                .pushes(&run.automation, &run.occurrence)
                .await
                .unwrap();
            let tally = store.tally(&pushes[0]).await.unwrap();
            let queued = tally.iter().filter(|row| row.standing == Standing::Queued);
            queued.map(|row| row.count).sum::<u64>()
        });
        assert_eq!(waiting, 3);
        let sent = office.resume(&run, &[]);
        let expected = [
            ("skipped", "deleted"),
            ("accepted", ""),
            ("skipped", "token-moved"),
            ("skipped", "no-token"),
            ("accepted", ""),
        ]
        .map(|(outcome, code)| (outcome.to_owned(), code.to_owned()));
        assert_eq!(outcomes_of(&sent, 180..185), expected);
        let delivered = office.delivered();
        assert!(delivered.contains(&"new-181".to_owned()));
        assert!(!delivered.contains(&"own-181".to_owned()));
        assert_eq!(sent.count("accepted") + sent.count("in_doubt"), PEOPLE - 4);
    }
}

#[test]
fn tokens_that_stand_only_in_the_file_are_left_to_the_process_that_has_it() {
    const PEOPLE: u64 = 300;
    for kept in BOTH {
        let database = source(PEOPLE);
        let slow = Reply::Slow {
            ms: 20,
            then: Box::new(Reply::Accept),
        };
        let mut office = Office::keeping(kept, Script::default().always("*", slow));
        office.set("DATABASE_URL", database.url());
        // Of every third person the file knows another token than the source does.
        let rows = (0..PEOPLE).map(|n| {
            let token = if n % 3 == 0 {
                format!("file-{n}")
            } else {
                format!("own-{n}")
            };
            format!("{},{token}\n", id(n))
        });
        office.audience(&format!("user_id,token\n{}", rows.collect::<String>()));
        let first = office.start(&["--share", "--rate", "100"]);
        begun(&office);
        let joined = join(&office);
        let sent = office.sent(office.ended(first));
        assert_eq!(
            (
                sent.status(),
                sent.count("accepted"),
                sent.count("without_token")
            ),
            (0, PEOPLE, 0),
            "{}",
            sent.outcome
        );
        let joined = office.sent(office.ended(joined));
        assert_eq!(joined.status(), 0, "{}", joined.outcome);
        let delivered = office.delivered();
        assert_eq!(delivered.len() as u64, PEOPLE);
        let from_file = delivered.iter().filter(|token| token.starts_with("file-"));
        assert_eq!(from_file.count() as u64, PEOPLE / 3);
    }
}

#[test]
fn a_file_with_tokens_is_shared_without_a_source_and_joined_with_one() {
    let script = Script::default().always(
        "*",
        Reply::Slow {
            ms: 20,
            then: Box::new(Reply::Accept),
        },
    );
    let office = Office::playing(script);
    office.audience(&super::people(0..60));
    let first = office.start(&["--share", "--rate", "30"]);
    begun(&office);
    let refused = office.ended(join(&office));
    assert_eq!(refused.status, 2, "{refused}");
    refused.says("no database is configured");
    let sent = office.sent(office.ended(first));
    sent.accepted(0, 60);
    let notes = sent.summary["notes"].to_string();
    assert!(
        notes.contains("accounts and tokens were not checked"),
        "{notes}"
    );
}
