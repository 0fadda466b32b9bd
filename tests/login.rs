//! Log-ins without a key file, through the program: external accounts, impersonation, the metadata server. The servers
//! are stand-ins that check each request.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::send::{Office, order, people};
use crate::support::cli::Outcome;
use crate::support::fcm::script::{Reply, Script};
use crate::support::identity::{Fate, Identity, SUBJECT, Server, TARGET};
use crate::support::programs::closed_port;

/// An office without a key file, and the servers of its log-in.
fn office(script: Script) -> (Office, Identity) {
    let mut office = Office::playing(script);
    office.audience(&people(0..3));
    let bearers = (0..9).map(|_| office.stand_in.lend()).collect();
    office.set("FIREBASE_PROJECT_ID", "example-project");
    (office, Identity::start(bearers))
}

/// Uses a credentials file.
fn sign_in(office: &mut Office, file: &Value) {
    office.sandbox.write("home/login.json", &file.to_string());
    let path = office.sandbox.home().join("login.json");
    office.set("GOOGLE_APPLICATION_CREDENTIALS", path.display().to_string());
}

/// Uses the metadata server.
fn sign_in_by_metadata(office: &mut Office, identity: &Identity) {
    office.set("GOOGLE_APPLICATION_CREDENTIALS", "metadata");
    office.set("GCE_METADATA_HOST", identity.host());
}

fn send(office: &Office) -> Outcome {
    let outcome = office.run(&order(&["--layer", "3", "--deadline", "6s"]));
    assert!(!outcome.to_string().contains("s3cr3t"), "{outcome}");
    outcome
}

#[track_caller]
fn sends(office: &Office) {
    let outcome = send(office);
    assert_eq!(outcome.status, 0, "{outcome}");
    assert_eq!(office.delivered().len(), 3);
}

fn impersonating(identity: &Identity) -> Value {
    let mut file = identity.external_account();
    file["service_account_impersonation_url"] = identity.impersonation_url().into();
    file
}

#[test]
fn the_token_of_a_server_is_exchanged_for_a_bearer_token() {
    let (mut office, identity) = office(Script::default());
    sign_in(&mut office, &identity.external_account());
    sends(&office);
    assert_eq!(identity.asked(), [Server::Subject, Server::Exchange]);
    assert_eq!(office.stand_in.token_requests(), 0);
}

#[test]
fn the_token_of_a_file_is_text_or_a_field_of_json() {
    let json = json!({"access": SUBJECT}).to_string();
    let format = json!({"type": "json", "subject_token_field_name": "access"});
    for (content, format) in [
        (format!("{SUBJECT}\n"), Value::Null),
        (format!("\u{feff}{SUBJECT}\r\n"), json!({"type": "text"})),
        (json, format),
    ] {
        let (mut office, identity) = office(Script::default());
        office.sandbox.write("home/subject", &content);
        let mut file = identity.external_account();
        file["credential_source"] =
            json!({"file": office.sandbox.home().join("subject"), "format": format});
        sign_in(&mut office, &file);
        sends(&office);
        assert_eq!(identity.asked(), [Server::Exchange]);
    }
}

#[test]
fn a_service_account_is_impersonated_with_the_lifetime_of_the_file() {
    let (mut office, identity) = office(Script::default());
    let mut file = impersonating(&identity);
    file["service_account_impersonation"] = json!({"token_lifetime_seconds": 2800});
    sign_in(&mut office, &file);
    sends(&office);
    assert_eq!(
        identity.asked(),
        [Server::Subject, Server::Exchange, Server::Impersonation]
    );
    assert_eq!(
        identity.impersonations(),
        (vec!["2800s".into()], vec![json!([])])
    );
}

#[test]
fn an_impersonated_service_account_has_a_key_or_an_external_account_as_its_source() {
    for has_key in [true, false] {
        let (mut office, identity) = office(Script::default());
        let source = if has_key {
            office.stand_in.service_account()
        } else {
            identity.external_account()
        };
        let file = json!({
            "type": "impersonated_service_account",
            "service_account_impersonation_url": identity.impersonation_url(),
            "delegates": ["between@example.com"],
            "source_credentials": source,
        });
        sign_in(&mut office, &file);
        sends(&office);
        assert_eq!(identity.count(Server::Exchange), usize::from(!has_key));
        let delegates = json!(["projects/-/serviceAccounts/between@example.com"]);
        assert_eq!(
            identity.impersonations(),
            (vec!["3600s".into()], vec![delegates])
        );
    }
}

#[test]
fn the_metadata_server_gives_the_token_and_the_project_unless_that_is_set() {
    for is_set in [true, false] {
        let (mut office, identity) = office(Script::default());
        sign_in_by_metadata(&mut office, &identity);
        if !is_set {
            office.set("FIREBASE_PROJECT_ID", "");
        }
        // No proxy is asked for it.
        office.set("HTTPS_PROXY", format!("http://127.0.0.1:{}", closed_port()));
        sends(&office);
        assert_eq!(identity.count(Server::Token), 1);
        assert_eq!(identity.count(Server::Project), usize::from(!is_set));
    }
}

