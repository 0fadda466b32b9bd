//! Whole runs, on a clock that the test moves: by one process, by ticks, by both, and by two at once.

use pushctl::error::ErrorKind;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use pushctl::clock::Clock;
use pushctl::pipeline::Phase;
use pushctl::pipeline::driver::{DriveOptions, DriveResult};
use pushctl::state::process_id::ProcessId;
use pushctl::state::{LEASE_TTL, RunStatus, Taking};

use super::stage::{Stage, StartOutcome, TICK, WAIT, hand, text, today};
use crate::state::in_both_stores;
use crate::support::fcm::script::{Reply, Script};
use crate::support::store::{Hand, Place};

in_both_stores!(
    one_process_goes_from_the_lead_to_the_end,
    ticks_each_minute_do_the_same,
    ticks_and_processes_take_turns,
    of_two_ticks_at_once_one_sends_and_the_other_names_it,
    a_holder_that_fell_silent_is_taken_over,
);

const FANS: u32 = 40;
/// What both ways of driving leave behind.
const RECORDS: [&str; 7] = [
    "cleanup@13:34:done",
    "generate@13:31:done",
    "push-1@13:33:done",
    "push-2@13:34:done",
    "send@13:33:done",
    "test@13:32:done",
    "window@13:32:done",
];

fn stage(place: Place, script: Script) -> Stage {
    let mut stage = Stage::new(place, FANS, script);
    stage.site.text = text(1, "");
    stage
}

fn slow(milliseconds: u64) -> Script {
    let then = Box::new(Reply::Accept);
    Script::default().always(
        "token-fan*",
        Reply::Slow {
            ms: milliseconds,
            then,
        },
    )
}

/// Each recipient once, two test pushes, the records of a whole run.
async fn verify(stage: &Stage) {
    assert_eq!(stage.reached().len(), FANS as usize);
    assert_eq!(stage.tests(), 2);
    let (run, phases) = stage.only_run().await;
    assert_eq!(run.status, RunStatus::Done, "{:#?}", run.summary);
    assert_eq!(phases, RECORDS);
}

/// Ticks at these minutes after the lead; what each came to.
async fn ticks(stage: &Stage, minutes: impl IntoIterator<Item = i64>) -> Vec<StartOutcome> {
    let lead: Timestamp = today("13:31:00").parse().unwrap();
    let mut came = Vec::new();
    for minute in minutes {
        let at = lead + SignedDuration::from_mins(minute);
        came.push(stage.site.start(TICK, hand(&at.to_string())).await.unwrap());
    }
    came
}

async fn one_process_goes_from_the_lead_to_the_end(place: Place) {
    let stage = stage(place, Script::default());
    let came = stage.site.start(WAIT, hand(&today("13:30:40"))).await;
    assert_eq!(came.unwrap().status(), Some(RunStatus::Done));
    verify(&stage).await;
    // Started once more, it finds nothing to do.
    let again = stage.site.start(WAIT, hand(&today("13:40:00"))).await;
    assert!(matches!(again, Ok(StartOutcome::Nothing)), "{again:?}");
}

async fn ticks_each_minute_do_the_same(place: Place) {
    let stage = stage(place, Script::default());
    let came = ticks(&stage, -2..7).await;
    assert!(matches!(came[0], StartOutcome::Nothing));
    assert_eq!(came[2].waiting().unwrap().1, Phase::Test);
    assert_eq!(came[3].waiting().unwrap().1, Phase::Window);
    assert_eq!(came[4].waiting().unwrap().1, Phase::Send);
    assert_eq!(came[5].status(), Some(RunStatus::Done));
    let mut later = came[6..].iter();
    assert!(later.all(|came| matches!(came, StartOutcome::Nothing)));
    verify(&stage).await;
}

async fn ticks_and_processes_take_turns(place: Place) {
    let stage = stage(place, Script::default());
    ticks(&stage, [0]).await;
    let until = DriveOptions {
        until: Some(Phase::Test),
        ..WAIT
    };
    let came = stage.site.start(until, hand(&today("13:31:30"))).await;
    assert!(
        matches!(
            came,
            Ok(StartOutcome::To(DriveResult::Reached(Phase::Test)))
        ),
        "{came:?}"
    );
    ticks(&stage, [1, 2]).await;
    let came = stage.site.start(WAIT, hand(&today("13:33:30"))).await;
    assert_eq!(came.unwrap().status(), Some(RunStatus::Done));
    verify(&stage).await;
}

