//! Tests every step of every connection, and returns what each step saw: for `pushctl doctor`.
//!
//! Nothing is sent, recorded, created or migrated. The parts run side by side, and so do the steps that do not need one
//! another. A step whose predecessor failed is skipped and names it.
//!
//! | module | subject |
//! | --- | --- |
//! | `report` | the result as data; the JSON document |
//! | `checklist` | the steps of one part, filled in as they end |
//! | `connection` | the steps of a connection to PostgreSQL: name, TCP, TLS, log-in, query, clock |
//! | `source`, `state`, `history`, `push`, `files`, `automations` | the parts |

mod automations;
mod checklist;
mod connection;
mod files;
mod history;
mod push;
pub mod report;
mod source;
mod state;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use clap::ValueEnum;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use crate::automation::check::Checked;
use crate::error::{Error, Result};
use crate::run::context::RunContext;
use crate::settings::{Origin, Resolved};
use crate::state::Location;
use checklist::Checklist;
use report::Report;

/// The longest a step may take, unless an address or a setting says otherwise.
const STEP: Duration = Duration::from_secs(10);

/// The parts that are checked, in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Part {
    /// Source database
    Source,
    /// State store
    State,
    /// Notification history
    History,
    /// Push service
    Push,
    /// Directories that files are written to
    Files,
    /// Automation files, and the addresses of their notices
    Automations,
}

impl Part {
    /// Returns its name on the command line and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::State => "state",
            Self::History => "history",
            Self::Push => "push",
            Self::Files => "files",
            Self::Automations => "automations",
        }
    }
}

/// What is examined.
pub struct Examination<'a> {
    pub context: &'a RunContext<'a>,
    pub parts: &'a [Part],
    /// The location of the state store, as far as it is known.
    pub state: Result<Location>,
    /// The automation files, checked; `None` if there are none.
    pub automations: Result<Option<Checked>>,
}

impl Examination<'_> {
    /// Runs every step. Ends when the budget of the context does.
    pub async fn run(self) -> Report {
        let began = Instant::now();
        let at = self.context.clock.now();
        let lists: Vec<(Part, Checklist)> = self
            .parts
            .iter()
            .map(|part| (*part, Checklist::new(part.name())))
            .collect();
        let parts = lists
            .iter()
            .map(|(part, list)| -> Pin<Box<dyn Future<Output = ()> + '_>> {
                match part {
                    Part::Source => Box::pin(source::check(list, self.context)),
                    Part::State => Box::pin(state::check(list, self.context, &self.state)),
                    Part::History => Box::pin(history::check(list, self.context)),
                    Part::Push => Box::pin(push::check(list, self.context)),
                    Part::Files => Box::pin(files::check(list, self.context, &self.state)),
                    Part::Automations => {
                        Box::pin(automations::check(list, self.context, &self.automations))
                    }
                }
            });
        // What has not ended by then is reported as such by its list.
        let _ = timeout_at(self.context.budget.end(), join_all(parts)).await;
        let limit = self.context.budget.total();
        let sections = lists.into_iter().map(|(_, list)| list.finish(limit));
        Report::new(at, began.elapsed(), sections.collect())
    }
}

/// Returns the settings of a part that have a value, each with its origin, for a step that is named `configuration`.
fn origins(resolved: &[Resolved], names: &[&str]) -> String {
    let given = resolved
        .iter()
        .filter(|setting| names.contains(&setting.key.name) && setting.origin != Origin::Default);
    let shown = given.filter_map(|setting| {
        let value = setting.shown.as_ref()?;
        Some(format!("{value} (from {})", setting.origin))
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// Returns another error with the same content.
fn copy(error: &Error) -> Error {
    let copy = Error::new(error.kind(), format!("{error:#}"));
    error.hints().iter().fold(copy, Error::hint)
}
