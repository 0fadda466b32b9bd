//! What the options of `generate` make of an audience, and what its manifest proves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Directory, Fair, difference};
use crate::support::market::{AS_OF, handmade, random, rfc3339};
use crate::support::oracle::csv_text::{LineEnding, document};
use crate::support::oracle::{ExpectedFile, Layer3, Request};

fn strings<const N: usize>(arguments: [&str; N]) -> Vec<String> {
    arguments.map(str::to_owned).to_vec()
}

/// The files without their manifest, and the manifest.
fn split(audience: &str, mut files: Directory) -> (Directory, Value) {
    let manifest = files
        .remove(&format!("{audience}.manifest.json"))
        .expect("a manifest");
    let manifest = serde_json::from_slice(&manifest).expect("JSON");
    (files, manifest)
}

#[test]
fn lines_end_as_asked_and_a_second_run_writes_the_same_bytes() {
    let fair = Fair::of("endings", handmade::market());
    for request in fair.requests() {
        let audience = request.audience();
        let mut arguments = request.arguments();
        let (_, first) = fair.generate(audience, &arguments);
        let (_, second) = fair.generate(audience, &arguments);
        let (first, second) = (split(audience, first).0, split(audience, second).0);
        assert_eq!(difference(&first, &second), None, "{audience}");

        arguments.extend(strings(["--line-ending", "lf"]));
        let (_, found) = fair.generate(audience, &arguments);
        let expected = request.directory(&fair.facts(), &fair.market.test_users, LineEnding::Lf);
        assert_eq!(difference(&expected, &split(audience, found).0), None);
    }
}

#[test]
fn the_manifest_counts_and_hashes_what_was_written_for_its_owner_alone() {
    let fair = Fair::of("manifest", handmade::market());
    for request in fair.requests() {
        let audience = request.audience();
        let (_, files) = fair.generate(audience, &request.arguments());
        let (files, manifest) = split(audience, files);
        assert_eq!(manifest["audience"], audience);
        let listed: BTreeMap<&str, &Value> = manifest["files"]
            .as_array()
            .expect("files")
            .iter()
            .map(|file| (file["name"].as_str().expect("a name"), file))
            .collect();
        assert!(listed.keys().eq(files.keys()), "{manifest:#}");
        let computed: BTreeMap<String, ExpectedFile> = request
            .files(&fair.facts())
            .into_iter()
            .map(|file| (file.stem.clone(), file))
            .collect();
        for (name, bytes) in &files {
            let entry = listed[name.as_str()];
            let file = &computed[entry["stem"].as_str().expect("a stem")];
            let rows = match entry["kind"].as_str() {
                Some("production") => file.rows.len(),
                _ => fair.market.test_users.len(),
            };
            assert_eq!(entry["rows"], rows, "{name}");
            assert_eq!(entry["bytes"], bytes.len(), "{name}");
            let digest = Sha256::digest(bytes);
            let digits: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            let sha256 = digits.concat();
            assert_eq!(entry["sha256"], sha256, "{name}");
            assert_eq!(
                entry["columns"],
                Value::from(file.columns.clone()),
                "{name}"
            );
        }
        for entry in fs::read_dir(fair.sandbox.here().join("out")).expect("files") {
            let entry = entry.expect("a file");
            let mode = entry.metadata().expect("its mode").permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
        }
    }
}

/// The people of each production file.
fn people(files: &Directory) -> Vec<BTreeSet<String>> {
    let production = files
        .iter()
        .filter(|(name, _)| !name.to_lowercase().contains("test"));
    production
        .map(|(name, bytes)| {
            let mut reader = csv::Reader::from_reader(bytes.as_slice());
            let rows = reader.records().map(|row| row.expect("CSV")[0].to_owned());
            let rows: Vec<String> = rows.collect();
            let people: BTreeSet<String> = rows.iter().cloned().collect();
            assert_eq!(people.len(), rows.len(), "{name} has a user twice");
            people
        })
        .collect()
}

#[test]
fn no_user_is_in_two_files_of_an_audience_and_the_waterfall_partitions_its_base() {
    for (name, market) in [
        ("shares", handmade::market()),
        ("sharing", random::market(3)),
    ] {
        let fair = Fair::of(name, market);
        for request in fair.requests() {
            let audience = request.audience();
            let (_, files) = fair.generate(audience, &request.arguments());
            let (files, manifest) = split(audience, files);
            let people = people(&files);
            let all: BTreeSet<&String> = people.iter().flatten().collect();
            let sum: usize = people.iter().map(BTreeSet::len).sum();
            assert_eq!(all.len(), sum, "{audience}: a user is in two files");
            if audience == "waterfall" {
                let partition = &manifest["partition"];
                assert_eq!(partition["base"], sum, "{partition:#}");
                assert_eq!(partition["sum"], sum, "{partition:#}");
                assert_eq!(partition["in_two"], 0, "{partition:#}");
                assert_eq!(partition["holds"], true, "{partition:#}");
                for file in request.files(&fair.facts()) {
                    let level = &partition["levels"][&file.stem];
                    assert_eq!(level, file.rows.len(), "{}", file.stem);
                }
            }
        }
    }
}

