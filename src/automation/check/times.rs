//! `[schedule]` and `[window]`: their combination, and clock changes of the coming year.

use std::ops::Range;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use super::CheckedFile;
use crate::automation::cron::Expression;
use crate::automation::file::{ScheduleTable, WindowTable};
use crate::automation::quiet_hours::clock_time;
use crate::automation::schedule::{ClockChange, RepeatRule, Schedule, Shifted};
use crate::automation::scheduler_export::START_JITTER;
use crate::automation::toml_tree;
use crate::automation::toml_tree::Node;
use crate::suggest::nearest;

/// Occurrences that are compared with the one after them; a year of hourly ones.
const COMPARED: usize = 9000;

impl<'c> CheckedFile<'c, '_> {
    /// Returns the schedule, if its keys are valid.
    pub(super) fn schedule(&mut self) -> Option<Schedule> {
        let table = self.table("schedule")?;
        let (lead, window, max_lateness) = self.leads(table);
        let zone = self.zone(table);
        let rule = self.rule(table);
        let schedule = Schedule {
            rule: rule?,
            zone: zone?,
            lead,
            window,
            max_lateness,
        };
        let span = when_span(table);
        self.never(&schedule, &span);
        self.clock_changes(&schedule, &span);
        self.busy_minutes(&schedule, &span);
        self.overlaps(&schedule, &span);
        Some(schedule)
    }

    fn leads(&mut self, table: &Node<'_>) -> (SignedDuration, SignedDuration, SignedDuration) {
        let window_table = self.table("window");
        // A value that is no number of minutes is reported elsewhere; here the default replaces it.
        let minutes_in = |table: Option<&Node<'_>>, key| {
            let value = table.and_then(|table| toml_tree::integer(table, key));
            value.filter(|(minutes, _)| (0..=1440).contains(minutes))
        };
        let lead = minutes_in(Some(table), "lead_minutes");
        let window = minutes_in(window_table, "cancel_minutes");
        let lateness = minutes_in(Some(table), "max_lateness_minutes");
        let lead_minutes = lead
            .as_ref()
            .map_or(i64::from(ScheduleTable::default_lead()), |lead| lead.0);
        let window_default = i64::from(WindowTable::default().cancel_minutes);
        let window_minutes = window.as_ref().map_or(window_default, |window| window.0);
        let has = |table: Option<&Node<'_>>, key| {
            table.is_some_and(|table| toml_tree::get(table, key).is_some())
        };
        let is_known = (window.is_some() || !has(window_table, "cancel_minutes"))
            && (lead.is_some() || !has(Some(table), "lead_minutes"));
        if is_known && window_minutes >= lead_minutes {
            let (span, hint) = match (window, lead) {
                (Some((_, span)), _) => (span, "generation, tests and window must fit into the lead: make the window shorter or the lead longer".to_owned()),
                (None, Some((_, span))) => (span, format!("without [window] it is {window_default} minutes: set cancel_minutes there, or make the lead longer")),
                (None, None) => (table.span(), String::new()),
            };
            let message = format!(
                "the window of {window_minutes} minutes does not fit into the lead of {lead_minutes}"
            );
            self.findings.error("window", &span, message).hint(hint);
        } else if window_minutes == 0
            && let Some((_, span)) = window
        {
            self.findings.warning(
                "window",
                &span,
                "there is no time to cancel between the tests and the live pushes",
            );
        }
        self.starts_in_time(lateness.as_ref());
        let lateness = lateness.map_or(i64::from(ScheduleTable::default_lateness()), |lateness| {
            lateness.0
        });
        let minutes = SignedDuration::from_mins;
        (
            minutes(lead_minutes),
            minutes(window_minutes),
            minutes(lateness),
        )
    }

    /// Warns where the platform's jitter alone can use up the lateness within which a tick still sends.
    fn starts_in_time(&mut self, lateness: Option<&(i64, Range<usize>)>) {
        let jitter = START_JITTER.as_mins();
        if let Some((minutes, span)) = lateness
            && self.against.starts_late
            && *minutes < jitter
        {
            let message = format!(
                "the platform may start a job up to {jitter} minutes late, and after {minutes} nothing is sent"
            );
            self.findings
                .warning("max-lateness", span, message)
                .hint(format!(
                    "max_lateness_minutes of {jitter} or more, or another scheduler"
                ));
        }
    }

    fn zone(&mut self, table: &Node<'_>) -> Option<TimeZone> {
        let (name, span) = toml_tree::text(table, "timezone")?;
        if let Ok(zone) = TimeZone::get(name) {
            return Some(zone);
        }
        let known: Vec<String> = jiff::tz::db()
            .available()
            .map(|name| name.to_string())
            .collect();
        let place = name.replace(' ', "_");
        let mut same_city = known.iter().filter(|known| {
            known
                .rsplit('/')
                .next()
                .is_some_and(|city| city.eq_ignore_ascii_case(&place))
        });
        let near = same_city.next().map(String::as_str).or_else(|| {
            (name.len() > 4)
                .then(|| nearest(&place, known.iter().map(String::as_str)))
                .flatten()
        });
        let hint = match near {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "write the name of a place, like \"America/Chicago\", or \"UTC\": an abbreviation or an offset has no rule for clock changes".to_owned(),
        };
        self.findings
            .error(
                "timezone",
                &span,
                format!("there is no time zone \"{name}\""),
            )
            .hint(hint);
        None
    }

    fn rule(&mut self, table: &'c Node<'_>) -> Option<RepeatRule> {
        if let Some((text, span)) = toml_tree::text(table, "cron") {
            for key in ["send_at", "frequency", "date", "weekdays", "day"] {
                if let Some(span) = toml_tree::key_span(table, key) {
                    self.findings
                        .error(
                            "schedule",
                            &span,
                            format!("`{key}` cannot stand beside `cron`, which sets the time"),
                        )
                        .hint("keep one of them");
                }
            }
            return self.cron(text, &span);
        }
        let time = self.send_at(table);
        let Some((frequency, _)) = toml_tree::text(table, "frequency") else {
            if toml_tree::get(table, "frequency").is_none() {
                self.findings
                    .error("missing", &table.span(), "[schedule] has no `frequency`")
                    .hint("\"once\", \"daily\", \"weekly\" or \"monthly\"; or a `cron` expression in place of send_at and frequency");
            }
            return None;
        };
        for (key, owner, example) in [
            ("date", "once", "date = \"2026-11-21\""),
            ("weekdays", "weekly", "weekdays = [\"tue\", \"fri\"]"),
            ("day", "monthly", "day = 1"),
        ] {
            match toml_tree::key_span(table, key) {
                Some(span) if owner != frequency => {
                    let message = format!("`{key}` has no effect with frequency = \"{frequency}\"");
                    self.findings
                        .error("schedule", &span, message)
                        .hint(format!("it goes with frequency = \"{owner}\""));
                }
                None if owner == frequency => {
                    let message = format!("frequency = \"{owner}\" needs `{key}`");
                    self.findings
                        .error("missing", &table.span(), message)
                        .hint(format!("for example {example}"));
                }
                _ => {}
            }
        }
        match frequency {
            "once" => Some(RepeatRule::Once(self.date(table)?, time?)),
            "daily" => Some(RepeatRule::Daily(time?)),
            "weekly" => Some(RepeatRule::Weekly(self.weekdays(table)?, time?)),
            "monthly" => {
                let (day, _) = toml_tree::integer(table, "day")?;
                let day = i8::try_from(day)
                    .ok()
                    .filter(|day| (1..=31).contains(day))?;
                Some(RepeatRule::Monthly(day, time?))
            }
            _ => None,
        }
    }

    fn cron(&mut self, text: &str, span: &Range<usize>) -> Option<RepeatRule> {
        match Expression::parse(text) {
            Ok(expression) => Some(RepeatRule::Cron(expression)),
            Err(invalid) => {
                // A text with escapes is longer in the file than it is.
                let plain = span.len() == text.len() + 2;
                let place = if plain {
                    span.start + 1 + invalid.span.start..span.start + 1 + invalid.span.end
                } else {
                    span.clone()
                };
                self.findings
                    .error("cron", &place, invalid.message)
                    .maybe_hint(invalid.hint);
                None
            }
        }
    }

    fn send_at(&mut self, table: &Node<'_>) -> Option<Time> {
        let Some((text, span)) = toml_tree::text(table, "send_at") else {
            if toml_tree::get(table, "send_at").is_none() {
                self.findings
                    .error("missing", &table.span(), "[schedule] has no `send_at`")
                    .hint("the time at which recipients get it, like send_at = \"13:33\"");
            }
            return None;
        };
        match clock_time(text) {
            Ok(time) => Some(time),
            Err(why) => {
                self.findings.error("time", &span, why);
                None
            }
        }
    }

    fn date(&mut self, table: &Node<'_>) -> Option<Date> {
        let (text, span) = toml_tree::text(table, "date")?;
        if let Some(date) = strict_date(text) {
            return Some(date);
        }
        let first = text
            .get(..8)
            .and_then(|month| strict_date(&format!("{month}01")));
        let last_day = first.map(|first| {
            let month = first.strftime("%B %Y");
            format!("{month} has {} days", first.days_in_month())
        });
        self.findings
            .error("date", &span, format!("\"{text}\" is not a date"))
            .hint(
                last_day
                    .unwrap_or_else(|| "write year, month and day, like \"2026-11-21\"".to_owned()),
            );
        None
    }

    fn weekdays(&mut self, table: &Node<'_>) -> Option<Vec<Weekday>> {
        let mut weekdays = Vec::new();
        for entry in toml_tree::entries(table, "weekdays") {
            let Some(weekday) = entry.get_ref().as_str().and_then(weekday) else {
                continue;
            };
            if weekdays.contains(&weekday) {
                self.findings
                    .warning("schedule", &entry.span(), "this day is listed twice");
            } else {
                weekdays.push(weekday);
            }
        }
        weekdays.sort_by_key(|day| day.to_monday_zero_offset());
        (!weekdays.is_empty()).then_some(weekdays)
    }

    fn never(&mut self, schedule: &Schedule, span: &Range<usize>) {
        if schedule.next(self.against.now).is_some() {
            return;
        }
        if let RepeatRule::Once(date, _) = schedule.rule {
            let table = self.table("schedule");
            let place = table.and_then(|table| toml_tree::get(table, "date"));
            let place = place.map_or(span.clone(), Node::span);
            let message = format!("{date} has passed: this automation does not run again");
            self.findings.warning("never", &place, message);
        } else {
            self.findings.error(
                "never",
                span,
                "this date does not exist: the automation never runs",
            );
        }
    }

    fn clock_changes(&mut self, schedule: &Schedule, span: &Range<usize>) {
        let now = self.against.now;
        let year = self.in_a_year();
        let Some(name) = schedule.zone.iana_name() else {
            return;
        };
        for shifted in schedule.clock_changes(now, year) {
            let (message, hint) = clock_change(&shifted, name);
            self.findings
                .warning("clock-change", span, message)
                .hint(hint);
        }
    }

    fn busy_minutes(&mut self, schedule: &Schedule, span: &Range<usize>) {
        let busy = schedule.rule.times().find(|time| time.minute() % 15 == 0);
        if let Some(time) = busy {
            let time = time.strftime("%H:%M");
            self.findings
                .warning("busy-minute", span, format!("{time} is a busy time: the push service is slowest at :00, :15, :30 and :45"))
                .hint("a few minutes away is better, like 13:33");
        }
    }

    /// Checks that runs do not overlap: an instant belongs to one occurrence at most.
    fn overlaps(&mut self, schedule: &Schedule, span: &Range<usize>) {
        let year = self.in_a_year();
        let delays: i64 = toml_tree::entries(self.root, "push")
            .filter_map(|push| toml_tree::integer(push, "delay_minutes"))
            .map(|(delay, _)| delay.clamp(0, 1440))
            .sum();
        let tail = schedule.max_lateness.max(SignedDuration::from_mins(delays));
        let mut last: Option<Zoned> = None;
        let upcoming = schedule.upcoming(self.against.now).take(COMPARED);
        for occurrence in upcoming.take_while(|occurrence| occurrence.send_at.timestamp() < year) {
            let at = occurrence.send_at.timestamp();
            let apart = last
                .as_ref()
                .map(|last| (last, at.duration_since(last.timestamp())));
            if let Some((last, apart)) = apart.filter(|(_, apart)| *apart <= schedule.lead + tail) {
                let clock = |at: &Zoned| at.strftime("%Y-%m-%d %H:%M").to_string();
                let message = format!(
                    "the runs of {} and {} would overlap: they are {} minutes apart, and one may take {}",
                    clock(last),
                    clock(&occurrence.send_at),
                    apart.as_mins(),
                    (schedule.lead + tail).as_mins(),
                );
                self.findings
                    .error("overlap", span, message)
                    .hint("it lasts from lead_minutes before the time to max_lateness_minutes, or all delays, after it");
                return;
            }
            last = Some(occurrence.send_at);
        }
    }

    fn in_a_year(&self) -> Timestamp {
        let year = SignedDuration::from_hours(366 * 24);
        self.against
            .now
            .saturating_add(year)
            .unwrap_or(Timestamp::MAX)
    }
}

