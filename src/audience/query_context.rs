//! Prepares a snapshot for an audience: settings, parameters, the instant, the notification history, and the
//! checks that must hold.

use jiff::Timestamp;

use super::definition::Definition;
use super::history;
use super::history::{HistoryQuestion, HistorySource};
use super::manifest::HistoryNote;
use super::parameters::Values;
use crate::budget::Budget;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::source::{Snapshot, Watch};

/// An audience, its parameters and its instant.
#[derive(Clone, Copy)]
pub struct QueryContext<'a> {
    pub definition: &'a Definition,
    pub values: &'a Values,
    /// The instant of all windows; without one, the database's clock.
    pub as_of: Option<Timestamp>,
    /// The notification history, for audiences that use it.
    pub history: &'a HistorySource,
    /// Interrupts the work; the statement is cancelled on the server.
    pub interrupt: &'a Interrupt,
    /// Receives the progress of the connection.
    pub watch: &'a dyn Watch,
}

/// A snapshot that is ready for the audience's statements.
#[derive(Debug)]
pub(super) struct OpenedQuery {
    /// The instant of all windows.
    pub(super) as_of: String,
    /// The users that the history left out, if the audience uses it.
    pub(super) history: Option<HistoryNote>,
}

impl QueryContext<'_> {
    /// Prepares a snapshot.
    ///
    /// # Errors
    /// A check of the audience is false: the check's message.
    pub(super) async fn open(&self, snapshot: &Snapshot, budget: &Budget) -> Result<OpenedQuery> {
        for (name, value) in &self.definition.header.set {
            snapshot.set_local(name, value).await?;
        }
        let as_of = match self.as_of {
            Some(at) => at.to_string(),
            None => clock(snapshot).await?.to_string(),
        };
        let names: Vec<String> = self
            .values
            .keys()
            .map(|name| format!("pushctl.{name}"))
            .collect();
        let values = names
            .iter()
            .map(String::as_str)
            .zip(self.values.values().cloned());
        let settings: Vec<(&str, String)> =
            values.chain([("pushctl.as_of", as_of.clone())]).collect();
        snapshot.set_parameters(&settings).await?;
        super::checks(snapshot, self.definition, self.values).await?;
        let question = HistoryQuestion {
            definition: self.definition,
            values: self.values,
            history: self.history,
            interrupt: self.interrupt,
            watch: self.watch,
        };
        let history = history::apply(snapshot, budget, &question, &as_of).await?;
        Ok(OpenedQuery { as_of, history })
    }
}

/// Returns the database's time at the beginning of the transaction.
async fn clock(snapshot: &Snapshot) -> Result<Timestamp> {
    let now = snapshot.query("SELECT now()").await?.rows;
    let text = now.first().and_then(|row| row.first()?.as_deref());
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        Error::new(
            ErrorKind::Bug,
            format!("the database's clock returned {text:?}, which is not a time"),
        )
    })
}
