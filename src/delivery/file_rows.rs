//! The rows of one user in the files of a send that is over: the audience, and the outcomes.

use std::path::Path;

use csv::StringRecord;
use serde::Deserialize;

use super::plan::check_unchanged;
use super::{AudienceReader, Input};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::state::ledger::UserKey;

/// A line of an outcome file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct OutcomeLine {
    pub user_id: String,
    pub outcome: String,
    pub code: String,
    pub message_name: String,
    pub attempts: u32,
    pub ms: u64,
}

/// Counts a user's rows of an audience, among the first `limit`.
///
/// # Errors
/// The file is gone, cannot be read, or has changed since it was recorded.
pub fn rows_of(input: &Input, limit: Option<u64>, user: &UserKey) -> Result<u64> {
    let mut reader = AudienceReader::open_hashed(input)?;
    let (mut read, mut found) = (0, 0);
    let mut row = StringRecord::new();
    while limit.is_none_or(|limit| read < limit) && reader.next(&mut row)? {
        read += 1;
        found += u64::from(UserKey::of(reader.user(&row)) == *user);
    }
    check_unchanged(input, &reader.sha256()?)?;
    Ok(found)
}

/// Returns a user's lines of an outcome file.
///
/// # Errors
/// The file is gone, or is none of outcomes.
pub fn outcomes_of(path: &Path, user: &UserKey) -> Result<Vec<OutcomeLine>> {
    let file = std::fs::File::open(path).kind(ErrorKind::Failed, || {
        format!("cannot read {}", path.display())
    })?;
    let lines = csv::Reader::from_reader(std::io::BufReader::new(file)).into_deserialize();
    let mut found = Vec::new();
    for line in lines {
        let line: OutcomeLine = line.map_err(|error| {
            Error::new(
                ErrorKind::Failed,
                format!("{} is no file of outcomes: {error}", path.display()),
            )
        })?;
        if UserKey::of(&line.user_id) == *user {
            found.push(line);
        }
    }
    Ok(found)
}
