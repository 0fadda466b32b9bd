//! At any instants of ticks, no push begins early, too late or twice.

use jiff::{SignedDuration, Timestamp};
use pushctl::automation::quiet_hours::QuietHours;
use pushctl::pipeline::step::NextStep;

use super::model::Model;
use crate::support::campaign::{Campaign, Random};

fn below(random: &mut Random, limit: u64) -> i64 {
    i64::try_from((random.next() >> 11) % limit).unwrap()
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

/// A run of any shape, and the instants of its ticks: dense or sparse, mostly forward.
fn draw(random: &mut Random) -> (Model, Vec<Timestamp>) {
    let lead = 1 + below(random, 60);
    let window = below(random, u64::try_from(lead).unwrap());
    let lateness = below(random, 40);
    let hour = below(random, 24);
    let schedule = format!(
        "send_at = \"{hour:02}:{:02}\"\ntimezone = \"America/Santiago\"\nfrequency = \"daily\"\nlead_minutes = {lead}\nmax_lateness_minutes = {lateness}",
        below(random, 60)
    );
    let mut more = String::new();
    if below(random, 2) == 0 {
        let (from, to) = (below(random, 24), below(random, 24));
        more = format!("quiet_hours = \"{from:02}:00-{to:02}:30\"\n");
        if below(random, 2) == 0 {
            more += "quiet_hours_action = \"delay\"\n";
        }
    }
    let mut delays = vec![0];
    for _ in 0..below(random, 3) {
        delays.push(u16::try_from(below(random, 3) * below(random, 20)).unwrap());
    }
    let day = 1 + below(random, 28);
    // The nights of the clock changes come often.
    let from = format!(
        "2026-{:02}-{day:02}T12:00:00Z",
        [4, 9, 11][usize::try_from(below(random, 3)).unwrap()]
    );
    let mut model = Model::of(&schedule, &more, &delays, from.parse().unwrap());
    model.plan.times.test_at = model.plan.times.send_at - minutes(window);
    model.plan.times.window_seconds = window * 60;
    model.takes = SignedDuration::from_secs(below(random, 400));
    let mut now = model.plan.times.generate_at - minutes(below(random, 30));
    let step = 1 + u64::try_from(below(random, 1500)).unwrap();
    let mut ticks = Vec::new();
    let end = model.plan.times.send_at + minutes(48 * 60);
    while now < end && ticks.len() < 400 {
        ticks.push(now);
        let jump = if below(random, 50) == 0 { 20_000 } else { step };
        now += SignedDuration::from_secs(1 + below(random, 2 * jump));
        if below(random, 60) == 0 {
            now -= SignedDuration::from_secs(below(random, 4000));
        }
    }
    (model, ticks)
}

/// Whether a push that was due then may begin now: not later than allowed, or, where quiet hours were waited for, not
/// later than that after them.
fn in_time(model: &Model, due: Timestamp, now: Timestamp) -> bool {
    let lateness = SignedDuration::from_secs(model.plan.times.lateness_seconds);
    let safeguards = &model.plan.automation.safeguards;
    let waits = safeguards.quiet_hours_action == pushctl::automation::file::QuietAction::Delay;
    let Some(hours) = model.plan.quiet_hours().filter(|_| waits) else {
        return now <= due + lateness;
    };
    // A push that is due in the quiet hours is due at their end, by whole minutes of the local clock.
    let after_quiet = |mut at: Timestamp| {
        while is_quiet(model, hours, at) {
            at += minutes(1) - SignedDuration::from_secs(at.as_second().rem_euclid(60));
        }
        at
    };
    let latest = after_quiet(due) + lateness;
    // And what would become too late in them has as long again afterwards.
    let end = after_quiet(latest);
    now <= latest || (end > latest && now <= end + lateness)
}

fn is_quiet(model: &Model, hours: QuietHours, at: Timestamp) -> bool {
    hours.contains(at.to_zoned(model.plan.times.zone()).time())
}

#[test]
fn campaign_no_push_begins_before_its_time_or_too_late_at_any_ticks() {
    let campaign = Campaign::start("ticks at random instants", 400, 20_000);
    let mut random = campaign.random();
    let mut sent = 0;
    for _ in 0..campaign.rounds() {
        let (mut model, ticks) = draw(&mut random);
        let mut over = false;
        for now in ticks {
            let step = model.tick(now);
            over = matches!(
                step,
                NextStep::Over | NextStep::TooLate(..) | NextStep::QuietHours(_)
            );
            if over {
                break;
            }
        }
        sent += u32::from(over && !model.times("cleanup").is_empty());
        verify(&model);
    }
    campaign.report(&format!("{sent} ran to their end"));
    assert!(
        sent > campaign.rounds() / 20,
        "only {sent} ran to their end"
    );
}

fn verify(model: &Model) {
    let times = &model.plan.times;
    let shown = || format!("{:#?}\n{:#?}", model.plan, model.begun);
    for phase in ["generate", "test", "window", "cleanup"] {
        assert!(model.times(phase).len() <= 1, "{phase} twice: {}", shown());
    }
    let start = |phase: &str| model.times(phase).first().copied();
    assert!(
        start("generate").is_none_or(|at| at >= times.generate_at),
        "{}",
        shown()
    );
    assert!(
        start("test").is_none_or(|at| at >= times.test_at),
        "{}",
        shown()
    );
    let is_quiet = |at: Timestamp| {
        let hours = model.plan.quiet_hours();
        hours.is_some_and(|hours| is_quiet(model, hours, at))
    };
    let tests_are_quiet = start("test").is_some_and(is_quiet);
    assert!(!tests_are_quiet, "a test in the quiet hours: {}", shown());
    // The whole window lies before the first push, however late the test pushes left.
    let window = SignedDuration::from_secs(times.window_seconds);
    let tested = model.records.done("test");
    let mut previous = tested.map_or(times.send_at, |tested| {
        let ended = tested.ended_at.unwrap();
        let took = ended.duration_since(tested.begun_at);
        let spare = SignedDuration::from_secs(times.window_seconds / 4);
        let from = if took <= spare {
            tested.begun_at
        } else {
            ended
        };
        times.send_at.max(from + window)
    });
    for (place, push) in model.plan.automation.push.iter().enumerate() {
        let word = format!("push-{}", place + 1);
        let begun = model.times(&word);
        assert!(begun.len() <= 1, "{word} twice: {}", shown());
        let Some(at) = begun.first().copied() else {
            return;
        };
        let due = previous + minutes(i64::from(push.delay_minutes));
        assert!(at >= due, "{word} is early: {}", shown());
        assert!(in_time(model, due, at), "{word} is late: {}", shown());
        assert!(!is_quiet(at), "{word} is in the quiet hours: {}", shown());
        previous = model.records.ended(&word).unwrap();
    }
}
