//! `pushctl new`: what it writes passes the checks, can be used as it is, and replaces no file.

mod conversion;
mod week;

use crate::support::cli::{Outcome, Sandbox};
use crate::support::postgres::Postgres;

fn read(sandbox: &Sandbox, path: &str) -> String {
    std::fs::read_to_string(sandbox.here().join(path)).unwrap()
}

/// The messages on stderr, without the time and level in front.
fn messages(outcome: &Outcome) -> Vec<&str> {
    let lines = outcome.stderr.lines();
    lines
        .map(|line| line.split_once("  ").map_or(line, |(_, message)| message))
        .collect()
}

#[test]
fn a_new_audience_is_described_generated_and_never_replaced() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(&["new", "audience", "lately"]);
    assert_eq!(
        (outcome.status, outcome.stdout.as_str()),
        (0, ""),
        "{outcome}"
    );
    assert_eq!(
        messages(&outcome),
        [
            "queries.d/lately.sql is written",
            "next: edit queries.d/lately.sql; docs/query-files.md describes the header",
            "next: pushctl audiences lately --queries queries.d",
            "next: pushctl generate lately --queries queries.d --dry-run --funnel",
            "next: pushctl new automation lately --audience lately --queries queries.d",
        ]
    );
    let shown = sandbox.run(&["audiences", "lately", "--queries", "queries.d"]);
    assert_eq!(shown.status, 0, "{shown}");

    sandbox.write("here/queries.d/lately.sql", "mine");
    let second = sandbox.run(&["new", "audience", "lately"]);
    insta::assert_snapshot!(second, @r"
    ---- stderr
    error: queries.d/lately.sql already exists
    hint: choose another name, or move the file away
    ---- exit status 2
    ");
    assert_eq!(read(&sandbox, "queries.d/lately.sql"), "mine");
}

#[test]
fn a_new_audience_runs_on_another_schema_after_two_changes() {
    let database = Postgres::shared().database("new_audience");
    database.execute(
        "CREATE SCHEMA shop;
         CREATE TABLE shop.members (member integer PRIMARY KEY, since timestamptz NOT NULL);
         INSERT INTO shop.members VALUES (1, now() - interval '2 days'), (2, now() - interval '2 years');
         INSERT INTO users (id) VALUES ('134ad24e-9980-6ca1-1119-7065657dbf5e');
         GRANT USAGE ON SCHEMA shop TO PUBLIC; GRANT SELECT ON ALL TABLES IN SCHEMA shop TO PUBLIC",
    );
    let sandbox = Sandbox::new();
    let url = database.url();
    let run = |arguments: &[&str]| sandbox.run_with(arguments, &[("DATABASE_URL", &url)]);
    assert_eq!(run(&["new", "audience", "lately"]).status, 0);
    let generate = &[
        "generate",
        "lately",
        "--queries",
        "queries.d",
        "-o",
        "-",
        "--line-ending",
        "lf",
    ];
    // As it is, it reads the marketplace's table.
    let as_it_is = run(generate);
    assert!(
        as_it_is
            .stdout
            .contains("\n134ad24e-9980-6ca1-1119-7065657dbf5e,"),
        "{as_it_is}"
    );

    let text = read(&sandbox, "queries.d/lately.sql");
    for place in ["Change 1", "Change 2"] {
        assert_eq!(text.matches(place).count(), 1, "{text}");
    }
    let text = text
        .replace("u.id         AS", "u.member AS")
        .replace("u.created_at AS", "u.since AS")
        .replace("FROM users u", "FROM shop.members u")
        .replace(
            "make_interval(days => :days)",
            "make_interval(days => :days + 1)",
        );
    sandbox.write("here/queries.d/lately.sql", &text);
    let written = run(generate);
    assert_eq!(written.status, 0, "{written}");
    let rows: Vec<&str> = written.stdout.lines().collect();
    assert_eq!((rows[0], rows.len()), ("user_id,joined_at", 2), "{written}");
    assert!(rows[1].starts_with("1,"), "{written}");
}

#[test]
fn a_copy_of_an_audience_is_the_same_audience() {
    let sandbox = Sandbox::new();
    sandbox.config("queries = \"own\"");
    for audience in ["layer2", "layer3", "nudges", "showcase", "waterfall"] {
        let name = format!("my-{audience}");
        let outcome = sandbox.run(&["new", "audience", &name, "--from", audience]);
        assert_eq!(outcome.status, 0, "{outcome}");
        let mut both = [&name, audience].map(|name| {
            let mut shown = sandbox.run(&["audiences", name, "--json"]).json();
            shown.as_object_mut().unwrap().remove("origin");
            shown.as_object_mut().unwrap().remove("name");
            shown
        });
        assert_eq!(both[0].take(), both[1].take());
        outcome.says(&format!("next: pushctl audiences {name}\n"));
    }
    // A copy of a copy, and the name of a built-in audience.
    let again = sandbox.run(&["new", "audience", "layer3", "--from", "my-layer3"]);
    assert_eq!(again.status, 0, "{again}");
    again.says("layer3 replaces the built-in audience");
}