#[test]
fn a_token_that_the_push_service_no_longer_accepts_is_replaced_once() {
    let script = Script::default().on("t-0", [Reply::ExpiredToken]);
    let (mut office, identity) = office(script);
    sign_in(&mut office, &impersonating(&identity));
    sends(&office);
    // The subject token is read anew, too.
    for server in [Server::Subject, Server::Exchange, Server::Impersonation] {
        assert_eq!(identity.count(server), 2, "{server:?}");
    }
}

#[test]
fn a_fault_of_any_server_is_tried_again_until_it_passes() {
    let unavailable = || Fate::Answer(503, json!({"error": {"status": "UNAVAILABLE"}}));
    for server in [Server::Subject, Server::Exchange, Server::Impersonation] {
        for fate in [
            unavailable(),
            Fate::Html(500),
            Fate::Answer(429, json!({})),
            Fate::Close,
            Fate::Html(200),
        ] {
            let (mut office, identity) = office(Script::default());
            sign_in(&mut office, &impersonating(&identity));
            identity.next(server, [fate]);
            sends(&office);
            assert_eq!(identity.count(server), 2, "{server:?}");
        }
    }
    for server in [Server::Token, Server::Project] {
        let (mut office, identity) = office(Script::default());
        sign_in_by_metadata(&mut office, &identity);
        office.set("FIREBASE_PROJECT_ID", "");
        identity.next(server, [unavailable()]);
        sends(&office);
        assert_eq!(identity.count(server), 2, "{server:?}");
    }
}

