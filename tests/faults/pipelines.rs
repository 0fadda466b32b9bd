//! A whole pipeline whose peer is away: the deadline binds all of its phases together.

use std::time::Duration;

use super::{Broken, Fault, PEERS, Peer, Places, SLACK, named, timed};
use crate::pipeline::office::{self as pipeline, File};
use crate::support::cadence::Service;
use crate::support::cli::Outcome;
use crate::support::fcm::script::Script;
use crate::support::proxy::Fate;
use crate::support::store::Place;

/// The deadline of a whole pipeline whose peer is away: a busy machine needs seconds for the phases before that peer.
const PIPELINE_DEADLINE: Duration = Duration::from_secs(30);

/// A pipeline whose peer is broken from its start: the deadline binds all of its phases together.
fn whole_pipeline(peer: Peer, fault: Fault) -> Outcome {
    let place = match peer {
        Peer::State => Place::postgres(),
        _ => Place::sqlite(),
    };
    let mut office = pipeline::Office::at(place, 4, Script::default());
    office.file(&File::default());
    let service = Service::start([]);
    let _broken = match peer {
        Peer::Source => {
            let broken = Broken::new(fault, office.market.port(), Fate::Pass);
            office.set("DATABASE_URL", broken.postgres(fault, &office.market, ""));
            broken
        }
        Peer::State => {
            assert_eq!(office.run(&["state", "migrate"]).status, 0);
            let state = office.place.database.as_ref().unwrap();
            let broken = Broken::new(fault, state.port(), Fate::Pass);
            let url = broken.postgres(fault, state, "");
            office.set("PUSHCTL_STATE_URL", url);
            broken
        }
        Peer::HistoryDatabase | Peer::HistoryService | Peer::PushService | Peer::TokenEndpoint => {
            let places = Places {
                stand_in: office.stand_in.base_url(),
                service: service.url(),
                authority: String::new(),
            };
            places.lose(peer, fault, |name, value| office.set(name, value))
        }
        Peer::Proxy | Peer::Webhook => {
            unreachable!("a send meets the one, and the other holds up no pipeline")
        }
    };
    let (outcome, took) =
        timed(|| office.run(&["run-pipeline", "daily", "--tick", "--deadline", "30s"]));
    assert!(
        took < PIPELINE_DEADLINE + SLACK,
        "{peer:?} × {fault:?}: {took:?}\n{outcome}"
    );
    assert_eq!(office.reached().len(), 0, "{peer:?} × {fault:?}: {outcome}");
    outcome
}

#[test]
fn a_pipeline_ends_in_time_whichever_peer_is_away() {
    let peers = PEERS
        .into_iter()
        .filter(|peer| !matches!(peer, Peer::Webhook | Peer::Proxy));
    let cells = peers.flat_map(|peer| [Fault::Silent, Fault::Refused].map(|fault| (peer, fault)));
    std::thread::scope(|scope| {
        for (peer, fault) in cells {
            scope.spawn(move || {
                let outcome = whole_pipeline(peer, fault);
                assert_eq!(outcome.status, 5, "{peer:?} × {fault:?}: {outcome}");
                assert!(
                    named(peer).iter().any(|name| outcome.stderr.contains(name)),
                    "{peer:?} × {fault:?}: {outcome}"
                );
                outcome.says("hint: ");
            });
        }
    });
}
