//! JSON automations of the predecessor: every kind of schedule and of gap becomes a file that passes the check, and
//! what it does not have is listed.

use pushctl::audience::Catalogue;
use pushctl::automation::conversion::Conversion;
use pushctl::error::ErrorKind;
use pushctl::template::link::AllowedHosts;
use serde_json::{Value, json};

use super::{messages, read};
use crate::support::cli::{Outcome, Sandbox};

const USER: &str = "134ad24e-9980-6ca1-1119-7065657dbf5e";

/// An automation as the predecessor wrote it.
fn old() -> Value {
    json!({
        "id": "auto-17", "name": "Recent actions", "description": "People who acted lately", "type": "script_based",
        "status": "active", "isActive": true,
        "schedule": {
            "timezone": "America/Chicago", "frequency": "daily", "startDate": "2025-11-01",
            "executionTime": "12:37", "leadTimeMinutes": 40
        },
        "pushSequence": [push(1, "Still after the [[var:product_name]]?", 0)],
        "audienceCriteria": { "customScript": { "scriptId": "generate_layer_3_push_csvs", "parameters": {} } },
        "settings": {
            "testUserIds": [USER], "emergencyStopEnabled": true, "dryRunFirst": false,
            "cancellationWindowMinutes": 30,
            "safeguards": {
                "maxAudienceSize": 10000, "requireTestFirst": true, "emergencyContacts": [],
                "alertThresholds": { "audienceSize": 5000 }
            }
        }
    })
}

fn push(order: u32, title: &str, delay: u32) -> Value {
    json!({
        "sequenceOrder": order, "title": title, "body": "See who has it →", "layerId": 3,
        "deepLink": "https://tradeblock.us/product?id=[[var:variantID]]",
        "timing": { "delayAfterPrevious": delay }, "status": "active"
    })
}

/// Converts, and checks the result.
fn convert(old: &Value) -> (Sandbox, Outcome, toml::Table) {
    convert_with(old, &[])
}

fn convert_with(old: &Value, arguments: &[&str]) -> (Sandbox, Outcome, toml::Table) {
    let sandbox = Sandbox::new();
    sandbox.write("here/old.json", &serde_json::to_string_pretty(old).unwrap());
    let mut all = vec!["new", "automation", "mine", "--from", "old.json"];
    all.extend(arguments);
    let outcome = sandbox.run(&all);
    assert_eq!(
        (outcome.status, outcome.stdout.as_str()),
        (0, ""),
        "{outcome}"
    );
    let checked = sandbox.run(&["check"]);
    assert_eq!(checked.status, 0, "{checked}");
    let table = read(&sandbox, "automations/mine.toml").parse().unwrap();
    (sandbox, outcome, table)
}

/// What is listed about the old file.
fn notes(outcome: &Outcome) -> Vec<String> {
    let notes = messages(outcome).into_iter();
    notes
        .filter_map(|line| Some(line.strip_prefix("old.json: ")?.to_owned()))
        .collect()
}

