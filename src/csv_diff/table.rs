//! A CSV file that is read in order, and again at any row. Its errors name lines.

use std::fs::File;
use std::path::Path;

use csv::{Position, Reader, ReaderBuilder, StringRecord};

use crate::csv_input::{self, Strict};
use crate::csv_line;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::suggest::nearest;

/// A file that is read, and its latest row.
pub(super) struct CsvTable {
    pub(super) path: String,
    reader: Reader<Strict<File>>,
    header: StringRecord,
    pub(super) row: StringRecord,
}

impl CsvTable {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let shown = path.display().to_string();
        let file = File::open(path).kind(ErrorKind::Usage, || format!("cannot read {shown}"))?;
        let mut reader = ReaderBuilder::new()
            .buffer_capacity(1 << 16)
            .from_reader(Strict::new(file));
        let header = reader
            .headers()
            .map_err(|error| unreadable(&shown, &error))?;
        let header = csv_input::header(&shown, header)?;
        Ok(Self {
            path: shown,
            reader,
            header,
            row: StringRecord::new(),
        })
    }

    pub(super) fn next_row(&mut self) -> Result<bool> {
        self.reader
            .read_record(&mut self.row)
            .map_err(|error| unreadable(&self.path, &error))
    }

    pub(super) fn read_at(&mut self, offset: u64) -> Result<()> {
        let mut position = Position::new();
        position.set_byte(offset);
        self.reader
            .seek(position)
            .map_err(|error| unreadable(&self.path, &error))?;
        self.next_row().map(drop)
    }

    /// Gives a column another name.
    ///
    /// # Errors
    /// There is no such column, or another one has the new name.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> Result<()> {
        let renamed = self.needed(from)?;
        if self.column(to).is_some_and(|other| other != renamed) {
            return Err(
                Error::usage(format!("{} already has a column \"{to}\"", self.path)).hint(format!(
                    "give that one another name first: --rename {to}=OTHER"
                )),
            );
        }
        let columns = self.header.iter().enumerate();
        let named = columns.map(|(place, name)| if place == renamed { to } else { name });
        self.header = named.collect();
        Ok(())
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = &str> {
        self.header.iter()
    }

    pub(super) fn column(&self, name: &str) -> Option<usize> {
        self.columns().position(|column| column == name)
    }

    pub(super) fn needed(&self, name: &str) -> Result<usize> {
        self.column(name).ok_or_else(|| {
            let error = Error::usage(format!("{} has no column \"{name}\"", self.path));
            match nearest(name, self.columns()) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint(format!(
                    "it has: {}",
                    self.columns().collect::<Vec<_>>().join(", ")
                )),
            }
        })
    }

    /// Returns where the latest row begins; with line breaks before it, if there are empty lines.
    pub(super) fn offset(&self) -> u64 {
        self.row.position().map_or(0, Position::byte)
    }

    pub(super) fn values(&self, places: &[usize]) -> Vec<String> {
        let value = |place: &usize| self.row.get(*place).unwrap_or_default().to_owned();
        places.iter().map(value).collect()
    }

    pub(super) fn duplicate(&self, earlier: u64, key: &[usize]) -> Error {
        let names = key.iter().filter_map(|place| self.header.get(*place));
        let listed: Vec<String> = names
            .zip(self.values(key))
            .map(|(name, value)| format!("{name} {value:?}"))
            .collect();
        Error::usage(format!(
            "{}:{}: the key {} is already on line {}",
            self.path,
            line_at(&self.path, self.offset()),
            listed.join(", "),
            line_at(&self.path, earlier),
        ))
        .hint("--key takes several columns, separated by commas")
    }
}

fn unreadable(path: &str, error: &csv::Error) -> Error {
    if matches!(error.kind(), csv::ErrorKind::Seek) {
        return Error::usage(format!(
            "cannot seek in {path}: it must be a file, not a pipe"
        ));
    }
    csv_input::explain(error, path, || File::open(path).ok())
}

fn line_at(path: &str, offset: u64) -> String {
    let counted = File::open(path).and_then(|file| csv_line::line_at(file, offset));
    counted.map_or_else(|_| "?".to_owned(), |line| line.to_string())
}
