//! Tests of the stand-in itself: if it were lenient, the other tests would prove little.

use std::fs;
use std::sync::Arc;

use pushctl::fcm::{Client, Credentials, Delivery, Login};
use reqwest::{Certificate, RequestBuilder};
use serde_json::{Value, json};

use super::{Bench, composer, next, tokens};
use crate::support::fcm::ledger::Memory;
use crate::support::fcm::script::{Reply, RetryAfter, Script};
use crate::support::fcm::{Options, StandIn};

/// Makes an independent client, so that no code under test is involved.
fn http(stand_in: &StandIn) -> reqwest::Client {
    let authority = Certificate::from_pem(stand_in.authority_pem()).expect("PEM");
    reqwest::Client::builder()
        .add_root_certificate(authority)
        .no_proxy()
        .build()
        .expect("a client")
}

fn post(stand_in: &StandIn, path: &str, body: &Value) -> RequestBuilder {
    http(stand_in)
        .post(format!("{}{path}", stand_in.base_url()))
        .header("content-type", "application/json")
        .body(body.to_string())
}

const SEND: &str = "/v1/projects/example-project/messages:send";

fn message() -> Value {
    json!({ "message": { "token": "t", "notification": { "title": "a", "body": "b" } } })
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_request_without_an_issued_token_is_rejected() {
    let stand_in = StandIn::playing(Script::default());
    assert_eq!(status(post(&stand_in, SEND, &message())).await, 401);
    let made_up = post(&stand_in, SEND, &message()).bearer_auth("ya29.made-up");
    assert_eq!(status(made_up).await, 401);
    assert_eq!(stand_in.accepted().len(), 0);
    assert_eq!(stand_in.refused(), 2);
}

#[tokio::test]
async fn a_wrong_path_method_or_content_type_is_rejected() {
    let stand_in = StandIn::playing(Script::default());
    let elsewhere = "/v1/projects/other-project/messages:send";
    assert_eq!(status(post(&stand_in, elsewhere, &message())).await, 404);
    assert_eq!(status(post(&stand_in, "/fcm/send", &message())).await, 404);
    let get = http(&stand_in).get(format!("{}{SEND}", stand_in.base_url()));
    assert_eq!(status(get).await, 405);
    let text = http(&stand_in)
        .post(format!("{}{SEND}", stand_in.base_url()))
        .body("{}");
    assert_eq!(status(text).await, 415);
    let underscored = post(&stand_in, SEND, &message()).header("x_header", "1");
    assert_eq!(status(underscored).await, 400);
}

#[tokio::test]
async fn an_assertion_is_checked_before_a_token_is_issued() {
    let stand_in = StandIn::playing(Script::default());
    for form in [
        "",
        "grant_type=password&assertion=a.b.c",
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer",
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=eyJhbGciOiJub25lIn0.e30.",
    ] {
        let request = http(&stand_in).post(stand_in.token_uri()).body(form);
        assert_eq!(status(request).await, 400, "{form}");
    }
}

#[tokio::test]
async fn an_assertion_for_another_audience_is_rejected() {
    let stand_in = StandIn::playing(Script::default());
    let uri = format!("{}?other", stand_in.token_uri());
    let bench = Bench::of(&stand_in).with(|settings| settings.token_uri = Some(uri));
    let error = bench.connect().await.err().expect("refused");
    assert!(
        format!("{error:#}").contains("Failed audience check"),
        "{error:#}"
    );
}

#[tokio::test]
async fn the_account_file_of_the_stand_in_is_enough_to_send_with() {
    let stand_in = StandIn::playing(Script::default());
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("account.json");
    fs::write(&path, stand_in.service_account().to_string()).expect("written");
    let account = Login::load(&Credentials::File(path), None).expect("an account");
    assert_eq!(account.project(), Some("example-project"));
    // The token endpoint is the one in the file.
    let bench = Bench::of(&stand_in).with(|settings| settings.token_uri = None);
    let clock = Arc::new(pushctl::clock::System);
    let connected = Client::connect(bench.settings.clone(), account, clock).await;
    assert!(connected.is_ok());
    assert_eq!(stand_in.token_requests(), 1);
}

#[tokio::test]
async fn a_message_that_the_service_would_reject_is_rejected_with_the_field_named() {
    let stand_in = StandIn::playing(Script::default());
    let bearer = stand_in.lend();
    for (body, field) in [
        (json!({ "message": { "notification": {} } }), "message"),
        (
            json!({ "message": { "token": "t", "colour": "red" } }),
            "message",
        ),
        (json!({ "dry_run": true, "message": { "token": "t" } }), ""),
        (
            json!({ "message": { "token": "t", "data": { "n": 1 } } }),
            "message.data[0].value",
        ),
        (
            json!({ "message": { "token": "t", "data": { "from": "me" } } }),
            "message.data",
        ),
        (
            json!({ "message": { "token": "t", "data": { "google.x": "y" } } }),
            "message.data",
        ),
    ] {
        let answer = post(&stand_in, SEND, &body)
            .bearer_auth(&bearer)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 400, "{body}");
        let said: Value =
            serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON");
        let blamed = &said["error"]["details"][0]["fieldViolations"][0]["field"];
        assert_eq!(blamed, field, "{body}");
    }
    let large = json!({ "message": { "token": "t", "data": { "k": "x".repeat(4096) } } });
    assert_eq!(
        status(post(&stand_in, SEND, &large).bearer_auth(&bearer)).await,
        400
    );
    assert_eq!(
        status(post(&stand_in, SEND, &message()).bearer_auth(&bearer)).await,
        200
    );
}

