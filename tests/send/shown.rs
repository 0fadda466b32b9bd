//! Shown counts: the numbers of the progress bar, the text and the summary agree.

use std::fmt::Write as _;

use serde_json::Value;

use super::{BOTH, Kept, Office, id, order, people};
use crate::cadence::history;
use crate::support::cadence::Service;
use crate::support::cli::Outcome;
use crate::support::fcm::script::{Reply, Script};
use crate::support::postgres::{Database, Postgres};
use crate::support::programs::signal;

/// Rows of a file that is no multiple of any block or group.
const ROWS: u64 = 4_813;

/// The line at the end of a stage, behind its name.
fn stage(outcome: &Outcome, name: &str) -> String {
    let lines = outcome.stderr.lines();
    let said = lines.filter_map(|line| Some(line.split_once(&format!("INFO  {name}: "))?.1));
    let said: Vec<&str> = said.collect();
    assert_eq!(said.len(), 1, "{name} in {outcome}");
    said[0].to_owned()
}

/// The count of a line like `1,234 of 4,813 rows, …`.
fn done(line: &str, total: &str) -> u64 {
    let (count, rest) = line.split_once(" of ").expect("a total");
    assert!(rest.starts_with(total), "{line}");
    count.replace(',', "").parse().expect("a count")
}

#[test]
fn an_offline_dry_run_checks_a_file_to_its_last_row() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..ROWS));
    let sent = office.send(&["--layer", "3", "--dry-run", "--offline"]);
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    let checked = stage(&sent.outcome, "checking");
    assert!(checked.starts_with("4,813 rows, "), "{checked}");
    assert_eq!(done(&stage(&sent.outcome, "counting"), "4,813 rows"), ROWS);
    assert_eq!(sent.count("not_attempted"), ROWS);
    assert_eq!(sent.summary["is_upper_bound"], true);
    assert_eq!(sent.summary["cadence"], "not asked");
    let mut text = order(&["--layer", "3", "--dry-run", "--offline"]);
    text.retain(|argument| *argument != "--json");
    let outcome = office.run(&text);
    for part in [
        "4,813 rows, dry run: nothing was sent\n",
        "up to 4,813  would be sent\n",
        "note: --offline: neither the source nor the notification history was asked",
        "cadence: not asked",
    ] {
        assert!(outcome.stdout.contains(part), "{part:?} in {outcome}");
    }
    // No store was made, and nothing was asked of it.
    assert!(!office.sandbox.home().join("state.db").exists());
    // One row is one row.
    office.audience(&people(0..1));
    let outcome = office.run(&text);
    assert!(outcome.stdout.starts_with("1 row, dry run"), "{outcome}");
    assert!(
        stage(&outcome, "checking").starts_with("1 row, "),
        "{outcome}"
    );
}

#[test]
fn after_a_signal_only_finished_rows_count_as_sent() {
    for (kept, name) in [(Kept::Sqlite, "TERM"), (Kept::Postgres, "INT")] {
        let office = Office::keeping(kept, Script::default());
        office.audience(&people(0..ROWS));
        let sending = office.start(&["--rate", "800"]);
        office.wait_for(700);
        signal(name, sending.id());
        let stopped = office.sent(office.ended(sending));
        let accepted = office.delivered().len() as u64;
        assert!(accepted < ROWS, "it was over before the signal");
        assert_eq!(stopped.count("accepted"), accepted);
        assert_eq!(stopped.count("messages"), accepted);
        assert_eq!(stopped.count("not_attempted"), ROWS - accepted);
        let sent = done(&stage(&stopped.outcome, "sending"), "4,813 rows");
        assert_eq!(sent, accepted, "{}", stopped.outcome);
        let told = "stopping after the messages in flight; press Ctrl-C again to stop immediately";
        assert!(stopped.outcome.stderr.contains(told), "{}", stopped.outcome);
        let rest = office.resume(stopped.run(), &["--rate", "100000"]);
        assert_eq!(rest.count("messages"), ROWS - accepted);
        let sent = done(&stage(&rest.outcome, "sending"), "4,813 rows");
        assert_eq!(sent, ROWS, "{}", rest.outcome);
    }
}

