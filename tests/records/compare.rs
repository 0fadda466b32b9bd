use pushctl::csv_writer::hex;
use pushctl::state::NewRun;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{another, run};
use crate::state::in_both_stores;
use crate::support::cli::Sandbox;
use crate::support::store::Place;

in_both_stores!(who_came_and_who_left_is_told_by_audience_file,);

/// An audience file in the sandbox, as the generate phase tells of it.
fn file(sandbox: &Sandbox, name: &str, stem: &str, users: &[&str]) -> Value {
    let text = format!("user_id,name\r\n{}\r\n", users.join(",x\r\n") + ",x");
    sandbox.write(&format!("here/{name}"), &text);
    let live = json!({ "name": name, "rows": users.len(), "sha256": hex(&Sha256::digest(text)) });
    json!({ "audience_file": stem, "live": live, "test": null })
}

async fn who_came_and_who_left_is_told_by_audience_file(place: Place) {
    let sandbox = Sandbox::new();
    let store = place.open().await;
    let details = [
        json!([
            file(&sandbox, "a1.csv", "offers", &["ann", "bob", "cy"]),
            file(&sandbox, "a2.csv", "wishes", &["dan"]),
            { "audience_file": "nobody", "live": null, "test": null },
        ]),
        json!([
            file(&sandbox, "b1.csv", "offers", &["bob", "cy", "eve", "fay"]),
            file(&sandbox, "b3.csv", "closets", &["gus", "hal"]),
        ]),
    ];
    for (number, pushes) in (1..).zip(details) {
        let new = another(number, "layer3-daily");
        store.begin_run(&new).await.unwrap();
        let attempt = store.begin_phase(&new.id, "generate").await.unwrap();
        let detail = json!({ "directory": sandbox.here(), "pushes": pushes });
        store
            .end_phase(&new.id, "generate", attempt, "done", &detail)
            .await
            .unwrap();
        place.clock.advance(std::time::Duration::from_secs(60));
    }
    // As an early version recorded it: no word of sharing or of a rate.
    let send = json!({ "order": {
        "automation": "send", "occurrence": "o", "number": 1, "layer": 3,
        "input": { "file": { "path": "b1.csv", "sha256": null } },
        "wording": { "title": "T", "body": "B", "deep_link": null, "data": {} },
        "devices": "latest", "reach": "live", "in_doubt": "keep", "cadence_failure": "abort", "holdout_percent": 0.0,
    } });
    for (number, plan) in [(3, send), (4, json!({}))] {
        let new = NewRun {
            plan,
            ..another(number, "send")
        };
        store.begin_run(&new).await.unwrap();
        place.clock.advance(std::time::Duration::from_secs(60));
    }
    let id = |number| another(number, "").id;
    let diff = run(
        &sandbox,
        &place,
        &["runs", "diff", &id(1), &id(2), "--json"],
    );
    assert_eq!(diff.status, 0, "{diff}");
    let files = diff.json()["files"].clone();
    let counts: Vec<Value> = files
        .as_array()
        .unwrap()
        .iter()
        .map(|one| json!([one["file"], one["stayed"], one["came"], one["left"]]))
        .collect();
    let expected = json!([
        ["offers", 2, 2, 1],
        ["wishes", 0, 0, 1],
        ["closets", 0, 2, 0]
    ]);
    assert_eq!(Value::from(counts), expected);
    assert_eq!(files[0]["came_examples"], json!(["eve", "fay"]));
    assert_eq!(files[0]["left_examples"], json!(["ann"]));
    assert_eq!(
        (&files[1]["rows_a"], &files[1]["rows_b"]),
        (&json!(1), &Value::Null)
    );
    let text = run(
        &sandbox,
        &place,
        &["runs", "diff", &id(1), &id(2), "--examples", "1"],
    );
    assert!(
        text.stdout
            .contains("offers: came\n  eve\n  … and 1 more\n"),
        "{text}"
    );
    let send = run(
        &sandbox,
        &place,
        &["runs", "diff", &id(3), &id(3), "--json"],
    );
    assert_eq!(send.json()["files"][0]["stayed"], 4, "{send}");
    let nothing = run(&sandbox, &place, &["runs", "diff", &id(1), "last"]);
    assert_eq!(nothing.status, 2, "{nothing}");
    sandbox.write("here/b1.csv", "user_id,name\r\nzed,x\r\n");
    let changed = run(&sandbox, &place, &["runs", "diff", &id(1), &id(2)]);
    assert_eq!(changed.status, 1, "{changed}");
    changed.says("has changed since");
    std::fs::remove_file(sandbox.here().join("a1.csv")).unwrap();
    let gone = run(&sandbox, &place, &["runs", "diff", &id(1), &id(2)]);
    gone.says("retention");
}
