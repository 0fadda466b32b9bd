//! Civil time against an independent model: walk the minutes of two years and see what the local clock shows.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use jiff::civil::{Date, DateTime, Time, Weekday, date, time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan};
use pushctl::automation::cron::Expression;
use pushctl::automation::schedule::{ClockChange, DueState, RepeatRule, Schedule};

/// Zones whose clocks change in every way there is: an hour, half an hour, at midnight, in the south, never,
/// twice around a fasting month, and with daylight saving time as the negative exception.
const ZONES: &[&str] = &[
    "America/Chicago",
    "America/Santiago",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Europe/Dublin",
    "Asia/Kathmandu",
    "UTC",
];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

pub(crate) fn schedule(rule: RepeatRule, name: &str) -> Schedule {
    Schedule {
        rule,
        zone: zone(name),
        lead: SignedDuration::from_mins(30),
        window: SignedDuration::from_mins(25),
        max_lateness: SignedDuration::from_mins(15),
    }
}

pub(crate) fn cron(text: &str) -> RepeatRule {
    RepeatRule::Cron(Expression::parse(text).unwrap())
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn ids(schedule: &Schedule, from: &str, count: usize) -> Vec<String> {
    let upcoming = schedule.upcoming(at(from)).take(count);
    upcoming.map(|occurrence| occurrence.id("a")).collect()
}

/// Every minute from the end of 2026 to the beginning of 2029, with the latest time the local clock has shown.
struct Walk {
    minutes: Vec<(Timestamp, DateTime)>,
}

impl Walk {
    fn of(zone: &TimeZone) -> Self {
        let mut minute = at("2026-12-25T00:00Z");
        let end = at("2029-01-08T00:00Z");
        let mut minutes = Vec::new();
        let mut shown = DateTime::MIN;
        while minute < end {
            shown = shown.max(zone.to_datetime(minute));
            minutes.push((minute, shown));
            minute += SignedDuration::from_mins(1);
        }
        Self { minutes }
    }

    /// The first minute at which the clock shows the wanted time or a later one.
    fn first(&self, wanted: DateTime) -> Timestamp {
        let index = self.minutes.partition_point(|(_, shown)| *shown < wanted);
        self.minutes[index].0
    }
}

fn dates() -> impl Iterator<Item = Date> {
    std::iter::successors(Some(date(2027, 1, 1)), |date| date.tomorrow().ok())
        .take_while(|date| date.year() < 2029)
}

/// Compares a schedule's occurrences, looked up forwards and backwards, with the walk's.
fn assert_occurrences(schedule: &Schedule, walk: &Walk, wanted: impl Iterator<Item = DateTime>) {
    let mut expected: Vec<Timestamp> = wanted.map(|wanted| walk.first(wanted)).collect();
    expected.dedup();
    let count = expected.len();
    let found: Vec<Timestamp> = schedule
        .upcoming(expected[0])
        .take(count)
        .map(|occurrence| occurrence.send_at.timestamp())
        .collect();
    assert!(
        found == expected,
        "{} in {:?}",
        schedule.rule,
        schedule.zone
    );
    let mut before = expected[count - 1] + SignedDuration::from_secs(1);
    for expected in expected.iter().rev().take(40) {
        let previous = schedule.previous(before).unwrap();
        before = previous.send_at.timestamp();
        assert_eq!(before, *expected, "{} backwards", schedule.rule);
    }
}

#[test]
fn every_time_of_day_on_every_date_of_a_year_agrees_with_the_walk() {
    for name in ZONES {
        let walk = Walk::of(&zone(name));
        // Every minute of the hours around which clocks change, every seventh of the others.
        let times =
            (0..24 * 60_i32).filter(|minute| *minute < 200 || minute % 11 == 0 || *minute > 1400);
        for minute in times {
            let send_at = Time::midnight() + i64::from(minute).minutes();
            let daily = schedule(RepeatRule::Daily(send_at), name);
            let year = dates().take_while(|date| date.year() == 2027);
            assert_occurrences(&daily, &walk, year.map(|date| date.to_datetime(send_at)));
        }
    }
}

#[test]
fn weekly_monthly_and_cron_agree_with_the_walk() {
    for name in ZONES {
        let walk = Walk::of(&zone(name));
        for send_at in [time(0, 1, 0, 0), time(2, 30, 0, 0), time(13, 33, 0, 0)] {
            let weekdays = vec![Weekday::Sunday, Weekday::Thursday];
            let weekly = schedule(RepeatRule::Weekly(weekdays.clone(), send_at), name);
            let wanted = dates().filter(|date| weekdays.contains(&date.weekday()));
            assert_occurrences(&weekly, &walk, wanted.map(|date| date.to_datetime(send_at)));
            for day in [1, 28, 29, 30, 31] {
                let monthly = schedule(RepeatRule::Monthly(day, send_at), name);
                let wanted = dates().filter(|date| {
                    let last = date.tomorrow().unwrap().month() != date.month();
                    date.day() == day || (last && date.day() < day)
                });
                assert_occurrences(
                    &monthly,
                    &walk,
                    wanted.map(|date| date.to_datetime(send_at)),
                );
            }
        }
        let rule = schedule(cron("30 2,14 * * 0,6"), name);
        let wanted =
            dates().filter(|date| matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday));
        let times = [time(2, 30, 0, 0), time(14, 30, 0, 0)];
        let wanted = wanted.flat_map(|date| times.map(|time| date.to_datetime(time)));
        assert_occurrences(&rule, &walk, wanted);
    }
}

