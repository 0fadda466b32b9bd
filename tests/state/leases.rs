use std::sync::Arc;
use std::time::Duration;

use pushctl::clock::Clock as _;
use pushctl::error::ErrorKind;
use pushctl::state::ledger::Guard;
use pushctl::state::process_id::ProcessId;
use pushctl::state::{Admission, BreakerProbe, HeldBy, LEASE_TTL, Lease, Store, Taking};

use super::{candidates, holder, in_both_stores, push, sender};
use crate::support::store::{Hand, Place, age_leases};

in_both_stores!(
    a_lease_has_one_holder_whose_name_others_get,
    of_many_simultaneous_processes_one_gets_the_lease,
    a_holder_that_stopped_renewing_is_replaced_and_notices,
    a_holder_relies_on_its_lease_no_longer_than_others_wait,
    a_living_holder_keeps_its_lease_when_the_clock_jumps_and_no_other_takes_it,
    a_dropped_lease_is_released,
    the_breaker_opens_after_failures_and_lets_one_probe_through,
    a_success_closes_the_breaker,
);

async fn take(store: &Store, name: &str) -> Result<Lease, HeldBy> {
    let bob = ProcessId::this_process("bob@worker-2");
    match store.take_lease(name, &bob).await.unwrap() {
        Taking::Taken(lease) => Ok(lease),
        Taking::Held(held) => Err(held),
    }
}

async fn a_lease_has_one_holder_whose_name_others_get(place: Place) {
    let store = place.open().await;
    let Taking::Taken(lease) = store.take_lease("layer2", &holder()).await.unwrap() else {
        panic!("the lease was free");
    };
    let held = take(&store, "layer2").await.unwrap_err();
    assert_eq!(held.holder.who, "alice@worker-1");
    let error = held.error();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains("alice@worker-1"), "{error}");
    assert!(take(&store, "layer3").await.is_ok());
    lease.release().await.unwrap();
    assert!(take(&store, "layer2").await.is_ok());
}

async fn of_many_simultaneous_processes_one_gets_the_lease(place: Place) {
    let (one, two) = (place.open().await, place.open().await);
    let asked = (0..16).map(|n| take(if n % 2 == 0 { &one } else { &two }, "layer2"));
    let answers = futures_util::future::join_all(asked).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
}

async fn a_holder_that_stopped_renewing_is_replaced_and_notices(place: Place) {
    let store = place.open().await;
    let ttl = Duration::from_millis(600);
    let Taking::Taken(first) = store
        .take_lease_for("layer2", &holder(), ttl)
        .await
        .unwrap()
    else {
        panic!("the lease was free");
    };
    // The clock jumps past the expiry before the first renewal is due: to other processes the holder is dead.
    place.let_pass(LEASE_TTL * 2);
    let second = take(&store, "layer2").await.unwrap();
    assert!(!second.is_lost());
    tokio::time::timeout(Duration::from_secs(20), first.lost())
        .await
        .unwrap();
    assert!(first.is_lost());
    // The former holder cannot release the new holder's lease.
    first.release().await.unwrap();
    assert!(take(&store, "layer2").await.is_err());
}

