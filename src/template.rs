//! Templates: a template is parsed once, bound to the columns of an audience, and rendered for many rows.
//!
//! `[[var:column]]` stands for a column's value, exactly where `\[\[var:([a-zA-Z_][a-zA-Z0-9_]*)\]\]` matches;
//! `[[var:"First Name"]]` for that of a column with any name; `[["text"]]` for the text itself. Other text that looks
//! like a variable is an error. Filters follow the name and apply from left to
//! right: `|default:"there"`, `|number`, `|plural:"person","people"`, `|truncate:40`, `|urlencode`. Inside quotes
//! `\"` and `\\` stand for a quote and a backslash.
//!
//! A text with a value that is empty after its filters is not sent: rendering returns a [`Skip`]. Deliberately absent:
//! conditions, loops, expressions, and network access.

mod filter;
pub mod link;
pub mod message_options;
mod near;
mod parse;
pub mod push;

use std::fmt;
use std::ops::Range;

use crate::suggest::nearest;

use filter::Filter;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part<String>>,
}

/// A template bound to the columns of an audience.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    parts: Vec<Part<Column>>,
    /// Whether a value like `null` counts as empty.
    skips_nulls: bool,
}

/// One piece of a template; `C` names a column.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part<C> {
    Text(String),
    Variable { column: C, filters: Vec<Filter> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    place: usize,
}

/// The source of a template's values: one row of an audience.
pub trait Row {
    /// Returns the value in the column at `place`, counted from 0; empty when the row has none there.
    fn value(&self, place: usize) -> &str;
}

impl Row for csv::StringRecord {
    fn value(&self, place: usize) -> &str {
        self.get(place).unwrap_or_default()
    }
}

impl<T: AsRef<str>> Row for [T] {
    fn value(&self, place: usize) -> &str {
        self.get(place).map_or("", AsRef::as_ref)
    }
}

/// Why a row gets no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Skip {
    /// A variable is empty and has no default.
    Empty { column: String },
    /// A variable has a value like `null`, and no default.
    NullLike { column: String },
    /// `|number` or `|plural` got a value that is not a number.
    NotANumber { column: String },
    /// The deep link is not allowed.
    Link(link::LinkProblem),
    /// The picture's URL is no https URL.
    Image,
    /// The payload is larger than the push service accepts.
    TooLarge {
        /// Bytes of the notification and the data, as JSON.
        bytes: usize,
    },
}

impl fmt::Display for Skip {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty { column } => write!(out, "{column} is empty"),
            Self::NullLike { column } => write!(out, "{column} is null or the like"),
            Self::NotANumber { column } => write!(out, "{column} is not a number"),
            Self::Link(refusal) => refusal.fmt(out),
            Self::Image => out.write_str("the image is not an https URL"),
            Self::TooLarge { bytes } => {
                write!(
                    out,
                    "the payload has {bytes} bytes, {} are allowed",
                    push::MAX_PAYLOAD
                )
            }
        }
    }
}

/// A fault of a template and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// The faulty bytes of the template.
    pub span: Range<usize>,
    pub fault: Fault,
}

/// The faults of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `[[` without `]]`.
    Unclosed,
    /// Text that looks like a variable and is none.
    NearVariable {
        written: String,
        /// The variable that was meant, if that can be known.
        meant: Option<String>,
    },
    /// An unknown filter, with the nearest known one.
    UnknownFilter {
        /// As it is written.
        name: String,
        /// Perhaps what was meant.
        nearest: Option<&'static str>,
    },
    /// A filter with a syntax error.
    Filter {
        /// How it is written.
        usage: &'static str,
    },
    /// A default that is not a number, before a filter that needs one.
    DefaultNotANumber,
    /// A column that the audience does not have, with the nearest one.
    UnknownColumn {
        /// As it is written.
        name: String,
        /// Perhaps what was meant.
        nearest: Option<String>,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meant = |nearest: Option<&str>| match nearest {
            Some(name) => format!("; did you mean `{name}`?"),
            None => String::new(),
        };
        match &self.fault {
            Fault::Unclosed => write!(out, "`[[` is not closed with `]]`"),
            Fault::NearVariable { written, meant } => write!(
                out,
                "`{written}` is not a variable; write `{}`",
                meant.as_deref().unwrap_or("[[var:column]]")
            ),
            Fault::UnknownFilter { name, nearest } => {
                write!(out, "there is no filter `{name}`{}", meant(*nearest))
            }
            Fault::Filter { usage } => write!(out, "this filter is written `{usage}`"),
            Fault::DefaultNotANumber => write!(
                out,
                "this default is not a number: put `|default` after the filter that needs one"
            ),
            Fault::UnknownColumn { name, nearest } => {
                write!(
                    out,
                    "there is no column `{name}`{}",
                    meant(nearest.as_deref())
                )
            }
        }
    }
}