#[test]
fn a_time_in_the_spring_gap_is_sent_at_the_first_instant_after_it() {
    let daily = schedule(RepeatRule::Daily(time(2, 30, 0, 0)), "America/Chicago");
    assert_eq!(
        ids(&daily, "2026-03-07T12:00Z", 2),
        ["a@2026-03-08T03:00-05:00", "a@2026-03-09T02:30-05:00"]
    );
    let south = schedule(RepeatRule::Daily(time(0, 1, 0, 0)), "America/Santiago");
    assert_eq!(
        ids(&south, "2026-09-05T12:00Z", 2),
        ["a@2026-09-06T01:00-03:00", "a@2026-09-07T00:01-03:00"]
    );
}

#[test]
fn a_time_that_comes_twice_is_sent_at_the_first() {
    let daily = schedule(RepeatRule::Daily(time(1, 30, 0, 0)), "America/Chicago");
    assert_eq!(
        ids(&daily, "2026-10-31T12:00Z", 2),
        ["a@2026-11-01T01:30-05:00", "a@2026-11-02T01:30-06:00"]
    );
    let south = schedule(RepeatRule::Daily(time(23, 30, 0, 0)), "America/Santiago");
    assert_eq!(
        ids(&south, "2026-04-04T12:00Z", 2),
        ["a@2026-04-04T23:30-03:00", "a@2026-04-05T23:30-04:00"]
    );
}

#[test]
fn a_send_just_after_midnight_is_generated_on_the_day_before() {
    let daily = schedule(RepeatRule::Daily(time(0, 5, 0, 0)), "America/Chicago");
    let next = daily.next(at("2026-11-21T12:00-06:00")).unwrap();
    assert_eq!(next.id("layer3"), "layer3@2026-11-22T00:05-06:00");
    assert_eq!(next.generate_at, at("2026-11-21T23:35-06:00"));
    assert_eq!(next.test_at, at("2026-11-21T23:40-06:00"));
    let standing = daily.standing(at("2026-11-21T23:36-06:00"));
    let (occurrence, due) = standing.current.unwrap();
    assert_eq!((occurrence, due), (next, DueState::Generate));
}

#[test]
fn the_lead_is_elapsed_time_also_across_a_clock_change() {
    let daily = schedule(RepeatRule::Daily(time(3, 15, 0, 0)), "America/Chicago");
    let spring = daily.next(at("2026-03-08T00:00-06:00")).unwrap();
    assert_eq!(spring.send_at.timestamp(), at("2026-03-08T03:15-05:00"));
    assert_eq!(spring.generate_at, at("2026-03-08T01:45-06:00"));
}

#[test]
fn the_thirty_first_is_the_last_day_of_a_shorter_month() {
    let last = schedule(RepeatRule::Monthly(31, time(13, 33, 0, 0)), "UTC");
    assert_eq!(
        ids(&last, "2028-01-31T14:00Z", 3),
        [
            "a@2028-02-29T13:33+00:00",
            "a@2028-03-31T13:33+00:00",
            "a@2028-04-30T13:33+00:00"
        ]
    );
    let thirtieth = schedule(RepeatRule::Monthly(30, time(13, 33, 0, 0)), "UTC");
    assert_eq!(
        ids(&thirtieth, "2027-02-01T00:00Z", 1),
        ["a@2027-02-28T13:33+00:00"]
    );
}

#[test]
fn the_twenty_ninth_of_february_is_found_across_eight_years_without_one() {
    let leap = schedule(cron("33 13 29 2 *"), "UTC");
    assert_eq!(
        ids(&leap, "2096-02-29T13:34Z", 2),
        ["a@2104-02-29T13:33+00:00", "a@2108-02-29T13:33+00:00"]
    );
    let previous = leap.previous(at("2104-02-29T13:33Z")).unwrap();
    assert_eq!(previous.id("a"), "a@2096-02-29T13:33+00:00");
    assert_eq!(
        schedule(cron("33 13 30 2 *"), "UTC").next(at("2026-01-01T00:00Z")),
        None
    );
}

