//! `pushctl schedule show` as it is typed.

use crate::support::cli::{Outcome, Sandbox};

fn show(arguments: &[&str]) -> Outcome {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/automations");
    let mut all = vec!["schedule", "show", "--automations", shipped];
    all.extend(arguments);
    Sandbox::new().run(&all)
}

#[test]
fn without_a_format_it_says_when_each_comes_next() {
    let outcome = show(&[]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let rows: Vec<&str> = outcome.stdout.lines().collect();
    assert!(rows[0].starts_with("AUTOMATION  WHEN"), "{outcome}");
    assert!(
        rows.iter()
            .any(|row| row.starts_with("layer3      daily at 13:33, America/Chicago  ")),
        "{outcome}"
    );
    assert!(
        rows[4].starts_with("showcase ") && rows[4].ends_with("not enabled"),
        "{outcome}"
    );
    let document = show(&["layer3", "--json"]).json();
    assert_eq!(document["automations"][0]["timezone"], "America/Chicago");
    assert!(document["automations"][0]["next"]["generate_at"].is_string());
    assert_eq!(document["automations"][1], serde_json::Value::Null);
}

#[test]
fn lines_go_to_stdout_and_what_is_to_be_known_to_stderr() {
    let outcome = show(&["--format", "crontab"]);
    assert_eq!(outcome.status, 0, "{outcome}");
    assert!(
        outcome
            .stdout
            .ends_with("\n*/5 * * * * pushctl -q run-pipeline --all --tick\n"),
        "{outcome}"
    );
    assert!(
        outcome
            .stderr
            .contains("WARN  layer3: the clocks of America/Chicago change on")
    );
    assert!(
        outcome
            .stderr
            .contains("INFO  showcase is not enabled and has no line")
    );
    let quiet = show(&["layer3", "--format", "railway", "-q"]);
    assert_eq!((quiet.status, quiet.stderr.as_str()), (0, ""));
    assert!(
        quiet
            .stdout
            .contains("\"pushctl --log-format json run-pipeline layer3 --tick\""),
        "{quiet}"
    );
    let document = show(&["--format", "systemd", "--json"]).json();
    assert!(
        document["text"]
            .as_str()
            .unwrap()
            .contains("pushctl@layer3.timer")
    );
    assert_eq!(document["warnings"], serde_json::json!([]));
}

#[test]
fn a_name_that_is_none_gets_the_nearest_and_a_broken_file_its_errors() {
    let outcome = show(&["layer33"]);
    insta::assert_snapshot!(outcome, @r#"
    ---- stderr
    error: there is no automation "layer33"
    hint: did you mean layer3?
    ---- exit status 2
    "#);
    let sandbox = Sandbox::new();
    sandbox.write(
        "here/automations/mine.toml",
        "name = \"mine\"\nenabled = yes\n[shedule]\n",
    );
    insta::assert_snapshot!(sandbox.run(&["schedule", "show", "mine"]), @r"
    ---- stderr
    error: the automation mine cannot be used
    caused by: automations/mine.toml:2:11: `yes` is not a TOML value
    automations/mine.toml:3:2: unknown key `shedule` at the top of the file
    hint: `pushctl check` shows each error with its place
    ---- exit status 2
    ");
    insta::assert_snapshot!(sandbox.run(&["schedule", "show"]), @r"
    ---- stderr
    error: the automations cannot be used
    caused by: automations/mine.toml:2:11: `yes` is not a TOML value
    automations/mine.toml:3:2: unknown key `shedule` at the top of the file
    hint: `pushctl check` shows each error with its place
    ---- exit status 2
    ");
}
