//! Parsing of durations and instants.
//!
//! Deliberately absent: the machine's time zone. An instant without an offset is in UTC, so that the same command
//! line means the same everywhere.

use std::fmt;
use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, ToSpan};

/// Reads `90s`, `5m`, `1h 30m`, `36h`, `2d`, or a plain number of seconds.
///
/// A day is 24 hours. The error is a message without the value.
pub fn duration(text: &str) -> Result<Duration, String> {
    const EXPECTED: &str = "expected a duration such as 90s, 5m, 36h or 2d";
    let text = text.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        let seconds = text.parse().map_err(|_| TOO_LONG.to_owned())?;
        return not_too_long(Duration::from_secs(seconds));
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let expected = if digits > 9 { TOO_LONG } else { EXPECTED };
    let span: Span = text.parse().map_err(|_| expected.to_owned())?;
    if span.get_years() != 0 || span.get_months() != 0 {
        return Err("expected a duration in days or smaller units: months differ in length (5m is five minutes)".into());
    }
    span.to_duration(SpanRelativeTo::days_are_24_hours())
        .ok()
        .and_then(|signed| Duration::try_from(signed).ok())
        .ok_or_else(|| format!("{EXPECTED}, not a negative one"))
        .and_then(not_too_long)
}

/// Longer durations are typing errors, and an instant so far away cannot be represented.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
const TOO_LONG: &str = "expected a duration of at most 36500d";

fn not_too_long(duration: Duration) -> Result<Duration, String> {
    if duration > LONGEST {
        return Err(TOO_LONG.to_owned());
    }
    Ok(duration)
}

/// Reads `2026-11-21T13:33-06:00`, `2026-11-21 13:33` (UTC), `2026-11-21` (its midnight, UTC), `now`, `today`,
/// `yesterday`, or `2h ago`, counted from `now`.
///
/// The error is a message without the value.
pub fn instant(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let instant = any_instant(text, now)?;
    // PostgreSQL and windows around the instant have less room than the calendar.
    if (1900..3000).contains(&instant.to_zoned(TimeZone::UTC).year()) {
        Ok(instant)
    } else {
        Err("expected a date between the years 1900 and 2999".to_owned())
    }
}

fn any_instant(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let text = text.trim();
    let midnight = |date: Date| at_utc(date.to_datetime(jiff::civil::Time::midnight()));
    let today = now.to_zoned(TimeZone::UTC).date();
    match text.to_ascii_lowercase().as_str() {
        "now" => return Ok(now),
        "today" => return midnight(today),
        "yesterday" => return midnight(today.saturating_sub(1.day())),
        ago if ago.ends_with(" ago") => return before(ago, now),
        _ => {}
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    if let Ok(datetime) = text.parse::<DateTime>() {
        return at_utc(datetime);
    }
    Err("expected a date or time such as 2026-11-21, 2026-11-21T13:33-06:00 or \"2h ago\"".into())
}

/// Returns an age in whole minutes, the seconds left out.
pub fn show_age(age: Duration) -> String {
    show_duration(Duration::from_secs(age.as_secs() / 60 * 60))
}

/// Returns a duration as the shortest text that [`duration`] reads back: `5m`, `1h 30m`, `250ms`.
pub fn show_duration(duration: Duration) -> String {
    SignedDuration::try_from(duration).map_or_else(
        |_| format!("{}s", duration.as_secs()),
        |signed| format!("{signed:#}"),
    )
}

/// A duration to a tenth of a second: `12.3 s`.
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0.as_secs_f64() * 10.0).round() / 10.0;
        write!(out, "{tenths} s")
    }
}

fn before(ago: &str, now: Timestamp) -> Result<Timestamp, String> {
    let unreadable = || "expected a time such as \"2h ago\" or \"3d ago\"".to_owned();
    // Read as "2h ago", the span is negative already.
    let span: Span = ago.parse().map_err(|_| unreadable())?;
    now.to_zoned(TimeZone::UTC)
        .checked_add(span)
        .map(|zoned| zoned.timestamp())
        .map_err(|_| unreadable())
}

fn at_utc(datetime: DateTime) -> Result<Timestamp, String> {
    datetime
        .to_zoned(TimeZone::UTC)
        .map(|zoned| zoned.timestamp())
        .map_err(|_| "expected a date between the years -9999 and 9999".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_a_duration_or_an_instant_panic(
            text in "[-+]?[0-9]{0,25}[.eE]?[0-9]{0,3} ?(ns|ms|s|m|h|d|w|mo|y|ago|T|Z|:|-)?[0-9]{0,12}( ago)?",
        ) {
            if let Ok(read) = duration(&text) {
                prop_assert_eq!(duration(&show_duration(read)), Ok(read));
            }
            let _ = instant(&text, now());
        }
    }

    fn now() -> Timestamp {
        "2026-11-21T13:33:00Z".parse().expect("a timestamp")
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        let seconds = |text| duration(text).map(|it| it.as_secs_f64());
        assert_eq!(seconds("90s"), Ok(90.0));
        assert_eq!(seconds("5m"), Ok(300.0));
        assert_eq!(seconds("36h"), Ok(129_600.0));
        assert_eq!(seconds("1h 30m"), Ok(5400.0));
        assert_eq!(seconds("2d"), Ok(172_800.0));
        assert_eq!(seconds("250ms"), Ok(0.25));
        assert_eq!(seconds(" 300 "), Ok(300.0));
        for refused in [
            "",
            "s",
            "-5s",
            "5m ago",
            "1mo",
            "ten",
            "5x",
            "1e9",
            "99999999999d",
            "18446744073709551615",
            "99999999999999999999999",
            "36501d",
        ] {
            assert!(duration(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_shown_duration_reads_back_as_itself() {
        for text in ["5m", "1h 30m", "250ms", "36h", "0"] {
            let read = duration(text).expect("a duration");
            assert_eq!(duration(&show_duration(read)), Ok(read), "{text}");
        }
    }

    #[test]
    fn instants_are_read_as_people_write_them_and_without_an_offset_in_utc() {
        let read = |text| instant(text, now()).map(|it| it.to_string());
        assert_eq!(
            read("2026-11-21T13:33-06:00").as_deref(),
            Ok("2026-11-21T19:33:00Z")
        );
        assert_eq!(
            read("2026-11-10 06:08:56.086278+00:00").as_deref(),
            Ok("2026-11-10T06:08:56.086278Z")
        );
        assert_eq!(
            read("2026-11-21 13:33").as_deref(),
            Ok("2026-11-21T13:33:00Z")
        );
        assert_eq!(read("2026-11-21").as_deref(), Ok("2026-11-21T00:00:00Z"));
        assert_eq!(read("today").as_deref(), Ok("2026-11-21T00:00:00Z"));
        assert_eq!(read("Yesterday").as_deref(), Ok("2026-11-20T00:00:00Z"));
        assert_eq!(read("2h ago").as_deref(), Ok("2026-11-21T11:33:00Z"));
        assert_eq!(read("1mo ago").as_deref(), Ok("2026-10-21T13:33:00Z"));
        assert_eq!(read("now").as_deref(), Ok("2026-11-21T13:33:00Z"));
        for refused in [
            "",
            "ago",
            "2026-13-01",
            "tomorrowish",
            "2h",
            "13:33",
            "-2h ago",
            "99999-01-01",
            "9999-12-31",
            "0001-01-01",
            "99999999999d ago",
            "9000y ago",
        ] {
            assert!(instant(refused, now()).is_err(), "{refused:?}");
        }
    }
}
