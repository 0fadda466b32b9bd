//! Values and rows that both databases support: 64-bit integers, text, bytes, NULL.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::error::{Error, ErrorKind, Result};

/// One statement of a transaction, with its parameters.
pub(super) type Statement = (Cow<'static, str>, Vec<Value>);

/// One row of an export, by column.
pub(super) type Cells = Vec<(String, Value)>;

/// A parameter or a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Int(i64),
    Text(String),
    Blob(Vec<u8>),
}

/// The parameters of a statement, in order: `params![id, now, Value::Null]`.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        vec![$($crate::state::value::Value::from($value)),*]
    };
}
pub(super) use params;

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::Text(value.clone())
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Self {
        Self::Blob(value.to_vec())
    }
}

impl From<Timestamp> for Value {
    fn from(value: Timestamp) -> Self {
        Self::Int(value.as_microsecond())
    }
}

impl From<&serde_json::Value> for Value {
    fn from(value: &serde_json::Value) -> Self {
        Self::Text(value.to_string())
    }
}

impl<T> From<Option<T>> for Value
where
    Self: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}

/// A row of a result; columns are read by position.
#[derive(Debug)]
pub(super) struct Row(pub(super) Vec<Value>);

impl Row {
    pub(super) fn int(&self, column: usize) -> Result<i64> {
        self.opt_int(column)?
            .ok_or_else(|| unexpected(column, "NULL"))
    }

    pub(super) fn opt_int(&self, column: usize) -> Result<Option<i64>> {
        match self.0.get(column) {
            Some(Value::Int(value)) => Ok(Some(*value)),
            Some(Value::Null) => Ok(None),
            other => Err(unexpected(column, &format!("{other:?}"))),
        }
    }

    /// Returns an integer that must fit a smaller type.
    pub(super) fn small<T: TryFrom<i64>>(&self, column: usize) -> Result<T> {
        let value = self.int(column)?;
        T::try_from(value).map_err(|_| unexpected(column, &value.to_string()))
    }

    pub(super) fn text(&self, column: usize) -> Result<String> {
        self.opt_text(column)?
            .ok_or_else(|| unexpected(column, "NULL"))
    }

    pub(super) fn opt_text(&self, column: usize) -> Result<Option<String>> {
        match self.0.get(column) {
            Some(Value::Text(value)) => Ok(Some(value.clone())),
            Some(Value::Null) => Ok(None),
            other => Err(unexpected(column, &format!("{other:?}"))),
        }
    }

    pub(super) fn opt_blob(&self, column: usize) -> Result<Option<Vec<u8>>> {
        match self.0.get(column) {
            Some(Value::Blob(value)) => Ok(Some(value.clone())),
            Some(Value::Null) => Ok(None),
            other => Err(unexpected(column, &format!("{other:?}"))),
        }
    }

    pub(super) fn blob(&self, column: usize) -> Result<Vec<u8>> {
        self.opt_blob(column)?
            .ok_or_else(|| unexpected(column, "NULL"))
    }

    pub(super) fn time(&self, column: usize) -> Result<Timestamp> {
        self.opt_time(column)?
            .ok_or_else(|| unexpected(column, "NULL"))
    }

    pub(super) fn opt_time(&self, column: usize) -> Result<Option<Timestamp>> {
        self.opt_int(column)?
            .map(|micros| {
                Timestamp::from_microsecond(micros)
                    .map_err(|_| unexpected(column, &micros.to_string()))
            })
            .transpose()
    }

    pub(super) fn opt_json(&self, column: usize) -> Result<Option<serde_json::Value>> {
        self.opt_text(column)?
            .map(|text| serde_json::from_str(&text).map_err(|_| unexpected(column, &text)))
            .transpose()
    }
}

/// Makes the error for a value that this version never writes.
fn unexpected(column: usize, seen: &str) -> Error {
    Error::new(
        ErrorKind::Failed,
        format!(
            "the state store contains {seen} in column {column}, which this version never writes"
        ),
    )
    .hint(
        "another version may have written it: `pushctl state status` shows the store's migrations",
    )
}
