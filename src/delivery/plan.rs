//! The checks of an order before a send: the whole file is read, every row rendered and measured.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use csv::StringRecord;

use super::groups::VariantSplit;
use super::input_checks;
use super::user_ids::UserIds;
use super::{AudienceReader, Input, Order};
use crate::error::{Error, ErrorKind, Result};
use crate::fcm::{Composer, Delivery};
use crate::guards::{Guard, Overrides};
use crate::interrupt::Interrupt;
use crate::progress::{Counter, Progress};
use crate::state::ledger::UserKey;
use crate::template::Skip;
use crate::template::link::AllowedHosts;
use crate::template::push::{BoundPush, Problem, PushTemplate};

/// A token for rendering without a recipient's token. The limit on the payload's size does not count the token.
pub(super) const ANY_TOKEN: &str = "token";

/// A checked order.
#[derive(Debug)]
pub struct SendPlan {
    /// Rows to send to, [`Order::limit`] respected.
    pub rows: u64,
    /// Whether the rows bring their tokens.
    pub has_tokens: bool,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
    /// Rows whose recipient is in an earlier row.
    pub repeated: u64,
    /// Recipients who can get a message, by the file alone.
    pub sendable: u64,
    /// Rows that will be skipped, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// The texts, bound to the columns.
    pub(super) push: BoundPush,
    /// Hashes of the recipients who are in several rows.
    pub(super) several: HashSet<u64>,
    /// The check of the user ids.
    pub(super) user_ids: UserIds,
}

impl SendPlan {
    /// Reads the whole file and renders every row.
    ///
    /// # Errors
    /// The texts or the file are wrong, or the file has changed since the order was made; each with file and line.
    pub fn prepare(
        order: &Order,
        overrides: &Overrides,
        hosts: &AllowedHosts,
        progress: &dyn Progress,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let texts =
            PushTemplate::parse(&order.wording, hosts).map_err(|found| Problem::error(&found))?;
        let mut reader = AudienceReader::open_hashed(&order.input)?;
        if !overrides.lift(Guard::CommitMarker) {
            input_checks::check_commit_marker(&order.input)?;
        }
        let push = texts.bind(reader.columns()).map_err(|found| {
            Problem::error(&found)
                .context(format!("the texts do not fit {}", order.input.name()))
                .hint(format!("its columns are {}", reader.columns().join(", ")))
        })?;
        let mut reading = PlanReader::new(&push, order);
        progress.stage("checking");
        let mut counter = Counter::of(progress);
        let mut row = StringRecord::new();
        while order.limit.is_none_or(|limit| reading.rows < limit) && reader.next(&mut row)? {
            reading.take(&reader, &row)?;
            if counter.one()
                && let Some(kind) = interrupt.fired()
            {
                return Err(Interrupt::error(kind));
            }
        }
        drop(counter);
        let has_tokens = reader.has_tokens();
        let sha256 = reader.sha256()?;
        check_unchanged(&order.input, &sha256)?;
        if !overrides.lift(Guard::Audience) {
            input_checks::check_manifest(&order.input, &sha256)?;
        }
        if reading.rows == 0 {
            return Err(Error::new(
                ErrorKind::Refused,
                format!("{} has no rows: there is no recipient", order.input.name()),
            ));
        }
        let Recipients {
            repeated,
            sendable,
            several,
        } = recipients(reading.hashes);
        Ok(Self {
            rows: reading.rows,
            has_tokens,
            sha256,
            repeated,
            sendable,
            skipped: reading.skipped,
            push,
            several,
            user_ids: reading.user_ids,
        })
    }

    /// Refuses an audience without a single id that is valid for the notification history; returns a note for one that
    /// has some invalid ids. Called before anything is claimed, and before a run is recorded: one that can never send
    /// should not stay behind.
    ///
    /// # Errors
    /// No id is valid, and `cadence` is not off.
    pub fn check_user_ids(&self, order: &Order, cadence_is_off: bool) -> Result<Option<String>> {
        self.user_ids.check(order, self.rows, cadence_is_off)
    }
}

