//! `schedule show`: the lines for the scheduler that starts pushctl.
//!
//! A scheduler in UTC can start one process per occurrence only where the zone has no clock changes and the
//! rule can be written in UTC; otherwise one line starts a tick every five minutes, which runs the phases that are due.
//! systemd knows time zones, so its timers need that only for a cron expression, for days that shorter months lack, and
//! where a start would fall into a clock change.

use std::fmt::Write as _;

use jiff::civil::{Time, Weekday};
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde::Serialize;

use super::Automation;
use super::schedule::{RepeatRule, Schedule};

/// The systemd service that an automation's timer starts; the same file as in `deploy/systemd`.
const SERVICE: &str = include_str!("../../deploy/systemd/pushctl@.service");

/// The container platform may start a cron job this late.
pub const START_JITTER: SignedDuration = SignedDuration::from_mins(10);

/// What the platform's service has beside its start: the image, the files whose change deploys it anew, the time that a
/// send has to record its answers after SIGTERM, and no retry, because the next tick is one.
const RAILWAY_BUILD: &str = "[build]
builder = \"DOCKERFILE\"
dockerfilePath = \"deploy/Dockerfile\"
watchPatterns = [\"automations/**\", \"queries/**\", \"src/**\", \"Cargo.toml\", \"Cargo.lock\", \"deploy/**\"]

[deploy]
drainingSeconds = 60
restartPolicyType = \"NEVER\"
";

/// Schedulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchedulerPlatform {
    /// Cron daemon in UTC.
    Crontab,
    /// A container platform's cron jobs: UTC, five minutes apart at least, sleeping processes are billed.
    Railway,
    Systemd,
}

/// The automations of the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All automations, with one tick if possible.
    All,
    /// Named ones, each with its own tick.
    Named,
}

/// The lines for a scheduler, and notes about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timetable {
    /// The lines, with comments.
    pub text: String,
    /// A note for each automation that a fixed line in UTC would start at the wrong time, or that the platform may
    /// start too late.
    pub warnings: Vec<String>,
}

/// The next occurrence of an automation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Upcoming {
    pub automation: String,
    /// The occurrence's id.
    pub occurrence: String,
    pub generate_at: Timestamp,
    /// The time of the test pushes.
    pub test_at: Timestamp,
    /// The time of the live pushes.
    pub send_at: Timestamp,
    /// The same in its zone: `2026-11-21 13:33 CST`.
    pub local: String,
}

/// Returns the next occurrence of each enabled automation, soonest first.
pub fn upcoming(automations: &[Automation], now: Timestamp) -> Vec<Upcoming> {
    let enabled = automations
        .iter()
        .filter(|automation| automation.file.enabled);
    let mut upcoming: Vec<Upcoming> = enabled
        .filter_map(|automation| {
            let next = automation.schedule.next(now)?;
            Some(Upcoming {
                automation: automation.name().to_owned(),
                occurrence: next.id(automation.name()),
                generate_at: next.generate_at,
                test_at: next.test_at,
                send_at: next.send_at.timestamp(),
                local: next.send_at.strftime("%Y-%m-%d %H:%M %Z").to_string(),
            })
        })
        .collect();
    upcoming.sort_by_key(|next| next.send_at);
    upcoming
}

/// Returns the lines for a platform. Automations that are not enabled are left out.
pub fn show(
    automations: &[Automation],
    scope: Scope,
    platform: SchedulerPlatform,
    now: Timestamp,
) -> Timetable {
    let enabled: Vec<&Automation> = automations
        .iter()
        .filter(|automation| automation.file.enabled)
        .collect();
    let warnings = match platform {
        SchedulerPlatform::Systemd => Vec::new(),
        SchedulerPlatform::Crontab | SchedulerPlatform::Railway => enabled
            .iter()
            .filter_map(|automation| clock_warning(automation, now))
            .collect(),
    };
    let late = enabled
        .iter()
        .filter(|_| platform == SchedulerPlatform::Railway)
        .filter_map(|automation| late_warning(automation));
    let warnings = warnings.into_iter().chain(late).collect();
    let text = if enabled.is_empty() {
        "# no automation is enabled\n".to_owned()
    } else {
        match platform {
            SchedulerPlatform::Crontab => crontab(&enabled, scope, now),
            SchedulerPlatform::Railway => railway(&enabled, scope),
            SchedulerPlatform::Systemd => systemd(&enabled, now),
        }
    };
    Timetable { text, warnings }
}

