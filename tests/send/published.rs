//! Audience files beside an interrupted publication, or a manifest that describes other content.

use std::fs;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Office, people, tokens};
use crate::support::fcm::script::Script;
use crate::support::postgres::Postgres;

/// People with tokens, without any table; stable names.
const CROWD: &str = r#"
--| title = "A crowd"
--| order = "n"
--| [parameters.first]
--| type = "integer"
--| default = 0
--| help = "The first"
--| [[files]]
--| stem = "crowd"
--| columns = ["user_id", "name", "token"]
SELECT n, ('a0eebc99-9c0b-4ef8-bb6d-' || lpad(to_hex(n), 12, '0'))::uuid AS user_id, 'Ana' AS name, 't-' || n AS token
FROM generate_series(:first, :first + 2) AS n
"#;

const AUDIENCE: [&str; 2] = ["--audience", "generated/crowd.csv"];

fn office() -> Office {
    let mut office = Office::playing(Script::default());
    office.sandbox.write("here/queries/crowd.sql", CROWD);
    office.set("PUSHCTL_QUERIES", "queries");
    let database = Postgres::shared().database("crowd");
    database.execute(
        "INSERT INTO users (id, deleted_at)
         SELECT ('a0eebc99-9c0b-4ef8-bb6d-' || lpad(to_hex(n), 12, '0'))::uuid, 0 FROM generate_series(0, 999) AS n",
    );
    office.set("DATABASE_URL", database.url());
    office
}

fn generate(office: &Office, first: &str) {
    let arguments = [
        "generate",
        "crowd",
        "-q",
        "--name-suffix",
        "",
        "--first",
        first,
    ];
    let outcome = office.run(&arguments);
    assert_eq!(outcome.status, 0, "{outcome}");
}

#[test]
fn a_file_beside_an_interrupted_publication_is_refused_until_generate_has_finished_it() {
    let office = office();
    generate(&office, "0");
    // The next run was killed before any file was published.
    let directory = office.sandbox.here().join("generated");
    let marker = directory.join(".pushctl-killed.commit");
    fs::create_dir(&marker).unwrap();
    for name in ["lock", "crowd.csv", "crowd.manifest.json"] {
        fs::write(marker.join(name), "new").unwrap();
    }
    for more in [&[][..], &["--dry-run"], &["--validate-only"]] {
        let said = office.refused(&[&AUDIENCE[..], more].concat(), 12);
        for told in [
            "generated/crowd.csv",
            ".pushctl-killed.commit",
            "interrupted",
            "pushctl generate",
            "--override commit-marker",
        ] {
            assert!(said.contains(told), "{told}: {said}");
        }
    }
    assert!(office.delivered().is_empty());
    generate(&office, "3");
    assert!(!marker.exists());
    assert_eq!(office.send(&AUDIENCE).count("accepted"), 3);
    assert_eq!(office.delivered(), tokens(3..6));
}

#[test]
fn a_file_whose_manifest_describes_another_content_is_refused() {
    let office = office();
    generate(&office, "0");
    let directory = office.sandbox.here().join("generated");
    let old = fs::read(directory.join("crowd.csv")).unwrap();
    generate(&office, "3");
    fs::write(directory.join("crowd.csv"), &old).unwrap();
    fs::create_dir(office.sandbox.here().join("linked")).unwrap();
    let link = office.sandbox.here().join("linked/today.csv");
    std::os::unix::fs::symlink(directory.join("crowd.csv"), link).unwrap();
    for path in ["generated/crowd.csv", "linked/today.csv"] {
        let said = office.refused(&["--audience", path], 12);
        for told in [path, "crowd.manifest.json", "SHA-256", "generate"] {
            assert!(said.contains(told), "{told}: {said}");
        }
    }
    assert!(office.delivered().is_empty());
    // Another manifest that describes it is valid, too; under another name no manifest applies.
    fs::write(directory.join("edited.csv"), &old).unwrap();
    let sent = office.send(&[
        "--audience",
        "generated/edited.csv",
        "--occurrence",
        "edited",
    ]);
    assert_eq!(sent.count("accepted"), 3, "{}", sent.outcome);
    let sha256 = pushctl::csv_writer::hex(&Sha256::digest(&old));
    let manifest = json!({ "files": [{ "name": "crowd.csv", "sha256": sha256 }] });
    fs::write(directory.join("other.manifest.json"), manifest.to_string()).unwrap();
    let sent = office.send(&[&AUDIENCE[..], &["--occurrence", "edited"]].concat());
    assert_eq!(
        (sent.status(), sent.count("messages")),
        (0, 0),
        "{}",
        sent.outcome
    );
}

#[test]
fn a_resumed_run_and_a_file_without_a_manifest_are_checked_alike() {
    let office = office();
    office.audience(&people(0..400));
    let sending = office.start(&["--rate", "100"]);
    office.wait_for(10);
    crate::support::programs::signal("INT", sending.id());
    let stopped = office.sent(office.ended(sending));
    let marker = office.sandbox.here().join(".pushctl-killed.commit");
    fs::create_dir(&marker).unwrap();
    let outcome = office.run(&["resume", stopped.run()]);
    assert_eq!(outcome.status, 12, "{outcome}");
    outcome.says("interrupted");
    fs::remove_dir(&marker).unwrap();
    let sent = office.resume(stopped.run(), &["--rate", "5000"]);
    assert_eq!(sent.count("accepted"), 400, "{}", sent.outcome);
}
