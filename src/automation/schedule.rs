//! Schedules: converts civil times in a zone into instants. Pure functions.
//!
//! One rule covers every clock change: an occurrence is sent **at the first instant at which the local clock
//! shows the wanted time or a later one**. Where clocks go forward over the wanted time, that is the
//! moment after the gap (02:30 becomes 03:00 that day); where the wanted time occurs twice, it is the first.
//! The one exception is a cron expression whose hour field begins with `*`: it means "through the day", so
//! times inside a gap are left out.
//!
//! `day = 29`, `30` and `31` of a monthly schedule are the last day of a month that is shorter.
//! Lead, window and lateness are elapsed minutes, also across a clock change.
//!
//! Waiting, and the state of runs, belong to [`crate::pipeline`].

use std::fmt;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

use super::cron::Expression;

/// Dates to search: a little more than the eight years between two leap days around 2100.
const HORIZON_DAYS: usize = 3000;

/// A schedule with the settings of its phases.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// The dates and times at which the pushes are sent.
    pub rule: RepeatRule,
    /// The time zone of the rule.
    pub zone: TimeZone,
    /// Generation begins this long before the pushes are sent.
    pub lead: SignedDuration,
    /// Tests are sent, and the window for cancelling opens, this long before the pushes are sent.
    pub window: SignedDuration,
    /// The lateness within which a tick still sends.
    pub max_lateness: SignedDuration,
}

/// The dates and times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepeatRule {
    Once(Date, Time),
    Daily(Time),
    /// On some days of the week.
    Weekly(Vec<Weekday>, Time),
    /// On one day of each month, or on its last day where the month is shorter.
    Monthly(i8, Time),
    /// The dates and times of a cron expression.
    Cron(Expression),
}

/// An occurrence: a time of a schedule, with the times of its phases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// The time at which the pushes are sent, in the schedule's zone.
    pub send_at: Zoned,
    /// The start of generation.
    pub generate_at: Timestamp,
    /// The start of the test pushes and of the window.
    pub test_at: Timestamp,
    /// The last instant at which sending may begin.
    pub latest: Timestamp,
}

/// The phase that is due by the clock alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DueState {
    /// From the lead to the window.
    Generate,
    /// From the window's opening to the time itself.
    Test,
    /// From the time until it is too late.
    Send,
}

/// The position of an instant in a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleState {
    /// The occurrence the instant belongs to, and its latest phase that is due.
    pub current: Option<(Occurrence, DueState)>,
    /// The latest occurrence that may no longer be sent.
    pub missed: Option<Occurrence>,
    /// The next occurrence whose generation has not begun.
    pub next: Option<Occurrence>,
}

/// A wanted time that a clock change skips or repeats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shifted {
    /// The wanted civil time.
    pub wanted: DateTime,
    /// Whether it is skipped or repeated.
    pub change: ClockChange,
    /// The time at which the pushes are sent instead; the first of a repeated time.
    pub send_at: Zoned,
}

/// The kind of a clock change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockChange {
    /// Clocks go forward over the wanted time.
    Skipped,
    /// Clocks go back, and the wanted time occurs twice.
    Repeated,
}

impl Schedule {
    /// Returns the first occurrence at or after an instant; none after a `Once` has passed.
    pub fn next(&self, from: Timestamp) -> Option<Occurrence> {
        self.instants_from(from)
            .next()
            .map(|at| self.occurrence(at))
    }

    /// Returns the last occurrence before an instant.
    pub fn previous(&self, before: Timestamp) -> Option<Occurrence> {
        let start = self.zone.to_datetime(before).date();
        self.dates(start.saturating_add(2.days()), -1)
            .flat_map(|date| self.on(date).into_iter().rev())
            .find(|at| *at < before)
            .map(|at| self.occurrence(at))
    }

