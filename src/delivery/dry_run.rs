//! A dry run: the outcome of every row, as far as it is known without the push service.
//!
//! It checks what a live send checks, in the same order: the ledger (earlier recipients of this push), the control
//! group, the history, the accounts and tokens, the texts. So its counts are those of a live send that begins now. With
//! `--offline`, the count of messages is an upper bound (`up to`), and the summary says why.
//!
//! Memory grows with the audience here: a hash for each token, and one for each recipient who had this push.

use std::collections::{BTreeMap, HashSet};

use csv::StringRecord;
use jiff::Timestamp;

use super::eligibility::{AudienceRecipient, asked_in_time, sent_anyway};
use super::groups::{VariantSplit, is_held_out};
use super::overlap;
use super::plan::{ANY_TOKEN, hash, skip_code};
use super::summary::OutcomeSums;
use super::token_query::TokenProblem;
use super::{
    AudienceReader, CadenceFailure, Order, SendPlan, SendResult, Summary, TokenLookup,
    VariantOutcome,
};
use crate::cadence::{Cadence, CadenceDecision, Layer, Screen, Unapplied};
use crate::error::{Error, Result};
use crate::fcm::{Composer, Delivery};
use crate::progress::{Counter, Progress};
use crate::state::Store;
use crate::state::ledger::{LedgerPush, Recipient, TokenHash, UserKey};

/// The rows of one question to the history.
const BATCH: usize = 2_000;

/// The sources of a dry run.
pub enum DryRunSources<'a> {
    /// All sources of a live send.
    All {
        /// The ledger.
        store: &'a Store,
        /// The notification history.
        cadence: &'a Cadence,
        /// The recipients' tokens.
        tokens: &'a mut TokenLookup,
    },
    /// The file alone.
    Nothing {
        /// Whether a live send would not ask the history, either.
        cadence_is_off: bool,
    },
}

/// Counts the outcomes of a live send of the order.
pub async fn count(
    order: &Order,
    plan: &SendPlan,
    sources: DryRunSources<'_>,
    progress: &dyn Progress,
    (run, now): (&str, Timestamp),
) -> Result<Summary> {
    let is_off = match &sources {
        DryRunSources::All { cadence, .. } => cadence.is_off(),
        DryRunSources::Nothing { cadence_is_off } => *cadence_is_off,
    };
    let invalid_ids = plan.check_user_ids(order, is_off)?;
    let mut summary = Summary {
        mode: "dry-run".to_owned(),
        ended: SendResult::DryRun,
        rows: plan.rows,
        ..Summary::blank(order, run, now)
    };
    let (known, screen, tokens) = match sources {
        DryRunSources::All {
            store,
            cadence,
            tokens,
        } => {
            cadence.name().clone_into(&mut summary.cadence);
            if let Some(place) = cadence.place() {
                let stage = format!("connecting to the notification history {place}");
                progress.stage(&stage);
            }
            let screen = open_screen(order, cadence, &mut summary).await?;
            let known = Known::of(order, store).await?;
            if known.run.is_none()
                && let Some(overlap) = overlap::measure(order, plan, store).await?
            {
                let mut note = overlap.text();
                if overlap.is_refused() {
                    note += ": a live send would be refused (--override overlap --reason TEXT sends it)";
                }
                summary.notes.push(note);
            }
            (known, screen, Some(tokens))
        }
        DryRunSources::Nothing { .. } => {
            "not asked".clone_into(&mut summary.cadence);
            let note = "--offline: neither the source nor the notification history was asked, so the count includes recipients without a token and recipients whom cadence would exclude";
            summary.notes.push(note.to_owned());
            summary.is_upper_bound = true;
            (Known::default(), None, None)
        }
    };
    summary.notes.extend(invalid_ids);
    let mut counting = DryRun {
        order,
        plan,
        composer: Composer::new(plan.push.clone(), Delivery::Live, Some(order.collapse())),
        variants: VariantSplit::of(order),
        screen,
        tokens,
        known,
        seen: HashSet::new(),
        had: 0,
    };
    let names = counting.variants.names();
    summary.variants = names.map(VariantOutcome::named).collect();
    progress.stage("counting");
    progress.total(Some(plan.rows));
    counting.count_rows(progress, &mut summary).await?;
    counting.conclude(&mut summary);
    Ok(summary)
}

/// Opens the history's screen; `None` where a send goes on without it.
async fn open_screen<'a>(
    order: &Order,
    cadence: &'a Cadence,
    summary: &mut Summary,
) -> Result<Option<Screen<'a>>> {
    if cadence.is_off() {
        let note = "cadence is off: no recipient would be excluded";
        summary.notes.push(note.to_owned());
    }
    let asked = cadence.screen(Layer::new(order.layer)?);
    match asked_in_time(order, cadence.budget(), asked).await {
        Ok(screen) => {
            let unapplied = screen.unapplied();
            summary
                .notes
                .extend(unapplied.iter().map(Unapplied::to_string));
            Ok(Some(screen))
        }
        Err(error) => cannot_ask(order, error, summary).map(|()| None),
    }
}

fn cannot_ask(order: &Order, error: Error, summary: &mut Summary) -> Result<()> {
    if order.cadence_failure == CadenceFailure::Send {
        summary.notes.push(sent_anyway(&error));
        return Ok(());
    }
    Err(error
        .context("the notification history does not answer, and a live send would send no message")
        .hint("--offline counts without asking it"))
}

/// The claims of the push in the ledger.
#[derive(Default)]
struct Known {
    people: HashSet<UserKey>,
    tokens: HashSet<TokenHash>,
    sums: OutcomeSums,
    further: u64,
    run: Option<String>,
}

