//! The five fields of a cron expression: minute, hour, day of the month, month, day of the week.
//!
//! As in crontab(5): lists, ranges, steps, English names, Sunday as 0 or 7, and a date matches either day field
//! when both are restricted. Deliberately absent: seconds, years, macros such as `@daily`, and the `L`, `W`, `#` and
//! `?` of other dialects; each gets a message with the alternative.

use std::fmt;
use std::ops::{Range, RangeInclusive};

use jiff::civil::{Date, Time, Weekday};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    text: String,
    minutes: Set,
    hours: Set,
    days: Set,
    months: Set,
    weekdays: Set,
}

/// An error in a cron expression, and its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// One sentence in lower case, without a full stop.
    pub message: String,
    /// The correction, if it is known.
    pub hint: Option<String>,
    /// Bytes of the expression.
    pub span: Range<usize>,
}

/// The values a field allows, as bits, and whether it was written with a leading `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Set {
    bits: u64,
    starred: bool,
}

/// The values of one of the five fields.
struct Field {
    name: &'static str,
    range: RangeInclusive<u8>,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field {
        name: "a minute",
        range: 0..=59,
        names: &[],
    },
    Field {
        name: "an hour",
        range: 0..=23,
        names: &[],
    },
    Field {
        name: "a day of the month",
        range: 1..=31,
        names: &[],
    },
    Field {
        name: "a month",
        range: 1..=12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        name: "a day of the week",
        range: 0..=7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

const MACROS: &[(&str, &str)] = &[
    ("@yearly", "33 13 1 1 *"),
    ("@annually", "33 13 1 1 *"),
    ("@monthly", "33 13 1 * *"),
    ("@weekly", "33 13 * * 0"),
    ("@daily", "33 13 * * *"),
    ("@midnight", "3 0 * * *"),
    ("@hourly", "33 * * * *"),
];

impl Expression {
    /// Parses five fields; an error names the field and its place.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let words = words(text);
        if let Some(invalid) = not_five(text, &words) {
            return Err(invalid);
        }
        let mut sets = [Set {
            bits: 0,
            starred: false,
        }; 5];
        for ((set, field), span) in sets.iter_mut().zip(&FIELDS).zip(words) {
            *set = field.parse(&text[span.clone()], span.start)?;
        }
        let [minutes, hours, days, months, mut weekdays] = sets;
        if weekdays.has(7) {
            weekdays.bits |= 1;
        }
        Ok(Self {
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            minutes,
            hours,
            days,
            months,
            weekdays,
        })
    }

    /// Returns whether this date matches.
    pub fn matches(&self, date: Date) -> bool {
        let day = self.days.has(date.day().unsigned_abs());
        let weekday = self.weekdays.has(sunday_first(date.weekday()));
        let either = if self.days.starred || self.weekdays.starred {
            day && weekday
        } else {
            day || weekday
        };
        either && self.months.has(date.month().unsigned_abs())
    }

    /// Returns the times of a matching date, in order.
    pub fn times(&self) -> impl DoubleEndedIterator<Item = Time> + '_ {
        (0..24_i8)
            .filter(|hour| self.hours.has(hour.unsigned_abs()))
            .flat_map(|hour| {
                (0..60_i8)
                    .filter(|minute| self.minutes.has(minute.unsigned_abs()))
                    .map(move |minute| Time::constant(hour, minute, 0, 0))
            })
    }

    /// Returns whether the hour field begins with `*`: then it means "through the day", and a time that a clock
    /// change skips is left out, not moved.
    pub fn every_hour(&self) -> bool {
        self.hours.starred
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

/// Returns the bytes of each word.
fn words(text: &str) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    for (at, letter) in text.char_indices().chain([(text.len(), ' ')]) {
        match (letter.is_whitespace(), start) {
            (false, None) => start = Some(at),
            (true, Some(begun)) => {
                words.push(begun..at);
                start = None;
            }
            _ => {}
        }
    }
    words
}

fn not_five(text: &str, words: &[Range<usize>]) -> Option<Invalid> {
    let whole = 0..text.len();
    if let Some(word) = text.split_whitespace().find(|word| word.starts_with('@')) {
        let known = MACROS.iter().find(|(name, _)| *name == word);
        return Some(Invalid {
            message: format!("`{word}` does not set the minute at which the pushes are sent"),
            hint: known
                .map(|(_, fields)| format!("write the five fields, for example \"{fields}\"")),
            span: whole,
        });
    }
    if words.len() == FIELDS.len() {
        return None;
    }
    Some(Invalid {
        message: format!(
            "a cron expression has five fields (minute, hour, day of the month, month, day of the week), this one has {}",
            words.len()
        ),
        hint: (words.len() > FIELDS.len())
            .then(|| "cron has no field for seconds or years".to_owned()),
        span: words.get(5).map_or(whole, |sixth| sixth.start..text.len()),
    })
}

impl Field {
    /// Parses one field; `text` begins at byte `offset` of the expression.
    fn parse(&self, text: &str, offset: usize) -> Result<Set, Invalid> {
        let mut bits = 0;
        let mut at = offset;
        for item in text.split(',') {
            bits |= self.item(item).map_err(|(message, hint)| Invalid {
                message,
                hint,
                span: at..at + item.len().max(1),
            })?;
            at += item.len() + 1;
        }
        Ok(Set {
            bits,
            starred: text.starts_with('*'),
        })
    }

