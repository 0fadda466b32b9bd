//! The check of user ids for the notification history, which identifies recipients by UUID. Cadence excludes any other
//! id (`invalidUuid`), so an audience without a single UUID would reach no recipient.

use csv::StringRecord;

use super::{AudienceReader, Order, Reach};
use crate::count::number;
use crate::error::{Error, Result};
use crate::state::ledger::UserKey;

/// The result of the check.
#[derive(Debug, Clone, Default)]
pub(super) struct UserIds {
    /// Rows whose id is no UUID.
    invalid: u64,
    /// The first of these rows.
    sample: Option<Sample>,
}

#[derive(Debug, Clone)]
struct Sample {
    column: String,
    id: String,
    line: u64,
}

/// The maximum of characters of an id in a message.
const QUOTED: usize = 60;

impl UserIds {
    pub(super) fn count(&mut self, user: &UserKey, reader: &AudienceReader, row: &StringRecord) {
        if user.uuid().is_some() {
            return;
        }
        self.invalid += 1;
        self.sample.get_or_insert_with(|| Sample {
            column: reader.user_column().to_owned(),
            id: reader.user(row).chars().take(QUOTED).collect(),
            line: reader.line(row),
        });
    }

    /// Refuses an audience without a single valid id; returns a note for one that has some invalid ids.
    pub(super) fn check(
        &self,
        order: &Order,
        rows: u64,
        cadence_is_off: bool,
    ) -> Result<Option<String>> {
        let matters = order.reach == Reach::Live && !cadence_is_off;
        let Some(Sample { column, id, line }) = self.sample.as_ref().filter(|_| matters) else {
            return Ok(None);
        };
        let name = order.input.name();
        if self.invalid < rows {
            return Ok(Some(format!(
                "{} of {} user ids are not UUIDs and get no message; the first is {id:?} in line {line}",
                number(self.invalid),
                number(rows)
            )));
        }
        Err(Error::usage(format!(
            "{name}: none of the {} values in column {column:?} is a UUID (line {line}: {id:?}), and the notification history identifies recipients by UUID",
            number(rows)
        ))
        .hint("nothing was sent; put the UUIDs of the users into a column named user_id, or use --cadence off to send without the history"))
    }
}