/// The counts of a reading.
struct PlanReader {
    composer: Composer,
    variants: VariantSplit,
    rows: u64,
    hashes: Vec<u64>,
    skipped: BTreeMap<String, u64>,
    user_ids: UserIds,
}

impl PlanReader {
    fn new(push: &BoundPush, order: &Order) -> Self {
        Self {
            composer: Composer::new(push.clone(), Delivery::Live, Some(order.collapse())),
            variants: VariantSplit::of(order),
            rows: 0,
            hashes: Vec::new(),
            skipped: BTreeMap::new(),
            user_ids: UserIds::default(),
        }
    }

    /// Takes a row. An empty variable skips the row; a message that can never be sent is an error of the texts.
    fn take(&mut self, reader: &AudienceReader, row: &StringRecord) -> Result<()> {
        self.rows += 1;
        let user = UserKey::of(reader.user(row));
        self.user_ids.count(&user, reader, row);
        let variant = self.variants.place(&user);
        let composed = self.composer.compose(ANY_TOKEN, row, variant);
        self.hashes.push(hash(&user) | u64::from(composed.is_err()));
        match composed {
            Ok(_) => Ok(()),
            Err(
                skip @ (Skip::Empty { .. }
                | Skip::NullLike { .. }
                | Skip::NotANumber { .. }
                | Skip::Image),
            ) => {
                *self.skipped.entry(skip_code(&skip)).or_default() += 1;
                Ok(())
            }
            Err(skip @ (Skip::Link(_) | Skip::TooLarge { .. })) => {
                Err(Error::usage(format!("{}: {skip}", reader.place(row)))
                    .hint("nothing was sent; change the texts, or remove the row"))
            }
        }
    }
}

/// Returns the code of a skipped row in outcome files and summaries.
pub(super) fn skip_code(skip: &Skip) -> String {
    match skip {
        Skip::Empty { column } => format!("empty:{column}"),
        Skip::NullLike { column } => format!("null:{column}"),
        Skip::NotANumber { column } => format!("not-a-number:{column}"),
        Skip::Link(_) => "deep-link".to_owned(),
        Skip::Image => "image".to_owned(),
        Skip::TooLarge { .. } => "too-large".to_owned(),
    }
}

/// Returns a hash that is compared within one process only. It is even: the last bit is free for a mark.
pub(super) fn hash(user: &UserKey) -> u64 {
    let mut hasher = DefaultHasher::new();
    user.hash(&mut hasher);
    hasher.finish() & !1
}

/// The recipients of a file, of whom only the first row counts.
struct Recipients {
    repeated: u64,
    sendable: u64,
    several: HashSet<u64>,
}

/// Counts recipients by the hashes of their rows, in the order of the file; odd ones are of rows that are skipped.
fn recipients(mut hashes: Vec<u64>) -> Recipients {
    hashes.sort_by_key(|hash| hash & !1);
    let mut counted = Recipients {
        repeated: 0,
        sendable: 0,
        several: HashSet::new(),
    };
    for rows in hashes.chunk_by(|one, next| one & !1 == next & !1) {
        let (first, further) = (rows[0], rows.len() as u64 - 1);
        counted.repeated += further;
        counted.sendable += u64::from(first & 1 == 0);
        if further > 0 {
            counted.several.insert(first & !1);
        }
    }
    counted
}

/// Checks that a file is still the one that was recorded.
pub(super) fn check_unchanged(input: &Input, sha256: &str) -> Result<()> {
    match input {
        Input::File {
            path,
            sha256: Some(known),
        } if known != sha256 => Err(Error::new(
            ErrorKind::Refused,
            format!(
                "{} has changed since the send began: its SHA-256 is {}… and was {}…",
                path.display(),
                &sha256[..12],
                &known[..known.len().min(12)]
            ),
        )
        .hint("restore the old file, or start a new send with the new one")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_rows_of_a_recipient_the_first_one_counts() {
        // Skipped and repeated; sent to and later skipped; skipped alone; sent to alone.
        let counted = recipients(vec![11, 20, 11, 21, 10, 31, 40]);
        assert_eq!((counted.repeated, counted.sendable), (3, 2));
        assert_eq!(counted.several, HashSet::from([10, 20]));
    }
}