#[test]
fn a_name_that_cannot_be_an_audiences_is_refused() {
    let sandbox = Sandbox::new();
    for name in ["a/b", "../x", ".x", "9x", "a b", ""] {
        let outcome = sandbox.run(&["new", "audience", name]);
        assert_eq!(outcome.status, 2, "{name}: {outcome}");
        outcome.says("cannot be an audience's name");
    }
    let outcome = sandbox.run(&["new", "audience", "x", "--from", "layer22"]);
    outcome.says("hint: did you mean layer2?");
    assert!(!sandbox.here().join("queries.d").exists());
}

#[test]
fn a_new_automation_of_every_audience_passes_the_check_and_is_not_enabled() {
    let sandbox = Sandbox::new();
    sandbox.run(&["new", "audience", "lately"]);
    let audiences = [
        "layer2",
        "layer3",
        "lately",
        "nudges",
        "showcase",
        "waterfall",
    ];
    for audience in audiences {
        let new = [
            "new",
            "automation",
            audience,
            "--audience",
            audience,
            "--queries",
            "queries.d",
        ];
        let outcome = sandbox.run(&new);
        assert_eq!(
            (outcome.status, outcome.stdout.as_str()),
            (0, ""),
            "{outcome}"
        );
        assert!(!outcome.stderr.contains("WARN"), "{outcome}");
    }
    let checked = sandbox.run(&["check", "--json", "--queries", "queries.d"]);
    assert_eq!(checked.status, 0, "{checked}");
    assert_eq!(checked.json()["files"], audiences.len());
    assert_eq!(checked.json()["findings"], serde_json::json!([]));
    let shown = sandbox.run(&["schedule", "show", "--json", "--queries", "queries.d"]);
    assert!(!shown.stdout.contains("\"enabled\":true"), "{shown}");

    let text = read(&sandbox, "automations/layer3.toml");
    assert_eq!(text.matches("[[push]]").count(), 3, "{text}");
    assert!(
        text.starts_with("#:schema ./automation.schema.json\n"),
        "{text}"
    );
    assert!(text.contains("# lookback_hours = 48 "), "{text}");
    // Every key that is offered in a comment is one of the format.
    let offer = |line: &&str| line.contains(" = ") || *line == "[audience.params]";
    let lines = text.lines();
    let lines = lines.map(|line| line.strip_prefix("# ").filter(offer).unwrap_or(line));
    let offered = lines.collect::<Vec<_>>().join("\n");
    let offered = offered.replace("example.com", "tradeblock.us");
    sandbox.write("here/automations/layer3.toml", &offered);
    let checked = sandbox.run(&["check", "layer3"]);
    assert_eq!(checked.status, 0, "{checked}\n{offered}");
}

#[test]
fn a_new_automation_uses_the_configured_test_users_and_places() {
    let sandbox = Sandbox::new();
    sandbox
        .config("automations = \"auto\"\ntest_users = [\"134ad24e-9980-6ca1-1119-7065657dbf5e\"]");
    let outcome = sandbox.run(&[
        "new",
        "automation",
        "hello",
        "--audience",
        "layer3",
        "--json",
    ]);
    assert_eq!(outcome.status, 0, "{outcome}");
    let document = outcome.json();
    assert_eq!(document["path"], "auto/hello.toml");
    assert_eq!(document["notes"], serde_json::json!([]));
    assert!(read(&sandbox, "auto/hello.toml").contains("\n# user_ids = "));
    assert_eq!(sandbox.run(&["check"]).status, 0);
    let quiet = ["new", "automation", "other", "--audience", "layer3", "-q"];
    insta::assert_snapshot!(sandbox.run(&quiet), @"---- exit status 0");
    let elsewhere = sandbox.run(&[
        "new",
        "automation",
        "x",
        "--audience",
        "layer3",
        "--automations",
        "there",
    ]);
    elsewhere.says("next: pushctl check --automations there\n");
}

#[test]
fn an_automation_that_exists_or_cannot_be_is_not_written() {
    let sandbox = Sandbox::new();
    sandbox.write("here/automations/one.toml", "name = \"two\"\n");
    let new = |name: &str| sandbox.run(&["new", "automation", name, "--audience", "layer3"]);
    new("one").says("error: automations/one.toml already exists");
    new("two").says("error: the automation two already exists, in automations/one.toml");
    for name in ["a/b", "..", "a b", "134ad24e-9980-6ca1-1119-7065657dbf5e"] {
        let outcome = new(name);
        assert_eq!(outcome.status, 2, "{outcome}");
        outcome.says("would not pass `pushctl check`, and is not written");
    }
    let neither = sandbox.run(&["new", "automation", "x"]);
    assert_eq!(neither.status, 2, "{neither}");
    let unknown = sandbox.run(&["new", "automation", "x", "--audience", "layer33"]);
    unknown.says("hint: did you mean layer3?");
    let files = std::fs::read_dir(sandbox.here().join("automations")).unwrap();
    assert_eq!(files.count(), 1);
}
