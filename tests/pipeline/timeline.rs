//! The next step, second by second, on a clock that the test moves.

use jiff::{SignedDuration, Timestamp, ToSpan as _, Zoned};
use pushctl::pipeline::step::{Lateness, NextStep};
use pushctl::pipeline::{Mode, Phase};

use super::model::Model;

const DAILY: &str =
    "send_at = \"13:33\"\ntimezone = \"America/Chicago\"\nfrequency = \"daily\"\nlead_minutes = 30";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn seconds(count: i64) -> SignedDuration {
    SignedDuration::from_secs(count)
}

/// Ticks every second from one instant up to another; the last step.
fn every_second(model: &mut Model, from: Timestamp, to: Timestamp) -> NextStep {
    let mut now = from;
    let mut last = NextStep::Over;
    while now <= to {
        last = model.tick(now);
        now += seconds(1);
    }
    last
}

/// What was begun, by the local clock.
fn local(model: &Model) -> Vec<String> {
    let zone = model.plan.times.zone();
    let line = |(at, what): &(Timestamp, String)| {
        format!("{} {what}", at.to_zoned(zone.clone()).strftime("%d %T %:z"))
    };
    model.begun.iter().map(line).collect()
}

#[test]
fn second_by_second_each_phase_begins_at_its_time_and_once() {
    let from = at("2026-11-21T13:00:00-06:00");
    let mut model = Model::of(DAILY, "", &[0, 5, 0], from);
    let last = every_second(&mut model, from, at("2026-11-21T14:00:00-06:00"));
    assert_eq!(last, NextStep::Over);
    insta::assert_snapshot!(local(&model).join("\n"), @r"
    21 13:03:00 -06:00 generate
    21 13:08:00 -06:00 test
    21 13:08:00 -06:00 window
    21 13:33:00 -06:00 push-1
    21 13:38:00 -06:00 push-2
    21 13:38:00 -06:00 push-3
    21 13:38:00 -06:00 cleanup
    ");
}

#[test]
fn delays_count_from_the_end_of_the_push_before() {
    let from = at("2026-11-21T13:00:00-06:00");
    let mut model = Model::of(DAILY, "", &[0, 5, 0], from);
    model.takes = seconds(90);
    every_second(&mut model, from, at("2026-11-21T14:00:00-06:00"));
    assert_eq!(
        local(&model)[3..],
        [
            "21 13:33:00 -06:00 push-1",
            "21 13:39:30 -06:00 push-2",
            "21 13:41:00 -06:00 push-3",
            "21 13:42:30 -06:00 cleanup"
        ]
    );
}

#[test]
fn a_test_that_ended_after_the_time_is_followed_by_the_whole_window() {
    let schedule = format!("{DAILY}\nmax_lateness_minutes = 60");
    let mut model = Model::of(&schedule, "", &[0], at("2026-11-21T13:00:00-06:00"));
    let late = at("2026-11-21T13:40:00-06:00");
    assert_eq!(
        model.tick(late),
        NextStep::Wait(late + seconds(25 * 60), Phase::Window)
    );
    every_second(&mut model, late, late + seconds(3600));
    assert_eq!(model.times("push-1"), [late + seconds(25 * 60)]);
}

#[test]
fn a_window_that_would_close_too_late_is_not_opened() {
    let mut model = Model::of(DAILY, "", &[0], at("2026-11-21T13:00:00-06:00"));
    let late = at("2026-11-21T13:34:00-06:00");
    assert_eq!(
        model.tick(late),
        NextStep::TooLate(model.plan.times.send_at, Phase::Window)
    );
    assert_eq!(model.times("window"), []);
    // Nor are the test pushes sent first.
    assert_eq!(model.times("generate"), []);
    assert_eq!(model.times("test"), []);
}

#[test]
fn a_late_start_moves_the_send_or_refuses_and_never_shortens_the_window() {
    let from = at("2026-11-21T13:00:00-06:00");
    // The last instant at which a window of 25 minutes still fits before 13:48, and the next.
    for (start, fits) in [
        ("2026-11-21T13:23:00-06:00", true),
        ("2026-11-21T13:23:01-06:00", false),
        ("2026-11-21T13:31:44-06:00", false),
    ] {
        let mut model = Model::of(DAILY, "", &[0], from);
        let start = at(start);
        let step = model.tick(start);
        if fits {
            let closes = start + seconds(25 * 60);
            assert_eq!(step, NextStep::Wait(closes, Phase::Window));
            every_second(&mut model, start, closes + seconds(60));
            assert_eq!(model.times("push-1"), [closes]);
        } else {
            let due = model.plan.times.send_at;
            assert_eq!(step, NextStep::TooLate(due, Phase::Window));
            assert_eq!(model.times("test"), []);
        }
    }
    // Test pushes that take long are not taken out of the window either.
    let mut model = Model::of(DAILY, "", &[0], from);
    model.takes = seconds(8 * 60);
    every_second(&mut model, from, at("2026-11-21T14:00:00-06:00"));
    let tested = model.records.ended("test").unwrap();
    assert_eq!(model.times("push-1"), [tested + seconds(25 * 60)]);
}

#[test]
fn a_push_that_a_crash_left_in_the_middle_waits_for_a_person() {
    let mut model = Model::of(DAILY, "", &[0], at("2026-11-21T13:00:00-06:00"));
    model.tick(at("2026-11-21T13:08:00-06:00"));
    model.tick(at("2026-11-21T13:32:59-06:00"));
    model.tick(at("2026-11-21T13:33:00-06:00"));
    let push = model.records.0.iter_mut().find(|one| one.phase == "push-1");
    let push = push.unwrap();
    (push.ended_at, push.result) = (None, None);
    model
        .records
        .0
        .retain(|one| !matches!(&*one.phase, "send" | "cleanup"));
    let step = |model: &Model, now: &str| {
        pushctl::pipeline::step::next(&model.plan, &model.records, at(now), model.lateness)
    };
    assert_eq!(step(&model, "2026-11-21T13:48:00-06:00"), NextStep::Push(0));
    assert_eq!(
        step(&model, "2026-11-21T13:48:01-06:00"),
        NextStep::InterruptedPush(0)
    );
    model.lateness = Lateness::Waived;
    assert_eq!(step(&model, "2026-11-21T18:00:00-06:00"), NextStep::Push(0));
}

#[test]
fn what_is_later_than_allowed_does_not_begin_and_a_person_may_insist() {
    let from = at("2026-11-21T13:00:00-06:00");
    let (send_at, latest) = (
        at("2026-11-21T13:33:00-06:00"),
        at("2026-11-21T13:48:00-06:00"),
    );
    let mut model = Model::of(DAILY, "", &[0], from);
    assert_eq!(
        model.tick(latest + seconds(1)),
        NextStep::TooLate(send_at, Phase::Generate)
    );
    model.lateness = Lateness::Waived;
    assert!(matches!(
        model.tick(latest + seconds(1)),
        NextStep::Wait(_, Phase::Window)
    ));
    // The last instant still counts, and the next does not.
    for (now, pushes) in [(latest, 1), (latest + seconds(1), 0)] {
        let mut model = Model::of(DAILY, "", &[0], from);
        model.tick(at("2026-11-21T13:10:00-06:00"));
        model.tick(now);
        assert_eq!(model.times("push-1").len(), pushes);
    }
}

#[test]
fn quiet_hours_refuse_a_push_or_make_it_wait() {
    let evening = "send_at = \"20:50\"\ntimezone = \"America/Chicago\"\nfrequency = \"daily\"";
    let from = at("2026-11-21T19:00:00-06:00");
    let quiet = "quiet_hours = \"21:00-09:00\"";
    // By the timetable the second push would be at 20:55; what came before it took too long.
    let mut model = Model::of(evening, quiet, &[0, 5], from);
    model.takes = seconds(6 * 60);
    let last = every_second(&mut model, from, at("2026-11-21T21:03:00-06:00"));
    assert_eq!(last, NextStep::QuietHours(Some(1)));
    let delay = format!("{quiet}\nquiet_hours_action = \"delay\"");
    let mut model = Model::of(evening, &delay, &[0, 5], from);
    model.takes = seconds(6 * 60);
    every_second(&mut model, from, at("2026-11-22T10:00:00-06:00"));
    let morning = at("2026-11-22T09:00:00-06:00");
    assert_eq!(model.times("push-2"), [morning]);
    // And the morning has its own lateness.
    let mut model = Model::of(evening, &delay, &[0, 5], from);
    model.takes = seconds(6 * 60);
    every_second(&mut model, from, at("2026-11-21T21:30:00-06:00"));
    assert_eq!(
        model.tick(morning + seconds(15 * 60 + 1)),
        NextStep::TooLate(morning, Phase::Send)
    );
}

#[test]
fn test_pushes_are_refused_in_the_quiet_hours_or_wait_with_the_whole_window_after_them() {
    let morning = "send_at = \"09:10\"\ntimezone = \"America/Chicago\"\nfrequency = \"daily\"";
    let quiet = "quiet_hours = \"21:00-09:00\"";
    let (from, until) = (
        at("2026-11-21T08:00:00-06:00"),
        at("2026-11-21T10:00:00-06:00"),
    );
    let mut model = Model::of(morning, quiet, &[0], from);
    let early = at("2026-11-21T08:50:00-06:00");
    every_second(&mut model, from, early);
    assert_eq!(model.tick(early), NextStep::QuietHours(None));
    assert_eq!(model.times("test"), []);
    let delay = format!("{quiet}\nquiet_hours_action = \"delay\"");
    let mut model = Model::of(morning, &delay, &[0], from);
    every_second(&mut model, from, until);
    assert_eq!(model.times("test"), [at("2026-11-21T09:00:00-06:00")]);
    assert_eq!(model.times("push-1"), [at("2026-11-21T09:25:00-06:00")]);
}

#[test]
fn a_push_that_ran_into_the_quiet_hours_goes_out_after_them() {
    let evening = "send_at = \"20:50\"\ntimezone = \"America/Chicago\"\nfrequency = \"daily\"";
    let more = "quiet_hours = \"21:00-09:00\"\nquiet_hours_action = \"delay\"";
    let mut model = Model::of(evening, more, &[0], at("2026-11-21T19:00:00-06:00"));
    model.tick(at("2026-11-21T20:25:00-06:00"));
    let morning = at("2026-11-22T09:00:00-06:00");
    assert_eq!(
        model.tick(at("2026-11-21T21:03:00-06:00")),
        NextStep::Wait(morning, Phase::Send)
    );
    model.tick(morning);
    assert_eq!(model.times("push-1"), [morning]);
}

/// The days of a schedule between two instants, each ticked through every ten seconds; when everything began.
fn days(schedule: &str, from: &str, to: &str) -> String {
    let (mut from, to) = (at(from), at(to));
    let mut lines = Vec::new();
    loop {
        let mut model = Model::of(schedule, "", &[0, 90], from);
        let times = model.plan.times.clone();
        if times.send_at >= to {
            return lines.join("\n");
        }
        let mut now = times.generate_at - seconds(7200);
        while now < times.send_at + seconds(4 * 3600) {
            model.tick(now);
            now += seconds(10);
        }
        let shown = local(&model).into_iter();
        let shown = shown.filter(|line| line.contains("generate") || line.contains("push"));
        lines.push(shown.collect::<Vec<_>>().join(", "));
        from = times.send_at + seconds(1);
    }
}

#[test]
fn both_clock_changes_of_a_year_north_and_south_of_the_equator() {
    let chicago = "send_at = \"02:30\"\ntimezone = \"America/Chicago\"\nfrequency = \"daily\"";
    insta::assert_snapshot!(days(chicago, "2027-03-14T00:00:00-06:00", "2027-03-15T00:00:00-05:00"), @"14 01:30:00 -06:00 generate, 14 03:00:00 -05:00 push-1, 14 04:30:00 -05:00 push-2");
    let back = chicago.replace("02:30", "01:30");
    insta::assert_snapshot!(days(&back, "2026-11-01T00:00:00-05:00", "2026-11-02T00:00:00-06:00"), @"01 01:00:00 -05:00 generate, 01 01:30:00 -05:00 push-1, 01 02:00:00 -06:00 push-2");
    // Midnight itself is put forward over, and comes twice.
    let santiago = "send_at = \"00:10\"\ntimezone = \"America/Santiago\"\nfrequency = \"daily\"";
    insta::assert_snapshot!(days(santiago, "2026-09-05T12:00:00Z", "2026-09-07T12:00:00Z"), @r"
    05 23:30:00 -04:00 generate, 06 01:00:00 -03:00 push-1, 06 02:30:00 -03:00 push-2
    06 23:40:00 -03:00 generate, 07 00:10:00 -03:00 push-1, 07 01:40:00 -03:00 push-2
    ");
    let back = santiago.replace("00:10", "23:30");
    insta::assert_snapshot!(days(&back, "2027-04-03T12:00:00Z", "2027-04-04T12:00:00Z"), @"03 23:00:00 -03:00 generate, 03 23:30:00 -03:00 push-1, 04 00:00:00 -04:00 push-2");
}

#[test]
fn just_after_midnight_the_lead_is_on_the_day_before() {
    let schedule = "send_at = \"00:07\"\ntimezone = \"America/Chicago\"\nfrequency = \"weekly\"\nweekdays = [\"sun\"]";
    let from = at("2026-11-21T12:00:00-06:00");
    let mut model = Model::of(schedule, "", &[0], from);
    every_second(
        &mut model,
        at("2026-11-21T23:00:00-06:00"),
        at("2026-11-22T01:00:00-06:00"),
    );
    insta::assert_snapshot!(local(&model).join("\n"), @r"
    21 23:37:00 -06:00 generate
    21 23:42:00 -06:00 test
    21 23:42:00 -06:00 window
    22 00:07:00 -06:00 push-1
    22 00:07:00 -06:00 cleanup
    ");
}

#[test]
fn the_ends_of_months_and_the_29th_of_february() {
    let schedule = "send_at = \"00:01\"\ntimezone = \"Australia/Sydney\"\nfrequency = \"monthly\"\nday = 31\nlead_minutes = 2\n";
    let mut from = at("2028-01-01T00:00:00Z");
    let mut lines = Vec::new();
    for _ in 0..5 {
        let mut model = Model::of(schedule, "", &[0], from);
        model.plan.times.test_at = model.plan.times.send_at - seconds(60);
        model.plan.times.window_seconds = 60;
        let send_at = model.plan.times.send_at;
        every_second(&mut model, send_at - seconds(600), send_at + seconds(60));
        let zone = model.plan.times.zone();
        let begun = |what: &str| -> Zoned { model.times(what)[0].to_zoned(zone.clone()) };
        lines.push(format!(
            "{} {}",
            begun("generate").strftime("%m-%d %H:%M"),
            begun("push-1").strftime("%m-%d %H:%M")
        ));
        from = send_at + seconds(1);
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    01-30 23:59 01-31 00:01
    02-28 23:59 02-29 00:01
    03-30 23:59 03-31 00:01
    04-29 23:59 04-30 00:01
    05-30 23:59 05-31 00:01
    ");
    let leap = "send_at = \"13:33\"\ntimezone = \"UTC\"\ncron = \"33 13 29 2 *\"".replacen(
        "send_at = \"13:33\"\n",
        "",
        1,
    );
    let model = Model::of(&leap, "", &[0], at("2026-11-21T00:00:00Z"));
    assert_eq!(model.plan.times.send_at, at("2028-02-29T13:33:00Z"));
}

#[test]
fn the_other_modes_wait_for_nothing_and_leave_their_phases_out() {
    for (mode, expected) in [
        (Mode::RealDryRun, "generate push-1 push-2 cleanup"),
        (Mode::TestLiveSend, "generate test cleanup"),
        (Mode::TestDryRun, "generate test cleanup"),
    ] {
        let mut model = Model::of(
            DAILY,
            "quiet_hours = \"13:00-14:00\"",
            &[0, 600],
            at("2026-11-21T00:00:00Z"),
        );
        let now = at("2026-11-21T13:10:00-06:00");
        model.plan.mode = mode;
        model.plan.times = model.plan.times.clone().at_once(now);
        model.lateness = Lateness::Waived;
        assert_eq!(model.tick(now), NextStep::Over);
        let begun: Vec<&str> = model.begun.iter().map(|(_, what)| what.as_str()).collect();
        assert_eq!(begun.join(" "), expected);
        assert!(model.begun.iter().all(|(at, _)| *at == now));
    }
}

#[test]
fn a_clock_that_jumps_repeats_nothing() {
    let mut model = Model::of(DAILY, "", &[0, 10], at("2026-11-21T00:00:00Z"));
    let send_at = model.plan.times.send_at;
    for minutes in [-30, -25, -40, 0, -60, 5, 11, -20, 12] {
        model.tick(send_at.checked_add(minutes.minutes()).unwrap());
    }
    let begun: Vec<&str> = model.begun.iter().map(|(_, what)| what.as_str()).collect();
    assert_eq!(
        begun,
        ["generate", "test", "window", "push-1", "push-2", "cleanup"]
    );
    assert_eq!(model.times("push-2"), [send_at + seconds(11 * 60)]);
}
