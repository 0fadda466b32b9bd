use std::process::Stdio;

use pushctl::state::migrations::NEEDED;

use super::{a_run, run};
use crate::state::in_both_stores;
use crate::support::cli::Sandbox;
use crate::support::store::Place;

in_both_stores!(
    a_store_is_made_by_its_first_use_and_its_status_told,
    migrations_are_applied_and_undone_one_by_one,
    a_rollback_that_destroys_rows_needs_a_yes,
    an_export_comes_back_in_another_store,
    an_import_into_a_store_in_use_is_refused,
);

async fn a_store_is_made_by_its_first_use_and_its_status_told(place: Place) {
    let sandbox = Sandbox::new();
    let before = run(&sandbox, &place, &["state", "status", "--json"]).json();
    assert_eq!(before["version"], 0);
    assert_eq!(before["pending"].as_array().unwrap().len(), NEEDED as usize);
    if let Some(file) = place.file() {
        assert!(!file.exists(), "asking made it");
    }
    place.open().await;
    let after = run(&sandbox, &place, &["state", "status", "--json"]).json();
    assert_eq!(
        (&after["version"], &after["exists"]),
        (&NEEDED.into(), &true.into())
    );
    assert_eq!(after["applied"][0]["name"], "0001_runs");
    if place.database.is_some() {
        assert!(
            after["place"].as_str().unwrap().contains(":****@"),
            "{after}"
        );
    }
    let table = run(&sandbox, &place, &["state", "status"]);
    assert!(table.stdout.starts_with("MIGRATION"), "{table}");
    table.says("up to date");
}

async fn migrations_are_applied_and_undone_one_by_one(place: Place) {
    let sandbox = Sandbox::new();
    let migrated = run(&sandbox, &place, &["state", "migrate"]);
    assert_eq!((migrated.status, migrated.stdout.as_str()), (0, ""));
    migrated.says("applied 0002_ledger");
    let again = run(&sandbox, &place, &["state", "migrate", "--json"]);
    assert_eq!(again.json()["applied"].as_array().unwrap().len(), 0);
    let quiet = run(&sandbox, &place, &["state", "migrate", "-q"]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let undone = run(&sandbox, &place, &["state", "rollback", "--json"]).json();
    assert_eq!(undone["undone"], serde_json::json!(["0006_dead_tokens"]));
    let undone = run(
        &sandbox,
        &place,
        &["state", "rollback", "--to", "0", "--json"],
    )
    .json();
    assert_eq!(
        undone["undone"].as_array().unwrap().len(),
        NEEDED as usize - 1
    );
    let nothing = run(&sandbox, &place, &["state", "rollback"]);
    nothing.says("nothing to undo");
    assert_eq!(
        run(&sandbox, &place, &["state", "rollback", "--to", "9"]).status,
        2
    );
}

async fn a_rollback_that_destroys_rows_needs_a_yes(place: Place) {
    let sandbox = Sandbox::new();
    let store = place.open().await;
    store.begin_run(&a_run()).await.unwrap();
    let refused = run(&sandbox, &place, &["state", "rollback", "--to", "0"]);
    assert_eq!(refused.status, 12, "{refused}");
    refused.says("would destroy rows of runs");
    assert!(store.run(&a_run().id).await.unwrap().is_some());
    let done = run(
        &sandbox,
        &place,
        &["state", "rollback", "--to", "0", "--yes"],
    );
    assert_eq!(done.status, 0, "{done}");
    assert!(place.open().await.run(&a_run().id).await.unwrap().is_none());
}

async fn an_export_comes_back_in_another_store(place: Place) {
    let sandbox = Sandbox::new();
    place.open().await.begin_run(&a_run()).await.unwrap();
    let exported = run(&sandbox, &place, &["state", "export", "copy.jsonl"]);
    assert_eq!(
        (exported.status, exported.stdout.as_str()),
        (0, ""),
        "{exported}"
    );
    let file = std::fs::read_to_string(sandbox.here().join("copy.jsonl")).unwrap();
    let to_stdout = run(&sandbox, &place, &["state", "export", "-q"]);
    let rows = |text: &str| text.lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&to_stdout.stdout), rows(&file));
    for (place, source) in [(Place::sqlite(), "copy.jsonl"), (Place::postgres(), "-")] {
        let setting = place.setting();
        let mut command = sandbox.command(&["state", "import", source, "--state", &setting]);
        let input = std::fs::File::open(sandbox.here().join("copy.jsonl")).unwrap();
        let output = command.stdin(Stdio::from(input)).output().unwrap();
        let imported = sandbox.outcome(&output);
        assert_eq!(imported.status, 0, "{imported}");
        assert!(place.open().await.run(&a_run().id).await.unwrap().is_some());
    }
    let names: Vec<_> = std::fs::read_dir(sandbox.here()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

async fn an_import_into_a_store_in_use_is_refused(place: Place) {
    let sandbox = Sandbox::new();
    place.open().await.begin_run(&a_run()).await.unwrap();
    run(&sandbox, &place, &["state", "export", "copy.jsonl"]);
    let refused = run(&sandbox, &place, &["state", "import", "copy.jsonl"]);
    assert_eq!(refused.status, 12, "{refused}");
    sandbox.write("here/broken.jsonl", "not an export\n");
    let empty = Place::sqlite();
    let broken = run(&sandbox, &empty, &["state", "import", "broken.jsonl"]);
    assert_eq!(broken.status, 2, "{broken}");
    assert_eq!(
        run(&sandbox, &empty, &["state", "import", "missing.jsonl"]).status,
        2
    );
}

#[test]
fn nothing_is_made_where_there_is_no_store() {
    let sandbox = Sandbox::new();
    for words in [&["state", "export"][..], &["state", "rollback"]] {
        let outcome = sandbox.run(words);
        assert_eq!(outcome.status, 2, "{outcome}");
        outcome.says("there is no state store at");
    }
    assert_eq!(std::fs::read_dir(sandbox.home()).unwrap().count(), 0);
}

#[test]
fn on_a_terminal_a_person_is_asked_for_the_word() {
    let place = Place::sqlite();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { place.open().await.begin_run(&a_run()).await.unwrap() });
    let sandbox = Sandbox::new();
    let binary = assert_cmd::cargo::cargo_bin!("pushctl")
        .display()
        .to_string();
    for (word, status) in [("yes", 12), ("destroy", 0)] {
        let line = format!("{binary} state rollback --to 0 --state {}", place.setting());
        let mut command = std::process::Command::new("script");
        command
            .args(["-qec", &line, "/dev/null"])
            .current_dir(sandbox.here())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("script, of util-linux");
        let mut typed = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut typed, format!("{word}\n").as_bytes()).unwrap();
        let outcome = sandbox.outcome(&child.wait_with_output().unwrap());
        drop(typed);
        assert!(
            outcome.stdout.contains("Type \"destroy\" to continue"),
            "{outcome}"
        );
        assert_eq!(outcome.status, status, "{outcome}");
    }
}
