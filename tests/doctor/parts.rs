//! What can be wrong with the state store, the history, the push service, the directories and the automations.

use std::process::Command;

use openssl::pkey::PKey;
use openssl::rsa::Rsa;

use super::connection::standby;
use super::{Installation, source};
use crate::support::cadence::{Mood, Service};
use crate::support::fcm::script::{Reply, Script};
use crate::support::fcm::{Options, StandIn};
use crate::support::postgres::Postgres;
use crate::support::programs::{closed_port, may_mount};

#[test]
fn a_state_store_is_looked_at_and_left_as_it_is() {
    let database = source();
    let installation = Installation::of(&database.url());
    let only = ["--only", "state"];
    let examined = installation.examine(&only);
    examined
        .all_well()
        .is("state", "store", "ok")
        .is("state", "migrations", "skipped");
    assert_eq!(installation.run(&["state", "migrate"]).status, 0);
    let examined = installation.examine(&only);
    for step in [
        "configuration",
        "store",
        "migrations",
        "writable",
        "outcome files",
    ] {
        examined.is("state", step, "ok");
    }
    // A run in it, so that an older store is not taken for an empty one.
    super::privileges::send(&installation);
    assert_eq!(
        installation
            .run(&["state", "rollback", "--to", "4", "--yes"])
            .status,
        0
    );
    let examined = installation.examine(&only);
    examined.fails(
        "state",
        "migrations",
        "0006_dead_tokens",
        "pushctl state migrate",
        2,
    );
    assert!(
        installation
            .run(&["state", "status"])
            .stdout
            .contains("pending")
    );
    std::fs::write(installation.sandbox.home().join("state.db"), "").unwrap();
    let examined = installation.examine(&only);
    examined.fails(
        "state",
        "store",
        "is an empty file",
        "pushctl state export",
        1,
    );
}

#[test]
fn a_state_store_that_can_only_be_read_is_told() {
    let (_cluster, database) = standby("state");
    let installation = Installation::of(&source().url()).set(
        "PUSHCTL_STATE_URL",
        database.url_with("tls_only", "sslmode=require"),
    );
    let examined = installation.examine(&["--only", "state"]);
    examined.fails("state", "writable", "standby", "primary", 1);
    examined.is("state", "query", "ok");
}

#[test]
fn a_state_store_older_than_the_outcome_files_is_told() {
    let installation = Installation::of(&source().url());
    assert_eq!(installation.run(&["state", "migrate"]).status, 0);
    let run = uuid::Uuid::now_v7();
    installation.sandbox.write(
        &format!("here/outcomes/{run}.push-1.outcomes.csv"),
        "user_id,outcome\n",
    );
    let examined = installation.examine(&["--only", "state"]);
    examined.fails(
        "state",
        "outcome files",
        "is older than the outcome files",
        "--override state-store",
        12,
    );
}

#[test]
fn a_history_that_is_away_is_told_for_each_kind() {
    let database = source();
    let url = format!("postgres://reader@127.0.0.1:{}/market", closed_port());
    let installation = Installation::of(&database.url()).set("PUSH_CADENCE_DATABASE_URL", url);
    let examined = installation.examine(&["--only", "history"]);
    examined.fails("history", "tcp", "refused", "no service listens", 5);
    examined
        .skips("history", "privileges", "tcp")
        .skips("history", "rules", "tcp");

    let away = format!("http://127.0.0.1:{}", closed_port());
    let installation = Installation::of(&database.url()).set("CADENCE_SERVICE_URL", away);
    let examined = installation.examine(&["--only", "history"]);
    examined.fails(
        "history",
        "service",
        "cannot reach the cadence service",
        "CADENCE_SERVICE_URL",
        5,
    );

    let service = Service::start([]);
    let installation = Installation::of(&database.url()).set("CADENCE_SERVICE_URL", service.url());
    installation
        .examine(&["--only", "history"])
        .all_well()
        .is("history", "service", "ok");
    assert!(service.tracked().is_empty());
    service.next([Mood::FailsOpen, Mood::FailsOpen, Mood::FailsOpen]);
    let examined = installation.examine(&["--only", "history"]);
    examined.is("history", "service", "failed");
    assert_eq!(examined.outcome.status, 5, "{}", examined.outcome);

    let examined = installation.examine(&["--only", "history", "--cadence", "off"]);
    examined
        .all_well()
        .is("history", "configuration", "warning");
}