#[test]
fn everything_that_has_a_counterpart_is_carried_over() {
    let (sandbox, outcome, _) = convert(&old());
    insta::assert_snapshot!(read(&sandbox, "automations/mine.toml"), @r##"
    #:schema ./automation.schema.json

    # Made from the JSON automation "Recent actions", id auto-17.
    name = "mine"
    description = "People who acted lately"
    enabled = false                 # true when the old one has stopped: both would send

    [schedule]
    send_at = "12:37"               # when recipients receive it
    frequency = "daily"
    timezone = "America/Chicago"
    lead_minutes = 40

    [window]
    cancel_minutes = 30

    [audience]
    name = "layer3"

    [[push]]
    audience_file = "recent-offer-creators"
    layer = 3
    title = "Still after the [[var:product_name]]?"
    body = "See who has it →"
    deep_link = "https://tradeblock.us/product?id=[[var:variantID]]"

    [test]
    user_ids = ["134ad24e-9980-6ca1-1119-7065657dbf5e"]
    required = true

    [safeguards]
    max_audience = 10000
    warn_audience = 5000
    # quiet_hours = "21:00-09:00"   # no push in these hours
    "##);
    assert_eq!(
        notes(&outcome),
        [
            "status: active; the new file has enabled = false, or both systems would send: set it to true when the old one has stopped"
        ]
    );
}

#[test]
fn every_frequency_becomes_a_schedule() {
    let with = |frequency: &str, date: &str| {
        let mut old = old();
        old["schedule"]["frequency"] = frequency.into();
        old["schedule"]["startDate"] = date.into();
        let (_, outcome, table) = convert(&old);
        (notes(&outcome).split_off(1), table["schedule"].clone())
    };
    let (said, schedule) = with("weekly", "2025-11-01T00:00:00.000Z");
    assert_eq!(schedule["weekdays"], toml::Value::from(vec!["sat"]));
    assert_eq!(
        said,
        ["schedule.startDate: the day of the week is that of the start, sat"]
    );
    // An evening in Chicago is the next day in UTC.
    let (said, schedule) = with("weekly", "2025-11-02T02:30:00Z");
    assert_eq!(schedule["weekdays"], toml::Value::from(vec!["sat"]));
    assert!(
        said[0].contains("is on 2025-11-01 in the schedule's time zone"),
        "{said:?}"
    );
    let (said, schedule) = with("weekly", "");
    assert_eq!(schedule["weekdays"], toml::Value::from(vec!["mon"]));
    assert!(
        said[0].contains("the day of the week is unknown"),
        "{said:?}"
    );
    let (said, schedule) = with("monthly", "2025-10-31");
    assert_eq!(schedule["day"].as_integer(), Some(31));
    assert_eq!(
        said,
        ["schedule.startDate: the day of the month is that of the start, 31"]
    );
    let (said, schedule) = with("once", "2035-02-03");
    assert_eq!(schedule["date"].as_str(), Some("2035-02-03"));
    assert!(said.is_empty(), "{said:?}");
    let (said, _) = with("once", "2025-02-03");
    assert_eq!(said, ["schedule.startDate: 2025-02-03 has passed"]);
    let (said, _) = with("daily", "2035-02-03");
    assert!(said[0].contains("enable it on 2035-02-03"), "{said:?}");
}

#[test]
fn a_cron_expression_keeps_its_five_fields() {
    let with = |cron: &str| {
        let mut old = old();
        old["schedule"] = json!({ "frequency": "custom", "cronExpression": cron, "timezone": "Europe/Berlin", "executionTime": "09:00" });
        old
    };
    let (_, outcome, table) = convert(&with("37 12 * * 2,5"));
    assert_eq!(table["schedule"]["cron"].as_str(), Some("37 12 * * 2,5"));
    assert_eq!(
        table["schedule"]["timezone"].as_str(),
        Some("Europe/Berlin")
    );
    assert!(
        notes(&outcome)
            .contains(&"schedule.executionTime: the cron expression sets the time".to_owned())
    );
    let (_, outcome, table) = convert(&with("0 37 12 * * 2"));
    assert_eq!(table["schedule"]["cron"].as_str(), Some("37 12 * * 2"));
    assert!(
        notes(&outcome)
            .contains(&"schedule.cronExpression: without the field of seconds, 0".to_owned())
    );

    let sandbox = Sandbox::new();
    sandbox.write("here/old.json", &with("61 12 * * 2").to_string());
    let outcome = sandbox.run(&["new", "automation", "mine", "--from", "old.json"]);
    assert_eq!(outcome.status, 2, "{outcome}");
    outcome.says(
        "error: cannot convert old.json\ncaused by: schedule.cronExpression: \"61 12 * * 2\": ",
    );
}

#[test]
fn several_pushes_keep_their_order_files_and_delays() {
    let mut old = old();
    old["pushSequence"] = json!([
        push(2, "Second, after [[var:product_name]]", 15),
        push(1, "First", 5),
        push(3, "Third", 90),
        push(4, "Without a file", 0),
    ]);
    old["pushSequence"][0]["audienceName"] = "closet people".into();
    old["pushSequence"][2]["status"] = "paused".into();
    old["pushSequence"][2]["layerId"] = "urgent".into();
    old["pushSequence"][2]["deepLink"] = "myapp://home".into();
    old["pushSequence"][1]["audienceName"] = "recent-wishlist-adders".into();
    let (_, outcome, table) = convert(&old);
    let pushes = table["push"].as_array().unwrap();
    let found: Vec<(&str, &str, Option<i64>)> = pushes
        .iter()
        .map(|push| {
            let text = |key: &str| push[key].as_str().unwrap();
            let delay = push.get("delay_minutes").and_then(toml::Value::as_integer);
            (&text("title")[..5], text("audience_file"), delay)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("First", "recent-wishlist-adders", None),
            ("Secon", "recent-closet-adders", Some(15)),
            ("Third", "recent-wishlist-adders", Some(90)),
        ]
    );
    let said = notes(&outcome).split_off(1);
    let expected = [
        "pushSequence[0].audienceName: closet people is no file of the audience; by its place the push goes to recent-closet-adders",
        "pushSequence[2].deepLink: left out, myapp://home: the deep link does not start with https:// (allowed: tradeblock.us)",
        "pushSequence[2].layerId: urgent is no layer from 1 to 5; 3 is written",
        "pushSequence[2].status: paused: the push is written all the same; remove its [[push]] if it must not be sent",
        "pushSequence[3]: left out: the audience layer3 has only 3 files; a push needs a file of its own",
        "pushSequence[1].timing.delayAfterPrevious: the first push goes out at the send time, without the delay of 5 minutes",
    ];
    assert_eq!(said, expected);
}

#[test]
fn without_test_users_no_live_push_can_follow() {
    let mut old = old();
    old["settings"]["testUserIds"] = json!([]);
    let (_, outcome, table) = convert(&old);
    let none = "00000000-0000-0000-0000-000000000000";
    assert_eq!(table["test"]["user_ids"], toml::Value::from(vec![none]));
    assert_eq!(table["test"]["required"].as_bool(), Some(true));
    assert!(
        notes(&outcome)[1].starts_with("settings.testUserIds: none: "),
        "{outcome}"
    );

    old["settings"]["testUserIds"] = json!([USER, "ann", USER, 7]);
    let (_, outcome, table) = convert(&old);
    assert_eq!(table["test"]["user_ids"], toml::Value::from(vec![USER]));
    let said = notes(&outcome);
    assert_eq!(
        said[1],
        "settings.testUserIds[1]: \"ann\" is not a user id: left out"
    );
    assert_eq!(
        said[2],
        "settings.testUserIds[3]: 7 is not a user id: left out"
    );

    old["settings"] = json!({ "safeguards": { "requireTestFirst": false } });
    let (_, outcome, table) = convert(&old);
    assert_eq!(table["test"]["required"].as_bool(), Some(false));
    assert!(
        notes(&outcome)[1].ends_with("live pushes go out without a test"),
        "{outcome}"
    );
}

#[test]
fn whatever_the_status_the_new_automation_is_not_enabled() {
    for (status, is_active, said) in [
        ("inactive", false, "status: inactive: enabled = false"),
        ("draft", true, "status: draft: enabled = false"),
        ("paused", true, "status: paused: enabled = false"),
        ("active", false, "isActive: false: enabled = false"),
    ] {
        let mut old = old();
        old["status"] = status.into();
        old["isActive"] = is_active.into();
        let (_, outcome, table) = convert(&old);
        assert_eq!(table["enabled"].as_bool(), Some(false));
        assert_eq!(notes(&outcome), [said]);
    }
}

#[test]
fn unknown_keys_are_listed_by_their_path() {
    let mut old = old();
    old["colour"] = "red".into();
    old["schedule"]["daysOfWeek"] = json!([1]);
    old["pushSequence"][0]["timing"]["jitter"] = 3.into();
    old["pushSequence"][0]["image"] = "x".into();
    old["audienceCriteria"]["tradingDays"] = 30.into();
    old["audienceCriteria"]["minTrades"] = 2.into();
    old["audienceCriteria"]["customScript"]["parameters"] = json!({ "lookback_hours": "72", "cooling-hours": 6, "output_dir": "x", "colour": 1, "min_wishlist": "many" });
    old["settings"]["retry"] = true.into();
    old["settings"]["safeguards"]["maximum"] = 3.into();
    old["settings"]["safeguards"]["alertThresholds"]["failureRate"] = 0.1.into();
    old["settings"]["safeguards"]["alertThresholds"]["skipped"] = 1.into();
    old["metadata"] = json!({ "totalExecutions": 3 });
    let (_, outcome, table) = convert(&old);
    let params = table["audience"]["params"].as_table().unwrap();
    assert_eq!(params["lookback_hours"].as_integer(), Some(72));
    assert_eq!(params["cooling_hours"].as_integer(), Some(6));
    assert_eq!(params.len(), 2);
    assert_eq!(
        table["safeguards"]["max_failure_rate"].as_float(),
        Some(0.1)
    );
    let said = notes(&outcome);
    let paths: Vec<&str> = said
        .iter()
        .map(|note| note.split(": ").next().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "status",
            "audienceCriteria.customScript.parameters.output_dir",
            "audienceCriteria.customScript.parameters.colour",
            "audienceCriteria.customScript.parameters.min_wishlist",
            "audienceCriteria.tradingDays",
            "audienceCriteria.minTrades",
            "settings.safeguards.alertThresholds.failureRate",
            "settings.safeguards.alertThresholds.skipped",
            "settings.safeguards.maximum",
            "settings.retry",
            "schedule.daysOfWeek",
            "pushSequence[0].timing.jitter",
            "pushSequence[0].image",
            "metadata",
            "colour",
        ]
    );
    assert!(
        said.contains(&"colour: unknown key, not carried over".to_owned()),
        "{said:?}"
    );
}

