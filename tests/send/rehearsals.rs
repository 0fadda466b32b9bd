//! A dry run counts what the live send after it does: the same sums over random accounts, devices, earlier pushes and
//! files.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{BOTH, Office, Sent, id};
use crate::support::campaign::{Campaign, Random};
use crate::support::fcm::script::{Reply, Script};
use crate::support::postgres::{Database, Postgres};

const USERS: u64 = 60;

/// Accounts of which some are deleted, with no, one or several devices; some tokens are registered to two accounts.
fn market(random: &mut Random) -> Database {
    let database = Postgres::shared().database("rehearsals");
    let mut sql = String::new();
    for n in 0..USERS {
        let deleted = u8::from(random.one_in(12));
        let _ = writeln!(
            sql,
            "INSERT INTO users (id, deleted_at) VALUES ('{}', {deleted});",
            id(n)
        );
        for device in 0..random.below(4) {
            let token = match random.below(8) {
                0 => format!("t-{}", random.below(USERS)),
                1 => format!("dead-{n}-{device}"),
                _ => format!("t-{n}-{device}"),
            };
            let _ = writeln!(
                sql,
                "INSERT INTO devices (user_id, fingerprint, token, updated_at)
                 VALUES ('{}', 'f{n}-{device}', '{token}', now() - interval '{} minutes');",
                id(n),
                1 + random.below(10_000)
            );
        }
    }
    database.execute(&sql);
    database
}

fn one_of<'t>(random: &mut Random, texts: &[&'t str]) -> &'t str {
    let place = random.below(texts.len() as u64);
    texts[usize::try_from(place).unwrap()]
}

/// A file with repeated rows, unknown people, empty and null-like names and, in some files, tokens.
fn audience(random: &mut Random) -> String {
    let has_tokens = random.one_in(3);
    let mut text = format!("user_id,name{}\n", if has_tokens { ",token" } else { "" });
    for _ in 0..=random.below(2 * USERS) {
        let name = one_of(random, &["Ana", "Bo", "", "null", "Zoë \"\"Z\"\""]);
        let user = id(random.below(USERS + 3));
        let _ = write!(text, "{user},\"{name}\"");
        if has_tokens {
            let token = match random.below(3) {
                0 => String::new(),
                1 => format!("dead-file-{}", random.below(20)),
                _ => format!("file-{}", random.below(USERS)),
            };
            let _ = write!(text, ",{token}");
        }
        text.push('\n');
    }
    text
}

/// The sums that both have. What a dry run would send ends in one of five ways.
fn sums(sent: &Sent) -> Value {
    let mut sums = Map::new();
    for name in [
        "rows",
        "repeated",
        "excluded",
        "excluded_by_rule",
        "held_out",
        "without_token",
        "token_taken",
        "skipped",
        "skipped_by_reason",
        "further_devices",
        "others",
    ] {
        sums.insert(name.to_owned(), sent.summary[name].clone());
    }
    let messages: u64 = ["not_attempted", "accepted", "failed", "dead", "in_doubt"]
        .map(|name| sent.count(name))
        .iter()
        .sum();
    sums.insert("messages".to_owned(), json!(messages));
    Value::Object(sums)
}

/// Sends twice, each time after a dry run: the second finds the pushes and the dead tokens of the first.
fn round(office: &mut Office, random: &mut Random) -> u64 {
    office.set("DATABASE_URL", market(random).url());
    let mut compared = 0;
    for occurrence in 0..2 {
        office.audience(&audience(random));
        let name = format!("{}-{occurrence}", random.next());
        let layer = one_of(random, &["1", "2", "3", "5"]);
        let mut arguments = vec![
            "--occurrence",
            &name,
            "--layer",
            layer,
            "--title",
            "Hello [[var:name]]",
            "--max-failure-rate",
            "1",
        ];
        if random.one_in(2) {
            arguments.push("--all-devices");
        }
        if random.one_in(3) {
            arguments.extend(["--null-like", "send"]);
        }
        let dry = office.send(&[&arguments[..], &["--dry-run"]].concat());
        let live = office.send(&arguments);
        assert_eq!(sums(&dry), sums(&live), "{}\n{}", dry.outcome, live.outcome);
        // Now every recipient has had it, and a dry run of the same says that.
        let again = office.send(&[&arguments[..], &["--dry-run"]].concat());
        assert_eq!(again.count("not_attempted"), 0, "{}", again.outcome);
        assert_eq!(sums(&again), sums(&live), "{}", again.outcome);
        compared += live.count("rows");
    }
    compared
}

#[test]
fn campaign_a_dry_run_has_the_sums_of_the_live_send_after_it() {
    let campaign = Campaign::start("dry runs", 6, 150);
    let mut random = campaign.random();
    for kept in BOTH {
        let dead = (0..USERS).fold(Script::default(), |script, n| {
            (0..4).fold(
                script.always(&format!("dead-file-{n}"), Reply::Unregistered),
                |script, device| script.always(&format!("dead-{n}-{device}"), Reply::Unregistered),
            )
        });
        let mut office = Office::keeping(kept, dead);
        let mut rows = 0;
        for _ in 0..campaign.rounds() / 2 {
            rows += round(&mut office, &mut random);
        }
        campaign.report(&format!("{kept:?}: {rows} rows, the same sums"));
    }
}
