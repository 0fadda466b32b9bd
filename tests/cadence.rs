//! Cadence rules and the recording of pushes, with each of the three kinds of notification history.

mod claims;
mod http;
mod model;
mod postgres;
mod rules;

use pushctl::cadence::{
    Cadence, CadenceDecision, Filtered, HistoryLocation as Where, Layer, Screen,
};
use pushctl::state::Store;
use pushctl::state::ledger::{
    Answer, Candidate, Claimed, Ending, LedgerPush, NewPush, Recording, Sender, TokenHash, UserKey,
    Words,
};
use pushctl::state::process_id::ProcessId;

use crate::support::postgres::{Database, Postgres};
use crate::support::store::address;

/// The tables of the service that owns the history, with its rules and without users.
pub(crate) fn history() -> Database {
    let database = Postgres::shared().database("history");
    database.execute(&format!(
        "SET market.users = '0'; {}",
        include_str!("market/history.sql")
    ));
    database.execute(
        "GRANT SELECT ON cadence_rules, user_notifications TO tls_only; GRANT INSERT ON user_notifications TO tls_only",
    );
    database
}

fn at(database: &Database) -> Where {
    Where::Postgres(Box::new(address(
        &database.url_with("tls_only", "sslmode=require"),
    )))
}

fn layer(number: u32) -> Layer {
    Layer::new(number).unwrap()
}

fn holder() -> ProcessId {
    ProcessId::this_process("alice@worker-1")
}

/// The `n`th user's id.
fn id(n: u64) -> String {
    uuid::Uuid::from_u64_pair(0xa0ee_bc99_9c0b_4ef8, 0xbb6d_0000_0000_0000 + n).to_string()
}

/// Returns the verdicts on users for a push of a layer.
async fn filter(cadence: &Cadence, number: u32, ids: &[&str]) -> Filtered {
    let screen = cadence.screen(layer(number)).await.unwrap();
    screen.filter(ids).await.unwrap()
}

/// The eligible among these, with what was counted, as the ledger wants them.
async fn screened(screen: &Screen<'_>, ids: &[String]) -> Vec<Candidate> {
    let asked: Vec<&str> = ids.iter().map(String::as_str).collect();
    let filtered = screen.filter(&asked).await.unwrap();
    assert_eq!(filtered.verdicts.len(), ids.len());
    let eligible = ids
        .iter()
        .zip(filtered.verdicts)
        .filter_map(|(id, verdict)| match verdict {
            CadenceDecision::Eligible(counted) => Some(Candidate {
                user: UserKey::of(id),
                tokens: vec![TokenHash::of(&format!("token of {id}"))],
                counted,
            }),
            CadenceDecision::Excluded(_) => None,
        });
    eligible.collect()
}

/// A push of a layer with an occurrence of its own.
async fn open(store: &Store, cadence: &Cadence, layer: Layer, occurrence: &str) -> LedgerPush {
    let new = NewPush {
        automation: "layer3-daily".to_owned(),
        occurrence: occurrence.to_owned(),
        number: 1,
        run: "run-1".to_owned(),
        layer: layer.number(),
        recording: cadence.recording(),
        words: Words {
            title: "Restock week".to_owned(),
            body: "Everything moves.".to_owned(),
            deep_link: Some("https://example.com/restock".to_owned()),
        },
        audience: Some("everyone".to_owned()),
    };
    assert_eq!(
        new.recording == Recording::Nowhere,
        matches!(cadence.recording(), Recording::Nowhere)
    );
    store.open_push(&new).await.unwrap()
}

/// Filters, claims and accepts recipients; returns the ids of those that were claimed.
async fn send(
    store: &Store,
    cadence: &Cadence,
    layer: Layer,
    occurrence: &str,
    ids: &[String],
) -> Vec<String> {
    let screen = cadence.screen(layer).await.unwrap();
    let candidates = screened(&screen, ids).await;
    let push = open(store, cadence, layer, occurrence).await;
    let sender = store.enlist("run-1", &holder()).await.unwrap();
    let won = claim(store, &push, &sender, candidates, &screen).await;
    accept(store, &push, &won).await;
    won.into_iter().map(|(user, _)| user).collect()
}

async fn claim(
    store: &Store,
    push: &LedgerPush,
    sender: &Sender,
    candidates: Vec<Candidate>,
    screen: &Screen<'_>,
) -> Vec<(String, Claimed)> {
    let claimed = store
        .claim(push, sender, candidates.clone(), &screen.guard())
        .await
        .unwrap();
    let users = candidates
        .into_iter()
        .map(|candidate| candidate.user.to_string());
    users
        .zip(claimed)
        .filter(|(_, claimed)| matches!(claimed, Claimed::Won(_)))
        .collect()
}

async fn accept(store: &Store, push: &LedgerPush, won: &[(String, Claimed)]) {
    let claims = won.iter().flat_map(|(_, claimed)| match claimed {
        Claimed::Won(won) => won.iter().map(|won| won.claim).collect(),
        _ => Vec::new(),
    });
    let answers = claims.map(|claim| Answer {
        claim,
        ending: Ending::Accepted,
        code: None,
        message_name: Some(format!("projects/p/messages/{}", claim.id)),
        attempts: 1,
        elapsed: std::time::Duration::from_millis(80),
        words: Some(Words {
            title: format!("Restock week {}", claim.id),
            ..push.words.clone()
        }),
    });
    let answers = answers.collect();
    store.record(push, answers).await.unwrap();
}
