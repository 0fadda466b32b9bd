//! The history behind the existing service.

use std::time::Duration;

use pushctl::cadence::{Breakdown, Cadence, CadenceDecision, Exclusion, HistoryLocation as Where};
use pushctl::error::ErrorKind;
use pushctl::state::Store;

use super::{filter, holder, id, layer, send};
use crate::support::cadence::{Mood, Service};
use crate::support::store::Place;

async fn asking(service: &Service) -> (Store, Cadence) {
    // Long enough for two retries.
    let place = Place::sqlite();
    let store = place.open_for(Duration::from_secs(3)).await;
    let cadence = Cadence::new(Where::Http(service.url()), store.clone()).unwrap();
    (store, cadence)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_the_service_excludes_is_excluded_and_its_sums_are_passed_on() {
    let service = Service::start([
        (id(1), "l3Cooldown"),
        (id(2), "l2l3WeeklyLimit"),
        (id(3), "l3Cooldown"),
    ]);
    let (_store, cadence) = asking(&service).await;
    let ids = [
        id(0),
        id(1),
        id(2),
        id(3),
        "no uuid".to_owned(),
        id(1),
        id(4).to_uppercase(),
    ];
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let filtered = filter(&cadence, 3, &ids).await;
    let eligible: Vec<bool> = filtered
        .verdicts
        .iter()
        .map(|verdict| matches!(verdict, CadenceDecision::Eligible(_)))
        .collect();
    assert_eq!(eligible, [true, false, false, false, false, false, true]);
    assert_eq!(
        filtered.verdicts[1],
        CadenceDecision::Excluded(Exclusion::Unattributed)
    );
    assert_eq!(
        filtered.verdicts[4],
        CadenceDecision::Excluded(Exclusion::InvalidUuid)
    );
    // One of them stands in the file twice, so the service's sums do not account for every user, and none is
    // attributed.
    let expected = Breakdown {
        unattributed: 4,
        invalid_uuid: 1,
        ..Breakdown::default()
    };
    assert_eq!(filtered.breakdown, expected);
    let filtered = filter(&cadence, 3, &ids[..5]).await;
    let expected = Breakdown {
        layer_3_cooldown: 2,
        combined: 1,
        invalid_uuid: 1,
        ..Breakdown::default()
    };
    assert_eq!(filtered.breakdown, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_with_an_error_in_it_excludes_every_user() {
    let service = Service::start([(id(1), "l3Cooldown")]);
    let (_store, cadence) = asking(&service).await;
    let screen = cadence.screen(layer(3)).await.unwrap();
    for (mood, complaint) in [
        (Mood::FailsOpen, "connection to the history was refused"),
        (
            Mood::FailsOpenPolitely,
            "connection to the history was refused",
        ),
        (Mood::Unavailable, "503"),
        (Mood::Miscounts, "contradicts itself"),
        (Mood::LetsAStrangerIn, "contradicts itself"),
        (Mood::Forgets, "contradicts itself"),
        (Mood::ActsAndHangsUp, "cannot reach"),
    ] {
        service.next([mood; 20]);
        let error = screen.filter(&[&id(0), &id(1)]).await.unwrap_err();
        assert!(
            format!("{error:#}").contains(complaint),
            "{mood:?}: {error:#}"
        );
    }
    service.next([]);
    assert_eq!(
        screen
            .filter(&[&id(0), &id(1)])
            .await
            .unwrap()
            .breakdown
            .total(),
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_in_passing_is_tried_again() {
    let service = Service::start([]);
    let (_store, cadence) = asking(&service).await;
    service.next([Mood::Unavailable, Mood::FailsOpen]);
    let filtered = filter(&cadence, 3, &[&id(0)]).await;
    assert_eq!(filtered.breakdown.total(), 0);
    assert_eq!(service.requests(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_are_asked_about_at_once_and_exempt_layers_not_at_all() {
    let service = Service::start([(id(11_000), "l5Cooldown")]);
    let (_store, cadence) = asking(&service).await;
    let ids: Vec<String> = (0..12_000).map(id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let filtered = filter(&cadence, 5, &ids).await;
    assert_eq!(filtered.breakdown.layer_5_cooldown, 1);
    assert_eq!(service.batches(), [5_000, 5_000, 2_000]);
    for exempt in [1, 4] {
        let filtered = filter(&cadence, exempt, &ids).await;
        assert_eq!(filtered.breakdown.total(), 0);
    }
    assert_eq!(service.batches().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_that_the_service_has_not_recorded_count_from_the_ledger() {
    let service = Service::start([]);
    let (store, cadence) = asking(&service).await;
    assert_eq!(
        send(&store, &cadence, layer(3), "monday", &[id(1)])
            .await
            .len(),
        1
    );
    let filtered = filter(&cadence, 3, &[&id(1)]).await;
    assert_eq!(filtered.breakdown.layer_3_cooldown, 1);
    assert_eq!(cadence.sync(&holder()).await.unwrap().delivered, 1);
    // From now on it is the service's to say.
    let filtered = filter(&cadence, 3, &[&id(1)]).await;
    assert_eq!(filtered.breakdown.total(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_gets_each_accepted_push_and_the_rest_when_it_recovers() {
    let service = Service::start([]);
    let (store, cadence) = asking(&service).await;
    let ids: Vec<String> = (0..40).map(id).collect();
    assert_eq!(
        send(&store, &cadence, layer(3), "monday", &ids).await.len(),
        40
    );
    // The filter was one request; ten are told, then it fails for a while.
    let moods = [vec![Mood::Well; 10], vec![Mood::FailsOpenPolitely; 30]].concat();
    service.next(moods);
    let synced = cadence.sync(&holder()).await.unwrap();
    assert_eq!((synced.delivered, synced.left), (10, 30));
    assert_eq!(synced.failure.unwrap().kind(), ErrorKind::Unreachable);
    service.next([]);
    let synced = cadence.sync(&holder()).await.unwrap();
    assert_eq!((synced.delivered, synced.left), (30, 0));
    let tracked = service.tracked();
    let users: std::collections::HashSet<&str> = tracked
        .iter()
        .map(|one| one["userId"].as_str().unwrap())
        .collect();
    assert_eq!((tracked.len(), users.len()), (40, 40));
    let one = &tracked[0];
    assert_eq!(
        (
            &one["layerId"],
            &one["pushBody"],
            &one["audienceDescription"]
        ),
        (&3.into(), &"Everything moves.".into(), &"everyone".into())
    );
    assert!(
        one["pushTitle"]
            .as_str()
            .unwrap()
            .starts_with("Restock week ")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_the_service_refuses_is_set_aside_and_the_rest_goes_on() {
    let service = Service::start([]);
    let (store, cadence) = asking(&service).await;
    let ids: Vec<String> = (0..40).map(id).collect();
    send(&store, &cadence, layer(3), "monday", &ids).await;
    service.next([Mood::Well, Mood::KnowsNoSuchUser, Mood::KnowsNoSuchUser]);
    let synced = cadence.sync(&holder()).await.unwrap();
    assert_eq!((synced.delivered, synced.left), (38, 2));
    assert!(synced.failure.is_none());
    let reasons: Vec<(&String, &u64)> = synced.set_aside.iter().collect();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    assert!(
        reasons[0].0.contains("user not found") && *reasons[0].1 == 2,
        "{reasons:?}"
    );
    // They are tried again.
    assert_eq!(cadence.sync(&holder()).await.unwrap().left, 0);

    // A service that refuses every push is a fault of the configuration.
    send(
        &store,
        &cadence,
        layer(3),
        "tuesday",
        &(50..90).map(id).collect::<Vec<_>>(),
    )
    .await;
    service.next(vec![Mood::KnowsNoSuchUser; 40]);
    let synced = cadence.sync(&holder()).await.unwrap();
    assert_eq!((synced.delivered, synced.left), (0, 40));
    assert!(synced.failure.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_without_an_answer_is_sent_to_the_service_again() {
    let service = Service::start([]);
    let (store, cadence) = asking(&service).await;
    send(&store, &cadence, layer(3), "monday", &[id(1)]).await;
    service.next([Mood::ActsAndHangsUp]);
    let synced = cadence.sync(&holder()).await.unwrap();
    assert_eq!((synced.delivered, synced.left), (0, 1));
    assert_eq!(cadence.sync(&holder()).await.unwrap().delivered, 1);
    // The window that the service's contract leaves: it has no id to know the push by.
    assert_eq!(service.tracked().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_that_is_none_is_a_usage_error() {
    for url in [
        "cadence.example.com",
        "ftp://cadence.example.com",
        "http://cadence.example.com",
        "",
    ] {
        let store = Place::sqlite().open().await;
        let error = Cadence::new(Where::Http(url.to_owned()), store)
            .err()
            .unwrap();
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}
