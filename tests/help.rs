//! Help texts are complete and correct.

use clap::Command;

use crate::support::cli::Sandbox;

fn commands() -> Vec<(Vec<String>, Command)> {
    fn walk(path: &[String], command: &Command, found: &mut Vec<(Vec<String>, Command)>) {
        found.push((path.to_vec(), command.clone()));
        for each in command.get_subcommands() {
            let below: Vec<String> = path
                .iter()
                .cloned()
                .chain([each.get_name().to_owned()])
                .collect();
            walk(&below, each, found);
        }
    }
    let mut found = Vec::new();
    walk(&[], &root(), &mut found);
    found
}

fn root() -> Command {
    pushctl::cli::command(&pushctl::cli::known(None).offers)
}

#[test]
fn the_definition_of_the_command_line_is_sound() {
    root().debug_assert();
    assert!(commands().len() > 10);
}

#[test]
fn every_help_opens_with_examples_and_ends_with_exit_statuses() {
    let sandbox = Sandbox::new();
    for (path, _) in commands() {
        let mut arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = sandbox.run(&arguments);
        assert_eq!(
            (help.status, help.stderr.as_str()),
            (0, ""),
            "{arguments:?}"
        );
        let examples = help.stdout.find("\nExamples:\n").unwrap_or(usize::MAX);
        let usage = help.stdout.find("\nUsage: pushctl").unwrap_or(0);
        assert!(
            examples < usage,
            "{arguments:?} does not open with examples:\n{}",
            help.stdout
        );
        let (_, statuses) = help
            .stdout
            .split_once("\nExit status:\n")
            .expect("exit statuses");
        assert!(
            statuses.starts_with("  0   done\n"),
            "{arguments:?}: {statuses}"
        );
        let is_status = |line: &str| {
            line.trim_start()
                .starts_with(|first: char| first.is_ascii_digit())
        };
        assert!(
            statuses.trim_end().lines().all(is_status),
            "{arguments:?}: {statuses}"
        );
    }
}

#[test]
fn every_example_is_a_command_line_that_pushctl_understands() {
    let mut tried = 0;
    for (path, command) in commands() {
        let Some(examples) = command.get_before_help().map(ToString::to_string) else {
            panic!("{path:?} has no examples");
        };
        let examples = examples.replace("\\\n", "");
        let lines = examples
            .lines()
            .skip(1)
            .filter(|line| !line.starts_with("  #"));
        for line in lines {
            let typed = line.split(" # ").next().unwrap_or(line);
            let typed = typed.split(" | ").next().unwrap_or(typed);
            let typed = typed.split(" > ").next().unwrap_or(typed);
            let words = shell_words(typed);
            let understood = root().try_get_matches_from(&words);
            assert!(
                understood.is_ok(),
                "{path:?}: {typed}: {:?}",
                understood.err()
            );
            tried += 1;
        }
    }
    assert!(tried > 10, "only {tried} examples");
}

/// Words, with '…' and "…" around those that have spaces.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut open) = (Vec::new(), String::new(), None, false);
    for each in line.chars() {
        match (quote, each) {
            (None, '\'' | '"') => (quote, open) = (Some(each), true),
            (Some(mark), _) if mark == each => quote = None,
            (None, ' ') if open || !word.is_empty() => {
                words.push(std::mem::take(&mut word));
                open = false;
            }
            (None, ' ') => {}
            _ => word.push(each),
        }
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    words
}

#[test]
fn help_takes_a_command_as_the_flag_does_and_refuses_an_unknown_one() {
    let sandbox = Sandbox::new();
    for command in [
        &[][..],
        &["send"],
        &["state", "migrate"],
        &["generate", "layer2"],
        &["help"],
    ] {
        let asked = sandbox.run(&[&["help"], command].concat());
        let flag = sandbox.run(&[command, &["--help"]].concat());
        assert_eq!((asked.status, &asked.stdout), (0, &flag.stdout));
    }
    let unknown = sandbox.run(&["help", "sned"]);
    assert_eq!(unknown.status, 2, "{unknown}");
    assert!(unknown.stderr.contains("'send'"), "{unknown}");
}