#[test]
fn after_a_cancel_only_finished_rows_count_as_sent() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..ROWS));
    let sending = office.start(&["--rate", "500"]);
    office.wait_for(300);
    assert_eq!(office.run(&["cancel", "--all"]).status, 0);
    let sent = office.sent(office.ended(sending));
    assert_eq!(sent.status(), 20, "{}", sent.outcome);
    let line = stage(&sent.outcome, "sending");
    assert_eq!(done(&line, "4,813 rows"), sent.count("accepted"), "{line}");
    assert_eq!(sent.count("accepted") + sent.count("cancelled"), ROWS);
}

#[test]
fn a_rate_is_that_of_the_answers_and_is_only_shown_where_it_means_something() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..110));
    let sent = office.send(&["--rate", "100000"]);
    if sent.summary["seconds"].as_f64() < Some(1.0) {
        assert_eq!(sent.summary["messages_per_second"], 0.0);
    }
    let line = stage(&sent.outcome, "sending");
    assert!(line.starts_with("110 of 110 rows, 0."), "{line}");
    assert!(!line.contains("/s"), "{line}");
    let run = |arguments: &[&str]| {
        let mut text = order(arguments);
        text.retain(|argument| *argument != "--json");
        office.run(&text)
    };
    let outcome = run(&["--rate", "100000", "--body", "fast"]);
    assert!(
        outcome.stdout.contains(" s, cadence: embedded\n"),
        "{outcome}"
    );
    assert!(!outcome.stdout.contains("messages a second"), "{outcome}");
    // Three seconds' worth: of those that wait their turn the last answer comes at the end.
    office.audience(&people(0..300));
    let sent = office.send(&["--rate", "100", "--body", "slow"]);
    let rate = sent.summary["messages_per_second"].as_f64().unwrap();
    // A busy machine is slower.
    assert!(rate > 1.0 && rate <= 115.0, "{rate}");
    let outcome = run(&["--rate", "100", "--body", "slower"]);
    let (_, rest) = outcome.stdout.split_once(" s, ").expect("a time");
    let (rate, _) = rest
        .split_once(" messages a second, cadence")
        .expect("a rate");
    assert!(
        (1..=115).contains(&rate.parse::<u32>().unwrap()),
        "{outcome}"
    );
}

#[test]
fn messages_in_doubt_do_not_count_as_failed() {
    let office = Office::playing(Script::default().always("*", Reply::AcceptThenReset));
    office.audience(&people(0..110));
    let sent = office.send(&["--max-failure-rate", "0.5"]);
    let lost = sent.count("in_doubt");
    assert!(lost >= 55, "{}", sent.outcome);
    assert_eq!((sent.count("failed"), sent.count("accepted")), (0, 0));
    assert_eq!(
        (sent.count("messages"), sent.count("not_attempted")),
        (lost, 110 - lost)
    );
    let reason = sent.summary["reason"].as_str().unwrap();
    assert!(
        reason.contains("55 of the first 55 messages failed or are in doubt"),
        "{reason}"
    );
    let line = stage(&sent.outcome, "sending");
    assert_eq!(done(&line, "110 rows"), lost, "{line}");
    assert!(line.ends_with(&format!("s, {lost} in doubt")), "{line}");
    // Nothing was answered, so there is no rate.
    assert_eq!(sent.summary["messages_per_second"], 0.0);
}

