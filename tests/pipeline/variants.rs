//! Variants of a push: who gets which, and their outcomes in summary, file and preview.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use super::office::{File, Office};
use crate::support::fcm::script::{Reply, Script};

const VARIANTS: &str = "\
[[push.variant]]
name = \"plain\"
share = 50
[[push.variant]]
title = \"Hi [[var:username]]\"
share = 30
[[push.variant]]
body = \"Third [[var:bio]]\"
share = 20
";

fn office(fans: u32, script: Script, safeguards: &str) -> Office {
    let mut office = Office::new(fans, script);
    office.set("PUSHCTL_CADENCE", "off");
    office.file(&File {
        push: VARIANTS,
        safeguards: safeguards.to_owned(),
        ..File::default()
    });
    office.ends(&["generate", "fans"], 0);
    office
}

fn send(office: &Office, more: &[&str], status: i32) -> Value {
    let send = [
        "send",
        "--automation",
        "daily",
        "--push",
        "1",
        "--yes",
        "--json",
    ];
    office.ends(&[&send[..], more].concat(), status).json()
}

/// The title and the body of each message.
fn texts(office: &Office) -> Vec<(String, String)> {
    let requests = office.stand_in.requests().into_iter();
    let texts = requests.map(|request| {
        let notification = &request.message["message"]["notification"];
        let text = |key: &str| notification[key].as_str().unwrap().to_owned();
        (text("title"), text("body"))
    });
    texts.collect()
}

fn outcomes(office: &Office, summary: &Value) -> PathBuf {
    let path = summary["files"]["outcomes"].as_str().unwrap();
    let name = path.rsplit('/').next().unwrap();
    office.sandbox.here().join("outcomes").join(name)
}

/// The variant of each recipient in an outcome file.
fn assigned(office: &Office, summary: &Value) -> BTreeMap<String, String> {
    let mut reader = csv::Reader::from_path(outcomes(office, summary)).unwrap();
    let header = reader.headers().unwrap().clone();
    assert_eq!(header.get(6), Some("variant"));
    let rows = reader.records().map(Result::unwrap);
    rows.map(|row| (row[0].to_owned(), row[6].to_owned()))
        .collect()
}

#[test]
fn each_recipient_gets_one_variant_and_the_same_one_each_time() {
    let office = office(200, Script::default(), "");
    let first = send(&office, &["--occurrence", "first"], 0);
    let second = send(&office, &["--occurrence", "second"], 0);
    let (one, two) = (assigned(&office, &first), assigned(&office, &second));
    assert_eq!(one, two);
    assert_eq!(one.len(), 100);
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for name in one.values() {
        *seen.entry(name).or_default() += 1;
    }
    assert_eq!(
        seen.keys().copied().collect::<Vec<_>>(),
        ["B", "C", "plain"]
    );
    assert!(seen["plain"] > seen["C"], "{seen:?}");
    for variant in first["variants"].as_array().unwrap() {
        let count = seen[variant["name"].as_str().unwrap()];
        assert_eq!(variant["recipients"], count, "{variant}");
        assert_eq!(variant["accepted"], count, "{variant}");
    }
    // The words on the wire are those of the variant.
    let mut words: BTreeMap<&str, u64> = BTreeMap::new();
    for (title, body) in texts(&office) {
        let name = match (title.starts_with("Hi "), body.starts_with("Third ")) {
            (true, false) => "B",
            (false, true) => "C",
            (false, false) => "plain",
            (true, true) => panic!("{title}: {body}"),
        };
        *words.entry(name).or_default() += 1;
    }
    for count in words.values_mut() {
        *count /= 2;
    }
    assert_eq!(words, seen);
}

#[test]
fn the_groups_of_variants_and_control_add_up_and_the_files_can_be_written_again() {
    let script = Script::default()
        .always("token-fan-2", Reply::Unregistered)
        .always("token-fan-4", Reply::InvalidToken);
    let office = office(200, script, "holdout_percent = 20");
    office
        .market
        .execute("DELETE FROM devices WHERE token = 'token-fan-6'");
    let dry = send(&office, &["--dry-run"], 0);
    let summary = send(&office, &[], 3);
    let of = |summary: &Value, name: &str| -> u64 {
        let variants = summary["variants"].as_array().unwrap().iter();
        variants.map(|one| one[name].as_u64().unwrap()).sum()
    };
    let held_out = summary["held_out"].as_u64().unwrap();
    assert!((5..40).contains(&held_out), "{held_out}");
    assert_eq!(of(&summary, "recipients") + held_out, 100);
    assert_eq!(of(&dry, "recipients"), of(&summary, "recipients"));
    for name in ["accepted", "failed", "dead", "in_doubt"] {
        assert_eq!(
            of(&summary, name),
            summary[name].as_u64().unwrap(),
            "{name}"
        );
    }
    let before = assigned(&office, &summary);
    let unassigned = before.values().filter(|name| name.is_empty()).count();
    assert_eq!(unassigned as u64, held_out);
    std::fs::remove_file(outcomes(&office, &summary)).unwrap();
    office.ends(&["runs", "files", summary["run"].as_str().unwrap()], 0);
    assert_eq!(assigned(&office, &summary), before);
}

#[test]
fn a_pipeline_and_the_preview_use_the_variants() {
    let office = office(40, Script::default(), "");
    let preview = [
        "preview",
        "--automation",
        "daily",
        "--push",
        "1",
        "--samples",
        "40",
        "--json",
    ];
    let preview = office.ends(&preview, 0).json();
    for sample in preview["samples"].as_array().unwrap() {
        let is_second = sample["variant"] == "B";
        let title = sample["title"].as_str().unwrap();
        assert_eq!(title.starts_with("Hi "), is_second, "{sample}");
    }
    let outcome = office.ends(&["run-pipeline", "daily"], 0);
    let run = office.runs().remove(0);
    let fan = "SELECT id::text FROM users WHERE username = 'fan-2'";
    let user = &office.market.query(fan)[0][0];
    let why = ["why", "--run", &run.id, "--user", user, "--json"];
    let why = office.ends(&why, 0).json();
    assert!(
        ["plain", "B", "C"].contains(&why["pushes"][0]["variant"].as_str().unwrap_or("none")),
        "{why}"
    );
    let texts = texts(&office);
    assert!(
        texts.iter().any(|(title, _)| title.starts_with("Hi ")),
        "{outcome}"
    );
}
