//! Unit tests of the dispatch: every job is reported exactly once, in any order of answers and failures.

use std::task::Waker;

use proptest::prelude::*;

use super::*;
use crate::fcm::request::DoubtCause;

const SLOTS: usize = 3;
const SECOND: Duration = Duration::from_secs(1);

fn dispatch(rate: u32, now: Instant) -> Dispatch {
    let settings = FcmSettings {
        connections: SLOTS,
        rate,
        ..FcmSettings::default()
    };
    let mut dispatch = Dispatch::new(settings, now);
    authorize(&mut dispatch, now);
    for number in 0..SLOTS {
        dispatch.register_slot(number, PoolSlot::Closed, Waker::noop());
    }
    dispatch
}

fn authorize(dispatch: &mut Dispatch, now: Instant) {
    dispatch.authorize(&Bearer {
        header: HeaderValue::from_static("Bearer x"),
        renew: now + SECOND * 3600,
    });
}

fn submit(dispatch: &mut Dispatch, count: u64, now: Instant) {
    for id in 0..count {
        let platform = match id % 3 {
            0 => Some(Platform::Apple),
            1 => Some(Platform::Android),
            _ => None,
        };
        let job = SendJob {
            id,
            body: bytes::Bytes::new(),
            platform,
        };
        dispatch.submit(job, now);
    }
}

fn take(dispatch: &mut Dispatch, number: usize, room: usize, now: Instant) -> (Vec<u64>, Next) {
    let mut taken = Vec::new();
    let next = dispatch.take(number, room, now, &mut taken);
    (taken.iter().map(|message| message.job.id).collect(), next)
}

#[test]
fn the_first_connection_with_room_gets_the_work_and_the_next_one_the_rest() {
    let now = Instant::now();
    let mut dispatch = dispatch(100_000, now);
    submit(&mut dispatch, 5, now);
    assert!(dispatch.may_open(0));
    dispatch.set_slot(0, PoolSlot::Opening);
    assert!(!dispatch.may_open(1), "one is being opened");
    dispatch.set_slot(0, PoolSlot::Room);
    assert!(!dispatch.may_open(1), "one has room");
    dispatch.set_slot(1, PoolSlot::Room);
    let now = now + SECOND;
    assert_eq!(take(&mut dispatch, 1, 10, now), (vec![], Next::Idle));
    assert_eq!(take(&mut dispatch, 0, 1, now), (vec![0], Next::More));
    // The bucket does not fill before the first request; from then on it does.
    let now = now + SECOND;
    assert_eq!(take(&mut dispatch, 0, 1, now), (vec![1], Next::More));
    dispatch.set_slot(0, PoolSlot::Full);
    assert_eq!(take(&mut dispatch, 1, 10, now).0, [2, 3, 4]);
    dispatch.set_slot(1, PoolSlot::Full);
    assert!(!dispatch.may_open(2), "nothing is left to do");
}

#[test]
fn without_a_bearer_token_nothing_is_sent_and_one_is_requested() {
    let now = Instant::now();
    let mut dispatch = dispatch(100_000, now);
    submit(&mut dispatch, 2, now);
    dispatch.set_slot(0, PoolSlot::Room);
    let mut taken = Vec::new();
    dispatch.take(0, 1, now, &mut taken);
    let mut message = taken.remove(0);
    message.generation = 1;
    assert!(!dispatch.needs_bearer());
    dispatch.handle_answer(message, Ok(PushAnswer::Unauthenticated), now);
    assert!(dispatch.needs_bearer());
    assert_eq!(
        take(&mut dispatch, 0, 9, now + SECOND),
        (vec![], Next::Idle)
    );
    authorize(&mut dispatch, now);
    assert_eq!(take(&mut dispatch, 0, 9, now + SECOND).0, [0, 1]);
}

