//! Quiet hours: the time of day at which no push may arrive, in the schedule's zone.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Time;
use jiff::{Timestamp, ToSpan, Zoned};

use super::schedule::resolve;

/// `21:00-09:00`: from the first time, inclusive, to the second, exclusive; over midnight when the second is earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    pub from: Time,
    /// The end, exclusive.
    pub to: Time,
}

impl QuietHours {
    /// Returns whether a time of day is quiet.
    pub fn contains(&self, time: Time) -> bool {
        if self.from < self.to {
            self.from <= time && time < self.to
        } else {
            self.from <= time || time < self.to
        }
    }

    /// Returns when they begin next, in the zone of `at`.
    pub fn next_begin(&self, at: &Zoned) -> Timestamp {
        next(self.from, at)
    }

    /// Returns their end if `at` is inside them, in the zone of `at`.
    pub fn end_after(&self, at: &Zoned) -> Option<Timestamp> {
        self.contains(at.time()).then(|| next(self.to, at))
    }
}

/// Returns the next instant after `at` with this time of day, in the zone of `at`.
pub fn next(time: Time, at: &Zoned) -> Timestamp {
    let today = at.date().to_datetime(time);
    let wanted = if at.time() < time {
        today
    } else {
        today.saturating_add(1.day())
    };
    resolve(at.time_zone(), wanted).0
}

impl FromStr for QuietHours {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((from, to)) = text.split_once('-') else {
            return Err(format!(
                "`{text}` is not a span of two times like 21:00-09:00"
            ));
        };
        let (from, to) = (clock_time(from.trim())?, clock_time(to.trim())?);
        if from == to {
            return Err(format!("`{text}` begins and ends at the same time"));
        }
        Ok(Self { from, to })
    }
}

impl fmt::Display for QuietHours {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = |time: Time| time.strftime("%H:%M").to_string();
        write!(out, "{}-{}", clock(self.from), clock(self.to))
    }
}

/// Parses `HH:MM` on the 24-hour clock; the error names the fault.
pub fn clock_time(text: &str) -> Result<Time, String> {
    let wrong = |why: &str| Err(format!("`{text}` is not a time of day: {why}"));
    let digits = |part: &str| {
        (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()))
            .then(|| part.parse::<i8>().ok())
            .flatten()
    };
    let lower = text.to_ascii_lowercase();
    if lower.ends_with("am") || lower.ends_with("pm") {
        return wrong("write it on the 24-hour clock, like 13:33");
    }
    let mut parts = text.split(':');
    let (Some(hour), Some(minute)) = (parts.next(), parts.next()) else {
        return wrong("write hours and minutes, like 13:33");
    };
    match parts.next() {
        None | Some("00") => {}
        Some(_) => return wrong("leave the seconds out, like 13:33"),
    }
    match (digits(hour), digits(minute)) {
        (Some(24), Some(0)) => wrong("midnight is 00:00"),
        (Some(hour), Some(minute)) => {
            Time::new(hour, minute, 0, 0).or_else(|_| wrong("hours go to 23 and minutes to 59"))
        }
        _ => wrong("write two digits for each, like 09:05"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet(text: &str) -> QuietHours {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_minute_is_quiet_and_the_last_is_not() {
        let night = quiet("21:00-09:00");
        for (text, inside) in [
            ("20:59", false),
            ("21:00", true),
            ("00:00", true),
            ("08:59", true),
            ("09:00", false),
        ] {
            assert_eq!(night.contains(clock_time(text).unwrap()), inside, "{text}");
        }
        let noon = quiet("12:00-13:00");
        assert!(noon.contains(clock_time("12:00").unwrap()));
        assert!(!noon.contains(clock_time("13:00").unwrap()));
        assert!(!noon.contains(clock_time("00:00").unwrap()));
    }

    #[test]
    fn they_end_on_the_next_morning_also_where_the_clocks_change_that_night() {
        let end = |at: &str| {
            let at: Zoned = at.parse().unwrap();
            let end = quiet("21:00-09:00").end_after(&at);
            end.map(|end| end.to_zoned(at.time_zone().clone()).to_string())
        };
        let chicago = "2026-11-01T09:00:00-06:00[America/Chicago]";
        assert_eq!(
            end("2026-10-31T22:00-05:00[America/Chicago]").unwrap(),
            chicago
        );
        assert_eq!(
            end("2026-11-01T01:30-06:00[America/Chicago]").unwrap(),
            chicago
        );
        assert_eq!(end("2026-11-01T12:00-06:00[America/Chicago]"), None);
    }
}