async fn a_living_holder_keeps_its_lease_when_the_clock_jumps_and_no_other_takes_it(place: Place) {
    let store = place.open().await;
    let ttl = Duration::from_millis(300);
    let Taking::Taken(lease) = store
        .take_lease_for("layer2", &holder(), ttl)
        .await
        .unwrap()
    else {
        panic!("the lease was free");
    };
    place.let_pass(Duration::from_secs(3600));
    while store.lease("layer2").await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!lease.is_lost());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_with_wrong_clocks_take_over_no_living_lease_of_a_shared_store() {
    let place = Place::postgres();
    let at = |instant| Arc::new(Hand::at(instant));
    let [right, ahead, behind] = [
        at("2026-11-21T13:33:00-06:00"),
        at("2026-11-21T13:33:45-06:00"),
        at("2026-11-21T13:32:15-06:00"),
    ];
    let open = async |clock| Store::open(&place.location, clock).await.unwrap();
    let (right, ahead, behind) = (open(right).await, open(ahead).await, open(behind).await);
    for (number, holds) in (1..).zip([&right, &ahead, &behind]) {
        let lease = take(holds, "layer2").await.unwrap();
        let push = holds.open_push(&push(number)).await.unwrap();
        let lives = sender(holds).await;
        holds
            .claim(&push, &lives, candidates(0..3), &Guard::none())
            .await
            .unwrap();
        for asks in [&right, &ahead, &behind] {
            assert!(take(asks, "layer2").await.is_err());
            assert_eq!(asks.lease("layer2").await.unwrap().unwrap().name, "layer2");
            assert_eq!(asks.settle(&push).await.unwrap(), 0);
        }
        // A lease that has expired by the server's clock can be taken by all of them.
        age_leases(place.database.as_ref().unwrap(), LEASE_TTL * 2);
        let next = take(&ahead, "layer2").await.unwrap();
        next.release().await.unwrap();
        drop(lease);
        lives.leave().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_deletes_leases_by_the_clock_of_the_store() {
    let place = Place::postgres();
    let store = place.open().await;
    let _living = take(&store, "living").await.unwrap();
    let a_year = Duration::from_secs(365 * 86_400).as_micros();
    let database = place.database.as_ref().unwrap();
    database.execute(&format!(
        "INSERT INTO pushctl.leases (name, holder, fence, taken_at, expires_at)
         SELECT 'long dead', holder, 1, taken_at - {a_year}, expires_at - {a_year} FROM pushctl.leases"
    ));
    let names = || database.query("SELECT name FROM pushctl.leases ORDER BY name");
    for (clock, expected) in [
        // Of a machine that is years behind, and of one that is years ahead.
        ("2020-01-01T00:00:00Z", "living"),
        ("2060-01-01T00:00:00Z", "living"),
    ] {
        let clock = Arc::new(Hand::at(clock));
        let before = clock.now() - Duration::from_secs(90 * 86_400);
        let skewed = Store::open(&place.location, clock).await.unwrap();
        skewed.prune(before).await.unwrap();
        assert_eq!(names(), [[expected]]);
    }
}

async fn a_holder_relies_on_its_lease_no_longer_than_others_wait(place: Place) {
    let store = place.open().await;
    let ttl = Duration::from_millis(600);
    let taking = store.take_lease_for("layer2", &holder(), ttl).await;
    let Taking::Taken(lease) = taking.unwrap() else {
        panic!("the lease was free");
    };
    let right = lease.expiry().clone();
    assert!(!right.is_past());
    // It is renewed in time, again and again.
    tokio::time::sleep(ttl * 2).await;
    assert!(!right.is_past());
    // It may be renewed just before it is taken over.
    let other = loop {
        place.let_pass(ttl * 2);
        if let Ok(other) = take(&store, "layer2").await {
            break other;
        }
    };
    while !right.is_past() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop((lease, other));
}

async fn a_dropped_lease_is_released(place: Place) {
    let store = place.open().await;
    drop(take(&store, "layer2").await.unwrap());
    while store.lease("layer2").await.unwrap().is_some() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn the_breaker_opens_after_failures_and_lets_one_probe_through(place: Place) {
    let (one, two) = (place.open().await, place.open().await);
    let cool_off = Duration::from_secs(60);
    for _ in 0..3 {
        assert_eq!(
            one.admission("db:5432", 3, cool_off).await.unwrap(),
            Admission::Go
        );
        one.attempted("db:5432", BreakerProbe::Unreached)
            .await
            .unwrap();
    }
    let refused = two.admission("db:5432", 3, cool_off).await.unwrap();
    assert!(
        matches!(refused, Admission::Refused { failures: 3, .. }),
        "{refused:?}"
    );
    assert_eq!(
        two.admission("other:5432", 3, cool_off).await.unwrap(),
        Admission::Go
    );
    place.clock.advance(cool_off);
    assert_eq!(
        one.admission("db:5432", 3, cool_off).await.unwrap(),
        Admission::Probe
    );
    assert!(matches!(
        two.admission("db:5432", 3, cool_off).await.unwrap(),
        Admission::Refused { .. }
    ));
    // The probe fails, so the cool-off begins anew.
    one.attempted("db:5432", BreakerProbe::Unreached)
        .await
        .unwrap();
    assert!(matches!(
        two.admission("db:5432", 3, cool_off).await.unwrap(),
        Admission::Refused { failures: 4, .. }
    ));
    // Other commands do not wait for ever for a probe that died.
    place.clock.advance(cool_off);
    assert_eq!(
        one.admission("db:5432", 3, cool_off).await.unwrap(),
        Admission::Probe
    );
    place.clock.advance(cool_off);
    assert_eq!(
        two.admission("db:5432", 3, cool_off).await.unwrap(),
        Admission::Probe
    );
}

async fn a_success_closes_the_breaker(place: Place) {
    let store = place.open().await;
    for _ in 0..5 {
        store
            .attempted("db:5432", BreakerProbe::Unreached)
            .await
            .unwrap();
    }
    store
        .attempted("db:5432", BreakerProbe::Reached)
        .await
        .unwrap();
    assert_eq!(
        store
            .admission("db:5432", 3, Duration::from_secs(60))
            .await
            .unwrap(),
        Admission::Go
    );
}
