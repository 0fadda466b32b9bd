//! The options of a message, as they arrive at the push service, which refuses what is not in its reference.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Office, order};
use crate::support::fcm::script::Script;

const AUDIENCE: &str = "user_id,token,name,picture\n\
    a0eebc99-9c0b-4ef8-bb6d-000000000000,t-0,Ana,https://img.example.com/0.png\n";

/// Sends one message with more flags, and returns it.
fn sent(office: &Office, more: &[&str]) -> Value {
    office.audience(AUDIENCE);
    let before = office.stand_in.requests().len();
    let outcome = office.run(&order(&[&["--layer", "3"], more].concat()));
    assert_eq!(outcome.status, 0, "{outcome}");
    let requests = office.stand_in.requests();
    assert_eq!(requests.len(), before + 1, "{outcome}");
    requests.last().unwrap().message["message"].clone()
}

fn seconds(text: &Value) -> i64 {
    text.as_str()
        .unwrap()
        .trim_end_matches('s')
        .parse()
        .unwrap()
}

#[test]
fn a_message_expires_sounds_and_replaces_the_undelivered_one_of_its_layer_by_default() {
    let office = Office::playing(Script::default());
    let now = Timestamp::now().as_second();
    let message = sent(&office, &[]);
    let (android, apns) = (&message["android"], &message["apns"]);
    assert_eq!(android["ttl"], "14400s");
    assert_eq!(message["webpush"]["headers"]["TTL"], "14400");
    let ends = seconds(&apns["headers"]["apns-expiration"]);
    assert!((now + 14_400..now + 14_460).contains(&ends), "{ends}");
    assert_eq!(android["notification"]["sound"], "default");
    assert_eq!(apns["payload"], json!({ "aps": { "sound": "default" } }));
    assert_eq!(android["collapse_key"], "pushctl-layer-3");
    // Copies of one message have one tag, of this push alone.
    let tag = android["notification"]["tag"].as_str().unwrap();
    assert!(
        tag.starts_with("pushctl-") && tag != "pushctl-layer-3",
        "{tag}"
    );
    assert_eq!(apns["headers"]["apns-collapse-id"], tag);
    assert_eq!(android.get("priority"), None);
    assert_eq!(message.get("fcm_options"), None);
}

#[test]
fn every_option_has_its_place_on_the_wire() {
    let mut office = Office::playing(Script::default());
    office.set("PUSHCTL_CADENCE", "off");
    let flags = [
        "--expires",
        "90m",
        "--image",
        "[[var:picture]]",
        "--sound",
        "bell",
        "--badge",
        "3",
        "--channel-id",
        "trending",
        "--priority",
        "high",
        "--analytics-label",
        "layer3_daily",
        "--collapse",
        "none",
    ];
    let message = sent(&office, &flags);
    assert_eq!(
        message["notification"]["image"],
        "https://img.example.com/0.png"
    );
    let (android, apns) = (&message["android"], &message["apns"]);
    assert_eq!(android["ttl"], "5400s");
    assert_eq!(android["priority"], "HIGH");
    assert_eq!(android.get("collapse_key"), None);
    let shown = &android["notification"];
    assert_eq!(shown["sound"], "bell");
    assert_eq!(shown["channel_id"], "trending");
    assert_eq!(shown["notification_count"], 3);
    assert_eq!(apns["headers"]["apns-priority"], "10");
    assert_eq!(
        apns["payload"]["aps"],
        json!({ "sound": "bell", "badge": 3, "mutable-content": 1 })
    );
    assert_eq!(message["fcm_options"]["analytics_label"], "layer3_daily");
    let message = sent(
        &office,
        &[
            "--title",
            "Again",
            "--sound",
            "none",
            "--priority",
            "normal",
            "--collapse",
            "push",
            "--mutable-content",
            "true",
        ],
    );
    assert_eq!(
        message["apns"]["payload"],
        json!({ "aps": { "mutable-content": 1 } })
    );
    assert_eq!(message["apns"]["headers"]["apns-priority"], "5");
    let shown = &message["android"]["notification"];
    assert_eq!(shown.get("sound"), None);
    assert_eq!(message["android"]["collapse_key"], shown["tag"]);
}

