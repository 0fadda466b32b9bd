//! Log-ins without a key file, through the program: external accounts, impersonation, the metadata server. The servers
//! are stand-ins that check each request.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::send::{Kept, Office, order, people};
use crate::support::cli::Outcome;
use crate::support::fcm::script::{Reply, Script};
use crate::support::fcm::{ACCOUNT_EMAIL, HOST_NAME, Options, StandIn, private_key_pem};
use crate::support::http_proxy::{HttpProxy, Manner};
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
fn a_workforce_pool_names_its_project_unless_a_client_signs_in() {
    // client:p%w, unencoded as in the libraries of the service.
    let basic = "Basic Y2xpZW50OnAldw==";
    for (client, expected) in [
        (Value::Null, ("", r#"{"userProject":"example-project-2"}"#)),
        ("client".into(), (basic, "")),
    ] {
        let (mut office, identity) = office(Script::default());
        let mut file = identity.external_account();
        file["workforce_pool_user_project"] = "example-project-2".into();
        if client.is_string() {
            file["client_id"] = client;
            file["client_secret"] = "p%w".into();
        }
        sign_in(&mut office, &file);
        sends(&office);
        let (client, options) = identity.clients().remove(0);
        assert_eq!((&*client, &*options), expected);
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

/// A server rejects a log-in: once, with these words, and nothing is sent.
#[track_caller]
fn rejected(server: Server, fate: Fate, words: [&str; 3]) {
    let (mut office, identity) = office(Script::default());
    match server {
        Server::Token => sign_in_by_metadata(&mut office, &identity),
        _ => sign_in(&mut office, &impersonating(&identity)),
    }
    identity.next(server, [fate]);
    let outcome = send(&office);
    assert_eq!(outcome.status, 4, "{server:?}: {outcome}");
    for word in words {
        outcome.says(word);
    }
    assert_eq!(identity.count(server), 1, "{outcome}");
    assert!(office.delivered().is_empty());
}

#[test]
fn a_rejected_subject_token_is_not_tried_again_and_not_quoted() {
    let echo = format!("The token {SUBJECT} has expired");
    let invalid = json!({"error": "invalid_grant", "error_description": echo});
    let (server, pool) = (Server::Exchange, "workloadIdentityPools/pool");
    let refused = "rejects the subject token";
    let quoted = "400 Bad Request: invalid_grant: The token **** has expired";
    rejected(
        server,
        Fate::Answer(400, invalid),
        [quoted, refused, "allowed audiences"],
    );
    rejected(server, Fate::Html(404), ["404 Not Found", refused, pool]);
    rejected(
        server,
        Fate::Expired,
        [
            "has expired already",
            "the token endpoint",
            "clock is right",
        ],
    );
    for (status, word) in [(401, "401 Unauthorized"), (302, "302 Found")] {
        let fate = Fate::Answer(status, json!({}));
        rejected(
            Server::Subject,
            fate,
            [word, "gives no subject token", "its headers"],
        );
    }
}

#[test]
fn a_rejected_impersonation_says_which_account_and_what_it_needs() {
    let message = "Permission 'iam.serviceAccounts.getAccessToken' denied";
    let denied = json!({"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}});
    let server = Server::Impersonation;
    let words = ["PERMISSION_DENIED: Permission", TARGET, "Token Creator"];
    rejected(server, Fate::Answer(403, denied), words);
    let words = [
        "has expired already",
        "the impersonation service",
        "clock is right",
    ];
    rejected(server, Fate::Expired, words);
}

#[test]
fn a_metadata_server_without_an_account_and_one_that_is_none_are_told_apart() {
    let server = Server::Token;
    let words = [
        "404 Not Found",
        "does not give a bearer token",
        "is attached",
    ];
    rejected(server, Fate::Answer(404, json!({})), words);
    let words = [
        "Metadata-Flavor",
        "does not answer like",
        "GCE_METADATA_HOST",
    ];
    rejected(server, Fate::Unflavored, words);
    let words = [
        "has expired already",
        "the metadata server",
        "clock is right",
    ];
    rejected(server, Fate::Expired, words);
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
fn a_token_exchange_goes_through_the_proxy_and_a_server_of_this_machine_does_not() {
    let proxy = HttpProxy::start(Manner::Tunnel);
    let host = Options {
        host: HOST_NAME,
        ..Options::default()
    };
    let mut office = Office::with(Kept::Sqlite, StandIn::start(&host).unwrap());
    office.audience(&people(0..3));
    office.set("FIREBASE_PROJECT_ID", "example-project");
    office.set("HTTPS_PROXY", format!("http://127.0.0.1:{}", proxy.port()));
    let identity = Identity::start(Vec::new());
    let mut file = identity.external_account();
    file["token_url"] = office.stand_in.token_uri().into();
    sign_in(&mut office, &file);
    let outcome = send(&office);
    // It is the token endpoint of service accounts, so its refusal shows that it was reached.
    assert_eq!(outcome.status, 4, "{outcome}");
    outcome.says("unsupported grant type");
    assert_eq!(identity.asked(), [Server::Subject]);
    let tunnel = format!("CONNECT {HOST_NAME}:");
    assert!(proxy.asked().iter().all(|line| line.starts_with(&tunnel)));
    assert!(!proxy.asked().is_empty());
}

/// An office with the variables of a service account, but its key.
fn with_variables() -> Office {
    let mut office = Office::playing(Script::default());
    office.audience(&people(0..3));
    office.set("GOOGLE_APPLICATION_CREDENTIALS", "");
    office.set("FIREBASE_PROJECT_ID", "example-project");
    office.set("FIREBASE_CLIENT_EMAIL", ACCOUNT_EMAIL);
    office.set("PUSHCTL_PUSH_TOKEN_URL", office.stand_in.token_uri());
    office
}

#[test]
fn a_key_in_another_shape_signs_in_from_a_variable_and_from_a_file() {
    let pem = private_key_pem();
    let twice = pem.replace('\n', "\\\\n");
    let mut office = with_variables();
    office.set("FIREBASE_PRIVATE_KEY", twice);
    sends(&office);
    let mut office = with_variables();
    let text = format!("\u{feff}{}", pem.replace('\n', "\r\n"));
    office.sandbox.write("home/key.pem", &text);
    let path = office.sandbox.home().join("key.pem");
    office.set("FIREBASE_PRIVATE_KEY_FILE", path.display().to_string());
    sends(&office);
    let wide: Vec<u8> = pem.encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(&path, wide).unwrap();
    let outcome = send(&office);
    assert_eq!(outcome.status, 2, "{outcome}");
    outcome.says("UTF-16");
    office.set("FIREBASE_PRIVATE_KEY_FILE", "");
    office.set("FIREBASE_PRIVATE_KEY", &pem[..500]);
    let outcome = send(&office);
    assert_eq!(outcome.status, 2, "{outcome}");
    outcome.says("private key is truncated");
    assert!(!outcome.to_string().contains(&pem[100..150]), "{outcome}");
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
