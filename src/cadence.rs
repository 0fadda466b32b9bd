//! Cadence: limits on the pushes that a user receives.
//!
//! A send opens one [`Screen`]: it knows the rules, filters the audience in batches, and gives the ledger the [`Guard`]
//! under which it claims. The limits are checked twice: at the filter, to know the numbers before the send, and
//! in the transaction that claims, so that two concurrent sends cannot both pass the limit.
//!
//! Pushes that an external history has not recorded yet (the outbox) count from the ledger. The service of `http`
//! reports neither its rules nor a user's push counts, so a push that another sender makes between its answer and the
//! claim is not counted. No other history has that gap.
//!
//! It fails closed: an error means that no push may be sent. A send that ignores cadence does not ask.

mod breakdown;
mod http;
mod postgres;
mod rules;
mod sync;

use jiff::Timestamp;
use uuid::Uuid;

pub use breakdown::{Breakdown, Exclusion};
pub use rules::{AppliedRule, Layer, Rule, RuleState, Rules, Unapplied};
pub use sync::Synced;

use crate::budget::Budget;
use crate::error::{Context as _, ErrorKind, Result};
use crate::postgres::Address;
use crate::state::Store;
use crate::state::ledger::{
    Basis, Counted, Guard, LedgerPush, Limit, Recording, UserKey, first_exceeded,
};
use http::Http;
use postgres::PostgresHistory;

/// The configured place of the notification history.
#[derive(Debug, Clone)]
pub enum HistoryLocation {
    /// In a database, in the tables of the service that owns it.
    Postgres(Box<Address>),
    /// Behind the existing service, at this base URL.
    Http(String),
    /// In pushctl's state store.
    Embedded,
    /// No recipient is held back and nothing is recorded. The caller must say so.
    Off,
}

/// What a history answers to a question that changes nothing.
#[derive(Debug)]
pub enum Answer {
    /// Its rules.
    Rules(Rules),
    /// The service answered about one user; it does not report its rules.
    Answered,
    /// It is in the state store, or there is none.
    Nothing,
}

impl HistoryLocation {
    /// Asks the history as a send does, about one user who does not exist.
    pub async fn probe(&self, now: Timestamp, budget: &Budget) -> Result<Answer> {
        let layer = Layer::of_rules();
        match self {
            Self::Postgres(address) => {
                let history = PostgresHistory::new((**address).clone(), budget.clone());
                let rules = history.rules().await?;
                let limits = rules.limits(layer, now).into_iter();
                let limits: Vec<Limit> = limits.map(|(_, limit)| limit).collect();
                history.counted(&[Uuid::nil()], &limits).await?;
                Ok(Answer::Rules(rules))
            }
            Self::Http(url) => {
                let (url, budget) = (url.clone(), budget.clone());
                // It reads the system's certificates, beside steps whose time is taken.
                let made = tokio::task::spawn_blocking(move || Http::new(&url, budget)).await;
                let http = made
                    .kind(ErrorKind::Bug, || "the set-up of TLS panicked")??
                    .once();
                http.filter(&[Uuid::nil()], layer).await?;
                Ok(Answer::Answered)
            }
            Self::Embedded | Self::Off => Ok(Answer::Nothing),
        }
    }
}

/// The notification history and the store that claims are made in.
pub struct Cadence {
    history: HistoryBackend,
    store: Store,
}

enum HistoryBackend {
    Postgres(Box<PostgresHistory>),
    Http(Http),
    Embedded,
    Off,
}

/// The cadence filter, as of the instant it was opened.
pub struct Screen<'a> {
    cadence: &'a Cadence,
    layer: Layer,
    rules: Rules,
    limits: Vec<(Rule, Limit)>,
    basis: Basis,
    /// The push that is sent: it does not count against itself.
    push: Option<&'a LedgerPush>,
}

/// The verdict about one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CadenceDecision {
    /// Eligible; the claim gets the counted pushes.
    Eligible(Counted),
    Excluded(Exclusion),
}

