//! `pushctl check` as it is typed: which files, in which form, and how it ends.

use serde_json::json;

use super::{GOOD, with};
use crate::support::cli::Sandbox;

fn sandbox(files: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::new();
    for (name, text) in files {
        sandbox.write(&format!("here/automations/{name}.toml"), text);
    }
    sandbox
}

fn two_wrong() -> Sandbox {
    let late = with("\"13:33\"", "\"25:61\"").replace("mine", "late");
    let warned = with("13:33", "13:30").replace("mine", "warned");
    sandbox(&[("good", GOOD), ("late", &late), ("warned", &warned)])
}

#[test]
fn for_a_person_each_finding_has_its_line_and_the_counts_come_last() {
    let outcome = two_wrong().run(&["check"]);
    insta::assert_snapshot!(outcome, @r#"
    ---- stdout
    error: `25:61` is not a time of day: hours go to 23 and minutes to 59
     --> automations/late.toml:5:11
      |
    5 | send_at = "25:61"
      |           ^^^^^^^

    warning: 13:30 is a busy time: the push service is slowest at :00, :15, :30 and :45
     --> automations/warned.toml:5:11
      |
    5 | send_at = "13:30"
      |           ^^^^^^^
      |
      = hint: a few minutes away is better, like 13:33
    ---- stderr
    error: 3 files: 1 error, 1 warning
    ---- exit status 2
    "#);
}

#[test]
fn for_github_each_finding_is_an_annotation_of_a_file_of_the_repository() {
    let outcome = two_wrong().run(&["check", "--format", "github"]);
    insta::assert_snapshot!(outcome, @r"
    ---- stdout
    ::error file=automations/late.toml,line=5,endLine=5,col=11,endColumn=18,title=time::`25:61` is not a time of day: hours go to 23 and minutes to 59
    ::warning file=automations/warned.toml,line=5,endLine=5,col=11,endColumn=18,title=busy-minute::13:30 is a busy time: the push service is slowest at :00, :15, :30 and :45%0Aa few minutes away is better, like 13:33
    ---- stderr
    error: 3 files: 1 error, 1 warning
    ---- exit status 2
    ");
}

#[test]
fn for_programs_there_is_one_document_in_both_spellings() {
    let sandbox = two_wrong();
    let outcome = sandbox.run(&["check", "--format", "json"]);
    let document = outcome.json();
    assert_eq!(outcome.status, 2);
    assert_eq!(document["errors"], 1);
    assert_eq!(document["findings"][0]["file"], "automations/late.toml");
    assert_eq!(document, sandbox.run(&["check", "--json"]).json());
    assert_eq!(
        document,
        sandbox.run(&["check", "--json", "--format", "json"]).json()
    );
    let both = sandbox.run(&["check", "--json", "--format", "github"]);
    assert_eq!(both.status, 2);
    assert!(both.json()["error"]["message"].is_string(), "{both}");
    let good = sandbox.run(&["check", "good", "--json", "-q"]);
    let nothing = json!({ "files": 1, "errors": 0, "warnings": 0, "findings": [] });
    assert_eq!((good.status, good.json()), (0, nothing));
}

#[test]
fn for_the_page_of_a_job_there_is_a_table() {
    let outcome = two_wrong().run(&["check", "--format", "markdown"]);
    insta::assert_snapshot!(outcome, @r"
    ---- stdout
    ### pushctl check

    3 files: 1 error, 1 warning

    | | where | what | what to do |
    | --- | --- | --- | --- |
    | ❌ error | `automations/late.toml:5` | `25:61` is not a time of day: hours go to 23 and minutes to 59 |  |
    | ⚠️ warning | `automations/warned.toml:5` | 13:30 is a busy time: the push service is slowest at :00, :15, :30 and :45 | a few minutes away is better, like 13:33 |
    ---- stderr
    error: 3 files: 1 error, 1 warning
    ---- exit status 2
    ");
}

#[test]
fn warnings_do_not_fail_it_and_q_keeps_them_back() {
    let sandbox = two_wrong();
    let outcome = sandbox.run(&["check", "warned"]);
    assert!(outcome.stdout.starts_with("warning: 13:30"), "{outcome}");
    assert_eq!(outcome.status, 0);
    assert!(
        outcome.stderr.ends_with(" 1 file: 1 warning\n"),
        "{outcome}"
    );
    insta::assert_snapshot!(sandbox.run(&["check", "warned", "good", "-q"]), @"---- exit status 0");
    let outcome = sandbox.run(&["check", "-q"]);
    assert!(outcome.stdout.starts_with("error: `25:61`"), "{outcome}");
    assert!(!outcome.stdout.contains("warning"), "{outcome}");
}

#[test]
fn files_that_are_not_there_or_not_text_are_findings_among_the_others() {
    let sandbox = two_wrong();
    let latin = sandbox.here().join("automations/latin.toml");
    std::fs::write(latin, b"name = \"a\"\n\n# caf\xe9\n").unwrap();
    let outcome = sandbox.run(&[
        "check",
        "goood",
        "drafts/x.toml",
        "automations/latin.toml",
        "late",
    ]);
    insta::assert_snapshot!(outcome, @r#"
    ---- stdout
    error: cannot read this file: No such file or directory (os error 2)
    --> goood:1:1
     = hint: did you mean automations/good.toml?

    error: cannot read this file: No such file or directory (os error 2)
    --> drafts/x.toml:1:1

    error: this line is not UTF-8
    --> automations/latin.toml:3:1
     = hint: save the file as UTF-8

    error: `25:61` is not a time of day: hours go to 23 and minutes to 59
     --> automations/late.toml:5:11
      |
    5 | send_at = "25:61"
      |           ^^^^^^^
    ---- stderr
    error: 4 files: 4 errors
    ---- exit status 2
    "#);
}

#[test]
fn files_are_named_by_path_by_directory_or_by_their_name() {
    let sandbox = two_wrong();
    sandbox.write("here/other/mine.toml", GOOD);
    for arguments in [
        &["check", "good"][..],
        &["check", "good", "automations/good.toml"],
        &["check", "./automations/good.toml"],
        &["check", "other"],
        &["check", "other/"],
        &["check", "--automations", "other"],
        &["check", "mine", "--automations", "other"],
    ] {
        let outcome = sandbox.run(arguments);
        assert_eq!(outcome.status, 0, "{arguments:?}: {outcome}");
        outcome.says(" 1 file: no problems");
    }
    let by_variable = sandbox.run_with(&["check"], &[("PUSHCTL_AUTOMATIONS", "other")]);
    assert_eq!(by_variable.status, 0, "{by_variable}");
    sandbox.config("automations = \"other\"");
    assert_eq!(sandbox.run(&["check"]).status, 0);
}

#[test]
fn a_directory_without_automations_does_not_pass() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.run(&["check"]), @r"
    ---- stderr
    error: cannot read the automations directory automations
    caused by: No such file or directory (os error 2)
    hint: set the directory with --automations DIR
    ---- exit status 2
    ");
    std::fs::create_dir(sandbox.here().join("automations")).unwrap();
    insta::assert_snapshot!(sandbox.run(&["check"]), @r"
    ---- stderr
    error: the directory automations has no *.toml file
    hint: set the directory with --automations DIR
    ---- exit status 2
    ");
}

#[test]
fn own_audiences_count_and_a_broken_one_is_reported() {
    let sandbox = sandbox(&[("mine", &with("name = \"layer3\"", "name = \"fans\""))]);
    let query = "--| title = \"Fans\"\n--| order = \"user_id\"\n--| [[files]]\n--| stem = \"recent-offer-creators\"\n\
                 --| columns = [\"user_id\", \"product_name\", \"inventory_count\", \"variantID\"]\n\
                 SELECT id AS user_id FROM users\n";
    sandbox.write("here/queries/fans.sql", query);
    let outcome = sandbox.run(&["check", "--queries", "queries"]);
    assert_eq!(outcome.status, 0, "{outcome}");
    sandbox.write("here/queries/fans.sql", &query.replace("order", "ordre"));
    insta::assert_snapshot!(sandbox.run(&["check", "--queries", "queries"]), @r#"
    ---- stdout
    error: the query file of "fans" is wrong: [SANDBOX]/here/queries/fans.sql:2: unknown field `ordre`, expected one of `title`, `about`, `base`, `order`, `times`, `name_separator`, `test_marker`, `partition`, `set`, `history`, `checks`, `parameters`, `stages`, `files`
      --> automations/mine.toml:10:8
       |
    10 | name = "fans"
       |        ^^^^^^
    ---- stderr
    error: 1 file: 1 error
    ---- exit status 2
    "#);
}

#[test]
fn the_automations_that_ship_pass_wherever_pushctl_is_started() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/automations");
    let outcome = Sandbox::new().run(&["check", "--automations", shipped, "-q"]);
    insta::assert_snapshot!(outcome, @"---- exit status 0");
}

#[test]
fn deep_links_may_lead_to_the_hosts_of_the_configuration() {
    let sandbox = sandbox(&[(
        "mine",
        &with("https://tradeblock.us/", "https://app.example.com/"),
    )]);
    assert_eq!(sandbox.run(&["check"]).status, 2);
    sandbox.config("[push]\nlink_hosts = [\"example.com\"]\n");
    let outcome = sandbox.run(&["check"]);
    assert_eq!(outcome.status, 0, "{outcome}");
}

#[test]
fn the_schema_beside_the_automations_is_the_one_that_is_printed() {
    let kept = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/automations/automation.schema.json"
    );
    let printed = Sandbox::new().run(&["schema", "automation"]);
    assert_eq!(printed.stdout, std::fs::read_to_string(kept).unwrap());
}

#[test]
fn a_lateness_that_the_platforms_late_starts_use_up_is_a_warning_where_that_platform_is_used() {
    let text = with("\"daily\"", "\"daily\"\nmax_lateness_minutes = 9");
    let sandbox = sandbox(&[("mine", &text)]);
    let elsewhere = sandbox.run(&["check"]);
    assert_eq!(elsewhere.status, 0, "{elsewhere}");
    assert!(!elsewhere.stdout.contains("late"), "{elsewhere}");
    sandbox.write("here/railway.json", "{}");
    let warned = sandbox.run(&["check"]);
    assert_eq!(warned.status, 0, "{warned}");
    for part in [
        "the platform may start a job up to 10 minutes late, and after 9 nothing is sent",
        "max_lateness_minutes of 10 or more",
    ] {
        assert!(warned.stdout.contains(part), "{part}: {warned}");
    }
    let shown = sandbox.run(&["schedule", "show", "--format", "railway"]);
    shown.says("mine: max_lateness_minutes = 9, and the platform may start a job 10 minutes late");
    let text = with("\"daily\"", "\"daily\"\nmax_lateness_minutes = 10");
    sandbox.write("here/automations/mine.toml", &text);
    let enough = sandbox.run(&["check"]);
    assert!(!enough.stdout.contains("late"), "{enough}");
}