#[test]
fn a_wrong_push_key_is_told_at_its_parsing_or_at_the_token() {
    let installation = Installation::of(&source().url());
    let other = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
    let other = String::from_utf8(other.private_key_to_pem_pkcs8().unwrap()).unwrap();
    let text = std::fs::read_to_string(installation.sandbox.home().join("account.json")).unwrap();
    let mut account: serde_json::Value = serde_json::from_str(&text).unwrap();
    account["private_key"] = other.into();
    installation
        .sandbox
        .write("home/account.json", &account.to_string());
    let examined = installation.examine(&["--only", "push"]);
    examined.fails(
        "push",
        "token",
        "rejects the service account",
        "key was not deleted",
        4,
    );
    examined
        .is("push", "connection", "ok")
        .skips("push", "message", "token");

    account["private_key"] = "-----BEGIN PRIVATE KEY-----\nhunter2\n".into();
    installation
        .sandbox
        .write("home/account.json", &account.to_string());
    let examined = installation.examine(&["--only", "push"]);
    examined.fails(
        "push",
        "credentials",
        "private key is damaged",
        "BEGIN PRIVATE KEY",
        2,
    );
    examined
        .skips("push", "connection", "credentials")
        .skips("push", "message", "credentials");
    assert!(
        !examined.outcome.stdout.contains("hunter2"),
        "{}",
        examined.outcome
    );
}

#[test]
fn a_project_without_the_api_is_told_at_the_message() {
    let stand_in = StandIn::playing(Script::default().always("*", Reply::PermissionDenied));
    let installation = Installation::with(&source().url(), stand_in);
    let examined = installation.examine(&["--only", "push"]);
    examined.fails(
        "push",
        "message",
        "has not been used in project",
        "Cloud Messaging API is enabled",
        4,
    );
    examined.is("push", "token", "ok");

    let stand_in = StandIn::playing(Script::default().always("*", Reply::NotFound));
    let examined = Installation::with(&source().url(), stand_in).examine(&["--only", "push"]);
    examined.fails(
        "push",
        "message",
        "Requested entity was not found",
        "check the project id",
        4,
    );

    let stand_in = StandIn::playing(Script::default().always("*", Reply::InvalidToken));
    let examined = Installation::with(&source().url(), stand_in).examine(&["--only", "push"]);
    examined.all_well().is("push", "message", "ok");

    let options = Options {
        token_refusal: Some(503),
        ..Options::default()
    };
    let examined = Installation::with(&source().url(), StandIn::start(&options).unwrap())
        .examine(&["--only", "push"]);
    examined.is("push", "token", "failed");
    assert_eq!(examined.outcome.status, 5, "{}", examined.outcome);
}

#[test]
fn a_directory_that_cannot_be_written_is_told() {
    let installation = Installation::of(&source().url());
    installation.sandbox.write("here/generated", "a file");
    let examined = installation.examine(&["--only", "files"]);
    examined.is("files", "output", "failed");
    assert_eq!(examined.outcome.status, 1, "{}", examined.outcome);
    if !may_mount() {
        return;
    }
    let cases = [
        ("size=128k", "", "free", "free some space"),
        (
            "size=128k",
            "head -c 1000000 /dev/zero > outcomes/full 2>/dev/null;",
            "No space left",
            "free some space",
        ),
        ("ro", "", "Read-only file system", "mount it for writing"),
    ];
    for (options, first, says, hint) in cases {
        let installation = Installation::of(&source().url());
        installation.sandbox.write("here/outcomes/.keep", "");
        let doctor = installation.command(&[]);
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--map-root-user", "sh", "-c"])
            .arg(format!(
                "mount -t tmpfs -o {options} none outcomes && {{ {first} exec \"$0\" \"$@\"; }}"
            ))
            .arg(doctor.get_program())
            .current_dir(installation.sandbox.here())
            .env("HOME", installation.sandbox.home())
            .envs(&installation.variables)
            .args(["doctor", "--json"]);
        let examined = installation.examined(&mut command, &["--only", "files"]);
        examined
            .fails("files", "outcomes", says, hint, 1)
            .is("files", "output", "ok");
    }
}

