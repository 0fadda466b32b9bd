//! Notices to a real server on the loopback that answers, refuses, stalls and breaks off.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub(crate) mod server;

use std::time::Duration;

use pushctl::notify::{
    Beat, Event, Heartbeat, HeartbeatKind, Notice, NoticeDocument, Notices, NotifyTimeouts,
    Warning, WebhookKind,
};
use pushctl::settings::secret::Secret;
use serde_json::Value;

use server::{Answer, Server};

/// Long enough for any machine; only a server that stays silent waits for less.
const PATIENT: NotifyTimeouts = NotifyTimeouts {
    tries: 3,
    timeout: Duration::from_secs(30),
    wait: Duration::from_millis(1),
};

fn notice(event: Event) -> Notice {
    Notice {
        automation: "layer3".into(),
        occurrence: "layer3@2026-11-21T13:33-06:00".into(),
        run: "0193".into(),
        event,
        counts: vec![("recent <offer> creators".into(), 1234)],
        facts: Vec::new(),
    }
}

fn done() -> Notice {
    notice(Event::Done {
        accepted: 1200,
        of: 1234,
    })
}

fn heartbeat(beat: Beat) -> Heartbeat {
    Heartbeat {
        beat,
        run: "0198b2a4-0000-7000-8000-000000000001".into(),
        summary: "done: 1,200 accepted".into(),
    }
}

fn webhook(address: &str, patience: NotifyTimeouts) -> Notices {
    let (notices, warnings) = Notices::new(Some(&Secret::new(address)), None, patience);
    assert_eq!(warnings, []);
    notices
}

async fn told(answers: Vec<Answer>, patience: NotifyTimeouts) -> (Result<(), Warning>, Server) {
    let server = Server::start(answers).await;
    let notices = webhook(&server.url("/services/T000/SECRET"), patience);
    (notices.tell(&done()).await, server)
}

