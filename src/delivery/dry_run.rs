//! A dry run: what would become of every row, as far as it can be told without the push service.

use std::collections::{BTreeMap, HashSet};

use csv::StringRecord;
use jiff::Timestamp;

use super::eligibility::{Person, is_held_out};
use super::plan::{hash, hash_token, skip_code};
use super::token_lookup::Lacking;
use super::{AudienceReader, Order, SendPlan, SendResult, Summary, TokenLookup, ids_fit};
use crate::cadence::{Cadence, CadenceDecision, Layer, Screen};
use crate::error::Result;
use crate::fcm::{Composer, Delivery};
use crate::state::ledger::UserKey;

/// Rows the history is asked about at once.
const BATCH: usize = 2_000;

/// Who says whom the history holds back.
pub enum DryRunHistory<'a> {
    /// This history.
    By(&'a Cadence),
    /// Nobody: it is over the network, and a dry run reaches none but the source.
    NotAsked,
    /// Nobody: cadence is off.
    Off,
}

/// Counts.
pub async fn rehearse(
    order: &Order,
    plan: &SendPlan,
    tokens: &mut TokenLookup,
    cadence: &DryRunHistory<'_>,
    (run, now): (&str, Timestamp),
) -> Result<Summary> {
    let invalid_ids = ids_fit(order, plan, matches!(cadence, DryRunHistory::Off))?;
    let mut summary = Summary {
        mode: "dry-run".to_owned(),
        ended: SendResult::Rehearsed,
        rows: plan.rows,
        cadence: cadence.name().to_owned(),
        ..Summary::blank(order, run, now)
    };
    let screen = match cadence {
        DryRunHistory::By(cadence) => Some(cadence.screen(Layer::new(order.layer)?).await?),
        DryRunHistory::NotAsked | DryRunHistory::Off => None,
    };
    let mut rehearsal = Rehearsal {
        order,
        composer: Composer::new(
            plan.push.clone(),
            Delivery::Live,
            Some(&order.collapse_id()),
        ),
        screen,
        seen: HashSet::new(),
        taken: HashSet::new(),
    };
    let mut reader = AudienceReader::open(&order.input)?;
    let mut left = plan.rows;
    while left > 0 {
        let mut batch = Vec::with_capacity(BATCH);
        let mut row = StringRecord::new();
        while batch.len() < BATCH && left > 0 {
            reader.next_of(&mut row, left)?;
            left -= 1;
            let tokens = tokens.next(&reader, &row)?;
            let user = UserKey::of(reader.user(&row));
            if plan.several.contains(&hash(&user)) && !rehearsal.seen.insert(user.clone()) {
                summary.repeated += 1;
                continue;
            }
            let row = std::mem::take(&mut row);
            batch.push(Person::new(row, user, tokens));
        }
        rehearsal.count(batch, &mut summary).await?;
    }
    summary.excluded = summary.excluded_by_rule.values().sum();
    summary.skipped = summary.skipped_by_reason.values().sum();
    summary.notes.extend(invalid_ids);
    summary.notes.extend(tokens.notes());
    summary.notes.extend(cadence.note().map(str::to_owned));
    Ok(summary)
}

impl DryRunHistory<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::By(cadence) => cadence.name(),
            Self::NotAsked => "not asked",
            Self::Off => "off",
        }
    }

    fn note(&self) -> Option<&'static str> {
        match self {
            Self::By(_) => None,
            Self::NotAsked => Some(
                "the notification history was not asked: a dry run reaches no network but the source",
            ),
            Self::Off => Some("cadence is off: nobody would be held back"),
        }
    }
}

struct Rehearsal<'a> {
    order: &'a Order,
    composer: Composer,
    screen: Option<Screen<'a>>,
    seen: HashSet<UserKey>,
    /// Hashes of the tokens that are spoken for: a live send claims each once.
    taken: HashSet<u64>,
}

impl Rehearsal<'_> {
    /// Whether a token of this person is left for them.
    fn claims_a_token(&mut self, person: &Person) -> bool {
        let mut is_left = false;
        for token in &person.tokens {
            is_left |= self.taken.insert(hash_token(token));
        }
        is_left
    }

    async fn count(&mut self, batch: Vec<Person>, summary: &mut Summary) -> Result<()> {
        let verdicts = match &self.screen {
            Some(screen) => {
                let ids: Vec<String> = batch.iter().map(|one| one.user.to_string()).collect();
                let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
                screen.filter(&ids).await?.verdicts
            }
            None => Vec::new(),
        };
        let count =
            |map: &mut BTreeMap<String, u64>, key: String| *map.entry(key).or_default() += 1;
        for (place, person) in batch.iter().enumerate() {
            if is_held_out(self.order, &person.user) {
                summary.held_out += 1;
            } else if let Some(CadenceDecision::Excluded(exclusion)) = verdicts.get(place) {
                count(&mut summary.excluded_by_rule, exclusion.key().to_owned());
            } else if let Some(token) = person.tokens.first() {
                match self.composer.compose(token, &person.row) {
                    Ok(_) if self.claims_a_token(person) => summary.not_attempted += 1,
                    Ok(_) => summary.token_taken += 1,
                    Err(skip) => count(&mut summary.skipped_by_reason, skip_code(&skip)),
                }
            } else if person.lacking == Lacking::NoToken {
                summary.without_token += 1;
            } else {
                count(
                    &mut summary.skipped_by_reason,
                    person.lacking.code().to_owned(),
                );
            }
        }
        Ok(())
    }
}