#[test]
fn automations_are_checked_and_their_notices_reached_without_a_post() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let closed = closed_port();
    let installation = Installation::of(&source().url())
        .set(
            "TEST_WEBHOOK",
            format!("http://127.0.0.1:{port}/secret-path"),
        )
        .set(
            "TEST_HEARTBEAT",
            format!("http://127.0.0.1:{closed}/secret-path"),
        );
    installation
        .examine(&["--only", "automations"])
        .all_well()
        .is("automations", "files", "ok");
    let text = std::fs::read_to_string("automations/layer3.toml").unwrap();
    let notify = "\n[notify]\nwebhook = \"env:TEST_WEBHOOK\"\nheartbeat = \"env:TEST_HEARTBEAT\"\n";
    let text = without_table(&text, "[notify]");
    installation
        .sandbox
        .write("here/automations/layer3.toml", &format!("{text}{notify}"));
    let examined = installation.examine(&["--only", "automations"]);
    examined.is("automations", &format!("notices to 127.0.0.1:{port}"), "ok");
    examined.is(
        "automations",
        &format!("notices to 127.0.0.1:{closed}"),
        "failed",
    );
    assert_eq!(examined.outcome.status, 5, "{}", examined.outcome);
    assert!(
        !examined.outcome.stdout.contains("secret-path"),
        "{}",
        examined.outcome
    );
    drop(listener);

    installation.sandbox.write(
        "here/automations/layer3.toml",
        &format!("{text}\n[notify]\nwebhook = \"env:NO_SUCH\"\n"),
    );
    let examined = installation.examine(&["--only", "automations"]);
    examined.all_well().is("automations", "notices", "warning");

    installation
        .sandbox
        .write("here/automations/layer3.toml", "name = 7");
    let examined = installation.examine(&["--only", "automations"]);
    examined.is("automations", "files", "failed");
    assert_eq!(examined.outcome.status, 2, "{}", examined.outcome);
}

/// The text of a TOML file without one of its tables.
fn without_table(text: &str, table: &str) -> String {
    let mut inside = false;
    let kept = text.lines().filter(|line| {
        if line.starts_with('[') {
            inside = *line == table;
        }
        !inside
    });
    kept.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_broken_query_file_fails_alone() {
    let installation = Installation::of(&source().url());
    installation
        .sandbox
        .write("here/mine/broken.sql", "SELECT 1");
    let header = "--| title = \"t\"\n--| order = \"user_id\"\n--| [[files]]\n--| stem = \"s\"\n--| columns = [\"user_id\"]\n";
    installation.sandbox.write(
        "here/mine/wrong.sql",
        &format!("{header}SELECT id AS user_id FROM no_such_table\n"),
    );
    let two = format!("{header}SELECT id AS user_id FROM users; DROP TABLE users\n");
    installation.sandbox.write("here/mine/two.sql", &two);
    let examined = installation.examine(&["--only", "source", "--queries", "mine"]);
    examined
        .is("source", "audience broken", "failed")
        .is("source", "audience two", "failed");
    examined
        .is("source", "audience layer2", "ok")
        .is("source", "send", "ok");
    let step = examined.step("source", "audience wrong");
    assert!(
        step["seen"].as_str().unwrap().contains("wrong.sql:6"),
        "{step}"
    );
    assert_eq!(Postgres::shared().admin().query("SELECT 1")[0][0], "1");
}