/// The answers about a batch, parallel to it, and their sums.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filtered {
    /// One for each id asked about.
    pub verdicts: Vec<CadenceDecision>,
    pub breakdown: Breakdown,
}

impl Cadence {
    /// Returns the cadence; opens no connection before it is needed. An invalid URL is a usage error.
    /// Its operations end with the budget of the store.
    pub fn new(place: HistoryLocation, store: Store) -> Result<Self> {
        let budget = store.budget().clone();
        let history = match place {
            HistoryLocation::Postgres(address) => {
                HistoryBackend::Postgres(Box::new(PostgresHistory::new(*address, budget)))
            }
            HistoryLocation::Http(url) => HistoryBackend::Http(Http::new(&url, budget)?),
            HistoryLocation::Embedded => HistoryBackend::Embedded,
            HistoryLocation::Off => HistoryBackend::Off,
        };
        Ok(Self { history, store })
    }

    /// `postgres`, `http`, `embedded` or `off`.
    pub fn name(&self) -> &'static str {
        match self.history {
            HistoryBackend::Postgres(_) => "postgres",
            HistoryBackend::Http(_) => "http",
            HistoryBackend::Embedded => "embedded",
            HistoryBackend::Off => "off",
        }
    }

    /// Returns the host and port of a history elsewhere, as progress shows them.
    pub fn place(&self) -> Option<String> {
        match &self.history {
            HistoryBackend::Postgres(postgres) => Some(postgres.place()),
            HistoryBackend::Http(http) => Some(http.place()),
            HistoryBackend::Embedded | HistoryBackend::Off => None,
        }
    }

    /// Returns the budget of its operations.
    pub(crate) fn budget(&self) -> &Budget {
        self.store.budget()
    }

    /// Returns whether cadence is off.
    pub fn is_off(&self) -> bool {
        matches!(self.history, HistoryBackend::Off)
    }

    /// Returns where an accepted push is to be recorded.
    pub fn recording(&self) -> Recording {
        match self.history {
            HistoryBackend::Postgres(_) | HistoryBackend::Http(_) => Recording::Elsewhere,
            HistoryBackend::Embedded => Recording::Here,
            HistoryBackend::Off => Recording::Nowhere,
        }
    }

    /// Opens a screen for a push of a layer.
    pub async fn screen(&self, layer: Layer) -> Result<Screen<'_>> {
        // Read before the history is asked: its answers may lack pushes that it records later.
        let basis = match self.history {
            HistoryBackend::Postgres(_) | HistoryBackend::Http(_) => Basis::Elsewhere {
                synced: self.store.deliveries().await?,
            },
            HistoryBackend::Embedded | HistoryBackend::Off => Basis::Here,
        };
        let rules = match &self.history {
            HistoryBackend::Postgres(postgres) if !layer.is_exempt() => postgres.rules().await?,
            _ => Rules::default(),
        };
        let limits = match self.history {
            HistoryBackend::Off => Vec::new(),
            _ => rules.limits(layer, self.store.now()),
        };
        Ok(Screen {
            cadence: self,
            layer,
            rules,
            limits,
            basis,
            push: None,
        })
    }
}

impl<'a> Screen<'a> {
    /// Returns the rules that would apply and do not; the caller must report them.
    pub fn unapplied(&self) -> Vec<Unapplied> {
        match self.cadence.history {
            HistoryBackend::Off => Vec::new(),
            _ => self.rules.unapplied(self.layer),
        }
    }

    /// Returns the rules that apply, for the record of the send.
    pub fn applied(&self) -> Vec<AppliedRule> {
        match self.cadence.history {
            HistoryBackend::Off => Vec::new(),
            _ => self.rules.applied(self.layer),
        }
    }

    /// Returns the same screen for this push, whose own messages in the ledger do not count.
    #[must_use]
    pub fn beside(self, push: &'a LedgerPush) -> Self {
        Self {
            push: Some(push),
            ..self
        }
    }

