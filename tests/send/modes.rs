//! The modes of `send`.

use pushctl::state::{CancelTarget, RunFilter, RunStatus};
use serde_json::Value;

use super::{BOTH, Office, id, order, people, tokens};
use crate::support::fcm::ledger::Fate;
use crate::support::fcm::script::{Reply, Script};

#[test]
fn without_a_terminal_and_without_yes_nothing_is_sent() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..3));
    let said = office.refused(&["--no-yes"], 2);
    assert!(
        said.contains("\"Hello\" will be sent to up to 3 recipients (3 rows)"),
        "{said}"
    );
    assert!(said.contains("--yes"), "{said}");
    assert_eq!(office.stand_in.connections(), 0);
    assert!(!office.sandbox.home().join("state.db").exists());
}

#[test]
fn a_dry_run_sends_nothing_and_does_not_block_a_later_send() {
    for kept in BOTH {
        let office = Office::keeping(kept, Script::default());
        office.audience(&(people(0..3) + &format!("{},,t-9\n{},Bo,\n", id(9), id(8))));
        let body = ["--body", "Hi [[var:name]]"];
        let sent = office.send(&[&["--dry-run", "--no-yes"][..], &body].concat());
        assert_eq!(sent.status(), 0, "{}", sent.outcome);
        assert_eq!(
            (&sent.summary["mode"], &sent.summary["ended"]),
            (&"dry-run".into(), &"rehearsed".into())
        );
        let counts = [
            "rows",
            "not_attempted",
            "skipped",
            "without_token",
            "accepted",
        ];
        assert_eq!(counts.map(|name| sent.count(name)), [5, 3, 1, 1, 0]);
        assert!(sent.summary["files"].is_null());
        assert_eq!(office.stand_in.connections(), 0);
        let sent = office.send(&body);
        assert_eq!(counts.map(|name| sent.count(name)), [5, 0, 1, 1, 3]);
    }
}

#[test]
fn validate_only_sends_every_message_for_validation_and_does_not_block_a_later_send() {
    for kept in BOTH {
        let office = Office::keeping(kept, Script::default().always("t-1", Reply::Unregistered));
        office.audience(&people(0..3));
        // Twice, so that not even a later check is kept away.
        for _ in 0..2 {
            let sent = office.send(&["--validate-only", "--layer", "3"]);
            sent.accepted(0, 2);
            assert_eq!(sent.summary["mode"], "validate-only");
        }
        let accepted = office.stand_in.accepted();
        assert_eq!(accepted.len(), 4);
        assert!(accepted.iter().all(|one| one.fate == Fate::Validated));
        // Layer 3 allows one push in three days: a validated push does not count.
        let sent = office.send(&["--layer", "3"]);
        assert_eq!(
            (sent.count("accepted"), sent.count("excluded")),
            (2, 0),
            "{}",
            sent.summary
        );
        assert_eq!(office.delivered(), ["t-0", "t-2"]);
    }
}

#[test]
fn a_limit_sends_to_the_first_rows_and_the_rest_can_follow() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..5));
    let sent = office.send(&["--limit", "2"]);
    assert_eq!(
        (sent.count("rows"), sent.count("accepted")),
        (2, 2),
        "{}",
        sent.summary
    );
    assert_eq!(office.delivered(), tokens(0..2));
    let sent = office.send(&[]);
    assert_eq!(
        (sent.count("rows"), sent.count("accepted")),
        (5, 5),
        "{}",
        sent.summary
    );
    assert_eq!(sent.count("messages"), 3);
    assert_eq!(office.delivered(), tokens(0..5));
    // Fewer rows than were sent to: the others are counted apart.
    let sent = office.send(&["--limit", "1"]);
    assert_eq!(
        (sent.count("rows"), sent.count("others")),
        (1, 4),
        "{}",
        sent.summary
    );
}

#[test]
fn a_repeated_command_sends_nothing_and_says_so() {
    for kept in BOTH {
        let office = Office::keeping(kept, Script::default().always("t-1", Reply::Unregistered));
        office.audience(&people(0..5));
        let first = office.send(&[]);
        let second = office.send(&[]);
        assert_eq!(
            (second.status(), second.count("messages")),
            (0, 0),
            "{}",
            second.outcome
        );
        assert_eq!(second.count("accepted"), 4);
        assert_ne!(first.run(), second.run());
        let note = second.summary["notes"][0].as_str().unwrap();
        assert!(
            note.contains(first.run()) && note.contains("--occurrence"),
            "{note}"
        );
        assert_eq!(office.delivered().len(), 4);
        let third = office.send(&["--occurrence", "friday"]);
        // The fifth's token is dead.
        assert_eq!(third.count("messages"), 4);
    }
}

#[test]
fn other_texts_under_the_same_occurrence_are_refused() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..3));
    assert_eq!(office.send(&["--occurrence", "friday"]).status(), 0);
    for changed in [
        ["--body", "Other words"],
        ["--layer", "2"],
        ["--data", "kind=x"],
    ] {
        let said = office.refused(&[&["--occurrence", "friday"][..], &changed].concat(), 12);
        assert!(said.contains("--occurrence"), "{said}");
    }
    assert_eq!(office.delivered().len(), 3);
}

#[test]
fn two_at_once_send_each_message_once() {
    for kept in BOTH {
        let office = Office::keeping(kept, Script::default());
        office.audience(&people(0..1_500));
        let both = [office.start(&[]), office.start(&[])];
        let mut statuses = both.map(|child| office.ended(child).status);
        statuses.sort_unstable();
        assert!([[0, 0], [0, 11]].contains(&statuses), "{statuses:?}");
        assert_eq!(office.delivered().len(), 1_500);
        let sent = office.send(&[]);
        assert_eq!((sent.count("accepted"), sent.count("messages")), (1_500, 0));
    }
}

