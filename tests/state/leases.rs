use std::time::Duration;

use pushctl::error::Kind;
use pushctl::state::process_id::ProcessId;
use pushctl::state::{Admission, BreakerProbe, HeldBy, LEASE_TTL, Lease, Store, Taking};

use super::{holder, in_both_stores};
use crate::support::store::Place;

in_both_stores!(
    a_lease_has_one_holder_who_is_named_to_the_others,
    of_many_who_ask_at_once_one_gets_the_lease,
    a_holder_that_stopped_renewing_is_replaced_and_notices,
    a_living_holder_keeps_its_lease_when_the_clock_jumps_and_nobody_wants_it,
    a_lease_that_is_dropped_is_given_back,
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

async fn a_lease_has_one_holder_who_is_named_to_the_others(place: Place) {
    let store = place.open().await;
    let Taking::Taken(lease) = store.take_lease("layer2", &holder()).await.unwrap() else {
        panic!("nobody had it");
    };
    let held = take(&store, "layer2").await.unwrap_err();
    assert_eq!(held.holder.who, "alice@worker-1");
    let error = held.error();
    assert_eq!(error.kind(), Kind::Locked);
    assert!(error.to_string().contains("alice@worker-1"), "{error}");
    assert!(take(&store, "layer3").await.is_ok());
    lease.release().await.unwrap();
    assert!(take(&store, "layer2").await.is_ok());
}

async fn of_many_who_ask_at_once_one_gets_the_lease(place: Place) {
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
        panic!("nobody had it");
    };
    // The clock leaps past the lease before the first renewal is due: to the others its holder is dead.
    place.clock.advance(LEASE_TTL * 2);
    let second = take(&store, "layer2").await.unwrap();
    assert!(!second.is_lost());
    tokio::time::timeout(Duration::from_secs(20), first.lost())
        .await
        .unwrap();
    assert!(first.is_lost());
    // The one who lost it cannot give away what is another's.
    first.release().await.unwrap();
    assert!(take(&store, "layer2").await.is_err());
}

async fn a_living_holder_keeps_its_lease_when_the_clock_jumps_and_nobody_wants_it(place: Place) {
    let store = place.open().await;
    let ttl = Duration::from_millis(300);
    let Taking::Taken(lease) = store
        .take_lease_for("layer2", &holder(), ttl)
        .await
        .unwrap()
    else {
        panic!("nobody had it");
    };
    place.clock.advance(Duration::from_secs(3600));
    while store.lease("layer2").await.unwrap().is_none() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!lease.is_lost());
}

async fn a_lease_that_is_dropped_is_given_back(place: Place) {
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
    // The probe fails: the cool-off begins anew.
    one.attempted("db:5432", BreakerProbe::Unreached)
        .await
        .unwrap();
    assert!(matches!(
        two.admission("db:5432", 3, cool_off).await.unwrap(),
        Admission::Refused { failures: 4, .. }
    ));
    // A probe that died is not waited for for ever.
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
