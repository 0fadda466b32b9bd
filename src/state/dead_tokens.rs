//! The tokens that the push service reported as unregistered, by hash. Outcomes are recorded together with them, see
//! [`Store::record`].

use std::collections::HashMap;

use jiff::Timestamp;

use super::ledger::TokenHash;
use super::migrations::Lack;
use super::store::Store;
use super::value::params;
use crate::error::Result;

impl Store {
    /// Returns the tokens that were reported as unregistered after an instant, and when that was last.
    pub async fn dead_tokens_since(
        &self,
        since: Timestamp,
    ) -> Result<HashMap<TokenHash, Timestamp>> {
        // A dry run does not migrate the store.
        if self.lack().await? != Lack::Nothing {
            return Ok(HashMap::new());
        }
        let sql = "SELECT token_hash, found_at FROM pushctl.dead_tokens WHERE found_at > $1";
        let rows = self.query(sql, params![since]).await?;
        rows.iter()
            .map(|row| Ok((TokenHash::from_bytes(&row.blob(0)?)?, row.time(1)?)))
            .collect()
    }
}
