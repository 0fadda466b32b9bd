//! The sums of one large run with everything in it: summary, document, outcome files, page, metrics, history and push
//! service give the same numbers, and these are what the people's circumstances make of it.

use std::collections::{BTreeMap, HashSet};

use serde_json::Value;

use super::exposition::{Exposition, parsed};
use super::office::{File, Office};
use crate::cadence::history;
use crate::page::{embedded, shown};
use crate::support::fcm::script::{Reply, Script};
use crate::support::postgres::Database;

/// As many in each of the two files.
const FANS: u32 = 50_000;

/// Half get the words of the push, half get others; one in twenty gets none.
const PUSH: &str = "\
expires = \"4h\"
[[push.variant]]
share = 60
[[push.variant]]
title = \"Hi [[var:username]]\"
share = 40
";

/// One percent of the fans each, with the outcome and the code that they get. Everyone else is accepted.
const CIRCUMSTANCES: [(&str, &str, &str); 11] = [
    ("the phone gets too much", "failed", "QUOTA_EXCEEDED"),
    ("the token is dead", "dead", "UNREGISTERED"),
    ("the token was found dead before", "skipped", "suppressed"),
    (
        "the phone belongs to the next now",
        "skipped",
        "token-moved",
    ),
    ("the next", "accepted", ""),
    ("the account is deleted", "skipped", "deleted"),
    ("no phone", "skipped", "no-token"),
    (
        "layer 3, an hour less than 72 hours ago",
        "skipped",
        "l3Cooldown",
    ),
    ("layer 3, an hour more", "accepted", ""),
    (
        "three of layer 2 within 168 hours",
        "skipped",
        "l2l3WeeklyLimit",
    ),
    ("two of them, one an hour before", "accepted", ""),
];

/// The fans of a circumstance, by name, in SQL. Fans of one file follow each other two by two.
fn fans(circumstance: usize) -> String {
    format!("username LIKE 'fan-%' AND (substr(username, 5)::int - 1) / 2 % 100 = {circumstance}")
}

fn circumstance(user: &str) -> usize {
    let number: usize = user.rsplit('-').next().unwrap().parse().unwrap();
    (number - 1) / 2 % 100
}

fn tokens(office: &Office, circumstance: usize, name: &str) {
    office.market.execute(&format!(
        "UPDATE devices SET token = '{name}-' || token
         WHERE user_id IN (SELECT id FROM users WHERE {})",
        fans(circumstance)
    ));
}

/// Records pushes of a layer to the fans of a circumstance, so many hours ago.
fn had(office: &Office, history: &Database, circumstance: usize, layer: u8, hours: &[u32]) {
    let users = format!("SELECT id::text FROM users WHERE {}", fans(circumstance));
    let users: Vec<String> = (office.market.query(&users).into_iter())
        .map(|row| format!("'{}'::uuid", row[0]))
        .collect();
    let hours: Vec<String> = hours.iter().map(u32::to_string).collect();
    history.execute(&format!(
        "INSERT INTO user_notifications (id, user_id, layer_id, sent_at)
         SELECT gen_random_uuid(), fan, {layer}, now() - hours * interval '1 hour'
         FROM unnest(ARRAY[{}]) AS fan, unnest(ARRAY[{}]) AS hours",
        users.join(","),
        hours.join(",")
    ));
}

/// The fans as they are when the run begins.
fn prepare(office: &Office, history: &Database) {
    tokens(office, 0, "throttled");
    tokens(office, 1, "dead");
    tokens(office, 2, "dead-before");
    office.market.execute(&format!(
        "INSERT INTO devices (user_id, fingerprint, token, updated_at)
             SELECT ('00000000-0000-4000-8000-' || lpad((substr(username, 5)::int + 2)::text, 12, '0'))::uuid,
                    'handed down', 'token-' || username, now() + interval '1 second'
             FROM users WHERE {};
         UPDATE users SET deleted_at = 1 WHERE {};
         DELETE FROM devices WHERE user_id IN (SELECT id FROM users WHERE {})",
        fans(3),
        fans(5),
        fans(6)
    ));
    had(office, history, 7, 3, &[71]);
    had(office, history, 8, 3, &[73]);
    had(office, history, 9, 2, &[100, 130, 167]);
    had(office, history, 10, 2, &[100, 130, 169]);
}

