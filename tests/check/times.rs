//! Schedules, zones, dates and windows.

use super::{GOOD, shown, with};

#[test]
fn times_and_zones_that_there_are_not() {
    insta::assert_snapshot!(shown(&with("\"13:33\"", "\"1:33 pm\"").replace("America/Chicago", "Chicago")), @r#"
    error: `1:33 pm` is not a time of day: write it on the 24-hour clock, like 13:33
     --> a.toml:5:11
      |
    5 | send_at = "1:33 pm"
      |           ^^^^^^^^^

    error: there is no time zone "Chicago"
     --> a.toml:6:12
      |
    6 | timezone = "Chicago"
      |            ^^^^^^^^^
      |
      = hint: did you mean "America/Chicago"?
    "#);
    insta::assert_snapshot!(shown(&with("\"13:33\"", "\"24:00\"").replace("America/Chicago", "CST")), @r#"
    error: `24:00` is not a time of day: midnight is 00:00
     --> a.toml:5:11
      |
    5 | send_at = "24:00"
      |           ^^^^^^^

    error: there is no time zone "CST"
     --> a.toml:6:12
      |
    6 | timezone = "CST"
      |            ^^^^^
      |
      = hint: write the name of a place, like "America/Chicago", or "UTC": an abbreviation or an offset has no rule for clock changes
    "#);
    insta::assert_snapshot!(shown(&with("\"13:33\"", "\"25:61\"").replace("America/Chicago", "Amerika/Chicago")), @r#"
    error: `25:61` is not a time of day: hours go to 23 and minutes to 59
     --> a.toml:5:11
      |
    5 | send_at = "25:61"
      |           ^^^^^^^

    error: there is no time zone "Amerika/Chicago"
     --> a.toml:6:12
      |
    6 | timezone = "Amerika/Chicago"
      |            ^^^^^^^^^^^^^^^^^
      |
      = hint: did you mean "America/Chicago"?
    "#);
}

#[test]
fn clock_changes_of_the_coming_year_are_warned_of() {
    insta::assert_snapshot!(shown(&with("13:33", "02:33")), @r#"
    warning: on 2027-03-14, 02:33 does not exist in America/Chicago: the clocks go forward over it
     --> a.toml:5:11
      |
    5 | send_at = "02:33"
      |           ^^^^^^^
      |
      = hint: that day the pushes go out at 03:00; choose a time without a clock change
    "#);
    insta::assert_snapshot!(shown(&with("13:33", "01:33")), @r#"
    warning: on 2027-11-07, 01:33 occurs twice in America/Chicago: the clocks go back over it
     --> a.toml:5:11
      |
    5 | send_at = "01:33"
      |           ^^^^^^^
      |
      = hint: that day the pushes go out at the first, 01:33-05:00; choose a time without a clock change
    "#);
}

#[test]
fn schedules_that_say_too_much_or_too_little() {
    insta::assert_snapshot!(shown(&with("frequency = \"daily\"", "frequency = \"daily\"\nday = 3\ndate = 2026-12-24")), @r#"
    error: `day` has no effect with frequency = "daily"
     --> a.toml:8:1
      |
    8 | day = 3
      | ^^^
      |
      = hint: it goes with frequency = "monthly"

    error: `date` has no effect with frequency = "daily"
     --> a.toml:9:1
      |
    9 | date = 2026-12-24
      | ^^^^
      |
      = hint: it goes with frequency = "once"
    "#);
    insta::assert_snapshot!(shown(&with("frequency = \"daily\"", "frequency = \"once\"")), @r#"
    error: frequency = "once" needs `date`
     --> a.toml:4:1
      |
    4 | [schedule]
      | ^^^^^^^^^^
      |
      = hint: for example date = "2026-11-21"
    "#);
    insta::assert_snapshot!(shown(&with("frequency = \"daily\"", "cron = \"33 13 * * *\"")), @r#"
    error: `send_at` cannot stand beside `cron`, which sets the time
     --> a.toml:5:1
      |
    5 | send_at = "13:33"
      | ^^^^^^^
      |
      = hint: keep one of them
    "#);
    insta::assert_snapshot!(shown(&with("frequency = \"daily\"\n", "").replace("send_at = \"13:33\"\n", "")), @r#"
    error: [schedule] has no `send_at`
     --> a.toml:4:1
      |
    4 | [schedule]
      | ^^^^^^^^^^
      |
      = hint: the time at which recipients get it, like send_at = "13:33"

    error: [schedule] has no `frequency`
     --> a.toml:4:1
      |
    4 | [schedule]
      | ^^^^^^^^^^
      |
      = hint: "once", "daily", "weekly" or "monthly"; or a `cron` expression in place of send_at and frequency
    "#);
}

#[test]
fn dates_that_there_are_not_or_no_longer() {
    insta::assert_snapshot!(shown(&with("frequency = \"daily\"", "frequency = \"once\"\ndate = \"2027-02-29\"")), @r#"
    error: "2027-02-29" is not a date
     --> a.toml:8:8
      |
    8 | date = "2027-02-29"
      |        ^^^^^^^^^^^^
      |
      = hint: February 2027 has 28 days
    "#);
    insta::assert_snapshot!(shown(&with("frequency = \"daily\"", "frequency = \"once\"\ndate = \"2026-11-20\"")), @r#"
    warning: 2026-11-20 has passed: this automation does not run again
     --> a.toml:8:8
      |
    8 | date = "2026-11-20"
      |        ^^^^^^^^^^^^
    "#);
}

#[test]
fn cron_expressions_with_their_place() {
    let cron = |expression: &str| {
        shown(
            &with("send_at = \"13:33\"\n", "")
                .replace("frequency = \"daily\"", &format!("cron = \"{expression}\"")),
        )
    };
    insta::assert_snapshot!(cron("33 13 * * mon-fri,sunn"), @r#"
    error: `sunn` is not a day of the week: it must be 0 to 7 or sun to sat
     --> a.toml:6:27
      |
    6 | cron = "33 13 * * mon-fri,sunn"
      |                           ^^^^
    "#);
    insta::assert_snapshot!(cron("33 13 30 2 *"), @r#"
    error: this date does not exist: the automation never runs
     --> a.toml:6:8
      |
    6 | cron = "33 13 30 2 *"
      |        ^^^^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(cron("*/20 * * * *"), @r#"
    error: the runs of 2026-11-21 03:00 and 2026-11-21 03:20 would overlap: they are 20 minutes apart, and one may take 45
     --> a.toml:6:8
      |
    6 | cron = "*/20 * * * *"
      |        ^^^^^^^^^^^^^^
      |
      = hint: it lasts from lead_minutes before the time to max_lateness_minutes, or all delays, after it

    warning: 00:00 is a busy time: the push service is slowest at :00, :15, :30 and :45
     --> a.toml:6:8
      |
    6 | cron = "*/20 * * * *"
      |        ^^^^^^^^^^^^^^
      |
      = hint: a few minutes away is better, like 13:33
    "#);
    insta::assert_snapshot!(cron("@daily"), @r#"
    error: `@daily` does not set the minute at which the pushes are sent
     --> a.toml:6:9
      |
    6 | cron = "@daily"
      |         ^^^^^^
      |
      = hint: write the five fields, for example "33 13 * * *"
    "#);
}

#[test]
fn minutes_that_are_no_whole_number_have_one_error() {
    let short = with("send_at", "lead_minutes = 20\nsend_at");
    for minutes in [
        "10.5",
        "nan",
        "\"10\"",
        "-3",
        "99999999999999999999",
        "9223372036854775807",
    ] {
        for text in [
            format!("{short}[window]\ncancel_minutes = {minutes}\n"),
            with("send_at", &format!("lead_minutes = {minutes}\nsend_at")),
        ] {
            let report = shown(&text);
            assert_eq!(report.matches("error: ").count(), 1, "{report}");
        }
    }
}

#[test]
fn a_window_that_does_not_fit_the_lead() {
    insta::assert_snapshot!(shown(&(GOOD.to_owned() + "[window]\ncancel_minutes = 45\n")), @r"
    error: the window of 45 minutes does not fit into the lead of 30
      --> a.toml:22:18
       |
    22 | cancel_minutes = 45
       |                  ^^
       |
       = hint: generation, tests and window must fit into the lead: make the window shorter or the lead longer
    ");
    insta::assert_snapshot!(shown(&with("frequency = \"daily\"", "frequency = \"daily\"\nlead_minutes = 20")), @r"
    error: the window of 25 minutes does not fit into the lead of 20
     --> a.toml:8:16
      |
    8 | lead_minutes = 20
      |                ^^
      |
      = hint: without [window] it is 25 minutes: set cancel_minutes there, or make the lead longer
    ");
    insta::assert_snapshot!(shown(&(GOOD.to_owned() + "[window]\ncancel_minutes = 0\n")), @r"
    warning: there is no time to cancel between the tests and the live pushes
      --> a.toml:22:18
       |
    22 | cancel_minutes = 0
       |                  ^
    ");
}