#[test]
fn quiet_and_successful_says_nothing() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..3));
    let outcome = office.run(&order(&["-q"]));
    assert_eq!(
        (outcome.status, &*outcome.stdout, &*outcome.stderr),
        (0, "", "")
    );
    assert_eq!(office.delivered().len(), 3);
    // A summary for people is on standard output.
    let outcome = office.run(&[
        "send",
        "--yes",
        "--audience",
        "a.csv",
        "--layer",
        "1",
        "--title",
        "T",
        "--body",
        "B",
    ]);
    assert!(outcome.stdout.starts_with("3 rows, done\n"), "{outcome}");
    assert!(outcome.stdout.contains("accepted"), "{outcome}");
}

#[test]
fn the_summary_is_as_its_schema_says() {
    let office = Office::playing(Script::default().always("t-1", Reply::Unregistered));
    office.audience(&people(0..3));
    let sent = office.send(&[]);
    let schema = office.run(&["schema", "summary"]).json();
    let names = |of: &Value| -> Vec<String> {
        let mut names: Vec<_> = of.as_object().unwrap().keys().cloned().collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&sent.summary), names(&schema["properties"]));
    for (name, value) in sent.summary.as_object().unwrap() {
        let types = &schema["properties"][name]["type"];
        let is = match value {
            Value::Null => "null",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) if types.is_null() => continue,
            Value::Object(_) => "object",
            Value::Number(number) if number.is_u64() && types != "number" => "integer",
            Value::Number(_) => "number",
            Value::Bool(_) => "boolean",
        };
        let fits = types.is_null()
            || types == is
            || types.as_array().is_some_and(|all| all.contains(&is.into()));
        assert!(fits, "{name}: {value} is no {types}");
    }
}

#[test]
fn a_cancel_ends_a_send_and_every_recipient_is_counted() {
    for kept in BOTH {
        for rate in ["100", "5000"] {
            let slow = Reply::Slow {
                ms: 300,
                then: Box::new(Reply::Accept),
            };
            let office = Office::keeping(kept, Script::default().always("*", slow));
            office
                .audience(&(people(0..2_500) + &people(0..1).replace("user_id,name,token\n", "")));
            let sending = office.start(&["--rate", rate]);
            office.wait_for(20);
            let stopped = office.in_store(async |store| {
                store
                    .cancel(&CancelTarget::All, "bo@example.com", Some("wrong shoes"))
                    .await
                    .unwrap()
            });
            assert_eq!(stopped.len(), 1);
            let sent = office.sent(office.ended(sending));
            assert_eq!(sent.status(), 20, "{}", sent.outcome);
            assert_eq!(sent.summary["ended"], "cancelled");
            assert!(
                sent.outcome
                    .stderr
                    .contains("cancelled by bo@example.com: wrong shoes"),
                "{}",
                sent.outcome
            );
            assert!(sent.count("cancelled") > 0, "{rate}: {}", sent.summary);
            assert_eq!(
                sent.count("accepted") + sent.count("cancelled"),
                2_500,
                "{rate}: {}",
                sent.summary
            );
            assert_eq!(sent.count("accepted"), office.delivered().len() as u64);
            let run = office.in_store(async |store| store.run(sent.run()).await.unwrap().unwrap());
            assert_eq!(run.status, RunStatus::Cancelled);
            assert_eq!(office.run(&["resume", sent.run()]).status, 6);
        }
    }
}

#[test]
fn an_unreachable_push_service_leaves_a_run_that_can_be_resumed() {
    let mut office = Office::playing(Script::default());
    office.audience(&people(0..3));
    let url = office.stand_in.base_url();
    office.lose_push_service();
    let said = office.refused(&[], 5);
    assert!(!said.is_empty());
    office.set("PUSHCTL_PUSH_URL", url);
    let open = office.in_store(async |store| store.runs(&RunFilter::default()).await.unwrap());
    assert_eq!((open.len(), open[0].status), (1, RunStatus::Open));
    let sent = office.resume(&open[0].id, &[]);
    sent.accepted(0, 3);
}

#[test]
fn send_with_an_automation_uses_its_texts_and_layer() {
    let office = Office::playing(Script::default());
    let file = include_str!("../../automations/layer3.toml");
    office.sandbox.write("here/automations/layer3.toml", file);
    office.audience(&format!(
        "user_id,product_name,inventory_count,variantID,token\n{},Runner,1234,v-1,t-1\n",
        id(1)
    ));
    let words = [
        "send",
        "--automation",
        "layer3",
        "--yes",
        "--json",
        "--override",
        "audience,quiet-hours",
        "--reason",
        "a file made by hand, whatever time it is",
        "--push",
    ];
    let sent = office.sent(office.run(&[&words[..], &["1", "--audience", "a.csv"]].concat()));
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    assert_eq!(sent.summary["automation"], "layer3");
    assert_eq!((sent.count("layer"), sent.count("accepted")), (3, 1));
    let unknown = office.run(&[&words[..], &["4", "--audience", "a.csv"]].concat());
    assert_eq!(unknown.status, 2, "{unknown}");
    unknown.says("layer3 has 3 pushes");
    let nowhere = office.run(&[&words[..], &["1"]].concat());
    assert_eq!(nowhere.status, 2, "{nowhere}");
    nowhere.says("pushctl generate layer3");
}
