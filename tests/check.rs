//! `check` on files that are right, and on many that are not: each message is here to be read.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod command;
mod pushes;
mod safety;
mod structure;
mod syntax;
mod times;

use jiff::Timestamp;
use pushctl::audience::Catalogue;
use pushctl::automation::check::{Against, Checked, check};
use pushctl::automation::diagnostic::{Severity, SourceText};
use pushctl::automation::file::json_schema;
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

fn source(path: &str, text: &str) -> SourceText {
    SourceText {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

fn checked(sources: &[SourceText], test_users: &[String]) -> Checked {
    let against = Against {
        catalogue: &Catalogue::built_in(),
        link_hosts: &AllowedHosts::default(),
        test_users,
        now: "2026-11-21T09:00:00Z".parse::<Timestamp>().unwrap(),
        starts_late: false,
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

fn shipped() -> Vec<SourceText> {
    let paths = automation::files_in("automations".as_ref(), "automations").unwrap();
    paths
        .files
        .iter()
        .map(|path| automation::read(path, &path.display().to_string()).unwrap())
        .collect()
}

#[test]
fn the_four_automations_that_ship_have_nothing_to_complain_of_and_cover_every_file() {
    let checked = checked(&shipped(), &[]);
    assert_eq!(checked.report.human(Color::Plain), "");
    let names: Vec<&str> = checked
        .automations
        .iter()
        .map(automation::Automation::name)
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
fallback_max_age = "12h"
[[push]]
audience_file = "recent-closet-adders"
layer = 1
title = "t"
body = "b"
deep_link = "https://app.tradeblock.us/x"
data = { campaign = "[[var:variantID]]" }
delay_minutes = 0
expires = "2h"
expires_at = "20:00"
image = "https://img.example.com/[[var:variantID]].png"
sound = "default"
badge = 1
channel_id = "trending"
priority = "high"
analytics_label = "layer3"
mutable_content = true
collapse = "layer"
null_like = "send"
[[push.variant]]
name = "all"
title = "t"
body = "b"
share = 100
[test]
user_ids = ["d6d77053-92bc-7af6-3332-8bea8c4c6904"]
required = false
[window]
cancel_minutes = 10
[safeguards]
min_audience = 2
max_audience = 100
max_audience_age = "12h"
warn_audience = 50
max_change_percent = 150
max_skipped_percent = 2.5
max_overlap_percent = 80
max_failure_rate = 0.5
quiet_hours = "21:00-23:30"
quiet_hours_action = "delay"
holdout_percent = 10
cadence_failure = "send"
[notify]
webhook = "env:A_1"
heartbeat = "env:_B"
kind = "json"
heartbeat_kind = "sentry"
"#;
    for key in known {
        if !["date", "weekdays", "cron"].contains(&key.as_str()) {
            assert!(
                everything.contains(&format!("{key} ="))
                    || everything.contains(&format!("[{key}]"))
                    || everything.contains(&format!(".{key}]]")),
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
    error: the name `mine` is already used by a.toml
     --> b.toml:1:8
      |
    1 | name = "mine"
      |        ^^^^^^
    "#);
}