impl std::error::Error for Flaw {}

/// How text that looks like a variable is sent.
pub const LITERAL_HINT: &str = "to send such characters as they stand, put them in [[\"…\"]]";

impl Template {
    /// Parses a text; reports the first fault.
    pub fn parse(source: &str) -> Result<Self, Flaw> {
        parse::parse(source)
    }

    /// Returns the columns it needs, in order of appearance, repetitions included.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Variable { column, .. } => Some(column.as_str()),
        })
    }

    /// Returns the text in front of the first variable; all of it when there is none.
    fn head(&self) -> (&str, Extent) {
        match self.parts.as_slice() {
            [] => ("", Extent::Whole),
            [Part::Text(text)] => (text, Extent::Whole),
            [Part::Text(text), ..] => (text, Extent::Start),
            _ => ("", Extent::Start),
        }
    }

    /// Resolves the columns; of a name that occurs twice, the first counts.
    pub fn bind<S: AsRef<str>>(&self, columns: &[S]) -> Result<Bound, Vec<Flaw>> {
        let mut flaws = Vec::new();
        let mut parts = Vec::with_capacity(self.parts.len());
        for part in &self.parts {
            match part {
                Part::Text(text) => parts.push(Part::Text(text.clone())),
                Part::Variable { column, filters } => {
                    match columns.iter().position(|name| name.as_ref() == column) {
                        Some(place) => parts.push(Part::Variable {
                            column: Column {
                                name: column.clone(),
                                place,
                            },
                            filters: filters.clone(),
                        }),
                        None => flaws.push(unknown_column(column, columns)),
                    }
                }
            }
        }
        if flaws.is_empty() {
            Ok(Bound {
                parts,
                skips_nulls: false,
            })
        } else {
            Err(flaws)
        }
    }
}

/// How much of a template a piece of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    Start,
}

fn unknown_column<S: AsRef<str>>(name: &str, columns: &[S]) -> Flaw {
    let names = columns.iter().map(AsRef::as_ref);
    Flaw {
        span: 0..0,
        fault: Fault::UnknownColumn {
            name: name.to_owned(),
            nearest: nearest(name, names).map(str::to_owned),
        },
    }
}

/// Values that programs write where there is none.
const NULL_LIKE: [&str; 6] = ["null", "NULL", "undefined", "NaN", "None", "\\N"];

impl Bound {
    /// From now on, a value like `null` counts as empty.
    #[must_use]
    pub fn skipping_nulls(self) -> Self {
        Self {
            skips_nulls: true,
            ..self
        }
    }

    /// Appends the text for `row` to `out`. On a skip, `out` holds a part of it.
    pub fn render<R: Row + ?Sized>(&self, row: &R, out: &mut String) -> Result<(), Skip> {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Variable { column, filters } => {
                    let given = row.value(column.place);
                    let is_null = self.skips_nulls && NULL_LIKE.contains(&given.trim());
                    let given = if is_null { "" } else { given };
                    let value = filter::through(filters, given).map_err(|filter::NotANumber| {
                        Skip::NotANumber {
                            column: column.name.clone(),
                        }
                    })?;
                    if value.trim().is_empty() && is_null {
                        return Err(Skip::NullLike {
                            column: column.name.clone(),
                        });
                    }
                    if value.trim().is_empty() {
                        return Err(Skip::Empty {
                            column: column.name.clone(),
                        });
                    }
                    out.push_str(&value);
                }
            }
        }
        Ok(())
    }
}
