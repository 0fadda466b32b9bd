//! Synchronisation of an external history from the outbox: after a send, or later when the history is reachable.
//!
//! A database records a push exactly once: each push has an id of its own there. The service of [`super::http`] gets it
//! at least once: if it took a push and its answer was lost, the push is sent again.

use std::collections::BTreeMap;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio_postgres::error::DbError;
use uuid::Uuid;

use super::http::{Http, Rejected};
use super::postgres::PostgresHistory;
use super::{Cadence, HistoryBackend};
use crate::error::{Error, Result};
use crate::state::process_id::ProcessId;
use crate::state::{Owed, Taking};

/// Pushes delivered in one batch.
const PAGE: u32 = 500;
/// Requests to the service under way at once.
const AT_ONCE: usize = 8;
/// Two deliveries at once would send a push to the service twice.
const LEASE: &str = "outbox";

/// The result of a synchronisation.
#[derive(Debug, Default)]
pub struct Synced {
    /// Pushes that the history has now.
    pub delivered: u64,
    /// Pushes to ids that are not UUIDs, which no history can record: dropped.
    pub unrecordable: u64,
    /// Pushes that are still missing; they count from the ledger until they are delivered.
    pub left: u64,
    /// Pushes that the history refuses one by one, by reason: set aside, while the others are delivered. They are
    /// among those left, and the next synchronisation tries them again.
    pub set_aside: BTreeMap<String, u64>,
    /// The failure that ended it. The next synchronisation continues.
    pub failure: Option<Error>,
}

/// The result of a page.
#[derive(Default)]
pub(super) struct Sent {
    taken: Vec<i64>,
    /// The history's reasons.
    refused: Vec<Error>,
    failure: Option<Error>,
}

/// So many refusals without a delivery are a fault of the configuration, not of the pushes.
const REFUSALS: usize = 20;

impl Cadence {
    /// Delivers the outbox to the history. An error is the state store's; the history's own failure is in the result.
    pub async fn sync(&self, holder: &ProcessId) -> Result<Synced> {
        let mut synced = Synced::default();
        if matches!(
            self.history,
            HistoryBackend::Postgres(_) | HistoryBackend::Http(_)
        ) && self.store.owed_count().await? > 0
        {
            match self.store.take_lease(LEASE, holder).await? {
                Taking::Taken(lease) => {
                    synced.failure = self.deliver(&mut synced).await?;
                    lease.release().await?;
                }
                Taking::Held(held) => synced.failure = Some(held.error()),
            }
        }
        synced.left = self.store.owed_count().await?;
        Ok(synced)
    }

    /// Delivers page by page, until the outbox is empty or the history fails.
    async fn deliver(&self, synced: &mut Synced) -> Result<Option<Error>> {
        let mut after = 0;
        loop {
            let page = self.store.owed(after, PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(None);
            };
            after = last.claim;
            let unrecordable: Vec<i64> = page
                .iter()
                .filter(|owed| owed.user.uuid().is_none())
                .map(|owed| owed.claim)
                .collect();
            self.store.delivered(&unrecordable).await?;
            synced.unrecordable += unrecordable.len() as u64;
            let owed: Vec<(Uuid, &Owed)> = page
                .iter()
                .filter_map(|owed| Some((owed.user.uuid()?, owed)))
                .collect();
            let sent = self.send(&owed).await;
            self.store.delivered(&sent.taken).await?;
            synced.delivered += sent.taken.len() as u64;
            for refusal in &sent.refused {
                *synced.set_aside.entry(format!("{refusal:#}")).or_default() += 1;
            }
            if sent.failure.is_some() {
                return Ok(sent.failure);
            }
            if synced.delivered == 0 && sent.refused.len() >= REFUSALS {
                return Ok(sent.refused.into_iter().next());
            }
        }
    }

    async fn send(&self, owed: &[(Uuid, &Owed)]) -> Sent {
        match &self.history {
            HistoryBackend::Postgres(postgres) => record_page(postgres, owed).await,
            HistoryBackend::Http(http) => send_one_by_one(http, owed).await,
            HistoryBackend::Embedded | HistoryBackend::Off => Sent::default(),
        }
    }
}

/// Records a page at once; one by one, if it contains a push that the database refuses.
async fn record_page(postgres: &PostgresHistory, owed: &[(Uuid, &Owed)]) -> Sent {
    let mut sent = Sent::default();
    match postgres.record(owed).await {
        Ok(()) => sent.taken = owed.iter().map(|(_, owed)| owed.claim).collect(),
        Err(error) if is_about_the_push(&error) => {
            for one in owed.chunks(1) {
                match postgres.record(one).await {
                    Ok(()) => sent.taken.extend(one.iter().map(|(_, owed)| owed.claim)),
                    Err(error) if is_about_the_push(&error) => sent.refused.push(error),
                    Err(error) => {
                        sent.failure = Some(error);
                        break;
                    }
                }
                if sent.taken.is_empty() && sent.refused.len() >= REFUSALS {
                    break;
                }
            }
        }
        Err(error) => sent.failure = Some(error),
    }
    sent
}

/// Returns whether the history refuses this push, and not every push.
fn is_about_the_push(error: &Error) -> bool {
    let is_data = |error: &DbError| {
        ["22", "23"]
            .iter()
            .any(|class| error.code().code().starts_with(class))
    };
    error.find::<DbError>().is_some_and(is_data) || error.find::<Rejected>().is_some()
}

/// After a failure no new delivery begins; those under way are awaited, because the service may have taken them.
async fn send_one_by_one(http: &Http, owed: &[(Uuid, &Owed)]) -> Sent {
    let mut waiting = owed.iter();
    let mut under_way = FuturesUnordered::new();
    let mut sent = Sent::default();
    loop {
        let is_hopeless = sent.taken.is_empty() && sent.refused.len() >= REFUSALS;
        while sent.failure.is_none() && !is_hopeless && under_way.len() < AT_ONCE {
            let Some((user, owed)) = waiting.next() else {
                break;
            };
            under_way.push(async move { (owed.claim, http.track(*user, owed).await) });
        }
        match under_way.next().await {
            Some((claim, Ok(()))) => sent.taken.push(claim),
            Some((_, Err(error))) if is_about_the_push(&error) => sent.refused.push(error),
            Some((_, Err(error))) => drop(sent.failure.get_or_insert(error)),
            None => return sent,
        }
    }
}
