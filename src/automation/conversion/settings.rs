//! The old `settings`: test users, the cancellation window, safeguards.

use serde_json::Value;
use uuid::Uuid;

use super::notes::Notes;
use super::old_table::OldTable;
use crate::automation::starter::test_users;
use crate::automation::toml_writer::TomlWriter;

/// What `[test]`, `[window]` and `[safeguards]` are made from.
#[derive(Debug)]
pub(super) struct OldSettings {
    test_users: Vec<String>,
    test_required: bool,
    /// The cancellation window.
    pub(super) cancel_minutes: Option<u32>,
    max_audience: Option<u32>,
    warn_audience: Option<u32>,
    max_failure_rate: Option<f64>,
}

pub(super) fn read(old: &mut OldTable, notes: &mut Notes) -> OldSettings {
    let mut settings = old.table("settings", notes);
    let listed = settings.list("testUserIds", notes);
    let test_users = users(listed, &settings.path("testUserIds"), notes);
    let cancel_minutes = settings.whole("cancellationWindowMinutes", 0, 720, notes);
    if settings.flag("emergencyStopEnabled", notes) == Some(false) {
        notes.add(
            settings.path("emergencyStopEnabled"),
            "not carried over: `pushctl cancel` always works",
        );
    }
    if settings.flag("dryRunFirst", notes) == Some(true) {
        let message = "not carried over: start a dry run yourself: pushctl run-pipeline NAME --mode real-dry-run";
        notes.add(settings.path("dryRunFirst"), message);
    }
    let mut safeguards = settings.table("safeguards", notes);
    let max_audience = safeguards.whole("maxAudienceSize", 1, u32::MAX, notes);
    let test_required = safeguards.flag("requireTestFirst", notes).unwrap_or(true);
    if !safeguards.list("emergencyContacts", notes).is_empty() {
        let message = "not carried over: pushctl writes to a webhook; set [notify] webhook";
        notes.add(safeguards.path("emergencyContacts"), message);
    }
    let mut thresholds = safeguards.table("alertThresholds", notes);
    let warn_audience = thresholds.whole("audienceSize", 1, u32::MAX, notes);
    let max_failure_rate = failure_rate(&mut thresholds, notes);
    thresholds.rest(notes);
    safeguards.rest(notes);
    settings.rest(notes);
    OldSettings {
        test_users,
        test_required,
        cancel_minutes,
        max_audience,
        warn_audience,
        max_failure_rate,
    }
}

impl OldSettings {
    pub(super) fn write(&self, out: &mut TomlWriter, has_test_users: bool, notes: &mut Notes) {
        out.table("test");
        if !self.test_required {
            notes.add(
                "settings.safeguards.requireTestFirst",
                "false: live pushes go out without a test",
            );
        }
        match (self.test_users.as_slice(), self.test_required) {
            ([], true) => {
                let message = if has_test_users {
                    "none: those of the configuration are used"
                } else {
                    "none: a user that does not exist is written; replace it, or no live push is sent"
                };
                notes.add("settings.testUserIds", message);
                test_users(out, has_test_users);
            }
            ([], false) => out.set("required", false),
            (users, required) => {
                out.set("user_ids", users.to_vec());
                out.set("required", required);
            }
        }
        out.table("safeguards");
        if let Some(max) = self.max_audience {
            out.set("max_audience", max);
        }
        if let Some(warn) = self.warn_audience {
            out.set("warn_audience", warn);
        }
        if let Some(rate) = self.max_failure_rate {
            out.set("max_failure_rate", rate);
        }
        out.offer("quiet_hours", "21:00-09:00", "no push in these hours");
    }
}

/// Returns the test users that are ids.
fn users(listed: Vec<Value>, path: &str, notes: &mut Notes) -> Vec<String> {
    let mut users: Vec<String> = Vec::new();
    for (place, user) in listed.into_iter().enumerate() {
        match user.as_str().map(str::trim) {
            Some(id) if id.parse::<Uuid>().is_ok() => {
                if !users.iter().any(|known| known == id) {
                    users.push(id.to_owned());
                }
            }
            _ => notes.add(
                format!("{path}[{place}]"),
                format!("{user} is not a user id: left out"),
            ),
        }
    }
    users
}

/// Returns the share of failures from which a send stops; the old system only reported it.
fn failure_rate(thresholds: &mut OldTable, notes: &mut Notes) -> Option<f64> {
    let path = thresholds.path("failureRate");
    let written = thresholds.number("failureRate", notes)?;
    let rate = if written > 1.0 {
        written / 100.0
    } else {
        written
    };
    if !(0.0..=1.0).contains(&rate) {
        notes.add(path, format!("{written} is no share of the recipients"));
        return None;
    }
    notes.add(
        path,
        format!("an alert in the old system; above {rate} of failures a send stops"),
    );
    Some(rate)
}
