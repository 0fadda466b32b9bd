//! Cadence: who has had enough.
//!
//! A send opens one [`Screen`]: it knows the rules, filters the audience in batches, and gives the ledger the [`Guard`]
//! under which it claims. So the limits are asked twice: at the filter, to know the numbers before anything is sent, and
//! in the transaction that claims, where two sends at once cannot both find room for one more push.
//!
//! What a history elsewhere was not told of yet (the outbox) counts from the ledger. The service of `http` tells
//! neither its rules nor how many pushes somebody had, so between its answer and the claim there is a window in which
//! another sender's push goes unseen; no other history has that window.
//!
//! It fails closed: an error means that nobody may be sent to. Whoever wants to send nevertheless does not ask.

mod breakdown;
mod http;
mod postgres;
mod rules;
mod sync;

use jiff::Timestamp;
use uuid::Uuid;

pub use breakdown::{Breakdown, Exclusion};
pub use rules::{Layer, Rule, RuleState, Rules, Unapplied};
pub use sync::Synced;

use crate::error::Result;
use crate::postgres::Address;
use crate::state::Store;
use crate::state::ledger::{Basis, Counted, Guard, Limit, Recording, UserKey, first_exceeded};
use http::Http;
use postgres::PostgresHistory;

/// Where the history is, as it was configured.
#[derive(Debug, Clone)]
pub enum HistoryLocation {
    /// In a database, table by table as the service that owns it made them.
    Postgres(Box<Address>),
    /// Behind the existing service, at this base URL.
    Http(String),
    /// In our own state store.
    Embedded,
    /// Nobody is held back and nothing is recorded. To be said aloud.
    Off,
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

/// What may be sent to whom, as of the instant it was opened.
pub struct Screen<'a> {
    cadence: &'a Cadence,
    layer: Layer,
    rules: Rules,
    limits: Vec<(Rule, Limit)>,
    basis: Basis,
}

/// The answer about one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CadenceDecision {
    /// May be sent to; the claim wants to know what was counted.
    Eligible(Counted),
    /// May not.
    Excluded(Exclusion),
}

/// The answers about a batch, parallel to it, and their sums.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filtered {
    /// One for each id asked about.
    pub verdicts: Vec<CadenceDecision>,
    /// Of those excluded.
    pub breakdown: Breakdown,
}

/// Who has had so many pushes of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    /// These, in order.
    Users(Vec<Uuid>),
    /// That cannot be known, and why.
    Unknown(&'static str),
}

impl Cadence {
    /// Nothing is connected to before it is needed. A URL that is none is a usage error.
    pub fn new(place: HistoryLocation, store: Store) -> Result<Self> {
        let history = match place {
            HistoryLocation::Postgres(address) => {
                HistoryBackend::Postgres(Box::new(PostgresHistory::new(*address)))
            }
            HistoryLocation::Http(url) => HistoryBackend::Http(Http::new(&url)?),
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

    /// Whether nobody is held back.
    pub fn is_off(&self) -> bool {
        matches!(self.history, HistoryBackend::Off)
    }

    /// Where an accepted push is to be recorded.
    pub fn recording(&self) -> Recording {
        match self.history {
            HistoryBackend::Postgres(_) | HistoryBackend::Http(_) => Recording::Elsewhere,
            HistoryBackend::Embedded => Recording::Here,
            HistoryBackend::Off => Recording::Nowhere,
        }
    }

    /// Opens a screen for a push of a layer.
    pub async fn screen(&self, layer: Layer) -> Result<Screen<'_>> {
        // Before the history is asked: what it is told of later may be missing in its answers.
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
        })
    }

    /// Whether the history answers; for `doctor`. The state store is asked elsewhere.
    pub async fn check(&self) -> Result<()> {
        match &self.history {
            HistoryBackend::Postgres(postgres) => postgres.rules().await.map(drop),
            HistoryBackend::Http(http) => http.health().await,
            HistoryBackend::Embedded | HistoryBackend::Off => Ok(()),
        }
    }

    /// Every user with at least `at_least` pushes of a layer after an instant.
    pub async fn reached(&self, layer: Layer, at_least: u32, since: Timestamp) -> Result<Reached> {
        let here = async |at_least, basis| {
            let reached = self
                .store
                .users_reached(layer.number(), at_least, since, basis)
                .await?;
            let known = reached
                .into_iter()
                .filter_map(|(user, count)| Some((user.uuid()?, count)));
            Ok(known.collect::<Vec<_>>())
        };
        Ok(match &self.history {
            HistoryBackend::Off => Reached::Unknown("cadence is off"),
            HistoryBackend::Http(_) => {
                Reached::Unknown("the cadence service cannot be asked how many pushes somebody had")
            }
            HistoryBackend::Embedded => {
                let users: Vec<(Uuid, u32)> = here(at_least, Basis::Here).await?;
                Reached::Users(users.into_iter().map(|(user, _)| user).collect())
            }
            HistoryBackend::Postgres(postgres) => {
                let synced = self.store.deliveries().await?;
                let untold = here(1, Basis::Elsewhere { synced }).await?;
                Reached::Users(postgres.reached(layer, at_least, since, &untold).await?)
            }
        })
    }
}

impl Screen<'_> {
    /// The rules as they stand.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Rules that would apply and do not: to be told, never passed over.
    pub fn unapplied(&self) -> Vec<Unapplied> {
        match self.cadence.history {
            HistoryBackend::Off => Vec::new(),
            _ => self.rules.unapplied(self.layer),
        }
    }

    /// What the ledger is to respect when it claims.
    pub fn guard(&self) -> Guard {
        Guard {
            limits: self.limits.iter().map(|(_, limit)| *limit).collect(),
            basis: self.basis,
        }
    }

    /// Why a claim was refused that exceeded a limit of the guard.
    pub fn exclusion(&self, limit: usize) -> Exclusion {
        let rule = self.limits.get(limit).map(|(rule, _)| *rule);
        rule.map_or(Exclusion::Unattributed, Exclusion::Rule)
    }

    /// Asks about a batch of ids (thousands), in one go.
    pub async fn filter(&self, ids: &[&str]) -> Result<Filtered> {
        let users: Vec<UserKey> = ids.iter().map(|id| UserKey::of(id)).collect();
        self.filter_users(&users).await
    }

    /// The same for users as the ledger knows them.
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

    /// What the history says of UUIDs; for those it excludes without attribution, its own sums.
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
        let touches = self.cadence.store.touches(users, &guard).await?;
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