#[test]
fn a_cron_through_the_day_leaves_the_gap_out_and_does_not_repeat_the_fold() {
    let hourly = schedule(cron("33 * * * *"), "America/Chicago");
    assert_eq!(
        ids(&hourly, "2026-03-08T01:00-06:00", 2),
        ["a@2026-03-08T01:33-06:00", "a@2026-03-08T03:33-05:00"]
    );
    assert_eq!(
        ids(&hourly, "2026-11-01T01:00-05:00", 2),
        ["a@2026-11-01T01:33-05:00", "a@2026-11-01T02:33-06:00"]
    );
}

#[test]
fn two_times_inside_one_gap_are_one_occurrence() {
    let twice = schedule(cron("10,40 2 * * *"), "America/Chicago");
    assert_eq!(
        ids(&twice, "2026-03-08T00:00-06:00", 2),
        ["a@2026-03-08T03:00-05:00", "a@2026-03-09T02:10-05:00"]
    );
}

#[test]
fn once_is_once() {
    let once = schedule(
        RepeatRule::Once(date(2026, 11, 21), time(13, 33, 0, 0)),
        "America/Chicago",
    );
    assert_eq!(
        ids(&once, "2020-01-01T00:00Z", 9),
        ["a@2026-11-21T13:33-06:00"]
    );
    let late = once.standing(at("2026-11-21T13:49-06:00"));
    assert_eq!(late.missed.unwrap().id("a"), "a@2026-11-21T13:33-06:00");
    assert_eq!((late.current, late.next), (None, None));
}

#[test]
fn each_second_of_a_day_stands_in_the_phase_of_its_time() {
    let daily = schedule(RepeatRule::Daily(time(13, 33, 0, 0)), "America/Chicago");
    let send = at("2026-11-21T13:33-06:00").as_second();
    let day = at("2026-11-21T00:00-06:00").as_second();
    for second in day..day + 86_400 {
        let standing = daily.standing(Timestamp::from_second(second).unwrap());
        let due = match second - send {
            ..-1800 => None,
            -1800..-1500 => Some(DueState::Generate),
            -1500..0 => Some(DueState::Test),
            0..=900 => Some(DueState::Send),
            _ => None,
        };
        assert_eq!(
            standing.current.as_ref().map(|(_, due)| *due),
            due,
            "{second}"
        );
        let missed = standing.missed.unwrap().id("a");
        let next = standing.next.unwrap().id("a");
        let (yesterday, today, tomorrow) = (
            "a@2026-11-20T13:33-06:00",
            "a@2026-11-21T13:33-06:00",
            "a@2026-11-22T13:33-06:00",
        );
        assert_eq!(
            missed,
            if second > send + 900 {
                today
            } else {
                yesterday
            }
        );
        assert_eq!(
            next,
            if second < send - 1800 {
                today
            } else {
                tomorrow
            }
        );
    }
}

#[test]
fn the_clock_changes_of_the_coming_year_are_listed() {
    let changes = |send_at, name| {
        let daily = schedule(RepeatRule::Daily(send_at), name);
        let year = daily.clock_changes(at("2026-11-21T12:00Z"), at("2027-11-21T12:00Z"));
        let listed = year.iter().map(|shifted| {
            let word = match shifted.change {
                ClockChange::Skipped => "skipped",
                ClockChange::Repeated => "repeated",
            };
            format!("{} {word} {}", shifted.wanted, shifted.send_at)
        });
        listed.collect::<Vec<_>>()
    };
    assert_eq!(
        changes(time(2, 30, 0, 0), "America/Chicago"),
        ["2027-03-14T02:30:00 skipped 2027-03-14T03:00:00-05:00[America/Chicago]"]
    );
    assert_eq!(
        changes(time(1, 30, 0, 0), "America/Chicago"),
        ["2027-11-07T01:30:00 repeated 2027-11-07T01:30:00-05:00[America/Chicago]"]
    );
    assert_eq!(
        changes(time(0, 1, 0, 0), "America/Santiago"),
        ["2027-09-05T00:01:00 skipped 2027-09-05T01:00:00-03:00[America/Santiago]"]
    );
    assert!(changes(time(13, 33, 0, 0), "America/Chicago").is_empty());
}

#[test]
fn an_id_says_which_instant_it_is_for() {
    let daily = schedule(RepeatRule::Daily(time(13, 33, 0, 0)), "America/Chicago");
    let next = daily.next(at("2026-11-21T00:00Z")).unwrap();
    let id = next.id("layer3-daily");
    let (name, instant) = id.rsplit_once('@').unwrap();
    assert_eq!(name, "layer3-daily");
    assert_eq!(
        instant.parse::<Timestamp>().unwrap(),
        next.send_at.timestamp()
    );
    let now = daily.occurrence(at("2026-11-21T13:33:00-06:00"));
    assert_eq!(
        now.ad_hoc_id("layer3"),
        "layer3@2026-11-21T13:33:00.000-06:00"
    );
}
