//! The schedule: its time, its repetition, and the minutes before it.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::notes::Notes;
use super::old_table::OldTable;
use crate::automation::cron::Expression;
use crate::automation::quiet_hours::clock_time;
use crate::automation::toml_writer::TomlWriter;
use crate::error::{Error, Result};

/// The most minutes of a lead.
const MAX_LEAD: u32 = 720;

/// The new `[schedule]` and `[window]`.
#[derive(Debug)]
pub(super) struct Times {
    rule: Rule,
    timezone: String,
    lead: u32,
    window: u32,
}

#[derive(Debug)]
enum Rule {
    Cron(String),
    At {
        time: String,
        frequency: &'static str,
        /// The key beside it, with its value and a comment.
        day: Option<(&'static str, toml::Value, &'static str)>,
    },
}

impl Times {
    pub(super) fn write(&self, out: &mut TomlWriter) {
        out.table("schedule");
        match &self.rule {
            Rule::Cron(cron) => out.set("cron", cron.as_str()),
            Rule::At {
                time,
                frequency,
                day,
            } => {
                out.set_saying("send_at", time.as_str(), "when recipients receive it");
                out.set("frequency", *frequency);
                if let Some((key, value, comment)) = day {
                    out.set_saying(key, value.clone(), comment);
                }
            }
        }
        out.set("timezone", self.timezone.as_str());
        out.set("lead_minutes", self.lead);
        out.table("window");
        out.set("cancel_minutes", self.window);
    }
}

/// Reads the old `schedule`. `window` is the old cancellation window.
pub(super) fn read(
    mut old: OldTable,
    window: Option<u32>,
    now: Timestamp,
    notes: &mut Notes,
) -> Result<Times> {
    let timezone = time_zone(&mut old, notes);
    let zone = TimeZone::get(&timezone).unwrap_or(TimeZone::UTC);
    let rule = rule(&mut old, &zone, now, notes)?;
    let mut lead = old
        .whole("leadTimeMinutes", 1, MAX_LEAD, notes)
        .unwrap_or(30);
    let mut window = window.unwrap_or_else(|| 25.min(lead - 1));
    if window >= lead {
        lead = (window + 5).min(MAX_LEAD);
        window = window.min(lead - 1);
        notes.add(
            old.path("leadTimeMinutes"),
            format!("{lead} now: the cancellation window of {window} minutes must fit into it"),
        );
    }
    old.rest(notes);
    Ok(Times {
        rule,
        timezone,
        lead,
        window,
    })
}

fn time_zone(old: &mut OldTable, notes: &mut Notes) -> String {
    match old.text("timezone", notes) {
        Some(name) if TimeZone::get(&name).is_ok() => name,
        Some(name) => {
            let message = format!("there is no time zone \"{name}\": UTC is written; replace it");
            notes.add(old.path("timezone"), message);
            "UTC".to_owned()
        }
        None => {
            notes.add(old.path("timezone"), "missing: UTC is written; replace it");
            "UTC".to_owned()
        }
    }
}

fn rule(old: &mut OldTable, zone: &TimeZone, now: Timestamp, notes: &mut Notes) -> Result<Rule> {
    let cron = old.text("cronExpression", notes);
    let frequency = old.text("frequency", notes);
    let frequency = match (frequency.as_deref(), &cron) {
        (None, Some(_)) => "custom",
        (None, None) => {
            return Err(Error::usage("schedule.frequency is missing")
                .hint("it is once, daily, weekly, monthly or custom"));
        }
        (Some(frequency), _) => frequency,
    };
    if frequency == "custom" {
        let cron = cron.ok_or_else(|| {
            Error::usage("schedule.frequency is custom, and schedule.cronExpression is missing")
        })?;
        if old.take("executionTime").is_some() {
            notes.add(
                old.path("executionTime"),
                "the cron expression sets the time",
            );
        }
        beginning(old, zone, now, notes);
        return cron_rule(&cron, &old.path("cronExpression"), notes);
    }
    if cron.is_some() {
        notes.add(
            old.path("cronExpression"),
            format!("without effect: the frequency is {frequency}"),
        );
    }
    let time = time(old, notes)?;
    let (frequency, day) = match frequency {
        "daily" => {
            beginning(old, zone, now, notes);
            ("daily", None)
        }
        "once" => {
            let date = start_date(old, zone, notes).ok_or_else(|| {
                Error::usage(
                    "schedule.frequency is once, and schedule.startDate is missing or no date",
                )
            })?;
            if date < now.to_zoned(zone.clone()).date() {
                notes.add(old.path("startDate"), format!("{date} has passed"));
            }
            ("once", Some(("date", date.to_string().into(), "")))
        }
        "weekly" => ("weekly", Some(weekday(old, zone, notes))),
        "monthly" => ("monthly", Some(day_of_month(old, zone, notes))),
        other => {
            return Err(
                Error::usage(format!("schedule.frequency: \"{other}\" is unknown"))
                    .hint("it is once, daily, weekly, monthly or custom"),
            );
        }
    };
    Ok(Rule::At {
        time,
        frequency,
        day,
    })
}

