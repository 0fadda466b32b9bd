//! `schedule show`: lines for each platform, and that a fixed line in UTC starts when generation is due.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod command;

use jiff::Timestamp;
use pushctl::audience::Catalogue;
use pushctl::automation::Automation;
use pushctl::automation::check::{Against, check};
use pushctl::automation::diagnostic::SourceText;
use pushctl::automation::render::Color;
use pushctl::automation::scheduler_export::{SchedulerPlatform, Scope, show, upcoming};
use pushctl::template::link::AllowedHosts;

use crate::schedule::{cron, schedule as schedule_of};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Automations with these schedules, by the text of their `[schedule]` tables.
fn automations(schedules: &[(&str, &str)]) -> Vec<Automation> {
    let sources: Vec<SourceText> = schedules
        .iter()
        .map(|(name, schedule)| SourceText {
            path: format!("automations/{name}.toml"),
            text: format!(
                "name = \"{name}\"\nenabled = true\n[schedule]\n{schedule}\n[audience]\nname = \"layer3\"\n[[push]]\naudience_file = \"recent-offer-creators\"\nlayer = 3\ntitle = \"t\"\nbody = \"b\"\n[test]\nrequired = false\n"
            ),
        })
        .collect();
    let against = Against {
        catalogue: &Catalogue::built_in(),
        link_hosts: &AllowedHosts::default(),
        test_users: &[],
        now: at("2026-11-21T00:00Z"),
        starts_late: false,
    };
    let checked = check(&sources, &against);
    assert_eq!(
        checked.automations.len(),
        schedules.len(),
        "{}",
        checked.report.human(Color::Plain)
    );
    checked.automations
}