impl Known {
    async fn of(order: &Order, store: &Store) -> Result<Self> {
        let pushes = store.pushes(&order.automation, &order.occurrence).await?;
        let push = pushes.iter().find(|push| push.number == order.number);
        match push {
            Some(push) => Self::read(store, push).await,
            None => Ok(Self::default()),
        }
    }

    async fn read(store: &Store, push: &LedgerPush) -> Result<Self> {
        let mut known = Self {
            sums: OutcomeSums::of(&store.tally(push).await?),
            further: store.further_devices(push).await?,
            run: Some(push.run.clone()),
            ..Self::default()
        };
        let add = |one: &Recipient| {
            known.tokens.extend(one.token);
            known.people.insert(one.user.clone());
            Ok(())
        };
        store.each_recipient(push, add).await?;
        Ok(known)
    }
}

struct DryRun<'a> {
    order: &'a Order,
    plan: &'a SendPlan,
    composer: Composer,
    variants: VariantSplit,
    screen: Option<Screen<'a>>,
    /// `None` where the source is not asked.
    tokens: Option<&'a mut TokenLookup>,
    known: Known,
    seen: HashSet<UserKey>,
    /// Recipients of this audience who were sent the push before.
    had: u64,
}

impl DryRun<'_> {
    async fn count_rows(&mut self, progress: &dyn Progress, summary: &mut Summary) -> Result<()> {
        let mut reader = AudienceReader::open(&self.order.input)?;
        let mut counter = Counter::of(progress);
        let mut left = self.plan.rows;
        while left > 0 {
            let mut batch = Vec::with_capacity(BATCH);
            while batch.len() < BATCH && left > 0 {
                let mut row = StringRecord::new();
                reader.next_of(&mut row, left)?;
                left -= 1;
                counter.one();
                let tokens = match &mut self.tokens {
                    Some(tokens) => tokens.next(&reader, &row)?,
                    None => Ok(Vec::new()),
                };
                let user = UserKey::of(reader.user(&row));
                if self.plan.several.contains(&hash(&user)) && !self.seen.insert(user.clone()) {
                    summary.repeated += 1;
                } else if self.known.people.contains(&user) {
                    self.had += 1;
                } else {
                    batch.push(AudienceRecipient::new(row, user, tokens));
                }
            }
            self.count(batch, summary).await?;
        }
        Ok(())
    }

    async fn count(&mut self, batch: Vec<AudienceRecipient>, summary: &mut Summary) -> Result<()> {
        let decisions = self.ask_history(&batch, summary).await?;
        let count =
            |map: &mut BTreeMap<String, u64>, key: String| *map.entry(key).or_default() += 1;
        for (place, recipient) in batch.into_iter().enumerate() {
            let token = match (&self.tokens, recipient.tokens.first()) {
                (None, _) => Some(ANY_TOKEN),
                (Some(_), token) => token.map(String::as_str),
            };
            let is_held_out = is_held_out(self.order, &recipient.user);
            let variant = self.variants.place(&recipient.user);
            let known = variant.and_then(|place| summary.variants.get_mut(place));
            if let Some(known) = known.filter(|_| !is_held_out) {
                known.recipients += 1;
            }
            if is_held_out {
                summary.held_out += 1;
            } else if let Some(CadenceDecision::Excluded(exclusion)) = decisions.get(place) {
                count(&mut summary.excluded_by_rule, exclusion.key().to_owned());
            } else if let Some(token) = token {
                match self.composer.compose(token, &recipient.row, variant) {
                    Ok(_) => self.claim(&recipient.tokens, summary),
                    Err(skip) => count(&mut summary.skipped_by_reason, skip_code(&skip)),
                }
            } else if recipient.problem == TokenProblem::NoToken {
                summary.without_token += 1;
            } else {
                let code = recipient.problem.code().to_owned();
                count(&mut summary.skipped_by_reason, code);
            }
        }
        Ok(())
    }

    /// Counts the messages to a recipient: one for each token without a message.
    fn claim(&mut self, tokens: &[String], summary: &mut Summary) {
        if self.tokens.is_none() {
            summary.not_attempted += 1;
            return;
        }
        let tokens = tokens.iter().map(|token| TokenHash::of(token));
        let free = tokens
            .filter(|token| self.known.tokens.insert(*token))
            .count() as u64;
        summary.not_attempted += free;
        summary.further_devices += free.saturating_sub(1);
        summary.token_taken += u64::from(free == 0);
    }

    async fn ask_history(
        &mut self,
        batch: &[AudienceRecipient],
        summary: &mut Summary,
    ) -> Result<Vec<CadenceDecision>> {
        let Some(screen) = &self.screen else {
            return Ok(Vec::new());
        };
        let users: Vec<UserKey> = batch.iter().map(|one| one.user.clone()).collect();
        match screen.filter_users(&users).await {
            Ok(filtered) => Ok(filtered.verdicts),
            Err(error) => {
                cannot_ask(self.order, error, summary)?;
                self.screen = None;
                Ok(Vec::new())
            }
        }
    }

    /// Adds the counts of the ledger, as the summary of a live send does.
    fn conclude(self, summary: &mut Summary) {
        let Known {
            sums, further, run, ..
        } = self.known;
        if let Some(run) = run {
            let people = sums.claims() - further;
            summary.others = people.saturating_sub(self.had);
            summary.further_devices += further;
            summary.notes.push(format!(
                "run {run} has begun this push: {} of this audience would not get it again",
                crate::count::counted(self.had, "people")
            ));
        }
        summary.add(&sums);
        let tokens = self.tokens.map(|tokens| tokens.notes());
        summary.notes.extend(tokens.into_iter().flatten());
    }
}
