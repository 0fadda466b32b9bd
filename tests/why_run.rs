//! `why --run`: what one recipient got in a run, or why nothing, from the records of the run.

use std::fmt::Write as _;

use pushctl::progress::Silent;
use pushctl::state::Pruning;
use serde_json::{Value, json};

use crate::cadence::history;
use crate::pipeline::office::{File, Office as Pipelines};
use crate::pipeline::stage::TESTER;
use crate::send::{BOTH, Office, Sent, id};
use crate::support::cli::Sandbox;
use crate::support::fcm::script::{Reply, Script};

/// Persons 0 to 5: accepted, dead, failed, in doubt, without a token, without a name; 0 is there twice.
fn office(kept: crate::send::Kept) -> Office {
    let script = Script::default()
        .always("t-1", Reply::Unregistered)
        .always("t-2", Reply::InvalidToken)
        .always("t-3", Reply::AcceptThenReset);
    let office = Office::keeping(kept, script);
    let mut rows = "user_id,name,token\n".to_owned();
    for (n, name, token) in [
        (0, "Ana", "t-0"),
        (1, "Ana", "t-1"),
        (2, "Ana", "t-2"),
        (3, "Ana", "t-3"),
        (4, "Ana", ""),
        (5, "", "t-5"),
        (0, "Ana", "t-0"),
    ] {
        let _ = writeln!(rows, "{},{name},{token}", id(n));
    }
    office.audience(&rows);
    office
}

fn sent(office: &Office) -> Sent {
    office.send(&["--layer", "4", "--body", "Hi [[var:name]]"])
}

/// Returns the answer about a person, as a document, after checking that the text says the same.
fn why(office: &Office, run: &str, user: &str) -> Value {
    let asked = ["why", "--run", run, "--user", user];
    let document = office.run(&[&asked[..], &["--json"]].concat());
    assert_eq!(document.status, 0, "{document}");
    let document = document.json();
    let text = office.run(&asked);
    assert_eq!(text.status, 0, "{text}");
    for push in document["pushes"].as_array().unwrap() {
        assert!(
            text.stdout.contains(push["because"].as_str().unwrap()),
            "{text}\n{document}"
        );
    }
    document
}

/// Returns result, code and reason of the only push.
fn answer(document: &Value) -> (&str, &str, &str) {
    let pushes = document["pushes"].as_array().unwrap();
    assert_eq!(pushes.len(), 1, "{document}");
    let text = |key: &str| pushes[0][key].as_str().unwrap_or_default();
    (text("result"), text("code"), text("because"))
}

#[test]
fn every_outcome_of_a_send_is_explained_from_both_stores() {
    for kept in BOTH {
        let office = office(kept);
        let sent = sent(&office);
        let run = sent.run();
        for (n, result, code, because) in [
            (0, "accepted", "", "the push service accepted the message"),
            (
                1,
                "dead",
                "UNREGISTERED",
                "the token is no longer registered: UNREGISTERED",
            ),
            (
                2,
                "failed",
                "INVALID_ARGUMENT",
                "the push service did not take the message: INVALID_ARGUMENT",
            ),
            (
                4,
                "no_token",
                "no-token",
                "the source had no token for this user",
            ),
            (
                5,
                "skipped",
                "empty:name",
                "the variable name was empty in this row",
            ),
            (9, "not_in_audience", "", "not in a.csv"),
        ] {
            let document = why(&office, run, &id(n));
            let found = answer(&document);
            assert_eq!(
                (found.0, found.1),
                (result, code),
                "{kept:?} {n}: {document}"
            );
            assert!(
                found.2.starts_with("not in ") || found.2 == because,
                "{document}"
            );
        }
        let document = why(&office, "last", &id(3));
        assert_eq!(answer(&document).0, "in_doubt", "{document}");
        // The id in capitals, and all of the only device.
        let document = why(&office, run, &id(0).to_uppercase());
        let push = &document["pushes"][0];
        assert_eq!(
            (&push["rows"], &push["devices"][0]["attempts"]),
            (&json!(2), &json!(1))
        );
        let device = &push["devices"][0];
        assert!(
            device["message_name"]
                .as_str()
                .unwrap()
                .starts_with("projects/"),
            "{device}"
        );
        assert_eq!(device["token_hash"].as_str().unwrap().len(), 32);
        assert!(!document.to_string().contains("t-0"), "{document}");
        let text = office.run(&["why", "--run", run, "--user", &id(0)]);
        let said = "in 2 rows of the file: only the first counts";
        assert!(text.stdout.contains(said), "{text}");
    }
}

