//! Shell completion, also with broken files.

use std::path::Path;
use std::process::Command;

use clap::ValueEnum;
use pushctl::cli::commands::completions::{Shell, script};

use crate::support::cli::Sandbox;

/// The file in `completions/` that holds the script of a shell.
fn file_name(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => "pushctl.bash",
        Shell::Zsh => "_pushctl",
        Shell::Fish => "pushctl.fish",
        Shell::PowerShell => "_pushctl.ps1",
        Shell::Elvish => "pushctl.elv",
    }
}

#[test]
fn the_scripts_in_the_repository_are_the_ones_that_pushctl_prints() {
    for shell in Shell::value_variants() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("completions")
            .join(file_name(*shell));
        let kept = std::fs::read_to_string(&path).unwrap_or_default();
        let printed = script(*shell).expect("a script");
        assert!(
            kept == printed,
            "completions/{} is stale: run `make completions`",
            file_name(*shell)
        );
    }
}

/// What fish would be offered for the last of these words.
fn offered(sandbox: &Sandbox, words: &[&str]) -> Vec<String> {
    let mut command = sandbox.command(&["--", "pushctl"]);
    command.args(words).env("PUSHCTL_COMPLETE", "fish");
    let outcome = sandbox.outcome(&command.output().expect("pushctl starts"));
    assert_eq!(
        (outcome.status, outcome.stderr.as_str()),
        (0, ""),
        "{words:?}"
    );
    let value = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
    outcome.stdout.lines().map(value).collect()
}

#[test]
fn audiences_are_offered_to_every_argument_that_names_one() {
    let sandbox = Sandbox::new();
    sandbox.run(&["new", "audience", "lately"]);
    let queries = ["--queries", "queries.d"];
    for command in [
        &["audiences"][..],
        &["new", "audience", "x", "--from"],
        &["new", "automation", "x", "--audience"],
    ] {
        assert_eq!(
            offered(&sandbox, &[command, &["layer"]].concat()),
            ["layer2", "layer3"]
        );
        let (name, flag) = command.split_at(command.len().min(3));
        let words = [name, &queries, flag, &["lat"]].concat();
        assert_eq!(offered(&sandbox, &words), ["lately"], "{words:?}");
    }
}

#[test]
fn commands_flags_values_and_audiences_are_offered() {
    let sandbox = Sandbox::new();
    assert_eq!(offered(&sandbox, &["comp"]), ["completions"]);
    assert_eq!(offered(&sandbox, &["--log"]), ["--log-format"]);
    assert_eq!(
        offered(&sandbox, &["--log-format", ""]),
        ["auto", "text", "json"]
    );
    assert_eq!(offered(&sandbox, &["generate", "la"]), ["layer2", "layer3"]);
    assert_eq!(offered(&sandbox, &["why", "wa"]), ["waterfall"]);
}

#[test]
fn completion_survives_a_broken_configuration_and_a_missing_home() {
    let sandbox = Sandbox::new();
    sandbox.config("broken = [");
    sandbox.write("here/.env", "not an assignment");
    assert_eq!(
        offered(&sandbox, &["generate", "layer"]),
        ["layer2", "layer3"]
    );
    assert_eq!(
        offered(&sandbox, &["generate", "--queries", "missing", "layer"]),
        ["layer2", "layer3"]
    );
    let mut command = sandbox.command(&["--", "pushctl", "conf"]);
    command
        .env_clear()
        .env("PUSHCTL_COMPLETE", "fish")
        .current_dir("/");
    assert_eq!(
        sandbox
            .outcome(&command.output().expect("pushctl starts"))
            .stdout
            .lines()
            .count(),
        1
    );
}

#[test]
fn bash_completes_with_the_candidates_of_the_script() {
    let sandbox = Sandbox::new();
    let binary = assert_cmd::cargo::cargo_bin!("pushctl");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("completions/pushctl.bash");
    let typed = "source \"$SCRIPT\"; COMP_WORDS=(pushctl gen); COMP_CWORD=1; COMP_TYPE=9; \
                 _clap_complete_pushctl pushctl gen pushctl; printf '[%s]' \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["--norc", "-c", typed])
        .env("SCRIPT", script)
        .env(
            "PATH",
            format!(
                "{}:/usr/bin:/bin",
                binary.parent().expect("its directory").display()
            ),
        )
        .output()
        .expect("bash");
    assert_eq!(sandbox.outcome(&output).stdout, "[generate]");
}