#[test]
fn every_flag_of_a_setting_ends_with_its_variable_key_and_default() {
    let shown = Sandbox::new().run(&["config", "show", "--json"]).json();
    let mut checked = 0;
    for setting in shown["settings"].as_array().unwrap() {
        let Some(flag) = setting["flag"].as_str() else {
            continue;
        };
        let name = setting["name"].as_str().unwrap();
        let variable = setting["variables"][0].as_str().unwrap();
        let of_setting = |arg: &&clap::Arg| Some(flag.trim_start_matches('-')) == arg.get_long();
        for (path, command) in commands() {
            let Some(arg) = command.get_arguments().find(of_setting) else {
                continue;
            };
            let help = arg.get_long_help().unwrap().to_string();
            let (about, facts) = help.split_once(" [").unwrap();
            assert_eq!(about, setting["about"], "{path:?}");
            // A resume keeps the rate of the run, whatever the settings say.
            let is_of_run = path == ["resume"] && flag == "--rate";
            let expected = if is_of_run {
                "default: that of the run]".to_owned()
            } else {
                let default = setting["value"].as_str();
                let default = default.filter(|_| setting["origin"] == "default");
                default.map_or(String::new(), |default| format!("[default: {default}]"))
            };
            assert!(facts.ends_with(&expected), "{path:?}: {help}");
            let is_named = facts.contains(&format!("env: {variable}"))
                && facts.contains(&format!("config: {name}]"));
            assert!(is_named || is_of_run, "{path:?}: {help}");
            checked += 1;
        }
    }
    assert!(checked > 30, "only {checked}");
}

#[test]
fn every_variable_is_listed_also_when_the_configuration_is_broken() {
    let sandbox = Sandbox::new();
    let shown = sandbox.run(&["config", "show", "--json"]).json();
    sandbox.config("broken = [");
    let listed = sandbox.run(&["help", "environment"]);
    assert_eq!((listed.status, listed.stderr.as_str()), (0, ""), "{listed}");
    let row = |variable: &str| {
        let mut rows = listed.stdout.lines().map(str::split_whitespace);
        rows.find(|row| row.clone().next() == Some(variable))
            .map(Iterator::collect::<Vec<_>>)
    };
    for setting in shown["settings"].as_array().unwrap() {
        for variable in setting["variables"].as_array().unwrap() {
            let row = row(variable.as_str().unwrap()).expect("a row");
            assert_eq!(row[1], setting["name"].as_str().unwrap());
        }
    }
    let deadline = ["PUSHCTL_DEADLINE", "deadline", "--deadline", "5m"];
    assert_eq!(row("PUSHCTL_DEADLINE").unwrap(), deadline);
    assert!(row("PUSHCTL_CONFIG").is_some());
    let help = sandbox.run(&["--help"]).stdout;
    assert!(help.contains("pushctl help environment"), "{help}");
}

#[test]
fn a_typo_gets_a_suggestion_on_stderr() {
    let outcome = Sandbox::new().run(&["confg", "show"]);
    insta::assert_snapshot!(outcome, @r"
    ---- stderr
    error: unrecognized subcommand 'confg'

      tip: a similar subcommand exists: 'config'

    Usage: pushctl [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ---- exit status 2
    ");
}

#[test]
fn nothing_typed_is_answered_with_the_help_and_counts_as_misuse() {
    let outcome = Sandbox::new().run(&[]);
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.contains("Examples:") && outcome.stdout.is_empty());
}

#[test]
fn version_and_help_need_neither_home_nor_configuration() {
    let sandbox = Sandbox::new();
    sandbox.config("broken = [");
    for arguments in [
        &["--version"][..],
        &["generate", "--help"],
        &["man"],
        &["schema", "manifest"],
        &["completions", "bash"],
    ] {
        let mut command = sandbox.command(arguments);
        command.env_clear().env("PUSHCTL_CONFIG", "nowhere.toml");
        let outcome = sandbox.outcome(&command.output().expect("pushctl starts"));
        assert_eq!(
            (outcome.status, outcome.stderr.as_str()),
            (0, ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn manual_pages_exist_for_every_command() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(&["man", "--dir", "pages", "-q"]);
    insta::assert_snapshot!(outcome, @"---- exit status 0");
    for (path, _) in commands() {
        let name: String = ["pushctl".to_owned()]
            .into_iter()
            .chain(path)
            .collect::<Vec<_>>()
            .join("-");
        let page = std::fs::read_to_string(sandbox.here().join(format!("pages/{name}.1")))
            .expect("a page");
        for section in ["NAME", "SYNOPSIS", "\"EXAMPLES\"", "\"EXIT STATUS\""] {
            assert_eq!(
                page.matches(&format!("\n.SH {section}\n")).count(),
                1,
                "{name}: {section}"
            );
        }
        assert!(!page.contains('\u{1b}'), "{name} has escape sequences");
    }
}