#[test]
fn flags_win_over_variables_and_those_over_the_configuration() {
    let mut office = Office::playing(Script::default());
    office.sandbox.config(
        "[push.message]\nexpires = \"1h\"\nsound = \"file\"\nchannel_id = \"file\"\nbadge = 7\n",
    );
    office.set("PUSHCTL_MESSAGE_SOUND", "variable");
    let message = sent(&office, &["--channel-id", "flag"]);
    let shown = &message["android"]["notification"];
    assert_eq!(message["android"]["ttl"], "3600s");
    assert_eq!(shown["sound"], "variable");
    assert_eq!(shown["channel_id"], "flag");
    assert_eq!(shown["notification_count"], 7);
}

#[test]
fn what_the_service_would_refuse_is_refused_before_anything_is_sent() {
    let office = Office::playing(Script::default());
    office.audience(AUDIENCE);
    for (flag, value, word) in [
        ("--expires", "29d", "at most 28d"),
        ("--expires", "soon", "expected a duration"),
        ("--expires-at", "yesterdayish", "--expires-at"),
        ("--image", "http://img.example.com/0.png", "https://"),
        ("--image", "ftp", "https://"),
        ("--badge", "-1", "--badge"),
        ("--badge", "many", "whole number"),
        ("--priority", "urgent", "high"),
        ("--analytics-label", "two words", "analytics_label"),
        ("--collapse", "all", "layer"),
        ("--channel-id", "a\nb", "channel_id"),
        ("--image", "[[var:pictur]]", "picture"),
    ] {
        let outcome = office.run(&order(&["--layer", "3", &format!("{flag}={value}")]));
        assert_eq!(outcome.status, 2, "{flag} {value}: {outcome}");
        outcome.says(word);
    }
    // A row whose picture is none is skipped, and counted.
    office.audience(&format!(
        "{AUDIENCE}a0eebc99-9c0b-4ef8-bb6d-000000000001,t-1,Bo,nothing\n"
    ));
    let outcome = office.run(&order(&["--layer", "3", "--image", "[[var:picture]]"]));
    assert_eq!(outcome.status, 0, "{outcome}");
    assert_eq!(outcome.json()["skipped_by_reason"], json!({ "image": 1 }));
    assert_eq!(office.stand_in.refused(), 0);
}

#[test]
fn a_resumed_send_says_the_same_and_expires_no_later() {
    let mut office = Office::playing(Script::default());
    office.audience(AUDIENCE);
    let url = office.stand_in.base_url();
    office.lose_push_service();
    let at = Timestamp::now() + jiff::SignedDuration::from_mins(30);
    let outcome = office.run(&order(&[
        "--layer",
        "3",
        "--expires-at",
        &at.to_string(),
        "--sound",
        "bell",
    ]));
    assert_eq!(outcome.status, 5, "{outcome}");
    office.set("PUSHCTL_PUSH_URL", url);
    let outcome = office.run(&["resume", "last", "--yes"]);
    assert_eq!(outcome.status, 0, "{outcome}");
    let message = office.stand_in.requests().remove(0).message["message"].clone();
    assert_eq!(message["android"]["notification"]["sound"], "bell");
    let left = seconds(&message["android"]["ttl"]);
    assert!((1_600..1_800).contains(&left), "{left}");
    let ends = seconds(&message["apns"]["headers"]["apns-expiration"]);
    assert!((ends - at.as_second()).abs() <= 1, "{ends} {at}");
}

#[test]
fn in_an_automation_a_message_expires_when_quiet_hours_begin() {
    let office = crate::pipeline::office::Office::new(2, Script::default());
    let clock = |minutes: i64| {
        let at = Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
        at.strftime("%H:%M").to_string()
    };
    let file = crate::pipeline::office::File {
        safeguards: format!("quiet_hours = \"{}-{}\"", clock(40), clock(120)),
        ..Default::default()
    };
    office.file(&file);
    office.tick(0);
    let requests = office.stand_in.requests();
    let live = requests
        .iter()
        .filter(|request| request.token != "token-tester");
    let left: Vec<i64> = live
        .map(|request| seconds(&request.message["message"]["android"]["ttl"]))
        .collect();
    assert_eq!(left.len(), 2);
    assert!(
        left.iter().all(|left| (2_280..=2_400).contains(left)),
        "{left:?}"
    );
}