    /// Parses `*`, `*/5`, `4`, `1-5` or `0-30/10`, with names in place of numbers where the field has them.
    fn item(&self, item: &str) -> Result<u64, (String, Option<String>)> {
        let (values, step) = match item.split_once('/') {
            None => (item, None),
            Some((values, step)) => (values, Some(step)),
        };
        let range = if values == "*" {
            self.range.clone()
        } else if let Some((first, last)) = values.split_once('-') {
            self.value(first)?..=self.value(last)?
        } else if let Some(step) = step {
            let first = self.value(values)?;
            let hint = format!("write {first}-{}/{step}", self.range.end());
            return Err((format!("`{item}` steps over a single value"), Some(hint)));
        } else {
            self.value(values)?..=self.value(values)?
        };
        if range.is_empty() {
            let (first, last) = range.into_inner();
            let hint = format!(
                "write {first}-{},{}-{last}",
                self.range.end(),
                self.range.start()
            );
            return Err((format!("the range `{values}` is reversed"), Some(hint)));
        }
        let step = match step {
            None => 1,
            Some(step) => match step.parse::<u8>() {
                Ok(step) if step > 0 => step,
                _ => {
                    return Err((
                        format!("`{step}` is not a step: it must be a number from 1"),
                        None,
                    ));
                }
            },
        };
        Ok(range
            .step_by(usize::from(step))
            .fold(0, |bits, value| bits | 1 << value))
    }

    fn value(&self, text: &str) -> Result<u8, (String, Option<String>)> {
        let lower = text.to_ascii_lowercase();
        if let Some(place) = self.names.iter().position(|name| *name == lower) {
            return Ok(self.range.start() + u8::try_from(place).unwrap_or_default());
        }
        if let Ok(value) = text.parse::<u8>()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && self.range.contains(&value)
        {
            return Ok(value);
        }
        let (first, last) = (self.range.start(), self.range.end());
        let names = match self.names {
            [first, .., last] => format!(" or {first} to {last}"),
            _ => String::new(),
        };
        let other_dialect = text.contains(['L', 'W', '#', '?']) && text.len() <= 3;
        let hint = other_dialect.then(|| "`?`, `L`, `W` and `#` are not part of standard cron; for the last day of the month use frequency = \"monthly\" with day = 31".to_owned());
        let message = if text.is_empty() {
            format!(
                "{} is missing: it must be {first} to {last}{names}",
                self.name
            )
        } else {
            format!(
                "`{text}` is not {}: it must be {first} to {last}{names}",
                self.name
            )
        };
        Err((message, hint))
    }
}

impl Set {
    fn has(self, value: u8) -> bool {
        self.bits & (1 << value) != 0
    }
}

fn sunday_first(weekday: Weekday) -> u8 {
    weekday.to_sunday_zero_offset().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};

    use super::*;

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[-*/,0-9a-zA-Z?#@ \t\n.é]{0,30}") {
            if let Err(invalid) = Expression::parse(&text) {
                proptest::prop_assert!(text.get(invalid.span).is_some() || text.is_empty());
            }
        }
    }

    fn parse(text: &str) -> Expression {
        Expression::parse(text).unwrap()
    }

    #[test]
    fn when_both_day_fields_are_restricted_either_is_enough() {
        let both = parse("0 12 13 * fri");
        assert!(both.matches(date(2026, 11, 13)), "a Friday the 13th");
        assert!(both.matches(date(2026, 11, 20)), "another Friday");
        assert!(both.matches(date(2026, 12, 13)), "a Sunday the 13th");
        assert!(!both.matches(date(2026, 11, 21)));
        let weekdays = parse("0 12 * * 1-5");
        assert!(!weekdays.matches(date(2026, 11, 21)), "a Saturday");
        assert!(weekdays.matches(date(2026, 11, 23)), "a Monday");
    }

    #[test]
    fn sunday_is_zero_and_seven_and_a_name() {
        for text in ["0 0 * * 0", "0 0 * * 7", "0 0 * * SUN", "0 0 * * 5-7"] {
            assert!(parse(text).matches(date(2026, 11, 22)), "{text}");
        }
    }

    #[test]
    fn times_are_the_product_of_hours_and_minutes_in_order() {
        let times: Vec<Time> = parse("5,50-59/5 9,17 * * *").times().collect();
        let wanted = [
            time(9, 5, 0, 0),
            time(9, 50, 0, 0),
            time(9, 55, 0, 0),
            time(17, 5, 0, 0),
            time(17, 50, 0, 0),
            time(17, 55, 0, 0),
        ];
        assert_eq!(times, wanted);
    }

    #[test]
    fn a_wrong_field_is_named_and_located() {
        let cases = [
            (
                "60 13 * * *",
                0..2,
                "`60` is not a minute: it must be 0 to 59",
            ),
            ("33 13,24 * * *", 6..8, "`24` is not an hour"),
            (
                "33 13 * * fun",
                10..13,
                "`fun` is not a day of the week: it must be 0 to 7 or sun to sat",
            ),
            ("33 13 * * 5-1", 10..13, "the range `5-1` is reversed"),
            ("33 13 L * *", 6..7, "`L` is not a day of the month"),
            ("*/0 13 * * *", 0..3, "`0` is not a step"),
            ("5/10 13 * * *", 0..4, "steps over a single value"),
            ("+5 13 * * *", 0..2, "`+5` is not a minute"),
            ("5,,6 13 * * *", 2..3, "a minute is missing"),
            ("33 13 * *", 0..9, "this one has 4"),
            ("0 33 13 * * 1-5", 12..15, "this one has 6"),
            ("@daily", 0..6, "does not set the minute"),
        ];
        for (text, span, message) in cases {
            let invalid = Expression::parse(text).unwrap_err();
            assert!(
                invalid.message.contains(message),
                "{text}: {}",
                invalid.message
            );
            assert_eq!(invalid.span, span, "{text}");
        }
    }
}
