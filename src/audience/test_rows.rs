//! Test files: one row for each configured test user, with the data of a production row.
//!
//! Identity columns are the test user's own; all others are those of production row 2 (row 1 if it is alone).

use super::files::Filled;
use crate::csv_writer;
use crate::error::{Error, ErrorKind, Result};
use crate::settings::secret::{holds_secret, kind_of};
use crate::source::Snapshot;

/// The identity columns, in the order of `identity.sql`.
const IDENTITY: [&str; 4] = ["user_id", "username", "firstName", "usersize"];

pub(super) const SQL: &str = include_str!("identity.sql");

/// A test user's identity columns from the source, as CSV fields.
#[derive(Debug, Clone)]
pub struct Identity {
    fields: Vec<Vec<u8>>,
}

fn shown(id: &str) -> String {
    if holds_secret(id) {
        kind_of(id)
    } else {
        format!("{id:?}")
    }
}

/// Checks the configured ids, which are used in an array literal.
///
/// # Errors
/// An id is not a UUID.
pub fn check_ids(ids: &[String]) -> Result<()> {
    match ids.iter().find(|id| uuid::Uuid::try_parse(id).is_err()) {
        None => Ok(()),
        Some(bad) => Err(
            Error::usage(format!("the test user {} is not an id", shown(bad)))
                .hint("test_users takes user ids like 0b54ae58-8e5a-4d3e-9b3c-2f6f6f0a1c11"),
        ),
    }
}

/// Reads the test users, in the configured order. The second part of the result
/// lists those that are not in the source.
pub async fn identities(
    snapshot: &Snapshot,
    ids: &[String],
) -> Result<(Vec<Identity>, Vec<String>)> {
    if ids.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let array = format!("{{{}}}", ids.join(","));
    snapshot
        .set_parameters(&[("pushctl.test_users", array)])
        .await?;
    let mut found: Vec<Identity> = Vec::new();
    let mut ranges = Vec::new();
    snapshot
        .copy_out(super::sql::statement(SQL).trim(), &mut |row| {
            let row = row.strip_suffix(b"\n").unwrap_or(row);
            csv_writer::fields(row, &mut ranges);
            found.push(Identity {
                fields: ranges
                    .iter()
                    .map(|range| row[range.clone()].to_vec())
                    .collect(),
            });
            Ok(())
        })
        .await?;
    let known = |id: &&String| {
        !found
            .iter()
            .any(|identity| identity.fields[0].eq_ignore_ascii_case(id.as_bytes()))
    };
    let missing = ids.iter().filter(known).cloned().collect();
    Ok((found, missing))
}

/// Returns the record that a test user gets in the file with these columns.
pub fn record(columns: &[&str], filled: &Filled, identity: &Identity) -> Result<Vec<u8>> {
    let sample = filled.sample.as_ref().ok_or_else(|| {
        Error::new(
            ErrorKind::Bug,
            "a test row needs a file with at least one row",
        )
    })?;
    let mut record = Vec::new();
    for (nth, column) in columns.iter().enumerate() {
        if nth > 0 {
            record.push(b',');
        }
        let own = IDENTITY.iter().position(|name| name == column);
        let field = own.map_or_else(|| sample.get(nth), |place| identity.fields.get(place));
        record.extend_from_slice(field.map_or(&[][..], Vec::as_slice));
    }
    Ok(record)
}