#[test]
fn the_bar_the_reason_and_the_summary_count_the_same() {
    let script = Script::default()
        .always("t-1", Reply::InvalidToken)
        .always("t-2", Reply::InvalidToken)
        .always("t-3", Reply::Unregistered)
        .always("t-4", Reply::AcceptThenReset);
    let office = Office::playing(script);
    office.audience(&people(0..1_200));
    let sent = office.send(&[]);
    let counts = ["accepted", "failed", "dead", "in_doubt"];
    assert_eq!(counts.map(|name| sent.count(name)), [1_196, 2, 1, 1]);
    let line = stage(&sent.outcome, "sending");
    assert!(line.ends_with("s, 2 failed, 1 dead, 1 in doubt"), "{line}");
    let told = "of 1,200 messages 2 failed, 1 in doubt";
    assert_eq!(sent.summary["reason"], told);
    assert!(sent.outcome.stderr.contains(told), "{}", sent.outcome);
}

#[test]
fn progress_names_what_it_connects_to_and_no_secret() {
    let source = Postgres::shared().database("places");
    let elsewhere = history();
    let mut office = Office::keeping(Kept::Postgres, Script::default());
    office.set("DATABASE_URL", source.url());
    office.set("PUSH_CADENCE_DATABASE_URL", elsewhere.url());
    office.audience(&format!("user_id\n{}\n", id(1)));
    let outcome = office.run(&order(&["--layer", "3"]));
    let port = |url: &str| {
        let place = url.rsplit_once('@').map_or(url, |(_, place)| place);
        let (_, rest) = place.rsplit_once(':').expect("a port");
        let digits = rest.chars().take_while(char::is_ascii_digit);
        digits.collect::<String>()
    };
    for (what, url) in [
        ("the source", source.url()),
        ("the notification history", elsewhere.url()),
        ("the push service", office.stand_in.base_url()),
    ] {
        let line = format!("connecting to {what} ");
        let told = outcome
            .stderr
            .lines()
            .find_map(|said| said.split_once(&line));
        let (_, told) = told.unwrap_or_else(|| panic!("{line:?} in {outcome}"));
        let (place, _) = told.split_once(": ").expect("a time");
        assert!(place.ends_with(&format!(":{}", port(&url))), "{told}");
        assert!(!place.contains('@'), "{told}");
    }
}

/// A source where the people from 0 to 19 have a device of their own, but 3 none; 4 and 5 share one.
fn devices() -> Database {
    let database = Postgres::shared().database("devices");
    for n in (0..20).filter(|n| *n != 3) {
        let (user, token) = (id(n), if n == 5 { 4 } else { n });
        database.execute(&format!(
            "INSERT INTO users (id) VALUES ('{user}');
             INSERT INTO devices (user_id, fingerprint, token, updated_at)
             VALUES ('{user}', 'f-{n}', 'd-{token}', '2026-01-01')"
        ));
    }
    database
}

/// Returns everyone of [`devices`], with a repeated recipient, one without a name, and an id that is not a UUID.
fn all_people() -> String {
    let mut text = "user_id,name\n".to_owned();
    for n in 0..20 {
        let name = if n == 6 { "" } else { "Ana" };
        let _ = writeln!(text, "{},{name}", id(n));
    }
    let _ = writeln!(text, "{},Ana\nnot-an-id,Ana", id(7));
    text
}

/// The counts in which a dry run and a live send agree.
const SUMS: [&str; 13] = [
    "rows",
    "others",
    "repeated",
    "excluded",
    "excluded_by_rule",
    "held_out",
    "without_token",
    "token_taken",
    "skipped",
    "skipped_by_reason",
    "further_devices",
    "cadence",
    "is_upper_bound",
];

fn sums(summary: &Value) -> Vec<Value> {
    SUMS.map(|name| summary[name].clone()).into()
}

/// Pushes of a layer to some people an hour ago, in a history of its own.
fn had(database: &Database, people: &[u64], layer: u32) {
    for person in people {
        database.execute(&format!(
            "INSERT INTO user_notifications (id, user_id, layer_id, sent_at)
             VALUES (gen_random_uuid(), '{}', {layer}, now() - interval '1 hour')",
            id(*person)
        ));
    }
}

