//! Converts rows to claims.

use tokio_postgres::types::Type;
use tokio_postgres::{Error as Refusal, Row};

use crate::postgres::session::Parameter;
use crate::state::ledger::decide::{Counted, Device};
use crate::state::ledger::ids::{TokenHash, UserKey};
use crate::state::ledger::queue::Taken;
use crate::state::ledger::record::Claim;
use crate::state::ledger::record::Standing;

/// Converts the recipients taken out of the queue, with their counts from a remote history.
pub(super) fn taken(rows: &[Row], sender: i64) -> Result<Vec<(Taken, Counted)>, Refusal> {
    rows.iter()
        .map(|row| {
            let id = row.try_get(0)?;
            let taken = Taken {
                claim: Claim {
                    id,
                    first: id,
                    queued: true,
                    sender,
                },
                user: UserKey::from_bytes(row.try_get(1)?),
                token: hash(row, 2)?,
                payload: row.try_get(4)?,
                over: None,
            };
            Ok((taken, Counted::unpack(row.try_get(3)?)))
        })
        .collect()
}

pub(super) fn int(value: &i64) -> Parameter<'_> {
    (value, Type::INT8)
}

/// Returns the index of the candidate that a row is about.
pub(super) fn place(row: &Row) -> Result<usize, Refusal> {
    let place: i64 = row.try_get(0)?;
    Ok(usize::try_from(place - 1).unwrap_or(usize::MAX))
}

pub(super) fn hash(row: &Row, column: usize) -> Result<Option<TokenHash>, Refusal> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    Ok(bytes.and_then(|bytes| TokenHash::from_bytes(bytes).ok()))
}

pub(super) fn device(row: &Row) -> Result<Device, Refusal> {
    let id = row.try_get(1)?;
    let device: i64 = row.try_get(2)?;
    let sender: Option<i64> = row.try_get(4)?;
    Ok(Device {
        claim: Claim {
            id,
            first: id,
            queued: false,
            sender: sender.unwrap_or_default(),
        },
        device: u32::try_from(device).unwrap_or(u32::MAX),
        token: hash(row, 3)?,
        standing: Standing::of(sender, row.try_get(5)?),
        sender,
    })
}
