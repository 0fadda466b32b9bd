//! Where settings come from, which of them wins, and how it is said that one is wrong.

use serde_json::Value;

use crate::support::cli::{Outcome, Sandbox};

fn setting<'a>(document: &'a Value, name: &str) -> &'a Value {
    let settings = document["settings"].as_array().expect("a list of settings");
    settings
        .iter()
        .find(|each| each["name"] == name)
        .unwrap_or_else(|| panic!("no setting {name}"))
}

fn value_and_origin(outcome: &Outcome, name: &str) -> (String, String) {
    let document = outcome.json();
    let each = setting(&document, name);
    let text = |field: &str| each[field].as_str().unwrap_or_default().to_owned();
    (text("value"), text("origin"))
}

#[test]
fn a_flag_wins_over_the_environment_over_dotenv_over_the_file_over_the_default() {
    let sandbox = Sandbox::new();
    let show = ["config", "show", "--json"];
    let deadline = |outcome: &Outcome| value_and_origin(outcome, "deadline");
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(deadline(&sandbox.run(&show)), pair("5m", "default"));
    sandbox.config("# head\ndeadline = \"4m\"\n");
    assert_eq!(deadline(&sandbox.run(&show)), pair("4m", "pushctl.toml:2"));
    sandbox.write("here/.env", "PUSHCTL_DEADLINE=3m\n");
    assert_eq!(
        deadline(&sandbox.run(&show)),
        pair("3m", "PUSHCTL_DEADLINE in .env")
    );
    let variables = [("PUSHCTL_DEADLINE", "2m")];
    assert_eq!(
        deadline(&sandbox.run_with(&show, &variables)),
        pair("2m", "PUSHCTL_DEADLINE")
    );
    let outcome = sandbox.run_with(
        &["config", "show", "--json", "--deadline", "1m"],
        &variables,
    );
    assert_eq!(deadline(&outcome), pair("1m", "--deadline"));
    let document = outcome.json();
    let overridden: Vec<&str> = setting(&document, "deadline")["overridden"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|each| each["value"].as_str())
        .collect();
    assert_eq!(overridden, ["2m", "3m", "4m", "5m"]);
}

#[test]
fn an_empty_variable_counts_as_none() {
    let outcome =
        Sandbox::new().run_with(&["config", "show", "--json"], &[("PUSHCTL_DEADLINE", "")]);
    assert_eq!(value_and_origin(&outcome, "deadline").1, "default");
}

#[test]
fn the_file_is_the_named_one_else_the_one_here_else_the_one_of_the_home_directory() {
    let sandbox = Sandbox::new();
    let origin = |outcome: &Outcome| value_and_origin(outcome, "retries").1;
    let show = ["config", "show", "--json"];
    sandbox.write("home/.config/pushctl/pushctl.toml", "retries = 2");
    assert_eq!(
        origin(&sandbox.run(&show)),
        "[SANDBOX]/home/.config/pushctl/pushctl.toml:1"
    );
    sandbox.config("retries = 3");
    assert_eq!(origin(&sandbox.run(&show)), "pushctl.toml:1");
    sandbox.write("here/other.toml", "retries = 4");
    assert_eq!(
        origin(&sandbox.run_with(&show, &[("PUSHCTL_CONFIG", "other.toml")])),
        "other.toml:1"
    );
    let named = ["--config", "other.toml", "config", "show", "--json"];
    assert_eq!(
        origin(&sandbox.run_with(&named, &[("PUSHCTL_CONFIG", "missing.toml")])),
        "other.toml:1"
    );
}