#[test]
fn a_late_401_does_not_drop_a_newer_token() {
    let now = Instant::now();
    let mut dispatch = dispatch(100_000, now);
    submit(&mut dispatch, 1, now);
    dispatch.set_slot(0, PoolSlot::Room);
    let mut taken = Vec::new();
    dispatch.take(0, 1, now, &mut taken);
    let mut message = taken.remove(0);
    message.generation = 1;
    authorize(&mut dispatch, now);
    dispatch.handle_answer(message, Ok(PushAnswer::Unauthenticated), now);
    assert!(!dispatch.needs_bearer());
}

/// Returns any result of a request.
fn answers() -> impl Strategy<Value = Result<PushAnswer, NoAnswer>> {
    let ok = |answer: PushAnswer| Just(Ok(answer)).boxed();
    prop_oneof![
        30 => ok(PushAnswer::Accepted { name: "n".into() }),
        3 => ok(PushAnswer::Dead),
        2 => ok(PushAnswer::Failed { code: "INVALID_ARGUMENT".into() }),
        1 => ok(PushAnswer::ThirdPartyAuth { platform: Some(Platform::Apple) }),
        2 => ok(PushAnswer::Unauthenticated),
        2 => ok(PushAnswer::Quota { retry_after: None }),
        2 => ok(PushAnswer::Quota { retry_after: Some(SECOND) }),
        4 => ok(PushAnswer::ServerError { code: "UNAVAILABLE".into(), retry_after: None }),
        2 => ok(PushAnswer::Unclear { code: "HTTP_502".into() }),
        4 => Just(Err(NoAnswer::NotAccepted)),
        3 => Just(Err(NoAnswer::InDoubt(DoubtCause::Reset))),
    ]
}

/// Returns an answer that stops a send, or none.
fn end() -> impl Strategy<Value = Option<PushAnswer>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(PushAnswer::Misconfigured { reason: "r".into() })),
        1 => Just(Some(PushAnswer::BadMessage { reason: "r".into() })),
    ]
}

proptest! {
    #[test]
    fn every_job_is_reported_exactly_once(
        count in 1_u64..400,
        results in prop::collection::vec(answers(), 1..200),
        end in end(),
        end_after in 0_usize..400,
        rooms in prop::collection::vec(1_usize..40, 1..10),
    ) {
        let mut now = Instant::now();
        let mut dispatch = dispatch(50, now);
        submit(&mut dispatch, count, now);
        dispatch.close();
        // Without a final answer in the cycle, 429s alone would repeat a message for ever.
        let accepted = PushAnswer::Accepted { name: "n".into() };
        let mut results = results.into_iter().chain([Ok(accepted)]).cycle();
        let (mut turn, mut answered) = (0, 0);
        let mut seen = std::collections::BTreeSet::new();
        while !dispatch.is_done() {
            let number = turn % SLOTS;
            for (other, slot) in [PoolSlot::Full; SLOTS].into_iter().enumerate() {
                dispatch.set_slot(other, slot);
            }
            let mut taken = Vec::new();
            let next = dispatch.take(number, rooms[turn % rooms.len()], now, &mut taken);
            for mut message in taken {
                message.attempts += 1;
                message.first.get_or_insert(now);
                message.sent = now;
                message.generation = dispatch.generation;
                answered += 1;
                let result = match &end {
                    Some(answer) if answered > end_after => Ok(answer.clone()),
                    _ => results.next().expect("a cycle"),
                };
                dispatch.handle_answer(message, result, now);
            }
            if dispatch.needs_bearer() {
                authorize(&mut dispatch, now);
            }
            for report in dispatch.reports() {
                prop_assert!(seen.insert(report.id), "{} twice", report.id);
            }
            now = match next {
                Next::Wait(when) => when.max(now),
                _ => now + Duration::from_millis(100),
            };
            turn += 1;
            prop_assert!(turn < 200_000, "it never ends");
        }
        prop_assert_eq!(seen.len() as u64, count);
        prop_assert_eq!(dispatch.under_way(), 0);
    }
}