#[tokio::test]
async fn the_log_file_has_every_message_before_its_answer_is_sent() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("accepted.log");
    let stand_in = StandIn::start(&Options {
        script: Script::default().always("lost-*", Reply::AcceptThenReset),
        log: Some(log.clone()),
        memory: Memory::Spared,
        ..Options::default()
    })
    .expect("started");
    let mut names = tokens("kept", 20);
    names.extend(tokens("lost", 5));
    let sent = Bench::of(&stand_in).send(&names).await;
    assert_eq!(sent.accepted(), 20);
    let text = fs::read_to_string(&log).expect("a log");
    let fates: Vec<(&str, &str)> = text
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            (fields[2], fields[3])
        })
        .collect();
    assert_eq!(fates.len(), 25);
    for name in &names {
        let fate = if name.starts_with("lost") {
            "lost"
        } else {
            "answered"
        };
        assert!(fates.contains(&(name.as_str(), fate)), "{name}");
    }
    assert!(
        stand_in.accepted().is_empty(),
        "the program keeps nothing in memory"
    );
}

#[tokio::test]
async fn a_validated_message_is_not_counted_as_accepted() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("accepted.log");
    let stand_in = StandIn::start(&Options {
        // The flag must survive a delay.
        script: Script::default().always(
            "*",
            Reply::Slow {
                ms: 10,
                then: Box::new(Reply::Accept),
            },
        ),
        log: Some(log.clone()),
        ..Options::default()
    })
    .expect("started");
    let (client, mut reports) = Bench::of(&stand_in).connect().await.expect("connected");
    let body = composer(Delivery::ValidateOnly)
        .compose("t", ["Ana"].as_slice(), None)
        .expect("a message");
    client
        .submit_all([pushctl::fcm::SendJob {
            id: 1,
            body,
            platform: None,
        }])
        .await;
    client.close();
    assert!(next(&mut reports).await.is_some());
    assert!(
        fs::read_to_string(&log)
            .expect("a log")
            .ends_with("\tt\tvalidated\n")
    );
}

#[test]
fn a_script_file_means_the_same_as_the_script_in_rust() {
    let script = Script::parse(
        r#"
        [[rules]]
        tokens = "dead-*"
        replies = ["unregistered"]
        repeat = true

        [[rules]]
        after = 1000
        every = 500
        times = 3
        replies = ["go-away", { unavailable = { retry-after = { seconds = 1 } } }, { slow = { ms = 5, then = "refuse" } }]
        "#,
    )
    .expect("a script");
    assert_eq!(script.rules[0].replies, [Reply::Unregistered]);
    assert_eq!(
        script.rules[1].replies,
        [
            Reply::GoAway,
            Reply::Unavailable {
                retry_after: Some(RetryAfter::Seconds(1))
            },
            Reply::Slow {
                ms: 5,
                then: Box::new(Reply::Refuse)
            },
        ]
    );
    assert!(Script::parse("[[rules]]\nreplies = [\"explode\"]").is_err());
}