/// A send of the day before, which finds tokens dead. Layer 1 leaves no one out and is in no limit.
fn find_dead_tokens(office: &Office) {
    let users = office
        .market
        .query(&format!("SELECT id::text FROM users WHERE {}", fans(2)));
    let users: Vec<&str> = users.iter().map(|row| &*row[0]).collect();
    office.sandbox.write(
        "here/before.csv",
        &format!("user_id\n{}\n", users.join("\n")),
    );
    let send = [
        "send",
        "--audience",
        "before.csv",
        "--layer",
        "1",
        "--title",
        "t",
        "--body",
        "b",
    ];
    let more = [
        "--yes",
        "--json",
        "--override",
        "failures",
        "--reason",
        "all of them are dead",
    ];
    let summary = office.ends(&[send.as_slice(), &more].concat(), 0).json();
    assert_eq!(summary["dead"], users.len());
}

/// Counts by name.
type Sums = BTreeMap<String, u64>;

fn add(sums: &mut Sums, name: &str, count: u64) {
    if count > 0 {
        *sums.entry(name.to_owned()).or_default() += count;
    }
}

/// The counts of an outcome file: by outcome and code, and by variant and outcome.
struct Counted {
    outcomes: Sums,
    variants: Sums,
}

/// Counts a file, in which each fan has what the circumstance makes of them, or is in the control group.
fn counted(office: &Office, run: &str, push: u64) -> Counted {
    let path = format!("outcomes/{run}.push-{push}.outcomes.csv");
    let mut reader = csv::Reader::from_path(office.sandbox.here().join(path)).unwrap();
    let mut counted = Counted {
        outcomes: Sums::new(),
        variants: Sums::new(),
    };
    let mut seen = HashSet::new();
    for row in reader.records().map(Result::unwrap) {
        let (user, outcome, code, variant) = (&row[0], &row[1], &row[2], &row[6]);
        assert!(seen.insert(user.to_owned()), "{user} comes twice");
        if code == "holdout" {
            assert_eq!(variant, "");
        } else {
            let expected = CIRCUMSTANCES.get(circumstance(user));
            let (what, wanted, why) = expected.unwrap_or(&("", "accepted", ""));
            assert_eq!((outcome, code), (*wanted, *why), "{user}: {what}");
            add(&mut counted.variants, &format!("{variant} {outcome}"), 1);
        }
        add(&mut counted.outcomes, &format!("{outcome} {code}"), 1);
    }
    counted
}

/// The counts of a summary in the words of the outcome file.
fn of_summary(summary: &Value) -> Counted {
    let mut outcomes = Sums::new();
    let (mut by_code, mut codes) = (Sums::new(), 0);
    for (list, outcome, total) in [
        ("failed_by_code", "failed", "failed"),
        ("excluded_by_rule", "skipped", "excluded"),
        ("skipped_by_reason", "skipped", "skipped"),
    ] {
        for (code, count) in summary[list].as_object().unwrap() {
            add(
                &mut outcomes,
                &format!("{outcome} {code}"),
                count.as_u64().unwrap(),
            );
            add(&mut by_code, total, count.as_u64().unwrap());
            codes += 1;
        }
    }
    assert_eq!(codes, 6, "{summary:#}");
    for (total, sum) in by_code {
        assert_eq!(summary[&total], sum, "{total}");
    }
    for (name, outcome) in [
        ("accepted", "accepted "),
        ("dead", "dead UNREGISTERED"),
        ("held_out", "skipped holdout"),
        ("without_token", "skipped no-token"),
        ("in_doubt", "in-doubt"),
        ("under_way", "under way"),
        ("cancelled", "cancelled"),
        ("not_attempted", "not attempted"),
    ] {
        add(&mut outcomes, outcome, summary[name].as_u64().unwrap());
    }
    let mut variants = Sums::new();
    for variant in summary["variants"].as_array().unwrap() {
        let count = |name: &str| variant[name].as_u64().unwrap();
        let name = variant["name"].as_str().unwrap();
        for outcome in ["accepted", "failed", "dead"] {
            add(&mut variants, &format!("{name} {outcome}"), count(outcome));
        }
        add(
            &mut variants,
            &format!("{name} not sent"),
            count("not_sent"),
        );
        let sent = count("accepted") + count("failed") + count("dead") + count("not_sent");
        assert_eq!(count("recipients"), sent, "{variant}");
    }
    Counted { outcomes, variants }
}

