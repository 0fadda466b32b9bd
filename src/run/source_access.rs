//! Whether and when a command may connect to the source: as one of so many at once, and not while its host is away.
//!
//! Both are agreed on with other processes through the state store. Without a limit of connections, a store that does
//! not exist or cannot be opened is no reason not to read the source.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::context::RunContext;
use super::open_stores::OpenStores;
use super::services;
use crate::advice::Advice;
use crate::budget::Budget;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::postgres::Address;
use crate::settings::source::BreakerSettings;
use crate::source::{Access, Contact, Permit};
use crate::state::process_id::ProcessId;
use crate::state::{Admission, BreakerProbe, HeldBy, Lease, Location, Store, Taking};

/// The longest wait for the state store, where the command can do without.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often a command that waits for a connection asks for one.
const ASK_INTERVAL: Duration = Duration::from_millis(250);

/// The access of one command to the source at one address.
pub(super) struct SourceAccess {
    /// The hosts and ports: what the breaker is about.
    place: String,
    /// What the connections of all processes are counted by.
    database: String,
    /// How many processes may have a connection at once.
    limit: Option<u32>,
    breaker: Option<BreakerSettings>,
    location: Option<Location>,
    stores: OpenStores,
    clock: Arc<dyn Clock>,
    lease: Duration,
    holder: ProcessId,
}

impl SourceAccess {
    pub(super) fn new(context: &RunContext<'_>, address: &Address) -> Self {
        let place = address.place();
        Self {
            database: format!("{place}/{}", address.dbname),
            place,
            limit: address.connection_limit,
            breaker: context.settings.source.breaker,
            location: services::state_location(context.settings).ok(),
            stores: context.stores.clone(),
            clock: Arc::clone(context.clock),
            lease: context.settings.lease,
            holder: context.holder.clone(),
        }
    }

    /// Opens the state store, unless the command has opened one.
    async fn store(&self, budget: &Budget) -> Result<Store> {
        if let Some(store) = self.stores.first() {
            return Ok(store);
        }
        let location = self
            .location
            .as_ref()
            .ok_or_else(|| Error::usage("there is no place for the state store"))?;
        let store = Store::open_within(location, Arc::clone(&self.clock), budget.clone()).await?;
        let store = store.with_leases_of(self.lease);
        self.stores.add(&store);
        Ok(store)
    }

    fn has_store(&self) -> bool {
        match &self.location {
            _ if self.stores.first().is_some() => true,
            Some(Location::Embedded(path)) => path.exists(),
            Some(Location::Postgres(_)) => true,
            None => false,
        }
    }

    async fn check_breaker(&self, budget: &Budget) -> Result<()> {
        let Some(breaker) = self.breaker.filter(|_| self.has_store()) else {
            return Ok(());
        };
        let asked = async {
            let store = self.store(budget).await?;
            let asking = store.admission(&self.place, breaker.failures, breaker.cool_off);
            asking.await
        };
        let patience = budget.step(PATIENCE);
        match patience.wait("the state store", asked).await {
            Ok(Admission::Refused { until, failures }) => Err(Error::new(
                ErrorKind::Unreachable,
                format!(
                    "the last {failures} commands could not reach the database {}, so none tries before {until:.0}",
                    self.place
                ),
            )
            .hint(Advice::AskDoctorAboutSource)
            .hint(Advice::NoBreaker)),
            Ok(Admission::Go | Admission::Probe) => Ok(()),
            Err(error) => {
                tracing::info!("the circuit breaker is not used: {error:#}");
                Ok(())
            }
        }
    }

    /// Takes one of the leases that stand for the connections, or waits for one.
    async fn take_slot(&self, limit: u32, budget: &Budget) -> Result<Lease> {
        let store = self.store(budget).await.map_err(|error| {
            error.context("connection_limit is counted in the state store, which cannot be used")
        })?;
        loop {
            let mut holders = Vec::new();
            for slot in 1..=limit {
                let name = format!("connection/{} {slot}", self.database);
                match store.take_lease(&name, &self.holder).await? {
                    Taking::Taken(lease) => return Ok(lease),
                    Taking::Held(held) => holders.push(held),
                }
            }
            tracing::debug!("waiting for {}", self.connections(limit, &holders));
            if budget.left() <= ASK_INTERVAL {
                return Err(self.none_free(limit, &holders));
            }
            sleep(ASK_INTERVAL).await;
        }
    }

    fn connections(&self, limit: u32, holders: &[HeldBy]) -> String {
        let holders: Vec<String> = holders.iter().map(|held| held.holder.to_string()).collect();
        let which = match limit {
            1 => "the only connection".to_owned(),
            several => format!("one of {several} connections"),
        };
        format!(
            "{which} that connection_limit allows to {}, held by {}",
            self.database,
            holders.join(", ")
        )
    }

    fn none_free(&self, limit: u32, holders: &[HeldBy]) -> Error {
        Error::new(
            ErrorKind::Locked,
            format!("waited in vain for {}", self.connections(limit, holders)),
        )
        .hint(Advice::ConnectionLimit)
    }

    /// Records for other processes whether the host was reached.
    async fn record(&self, contact: Contact, budget: &Budget) {
        let probe = match contact {
            Contact::Reached => BreakerProbe::Reached,
            Contact::Unreached => BreakerProbe::Unreached,
            Contact::Unknown => return,
        };
        // A store that does not exist yet has no open breaker to close.
        let may_create = contact == Contact::Unreached && self.stores.may_create();
        if self.breaker.is_none() || !(may_create || self.has_store()) {
            return;
        }
        let patience = budget.step(PATIENCE);
        let recorded = async {
            self.store(budget)
                .await?
                .attempted(&self.place, probe)
                .await
        };
        if let Err(error) = patience.wait_with_grace("the state store", recorded).await {
            tracing::info!("the circuit breaker is not used: {error:#}");
        }
    }
}

impl Access for SourceAccess {
    fn enter<'a>(
        &'a self,
        budget: &'a Budget,
        interrupt: &'a Interrupt,
    ) -> BoxFuture<'a, Result<Permit>> {
        async move {
            interrupt.or(self.check_breaker(budget)).await?;
            // Without a store no other process can hold a connection.
            let is_counted = self.stores.may_create() || self.has_store();
            let Some(limit) = self.limit.filter(|_| is_counted) else {
                return Ok(None);
            };
            let named = format!("a free connection to {} (connection_limit)", self.database);
            let taking = budget.watch(named, || true, self.take_slot(limit, budget));
            let lease = interrupt.or(taking).await?;
            Ok(Some(Box::new(lease) as _))
        }
        .boxed()
    }

    fn leave<'a>(
        &'a self,
        permit: Permit,
        contact: Contact,
        budget: &'a Budget,
    ) -> BoxFuture<'a, ()> {
        async move {
            if let Some(permit) = permit
                && let Ok(lease) = permit.downcast::<Lease>()
            {
                let _ = budget
                    .step(PATIENCE)
                    .wait_with_grace("the state store", lease.release())
                    .await;
            }
            self.record(contact, budget).await;
        }
        .boxed()
    }
}

impl fmt::Debug for SourceAccess {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SourceAccess({})", self.database)
    }
}
