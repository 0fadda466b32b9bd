//! The expected content of every audience, computed from the contract over the raw tables, in plain Rust.
//!
//! [`tables`] reads the tables with plain SELECTs; [`facts`] answers the contract's common questions (who is live,
//! which size they wear, how often a variant is wished for); each audience's module applies its rules, one user at a
//! time; [`csv_text`] writes the bytes. It shares no code with the queries that it checks, and speed does not matter.
//!
//! Interpretations, where the contract leaves one open:
//! * Blank text counts as missing: text is present if it contains anything except blanks, tabs and line ends. Values
//!   are shown as stored.
//! * A window that ends at `as_of` includes `as_of`; nothing after it counts. "Active" has no upper end.
//! * A product or variant is gone when its row is missing or soft-deleted: no row names it. Offers and trades on a
//!   soft-deleted variant still count for its product ("any variant"), because they were activity.
//! * `deleted_at` counts where the contract names it (users, wishlist items, desired items, offers in
//!   `variant_open_offers`) and on a person's size, all the way to the value; not on inventory, offer items or trades.
//! * A variant with a blank size has none: `Unknown`.
//! * Of several preferred sizes the first in byte order counts.
//! * Where a rule ends in a tie, the lower id decides.

pub(crate) mod csv_text;
pub(crate) mod facts;
mod layer2;
mod layer3;
mod nudges;
mod showcase;
pub(crate) mod tables;
mod waterfall;

use std::collections::BTreeMap;

use uuid::Uuid;

use super::market::DAY;
use csv_text::LineEnding;
use facts::Facts;

pub(crate) use layer2::Layer2;
pub(crate) use layer3::Layer3;
pub(crate) use nudges::Nudges;
pub(crate) use showcase::{Overlap, Showcase};
pub(crate) use waterfall::Waterfall;

/// A value of a CSV: NULL is not the empty string.
pub(crate) type Field = Option<String>;

/// One audience with its parameters.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Layer2(Layer2),
    Layer3(Layer3),
    Showcase(Showcase),
    Waterfall(Waterfall),
    Nudges(Nudges),
}

/// An expected production file: rows in order, each as long as `columns`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpectedFile {
    pub(crate) stem: String,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<Field>>,
}

impl Request {
    /// The audience's name on the command line.
    pub(crate) fn audience(&self) -> &'static str {
        match self {
            Self::Layer2(_) => "layer2",
            Self::Layer3(_) => "layer3",
            Self::Showcase(_) => "showcase",
            Self::Waterfall(_) => "waterfall",
            Self::Nudges(_) => "nudges",
        }
    }

    /// Returns every parameter as flags.
    pub(crate) fn arguments(&self) -> Vec<String> {
        match self {
            Self::Layer2(parameters) => parameters.arguments(),
            Self::Layer3(parameters) => parameters.arguments(),
            Self::Showcase(parameters) => parameters.arguments(),
            Self::Waterfall(parameters) => parameters.arguments(),
            Self::Nudges(parameters) => parameters.arguments(),
        }
    }

    /// Returns every file of the audience in the contract's order, also empty ones.
    pub(crate) fn files(&self, facts: &Facts<'_>) -> Vec<ExpectedFile> {
        match self {
            Self::Layer2(parameters) => layer2::files(facts, parameters),
            Self::Layer3(parameters) => layer3::files(facts, parameters),
            Self::Showcase(parameters) => showcase::files(facts, parameters),
            Self::Waterfall(parameters) => waterfall::files(facts, parameters),
            Self::Nudges(parameters) => nudges::files(facts, parameters),
        }
    }

    /// Returns the bytes of a directory's files by name, for `--name-suffix ''`: the files that are not empty and, if
    /// there are test users, the test file of each.
    pub(crate) fn directory(
        &self,
        facts: &Facts<'_>,
        test_users: &[Uuid],
        line_ending: LineEnding,
    ) -> BTreeMap<String, Vec<u8>> {
        self.written(facts, self.files(facts), test_users, line_ending)
    }

    /// Like [`Audience::directory`], with at most `limit` rows in each file.
    pub(crate) fn limited(
        &self,
        facts: &Facts<'_>,
        test_users: &[Uuid],
        limit: usize,
    ) -> BTreeMap<String, Vec<u8>> {
        let mut files = self.files(facts);
        for file in &mut files {
            file.rows.truncate(limit);
        }
        self.written(facts, files, test_users, LineEnding::Crlf)
    }

    fn written(
        &self,
        facts: &Facts<'_>,
        files: Vec<ExpectedFile>,
        test_users: &[Uuid],
        line_ending: LineEnding,
    ) -> BTreeMap<String, Vec<u8>> {
        let test_marker = match self {
            Self::Waterfall(_) => "-test",
            _ => "_TEST",
        };
        let mut directory = BTreeMap::new();
        for file in files {
            let Some(test_rows) = file.test_rows(facts, test_users) else {
                continue;
            };
            let stem = &file.stem;
            let bytes = csv_text::document(&file.columns, &file.rows, line_ending);
            directory.insert(format!("{stem}.csv"), bytes);
            if !test_rows.is_empty() {
                let bytes = csv_text::document(&file.columns, &test_rows, line_ending);
                directory.insert(format!("{stem}{test_marker}.csv"), bytes);
            }
        }
        directory
    }
}

impl ExpectedFile {
    /// Production row 2 (row 1 if it is the only one) once for each test user, with that user's own identity.
    /// `None` when the production file is empty.
    fn test_rows(&self, facts: &Facts<'_>, test_users: &[Uuid]) -> Option<Vec<Vec<Field>>> {
        let sample = self.rows.get(1).or(self.rows.first())?;
        let row_of = |user: &Uuid| {
            let person = facts.person(*user);
            let own = |(column, value): (&&str, &Field)| match *column {
                "user_id" => Some(person.id.to_string()),
                "username" => person.username.clone(),
                "firstName" => person.first_name.clone(),
                "usersize" => facts.size_of(person.id).map(str::to_owned),
                _ => value.clone(),
            };
            self.columns.iter().zip(sample).map(own).collect()
        };
        Some(test_users.iter().map(row_of).collect())
    }

    /// The row of `user`, if the file has one.
    pub(crate) fn row_of(&self, user: Uuid) -> Option<&Vec<Field>> {
        let user = user.to_string();
        self.rows
            .iter()
            .find(|row| row.first() == Some(&Some(user.clone())))
    }

    /// The value of `column` in `row`.
    pub(crate) fn value<'a>(&self, row: &'a [Field], column: &str) -> &'a Field {
        let place = self.columns.iter().position(|name| *name == column);
        &row[place.unwrap_or_else(|| panic!("{} has no column {column}", self.stem))]
    }
}

/// `--name value` for an integer parameter.
fn flag(name: &str, value: i64) -> [String; 2] {
    [format!("--{name}"), value.to_string()]
}

/// The instant `days` before `as_of`.
fn days_before(facts: &Facts<'_>, days: i64) -> i64 {
    facts.as_of - days * DAY
}