#[test]
fn automations_are_offered_by_name_and_by_file_even_if_broken() {
    let sandbox = Sandbox::new();
    let text = "name = \"daily\"\ndescription = \"For all users\"\nenabled = maybe\n";
    sandbox.write("here/automations/layer3.toml", text);
    sandbox.write("here/automations/layer2.toml", "name = \"weekly\"\n[audi");
    sandbox.write("here/automations/notes.txt", "name = \"no\"");
    sandbox.write("here/drafts/x.toml", "name = \"draft\"");
    sandbox.write("here/laundry.toml", "");
    let offered = |sandbox: &Sandbox, words: &[&str]| {
        let mut all = offered(sandbox, words);
        all.retain(|each| !each.starts_with("--"));
        all
    };
    let everywhere = || {
        assert_eq!(
            offered(&sandbox, &["schedule", "show", ""]),
            ["weekly", "daily"]
        );
        assert_eq!(
            offered(&sandbox, &["schedule", "show", "daily", "w"]),
            ["weekly"]
        );
        assert_eq!(
            offered(&sandbox, &["check", "la"]),
            ["layer2", "layer3", "laundry.toml"]
        );
        assert_eq!(
            offered(&sandbox, &["check", "automations/layer3"]),
            ["automations/layer3.toml"]
        );
        let drafts = ["schedule", "show", "--automations", "drafts", ""];
        assert_eq!(offered(&sandbox, &drafts), ["draft"]);
        let none = ["schedule", "show", "--automations", "missing", ""];
        assert_eq!(offered(&sandbox, &none), [""; 0]);
    };
    everywhere();
    sandbox.config("broken = [");
    sandbox.write("here/.env", "not an assignment");
    everywhere();
    sandbox.write("here/.env", "");
    sandbox.config("automations = \"drafts\"");
    assert_eq!(offered(&sandbox, &["schedule", "show", ""]), ["draft"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_and_automations_are_offered_from_the_file_and_nothing_is_made_where_there_is_none() {
    let sandbox = Sandbox::new();
    assert!(
        offered(&sandbox, &["runs", "show", ""])
            .iter()
            .all(|word| word.starts_with('-'))
    );
    assert_eq!(std::fs::read_dir(sandbox.home()).unwrap().count(), 0);
    let place = crate::support::store::Place::sqlite();
    let store = place.open().await;
    for (id, automation) in [("run-a", "layer3-daily"), ("run-b", "waterfall")] {
        let new = pushctl::state::NewRun {
            id: id.to_owned(),
            automation: automation.to_owned(),
            occurrence: format!("{automation}@1"),
            mode: "live-send".to_owned(),
            begun_by: "alice@worker-1".to_owned(),
            plan: serde_json::json!({}),
        };
        store.begin_run(&new).await.unwrap();
    }
    let ended = pushctl::state::RunStatus::Done;
    store
        .end_run("run-a", ended, &serde_json::json!({}))
        .await
        .unwrap();
    sandbox.write(
        "here/automations/mine.toml",
        "name = \"of-a-file\"\n[broken",
    );
    sandbox.write("here/automations/ours.toml", "name = \"ours\"\n");
    let setting = place.setting();
    let with = |words: &[&str]| {
        let mut all = vec!["--state", &setting];
        all.extend(words);
        offered(&sandbox, &all)
    };
    assert_eq!(with(&["runs", "show", "run"]), ["run-b", "run-a"]);
    assert_eq!(with(&["runs", "diff", "run-a", "l"]), ["last"]);
    assert_eq!(with(&["cancel", "run"]), ["run-b"]);
    assert_eq!(with(&["cancel", "la"]), ["layer3-daily"]);
    assert_eq!(with(&["pause", "o"]), ["of-a-file", "ours"]);
    assert_eq!(with(&["runs", "--automation", "w"]), ["waterfall"]);
    // A store elsewhere is not asked.
    let began = std::time::Instant::now();
    let mut command = sandbox.command(&["--", "pushctl", "runs", "show", "run"]);
    command
        .env("PUSHCTL_COMPLETE", "fish")
        .env("PUSHCTL_STATE_URL", "postgres://192.0.2.1/away");
    assert_eq!(sandbox.outcome(&command.output().unwrap()).stdout, "");
    assert!(began.elapsed().as_secs() < 5, "{:?}", began.elapsed());
}
