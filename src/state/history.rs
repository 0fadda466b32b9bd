//! Counts earlier pushes in the ledger: the store's own history, and pushes that a remote history lacks.

use super::ledger::{Guard, Touch, UserKey};
use super::store::{Backend, Store};
use crate::error::Result;

impl Store {
    /// Returns, for each user, the pushes in the ledger that count under `guard`: accepted, in flight or in doubt, and
    /// recent enough for one of its limits.
    pub async fn touches(&self, users: &[UserKey], guard: &Guard) -> Result<Vec<Vec<Touch>>> {
        match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.touches(users.to_vec(), guard.clone()).await,
            Backend::Postgres(postgres) => postgres.touches(users, guard).await,
        }
    }
}