/// Returns a line for each automation where all can have one, else one tick for all of them.
fn crontab(automations: &[&Automation], scope: Scope, now: Timestamp) -> String {
    let mut out = "# pushctl. Times are UTC: set the machine's zone to UTC, or CRON_TZ=UTC where your cron knows it.\n\
                   # Made from the files as they are; run `pushctl schedule show` again after changing a time.\n"
        .to_owned();
    let fixed: Option<Vec<String>> = automations
        .iter()
        .map(|automation| utc_line(&automation.schedule, now))
        .collect();
    for (index, automation) in automations.iter().enumerate() {
        let (name, schedule) = (automation.name(), &automation.schedule);
        let _ = writeln!(out, "# {name}: {}, {}", schedule.rule, zone_name(schedule));
        if let Some(lines) = &fixed {
            let _ = writeln!(out, "{} pushctl -q run-pipeline {name}", lines[index]);
        }
    }
    if fixed.is_none() {
        for (when, whom) in starts(automations, scope) {
            let _ = writeln!(out, "{when} pushctl -q run-pipeline {whom} --tick");
        }
    }
    out
}

/// Returns the ticks that are needed: the start times, and the automations of each.
fn starts(automations: &[&Automation], scope: Scope) -> Vec<(String, String)> {
    match scope {
        Scope::All => vec![(ticks(automations), "--all".to_owned())],
        Scope::Named => automations
            .iter()
            .map(|automation| (ticks(&[automation]), automation.name().to_owned()))
            .collect(),
    }
}

fn railway(automations: &[&Automation], scope: Scope) -> String {
    let mut out = match scope {
        Scope::All => "# railway.toml: one service for all automations. Each start runs the phases that are due, then exits.\n",
        Scope::Named => "# railway.toml: one service each. Each start runs the phases that are due, then exits.\n",
    }
    .to_owned();
    for automation in automations {
        let schedule = &automation.schedule;
        let _ = writeln!(
            out,
            "# {}: {}, {}",
            automation.name(),
            schedule.rule,
            zone_name(schedule)
        );
    }
    for (place, (when, whom)) in starts(automations, scope).into_iter().enumerate() {
        // The text stays one valid file: a service has one start, so further ones are comments.
        let comment = if place == 0 {
            out.push_str(RAILWAY_BUILD);
            ""
        } else {
            let _ = writeln!(
                out,
                "\n# The file of the service of {whom}: the same, but with"
            );
            "# "
        };
        let _ = writeln!(
            out,
            "{comment}startCommand = \"pushctl --log-format json run-pipeline {whom} --tick\"\n{comment}cronSchedule = \"{when}\"",
        );
    }
    out
}

/// Returns a service for any automation, and a timer for each.
fn systemd(automations: &[&Automation], now: Timestamp) -> String {
    let mut out = SERVICE.to_owned();
    let calendars: Vec<(&Automation, Option<String>)> = automations
        .iter()
        .map(|automation| (*automation, calendar(&automation.schedule, now)))
        .collect();
    if calendars.iter().any(|(_, calendar)| calendar.is_none()) {
        out.push_str(
            "\n# /etc/systemd/system/pushctl-tick@.service: as above, with\n\
             # ExecStart=/usr/local/bin/pushctl run-pipeline %i --tick\n",
        );
    }
    for (automation, calendar) in calendars {
        let (name, schedule) = (automation.name(), &automation.schedule);
        let (unit, calendar) = match calendar {
            Some(calendar) => ("pushctl", calendar),
            None => ("pushctl-tick", format!("*:{}/5", first_tick(schedule))),
        };
        let _ = write!(
            out,
            "\n# /etc/systemd/system/{unit}@{name}.timer\n\
             [Unit]\n\
             Description={name}: {}, {}\n\n\
             [Timer]\n\
             OnCalendar={calendar}\n\
             AccuracySec=1s\n\
             Persistent=true\n\n\
             [Install]\n\
             WantedBy=timers.target\n",
            schedule.rule,
            zone_name(schedule),
        );
    }
    out
}

/// `3-59/5 * * * *`: every five minutes, among them the exact minute of every automation, if they agree on one.
fn ticks(automations: &[&Automation]) -> String {
    let mut firsts = automations
        .iter()
        .map(|automation| first_tick(&automation.schedule));
    let first = firsts.next().unwrap_or_default();
    if first == 0 || firsts.any(|other| other != first) {
        return "*/5 * * * *".to_owned();
    }
    format!("{first}-59/5 * * * *")
}

fn first_tick(schedule: &Schedule) -> i8 {
    let mut times = schedule.rule.times();
    times.next().map_or(0, |time| time.minute() % 5)
}

/// Returns the cron fields of a start in UTC, if a fixed one is right all year.
fn utc_line(schedule: &Schedule, now: Timestamp) -> Option<String> {
    let offset = schedule.zone.to_offset(now);
    if schedule
        .zone
        .following(now)
        .take(4)
        .any(|change| change.offset() != offset)
    {
        return None;
    }
    let before = schedule.lead + SignedDuration::from_secs(offset.seconds().into());
    let (days, time) = shifted(schedule.rule.times().next()?, before);
    let clock = format!("{} {}", time.minute(), time.hour());
    match &schedule.rule {
        RepeatRule::Daily(_) => Some(format!("{clock} * * *")),
        RepeatRule::Weekly(weekdays, _) => {
            let names: Vec<String> = weekdays
                .iter()
                .map(|weekday| {
                    format!("{:?}", weekday.wrapping_add(days)).to_lowercase()[..3].to_owned()
                })
                .collect();
            Some(format!("{clock} * * {}", names.join(",")))
        }
        RepeatRule::Monthly(day @ 1..=28, _) => match i64::from(*day) + days {
            day @ 1..=28 => Some(format!("{clock} {day} * *")),
            _ => None,
        },
        RepeatRule::Monthly(..) | RepeatRule::Once(..) | RepeatRule::Cron(_) => None,
    }
}

