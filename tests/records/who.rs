//! The name that is recorded of the person or service at work.

use std::process::Command;

use crate::support::cli::Sandbox;

/// Every variable that may say it, the strongest first.
const VARIABLES: [(&str, &str); 6] = [
    ("PUSHCTL_ACTOR", "alice"),
    ("GITHUB_ACTOR", "octo-bob"),
    ("RAILWAY_SERVICE_NAME", "push-cron"),
    ("SUDO_USER", "carol"),
    ("USER", "root-user"),
    ("LOGNAME", "log-name"),
];

/// Who a pause is recorded under, and what `config show` says of that: its value and where it came from.
fn who(sandbox: &Sandbox, variables: &[(&str, &str)]) -> (String, (String, String)) {
    let name = format!("never-seen-{}", variables.len());
    let state = sandbox.home().join("state.db").display().to_string();
    let pause = ["pause", &name, "--yes", "--json", "--state", &state];
    let paused = sandbox.run_with(&pause, variables);
    assert_eq!(paused.status, 0, "{paused}");
    let who = paused.json()["who"].as_str().unwrap().to_owned();
    let shown = sandbox.run_with(&["config", "show", "--json"], variables);
    let settings = shown.json()["settings"].clone();
    let actor = settings
        .as_array()
        .unwrap()
        .iter()
        .find(|setting| setting["name"] == "actor")
        .cloned()
        .unwrap();
    let text = |key: &str| actor[key].as_str().unwrap_or_default().to_owned();
    (who, (text("value"), text("origin")))
}

fn machine() -> String {
    let output = Command::new("uname").arg("-n").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_first_variable_that_names_one_wins_and_is_shown() {
    let sandbox = Sandbox::new();
    for (place, (variable, name)) in VARIABLES.iter().enumerate() {
        let (recorded, shown) = who(&sandbox, &VARIABLES[place..]);
        assert_eq!(recorded, format!("{name}@{}", machine()));
        assert_eq!(shown, ((*name).to_owned(), (*variable).to_owned()));
    }
}

#[test]
fn without_a_variable_it_is_the_name_of_the_user_id() {
    let sandbox = Sandbox::new();
    let output = Command::new("id").arg("-un").output().unwrap();
    let name = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let (recorded, shown) = who(&sandbox, &[]);
    assert_eq!(recorded, format!("{name}@{}", machine()));
    assert_eq!(shown, (name, "default".to_owned()));
}

#[test]
fn what_was_set_for_pushctl_wins_from_dotenv_and_the_file_too() {
    let sandbox = Sandbox::new();
    sandbox.config("actor = \"release-team\"\n");
    let (recorded, shown) = who(&sandbox, &VARIABLES[1..]);
    assert!(recorded.starts_with("release-team@"), "{recorded}");
    assert_eq!(shown.1, "pushctl.toml:1");
    sandbox.write("here/.env", "PUSHCTL_ACTOR=dora\n");
    let (recorded, _) = who(&sandbox, &VARIABLES[2..]);
    assert!(recorded.starts_with("dora@"), "{recorded}");
}

#[test]
fn a_value_that_is_no_name_is_refused_where_it_was_meant_and_passed_over_where_it_was_not() {
    let sandbox = Sandbox::new();
    let refused = sandbox.run_with(&["config", "show"], &[("PUSHCTL_ACTOR", "two\nlines")]);
    assert_eq!(refused.status, 2, "{refused}");
    refused.says("PUSHCTL_ACTOR");
    let long = "x".repeat(101);
    let variables = [("GITHUB_ACTOR", " "), ("SUDO_USER", &long), ("USER", "eve")];
    let (recorded, shown) = who(&sandbox, &variables);
    assert!(recorded.starts_with("eve@"), "{recorded}");
    assert_eq!(shown.1, "USER");
}
