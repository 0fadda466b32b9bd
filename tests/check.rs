//! `check` on files that are right, and on many that are not: each message is here to be read.

use jiff::Timestamp;
use pushctl::audience::Catalogue;
use pushctl::automation::check::{Against, Checked, check};
use pushctl::automation::file::json_schema;
use pushctl::automation::finding::{Severity, Source};
use pushctl::automation::render::Color;
use pushctl::automation::{self, file_name};
use pushctl::template::link::AllowedHosts;
use serde_json::Value;

/// A file without a flaw, for the others to differ from.
const GOOD: &str = r#"name = "mine"
enabled = true

[schedule]
send_at = "13:33"
timezone = "America/Chicago"
frequency = "daily"

[audience]
name = "layer3"

[[push]]
audience_file = "recent-offer-creators"
layer = 3
title = "The target: [[var:product_name]]s"
body = "See the [[var:inventory_count]] people who have them →"
deep_link = "https://tradeblock.us/product/collectors-have?productVariantId=[[var:variantID]]"

[test]
user_ids = ["d6d77053-92bc-7af6-3332-8bea8c4c6904"]
"#;

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

fn checked(sources: &[Source], test_users: &[String]) -> Checked {
    let against = Against {
        catalogue: &Catalogue::built_in(),
        link_hosts: &AllowedHosts::default(),
        test_users,
        now: "2026-11-21T09:00:00Z".parse::<Timestamp>().unwrap(),
    };
    check(sources, &against)
}

fn shown(text: &str) -> String {
    let checked = checked(&[source("a.toml", text)], &[]);
    assert!(
        checked.report.findings.iter().any(|_| true),
        "nothing was found"
    );
    assert_eq!(
        checked.automations.len(),
        usize::from(checked.report.errors == 0)
    );
    checked.report.human(Color::Plain)
}

/// `GOOD` with one thing in place of another.
fn with(old: &str, new: &str) -> String {
    assert!(GOOD.contains(old), "{old}");
    GOOD.replace(old, new)
}

fn shipped() -> Vec<Source> {
    let paths = automation::files_in("automations".as_ref()).unwrap();
    paths
        .iter()
        .map(|path| automation::read(path).unwrap())
        .collect()
}

#[test]
fn the_four_automations_that_ship_have_nothing_to_complain_of_and_cover_every_file() {
    let checked = checked(&shipped(), &[]);
    assert_eq!(checked.report.human(Color::Plain), "");
    let names: Vec<&str> = checked
        .automations
        .iter()
        .map(|automation| automation.name())
        .collect();
    assert_eq!(names, ["layer2", "layer3", "showcase", "waterfall"]);
    for automation in &checked.automations {
        let audience = Catalogue::built_in()
            .get(&automation.file.audience.name)
            .unwrap();
        let wanted: Vec<&str> = audience.header.files.iter().map(file_name).collect();
        let covered: Vec<&str> = automation
            .file
            .push
            .iter()
            .map(|push| push.audience_file.as_str())
            .collect();
        assert_eq!(covered, wanted, "{}", automation.name());
        assert!(automation.file.test.required);
    }
}

#[test]
fn an_automation_is_found_by_its_name_or_its_files() {
    let automations = checked(&[source("automations/daily.toml", GOOD)], &[]).automations;
    assert_eq!(
        automation::find(&automations, "mine").unwrap().name(),
        "mine"
    );
    assert_eq!(
        automation::find(&automations, "daily").unwrap().name(),
        "mine"
    );
    let error = automation::find(&automations, "mien").unwrap_err();
    assert_eq!(error.hints(), ["did you mean mine?"]);
}

#[test]
fn the_schema_in_the_repository_is_the_one_that_is_printed() {
    let path = "automations/automation.schema.json";
    let printed = serde_json::to_string_pretty(&json_schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &printed).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), printed);
}

#[test]
fn every_key_of_the_schema_is_read_and_every_default_is_its_own() {
    fn keys(schema: &Value, found: &mut Vec<String>) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            found.push(key.clone());
            keys(property, found);
            keys(&property["items"], found);
        }
    }
    let mut known = Vec::new();
    keys(&json_schema(), &mut known);
    let everything = r#"name = "all"