#[test]
fn a_named_file_that_is_missing_is_an_error() {
    let outcome = Sandbox::new().run(&["config", "show", "--config", "missing.toml"]);
    insta::assert_snapshot!(outcome, @r"
    ---- stderr
    error: cannot read the configuration file missing.toml
    caused by: No such file or directory (os error 2)
    ---- exit status 2
    ");
}

#[test]
fn unknown_names_are_all_reported_with_their_place_and_the_nearest_name() {
    let sandbox = Sandbox::new();
    sandbox.config("deadlin = \"5m\"\nhost = \"db.example.com\"\n\n[source]\ndatabse_url = \"postgres://reader:hunter2@db.example.com/shop\"\n");
    let outcome = sandbox.run(&["config", "show"]);
    insta::assert_snapshot!(outcome, @r#"
    ---- stderr
    error: unknown setting "deadlin"; did you mean "deadline"?
     --> pushctl.toml:1:1
      |
    1 | deadlin = ****
      | ^^^^^^^
    unknown setting "host"; did you mean "source.host"?
     --> pushctl.toml:2:1
      |
    2 | host = "db.example.com"
      | ^^^^
    unknown setting "source.databse_url"; did you mean "database_url"?
     --> pushctl.toml:5:1
      |
    5 | databse_url = ****
      | ^^^^^^^^^^^
    hint: `pushctl config show --config /dev/null` lists every setting
    ---- exit status 2
    "#);
}

#[test]
fn a_variable_that_is_nearly_one_of_a_setting_is_a_warning() {
    let sandbox = Sandbox::new();
    sandbox.write("here/.env", "PUSHCTL_RAET=5\n");
    let variables = [
        ("PUSHCTL_DEADLIN", "5s"),
        ("PUSHCTL_SLACK_URL", "https://example.com"),
        ("PUSHCTL_COMPLETE", ""),
        ("PUSHCTL_CONFIG", ""),
    ];
    let outcome = sandbox.run_with(&["config", "show"], &variables);
    assert_eq!(outcome.status, 0, "{outcome}");
    let lines = outcome.stderr.lines();
    let warnings: Vec<&str> = lines.map(|line| line.split_once("  ").unwrap().1).collect();
    assert_eq!(
        warnings,
        [
            "PUSHCTL_DEADLIN is not a variable that pushctl reads; did you mean PUSHCTL_DEADLINE?",
            "PUSHCTL_RAET is not a variable that pushctl reads; did you mean PUSHCTL_RATE?",
        ]
    );
}

#[test]
fn a_parameter_of_an_address_that_is_nearly_a_known_one_is_a_warning() {
    let port = crate::support::programs::closed_port();
    let url = |more: &str| format!("postgres://reader@127.0.0.1:{port}/market?{more}");
    let said = |more: &str| {
        let arguments = ["generate", "layer3", "--deadline", "1s"];
        let outcome = Sandbox::new().run_with(&arguments, &[("DATABASE_URL", &url(more))]);
        assert_eq!(outcome.status, 5, "{outcome}");
        outcome.stderr
    };
    for (more, meant) in [
        ("hots=db", "host"),
        ("sslmod=verify-full", "sslmode"),
        ("sslrotcert=x", "sslrootcert"),
    ] {
        let said = said(more);
        let warning = format!("is no parameter of an address; did you mean {meant}?");
        assert!(said.contains(&warning), "{said}");
    }
    for more in [
        "socket_timeout=3",
        "pool_timeout=3&statement_cache_size=0",
        "schema=public",
    ] {
        let said = said(more);
        assert!(!said.contains("did you mean"), "{said}");
    }
}

#[test]
fn a_value_of_the_wrong_kind_is_pointed_at() {
    let sandbox = Sandbox::new();
    let message = |text: &str| sandbox.config(text).run(&["config", "show"]).stderr;
    insta::assert_snapshot!(message("deadline = \"5x\""), @r#"
    error: deadline: expected a duration such as 90s, 5m, 36h or 2d
     --> pushctl.toml:1:12
      |
    1 | deadline = "5x"
      |            ^^^^
    "#);
    insta::assert_snapshot!(message("\ton_empty = \"fial\" # later"), @r#"
    error: on_empty: expected ok, warn or fail
     --> pushctl.toml:1:13
      |
    1 |     on_empty = "fial" # later
      |                ^^^^^^
    "#);
    insta::assert_snapshot!(message("retries = [1, 2]"), @r"
    error: retries: expected one value, not a list
     --> pushctl.toml:1:11
      |
    1 | retries = [1, 2]
      |           ^^^^^^
    ");
    insta::assert_snapshot!(message("retries = 0"), @r"
    error: retries: expected a whole number from 1 to 100
     --> pushctl.toml:1:11
      |
    1 | retries = 0
      |           ^
    ");
    insta::assert_snapshot!(message("retries 5"), @r"
    error: key with no value, expected `=`
     --> pushctl.toml:1:1
      |
    1 | ****
      | ^^^^
    ");
}

#[test]
fn a_wrong_value_elsewhere_names_the_place_it_came_from() {
    let sandbox = Sandbox::new();
    let by_flag = sandbox.run(&["config", "show", "--deadline", "0"]).stderr;
    assert_eq!(
        by_flag,
        "error: invalid value \"0\" for --deadline: expected a duration above zero\n"
    );
    let by_variable = sandbox
        .run_with(&["config", "show"], &[("PUSHCTL_RETRIES", "many")])
        .stderr;
    assert_eq!(
        by_variable,
        "error: invalid value \"many\" for PUSHCTL_RETRIES: expected a whole number from 1 to 100\n"
    );
    sandbox.write("here/.env", "\nPASSWORD hunter2\n");
    let note = sandbox.run(&["config", "show"]).stderr;
    assert!(
        note.ends_with(".env:2: skipped: expected NAME=value\n"),
        "{note}"
    );
    assert!(!note.contains("hunter2"), "{note}");
}

#[test]
fn no_password_is_shown_wherever_it_stands_and_whatever_is_wrong_with_it() {
    const URL: &str = "postgres://reader:hunter2@db.example.com/shop?sslpassword=hunter2";
    let files = [
        format!("database_url = \"{URL}\""),
        format!("database_url = \"{URL}"),
        format!("database_url = [\"{URL}\"]"),
        format!("database_url = [\"{URL}\", {{}}]"),
        format!("database_url = \"{URL}\"\ndatabase_url = \"{URL}\""),
        format!("databse_url = \"{URL}\""),
        format!("x = \"\"\"\n{URL}\n"),
        format!("[source]\npassword = \"hunter2\"\nurl = \"{URL}\""),
        "[source]\npassword = hunter2".to_owned(),
        "source = { password = \"hunter2\", host = 'x }".to_owned(),
        "password = \"hunter2\" # hunter2".to_owned(),
        format!("[cadence]\ndatabase_url = \"{URL}\"\nx = {{ y = \"{URL}\" }}"),
    ];
    let sandbox = Sandbox::new();
    for file in &files {
        sandbox.config(file);
        for arguments in [
            &["config", "show", "-vv"][..],
            &["config", "show", "--json"],
            &["config", "show", "--log-format", "json"],
        ] {
            let variables = [
                ("DATABASE_URL", URL),
                ("PGPASSWORD", "hunter2"),
                ("POSTGRES_PASSWORD", "hunter2"),
                ("DB_PASSWORD", "hunter2"),
            ];
            let outcome = sandbox.run_with(arguments, &variables);
            assert!(
                !outcome.to_string().contains("hunter2"),
                "{file}\n{outcome}"
            );
        }
    }
    let outcome = sandbox
        .config("")
        .run_with(&["config", "show", "--json"], &[("DATABASE_URL", URL)]);
    assert_eq!(
        value_and_origin(&outcome, "database_url").0,
        "postgres://reader:****@db.example.com/shop?sslpassword=****"
    );
}

#[test]
fn a_secret_can_stand_in_a_file_of_its_own() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "here/url",
        "postgres://reader:hunter2@db.example.com/shop\n",
    );
    let outcome = sandbox.run_with(
        &["config", "show", "--json"],
        &[("DATABASE_URL_FILE", "url")],
    );
    let (value, origin) = value_and_origin(&outcome, "database_url");
    assert_eq!(
        (value.as_str(), origin.as_str()),
        (
            "postgres://reader:****@db.example.com/shop",
            "DATABASE_URL_FILE"
        )
    );
    let missing = sandbox.run_with(&["config", "show"], &[("DATABASE_URL_FILE", "./missing")]);
    assert_eq!(missing.status, 2);
    assert!(
        missing
            .stderr
            .starts_with("error: cannot read ./missing, which DATABASE_URL_FILE names\n"),
        "{missing}"
    );
}

#[test]
fn lists_are_read_from_files_and_variables() {
    let sandbox = Sandbox::new();
    sandbox.config("test_users = [\"a-1\", \"b-2\"]");
    let value = |outcome: &Outcome| value_and_origin(outcome, "test_users").0;
    assert_eq!(
        value(&sandbox.run(&["config", "show", "--json"])),
        "a-1,b-2"
    );
    let outcome = sandbox.run_with(
        &["config", "show", "--json"],
        &[("PUSHCTL_TEST_USERS", "c-3, d-4")],
    );
    assert_eq!(value(&outcome), "c-3, d-4");
}

#[test]
fn the_table_shows_what_won_and_what_lost() {
    let sandbox = Sandbox::new();
    sandbox.config("retries = 3\n[source]\nsslmode = \"verify-full\"\n");
    let table = sandbox
        .run_with(&["config", "show"], &[("PUSHCTL_RETRIES", "4")])
        .stdout;
    let line = |name: &str| {
        table
            .lines()
            .find(|line| line.starts_with(name))
            .map(str::split_whitespace)
            .map(Iterator::collect::<Vec<_>>)
    };
    assert_eq!(
        line("SETTING"),
        Some(vec!["SETTING", "VALUE", "FROM", "OVERRIDES"])
    );
    assert_eq!(
        line("retries"),
        Some(vec![
            "retries",
            "4",
            "PUSHCTL_RETRIES",
            "3",
            "(pushctl.toml:1)"
        ])
    );
    assert_eq!(
        line("source.sslmode"),
        Some(vec!["source.sslmode", "verify-full", "pushctl.toml:3"])
    );
    assert_eq!(line("queries"), Some(vec!["queries"]));
}

#[test]
fn the_schema_of_the_file_knows_every_setting_and_is_printed_whatever_is_broken() {
    let sandbox = Sandbox::new();
    let shown = sandbox.run(&["config", "show", "--json"]).json();
    sandbox.config("broken = [");
    let outcome = sandbox.run(&["schema", "config"]);
    assert_eq!((outcome.status, outcome.stderr.as_str()), (0, ""));
    let schema = outcome.json();
    for setting in shown["settings"].as_array().expect("settings") {
        let name = setting["name"].as_str().expect("a name");
        let path = name.replace('.', "/properties/");
        let property = schema.pointer(&format!("/properties/{path}"));
        assert_eq!(
            property.map(|property| &property["description"]),
            Some(&setting["about"]),
            "{name}"
        );
    }
    assert_eq!(
        schema["properties"]["source"]["additionalProperties"],
        false
    );
}