/// Returns systemd's form of the start, in the automation's zone.
fn calendar(schedule: &Schedule, now: Timestamp) -> Option<String> {
    let name = schedule.zone.iana_name()?;
    let started = Schedule {
        rule: earlier(&schedule.rule, schedule.lead)?,
        ..schedule.clone()
    };
    let year = now
        .saturating_add(SignedDuration::from_hours(366 * 24))
        .ok()?;
    if !started.clock_changes(now, year).is_empty() || !schedule.clock_changes(now, year).is_empty()
    {
        return None;
    }
    let clock = |time: &Time| time.strftime("%H:%M:%S").to_string();
    Some(match &started.rule {
        RepeatRule::Once(date, time) => format!("{date} {} {name}", clock(time)),
        RepeatRule::Daily(time) => format!("*-*-* {} {name}", clock(time)),
        RepeatRule::Weekly(weekdays, time) => {
            let names: Vec<String> = weekdays
                .iter()
                .map(|day| format!("{day:?}")[..3].to_owned())
                .collect();
            format!("{} *-*-* {} {name}", names.join(","), clock(time))
        }
        RepeatRule::Monthly(31, time) => format!("*-*~01 {} {name}", clock(time)),
        RepeatRule::Monthly(day, time) => format!("*-*-{day:02} {} {name}", clock(time)),
        RepeatRule::Cron(_) => return None,
    })
}

/// Returns the rule of the starts: earlier by the lead. A start on the day before the first of a month is on the last
/// day of the month before.
fn earlier(rule: &RepeatRule, lead: SignedDuration) -> Option<RepeatRule> {
    let (days, time) = shifted(rule.times().next()?, lead);
    Some(match rule {
        RepeatRule::Once(date, _) => RepeatRule::Once(date.saturating_add(days.days()), time),
        RepeatRule::Daily(_) => RepeatRule::Daily(time),
        RepeatRule::Weekly(weekdays, _) => {
            let mut weekdays: Vec<Weekday> = weekdays
                .iter()
                .map(|weekday| weekday.wrapping_add(days))
                .collect();
            weekdays.sort_by_key(|weekday| weekday.to_monday_zero_offset());
            RepeatRule::Weekly(weekdays, time)
        }
        RepeatRule::Monthly(31, _) if days == 0 => RepeatRule::Monthly(31, time),
        RepeatRule::Monthly(1, _) if days == -1 => RepeatRule::Monthly(31, time),
        RepeatRule::Monthly(day @ 1..=28, _) => match i64::from(*day) + days {
            day @ 1..=28 => RepeatRule::Monthly(i8::try_from(day).ok()?, time),
            _ => return None,
        },
        RepeatRule::Monthly(..) | RepeatRule::Cron(_) => return None,
    })
}

/// Returns a time of day earlier by `before`, and its day relative to today.
fn shifted(time: Time, before: SignedDuration) -> (i64, Time) {
    let minutes = i64::from(time.hour()) * 60 + i64::from(time.minute()) - before.as_mins();
    (minutes.div_euclid(24 * 60), time.wrapping_sub(before))
}

/// Returns the reason why a fixed line in UTC would be wrong.
fn clock_warning(automation: &Automation, now: Timestamp) -> Option<String> {
    let schedule = &automation.schedule;
    let zone = &schedule.zone;
    let offset = zone.to_offset(now);
    let year = now
        .saturating_add(SignedDuration::from_hours(366 * 24))
        .ok()?;
    let mut changes = zone
        .following(now)
        .take_while(|change| change.timestamp() < year);
    let change = changes.find(|change| change.offset() != offset)?;
    let date = change.timestamp().to_zoned(zone.clone()).date();
    Some(format!(
        "{}: the clocks of {} change on {date}, so no fixed UTC time is right all year; a --tick every five minutes replaces it",
        automation.name(),
        zone_name(schedule),
    ))
}

/// Returns the reason why the platform may skip an occurrence.
fn late_warning(automation: &Automation) -> Option<String> {
    let lateness = automation.schedule.max_lateness;
    (lateness < START_JITTER).then(|| {
        format!(
            "{}: max_lateness_minutes = {}, and the platform may start a job {} minutes late: its pushes would not be sent",
            automation.name(),
            lateness.as_mins(),
            START_JITTER.as_mins(),
        )
    })
}

fn zone_name(schedule: &Schedule) -> &str {
    schedule.zone.iana_name().unwrap_or("UTC")
}