description = "Every key there is"
enabled = false
[schedule]
send_at = 00:07:00
timezone = "UTC"
frequency = "monthly"
day = 31
lead_minutes = 40
max_lateness_minutes = 20
[audience]
name = "layer3"
params = { lookback_hours = 24 }
[[push]]
audience_file = "recent-closet-adders"
layer = 1
title = "t"
body = "b"
deep_link = "https://app.tradeblock.us/x"
data = { campaign = "[[var:variantID]]" }
delay_minutes = 0
[test]
user_ids = ["d6d77053-92bc-7af6-3332-8bea8c4c6904"]
required = false
[window]
cancel_minutes = 10
[safeguards]
max_audience = 100
warn_audience = 50
max_change_percent = 150
max_skipped_percent = 2.5
max_failure_rate = 0.5
quiet_hours = "21:00-00:05"
quiet_hours_action = "delay"
holdout_percent = 10
cadence_failure = "send"
[notify]
webhook = "env:A_1"
heartbeat = "env:_B"
"#;
    for key in known {
        if !["date", "weekdays", "cron"].contains(&key.as_str()) {
            assert!(
                everything.contains(&format!("{key} ="))
                    || everything.contains(&format!("[{key}]")),
                "{key}"
            );
        }
    }
    let checked = checked(&[source("all.toml", everything)], &[]);
    assert_eq!(checked.report.human(Color::Plain), "");
    let automation = &checked.automations[0];
    assert_eq!(
        automation.schedule.rule.to_string(),
        "on the last day of each month at 00:07"
    );
    let json = serde_json::to_value(&automation.file).unwrap();
    assert_eq!(json["safeguards"]["max_skipped_percent"], 2.5);
    assert_eq!(json["push"][0]["data"]["campaign"], "[[var:variantID]]");
}

#[test]
fn the_configurations_test_users_stand_in_for_those_a_file_does_not_name() {
    let text = with(
        "[test]\nuser_ids = [\"d6d77053-92bc-7af6-3332-8bea8c4c6904\"]\n",
        "",
    );
    let users = ["d6d77053-92bc-7af6-3332-8bea8c4c6904".to_owned()];
    assert_eq!(
        checked(&[source("a.toml", &text)], &users).report.findings,
        []
    );
    let text = text + "[test]\nuser_ids = []\n";
    assert_eq!(checked(&[source("a.toml", &text)], &users).report.errors, 1);
}

#[test]
fn findings_come_as_one_json_document_too() {
    let checked = checked(&[source("a.toml", &with("layer = 3", "layer = 9"))], &[]);
    let json = serde_json::to_value(&checked.report).unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap(), @r#"
    {
      "files": 1,
      "errors": 1,
      "warnings": 0,
      "findings": [
        {
          "severity": "error",
          "code": "range",
          "message": "`layer` must be 1 to 5, not 9",
          "file": "a.toml",
          "line": 14,
          "column": 9,
          "end_column": 10,
          "source": "layer = 9"
        }
      ]
    }
    "#);
}

