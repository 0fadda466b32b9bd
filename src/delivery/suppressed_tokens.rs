//! Tokens that earlier sends found unregistered: they are not tried again for a while, unless the source has a later
//! registration. The store knows them by their hashes; a send reads them once, before it looks tokens up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Order, TEST_LAYER};
use crate::error::Result;
use crate::state::Store;
use crate::state::ledger::TokenHash;

/// The tokens that are not tried.
#[derive(Debug, Default)]
pub struct SuppressedTokens(HashMap<TokenHash, Timestamp>);

impl SuppressedTokens {
    /// Reads the tokens that were found unregistered in the last `period`, which is 0 where every token is tried. A
    /// push of the layer for tests tries every token: a person wants to know what is the case now.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn read(store: &Store, order: &Order, period: Duration) -> Result<Arc<Self>> {
        if period.is_zero() || order.layer == TEST_LAYER {
            return Ok(Arc::default());
        }
        let since = store.now().checked_sub(period).unwrap_or(Timestamp::MIN);
        let found = store.dead_tokens_since(since).await?;
        Ok(Arc::new(Self(found)))
    }

    /// Returns whether a token is not tried. `registered_at`: its latest registration, if the source has one.
    pub(super) fn contains(&self, token: &str, registered_at: Option<Timestamp>) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let found_at = self.0.get(&TokenHash::of(token));
        found_at.is_some_and(|found_at| registered_at.is_none_or(|at| at <= *found_at))
    }
}