/// Returns the time of day, as the new file writes it.
fn time(old: &mut OldTable, notes: &mut Notes) -> Result<String> {
    let path = old.path("executionTime");
    let Some(written) = old.text("executionTime", notes) else {
        return Err(Error::usage(format!("{path} is missing"))
            .hint("it is the time at which recipients get the push, like \"12:30\""));
    };
    let mut parts = written.split(':');
    let (hours, minutes) = (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    );
    let time = format!("{hours:0>2}:{minutes}");
    if let Some(seconds) = parts.next().filter(|seconds| *seconds != "00") {
        notes.add(&path, format!("{written}: without the {seconds} seconds"));
    }
    clock_time(&time).map_err(|why| Error::usage(format!("{path}: {why}")))?;
    Ok(time)
}

/// Returns the date of `startDate`: as it is written, or in the schedule's zone where it names an instant.
fn start_date(old: &mut OldTable, zone: &TimeZone, notes: &mut Notes) -> Option<Date> {
    let path = old.path("startDate");
    let written = old.text("startDate", notes)?;
    let date: Option<Date> = written.get(..10).and_then(|date| date.parse().ok());
    if date.is_none() {
        notes.add(path, format!("\"{written}\" is not a date"));
        return None;
    }
    let is_midnight = written.len() == 10 || written.get(10..19) == Some("T00:00:00");
    match written.parse::<Timestamp>() {
        Ok(at) if !is_midnight => {
            let there = at.to_zoned(zone.clone()).date();
            if Some(there) != date {
                notes.add(
                    path,
                    format!("{written} is on {there} in the schedule's time zone"),
                );
            }
            Some(there)
        }
        _ => date,
    }
}

/// Notes a beginning in the future: an automation begins when it is enabled.
fn beginning(old: &mut OldTable, zone: &TimeZone, now: Timestamp, notes: &mut Notes) {
    let start = start_date(old, zone, notes);
    if let Some(start) = start.filter(|start| *start > now.to_zoned(zone.clone()).date()) {
        let message = format!("it begins when it is enabled; enable it on {start}");
        notes.add(old.path("startDate"), message);
    }
}

type Day = (&'static str, toml::Value, &'static str);

/// Returns the day of the week of the start: the old file has no other.
fn weekday(old: &mut OldTable, zone: &TimeZone, notes: &mut Notes) -> Day {
    let path = old.path("startDate");
    let days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    if let Some(date) = start_date(old, zone, notes) {
        let day = days[usize::from(date.weekday().to_monday_zero_offset().unsigned_abs())];
        notes.add(
            path,
            format!("the day of the week is that of the start, {day}"),
        );
        return ("weekdays", vec![day].into(), "");
    }
    notes.add(
        path,
        "missing: the day of the week is unknown; mon is written, replace it",
    );
    (
        "weekdays",
        vec!["mon"].into(),
        "replace this: the old file named no day",
    )
}

/// Returns the day of the month of the start: the old file has no other.
fn day_of_month(old: &mut OldTable, zone: &TimeZone, notes: &mut Notes) -> Day {
    let path = old.path("startDate");
    if let Some(date) = start_date(old, zone, notes) {
        notes.add(
            path,
            format!("the day of the month is that of the start, {}", date.day()),
        );
        return (
            "day",
            i64::from(date.day()).into(),
            "in a shorter month the last day",
        );
    }
    notes.add(
        path,
        "missing: the day of the month is unknown; 1 is written, replace it",
    );
    ("day", 1.into(), "replace this: the old file named no day")
}

/// Converts a cron expression; a sixth field in front, of seconds, is dropped.
fn cron_rule(written: &str, path: &str, notes: &mut Notes) -> Result<Rule> {
    let fields: Vec<&str> = written.split_whitespace().collect();
    let five = match fields.as_slice() {
        [seconds, five @ ..] if five.len() == 5 => {
            notes.add(path, format!("without the field of seconds, {seconds}"));
            five.join(" ")
        }
        _ => written.to_owned(),
    };
    Expression::parse(&five).map_err(|invalid| {
        let error = Error::usage(format!("{path}: \"{five}\": {}", invalid.message));
        match invalid.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })?;
    Ok(Rule::Cron(five))
}