/// Returns the key that sets the time.
fn when_span(table: &Node<'_>) -> Range<usize> {
    let mut keys = ["cron", "send_at"].iter();
    let found = keys.find_map(|key| toml_tree::get(table, key));
    found.map_or(table.span(), Node::span)
}

fn clock_change(shifted: &Shifted, zone: &str) -> (String, String) {
    let date = shifted.wanted.date();
    let wanted = shifted.wanted.strftime("%H:%M");
    let sent = shifted.send_at.strftime("%H:%M");
    match shifted.change {
        ClockChange::Skipped => (
            format!("on {date}, {wanted} does not exist in {zone}: the clocks go forward over it"),
            format!("that day the pushes go out at {sent}; choose a time without a clock change"),
        ),
        ClockChange::Repeated => (
            format!("on {date}, {wanted} occurs twice in {zone}: the clocks go back over it"),
            format!(
                "that day the pushes go out at the first, {}; choose a time without a clock change",
                shifted.send_at.strftime("%H:%M%:z")
            ),
        ),
    }
}

fn strict_date(text: &str) -> Option<Date> {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
    shape.then(|| text.parse().ok()).flatten()
}

fn weekday(name: &str) -> Option<Weekday> {
    let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
    let place = names.iter().position(|known| *known == name)?;
    let offset = i8::try_from(place).ok()?;
    Weekday::from_monday_zero_offset(offset).ok()
}