async fn of_two_ticks_at_once_one_sends_and_the_other_names_it(place: Place) {
    let stage = stage(place, slow(300));
    ticks(&stage, [0, 1]).await;
    for time in ["13:33:00", "13:34:00"] {
        let (one, two) = tokio::join!(
            stage.site.start(TICK, hand(&today(time))),
            stage.site.start(TICK, hand(&today(time))),
        );
        let mut errors: Vec<_> = [one, two].into_iter().filter_map(Result::err).collect();
        let error = errors.pop().expect("one of them is refused");
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(error.kind(), ErrorKind::Locked);
        let message = format!("{error:#}");
        let holder = format!("is held by alice@worker-1 (process {})", std::process::id());
        assert!(message.contains(&holder), "{message}");
    }
    verify(&stage).await;
}

async fn a_holder_that_fell_silent_is_taken_over(place: Place) {
    let stage = stage(place, Script::default());
    ticks(&stage, [0, 1]).await;
    let site = stage.site.clone();
    // Its renewals end with its runtime; its process lives.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = site.store(hand(&today("13:33:00"))).await.unwrap();
            let name = "occurrence/daily@2026-11-21T13:33-06:00";
            let holder = ProcessId::this_process("bob@worker-2");
            let taking = store.take_lease(name, &holder).await.unwrap();
            let Taking::Taken(lease) = taking else {
                panic!("{taking:?}")
            };
            std::mem::forget(lease);
        });
        runtime.shutdown_background();
    })
    .join()
    .unwrap();
    stage.let_leases_age(Duration::from_secs(20));
    let refused = stage.site.start(TICK, hand(&today("13:33:20"))).await;
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(format!("{error:#}").contains("bob@worker-2"), "{error:#}");
    stage.let_leases_age(Duration::from_secs(11));
    let came = stage.site.start(TICK, hand(&today("13:33:31"))).await;
    assert_eq!(came.unwrap().waiting().unwrap().1, Phase::Send);
    assert_eq!(stage.reached().len(), 20);
}

/// A clock that the test moves; a sleeper waits until it is moved.
struct Moved(Hand);

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let end = self.0.now() + duration;
        Box::pin(async move {
            while self.0.now() < end {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_beside_a_process_leaves_it_alone() {
    let stage = stage(Place::sqlite(), Script::default());
    let clock = Arc::new(Moved(Hand::at(&today("13:32:00"))));
    let process = stage.site.start(WAIT, Arc::clone(&clock) as Arc<dyn Clock>);
    let beside = async {
        while stage.tests() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        for _ in 0..3 {
            let tick = stage.site.start(TICK, hand(&today("13:32:10"))).await;
            assert_eq!(tick.unwrap_err().kind(), ErrorKind::Locked);
        }
        // A window that is opened later closes later.
        while !stage.has_begun("window").await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        clock.0.advance(Duration::from_secs(60));
        while stage.reached().len() < 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        while stage.reached().len() < FANS as usize {
            // Slowly: a push that takes long on a busy machine must not become too late on this clock.
            clock.0.advance(Duration::from_secs(1));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let came = Box::pin(ended_after(process, beside)).await;
    assert_eq!(came.unwrap().status(), Some(RunStatus::Done));
    assert_eq!(stage.reached().len(), FANS as usize);
    assert_eq!(stage.tests(), 2);
}

/// Runs a process beside what is done to it, and returns its result. It must not end before.
async fn ended_after<T: std::fmt::Debug>(
    process: impl Future<Output = T>,
    beside: impl Future<Output = ()>,
) -> T {
    let mut process = std::pin::pin!(process);
    tokio::select! {
        () = beside => process.await,
        early = &mut process => panic!("the process has ended: {early:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_over_a_living_process_leaves_one_sender() {
    let stage = stage(Place::sqlite(), slow(200));
    let clock = Arc::new(Moved(Hand::at(&today("13:32:00"))));
    let process = stage.site.start(WAIT, Arc::clone(&clock) as Arc<dyn Clock>);
    let beside = async {
        while stage.tests() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        while !stage.has_begun("window").await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // By the tick's clock the process has been silent for longer than a lease lasts.
        let ahead: Timestamp = today("13:33:00").parse().unwrap();
        assert!(ahead.duration_since(clock.now()) > LEASE_TTL.try_into().unwrap());
        let came = stage.site.start(TICK, hand(&ahead.to_string())).await;
        assert_eq!(came.unwrap().waiting().unwrap().1, Phase::Send);
        // The process does nothing more when its own clock has come as far.
        clock.0.advance(Duration::from_secs(90));
    };
    let came = Box::pin(ended_after(process, beside)).await;
    assert_eq!(came.unwrap_err().kind(), ErrorKind::Locked);
    ticks(&stage, [1, 4, 0, 9]).await;
    assert_eq!(stage.reached().len(), FANS as usize);
    assert_eq!(stage.tests(), 2);
    let (run, _) = stage.only_run().await;
    assert_eq!(run.status, RunStatus::Done);
}