#[test]
fn the_answer_is_the_same_without_the_file_and_comes_from_the_outcomes_once_the_ledger_is_pruned() {
    for kept in BOTH {
        let office = office(kept);
        let sent = sent(&office);
        let run = sent.run();
        std::fs::remove_file(office.sandbox.here().join("a.csv")).unwrap();
        assert_eq!(answer(&why(&office, run, &id(0))).0, "accepted");
        let absent = why(&office, run, &id(9));
        let none = "the run has a record of each recipient of its audience, and none of this one";
        assert_eq!(answer(&absent), ("not_in_audience", "", none));
        // The push was opened before that, and the run ended after it.
        let before = sent.summary["began_at"].as_str().unwrap().parse().unwrap();
        let pruning = Pruning {
            progress: &Silent,
            should_stop: &|| false,
        };
        let pruned = office.in_store(async |store| store.prune(before, &pruning).await.unwrap());
        assert_eq!((pruned.runs, pruned.pushes), (0, 1));
        for (n, result) in [
            (0, "accepted"),
            (1, "dead"),
            (3, "in_doubt"),
            (4, "no_token"),
            (9, "not_in_audience"),
        ] {
            let document = why(&office, run, &id(n));
            assert_eq!(answer(&document).0, result, "{document}");
            let said = document["pushes"][0]["note"].as_str().unwrap();
            assert!(
                said.contains("the state store's records of this push are deleted"),
                "{said}"
            );
        }
        assert_eq!(why(&office, run, &id(0))["pushes"][0]["rows"], 2);
        std::fs::remove_dir_all(office.sandbox.here().join("outcomes")).unwrap();
        let document = why(&office, run, &id(0));
        assert_eq!(answer(&document).0, "unknown", "{document}");
    }
}

#[test]
fn an_exclusion_has_the_numbers_of_its_rule_at_that_time() {
    for kept in BOTH {
        let office = Office::keeping(kept, Script::default());
        office.audience(&crate::send::people(0..2));
        office
            .send(&["--layer", "3", "--title", "First"])
            .accepted(0, 2);
        let second = office.send(&["--layer", "3", "--title", "Second"]);
        assert_eq!(second.count("excluded"), 2, "{:?}", second.outcome);
        let document = why(&office, second.run(), &id(1));
        let (result, code, because) = answer(&document);
        assert_eq!((result, code), ("excluded", "l3Cooldown"));
        let numbers =
            "layer_3_cooldown_hours: layer 3: 1 push in the last 72 h, limit 1 (layer 3 at ";
        assert!(because.starts_with(numbers), "{because}");
        let rule = &document["pushes"][0]["rule"];
        assert_eq!((&rule["hours"], &rule["at_most"]), (&json!(72), &json!(1)));
        assert_eq!(rule["counted"][0]["layer"], 3);
        assert_eq!(second.summary["cadence_rules"][0]["key"], "l3Cooldown");
    }
}

#[test]
fn the_rules_of_a_history_elsewhere_are_shown_as_they_were_and_it_is_not_asked() {
    let mut office = Office::playing(Script::default());
    let database = history();
    let url = database.url_with("tls_only", "sslmode=require");
    office.set("PUSH_CADENCE_DATABASE_URL", url);
    database.execute(&format!(
        "INSERT INTO user_notifications (id, user_id, layer_id, sent_at)
         VALUES (gen_random_uuid(), '{}', 3, now() - interval '5 hours')",
        id(0)
    ));
    office.audience(&crate::send::people(0..2));
    let sent = office.send(&["--layer", "3"]);
    sent.accepted(0, 1);
    let hours = sent.summary["cadence_rules"][0]["hours"].clone();
    database.execute("UPDATE cadence_rules SET value_in_hours = 1, is_active = false");
    office.set(
        "PUSH_CADENCE_DATABASE_URL",
        "postgres://nobody@127.0.0.1:1/none",
    );
    let document = why(&office, sent.run(), &id(0));
    let (result, _, because) = answer(&document);
    assert_eq!(result, "excluded");
    let numbers = format!(
        "layer_3_cooldown_hours: layer 3: 0 pushes in the last {hours} h, limit 1; the state store has no record of the others"
    );
    assert!(because.starts_with(&numbers), "{because}");
}

/// A pipeline's answer about a user.
fn of_pipeline(office: &Pipelines, user: &str) -> Value {
    let asked = ["why", "--run", "last", "--user", user, "--json"];
    office.ends(&asked, 0).json()
}

fn fan(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

fn results(document: &Value) -> Vec<(u64, bool, &str)> {
    let pushes = document["pushes"].as_array().unwrap().iter();
    let result = |push: &'_ Value| {
        (
            push["push"].as_u64().unwrap(),
            push["is_test"].as_bool().unwrap(),
        )
    };
    pushes
        .map(|push| {
            let (number, is_test) = result(push);
            (number, is_test, push["result"].as_str().unwrap())
        })
        .collect()
}

