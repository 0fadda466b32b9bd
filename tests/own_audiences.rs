//! Query files of one's own on the command line: their parameters are flags, and what is wrong with them is told.

use crate::support::cli::Sandbox;

const MINE: &str = "\
--| title = \"Everybody I know\"
--| order = \"user_id\"
--| [parameters.at_least]
--| type = \"integer\"
--| default = 3
--| min = 1
--| max = 9
--| help = \"How well I know them\"
--| [[files]]
--| stem = \"everybody\"
--| columns = [\"user_id\"]
SELECT id AS user_id FROM users WHERE :at_least > 0
";

fn with_mine(text: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("here/queries/mine.sql", text);
    sandbox
}

#[test]
fn parameters_become_flags_wherever_the_directory_is_named() {
    let sandbox = with_mine(MINE);
    let expected = "--at-least <N>  How well I know them, 1 to 9 [default: 3]";
    let help = sandbox.run(&["generate", "mine", "-h", "--queries", "queries"]);
    assert!(help.stdout.contains(expected), "{help}");
    let help = sandbox.run_with(
        &["generate", "mine", "-h"],
        &[("PUSHCTL_QUERIES", "queries")],
    );
    assert!(help.stdout.contains(expected), "{help}");
    sandbox.config("queries = \"queries\"");
    let help = sandbox.run(&["why", "mine", "-h"]);
    assert!(help.stdout.contains(expected), "{help}");
    let listed = sandbox.run(&["generate", "--help"]);
    assert!(
        listed.stdout.contains("  mine       Everybody I know\n"),
        "{listed}"
    );
}

#[test]
fn a_misspelt_parameter_gets_a_suggestion() {
    let sandbox = with_mine(MINE);
    let outcome = sandbox.run(&["generate", "mine", "--queries", "queries", "--at-last", "4"]);
    assert_eq!(outcome.status, 2);
    outcome.says("a similar argument exists: '--at-least'");
}

#[test]
fn a_broken_query_file_is_an_error_only_for_commands_that_name_it() {
    let sandbox = with_mine(&MINE.replace("order", "ordre"));
    let outcome = sandbox.run(&[
        "generate",
        "mine",
        "--at-least",
        "4",
        "--queries",
        "queries",
    ]);
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.starts_with("error: "), "{outcome}");
    outcome.says("queries/mine.sql:2: unknown field `ordre`");
    let other = sandbox.run(&["generate", "layer2", "-h", "--queries", "queries"]);
    assert_eq!(other.status, 0, "{other}");
}

#[test]
fn a_directory_that_cannot_be_read_is_the_error_rather_than_an_unknown_audience() {
    let outcome = Sandbox::new().run(&["generate", "mine", "--queries", "missing"]);
    insta::assert_snapshot!(outcome, @r"
    ---- stderr
    error: cannot read the queries directory [SANDBOX]/here/missing
    caused by: No such file or directory (os error 2)
    ---- exit status 2
    ");
}

#[test]
fn a_broken_configuration_is_the_error_rather_than_an_unknown_audience() {
    let sandbox = with_mine(MINE);
    sandbox.config("queries = [\n");
    let outcome = sandbox.run(&["generate", "mine"]);
    assert_eq!(outcome.status, 2);
    outcome.says("\n --> pushctl.toml:");
}

#[test]
fn shells_are_offered_audiences_parameters_and_files_of_ones_own() {
    let sandbox = with_mine(MINE);
    sandbox.config("queries = \"queries\"");
    let offered = |words: &[&str]| {
        let mut command = sandbox.command(&["--", "pushctl", "generate"]);
        command.args(words).env("PUSHCTL_COMPLETE", "fish");
        let outcome = sandbox.outcome(&command.output().expect("pushctl starts"));
        let first = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
        outcome.stdout.lines().map(first).collect::<Vec<_>>()
    };
    assert_eq!(offered(&["mi"]), ["mine"]);
    assert_eq!(offered(&["mine", "--at"]), ["--at-least"]);
    assert_eq!(offered(&["mine", "--file", ""]), ["everybody"]);
    assert_eq!(
        offered(&["showcase", "--file", "showcase-h"]),
        ["showcase-haves"]
    );
}