#[test]
fn lines_for_a_cron_daemon_are_fixed_where_the_clock_is() {
    let fixed = automations(&[
        (
            "nepal",
            "send_at = \"05:33\"\ntimezone = \"Asia/Kathmandu\"\nfrequency = \"weekly\"\nweekdays = [\"mon\", \"thu\"]",
        ),
        (
            "first",
            "send_at = \"00:07\"\ntimezone = \"UTC\"\nfrequency = \"monthly\"\nday = 5",
        ),
    ]);
    let table = show(
        &fixed,
        Scope::All,
        SchedulerPlatform::Crontab,
        at("2026-11-21T00:00Z"),
    );
    assert_eq!(table.warnings, [""; 0]);
    insta::assert_snapshot!(table.text, @r"
    # pushctl. Times are UTC: set the machine's zone to UTC, or CRON_TZ=UTC where your cron knows it.
    # Made from the files as they are; run `pushctl schedule show` again after changing a time.
    # nepal: on Monday, Thursday at 05:33, Asia/Kathmandu
    18 23 * * sun,wed pushctl -q run-pipeline nepal
    # first: on day 5 of each month at 00:07, UTC
    37 23 4 * * pushctl -q run-pipeline first
    ");
}

#[test]
fn a_fixed_line_in_utc_is_the_start_of_every_generation_of_a_year() {
    let zones = [
        "UTC",
        "Asia/Kathmandu",
        "America/Phoenix",
        "Pacific/Kiritimati",
    ];
    let rules = [
        "frequency = \"daily\"",
        "frequency = \"weekly\"\nweekdays = [\"sun\", \"wed\"]",
        "frequency = \"monthly\"\nday = 14",
    ];
    for zone in zones {
        for rule in rules {
            for send_at in ["00:07", "05:47", "12:08", "23:58"] {
                let schedule = format!("send_at = \"{send_at}\"\ntimezone = \"{zone}\"\n{rule}");
                let automation = automations(&[("a", &schedule)]);
                let text = show(
                    &automation,
                    Scope::All,
                    SchedulerPlatform::Crontab,
                    at("2026-11-21T00:00Z"),
                )
                .text;
                let line = text
                    .lines()
                    .find(|line| line.contains("run-pipeline a"))
                    .unwrap();
                let fields: Vec<&str> = line.split(' ').take(5).collect();
                let starts = schedule_of(cron(&fields.join(" ")), "UTC");
                let starts = starts
                    .upcoming(at("2026-11-22T12:00Z"))
                    .map(|start| start.send_at.timestamp());
                let sends = automation[0]
                    .schedule
                    .upcoming(at("2026-11-22T12:30Z"))
                    .map(|send| send.generate_at);
                assert_eq!(
                    starts.take(50).collect::<Vec<_>>(),
                    sends.take(50).collect::<Vec<_>>(),
                    "{schedule}: {line}"
                );
            }
        }
    }
}

#[test]
fn where_the_clocks_change_a_tick_takes_the_place_of_fixed_lines() {
    let mixed = automations(&[
        (
            "daily",
            "send_at = \"13:33\"\ntimezone = \"America/Chicago\"\nfrequency = \"daily\"",
        ),
        (
            "utc",
            "send_at = \"13:33\"\ntimezone = \"UTC\"\nfrequency = \"daily\"",
        ),
    ]);
    let table = show(
        &mixed,
        Scope::All,
        SchedulerPlatform::Crontab,
        at("2026-11-21T00:00Z"),
    );
    insta::assert_snapshot!(table.text, @r"
    # pushctl. Times are UTC: set the machine's zone to UTC, or CRON_TZ=UTC where your cron knows it.
    # Made from the files as they are; run `pushctl schedule show` again after changing a time.
    # daily: daily at 13:33, America/Chicago
    # utc: daily at 13:33, UTC
    3-59/5 * * * * pushctl -q run-pipeline --all --tick
    ");
    insta::assert_snapshot!(table.warnings.join("\n"), @"daily: the clocks of America/Chicago change on 2027-03-14, so no fixed UTC time is right all year; a --tick every five minutes replaces it");
    let table = show(
        &mixed,
        Scope::All,
        SchedulerPlatform::Railway,
        at("2026-11-21T00:00Z"),
    );
    insta::assert_snapshot!(table.text, @r#"
    # railway.toml: one service for all automations. Each start runs the phases that are due, then exits.
    # daily: daily at 13:33, America/Chicago
    # utc: daily at 13:33, UTC
    [build]
    builder = "DOCKERFILE"
    dockerfilePath = "deploy/Dockerfile"
    watchPatterns = ["automations/**", "queries/**", "src/**", "Cargo.toml", "Cargo.lock", "deploy/**"]

    [deploy]
    drainingSeconds = 60
    restartPolicyType = "NEVER"
    startCommand = "pushctl --log-format json run-pipeline --all --tick"
    cronSchedule = "3-59/5 * * * *"
    "#);
    assert_eq!(table.warnings.len(), 1);
}

#[test]
fn systemd_keeps_the_zones_own_clock() {
    let all = automations(&[
        (
            "daily",
            "send_at = \"13:33\"\ntimezone = \"America/Chicago\"\nfrequency = \"daily\"",
        ),
        (
            "night",
            "send_at = \"00:07\"\ntimezone = \"America/Chicago\"\nfrequency = \"weekly\"\nweekdays = [\"mon\", \"fri\"]",
        ),
        (
            "first",
            "send_at = \"00:07\"\ntimezone = \"America/Chicago\"\nfrequency = \"monthly\"\nday = 1",
        ),
        (
            "last",
            "send_at = \"12:07\"\ntimezone = \"America/Chicago\"\nfrequency = \"monthly\"\nday = 31",
        ),
        (
            "thirtieth",
            "send_at = \"12:07\"\ntimezone = \"America/Chicago\"\nfrequency = \"monthly\"\nday = 30",
        ),
        (
            "gap",
            "send_at = \"02:33\"\ntimezone = \"America/Chicago\"\nfrequency = \"daily\"",
        ),
        (
            "once",
            "send_at = \"00:07\"\ntimezone = \"America/Chicago\"\nfrequency = \"once\"\ndate = \"2027-01-01\"",
        ),
        (
            "cron",
            "cron = \"33 13 * * 1-5\"\ntimezone = \"America/Chicago\"",
        ),
    ]);
    let table = show(
        &all,
        Scope::All,
        SchedulerPlatform::Systemd,
        at("2026-11-21T00:00Z"),
    );
    assert_eq!(table.warnings, [""; 0]);
    let calendars = table
        .text
        .lines()
        .filter(|line| line.contains(".timer") || line.starts_with("OnCalendar"));
    insta::assert_snapshot!(calendars.collect::<Vec<_>>().join("\n"), @r"
    # /etc/systemd/system/pushctl@.service, started by pushctl@NAME.timer
    # /etc/systemd/system/pushctl@daily.timer
    OnCalendar=*-*-* 13:03:00 America/Chicago
    # /etc/systemd/system/pushctl@night.timer
    OnCalendar=Thu,Sun *-*-* 23:37:00 America/Chicago
    # /etc/systemd/system/pushctl@first.timer
    OnCalendar=*-*~01 23:37:00 America/Chicago
    # /etc/systemd/system/pushctl@last.timer
    OnCalendar=*-*~01 11:37:00 America/Chicago
    # /etc/systemd/system/pushctl-tick@thirtieth.timer
    OnCalendar=*:2/5
    # /etc/systemd/system/pushctl-tick@gap.timer
    OnCalendar=*:3/5
    # /etc/systemd/system/pushctl@once.timer
    OnCalendar=2026-12-31 23:37:00 America/Chicago
    # /etc/systemd/system/pushctl-tick@cron.timer
    OnCalendar=*:3/5
    ");
    let one = show(
        &all[..1],
        Scope::All,
        SchedulerPlatform::Systemd,
        at("2026-11-21T00:00Z"),
    );
    let service = include_str!("../deploy/systemd/pushctl@.service");
    let timer = one.text.strip_prefix(service).unwrap();
    insta::assert_snapshot!(timer, @r"

    # /etc/systemd/system/pushctl@daily.timer
    [Unit]
    Description=daily: daily at 13:33, America/Chicago

    [Timer]
    OnCalendar=*-*-* 13:03:00 America/Chicago
    AccuracySec=1s
    Persistent=true

    [Install]
    WantedBy=timers.target
    ");
}

#[test]
fn the_next_occurrences_come_soonest_first() {
    let all = automations(&[
        (
            "late",
            "send_at = \"20:07\"\ntimezone = \"America/Chicago\"\nfrequency = \"daily\"",
        ),
        (
            "south",
            "send_at = \"09:07\"\ntimezone = \"Australia/Sydney\"\nfrequency = \"daily\"",
        ),
    ]);
    let next = upcoming(&all, at("2026-11-21T12:00Z"));
    let told: Vec<String> = next
        .iter()
        .map(|next| format!("{} {} {}", next.occurrence, next.generate_at, next.local))
        .collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    south@2026-11-22T09:07+11:00 2026-11-21T21:37:00Z 2026-11-22 09:07 AEDT
    late@2026-11-21T20:07-06:00 2026-11-22T01:37:00Z 2026-11-21 20:07 CST
    ");
    assert_eq!(
        show(
            &[],
            Scope::All,
            SchedulerPlatform::Crontab,
            at("2026-11-21T12:00Z")
        )
        .text,
        "# no automation is enabled\n"
    );
}

#[test]
fn some_of_the_automations_have_lines_that_start_no_others() {
    let two = automations(&[
        (
            "daily",
            "send_at = \"13:33\"\ntimezone = \"America/Chicago\"\nfrequency = \"daily\"",
        ),
        (
            "late",
            "send_at = \"20:07\"\ntimezone = \"America/Chicago\"\nfrequency = \"daily\"",
        ),
    ]);
    let now = at("2026-11-21T00:00Z");
    let table = show(&two, Scope::Named, SchedulerPlatform::Crontab, now);
    let lines = table.text.lines().filter(|line| !line.starts_with('#'));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    3-59/5 * * * * pushctl -q run-pipeline daily --tick
    2-59/5 * * * * pushctl -q run-pipeline late --tick
    ");
    let table = show(&two[..1], Scope::Named, SchedulerPlatform::Railway, now);
    insta::assert_snapshot!(table.text, @r#"
    # railway.toml: one service each. Each start runs the phases that are due, then exits.
    # daily: daily at 13:33, America/Chicago
    [build]
    builder = "DOCKERFILE"
    dockerfilePath = "deploy/Dockerfile"
    watchPatterns = ["automations/**", "queries/**", "src/**", "Cargo.toml", "Cargo.lock", "deploy/**"]

    [deploy]
    drainingSeconds = 60
    restartPolicyType = "NEVER"
    startCommand = "pushctl --log-format json run-pipeline daily --tick"
    cronSchedule = "3-59/5 * * * *"
    "#);
}
