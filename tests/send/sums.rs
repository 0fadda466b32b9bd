//! The equation that every summary has to satisfy, worked out from its JSON and its outcome file alone.

use std::collections::HashMap;

use pushctl::cadence::Breakdown;
use serde_json::Value;

use super::Row;

/// A count.
pub(super) fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no count"))
}

/// Every row of the audience is in exactly one sum, and the outcome file holds exactly what the sums say.
pub(super) fn check(summary: &Value, rows: &[Row]) {
    let of = |name: &str| number(&summary[name]);
    let all = |name: &str| -> u64 {
        let parts = summary[name].as_object().unwrap();
        parts.values().map(number).sum()
    };
    let messages: u64 = [
        "accepted",
        "failed",
        "dead",
        "in_doubt",
        "cancelled",
        "under_way",
    ]
    .map(of)
    .iter()
    .sum();
    let others: u64 = [
        "repeated",
        "excluded",
        "held_out",
        "without_token",
        "token_taken",
        "skipped",
    ]
    .map(of)
    .iter()
    .sum();
    assert_eq!(
        of("rows") + of("others") + of("further_devices"),
        others + messages + of("not_attempted"),
        "{summary:#}"
    );
    for (sum, parts) in [
        ("excluded", "excluded_by_rule"),
        ("skipped", "skipped_by_reason"),
        ("failed", "failed_by_code"),
    ] {
        assert_eq!(of(sum), all(parts), "{summary:#}");
    }
    if summary["files"].is_null() {
        return;
    }
    let mut told: HashMap<(String, String), u64> = HashMap::new();
    for row in rows {
        let kind = match (&*row.outcome, &*row.code) {
            ("skipped", "no-token") => ("without_token", ""),
            ("skipped", "token-taken") => ("token_taken", ""),
            ("skipped", "holdout") => ("held_out", ""),
            ("skipped", "repeated") => ("repeated", ""),
            ("skipped", rule) if Breakdown::is_key(rule) => ("excluded_by_rule", rule),
            ("skipped", reason) => ("skipped_by_reason", reason),
            ("failed", code) => ("failed_by_code", code),
            ("queued", _) => ("under_way", ""),
            (other, _) => (other, ""),
        };
        assert_eq!(
            row.outcome == "accepted",
            !row.message_name.is_empty(),
            "{row:?}"
        );
        *told
            .entry((kind.0.to_owned(), kind.1.to_owned()))
            .or_default() += 1;
    }
    for ((name, code), count) in &told {
        let sum = match &**code {
            "" => &summary[name],
            code => &summary[name][code],
        };
        assert_eq!(number(sum), *count, "{name} {code}: {summary:#}");
    }
    assert_eq!(
        rows.len() as u64,
        of("rows") + of("others") + of("further_devices") - of("not_attempted"),
        "{summary:#}"
    );
}
