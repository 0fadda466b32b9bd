//! Counts and rates for display: thousands separators, plurals, and no rate over too short a time.

use std::time::Duration;

/// The minimum time of a rate: over less, it is not meaningful and not shown.
pub const SHORTEST: Duration = Duration::from_secs(1);

/// Returns a count with separators: `1,234,567`.
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a count with its unit, given in the plural: `1 row`, `4,813 rows`.
pub fn counted(count: u64, units: &str) -> String {
    format!("{} {}", number(count), unit(count, units))
}

/// Returns the unit that fits a count: of `rows` the singular is `row`, of `people` it is `person`.
pub fn unit(count: u64, units: &str) -> &str {
    match (count, units) {
        (1, "people") => "person",
        (1, "pushes") => "push",
        (1, units) => units.strip_suffix('s').unwrap_or(units),
        _ => units,
    }
}

/// Returns the units a second; `None` over too short a time.
pub fn per_second(units: u64, time: Duration) -> Option<f64> {
    if units == 0 || time < SHORTEST {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no 52 bits")]
    Some(units as f64 / time.as_secs_f64())
}

/// Returns a rate for display: whole units, with a decimal below ten.
pub fn rate(per_second: f64) -> String {
    if per_second < 9.95 {
        return format!("{per_second:.1}");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is positive and far below 2^63"
    )]
    number(per_second.round() as u64)
}

/// Returns the counts that are not zero, each with what it counts: `3 failed, 1,110 in doubt`.
pub fn several(counts: &[(u64, &str)]) -> String {
    let shown = counts.iter().filter(|(count, _)| *count > 0);
    let shown: Vec<String> = shown
        .map(|(count, what)| format!("{} {what}", number(*count)))
        .collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_has_separators_and_the_right_plural() {
        for (count, units, text) in [
            (0, "rows", "0 rows"),
            (1, "rows", "1 row"),
            (999, "rows", "999 rows"),
            (4_813, "rows", "4,813 rows"),
            (1, "people", "1 person"),
            (1, "pushes", "1 push"),
            (1, "messages", "1 message"),
            (1_000_000, "messages", "1,000,000 messages"),
        ] {
            assert_eq!(counted(count, units), text);
        }
    }

    #[test]
    fn a_rate_over_too_short_a_time_is_none() {
        assert_eq!(per_second(110, Duration::from_millis(7)), None);
        assert_eq!(per_second(0, Duration::from_secs(5)), None);
        let shown = |units, millis| per_second(units, Duration::from_millis(millis)).map(rate);
        assert_eq!(shown(3, 2_000).as_deref(), Some("1.5"));
        assert_eq!(shown(4_813, 1_000).as_deref(), Some("4,813"));
        assert_eq!(shown(19_960, 2_000).as_deref(), Some("9,980"));
    }

    #[test]
    fn counts_that_are_zero_are_left_out() {
        let counts = [(3, "failed"), (0, "dead"), (1_110, "in doubt")];
        assert_eq!(several(&counts), "3 failed, 1,110 in doubt");
        assert_eq!(several(&[(0, "failed")]), "");
    }
}