#[test]
fn each_push_of_a_pipeline_has_its_section_and_the_stages_have_the_command_that_asks_the_source() {
    let mut office = Pipelines::new(4, Script::default());
    office.file(&File::default());
    office.tick(0);
    let even = of_pipeline(&office, &fan(2));
    assert_eq!(
        results(&even),
        [(1, false, "accepted"), (2, false, "not_in_audience")]
    );
    let tester = of_pipeline(&office, TESTER);
    let absent = [(1, false, "not_in_audience"), (2, false, "not_in_audience")];
    let tests: Vec<_> = results(&tester)
        .into_iter()
        .filter(|(_, is_test, _)| *is_test)
        .collect();
    assert!(
        tests.iter().all(|(_, _, result)| *result == "accepted") && !tests.is_empty(),
        "{tester}"
    );
    assert_eq!(results(&tester)[tests.len()..], absent);
    let stranger = of_pipeline(&office, &fan(99));
    assert_eq!(results(&stranger), absent);
    let audience = &stranger["audience"];
    assert_eq!(audience["name"], "fans");
    assert_eq!(
        audience["funnel"].as_array().unwrap().last().unwrap()["people"],
        4
    );
    let command = audience["command"].as_str().unwrap();
    assert!(
        command.starts_with("pushctl why fans --user 00000000-"),
        "{command}"
    );
    assert!(command.contains(" --as-of "), "{command}");
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    let explained = office.ends(&arguments, 0);
    assert!(explained.stdout.contains("is not in fans"), "{explained}");
    // Neither the source nor the files are needed.
    office.set("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
    std::fs::remove_dir_all(office.sandbox.here().join("generated")).unwrap();
    assert_eq!(results(&of_pipeline(&office, &fan(2))), results(&even));
    assert_eq!(results(&of_pipeline(&office, &fan(99))), absent);
    let text = office.ends(&["why", "--run", "last", "--user", &fan(99)], 0);
    for part in [
        "push 2 (layer 3): Hello [[var:username]]",
        "  not in the audience: ",
        "audience fans as of ",
        "  pushctl why fans --user ",
    ] {
        assert!(text.stdout.contains(part), "{part}: {text}");
    }
}

#[test]
fn the_control_group_is_named_with_its_share() {
    let office = Pipelines::new(40, Script::default());
    let safeguards = "holdout_percent = 50".to_owned();
    office.file(&File {
        safeguards,
        ..File::default()
    });
    office.tick(0);
    let reached = office.reached();
    let held = (1..=40)
        .find(|n| !reached.contains(&format!("token-fan-{n}")))
        .unwrap();
    let document = of_pipeline(&office, &fan(held));
    let push = &document["pushes"][usize::from(held % 2 == 1)];
    assert_eq!(
        (&push["result"], &push["code"]),
        (&json!("holdout"), &json!("holdout"))
    );
    assert_eq!(
        push["because"],
        "in the control group of 50 percent, which gets no push"
    );
}

#[test]
fn a_recipient_who_waits_and_one_whose_run_was_cancelled_are_told_apart() {
    let office = Pipelines::new(4, Script::default());
    office.file(&File::waiting(20));
    office.tick(0);
    let waiting = of_pipeline(&office, &fan(2));
    assert_eq!(
        results(&waiting)
            .iter()
            .filter(|one| one.2 == "waiting")
            .count(),
        1,
        "{waiting}"
    );
    office.ends(&["cancel", "daily", "--reason", "wrong text", "--yes"], 0);
    office.run(&["run-pipeline", "daily", "--tick", "--json"]);
    let cancelled = of_pipeline(&office, &fan(2));
    let push = &cancelled["pushes"][0];
    assert_eq!(push["result"], "cancelled", "{cancelled}");
    let because = push["because"].as_str().unwrap();
    assert!(
        because.contains("cancelled by alice") && because.contains("wrong text"),
        "{because}"
    );
}

#[test]
fn a_wrong_combination_and_an_unknown_run_have_a_next_step() {
    let sandbox = Sandbox::new();
    let state = sandbox.home().join("state.db").display().to_string();
    let user = id(1);
    for (arguments, message) in [
        (
            vec!["why", "layer2", "--run", "last", "--user", &user],
            "layer2 and --run exclude each other",
        ),
        (
            vec!["why", "--run", "last", "layer2", "--user", &user],
            "`pushctl why --run RUN --user ID`",
        ),
        (
            vec!["why", "--user", &user],
            "an audience or --run RUN is required",
        ),
        (vec!["why", "--run", "last"], "--user ID is required"),
        (
            vec![
                "why",
                "--run",
                "last",
                "--as-of",
                "2026-01-01T00:00:00Z",
                "--user",
                &user,
            ],
            "--as-of needs an audience",
        ),
        (
            vec!["why", "--run", "nosuch", "--user", &user],
            "there is no run nosuch",
        ),
        (
            vec!["why", "--run", "last", "--user", &user],
            "there are no runs yet",
        ),
    ] {
        let outcome = sandbox.run(&[&arguments[..], &["--state", &state]].concat());
        assert_eq!(outcome.status, 2, "{outcome}");
        outcome.says(message);
    }
}
