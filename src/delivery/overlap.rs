//! Recipients who had the push lately, under another occurrence: an audience that was generated once more is another
//! push to the ledger, and the same words to the same people.

use std::collections::HashSet;

use csv::StringRecord;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::plan::hash;
use super::preflight::words;
use super::{AD_HOC, AudienceReader, Order, SendPlan, TEST_SUFFIX};
use crate::automation::AutomationFile;
use crate::count::{counted, number};
use crate::error::Result;
use crate::state::Store;
use crate::state::ledger::{Ending, LedgerPush, Recipient, Standing, UserKey};

/// The share of recipients, in percent, that may have had the push lately, unless a limit is given.
pub const DEFAULT_PERCENT: f64 = 50.0;
/// The time in which the same words are the same push, where no automation has a day.
const AD_HOC_PERIOD: SignedDuration = SignedDuration::from_hours(24);

/// Which earlier pushes count as the same, and how many recipients may have had one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverlapLimit {
    /// Pushes that were begun before this instant do not count.
    pub since: Timestamp,
    /// The share of recipients above which the send is refused, in percent. `None`: a note alone.
    pub max_percent: Option<f64>,
}

/// Recipients of an order who had the push lately.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Overlap {
    recipients: u64,
    of: u64,
    /// The last of the runs that sent it to them.
    run: String,
    /// In percent, if this is too many.
    limit: Option<f64>,
}

impl OverlapLimit {
    /// Returns the limit of a send without an automation. `is_named`: its occurrence has a name of the user's, who thus
    /// says that this is another push.
    pub fn ad_hoc(now: Timestamp, is_named: bool) -> Self {
        Self {
            since: now.checked_sub(AD_HOC_PERIOD).unwrap_or(Timestamp::MIN),
            max_percent: (!is_named).then_some(DEFAULT_PERCENT),
        }
    }

    /// Returns the limit of an automation: its pushes of the present day count. A cron schedule may have several
    /// occurrences a day, which are meant for the same people.
    pub fn of(file: &AutomationFile, now: Timestamp) -> Self {
        let now = now.to_zoned(file.schedule.zone());
        let day = now.start_of_day().unwrap_or(now);
        let usual = file.schedule.cron.is_none().then_some(DEFAULT_PERCENT);
        Self {
            since: day.timestamp(),
            max_percent: file.safeguards.max_overlap_percent.or(usual),
        }
    }
}

impl Overlap {
    pub(super) fn is_refused(&self) -> bool {
        self.limit.is_some()
    }

    /// Returns the sentence for a person.
    pub(super) fn text(&self) -> String {
        let Self {
            recipients,
            of,
            run,
            limit,
        } = self;
        let had = format!(
            "{} of the {} had this push before, under another occurrence (last in run {run})",
            number(*recipients),
            counted(*of, "recipients"),
        );
        match limit {
            Some(limit) => format!("{had}; at most {limit} % may"),
            None => had,
        }
    }
}

/// Counts the recipients of an order who had the push lately; `None` if there is none.
///
/// Without an earlier push, the file is not read. With one, memory grows with its recipients: a hash for each.
pub(super) async fn measure(
    order: &Order,
    plan: &SendPlan,
    store: &Store,
) -> Result<Option<Overlap>> {
    let Some(limit) = &order.overlap else {
        return Ok(None);
    };
    let earlier = earlier_pushes(order, store, limit.since).await?;
    let Some(last) = earlier.last() else {
        return Ok(None);
    };
    let run = last.run.clone();
    let mut had = HashSet::new();
    for push in &earlier {
        collect(store, push, &mut had).await?;
    }
    let (recipients, of) = count(order, plan, &mut had)?;
    if recipients == 0 {
        return Ok(None);
    }
    let is_too_much = |percent: &f64| share(recipients, of) > *percent;
    Ok(Some(Overlap {
        recipients,
        of,
        run,
        limit: limit.max_percent.filter(is_too_much),
    }))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a share of so many recipients does not depend on one of them"
)]
fn share(part: u64, of: u64) -> f64 {
    part as f64 * 100.0 / of.max(1) as f64
}

/// Returns the live pushes that are the same to a recipient, the latest last: of an automation those with the number;
/// otherwise those with the words.
async fn earlier_pushes(order: &Order, store: &Store, since: Timestamp) -> Result<Vec<LedgerPush>> {
    let mut pushes = store
        .live_pushes_since(&order.automation, order.number, since)
        .await?;
    let words = words(order);
    let is_ad_hoc = order.automation == AD_HOC;
    pushes.retain(|push| {
        push.occurrence != order.occurrence
            && !push.occurrence.ends_with(TEST_SUFFIX)
            && !(is_ad_hoc && push.words != words)
    });
    Ok(pushes)
}

/// Adds the recipients who had a push, or may have it.
async fn collect(store: &Store, push: &LedgerPush, had: &mut HashSet<u64>) -> Result<()> {
    let add = |one: &Recipient| {
        if matches!(
            one.standing,
            Standing::Queued
                | Standing::Unanswered
                | Standing::Ended(Ending::Accepted | Ending::InDoubt)
        ) {
            had.insert(hash(&one.user));
        }
        Ok(())
    };
    store.each_recipient(push, add).await.map(drop)
}

/// Returns how many recipients are in `had`, which is emptied of them, and how many there are.
fn count(order: &Order, plan: &SendPlan, had: &mut HashSet<u64>) -> Result<(u64, u64)> {
    let mut reader = AudienceReader::open(&order.input)?;
    let mut row = StringRecord::new();
    let mut found = 0;
    for done in 0..plan.rows {
        reader.next_of(&mut row, plan.rows - done)?;
        found += u64::from(had.remove(&hash(&UserKey::of(reader.user(&row)))));
    }
    Ok((found, plan.rows - plan.repeated))
}
