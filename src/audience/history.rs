//! Users with recent pushes, for audiences that leave them out.
//!
//! Reads only what a query file's `[history]` needs; [`crate::cadence`] has the limits of a send.

use super::definition::Definition;
use super::manifest::HistoryNote;
use super::parameters::Values;
use crate::budget::Budget;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::Interrupt;
use crate::source::{Snapshot, Source, Watch};

const SQL: &str = include_str!("history.sql");
const CANNOT_READ: &str = "cannot read the notification history";

/// Returns whether a generation failed because of the history, and not because of the source.
pub(super) fn is_cause_of(error: &Error) -> bool {
    error
        .messages()
        .iter()
        .any(|message| message == CANNOT_READ)
}

/// The place of the notification history.
#[derive(Debug)]
pub enum HistorySource {
    /// No history: no user is left out.
    None,
    /// In a PostgreSQL database with the table `user_notifications`.
    Postgres(Box<Source>),
}

/// What the notification history is asked for.
pub(super) struct HistoryQuestion<'a> {
    pub(super) definition: &'a Definition,
    pub(super) values: &'a Values,
    pub(super) history: &'a HistorySource,
    pub(super) interrupt: &'a Interrupt,
    pub(super) watch: &'a dyn Watch,
}

/// Sets `:already_sent` for the audience's `SELECT`, if it uses it.
pub(super) async fn apply(
    snapshot: &Snapshot,
    budget: &Budget,
    question: &HistoryQuestion<'_>,
    as_of: &str,
) -> Result<Option<HistoryNote>> {
    let Some(rule) = &question.definition.header.history else {
        return Ok(None);
    };
    let value = |name: &toml::Spanned<String>| {
        question
            .values
            .get(name.get_ref())
            .cloned()
            .unwrap_or_default()
    };
    let users = match question.history {
        HistorySource::None => Vec::new(),
        HistorySource::Postgres(history) => {
            let settings = [
                ("pushctl.layer", rule.layer.to_string()),
                ("pushctl.at_least", value(&rule.at_least)),
                ("pushctl.within_days", value(&rule.within_days)),
                ("pushctl.as_of", as_of.to_owned()),
            ];
            read(history, budget, question, &settings).await?
        }
    };
    snapshot
        .set_parameters(&[("pushctl.already_sent", format!("{{{}}}", users.join(",")))])
        .await?;
    Ok(Some(HistoryNote {
        from: match question.history {
            HistorySource::None => "none",
            HistorySource::Postgres(_) => "postgres",
        }
        .into(),
        already_sent: users.len() as u64,
    }))
}

async fn read(
    history: &Source,
    budget: &Budget,
    question: &HistoryQuestion<'_>,
    settings: &[(&str, String)],
) -> Result<Vec<String>> {
    let rows = history
        .read(
            budget,
            question.interrupt,
            question.watch,
            async |snapshot: &Snapshot| {
                snapshot.set_parameters(settings).await?;
                snapshot.query(super::sql::statement(SQL).trim()).await
            },
        )
        .await
        .map_err(|error| error.context(CANNOT_READ))?;
    rows.rows
        .into_iter()
        .map(|row| row.into_iter().next().flatten())
        .collect::<Option<Vec<String>>>()
        .ok_or_else(|| {
            Error::new(
                ErrorKind::Bug,
                "the notification history answered without a user id",
            )
        })
}