/// The variants of a file with one sum for all that nothing was sent to, as summaries have them.
fn with_not_sent(variants: &Sums) -> Sums {
    let mut sums = Sums::new();
    for (name, count) in variants {
        add(&mut sums, &name.replace("skipped", "not sent"), *count);
    }
    sums
}

/// The outcomes of a push in the run's document, in the words of the outcome file.
fn of_document(push: &Value) -> Sums {
    let mut sums = Sums::new();
    for count in push["outcomes"].as_array().unwrap() {
        let code = count["code"].as_str().unwrap_or_default();
        let outcome = match count["outcome"].as_str().unwrap() {
            "no_token" | "holdout" | "excluded" => "skipped",
            outcome => outcome,
        };
        add(
            &mut sums,
            &format!("{outcome} {code}"),
            count["count"].as_u64().unwrap(),
        );
    }
    sums
}

/// The cells of a push on the page, with the number of the push.
fn on_page(page: &str, push: u64) -> Sums {
    let cells = shown(page, "data-push").into_iter();
    let cells = cells.filter_map(|(name, value)| {
        let name = name.strip_prefix(&format!("{push}."))?.to_owned();
        Some((name, value.replace(',', "").parse().unwrap()))
    });
    cells
        .filter(|(name, count)| name != "rows" && *count > 0)
        .collect()
}

/// Sums without codes, under the names of the page.
fn by_outcome(outcomes: &Sums) -> Sums {
    let mut sums = Sums::new();
    for (name, count) in outcomes {
        let outcome = match &**name {
            "skipped no-token" => "no_token",
            "skipped holdout" => "holdout",
            "skipped l3Cooldown" | "skipped l2l3WeeklyLimit" => "excluded",
            name => name.split(' ').next().unwrap(),
        };
        add(&mut sums, outcome, *count);
    }
    sums
}

/// The metrics of a push under the names of the page.
fn in_metrics(metrics: &Exposition, push: u64) -> Sums {
    let mut sums = Sums::new();
    for (label, name) in [
        ("accepted", "accepted"),
        ("failed", "failed"),
        ("dead", "dead"),
        ("in_doubt", "in_doubt"),
        ("excluded", "excluded"),
        ("without_token", "no_token"),
        ("held_out", "holdout"),
        ("skipped", "skipped"),
        ("not_attempted", "waiting"),
        ("cancelled", "cancelled"),
        ("under_way", "under_way"),
        ("repeated", "repeated"),
        ("token_taken", "token_taken"),
    ] {
        let push = push.to_string();
        let labels = [
            ("automation", "daily"),
            ("push", &*push),
            ("outcome", label),
        ];
        let value = metrics
            .value("pushctl_last_run_recipients", &labels)
            .unwrap();
        add(&mut sums, name, format!("{value}").parse().unwrap());
    }
    sums
}