#[test]
fn no_one_is_greeted_as_null() {
    let office = Office::playing(Script::default());
    let values = [
        "Ana",
        "null",
        "NULL",
        "undefined",
        "NaN",
        "None",
        "\\N",
        " null ",
        "Nullarbor",
    ];
    let rows = values
        .iter()
        .enumerate()
        .map(|(n, name)| format!("a0eebc99-9c0b-4ef8-bb6d-00000000000{n},t-{n},{name}\n"));
    office.audience(&format!("user_id,token,name\n{}", rows.collect::<String>()));
    let outcome = office.run(&order(&["--layer", "3", "--body", "Hi [[var:name]]"]));
    assert_eq!(outcome.status, 0, "{outcome}");
    assert_eq!(
        outcome.json()["skipped_by_reason"],
        json!({ "null:name": 7 })
    );
    assert_eq!(office.delivered(), ["t-0", "t-8"]);
    let default = [
        "--layer",
        "4",
        "--title",
        "D",
        "--body",
        "Hi [[var:name|default:\"you\"]]",
    ];
    let outcome = office.run(&order(&default));
    assert_eq!(outcome.json()["accepted"], 9, "{outcome}");
    let requests = office.stand_in.requests();
    let greeted = |text: &str| {
        let bodies = requests
            .iter()
            .map(|one| &one.message["message"]["notification"]["body"]);
        bodies.filter(|body| **body == text).count()
    };
    assert_eq!((greeted("Hi you"), greeted("Hi null")), (7, 0));
    let sent = [
        "--layer",
        "4",
        "--title",
        "S",
        "--body",
        "Hi [[var:name]]",
        "--null-like",
        "send",
    ];
    let outcome = office.run(&order(&sent));
    assert_eq!(outcome.json()["accepted"], 9, "{outcome}");
}

#[test]
fn a_push_of_an_automation_is_previewed_with_its_newest_file() {
    let office = crate::pipeline::office::Office::new(4, Script::default());
    office.file(&crate::pipeline::office::File::default());
    let missing = office.ends(&["preview", "--automation", "daily", "--push", "1"], 2);
    missing.says("`pushctl generate fans` writes one");
    office.ends(&["generate", "fans"], 0);
    let shown = office.ends(&["preview", "--automation", "daily", "--push", "1"], 0);
    assert!(shown.stdout.contains("Hello fan-2"), "{shown}");
    assert!(shown.stdout.contains("expires after 4h"), "{shown}");
    office.ends(&["preview", "--automation", "daily", "--push", "9"], 2);
    office.ends(&["preview", "--automation", "other", "--push", "1"], 2);
    assert_eq!(office.stand_in.requests().len(), 0);
}

#[test]
fn a_preview_shows_each_sample_as_phones_do_and_where_they_cut_it() {
    let sandbox = crate::support::cli::Sandbox::new();
    sandbox.write(
        "here/a.csv",
        "user_id,name\n1,Ann\n2,Bartholomew \u{1f45f} of Nowhere\n",
    );
    let preview = |more: &[&str]| {
        let title = "[[var:name]] wants your pair";
        let body = "See the offer before it is gone for good: it ends tonight";
        let words = [
            "preview",
            "--audience",
            "a.csv",
            "--title",
            title,
            "--body",
            body,
        ];
        sandbox.run(&[&words, more].concat())
    };
    let shown = preview(&[]);
    assert_eq!(shown.status, 0, "{shown}");
    for part in [
        "┌─ Android ─",
        "│ Ann wants your pair ",
        "│ See the offer before it is gone for good: it… │",
        "title: 19 characters, whole; cut after about 45",
        "body: 57 characters, cut after about 45, expanded after about 240",
        "┌─ iOS ─",
        "│ Bartholomew 👟 of Nowhere wants yo… ",
        "│ ends tonight  ",
        "title: 40 characters (41 wide), cut after about 35",
        "body: 57 characters, whole; cut after about 178",
    ] {
        assert!(shown.stdout.contains(part), "{part}: {shown}");
    }
    let document = preview(&["--json"]).json();
    let phones = &document["samples"][1]["phones"];
    assert_eq!(phones[0]["platform"], "Android");
    assert_eq!(phones[0]["body"]["expanded_limit"], 240);
    assert_eq!(
        phones[1]["title"],
        json!({
            "characters": 40, "columns": 41, "limit": 35, "is_cut": true,
            "shown": ["Bartholomew 👟 of Nowhere wants yo…"],
        })
    );
}
