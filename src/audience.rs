//! Audiences: from a query file to CSV files with a manifest.
//!
//! [`definition`] reads a query file, [`parameters`] its values, [`catalogue`] finds it; [`statement`] makes its three
//! statements, and [`query_context`] prepares a snapshot for them; [`run`] generates the audience, through [`files`],
//! [`test_rows`], [`funnel`], [`history`], [`file_names`], [`manifest`] and `manifest_writer`, or from an earlier run's
//! files, through `last_good`; [`explain`] explains one user.

pub mod catalogue;
pub mod definition;
mod effects;
pub mod explain;
pub mod file_names;
pub mod files;
pub mod funnel;
pub mod header;
pub mod history;
mod last_good;
pub mod manifest;
mod manifest_writer;
pub mod parameters;
pub mod query_context;
pub mod reads;
mod request;
pub mod run;
pub mod sql;
pub mod statement;
pub mod test_rows;

pub use catalogue::{Catalogue, STARTER};
pub use definition::Definition;
pub use parameters::Values;

use crate::error::{Error, Result};
use crate::postgres::SqlError;
use crate::source::Snapshot;
use statement::Statement;

/// Runs the audience's checks; the first that is false ends the run with its message.
async fn checks(snapshot: &Snapshot, definition: &Definition, values: &Values) -> Result<()> {
    for check in &definition.header.checks {
        let statement = statement::check(definition, check);
        let rows = snapshot
            .query(&statement.text)
            .await
            .map_err(|error| located(definition, &statement, error))?;
        let holds = rows.rows.first().and_then(|row| row.first()?.as_deref()) == Some("t");
        if !holds {
            let error = Error::usage(parameters::fill(&check.error, values));
            return Err(match &check.hint {
                Some(hint) => error.hint(parameters::fill(hint, values)),
                None => error,
            });
        }
    }
    Ok(())
}

/// Returns PostgreSQL's error about a statement, with the place in the query file.
fn located(definition: &Definition, statement: &Statement, error: Error) -> Error {
    let Some(sql) = error.find::<SqlError>() else {
        return error;
    };
    match sql
        .position
        .and_then(|position| statement.file_line(position))
    {
        Some(line) => error.context(format!(
            "{}:{line}: this database rejects the query",
            definition.origin
        )),
        None => error.context(format!("the query of {} failed", definition.origin)),
    }
}
