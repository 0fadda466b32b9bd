//! Whether an audience's user ids are valid for the notification history: every history knows people by UUID. An id of
//! another kind is held back by cadence (`invalidUuid`), so an audience that has no other would reach no one.

use csv::StringRecord;

use super::{AudienceReader, Order, Reach};
use crate::error::{Error, Result};
use crate::report::number;
use crate::state::ledger::UserKey;

/// What the check of a file found.
#[derive(Debug, Clone, Default)]
pub(super) struct UserIds {
    /// Rows whose id is no UUID.
    invalid: u64,
    /// The first of those.
    sample: Option<Sample>,
}

#[derive(Debug, Clone)]
struct Sample {
    column: String,
    id: String,
    line: u64,
}

/// Characters of an id that are quoted.
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
                "{} of {} user ids are no UUIDs and get nothing; the first is {id:?} in line {line}",
                number(self.invalid),
                number(rows)
            )));
        }
        Err(Error::usage(format!(
            "{name}: none of the {} values in column {column:?} is a UUID (line {line}: {id:?}), and the notification history knows people by UUID only",
            number(rows)
        ))
        .hint("nothing was sent: the users' UUIDs belong into a column called user_id; --cadence off would send without asking the history"))
    }
}