    /// Returns every occurrence at or after an instant, in order, each instant once.
    pub fn upcoming(&self, from: Timestamp) -> impl Iterator<Item = Occurrence> + '_ {
        self.instants_from(from).map(|at| self.occurrence(at))
    }

    /// Returns the position of `now`. An occurrence covers the instants from its lead to its lateness;
    /// `check` refuses schedules in which two of these overlap.
    pub fn standing(&self, now: Timestamp) -> ScheduleState {
        let earliest = now.saturating_sub(self.max_lateness).unwrap_or(now);
        let candidate = self.next(earliest);
        let current = candidate.clone().and_then(|occurrence| {
            let due = occurrence.due(now)?;
            Some((occurrence, due))
        });
        let next = match &current {
            None => candidate,
            Some((running, _)) => self
                .upcoming(running.send_at.timestamp())
                .nth(1)
                .filter(|following| following.generate_at > now),
        };
        ScheduleState {
            current,
            missed: self.previous(earliest),
            next,
        }
    }

    /// Returns the occurrence at an instant, whether or not the rule has one there: for an ad-hoc run, and for a
    /// stored occurrence whose file has changed since.
    pub fn occurrence(&self, send_at: Timestamp) -> Occurrence {
        let before = |lead| send_at.saturating_sub(lead).unwrap_or(send_at);
        Occurrence {
            send_at: send_at.to_zoned(self.zone.clone()),
            generate_at: before(self.lead),
            test_at: before(self.window),
            latest: send_at.saturating_add(self.max_lateness).unwrap_or(send_at),
        }
    }

    /// Returns the schedule with another lead and window, for the modes that only test.
    #[must_use]
    pub fn shortened(mut self, lead: SignedDuration, window: SignedDuration) -> Self {
        self.lead = self.lead.min(lead);
        self.window = self.window.min(window);
        self
    }

    /// Returns the wanted times in `[from, to)` that a clock change skips or repeats. A cron expression that runs
    /// through the day has none.
    pub fn clock_changes(&self, from: Timestamp, to: Timestamp) -> Vec<Shifted> {
        if self.rule.through_the_day() {
            return Vec::new();
        }
        let start = self.zone.to_datetime(from).date();
        let end = self.zone.to_datetime(to).date();
        self.dates(start, 1)
            .take_while(|date| *date < end)
            .flat_map(|date| {
                let times: Vec<Time> = self.rule.times().collect();
                times.into_iter().map(move |time| date.to_datetime(time))
            })
            .filter_map(|wanted| {
                let (at, change) = resolve(&self.zone, wanted);
                Some(Shifted {
                    wanted,
                    change: change?,
                    send_at: at.to_zoned(self.zone.clone()),
                })
            })
            .filter(|shifted| shifted.send_at.timestamp() >= from)
            .collect()
    }

    fn instants_from(&self, from: Timestamp) -> impl Iterator<Item = Timestamp> + '_ {
        // A wanted time inside a gap is sent on a later civil date only where the gap crosses midnight.
        let start = self.zone.to_datetime(from).date().saturating_sub(2.days());
        let mut last = None;
        self.dates(start, 1)
            .flat_map(|date| self.on(date))
            .filter(move |at| *at >= from)
            .filter(move |at| last.replace(*at) != Some(*at))
    }

    /// Returns the dates of the rule from `start`, forwards or backwards.
    fn dates(&self, start: Date, step: i8) -> Box<dyn Iterator<Item = Date> + '_> {
        if let RepeatRule::Once(date, _) = self.rule {
            return Box::new(std::iter::once(date));
        }
        let mut cursor = Some(start);
        Box::new(std::iter::from_fn(move || {
            for _ in 0..HORIZON_DAYS {
                let date = cursor?;
                cursor = date.checked_add(step.days()).ok();
                if self.rule.matches(date) {
                    return Some(date);
                }
            }
            None
        }))
    }

    /// Returns the instants of a date of the rule, in order.
    fn on(&self, date: Date) -> Vec<Timestamp> {
        let skip_gaps = self.rule.through_the_day();
        self.rule
            .times()
            .map(|time| resolve(&self.zone, date.to_datetime(time)))
            .filter(|(_, change)| !(skip_gaps && *change == Some(ClockChange::Skipped)))
            .map(|(at, _)| at)
            .collect()
    }
}