#[test]
fn a_name_is_used_once() {
    let sources = [source("a.toml", GOOD), source("b.toml", GOOD)];
    let report = checked(&sources, &[]).report;
    assert_eq!(report.findings[0].severity, Severity::Error);
    insta::assert_snapshot!(report.human(Color::Plain), @r#"
    error: the name `mine` is already that of a.toml
     --> b.toml:1:8
      |
    1 | name = "mine"
      |        ^^^^^^
    "#);
}

#[test]
fn an_empty_file_is_told_what_it_lacks() {
    insta::assert_snapshot!(shown(""), @r"
    error: the file has no `name`
     --> a.toml:1:1
      |
    1 | 
      | ^
      = What the automation is called in every command and record

    error: the file has no [schedule]
     --> a.toml:1:1
      |
    1 | 
      | ^
      = When people receive it

    error: the file has no [audience]
     --> a.toml:1:1
      |
    1 | 
      | ^
      = Who receives it

    error: the file has no [[push]]
     --> a.toml:1:1
      |
    1 | 
      | ^
      = What they receive, in order

    error: a test is required, and there is nobody to send it to
     --> a.toml:1:1
      |
    1 | 
      | ^
      = name people under [test] user_ids, or in the configuration's test_users; required = false sends without a test
    ");
}

#[test]
fn syntax_errors_do_not_hide_what_else_is_wrong() {
    let text = with(
        "timezone = \"America/Chicago\"",
        "timezone = \"America/Chicago",
    )
    .replace("layer = 3", "layr = 3");
    insta::assert_snapshot!(shown(&text), @r#"
    error: the text is not closed
     --> a.toml:6:27
      |
    6 | timezone = "America/Chicago
      |                           ^
      = it needs a `"` at its end; a `"` inside it is written `\"`

    error: unknown key `layr` in [[push]]
      --> a.toml:14:1
       |
    14 | layr = 3
       | ^^^^
       = did you mean `layer`?
    "#);
}

#[test]
fn a_value_without_quotes_and_one_that_is_missing() {
    let text = with("send_at = \"13:33\"", "send_at = 1:33pm")
        .replace("frequency = \"daily\"", "frequency =");
    insta::assert_snapshot!(shown(&text), @r#"
    error: invalid time, expected a two-digit hour (HH)
     --> a.toml:5:11
      |
    5 | send_at = 1:33pm
      |           ^^^^^^
      = a text needs quotes: "1:33pm"

    error: a value is missing after `=`
     --> a.toml:7:11
      |
    7 | frequency =
      |           ^
    "#);
}

#[test]
fn keys_given_twice_and_tables_not_closed() {
    let text = with("[audience]", "[audience").replace("layer = 3", "layer = 3\nlayer = 2");
    insta::assert_snapshot!(shown(&text), @r"
    error: the table's name is not closed: `]` is missing
     --> a.toml:9:9
      |
    9 | [audience
      |         ^

    error: `layer` is given twice in the same table
      --> a.toml:15:1
       |
    15 | layer = 2
       | ^^^^^
    ");
}

#[test]
fn unknown_keys_are_found_anywhere() {
    let text = with("enabled = true", "enable = true")
        .replace("[schedule]", "[schedule]\ncancel_minutes = 20\nlead = 30")
        .replace("layer = 3", "layer = 3\naudience_flie = \"x\"")
        + "[saveguards]\nmax_audience = 3\n[safeguards]\nmax_audiences = 3\n";
    insta::assert_snapshot!(shown(&text), @r#"
    error: unknown key `enable` at the top of the file
     --> a.toml:2:1
      |
    2 | enable = true
      | ^^^^^^
      = did you mean `enabled`?

    error: unknown key `cancel_minutes` in [schedule]
     --> a.toml:5:1
      |
    5 | cancel_minutes = 20
      | ^^^^^^^^^^^^^^
      = `cancel_minutes` belongs in [window]

    error: unknown key `lead` in [schedule]
     --> a.toml:6:1
      |
    6 | lead = 30
      | ^^^^
      = did you mean `lead_minutes`?

    error: unknown key `audience_flie` in [[push]]
      --> a.toml:17:1
       |
    17 | audience_flie = "x"
       | ^^^^^^^^^^^^^
       = did you mean `audience_file`?

    error: unknown key `saveguards` at the top of the file
      --> a.toml:24:2
       |
    24 | [saveguards]
       |  ^^^^^^^^^^
       = did you mean `safeguards`?

    error: unknown key `max_audiences` in [safeguards]
      --> a.toml:27:1
       |
    27 | max_audiences = 3
       | ^^^^^^^^^^^^^
       = did you mean `max_audience`?
    "#);
}

#[test]
fn wrong_types_and_how_to_write_them() {
    let text = with("enabled = true", "enabled = \"true\"")
        .replace(
            "frequency = \"daily\"",
            "frequency = \"daily\"\nlead_minutes = \"30\"\nmax_lateness_minutes = 7.5",
        )
        .replace("title = \"The target: [[var:product_name]]s\"", "title = 3")
        .replace(
            "user_ids = [\"d6d77053-92bc-7af6-3332-8bea8c4c6904\"]",
            "user_ids = \"d6d77053-92bc-7af6-3332-8bea8c4c6904\"",
        )
        + "[window]\ncancel_minutes = []\n[push_defaults]\n";
    insta::assert_snapshot!(shown(&text), @r#"
    error: `enabled` must be true or false, not text
     --> a.toml:2:11
      |
    2 | enabled = "true"
      |           ^^^^^^
      = write it without quotes: true

    error: `lead_minutes` must be a whole number, not text
     --> a.toml:8:16
      |
    8 | lead_minutes = "30"
      |                ^^^^
      = write it without quotes: 30

    error: `max_lateness_minutes` must be a whole number, not a fraction
     --> a.toml:9:24
      |
    9 | max_lateness_minutes = 7.5
      |                        ^^^

    error: `title` must be text, not a number
      --> a.toml:17:9
       |
    17 | title = 3
       |         ^
       = write it in quotes: "3"

    error: `user_ids` must be a list, not text
      --> a.toml:22:12
       |
    22 | user_ids = "d6d77053-92bc-7af6-3332-8bea8c4c6904"
       |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       = write it in brackets: ["d6d77053-92bc-7af6-3332-8bea8c4c6904"]

    error: `cancel_minutes` must be a whole number, not a list
      --> a.toml:24:18
       |
    24 | cancel_minutes = []
       |                  ^^

    error: unknown key `push_defaults` at the top of the file
      --> a.toml:25:2
       |
    25 | [push_defaults]
       |  ^^^^^^^^^^^^^
       = known are: name, description, enabled, schedule, audience, push, test, window, safeguards, notify
    "#);
}

#[test]
fn numbers_outside_their_ranges() {
    let text = with("layer = 3", "layer = 6\ndelay_minutes = -1")
        + "[safeguards]\nmax_failure_rate = 10\nholdout_percent = 100\nmax_audience = 0\nmax_skipped_percent = 99999999999999999999\n";
    insta::assert_snapshot!(shown(&text), @r"
    error: `layer` must be 1 to 5, not 6
      --> a.toml:14:9
       |
    14 | layer = 6
       |         ^

    error: `delay_minutes` must be 0 to 1440, not -1
      --> a.toml:15:17
       |
    15 | delay_minutes = -1
       |                 ^^

    error: `max_failure_rate` must be 0 to 1, not 10
      --> a.toml:23:20
       |
    23 | max_failure_rate = 10
       |                    ^^
       = it is a share of one: 10 percent are 0.1

    error: `holdout_percent` must be 0 to 99, not 100
      --> a.toml:24:19
       |
    24 | holdout_percent = 100
       |                   ^^^

    error: `max_audience` must be at least 1, not 0
      --> a.toml:25:16
       |
    25 | max_audience = 0
       |                ^

    error: `max_skipped_percent` does not fit in 64 bits
      --> a.toml:26:23
       |
    26 | max_skipped_percent = 99999999999999999999
       |                       ^^^^^^^^^^^^^^^^^^^^
    ");
}

#[test]
fn choices_that_are_none() {
    let text = with("frequency = \"daily\"", "frequency = \"dayly\"")
        + "[safeguards]\ncadence_failure = \"ignore\"\nquiet_hours = \"21:00-09:00\"\nquiet_hours_action = \"deley\"\n";
    insta::assert_snapshot!(shown(&text), @r#"
    error: `frequency` must be "once", "daily", "weekly" or "monthly", not "dayly"
     --> a.toml:7:13
      |
    7 | frequency = "dayly"
      |             ^^^^^^^
      = did you mean "daily"?

    error: `cadence_failure` must be "abort" or "send", not "ignore"
      --> a.toml:22:19
       |
    22 | cadence_failure = "ignore"
       |                   ^^^^^^^^

    error: `quiet_hours_action` must be "refuse" or "delay", not "deley"
      --> a.toml:24:22
       |
    24 | quiet_hours_action = "deley"
       |                      ^^^^^^^
       = did you mean "delay"?
    "#);
    let text = with(
        "frequency = \"daily\"",
        "frequency = \"weekly\"\nweekdays = [\"Monday\", \"xyz\", \"fri\", \"fri\"]",
    );
    insta::assert_snapshot!(shown(&text), @r#"
    error: an entry of `weekdays` must be "mon", "tue", "wed", "thu", "fri", "sat" or "sun", not "Monday"
     --> a.toml:8:13
      |
    8 | weekdays = ["Monday", "xyz", "fri", "fri"]
      |             ^^^^^^^^
      = did you mean "mon"?

    error: an entry of `weekdays` must be "mon", "tue", "wed", "thu", "fri", "sat" or "sun", not "xyz"
     --> a.toml:8:23
      |
    8 | weekdays = ["Monday", "xyz", "fri", "fri"]
      |                       ^^^^^

    warning: this day is listed twice
     --> a.toml:8:37
      |
    8 | weekdays = ["Monday", "xyz", "fri", "fri"]
      |                                     ^^^^^
    "#);
}

#[test]
fn audience_file_and_parameters_by_their_nearest_names() {
    let text = with("name = \"layer3\"", "name = \"layer3\"\nparams = { lookback_hour = 48, min_wishlist = \"2\", cooling_hours = -3 }")
        .replace("recent-offer-creators", "recent-ofer-creators");
    insta::assert_snapshot!(shown(&text), @r#"
    error: the audience layer3 has no parameter `lookback_hour`
      --> a.toml:11:12
       |
    11 | params = { lookback_hour = 48, min_wishlist = "2", cooling_hours = -3 }
       |            ^^^^^^^^^^^^^
       = did you mean `lookback_hours`?

    error: `min_wishlist` must be a whole number
      --> a.toml:11:47
       |
    11 | params = { lookback_hour = 48, min_wishlist = "2", cooling_hours = -3 }
       |                                               ^^^
       = Wishlists that a shoe added to a closet must be on

    error: `cooling_hours`: -3 is not between 0 and 8760
      --> a.toml:11:68
       |
    11 | params = { lookback_hour = 48, min_wishlist = "2", cooling_hours = -3 }
       |                                                                    ^^
       = Hours that must have passed since an action

    error: the audience layer3 has no file "recent-ofer-creators"
      --> a.toml:14:17
       |
    14 | audience_file = "recent-ofer-creators"
       |                 ^^^^^^^^^^^^^^^^^^^^^^
       = did you mean "recent-offer-creators"?
    "#);
    insta::assert_snapshot!(shown(&with("name = \"layer3\"", "name = \"layer33\"")), @r#"
    error: there is no audience "layer33"
      --> a.toml:10:8
       |
    10 | name = "layer33"
       |        ^^^^^^^^^
       = did you mean "layer3"?
    "#);
}

#[test]
fn a_parameter_without_a_default_must_be_given() {
    let text = with("name = \"layer3\"", "name = \"showcase\"")
        .replace("recent-offer-creators", "showcase-wants")
        .replace("product_name", "usersize");
    insta::assert_snapshot!(shown(&text), @r"
    error: the audience showcase needs the parameter `product_id`
     --> a.toml:9:1
      |
    9 | [audience]
      | ^^^^^^^^^^
      = The product to show
    ");
    let text = text.replace(
        "name = \"showcase\"",
        "name = \"showcase\"\nparams.product_id = \"42\"",
    );
    insta::assert_snapshot!(shown(&text), @r#"
    error: `product_id`: "42" is not an id like 0b54ae58-8e5a-4d3e-9b3c-2f6f6f0a1c11
      --> a.toml:11:21
       |
    11 | params.product_id = "42"
       |                     ^^^^
       = The product to show
    "#);
}

#[test]
fn variables_and_filters_are_those_of_the_file() {
    let text = with(
        "title = \"The target: [[var:product_name]]s\"",
        "title = \"\\u2192 [[var:product_nam]] for [[var:first_name|deafult:\\\"you\\\"]]\"",
    )
    .replace(
        "body = \"See the [[var:inventory_count]]",
        "body = \"See the [[var:wishlist_count|number]] or [[var:colour]] or [[ var:username ]]",
    );
    insta::assert_snapshot!(shown(&text), @r#"
    error: there is no filter `deafult`
      --> a.toml:15:58
       |
    15 | title = "\u2192 [[var:product_nam]] for [[var:first_name|deafult:\"you\"]]"
       |                                                          ^^^^^^^
       = did you mean `default`?

    error: recent-offer-creators has no column `wishlist_count`
      --> a.toml:16:23
       |
    16 | body = "See the [[var:wishlist_count|number]] or [[var:colour]] or [[ var:username ]] people who hav…
       |                       ^^^^^^^^^^^^^^
       = it has: user_id, username, firstName, usersize, relevant_variant_size, product_name, variantID, lastActive, inventory_count

    error: recent-offer-creators has no column `colour`
      --> a.toml:16:56
       |
    16 | …wishlist_count|number]] or [[var:colour]] or [[ var:username ]] people who have them →"
       |                                   ^^^^^^
       = it has: user_id, username, firstName, usersize, relevant_variant_size, product_name, variantID, lastActive, inventory_count

    warning: `[[ var:username ]]` is sent as it stands
      --> a.toml:16:68
       |
    16 | …nt|number]] or [[var:colour]] or [[ var:username ]] people who have them →"
       |                                   ^^^^^^^^^^^^^^^^^^
       = a variable is written [[var:column]], without spaces
    "#);
    insta::assert_snapshot!(shown(&with("[[var:product_name]]s", "[[var:product_name")), @r#"
    error: `[[` is not closed with `]]`
      --> a.toml:15:22
       |
    15 | title = "The target: [[var:product_name"
       |                      ^^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn deep_links_are_https_and_lead_home() {
    insta::assert_snapshot!(shown(&with("https://tradeblock.us/", "http://tradeblock.us/")), @r#"
    error: the deep link does not start with https:// (allowed: tradeblock.us)
      --> a.toml:17:13
       |
    17 | deep_link = "http://tradeblock.us/product/collectors-have?productVariantId=[[var:variantID]]"
       |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(shown(&with("https://tradeblock.us/", "https://tradeblock.us.example.com/")), @r#"
    error: the deep link's host `tradeblock.us.example.com` is not allowed (allowed: tradeblock.us)
      --> a.toml:17:13
       |
    17 | deep_link = "https://tradeblock.us.example.com/product/collectors-have?productVariantId=[[var:varian…
       |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(shown(&with("https://tradeblock.us/product", "https://[[var:username]].tradeblock.us/product")), @r#"
    warning: where this leads is known only row by row
      --> a.toml:17:13
       |
    17 | deep_link = "https://[[var:username]].tradeblock.us/product/collectors-have?productVariantId=[[var:v…
       |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       = rows whose link leads elsewhere than to an allowed host are skipped; write the host out if you can
    "#);
}

#[test]
fn empty_texts_and_reserved_data_keys() {
    let text = with(
        "title = \"The target: [[var:product_name]]s\"",
        "title = \"  \"\ndata = { url = \"x\", from = \"y\", count = 3 }",
    );
    insta::assert_snapshot!(shown(&text), @r#"
    error: `title` is empty
      --> a.toml:15:9
       |
    15 | title = "  "
       |         ^^^^

    error: this key carries the deep link
      --> a.toml:16:16
       |
    16 | data = { url = "x", from = "y", count = 3 }
       |                ^^^

    error: this key is reserved by the push service
      --> a.toml:16:28
       |
    16 | data = { url = "x", from = "y", count = 3 }
       |                            ^^^

    error: `count` must be text, not a number
      --> a.toml:16:41
       |
    16 | data = { url = "x", from = "y", count = 3 }
       |                                         ^
       = write it in quotes: "3"
    "#);
}

#[test]
fn times_and_zones_that_there_are_not() {
    insta::assert_snapshot!(shown(&with("\"13:33\"", "\"1:33 pm\"").replace("America/Chicago", "Chicago")), @r#"
    error: `1:33 pm` is no time of day: write it on the 24-hour clock, like 13:33
     --> a.toml:5:11
      |
    5 | send_at = "1:33 pm"
      |           ^^^^^^^^^

    error: there is no time zone "Chicago"
     --> a.toml:6:12
      |
    6 | timezone = "Chicago"
      |            ^^^^^^^^^
      = did you mean "America/Chicago"?
    "#);
    insta::assert_snapshot!(shown(&with("\"13:33\"", "\"24:00\"").replace("America/Chicago", "CST")), @r#"
    error: `24:00` is no time of day: midnight is 00:00
     --> a.toml:5:11
      |
    5 | send_at = "24:00"
      |           ^^^^^^^

    error: there is no time zone "CST"
     --> a.toml:6:12
      |
    6 | timezone = "CST"
      |            ^^^^^
      = write the name of a place, like "America/Chicago", or "UTC": an abbreviation or an offset does not say when clocks change
    "#);
    insta::assert_snapshot!(shown(&with("\"13:33\"", "\"25:61\"").replace("America/Chicago", "Amerika/Chicago")), @r#"
    error: `25:61` is no time of day: hours go to 23 and minutes to 59
     --> a.toml:5:11
      |
    5 | send_at = "25:61"
      |           ^^^^^^^

    error: there is no time zone "Amerika/Chicago"
     --> a.toml:6:12
      |
    6 | timezone = "Amerika/Chicago"
      |            ^^^^^^^^^^^^^^^^^
      = did you mean "America/Chicago"?
    "#);
}

#[test]
fn clock_changes_of_the_coming_year_are_warned_of() {
    insta::assert_snapshot!(shown(&with("13:33", "02:33")), @r#"
    warning: on 2027-03-14 there is no 02:33 in America/Chicago: the clocks are put forward over it
     --> a.toml:5:11
      |
    5 | send_at = "02:33"
      |           ^^^^^^^
      = that day the pushes go out at 03:00; a time that no clock change touches is clearer
    "#);
    insta::assert_snapshot!(shown(&with("13:33", "01:33")), @r#"
    warning: on 2027-11-07 there is 01:33 twice in America/Chicago: the clocks are put back over it
     --> a.toml:5:11
      |
    5 | send_at = "01:33"
      |           ^^^^^^^
      = that day the pushes go out at the first, 01:33-05:00; a time that no clock change touches is clearer
    "#);
}

#[test]
fn schedules_that_say_too_much_or_too_little() {
    insta::assert_snapshot!(shown(&with("frequency = \"daily\"", "frequency = \"daily\"\nday = 3\ndate = 2026-12-24")), @r#"
    error: `day` means nothing with frequency = "daily"
     --> a.toml:8:1
      |
    8 | day = 3
      | ^^^
      = it goes with frequency = "monthly"

    error: `date` means nothing with frequency = "daily"
     --> a.toml:9:1
      |
    9 | date = 2026-12-24
      | ^^^^
      = it goes with frequency = "once"
    "#);
    insta::assert_snapshot!(shown(&with("frequency = \"daily\"", "frequency = \"once\"")), @r#"
    error: frequency = "once" needs `date`
     --> a.toml:4:1
      |
    4 | [schedule]
      | ^^^^^^^^^^
    "#);
    insta::assert_snapshot!(shown(&with("frequency = \"daily\"", "cron = \"33 13 * * *\"")), @r#"
    error: `send_at` does not go with `cron`, which says when
     --> a.toml:5:1
      |
    5 | send_at = "13:33"
      | ^^^^^^^
      = keep one of them
    "#);
    insta::assert_snapshot!(shown(&with("frequency = \"daily\"\n", "").replace("send_at = \"13:33\"\n", "")), @r#"
    error: [schedule] has no `send_at`
     --> a.toml:4:1
      |
    4 | [schedule]
      | ^^^^^^^^^^
      = the time at which people receive it, like send_at = "13:33"

    error: [schedule] has no `frequency`
     --> a.toml:4:1
      |
    4 | [schedule]
      | ^^^^^^^^^^
      = "once", "daily", "weekly" or "monthly"; or a `cron` expression in place of send_at and frequency
    "#);
}

#[test]
fn dates_that_there_are_not_or_no_longer() {
    insta::assert_snapshot!(shown(&with("frequency = \"daily\"", "frequency = \"once\"\ndate = \"2027-02-29\"")), @r#"
    error: "2027-02-29" is no date
     --> a.toml:8:8
      |
    8 | date = "2027-02-29"
      |        ^^^^^^^^^^^^
      = February 2027 has 28 days
    "#);
    insta::assert_snapshot!(shown(&with("frequency = \"daily\"", "frequency = \"once\"\ndate = \"2026-11-20\"")), @r#"
    warning: 2026-11-20 has passed: this will not run again
     --> a.toml:5:11
      |
    5 | send_at = "13:33"
      |           ^^^^^^^
    "#);
}

#[test]
fn cron_expressions_with_their_place() {
    let cron = |expression: &str| {
        shown(
            &with("send_at = \"13:33\"\n", "")
                .replace("frequency = \"daily\"", &format!("cron = \"{expression}\"")),
        )
    };
    insta::assert_snapshot!(cron("33 13 * * mon-fri,sunn"), @r#"
    error: `sunn` is not a day of the week: it must be 0 to 7 or sun to sat
     --> a.toml:6:27
      |
    6 | cron = "33 13 * * mon-fri,sunn"
      |                           ^^^^
    "#);
    insta::assert_snapshot!(cron("33 13 30 2 *"), @r#"
    error: there is no such date: this never runs
     --> a.toml:6:8
      |
    6 | cron = "33 13 30 2 *"
      |        ^^^^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(cron("*/20 * * * *"), @r#"
    error: the occurrences of 2026-11-21 03:00 and 2026-11-21 03:20 are 20 minutes apart, and a run may take 45
     --> a.toml:6:8
      |
    6 | cron = "*/20 * * * *"
      |        ^^^^^^^^^^^^^^
      = it lasts from lead_minutes before the time to max_lateness_minutes, or all delays, after it

    warning: 00:00 is when everybody sends: the push service is slowest at :00, :15, :30 and :45
     --> a.toml:6:8
      |
    6 | cron = "*/20 * * * *"
      |        ^^^^^^^^^^^^^^
      = a few minutes away is better, like 13:33
    "#);
    insta::assert_snapshot!(cron("@daily"), @r#"
    error: `@daily` does not say at which minute people receive the pushes
     --> a.toml:6:9
      |
    6 | cron = "@daily"
      |         ^^^^^^
      = write the five fields, for example "33 13 * * *"
    "#);
}

#[test]
fn a_window_that_does_not_fit_the_lead() {
    insta::assert_snapshot!(shown(&(GOOD.to_owned() + "[window]\ncancel_minutes = 45\n")), @r"
    error: the window of 45 minutes does not fit into the lead of 30
      --> a.toml:22:18
       |
    22 | cancel_minutes = 45
       |                  ^^
       = generation begins with the lead, tests and window follow it: make the window shorter or the lead longer
    ");
    insta::assert_snapshot!(shown(&with("frequency = \"daily\"", "frequency = \"daily\"\nlead_minutes = 20")), @r"
    error: the window of 25 minutes does not fit into the lead of 20
     --> a.toml:8:16
      |
    8 | lead_minutes = 20
      |                ^^
      = without [window] it is 25 minutes: set cancel_minutes there, or make the lead longer
    ");
    insta::assert_snapshot!(shown(&(GOOD.to_owned() + "[window]\ncancel_minutes = 0\n")), @r"
    warning: nobody has time to cancel between the tests and the live pushes
      --> a.toml:22:18
       |
    22 | cancel_minutes = 0
       |                  ^
    ");
}

#[test]
fn nobody_to_test_on() {
    insta::assert_snapshot!(shown(&with("[\"d6d77053-92bc-7af6-3332-8bea8c4c6904\"]", "[]\nrequired = true")), @r"
    error: a test is required, and there is nobody to send it to
      --> a.toml:20:12
       |
    20 | user_ids = []
       |            ^^
       = name people under [test] user_ids, or in the configuration's test_users; required = false sends without a test
    ");
    insta::assert_snapshot!(shown(&with("[\"d6d77053-92bc-7af6-3332-8bea8c4c6904\"]", "[\"ann@example.com\"]")), @r#"
    error: "ann@example.com" is no user id
      --> a.toml:20:13
       |
    20 | user_ids = ["ann@example.com"]
       |             ^^^^^^^^^^^^^^^^^
       = user ids are UUIDs
    "#);
}

#[test]
fn quiet_hours_that_every_run_would_meet() {
    let early = with("13:33", "08:33");
    insta::assert_snapshot!(shown(&(early.clone() + "[safeguards]\nquiet_hours = \"21:00-09:00\"\n")), @r#"
    error: the pushes are due at 08:33, inside the quiet hours 21:00-09:00
      --> a.toml:22:15
       |
    22 | quiet_hours = "21:00-09:00"
       |               ^^^^^^^^^^^^^
       = every run would be refused: move one of the two, or say quiet_hours_action = "delay"
    "#);
    insta::assert_snapshot!(shown(&(early + "[safeguards]\nquiet_hours = \"21:00-09:00\"\nquiet_hours_action = \"delay\"\n")), @r#"
    warning: the pushes are due at 08:33, inside the quiet hours 21:00-09:00
      --> a.toml:22:15
       |
    22 | quiet_hours = "21:00-09:00"
       |               ^^^^^^^^^^^^^
       = every time, they wait until 09:00
    "#);
    insta::assert_snapshot!(shown(&(GOOD.to_owned() + "[safeguards]\nquiet_hours = \"9pm to 9am\"\n")), @r#"
    error: `9pm to 9am` is no span of two times, like 21:00-09:00
      --> a.toml:22:15
       |
    22 | quiet_hours = "9pm to 9am"
       |               ^^^^^^^^^^^^
    "#);
    let second = "[[push]]\naudience_file = \"recent-closet-adders\"\nlayer = 3\ntitle = \"t\"\nbody = \"b\"\ndelay_minutes = 480\n[safeguards]\nquiet_hours = \"21:00-09:00\"\n";
    insta::assert_snapshot!(shown(&(GOOD.to_owned() + second)), @r#"
    error: push 2 is due at 21:33, inside the quiet hours 21:00-09:00
      --> a.toml:26:17
       |
    26 | delay_minutes = 480
       |                 ^^^
       = every run would be refused: move one of the two, or say quiet_hours_action = "delay"
    "#);
}

#[test]
fn pushes_that_come_too_soon_too_late_or_too_often() {
    insta::assert_snapshot!(shown(&with("layer = 3", "layer = 4\ndelay_minutes = 5")), @r"
    warning: layer 4 is for tests: no cadence rule holds these pushes back
      --> a.toml:14:9
       |
    14 | layer = 4
       |         ^
       = 1 platform-wide moments, 2 product and trend triggers, 3 behaviour-responsive, 5 new-user series

    error: the first push has none before it to wait for
      --> a.toml:15:17
       |
    15 | delay_minutes = 5
       |                 ^
       = it goes out at send_at; move that instead
    ");
    let push = "[[push]]\naudience_file = \"recent-closet-adders\"\nlayer = 3\ntitle = \"t\"\nbody = \"b\"\n";
    insta::assert_snapshot!(shown(&(GOOD.to_owned() + &push.repeat(20))), @r"
    error: there are 21 of [[push]], and at most 20 are possible
       --> a.toml:116:1
        |
    116 | [[push]]
        | ^^^^^^^^
    ");
    let slow = (push.to_owned() + "delay_minutes = 800\n").repeat(2);
    insta::assert_snapshot!(shown(&(GOOD.to_owned() + &slow)), @r#"
    error: the occurrences of 2026-11-21 13:33 and 2026-11-22 13:33 are 1440 minutes apart, and a run may take 1630
     --> a.toml:5:11
      |
    5 | send_at = "13:33"
      |           ^^^^^^^
      = it lasts from lead_minutes before the time to max_lateness_minutes, or all delays, after it
    "#);
}

#[test]
fn addresses_of_notices_are_not_written_down() {
    let text = GOOD.to_owned()
        + "[notify]\nwebhook = \"https://hooks.example.com/T000/B000\"\nheartbeat = \"env:HEALTH-CHECK\"\n";
    insta::assert_snapshot!(shown(&text), @r#"
    error: the address of a webhook is a secret, and this file is not
      --> a.toml:22:11
       |
    22 | webhook = "https://hooks.example.com/T000/B000"
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       = put it into an environment variable and name that: webhook = "env:SLACK_WEBHOOK_URL"

    error: "HEALTH-CHECK" cannot be the name of an environment variable
      --> a.toml:23:18
       |
    23 | heartbeat = "env:HEALTH-CHECK"
       |                  ^^^^^^^^^^^^
       = letters, digits and `_`, and no digit first
    "#);
}

#[test]
fn limits_that_contradict_each_other_and_names_that_cannot_be() {
    let text = with("name = \"mine\"", "name = \"my automation\"").replace("13:33", "13:30")
        + "[safeguards]\nmax_audience = 5\nwarn_audience = 10\n";
    insta::assert_snapshot!(shown(&text), @r#"
    error: "my automation" cannot be the name of an automation
     --> a.toml:1:8
      |
    1 | name = "my automation"
      |        ^^^^^^^^^^^^^^^
      = letters, digits, `-`, `_` and `.` are possible, with a letter or digit first

    warning: 13:30 is when everybody sends: the push service is slowest at :00, :15, :30 and :45
     --> a.toml:5:11
      |
    5 | send_at = "13:30"
      |           ^^^^^^^
      = a few minutes away is better, like 13:33

    warning: nobody is ever warned at 10: from 5 on the run is refused
      --> a.toml:23:17
       |
    23 | warn_audience = 10
       |                 ^^
    "#);
}
