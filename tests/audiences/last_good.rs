//! `--fallback-max-age`: an earlier audience is published again when the source stays unreachable, and never otherwise.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::pipeline::stage::{TESTER, people};
use crate::support::cli::{Outcome, Sandbox};
use crate::support::postgres::{Database, Postgres};
use crate::support::programs::closed_port;

const OTHER: &str = "22222222-2222-4222-8222-222222222222";
const QUERY: &str = "\
--| title = \"Many\"
--| order = \"user_id\"
--| [parameters.least]
--| type = \"integer\"
--| default = 1
--| min = 1
--| max = 9
--| help = \"The first number\"
--| [[files]]
--| stem = \"many\"
--| columns = [\"user_id\", \"nr\"]
SELECT nr AS user_id, nr FROM generate_series(:least, 20) nr
";

/// A host that failed is asked again at once.
fn config(test_user: &str) -> String {
    format!("test_users = [\"{test_user}\"]\n[source]\nbreaker_failures = 0\n")
}

struct Shop {
    sandbox: Sandbox,
    database: Database,
    away: String,
}

impl Shop {
    /// One whose database was read once.
    fn read_once() -> Self {
        let shop = Self {
            sandbox: Sandbox::new(),
            database: Postgres::shared().database("last_good"),
            away: format!("postgres://reader@127.0.0.1:{}/market", closed_port()),
        };
        // The tables that the test users' rows are made from.
        people(&shop.database, 0);
        shop.sandbox.write("here/queries/many.sql", QUERY);
        shop.sandbox.config(&config(TESTER));
        let outcome = shop.generate(&shop.database.url(), &[]);
        assert_eq!(outcome.status, 0, "{outcome}");
        shop
    }

    fn generate(&self, url: &str, more: &[&str]) -> Outcome {
        let usual = [
            "generate",
            "many",
            "--queries",
            "queries",
            "--output",
            "out",
        ];
        let arguments = [&usual[..], &["--json", "--deadline", "2s"], more].concat();
        self.sandbox.run_with(&arguments, &[("DATABASE_URL", url)])
    }

    /// Generates while the source is away.
    fn away(&self, more: &[&str]) -> Outcome {
        self.generate(&self.away, &[&["--fallback-max-age", "1h"], more].concat())
    }

    /// No earlier audience is used, for this reason.
    fn none(&self, more: &[&str], reason: &str) {
        let before = self.names().len();
        let outcome = self.away(more);
        assert_eq!(outcome.status, 5, "{outcome}");
        outcome.says("no earlier audience was used: ");
        outcome.says(reason);
        assert_eq!(self.names().len(), before, "{outcome}");
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.sandbox.here().join("out")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sandbox.here().join("out").join(name)
    }

    fn the_manifest(&self) -> (PathBuf, Value) {
        let names = self.names();
        let name = names.iter().find(|name| name.ends_with(".manifest.json"));
        let path = self.path(name.unwrap());
        let manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        (path, manifest)
    }

    /// Changes one field of the first manifest.
    fn alter(&self, field: &str, value: Value) {
        let (path, mut manifest) = self.the_manifest();
        manifest[field] = value;
        fs::write(path, manifest.to_string()).unwrap();
    }
}

#[test]
fn the_newest_audience_stands_in_for_a_source_that_stays_away_and_says_so() {
    let shop = Shop::read_once();
    let first = shop.the_manifest().1;
    let without = shop.generate(&shop.away, &[]);
    assert_eq!(without.status, 5, "{without}");
    assert!(!without.stderr.contains("earlier audience"), "{without}");
    let mut names = shop.names();
    for round in 1..3 {
        let outcome = shop.away(&[]);
        assert_eq!(outcome.status, 3, "{outcome}");
        outcome.says("the source stayed unreachable, so the audience as of ");
        let document = outcome.json();
        let manifest = &document["manifest"];
        assert_eq!(manifest["as_of"], first["as_of"]);
        assert_eq!(
            manifest["fallback"]["run_id"], first["run_id"],
            "round {round}"
        );
        assert_ne!(manifest["run_id"], first["run_id"]);
        let reason = manifest["fallback"]["reason"].as_str().unwrap();
        assert!(reason.contains("127.0.0.1"), "{reason}");
        for (file, before) in
            [0, 1].map(|place| (&manifest["files"][place], &first["files"][place]))
        {
            let read =
                |entry: &Value| fs::read(shop.path(entry["name"].as_str().unwrap())).unwrap();
            assert_ne!(file["name"], before["name"]);
            assert_eq!(read(file), read(before));
            assert_eq!(file["sha256"], before["sha256"]);
        }
        let now = shop.names();
        assert_eq!(now.len(), names.len() + 3, "{now:?}");
        names = now;
    }
    // Without test users there are no test files.
    let outcome = shop.away(&["--no-test-files"]);
    assert_eq!(outcome.status, 3, "{outcome}");
    assert_eq!(
        outcome.json()["manifest"]["files"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    // The source is back.
    let outcome = shop.generate(&shop.database.url(), &["--fallback-max-age", "1h"]);
    assert_eq!(outcome.status, 0, "{outcome}");
    assert!(
        outcome.json()["manifest"].get("fallback").is_none(),
        "{outcome}"
    );
}

#[test]
fn stable_names_stay_and_keep_their_content() {
    let shop = Shop::read_once();
    let stable = ["--name-suffix", ""];
    assert_eq!(shop.generate(&shop.database.url(), &stable).status, 0);
    let before = fs::read(shop.path("many.csv")).unwrap();
    assert_eq!(shop.away(&stable).status, 3);
    assert_eq!(fs::read(shop.path("many.csv")).unwrap(), before);
}

#[test]
fn an_audience_that_is_another_or_too_old_or_damaged_is_not_used() {
    let shop = Shop::read_once();
    let another = "/here/out is at most 1h old";
    shop.none(&["--least", "2"], another);
    shop.none(&["--limit", "3"], another);
    let (path, manifest) = shop.the_manifest();
    let age = |minutes: i64| {
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes);
        json!(at.to_string())
    };
    for (field, value) in [
        ("as_of", age(61)),
        ("as_of", age(-10)),
        ("as_of", json!("yesterday")),
        ("audience", json!("few")),
        ("query_sha256", json!("00")),
        ("manifest_version", json!(2)),
    ] {
        shop.alter(field, value);
        shop.none(&[], another);
        fs::write(&path, manifest.to_string()).unwrap();
    }
    shop.alter("as_of", age(59));
    assert_eq!(shop.away(&["--name-suffix", "x"]).status, 3);
    for name in shop.names().iter().filter(|name| name.contains("_x.")) {
        fs::remove_file(shop.path(name)).unwrap();
    }
    shop.sandbox.config(&config(OTHER));
    shop.none(&[], "lists others than the present test users");
    shop.sandbox.config(&config(TESTER));
    let name = manifest["files"][0]["name"].as_str().unwrap();
    let text = fs::read(shop.path(name)).unwrap();
    fs::write(shop.path(name), [&text[..], b"21,21\r\n"].concat()).unwrap();
    shop.none(&[], "was changed since it was written");
    fs::remove_file(shop.path(name)).unwrap();
    shop.none(&[], "cannot be read");
    fs::write(shop.path(name), text).unwrap();
    assert_eq!(shop.away(&[]).status, 3);
}

#[test]
fn a_damaged_audience_is_passed_over_for_the_one_before_it() {
    let shop = Shop::read_once();
    let first = shop.the_manifest().1;
    let second = shop.generate(&shop.database.url(), &[]).json();
    let name = second["manifest"]["files"][0]["name"].as_str().unwrap();
    fs::write(shop.path(name), "torn").unwrap();
    let outcome = shop.away(&[]);
    assert_eq!(outcome.status, 3, "{outcome}");
    assert_eq!(
        outcome.json()["manifest"]["fallback"]["run_id"],
        first["run_id"]
    );
}

#[test]
fn only_a_source_that_cannot_be_reached_is_stood_in_for() {
    let shop = Shop::read_once();
    let fallback = ["--fallback-max-age", "1h"];
    let refused = shop.database.url_with("no_such_role", "sslmode=require");
    let outcome = shop.generate(&refused, &fallback);
    assert_eq!(outcome.status, 4, "{outcome}");
    let usual = ["generate", "many", "--queries", "queries"];
    for unfit in [&["--output", "-"][..], &["--dry-run"], &["--as-of", "now"]] {
        let arguments = [&usual[..], &fallback, unfit].concat();
        let outcome = shop
            .sandbox
            .run_with(&arguments, &[("DATABASE_URL", &shop.away)]);
        assert_eq!(outcome.status, 2, "{outcome}");
        outcome.says("--fallback-max-age");
    }
    let outcome = shop.generate(&shop.away, &["--fallback-max-age", "soon"]);
    assert_eq!(outcome.status, 2, "{outcome}");
}