impl Occurrence {
    /// Returns the key of claims and leases: `layer3@2026-11-21T13:33-06:00`.
    pub fn id(&self, automation: &str) -> String {
        format!(
            "{automation}@{}",
            self.send_at.strftime("%Y-%m-%dT%H:%M%:z")
        )
    }

    /// Returns the id of an ad-hoc occurrence. It has milliseconds, so it is never that of a scheduled one.
    pub fn ad_hoc_id(&self, automation: &str) -> String {
        format!(
            "{automation}@{}",
            self.send_at.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z")
        )
    }

    /// Returns the latest phase whose time has come; none before the lead and none once it is too late.
    pub fn due(&self, now: Timestamp) -> Option<DueState> {
        if now < self.generate_at || now > self.latest {
            None
        } else if now < self.test_at {
            Some(DueState::Generate)
        } else if now < self.send_at.timestamp() {
            Some(DueState::Test)
        } else {
            Some(DueState::Send)
        }
    }
}

impl RepeatRule {
    /// Returns whether anything is sent on this date.
    fn matches(&self, date: Date) -> bool {
        match self {
            Self::Once(only, _) => *only == date,
            Self::Daily(_) => true,
            Self::Weekly(weekdays, _) => weekdays.contains(&date.weekday()),
            Self::Monthly(day, _) => date.day() == (*day).min(date.days_in_month()),
            Self::Cron(expression) => expression.matches(date),
        }
    }

    /// Returns the times of each of its dates, in order.
    pub fn times(&self) -> Box<dyn DoubleEndedIterator<Item = Time> + '_> {
        match self {
            Self::Once(_, time)
            | Self::Daily(time)
            | Self::Weekly(_, time)
            | Self::Monthly(_, time) => Box::new(std::iter::once(*time)),
            Self::Cron(expression) => Box::new(expression.times()),
        }
    }

    fn through_the_day(&self) -> bool {
        matches!(self, Self::Cron(expression) if expression.every_hour())
    }
}

/// Describes the rule without the zone: `daily at 13:33`.
impl fmt::Display for RepeatRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = |time: &Time| time.strftime("%H:%M").to_string();
        match self {
            Self::Once(date, time) => write!(out, "once, on {date} at {}", clock(time)),
            Self::Daily(time) => write!(out, "daily at {}", clock(time)),
            Self::Weekly(weekdays, time) => {
                let names: Vec<String> = weekdays.iter().map(|day| format!("{day:?}")).collect();
                write!(out, "on {} at {}", names.join(", "), clock(time))
            }
            Self::Monthly(31, time) => {
                write!(out, "on the last day of each month at {}", clock(time))
            }
            Self::Monthly(day, time) => {
                write!(out, "on day {day} of each month at {}", clock(time))
            }
            Self::Cron(expression) => write!(out, "cron \"{expression}\""),
        }
    }
}

/// Returns the first instant at which a zone's clock shows the wanted time or a later one.
pub(super) fn resolve(zone: &TimeZone, wanted: DateTime) -> (Timestamp, Option<ClockChange>) {
    let ambiguous = zone.to_ambiguous_timestamp(wanted);
    let offset = ambiguous.offset();
    let Ok(at) = ambiguous.compatible() else {
        // Only the last hours of the year 9999 are out of range.
        return (Timestamp::MAX, None);
    };
    match offset {
        AmbiguousOffset::Unambiguous { .. } => (at, None),
        AmbiguousOffset::Fold { .. } => (at, Some(ClockChange::Repeated)),
        AmbiguousOffset::Gap { .. } => {
            let just_after = at
                .saturating_add(SignedDuration::from_secs(1))
                .unwrap_or(at);
            let change = zone.preceding(just_after).next();
            let at = change.map_or(at, |transition| transition.timestamp());
            (at, Some(ClockChange::Skipped))
        }
    }
}
