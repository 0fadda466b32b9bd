//! Synchronisation of an external history from the outbox: after a send, or later when the history is reachable.
//!
//! A database records a push exactly once: each push has an id of its own there. The service of [`super::http`] gets it at least
//! once: if it took a push and its answer was lost, the push is sent again.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use uuid::Uuid;

use super::http::Http;
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
    /// The failure that ended it. The next synchronisation continues.
    pub failure: Option<Error>,
}

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
            let (claims, failure) = self.send(&owed).await;
            self.store.delivered(&claims).await?;
            synced.delivered += claims.len() as u64;
            if failure.is_some() {
                return Ok(failure);
            }
        }
    }

    /// Returns the claims that the history recorded, and its failure.
    async fn send(&self, owed: &[(Uuid, &Owed)]) -> (Vec<i64>, Option<Error>) {
        match &self.history {
            HistoryBackend::Postgres(postgres) => match postgres.record(owed).await {
                Ok(()) => (owed.iter().map(|(_, owed)| owed.claim).collect(), None),
                Err(error) => (Vec::new(), Some(error)),
            },
            HistoryBackend::Http(http) => send_one_by_one(http, owed).await,
            HistoryBackend::Embedded | HistoryBackend::Off => (Vec::new(), None),
        }
    }
}

/// After a failure no new delivery begins; those under way are awaited, because the service may have taken them.
async fn send_one_by_one(http: &Http, owed: &[(Uuid, &Owed)]) -> (Vec<i64>, Option<Error>) {
    let mut waiting = owed.iter();
    let mut under_way = FuturesUnordered::new();
    let (mut taken, mut failure) = (Vec::new(), None);
    loop {
        while failure.is_none() && under_way.len() < AT_ONCE {
            let Some((user, owed)) = waiting.next() else {
                break;
            };
            under_way.push(async move { (owed.claim, http.track(*user, owed).await) });
        }
        match under_way.next().await {
            Some((claim, Ok(()))) => taken.push(claim),
            Some((_, Err(error))) => drop(failure.get_or_insert(error)),
            None => return (taken, failure),
        }
    }
}