/// A dry run, the live send that follows, and a dry run after it.
fn dry_and_live(office: &Office, excluded: u64, flags: &[&str]) {
    office.audience(&all_people());
    let arguments = [&["--layer", "3", "--body", "Hi [[var:name]]"], flags].concat();
    let dry = [&arguments[..], &["--dry-run"]].concat();
    let before = office.stand_in.accepted().len();
    let runs = |office: &Office| office.run(&["runs", "--json"]).json()["runs"].clone();
    let recorded = runs(office);
    let foretold = office.send(&dry);
    assert_eq!(foretold.status(), 0, "{}", foretold.outcome);
    assert_eq!(
        foretold.count("excluded"),
        excluded + 1,
        "{}",
        foretold.summary
    );
    assert_eq!(office.stand_in.accepted().len(), before, "a dry run sent");
    assert_eq!(runs(office), recorded, "a dry run was recorded");
    let sent = office.send(&arguments);
    assert_eq!(
        sums(&foretold.summary),
        sums(&sent.summary),
        "{:#}",
        sent.summary
    );
    assert_eq!(foretold.count("not_attempted"), sent.count("accepted"));
    assert_eq!(sent.count("messages"), sent.count("accepted"));
    // Again nothing would be sent, and the sums are those of what was.
    let again = office.send(&dry);
    assert_eq!(
        sums(&again.summary),
        sums(&sent.summary),
        "{:#}",
        again.summary
    );
    assert_eq!(again.count("not_attempted"), 0);
    assert_eq!(again.count("accepted"), sent.count("accepted"));
    let notes = again.summary["notes"].to_string();
    assert!(notes.contains("has begun this push"), "{notes}");
}

#[test]
fn a_dry_run_says_what_the_live_send_after_it_does_with_a_history_of_our_own() {
    for kept in BOTH {
        for flags in [&[][..], &["--all-devices"]] {
            let mut office = Office::keeping(kept, Script::default());
            office.set("DATABASE_URL", devices().url());
            let ids = [0, 1, 2].map(id).join(",");
            let first = office.send(&["--users", &ids, "--layer", "3", "--body", "first"]);
            assert_eq!(first.count("accepted"), 3, "{}", first.outcome);
            dry_and_live(&office, 3, flags);
        }
    }
}

#[test]
fn a_dry_run_says_what_the_live_send_after_it_does_with_a_history_elsewhere() {
    for kept in BOTH {
        let database = history();
        had(&database, &[0, 1, 2, 8], 3);
        let mut office = Office::keeping(kept, Script::default());
        office.set("DATABASE_URL", devices().url());
        let url = database.url_with("tls_only", "sslmode=require");
        office.set("PUSH_CADENCE_DATABASE_URL", url);
        dry_and_live(&office, 4, &[]);
    }
    let service = Service::start([(id(1), "l3Cooldown"), (id(2), "l2l3WeeklyLimit")]);
    let mut office = Office::playing(Script::default());
    office.set("DATABASE_URL", devices().url());
    office.set("CADENCE_SERVICE_URL", service.url());
    dry_and_live(&office, 2, &[]);
}

#[test]
fn a_dry_run_without_its_history_says_so_or_counts_as_the_live_send_would() {
    let mut office = Office::playing(Script::default());
    let url = format!(
        "postgres://tls_only:hunter2@127.0.0.1:{}/history?sslmode=disable",
        crate::support::programs::closed_port()
    );
    office.set("PUSH_CADENCE_DATABASE_URL", url);
    office.audience(&people(0..3));
    let arguments = ["--layer", "3", "--dry-run", "--deadline", "6s"];
    let refusing = office.start(&arguments);
    let counting = office.start(&[&arguments[..], &["--cadence-failure", "send"]].concat());
    let refused = office.ended(refusing);
    assert_eq!(refused.status, 5, "{refused}");
    for part in ["a live send would send no message", "--offline"] {
        refused.says(part);
    }
    let counted = office.sent(office.ended(counting));
    assert_eq!(counted.count("not_attempted"), 3);
    assert_eq!(counted.summary["is_upper_bound"], false);
    let offline = office.send(&[&arguments[..], &["--offline"]].concat());
    assert_eq!(offline.summary["is_upper_bound"], true);
    assert!(!office.run(&["send", "--offline"]).stderr.is_empty());
}

