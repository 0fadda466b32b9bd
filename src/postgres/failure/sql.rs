//! An error that the server reports about a statement.

use std::fmt;

use tokio_postgres::error::{DbError, ErrorPosition};

/// An error reported by the server; [`crate::error::Error::find`] gets it out of an error's causes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    pub sqlstate: String,
    pub message: String,
    /// `DETAIL`. It may quote data.
    pub detail: Option<String>,
    /// `HINT`.
    pub hint: Option<String>,
    /// The position in the caller's statement, in characters from 1.
    pub position: Option<usize>,
}

impl SqlError {
    /// The position is in a statement that pushctl wrapped: `before` characters precede the caller's text of `length`.
    pub(crate) fn unwrap_position(&mut self, before: usize, length: usize) {
        self.position = self
            .position
            .and_then(|position| position.checked_sub(before))
            .filter(|position| (1..=length).contains(position));
    }
}

impl From<&DbError> for SqlError {
    fn from(error: &DbError) -> Self {
        Self {
            sqlstate: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
            position: match error.position() {
                Some(ErrorPosition::Original(position)) => usize::try_from(*position).ok(),
                _ => None,
            },
        }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} (SQLSTATE {})", self.message, self.sqlstate)?;
        if let Some(detail) = &self.detail {
            write!(out, "; {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(out, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for SqlError {}