#[tokio::test]
async fn a_window_notice_carries_the_counts_and_the_command_that_cancels() {
    let server = Server::start(vec![Answer::status(200, "ok")]).await;
    let event = Event::WindowOpen {
        people: 1234,
        send_at: "2026-11-21T13:33-06:00[America/Chicago]".parse().unwrap(),
        cancel: "pushctl cancel layer3 --reason `why`".into(),
    };
    webhook(&server.url("/hook"), PATIENT)
        .tell(&notice(event))
        .await
        .unwrap();
    let [request] = server.requests().try_into().unwrap();
    assert_eq!(
        (request.method.as_str(), request.path.as_str()),
        ("POST", "/hook")
    );
    assert_eq!(request.header("content-type"), Some("application/json"));
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&body).unwrap(), @r#"
    {
      "text": "layer3: at 13:33 CST pushes go to 1,234 recipients",
      "blocks": [
        {
          "type": "section",
          "text": {
            "type": "mrkdwn",
            "text": "*layer3: at 13:33 CST pushes go to 1,234 recipients*"
          }
        },
        {
          "type": "section",
          "text": {
            "type": "mrkdwn",
            "text": "To stop it:\n```pushctl cancel layer3 --reason 'why'```"
          }
        },
        {
          "type": "section",
          "fields": [
            {
              "type": "mrkdwn",
              "text": "*recent &lt;offer&gt; creators*\n1,234"
            }
          ]
        },
        {
          "type": "context",
          "elements": [
            {
              "type": "mrkdwn",
              "text": "layer3@2026-11-21T13:33-06:00 · run 0193"
            }
          ]
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn every_event_has_its_headline() {
    let events = [
        Event::AudienceReady { people: 1 },
        Event::TestSent { accepted: 6, of: 7 },
        Event::Done {
            accepted: 1200,
            of: 1234,
        },
        Event::Stopped {
            why: "the audience has 12,000 people, 10,000 are allowed".into(),
        },
    ];
    let server = Server::start(vec![Answer::status(200, "ok"); events.len()]).await;
    let notices = webhook(&server.url("/hook"), PATIENT);
    for event in events {
        notices.tell(&notice(event)).await.unwrap();
    }
    let texts: Vec<String> = server
        .requests()
        .iter()
        .map(|request| serde_json::from_slice::<Value>(&request.body).unwrap()["text"].to_string())
        .collect();
    insta::assert_snapshot!(texts.join("\n"), @r#"
    "layer3: the audience is ready, 1 recipient"
    "layer3: 6 of 7 test pushes accepted"
    "layer3: done, 1,200 of 1,234 pushes accepted"
    "layer3: stopped: the audience has 12,000 people, 10,000 are allowed"
    "#);
}

#[tokio::test]
async fn a_heartbeat_is_told_the_beginning_the_end_and_the_failure_and_keeps_its_query() {
    let server = Server::start(vec![Answer::status(200, ""); 5]).await;
    for (address, beats) in [
        (
            "/ping/abc",
            &[Beat::Start, Beat::Success, Beat::Failure][..],
        ),
        ("/ping/abc/?rid=1", &[Beat::Start, Beat::Success]),
    ] {
        let (notices, _) = Notices::new(None, Some(&Secret::new(server.url(address))), PATIENT);
        for beat in beats {
            notices.beat(&heartbeat(*beat)).await.unwrap();
        }
        notices.tell(&done()).await.unwrap();
    }
    let asked: Vec<String> = server
        .requests()
        .iter()
        .map(|request| format!("{} {}", request.method, request.path))
        .collect();
    assert_eq!(
        asked,
        [
            "GET /ping/abc/start",
            "GET /ping/abc",
            "GET /ping/abc/fail",
            "GET /ping/abc/start?rid=1",
            "GET /ping/abc/?rid=1"
        ]
    );
}

#[tokio::test]
async fn trouble_that_passes_is_tried_again() {
    for trouble in [
        Answer::status(503, "later"),
        Answer::status(429, "").header("retry-after", "0"),
        Answer::Reset,
        Answer::Garbage,
        Answer::BreakOff,
    ] {
        let (told, server) = told(
            vec![trouble.clone(), trouble.clone(), Answer::status(204, "")],
            PATIENT,
        )
        .await;
        assert_eq!(told, Ok(()), "{trouble:?}");
        assert_eq!(server.requests().len(), 3, "{trouble:?}");
    }
}

#[tokio::test]
async fn trouble_that_stays_is_a_warning_after_three_tries() {
    for (trouble, said) in [
        (
            Answer::status(500, "boom\nstack trace"),
            "it answered 500 Internal Server Error: boom",
        ),
        (
            Answer::status(429, "").header("retry-after", "soon"),
            "it answered 429 Too Many Requests",
        ),
        (Answer::Reset, ""),
        (Answer::Garbage, ""),
    ] {
        let (told, server) = told(vec![trouble.clone(); 3], PATIENT).await;
        let warning = told.unwrap_err().to_string();
        assert!(
            warning.starts_with(&format!(
                "the webhook did not accept the notice after 3 tries: {said}"
            )),
            "{warning}"
        );
        assert!(!warning.ends_with(": "), "{warning}");
        assert_eq!(server.requests().len(), 3, "{trouble:?}");
    }
}

#[tokio::test]
async fn what_will_not_get_better_is_not_tried_again() {
    for trouble in [
        Answer::status(404, "no_team"),
        Answer::status(400, "invalid_blocks"),
        Answer::status(302, "").header("location", "http://127.0.0.1:1/elsewhere"),
    ] {
        let (told, server) = told(vec![trouble.clone(); 3], PATIENT).await;
        assert!(
            told.unwrap_err().to_string().contains("after one try"),
            "{trouble:?}"
        );
        assert_eq!(server.requests().len(), 1, "{trouble:?}");
    }
}

#[tokio::test]
async fn a_server_that_stays_silent_or_never_ends_is_left() {
    let hasty = NotifyTimeouts {
        timeout: Duration::from_millis(200),
        ..PATIENT
    };
    let (told_silent, server) = told(vec![Answer::Silence; 3], hasty).await;
    assert_eq!(
        told_silent.unwrap_err().to_string(),
        "the webhook did not accept the notice after one try: no answer within 0.2 s"
    );
    assert_eq!(server.requests().len(), 1);
    let (told_endless, _server) = told(vec![Answer::Endless; 3], PATIENT).await;
    let warning = told_endless.unwrap_err().to_string();
    assert!(
        warning.starts_with(
            "the webhook did not accept the notice after 3 tries: it answered 500 Internal Server Error: xxxx"
        ),
        "{warning}"
    );
    assert!(warning.len() < 200, "{warning}");
}

#[tokio::test]
async fn a_webhook_without_a_listener_is_a_warning() {
    let server = Server::start(Vec::new()).await;
    let address = server.url("/services/T000/SECRET");
    drop(server);
    let warning = webhook(&address, PATIENT)
        .tell(&done())
        .await
        .unwrap_err()
        .to_string();
    assert!(warning.contains("Connection refused"), "{warning}");
    assert!(!warning.contains("SECRET"), "{warning}");
}

#[tokio::test]
async fn the_address_is_in_no_warning_even_where_the_answer_quotes_it() {
    let server = Server::start(vec![Answer::EchoPath]).await;
    let notices = webhook(&server.url("/services/T000/SECRET?token=HIDDEN"), PATIENT);
    let warning = notices.tell(&done()).await.unwrap_err().to_string();
    assert_eq!(
        warning,
        "the webhook did not accept the notice after one try: it answered 403 Forbidden: no such hook: ****?****"
    );
    assert!(!format!("{notices:?}").contains("SECRET"));
}

#[tokio::test]
async fn an_address_that_cannot_be_used_is_a_warning_and_nothing_is_told() {
    for (address, said) in [
        ("hooks.example.com/T000", "its address is not a valid URL"),
        (
            "http://hooks.example.com/SECRET",
            "its address must begin with https://",
        ),
        (
            "ftp://127.0.0.1/SECRET",
            "its address must begin with https://",
        ),
        ("", "its address is not a valid URL"),
    ] {
        let (notices, warnings) = Notices::new(Some(&Secret::new(address)), None, PATIENT);
        let [warning] = warnings.try_into().unwrap();
        assert_eq!(
            warning.to_string(),
            format!("the webhook is not used: {said}")
        );
        assert_eq!(notices.tell(&done()).await, Ok(()));
        assert_eq!(notices.beat(&heartbeat(Beat::Start)).await, Ok(()));
    }
}

async fn posted(kind: WebhookKind, notice: &Notice) -> Value {
    let server = Server::start(vec![Answer::status(200, "ok")]).await;
    let notices = webhook(&server.url("/hook"), PATIENT).with_kinds(kind, None);
    notices.tell(notice).await.unwrap();
    serde_json::from_slice(&server.requests()[0].body).unwrap()
}

#[tokio::test]
async fn discord_gets_text_that_mentions_no_one_and_is_no_markup() {
    let event = Event::Stopped {
        why: "@everyone <@1> *bold* `code` [a](https://x.example)".into(),
    };
    let body = posted(WebhookKind::Discord, &notice(event)).await;
    assert_eq!(body["allowed_mentions"]["parse"], serde_json::json!([]));
    insta::assert_snapshot!(body["content"].as_str().unwrap(), @r"
    **layer3\: stopped\: \@everyone \<\@1\> \*bold\* \`code\` \[a\]\(https\://x.example\)**
    **recent \<offer\> creators** 1,234
    layer3\@2026-11-21T13\:33-06\:00 · run 0193
    ");
    let long = Event::Stopped {
        why: "a long reason_ ".repeat(1_000),
    };
    let body = posted(WebhookKind::Discord, &notice(long)).await;
    let content = body["content"].as_str().unwrap();
    assert!(content.chars().count() <= 2_000, "{content}");
    assert!(content.ends_with("run 0193"), "{content}");
}

#[tokio::test]
async fn a_receiver_of_json_gets_a_document_with_numbers() {
    let body = posted(WebhookKind::Json, &done()).await;
    let document: NoticeDocument = serde_json::from_value(body.clone()).unwrap();
    assert_eq!(document.counts["accepted"], 1_200);
    insta::assert_snapshot!(serde_json::to_string_pretty(&body).unwrap(), @r#"
    {
      "version": 1,
      "event": "done",
      "automation": "layer3",
      "occurrence": "layer3@2026-11-21T13:33-06:00",
      "run": "0193",
      "message": "layer3: done, 1,200 of 1,234 pushes accepted",
      "counts": {
        "accepted": 1200,
        "of": 1234,
        "recent <offer> creators": 1234
      },
      "guards_off": []
    }
    "#);
}

#[tokio::test]
async fn a_heartbeat_of_a_kind_names_the_run() {
    for (kind, asked, bodies) in [
        (
            HeartbeatKind::Healthchecks,
            [
                "POST /ping/a/start?rid=0198b2a4-0000-7000-8000-000000000001",
                "POST /ping/a?rid=0198b2a4-0000-7000-8000-000000000001",
                "POST /ping/a/fail?rid=0198b2a4-0000-7000-8000-000000000001",
            ],
            "done: 1,200 accepted",
        ),
        (
            HeartbeatKind::Sentry,
            [
                "GET /ping/a?status=in_progress&check_in_id=0198b2a4000070008000000000000001",
                "GET /ping/a?status=ok&check_in_id=0198b2a4000070008000000000000001",
                "GET /ping/a?status=error&check_in_id=0198b2a4000070008000000000000001",
            ],
            "",
        ),
    ] {
        let server = Server::start(vec![Answer::status(200, ""); 3]).await;
        let address = Secret::new(server.url("/ping/a"));
        let (notices, _) = Notices::new(None, Some(&address), PATIENT);
        let notices = notices.with_kinds(WebhookKind::Slack, Some(kind));
        for beat in [Beat::Start, Beat::Success, Beat::Failure] {
            notices.beat(&heartbeat(beat)).await.unwrap();
        }
        let requests = server.requests();
        let seen: Vec<String> = requests
            .iter()
            .map(|request| format!("{} {}", request.method, request.path))
            .collect();
        assert_eq!(seen, asked);
        let texts = requests
            .iter()
            .map(|request| String::from_utf8_lossy(&request.body));
        assert!(texts.clone().all(|text| text == bodies), "{kind:?}");
    }
}