#[test]
fn an_error_about_a_row_names_its_line_with_any_line_ending() {
    let rows = "user_id,name,token\n1,\"two\nlines\",t-1\n\n2,b,t-2\n3,only\n";
    for ending in ["\n", "\r\n"] {
        let office = Office::playing(Script::default());
        office.audience(&rows.replace('\n', ending));
        let said = office.refused(&[], 2);
        let told = "a.csv:6: this row has 2 fields, the header has 3";
        assert!(said.contains(told), "{ending:?}: {said}");
        office.audience(&rows.replace("3,only", "3,c,t-3").replace('\n', ending));
        let outcome = office.run(&[
            "preview",
            "--audience",
            "a.csv",
            "--title",
            "T",
            "--body",
            "[[var:name]]",
            "--json",
        ]);
        let samples = outcome.json()["samples"].as_array().unwrap().clone();
        let mut lines: Vec<(u64, &str)> = samples
            .iter()
            .map(|one| {
                (
                    one["line"].as_u64().unwrap(),
                    one["user_id"].as_str().unwrap(),
                )
            })
            .collect();
        lines.sort_unstable();
        assert_eq!(lines, [(2, "1"), (5, "2"), (6, "3")], "{ending:?}");
        office.audience(&rows.replace("3,only", " ,c,t-3").replace('\n', ending));
        let said = office.refused(&[], 2);
        assert!(
            said.contains("a.csv:6: the user_id of this row is empty"),
            "{said}"
        );
    }
}

#[test]
fn devices_beyond_the_first_are_no_rows_of_the_progress() {
    let source = devices();
    for n in (0..10).filter(|n| *n != 3) {
        source.execute(&format!(
            "INSERT INTO devices (user_id, fingerprint, token, updated_at)
             VALUES ('{}', 's-{n}', 'second-{n}', '2025-01-01')",
            id(n)
        ));
    }
    let lost = Reply::AcceptThenReset;
    let mut office = Office::playing(Script::default().on("d-8", [lost]));
    office.set("DATABASE_URL", source.url());
    office.audience(&format!(
        "user_id\n{}\n",
        (0..20).map(id).collect::<Vec<_>>().join("\n")
    ));
    let sent = office.send(&["--all-devices"]);
    assert!(sent.count("further_devices") > 5, "{}", sent.summary);
    assert_eq!(done(&stage(&sent.outcome, "sending"), "20 rows"), 20);
    // What is sent again was counted already.
    let again = office.resume(sent.run(), &["--in-doubt", "retry"]);
    assert_eq!(again.count("in_doubt"), 0, "{}", again.outcome);
    let line = stage(&again.outcome, "sending");
    assert_eq!(done(&line, "20 rows"), 20, "{}", again.outcome);
}

#[test]
fn who_waits_in_a_queue_is_counted_once_entered_and_once_sent() {
    let source = devices();
    let mut office = Office::playing(Script::default());
    office.set("DATABASE_URL", source.url());
    office.audience(&all_people());
    let sent = office.send(&["--share"]);
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    let entered = stage(&sent.outcome, "entering into the queue");
    // A recipient whose token is queued already is not entered, and counts as finished.
    assert_eq!(done(&entered, "22 rows"), 22, "{}", sent.outcome);
    let line = stage(&sent.outcome, "sending");
    let shown = format!("{} rows, ", sent.count("accepted"));
    assert!(line.starts_with(&shown), "{line}");
    assert_eq!(office.delivered().len() as u64, sent.count("accepted"));
}