#[test]
fn every_script_has_an_audience_and_another_can_be_named() {
    for (script, audience) in [
        ("generate_layer_2_push_csv", "layer2"),
        ("scripts/generate_layer_2_push_csv.py", "layer2"),
        ("generate_layer_3_push_csvs.py", "layer3"),
        ("generate_new_user_waterfall", "waterfall"),
        ("generate_new_user_nudges", "nudges"),
        ("generate_showcase_push_csvs", "showcase"),
    ] {
        let mut old = old();
        old["audienceCriteria"]["customScript"]["scriptId"] = script.into();
        old["pushSequence"] = json!([{ "title": "Hello", "body": "there" }]);
        let (_, outcome, table) = convert(&old);
        assert_eq!(table["audience"]["name"].as_str(), Some(audience));
        // The product that a showcase needs.
        let is_missing = notes(&outcome)
            .iter()
            .any(|note| note.contains("parameters.product_id: missing"));
        assert_eq!(is_missing, audience == "showcase", "{outcome}");
    }
    let mut other = old();
    other["audienceCriteria"]["customScript"]["scriptId"] = "generate_vips".into();
    other["pushSequence"] = json!([{ "title": "Hello", "body": "there" }]);
    let (.., table) = convert_with(&other, &["--audience", "layer2"]);
    assert_eq!(table["audience"]["name"].as_str(), Some("layer2"));
    let sandbox = Sandbox::new();
    sandbox.write("here/old.json", &other.to_string());
    let outcome = sandbox.run(&["new", "automation", "mine", "--from", "old.json"]);
    insta::assert_snapshot!(outcome, @r#"
    ---- stderr
    error: cannot convert old.json
    caused by: audienceCriteria.customScript.scriptId: no audience replaces the script "generate_vips"
    hint: write one with `pushctl new audience NAME`, and name it with --audience NAME
    ---- exit status 2
    "#);
}

#[test]
fn odd_numbers_and_zones_become_possible_ones() {
    let mut old = old();
    old["schedule"] = json!({
        "timezone": "Mars/Olympus", "frequency": "daily", "executionTime": "9:05:30", "leadTimeMinutes": 20
    });
    old["settings"]["cancellationWindowMinutes"] = 30.into();
    let (_, outcome, table) = convert(&old);
    assert_eq!(table["schedule"]["send_at"].as_str(), Some("09:05"));
    assert_eq!(table["schedule"]["timezone"].as_str(), Some("UTC"));
    assert_eq!(table["schedule"]["lead_minutes"].as_integer(), Some(35));
    assert_eq!(
        notes(&outcome)[1..],
        [
            "schedule.timezone: there is no time zone \"Mars/Olympus\": UTC is written; replace it",
            "schedule.executionTime: 9:05:30: without the 30 seconds",
            "schedule.leadTimeMinutes: 35 now: the cancellation window of 30 minutes must fit into it",
        ]
    );
}

#[test]
fn what_nothing_can_be_made_of_is_an_error_with_its_place() {
    let sandbox = Sandbox::new();
    let convert = |text: &str| {
        sandbox.write("here/old.json", text);
        let outcome = sandbox.run(&["new", "automation", "mine", "--from", "old.json"]);
        assert_eq!(outcome.status, 2, "{outcome}");
        assert!(!sandbox.here().join("automations/mine.toml").exists());
        outcome
    };
    let text = serde_json::to_string_pretty(&old()).unwrap();
    insta::assert_snapshot!(convert(&text.replace("\"status\": \"active\",\n  \"isActive\"", "\"status\": \"active\"\n  \"isActive\"")), @r#"
    ---- stderr
    error: old.json:7:3: this is not JSON: expected `,` or `}`
    hint: a comma, a quote or a bracket is missing or too many, there or on the line before
    ---- exit status 2
    "#);
    insta::assert_snapshot!(convert("[]"), @r#"
    ---- stderr
    error: old.json holds a list, and not one automation
    hint: write each entry of the list into a file of its own
    ---- exit status 2
    "#);
    insta::assert_snapshot!(convert(""), @r#"
    ---- stderr
    error: old.json:1:1: this is not JSON: EOF while parsing a value
    hint: a comma, a quote or a bracket is missing or too many, there or on the line before
    ---- exit status 2
    "#);
    insta::assert_snapshot!(convert(&text.replace("12:37", "25:00")), @r#"
    ---- stderr
    error: cannot convert old.json
    caused by: schedule.executionTime: `25:00` is not a time of day: hours go to 23 and minutes to 59
    ---- exit status 2
    "#);
    insta::assert_snapshot!(convert(&text.replace("\"frequency\": \"daily\"", "\"frequency\": \"hourly\"")), @r#"
    ---- stderr
    error: cannot convert old.json
    caused by: schedule.frequency: "hourly" is unknown
    hint: it is once, daily, weekly, monthly or custom
    ---- exit status 2
    "#);
    insta::assert_snapshot!(convert(&text.replace("product_name", "shoe")), @r#"
    ---- stderr
    error: automations/mine.toml would not pass `pushctl check`, and is not written
    caused by: recent-offer-creators has no column `shoe`: title = "Still after the [[var:shoe]]?"
    hint: correct the name or the old file, and try again
    ---- exit status 2
    "#);
    insta::assert_snapshot!(convert(&text.replace("\"pushSequence\"", "\"pushes\"")), @r#"
    ---- stderr
    error: cannot convert old.json
    caused by: pushSequence has no push for a file of the audience
    ---- exit status 2
    "#);
    let gone = sandbox.run(&["new", "automation", "mine", "--from", "gone.json"]);
    assert_eq!(gone.status, 2, "{gone}");
    gone.says("error: cannot read gone.json");
}

/// The paths of all values below one, as JSON pointers.
fn pointers(value: &Value, path: &str, found: &mut Vec<String>) {
    found.push(path.to_owned());
    match value {
        Value::Object(keys) => keys
            .iter()
            .for_each(|(key, value)| pointers(value, &format!("{path}/{key}"), found)),
        Value::Array(items) => (items.iter().enumerate())
            .for_each(|(place, value)| pointers(value, &format!("{path}/{place}"), found)),
        _ => {}
    }
}

/// Whatever stands in place of whatever: the conversion ends, and says what it made of it.
#[test]
fn any_value_in_any_place_is_converted_listed_or_refused() {
    let catalogue = Catalogue::built_in();
    let conversion = Conversion {
        name: "mine",
        audience: None,
        catalogue: &catalogue,
        link_hosts: &AllowedHosts::default(),
        has_test_users: false,
        now: "2026-11-21T09:00:00Z".parse().unwrap(),
    };
    let mut all = Vec::new();
    pointers(&old(), "", &mut all);
    let odd = [
        json!(null),
        json!(0),
        json!(-1),
        json!(1e300),
        json!(""),
        json!("é\n\u{1b}[31m👟"),
        json!("12"),
        json!([]),
        json!({}),
        json!([[]]),
        json!(true),
    ];
    let (mut converted, mut refused) = (0, 0);
    for (pointer, value) in all
        .iter()
        .flat_map(|pointer| odd.iter().map(move |value| (pointer, value)))
    {
        let mut changed = old();
        *changed.pointer_mut(pointer).unwrap() = value.clone();
        match conversion.convert("old.json", &changed.to_string()) {
            Ok(new) => {
                converted += 1;
                let table: toml::Table = new
                    .text
                    .parse()
                    .unwrap_or_else(|error| panic!("{pointer} {value}: {error}"));
                assert_eq!(table["enabled"].as_bool(), Some(false));
                for note in new.notes {
                    assert!(!note.to_string().contains(['\n', '\u{1b}']), "{note}");
                }
            }
            Err(error) => {
                refused += 1;
                assert_eq!(
                    error.kind(),
                    ErrorKind::Usage,
                    "{pointer} {value}: {error:#}"
                );
            }
        }
    }
    assert!(converted > 200 && refused > 50, "{converted}, {refused}");
}
