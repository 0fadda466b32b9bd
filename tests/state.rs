//! The state store: one suite for both databases, and what happens when processes die.

mod costs;
mod crash;
mod doubt;
mod leases;
mod ledger;
mod limits;
mod migrations;
mod outbox;
mod queue;
mod release;
mod runs;
mod transfer;
mod view;

use pushctl::state::Store;
use pushctl::state::ledger::{
    Answer, Candidate, Claim, Claimed, Counted, Device, Ending, LedgerPush, NewPush, Recording,
    Sender, TokenHash, UserKey, Words,
};
use pushctl::state::process_id::ProcessId;

/// Runs every test of a module against both databases.
macro_rules! in_both_stores {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::support::store::Place::sqlite()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                super::$test(crate::support::store::Place::postgres()).await;
            })+
        }
    };
}
pub(crate) use in_both_stores;

/// A push of the daily automation: layer 3, recorded in this store.
pub(crate) fn push(number: u32) -> NewPush {
    NewPush {
        automation: "layer3-daily".to_owned(),
        occurrence: "2026-11-21T13:33-06:00".to_owned(),
        number,
        run: "run-1".to_owned(),
        layer: 3,
        recording: Recording::Here,
        words: Words {
            title: "The target: [[var:product_name]]s".to_owned(),
            body: "See who has them".to_owned(),
            deep_link: Some("https://tradeblock.us/closet".to_owned()),
        },
        audience: Some("recent-offer-creators".to_owned()),
    }
}

fn holder() -> ProcessId {
    ProcessId::this_process("alice@worker-1")
}

pub(crate) async fn sender(store: &Store) -> Sender {
    store.enlist("run-1", &holder()).await.unwrap()
}

/// The `n`th user, a UUID.
pub(crate) fn user(n: u64) -> UserKey {
    UserKey::from(uuid::Uuid::from_u64_pair(
        0xa0ee_bc99_9c0b_4ef8,
        0xbb6d_0000_0000_0000 + n,
    ))
}

fn candidate(n: u64) -> Candidate {
    Candidate {
        user: user(n),
        tokens: vec![TokenHash::of(&format!("token-{n}"))],
        counted: Counted::default(),
    }
}

pub(crate) fn candidates(numbers: impl IntoIterator<Item = u64>) -> Vec<Candidate> {
    numbers.into_iter().map(candidate).collect()
}

pub(crate) fn answer(claim: Claim, ending: Ending) -> Answer {
    Answer {
        claim,
        ending,
        code: (ending != Ending::Accepted).then(|| "UNREGISTERED".to_owned()),
        message_name: (ending == Ending::Accepted)
            .then(|| format!("projects/p/messages/{}", claim.id)),
        attempts: 1,
        elapsed: std::time::Duration::from_millis(120),
        words: Some(Words {
            title: "The target: Nebulas".to_owned(),
            body: "See who has them".to_owned(),
            deep_link: Some("https://tradeblock.us/closet".to_owned()),
        }),
    }
}

/// The claims that were won, in order.
pub(crate) fn won(claimed: &[Claimed]) -> Vec<Claim> {
    let each = claimed.iter().filter_map(|claimed| match claimed {
        Claimed::Won(won) => Some(won.iter().map(|won| won.claim)),
        _ => None,
    });
    each.flatten().collect()
}

/// The devices of recipients who were all claimed before.
pub(crate) fn before(claimed: Vec<Claimed>) -> Vec<Device> {
    let each = claimed.into_iter().flat_map(|claimed| match claimed {
        Claimed::Before(devices) => devices,
        other => panic!("{other:?}"),
    });
    each.collect()
}

/// How many claims stand where: `"ended accepted": 2`, …
async fn tally(store: &Store, push: &LedgerPush) -> Vec<(String, u64)> {
    let rows = store.tally(push).await.unwrap();
    rows.into_iter()
        .map(|row| {
            (
                format!("{:?} {}", row.standing, row.code.unwrap_or_default()),
                row.count,
            )
        })
        .collect()
}