#[test]
fn a_rejection_is_not_tried_again_and_says_of_what_and_what_to_do() {
    let invalid = |reason: &str| {
        Fate::Answer(
            400,
            json!({"error": "invalid_grant", "error_description": reason}),
        )
    };
    let denied = || {
        let message = "Permission 'iam.serviceAccounts.getAccessToken' denied";
        Fate::Answer(
            403,
            json!({"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}}),
        )
    };
    let echo = format!("The token {SUBJECT} has expired");
    for (server, fate, words) in [
        (
            Server::Exchange,
            invalid(&echo),
            [
                "invalid_grant: The token **** has expired",
                "rejects the subject token",
                "allowed audiences",
            ],
        ),
        (
            Server::Exchange,
            Fate::Html(404),
            [
                "404 Not Found",
                "rejects the subject token",
                "workloadIdentityPools/pool",
            ],
        ),
        (
            Server::Exchange,
            Fate::Expired,
            [
                "has expired already",
                "the token endpoint",
                "clock is right",
            ],
        ),
        (
            Server::Impersonation,
            denied(),
            ["PERMISSION_DENIED: Permission", TARGET, "Token Creator"],
        ),
        (
            Server::Impersonation,
            Fate::Expired,
            [
                "has expired already",
                "the impersonation service",
                "clock is right",
            ],
        ),
        (
            Server::Subject,
            Fate::Answer(401, json!({})),
            ["401 Unauthorized", "gives no subject token", "its headers"],
        ),
        (
            Server::Subject,
            Fate::Answer(302, json!({})),
            ["302 Found", "gives no subject token", "its headers"],
        ),
        (
            Server::Token,
            Fate::Answer(404, json!({})),
            ["404 Not Found", "gives a bearer token not", "is attached"],
        ),
        (
            Server::Token,
            Fate::Unflavored,
            [
                "Metadata-Flavor",
                "does not answer like",
                "GCE_METADATA_HOST",
            ],
        ),
        (
            Server::Token,
            Fate::Expired,
            [
                "has expired already",
                "the metadata server",
                "clock is right",
            ],
        ),
    ] {
        let (mut office, identity) = office(Script::default());
        match server {
            Server::Token => sign_in_by_metadata(&mut office, &identity),
            _ => sign_in(&mut office, &impersonating(&identity)),
        }
        identity.next(server, [fate.clone()]);
        let outcome = send(&office);
        assert_eq!(outcome.status, 4, "{server:?} {fate:?}: {outcome}");
        for word in words {
            outcome.says(word);
        }
        assert_eq!(identity.count(server), 1, "{server:?} {fate:?}");
        assert!(office.delivered().is_empty());
    }
}

#[test]
fn an_answer_that_is_none_is_named_with_its_server() {
    for (server, fate, word) in [
        (
            Server::Subject,
            Fate::Garbage,
            "contains no subject token: it is not JSON",
        ),
        (
            Server::Subject,
            Fate::Answer(200, json!({"token": "s3cr3t"})),
            "no text in the field `id_token`",
        ),
        (
            Server::Exchange,
            Fate::Garbage,
            "the token endpoint's answer contains no token",
        ),
        (Server::Exchange, Fate::Endless, "is longer than 256 KiB"),
        (
            Server::Impersonation,
            Fate::Html(200),
            "the impersonation service's answer contains no token",
        ),
        (
            Server::Token,
            Fate::Garbage,
            "the metadata server's answer contains no token",
        ),
        (Server::Project, Fate::Html(200), "names no project"),
    ] {
        let (mut office, identity) = office(Script::default());
        if matches!(server, Server::Token | Server::Project) {
            sign_in_by_metadata(&mut office, &identity);
            office.set("FIREBASE_PROJECT_ID", "");
        } else {
            sign_in(&mut office, &impersonating(&identity));
        }
        identity.next(server, std::iter::repeat_n(fate, 9));
        let outcome = send(&office);
        assert_ne!(outcome.status, 0, "{outcome}");
        outcome.says(word);
        outcome.says("hint: ");
        assert!(office.delivered().is_empty());
    }
}

#[test]
fn a_silent_server_is_named_and_ends_no_send_late() {
    for (server, name) in [
        (Server::Subject, "the server of the subject token 127.0.0.1"),
        (Server::Exchange, "the token endpoint 127.0.0.1"),
        (Server::Impersonation, "the impersonation service 127.0.0.1"),
        (Server::Token, "the metadata server 127.0.0.1"),
    ] {
        let (mut office, identity) = office(Script::default());
        match server {
            Server::Token => sign_in_by_metadata(&mut office, &identity),
            _ => sign_in(&mut office, &impersonating(&identity)),
        }
        identity.next(server, std::iter::repeat_n(Fate::Hang, 9));
        let began = Instant::now();
        let outcome = send(&office);
        assert!(began.elapsed() < Duration::from_secs(10), "{server:?}");
        assert_eq!(outcome.status, 5, "{outcome}");
        outcome.says(name);
    }
}

#[test]
fn a_missing_server_or_file_is_named() {
    let (mut office, identity) = office(Script::default());
    let away = format!("127.0.0.1:{}", closed_port());
    office.set("GOOGLE_APPLICATION_CREDENTIALS", "metadata");
    office.set("GCE_METADATA_HOST", &away);
    let outcome = send(&office);
    assert_eq!(outcome.status, 5, "{outcome}");
    outcome.says(&away);
    outcome.says("only on a machine in Google's cloud");
    let mut file = identity.external_account();
    file["credential_source"] = json!({"file": "/nowhere/subject"});
    sign_in(&mut office, &file);
    let outcome = send(&office);
    assert_eq!(outcome.status, 2, "{outcome}");
    outcome.says("cannot read the subject token from the file /nowhere/subject");
    outcome.says("credential_source.file");
    assert!(identity.asked().is_empty());
}

#[test]
fn a_project_that_no_one_names_is_asked_for_before_anything_is_sent() {
    let (mut office, identity) = office(Script::default());
    office.set("FIREBASE_PROJECT_ID", "");
    sign_in(&mut office, &identity.external_account());
    let said = office.refused(&[], 2);
    assert!(
        said.contains("credentials of the kind external account name none"),
        "{said}"
    );
    assert!(said.contains("FIREBASE_PROJECT_ID"), "{said}");
    assert!(identity.asked().is_empty());
}

#[test]
fn the_doctor_names_the_log_in_and_tests_it() {
    let (mut office, identity) = office(Script::default());
    let doctor = ["doctor", "--only", "push"];
    sign_in(&mut office, &impersonating(&identity));
    let outcome = office.run(&doctor);
    assert_eq!(outcome.status, 0, "{outcome}");
    let seen = format!(
        "project example-project, external account, subject token from {}",
        identity.host()
    );
    assert!(outcome.stdout.contains(&seen), "{outcome}");
    assert!(
        outcome.stdout.contains(&format!("impersonates {TARGET}")),
        "{outcome}"
    );
    assert_eq!(
        identity.asked(),
        [Server::Subject, Server::Exchange, Server::Impersonation]
    );
    identity.next(Server::Impersonation, [Fate::Answer(403, json!({}))]);
    let outcome = office.run(&doctor);
    assert_eq!(outcome.status, 4, "{outcome}");
    assert!(outcome.stdout.contains("Token Creator"), "{outcome}");
    sign_in_by_metadata(&mut office, &identity);
    office.set("FIREBASE_PROJECT_ID", "");
    let outcome = office.run(&doctor);
    assert_eq!(outcome.status, 0, "{outcome}");
    assert!(
        outcome
            .stdout
            .contains(&format!("metadata server {}", identity.host())),
        "{outcome}"
    );
}

#[test]
fn the_word_metadata_is_shown_as_it_is() {
    let office = Office::playing(Script::default());
    office.sandbox.config("push.credentials = \"metadata\"\n");
    let outcome = office.sandbox.run(&["config", "show"]);
    assert_eq!(outcome.status, 0, "{outcome}");
    let line = outcome
        .stdout
        .lines()
        .find(|line| line.contains("push.credentials"))
        .unwrap();
    assert!(line.contains("metadata"), "{line}");
}