#[test]
fn a_limit_keeps_the_first_rows_of_every_file() {
    let fair = Fair::of("limit", handmade::market());
    for request in fair.requests() {
        for limit in [1, 3] {
            let audience = request.audience();
            let mut arguments = request.arguments();
            arguments.extend(["--limit".to_owned(), limit.to_string()]);
            let (outcome, found) = fair.generate(audience, &arguments);
            assert_eq!(outcome.status, 0, "{outcome}");
            let expected = request.limited(&fair.facts(), &fair.market.test_users, limit);
            let (found, manifest) = split(audience, found);
            assert_eq!(
                difference(&expected, &found),
                None,
                "{audience} --limit {limit}"
            );
            assert_eq!(manifest["limit"], limit);
        }
    }
}

#[test]
fn standard_output_gets_the_bytes_of_the_file() {
    let fair = Fair::of("stdout", handmade::market());
    let as_of = rfc3339(AS_OF);
    for request in fair.requests() {
        for file in request.files(&fair.facts()) {
            let arguments = request.arguments();
            let mut command = vec!["generate", request.audience(), "--as-of", &as_of];
            // A file is chosen by what its stem is before the product is known.
            let (chosen, _) = file.stem.split_once('_').unwrap_or((&file.stem, ""));
            command.extend(["--output", "-", "--file", chosen]);
            command.extend(arguments.iter().map(String::as_str));
            let outcome = fair.run(&command);
            assert_eq!(outcome.status, 0, "{outcome}");
            let expected = document(&file.columns, &file.rows, LineEnding::Crlf);
            assert!(
                outcome.stdout.as_bytes() == expected,
                "{}: {outcome}",
                file.stem
            );
        }
    }
}

#[test]
fn an_empty_audience_is_a_warning_or_exit_status_6_and_no_file() {
    let fair = Fair::of("empty", handmade::market());
    let empty = Request::Layer3(Layer3 {
        cooling_hours: 48,
        ..Layer3::default()
    });
    let arguments = empty.arguments();
    for (on_empty, status, said) in [("ok", 0, false), ("warn", 0, true), ("fail", 6, true)] {
        let asked = [&arguments[..], &strings(["--on-empty", on_empty])].concat();
        let (outcome, files) = fair.generate("layer3", &asked);
        assert_eq!(outcome.status, status, "{outcome}");
        assert_eq!(outcome.stderr.contains("empty"), said, "{outcome}");
        let csv = files
            .keys()
            .filter(|name| !name.ends_with(".manifest.json"));
        assert_eq!(csv.count(), 0, "{outcome}");
    }
    let (outcome, _) = fair.generate("layer3", &arguments);
    assert_eq!(outcome.status, 0, "empty is a normal outcome: {outcome}");
    let (outcome, files) = fair.generate("layer3", &strings(["--on-empty", "fail"]));
    assert_eq!(outcome.status, 0, "{outcome}");
    assert!(files.len() > 1, "{outcome}");
}

#[test]
fn test_files_are_left_out_when_asked_and_without_test_users() {
    let fair = Fair::of("untested", handmade::market());
    let request = &fair.requests()[0];
    let expected = request.directory(&fair.facts(), &[], LineEnding::Crlf);
    let without = [request.arguments(), strings(["--no-test-files"])].concat();
    let (_, found) = fair.generate("layer2", &without);
    assert_eq!(difference(&expected, &split("layer2", found).0), None);

    fair.sandbox.config("");
    let (outcome, found) = fair.generate("layer2", &request.arguments());
    assert_eq!(difference(&expected, &split("layer2", found).0), None);
    outcome.says("no test users");
}

#[test]
fn a_dry_run_counts_and_writes_nothing() {
    let fair = Fair::of("dry", handmade::market());
    for request in fair.requests() {
        let arguments = [request.arguments(), strings(["--dry-run", "--json"])].concat();
        let (outcome, found) = fair.generate(request.audience(), &arguments);
        assert_eq!((outcome.status, found.len()), (0, 0), "{outcome}");
        let document = outcome.json();
        for file in request.files(&fair.facts()) {
            let rows = document["manifest"]["files"]
                .as_array()
                .expect("files")
                .iter()
                .find(|entry| entry["stem"] == file.stem && entry["kind"] == "production")
                .map(|entry| entry["rows"].clone());
            assert_eq!(rows, Some(file.rows.len().into()), "{outcome}");
        }
    }
}