    /// Returns the limits for the claims of the ledger.
    pub fn guard(&self) -> Guard {
        Guard {
            limits: self.limits.iter().map(|(_, limit)| *limit).collect(),
            basis: self.basis,
        }
    }

    /// Returns the reason for a claim that exceeded a limit of the guard.
    pub fn exclusion(&self, limit: usize) -> Exclusion {
        let rule = self.limits.get(limit).map(|(rule, _)| *rule);
        rule.map_or(Exclusion::Unattributed, Exclusion::Rule)
    }

    /// Asks about a batch of ids (thousands), in one go.
    pub async fn filter(&self, ids: &[&str]) -> Result<Filtered> {
        let users: Vec<UserKey> = ids.iter().map(|id| UserKey::of(id)).collect();
        self.filter_users(&users).await
    }

    /// Filters users as the ledger knows them.
    pub async fn filter_users(&self, users: &[UserKey]) -> Result<Filtered> {
        if matches!(self.cadence.history, HistoryBackend::Off) {
            let verdicts = vec![CadenceDecision::Eligible(Counted::default()); users.len()];
            return Ok(Filtered {
                verdicts,
                ..Filtered::default()
            });
        }
        let known: Vec<(usize, Uuid)> = users
            .iter()
            .enumerate()
            .filter_map(|(place, user)| Some((place, user.uuid()?)))
            .collect();
        let uuids: Vec<Uuid> = known.iter().map(|(_, uuid)| *uuid).collect();
        let (answers, mut breakdown) = self.ask(&uuids).await?;
        let mut verdicts = vec![CadenceDecision::Excluded(Exclusion::InvalidUuid); users.len()];
        for ((place, _), answer) in known.into_iter().zip(answers) {
            verdicts[place] = answer;
        }
        self.add_ledger(users, &mut verdicts).await?;
        let ours = verdicts.iter().filter_map(|verdict| match verdict {
            CadenceDecision::Excluded(Exclusion::Unattributed) | CadenceDecision::Eligible(_) => {
                None
            }
            CadenceDecision::Excluded(exclusion) => Some(*exclusion),
        });
        ours.for_each(|exclusion| breakdown.count(exclusion));
        Ok(Filtered {
            verdicts,
            breakdown,
        })
    }

    /// Asks the history about UUIDs; returns its own sums for those that it excludes without a rule.
    async fn ask(&self, uuids: &[Uuid]) -> Result<(Vec<CadenceDecision>, Breakdown)> {
        let nothing = || {
            (
                vec![CadenceDecision::Eligible(Counted::default()); uuids.len()],
                Breakdown::default(),
            )
        };
        if self.layer.is_exempt() || uuids.is_empty() {
            return Ok(nothing());
        }
        match &self.cadence.history {
            HistoryBackend::Postgres(postgres) if !self.limits.is_empty() => {
                let limits = self.guard().limits;
                let counted = postgres.counted(uuids, &limits).await?;
                Ok((
                    counted.into_iter().map(CadenceDecision::Eligible).collect(),
                    Breakdown::default(),
                ))
            }
            HistoryBackend::Http(http) => http.filter(uuids, self.layer).await,
            _ => Ok(nothing()),
        }
    }

    /// Adds what the ledger counts to what was counted elsewhere, and draws the conclusion.
    async fn add_ledger(&self, users: &[UserKey], verdicts: &mut [CadenceDecision]) -> Result<()> {
        if self.limits.is_empty() {
            return Ok(());
        }
        let guard = self.guard();
        let touches = self.cadence.store.touches(users, self.push, &guard).await?;
        for (verdict, touches) in verdicts.iter_mut().zip(touches) {
            if let CadenceDecision::Eligible(counted) = verdict
                && let Some(limit) = first_exceeded(&guard.limits, *counted, &touches)
            {
                *verdict = CadenceDecision::Excluded(self.exclusion(limit));
            }
        }
        Ok(())
    }
}
