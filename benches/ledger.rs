//! Recipients per second of the ledger: each is claimed durably and gets an outcome; nothing is sent.
//!
//! `cargo bench --bench ledger` measures the embedded store; `cargo bench --bench ledger -- URL` a PostgreSQL.
//! Environment: `ROWS` (200000), `GROUP` (500).

#![expect(
    clippy::print_stdout,
    reason = "a program whose output is its measurements"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pushctl::clock::{Clock, System};
use pushctl::postgres::Address;
use pushctl::postgres::address::Inputs;
use pushctl::settings::secret::Secret;
use pushctl::state::ledger::{
    Answer, Basis, Candidate, Claimed, Counted, Ending, Guard, LedgerPush, Limit, NewPush,
    Recording, Sender, TokenHash, UserKey, Words,
};
use pushctl::state::process_id::ProcessId;
use pushctl::state::{Location, Store};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let rows = number("ROWS", 200_000);
    let group = usize::try_from(number("GROUP", 500))?;
    let url = std::env::args()
        .skip(1)
        .find(|argument| argument.contains("://"));
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("state.db");
    let location = match url {
        None => Location::Embedded(file.clone()),
        Some(url) => Location::Postgres(Box::new(Address::resolve(&Inputs {
            url: Some(&Secret::new(url)),
            url_origin: "--state",
            environment: &|_| None,
            home: None,
            config: &BTreeMap::new(),
        })?)),
    };
    let store = Store::open(&location, Arc::new(System)).await?;
    let sender = store
        .enlist("bench", &ProcessId::this_process("bench"))
        .await?;
    let users: Vec<uuid::Uuid> = (0..rows).map(|_| uuid::Uuid::new_v4()).collect();
    let occurrence = uuid::Uuid::new_v4().to_string();
    let free = Guard::none();
    let limited = limited();
    for (number, (name, guard)) in (1..).zip([("no limits", &free), ("two limits", &limited)]) {
        let push = store.open_push(&push(&occurrence, number)).await?;
        let started = Instant::now();
        let won = send(&store, &push, &sender, &users, group, guard).await?;
        let seconds = started.elapsed().as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = rows as f64 / seconds;
        println!(
            "{name}: {won} of {rows} won and recorded in {seconds:.2} s: {rate:.0} a second, groups of {group}"
        );
    }
    let started = Instant::now();
    let tally = store
        .tally(&store.pushes("bench", &occurrence).await?[0])
        .await?;
    println!(
        "tally {:?} in {:.2} s",
        tally.len(),
        started.elapsed().as_secs_f64()
    );
    if let Ok(metadata) = std::fs::metadata(file) {
        println!("file: {} MiB", metadata.len() >> 20);
    }
    println!("{}", peak_memory());
    sender.leave().await?;
    Ok(())
}

async fn send(
    store: &Store,
    push: &LedgerPush,
    sender: &Sender,
    users: &[uuid::Uuid],
    group: usize,
    guard: &Guard,
) -> Result<usize, Box<dyn Error>> {
    let mut count = 0;
    for users in users.chunks(group) {
        let claimed = store.claim(push, sender, candidates(users), guard).await?;
        let answers: Vec<Answer> = claimed.iter().flat_map(answers).collect();
        count += answers.len();
        store.record(push, answers).await?;
    }
    Ok(count)
}

fn candidates(users: &[uuid::Uuid]) -> Vec<Candidate> {
    let one = |user: &uuid::Uuid| Candidate {
        user: UserKey::from(*user),
        tokens: vec![TokenHash::of(&format!("cF3-{user}:APA91bGx-{user}"))],
        counted: Counted::default(),
    };
    users.iter().map(one).collect()
}

fn answers(claimed: &Claimed) -> Vec<Answer> {
    let Claimed::Won(won) = claimed else {
        return Vec::new();
    };
    let one = |claim| Answer {
        claim,
        ending: Ending::Accepted,
        code: None,
        message_name: Some(
            format!("projects/example/messages/0:1500415314455276%31bd1c96{claim:?}")
                .chars()
                .take(64)
                .collect(),
        ),
        attempts: 1,
        elapsed: Duration::from_millis(80),
        words: Some(Words {
            title: "The target: Air Nebula 1 High".to_owned(),
            body: "See the 23 people who have them →".to_owned(),
            deep_link: Some(
                "https://tradeblock.us/product/collectors-have?productVariantId=7d3a".to_owned(),
            ),
        }),
    };
    won.iter().map(|won| one(won.claim)).collect()
}

fn push(occurrence: &str, number: u32) -> NewPush {
    NewPush {
        automation: "bench".to_owned(),
        occurrence: occurrence.to_owned(),
        number,
        run: "bench".to_owned(),
        layer: 3,
        recording: Recording::Here,
        words: Words {
            title: "The target: [[var:product_name]]".to_owned(),
            body: "See the [[var:inventory_count]] people who have them →".to_owned(),
            deep_link: Some(
                "https://tradeblock.us/product/collectors-have?productVariantId=[[var:variantID]]"
                    .to_owned(),
            ),
        },
        audience: Some("recent-offer-creators".to_owned()),
    }
}

/// Limits that count every earlier push and allow the next.
fn limited() -> Guard {
    let since = System.now() - Duration::from_secs(168 * 3600);
    let limit = |layers| Limit {
        layers,
        since,
        at_most: 9,
    };
    Guard {
        limits: vec![limit(1 << 3), limit(1 << 2 | 1 << 3)],
        basis: Basis::Here,
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find(|line| line.starts_with("VmHWM"));
    peak.unwrap_or("peak memory unknown").to_owned()
}