/// What the push service saw of this run: each message has its expiry and the words of its variant.
fn on_the_wire(office: &Office, outcomes: [&Sums; 2]) {
    let of = |name: &str| outcomes.iter().map(|sums| sums[name]).sum::<u64>();
    let is_test = |token: &str| token == "token-tester";
    let requests = office.stand_in.requests();
    let run = requests.iter().filter(|one| {
        let title = one.message["message"]["notification"]["title"].as_str();
        title != Some("t") && !is_test(&one.token)
    });
    let (mut throttled, mut dead, mut accepted, mut second) = (0, 0, 0, 0);
    for request in run {
        let message = &request.message["message"];
        let ttl = message["android"]["ttl"].as_str().unwrap();
        let ttl: u64 = ttl.strip_suffix('s').unwrap().parse().unwrap();
        assert!((14_000..=14_400).contains(&ttl), "{ttl}");
        let kind = request.token.split('-').next().unwrap();
        match kind {
            "throttled" => throttled += 1,
            "dead" => dead += 1,
            _ => accepted += 1,
        }
        let title = message["notification"]["title"].as_str().unwrap();
        second += u64::from(kind == "token" && title.starts_with("Hi fan-"));
    }
    // Each of them four times, and once those that the send of the day before has not found dead.
    assert_eq!(throttled, 4 * of("failed QUOTA_EXCEEDED"));
    assert_eq!(dead, of("dead UNREGISTERED"));
    assert_eq!(accepted, of("accepted "));
    assert_eq!(second, of("B accepted"));
    assert_eq!(office.reached().len() as u64, of("accepted "));
}

fn recorded(history: &Database, push: u64) -> u64 {
    let audience = if push == 1 { "haves" } else { "wants" };
    let count = format!(
        "SELECT count(*)::text FROM user_notifications
         WHERE layer_id = 3 AND push_title IS NOT NULL AND audience_description LIKE '{audience}%'"
    );
    history.query(&count)[0][0].parse().unwrap()
}

#[test]
fn the_sums_of_a_large_run_are_the_same_everywhere() {
    let script = Script::default()
        .always("throttled-*", Reply::Quota { retry_after: None })
        .always("dead-*", Reply::Unregistered);
    let mut office = Office::new(FANS, script);
    let history = history();
    prepare(&office, &history);
    let address = history.url_with("tls_only", "sslmode=require");
    office.set("PUSH_CADENCE_DATABASE_URL", address);
    office.set("PUSHCTL_METRICS", "pushctl.prom");
    office.set("PUSHCTL_PUSH_BACKOFF", "100ms");
    find_dead_tokens(&office);
    office.file(&File {
        safeguards: "holdout_percent = 5".to_owned(),
        push: PUSH,
        ..File::default()
    });
    let dry = office.ends(
        &["run-pipeline", "daily", "--mode", "real-dry-run", "--json"],
        0,
    );
    let outcome = office.tick(3);
    let run = office.runs()[0].id.clone();
    let document = office.ends(&["runs", "show", &run, "--json"], 0).json();
    office.ends(&["runs", "show", &run, "--html", "run.html"], 0);
    let read = |name: &str| std::fs::read_to_string(office.sandbox.here().join(name)).unwrap();
    let (page, metrics) = (read("run.html"), parsed(&read("pushctl.prom")));
    assert_eq!(embedded(&page), document);
    let both = [1, 2].map(|push| {
        let place = usize::try_from(push).unwrap() - 1;
        let file = counted(&office, &run, push);
        assert_eq!(file.outcomes.values().sum::<u64>(), u64::from(FANS) / 2);
        let summary = of_summary(&outcome.json()["pushes"][place]);
        assert_eq!(summary.outcomes, file.outcomes);
        assert_eq!(summary.variants, with_not_sent(&file.variants));
        assert_eq!(of_document(&document["pushes"][place]), file.outcomes);
        let sums = by_outcome(&file.outcomes);
        assert_eq!(on_page(&page, push), sums);
        assert_eq!(in_metrics(&metrics, push), sums);
        assert_eq!(recorded(&history, push), sums["accepted"]);
        let dry = &dry.json()["pushes"][place];
        assert_eq!(
            dry["skipped_by_reason"],
            outcome.json()["pushes"][place]["skipped_by_reason"]
        );
        assert_eq!(dry["excluded"], sums["excluded"]);
        file.outcomes
            .into_iter()
            .chain(file.variants)
            .collect::<Sums>()
    });
    on_the_wire(&office, [&both[0], &both[1]]);
}
