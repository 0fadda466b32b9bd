//! An audience file as a send reads it: a header line, then a row for each recipient. Errors name the file and the
//! line.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use csv::StringRecord;
use sha2::{Digest, Sha256};

use super::Input;
use crate::count::counted;
use crate::csv_input::{self, Strict};
use crate::csv_line;
use crate::csv_writer::hex;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::suggest::nearest;

/// The names of a user column, in order of preference.
pub const USER_COLUMNS: [&str; 7] = ["user_id", "userId", "id", "User ID", "ID", "user", "User"];
/// The column that makes a look-up of tokens unnecessary.
const TOKEN_COLUMN: &str = "token";

/// An audience being read.
pub struct AudienceReader {
    input: Input,
    name: String,
    columns: Vec<String>,
    user: usize,
    token: Option<usize>,
    reader: csv::Reader<Strict<Hashed>>,
}

impl AudienceReader {
    /// Opens an audience and reads the header.
    pub fn open(input: &Input) -> Result<Self> {
        Self::read(input, None)
    }

    /// Opens an audience for [`AudienceReader::sha256`].
    pub(super) fn open_hashed(input: &Input) -> Result<Self> {
        Self::read(input, Some(Sha256::new()))
    }

    fn read(input: &Input, digest: Option<Sha256>) -> Result<Self> {
        let name = input.name();
        let content = content(input)?;
        let mut reader = csv::ReaderBuilder::new()
            .buffer_capacity(1 << 16)
            .from_reader(Strict::new(Hashed { content, digest }));
        let header = reader.headers().map_err(|error| wrong(input, &error))?;
        let header = csv_input::header(&name, header)?;
        let columns: Vec<String> = header.iter().map(str::to_owned).collect();
        let user = user_column(&name, &columns)?;
        let token = columns.iter().position(|column| column == TOKEN_COLUMN);
        Ok(Self {
            input: input.clone(),
            name,
            columns,
            user,
            token,
            reader,
        })
    }

    /// Returns the names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// Returns the name of the user column.
    pub(super) fn user_column(&self) -> &str {
        &self.columns[self.user]
    }

    /// Returns whether there is a token column.
    pub fn has_tokens(&self) -> bool {
        self.token.is_some()
    }

    /// Reads the next row; returns false at the end. A row without a user id, or with more or fewer fields than the
    /// header, is an error.
    pub fn next(&mut self, row: &mut StringRecord) -> Result<bool> {
        let is_row = self
            .reader
            .read_record(row)
            .map_err(|error| wrong(&self.input, &error))?;
        if is_row && self.user(row).is_empty() {
            return Err(Error::usage(format!(
                "{}: the {} of this row is empty",
                self.place(row),
                self.columns[self.user]
            )));
        }
        Ok(is_row)
    }

    /// Reads a row that was there when the file was checked; `left` are still to come.
    pub(super) fn next_of(&mut self, row: &mut StringRecord, left: u64) -> Result<()> {
        if self.next(row)? {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Failed,
            format!(
                "{} became shorter while it was being read: {} missing",
                self.name,
                counted(left, "rows")
            ),
        ))
    }

    /// Returns the user id of a row.
    pub fn user<'r>(&self, row: &'r StringRecord) -> &'r str {
        row.get(self.user).unwrap_or_default().trim()
    }

    /// Returns the token of a row, if it has one.
    pub fn token<'r>(&self, row: &'r StringRecord) -> Option<&'r str> {
        let token = row.get(self.token?)?.trim();
        (!token.is_empty()).then_some(token)
    }

    /// Returns the file and the line that a row begins in: `a.csv:12`.
    pub fn place(&self, row: &StringRecord) -> String {
        place(&self.input, Self::offset(row))
    }

    /// Returns the line that a row begins in; the CSV reader's own count if the content cannot be read again.
    pub fn line(&self, row: &StringRecord) -> u64 {
        let lines = self.lines(&[Self::offset(row)]).ok();
        let line = lines.and_then(|lines| lines.first().copied());
        line.unwrap_or_else(|| row.position().map_or(0, csv::Position::line))
    }

    /// Returns where a row begins, in bytes; with the line breaks before it, if there are empty lines.
    pub fn offset(row: &StringRecord) -> u64 {
        row.position().map_or(0, csv::Position::byte)
    }

    /// Returns the line that each row begins in, by their offsets. Reads the content anew.
    pub fn lines(&self, offsets: &[u64]) -> Result<Vec<u64>> {
        csv_line::lines_at(content(&self.input)?, offsets)
            .kind(ErrorKind::Failed, || format!("cannot read {}", self.name))
    }

    /// Reads the rest, and returns the SHA-256 of the whole content in hexadecimal; empty unless opened for it.
    pub fn sha256(self) -> Result<String> {
        let mut rest = self.reader.into_inner();
        io::copy(&mut rest, &mut io::sink()).map_err(|error| {
            csv_input::explain_io(&error, &self.name, || content(&self.input).ok())
        })?;
        Ok(rest
            .into_inner()
            .digest
            .map_or_else(String::new, |digest| hex(&digest.finalize())))
    }
}

/// Content that is hashed as it is read, if its hash is wanted.
struct Hashed {
    content: Box<dyn Read + Send>,
    digest: Option<Sha256>,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.content.read(buffer)?;
        if let Some(digest) = &mut self.digest {
            digest.update(&buffer[..count]);
        }
        Ok(count)
    }
}

fn content(input: &Input) -> Result<Box<dyn Read + Send>> {
    Ok(match input {
        Input::File { path, .. } => Box::new(open(path)?),
        Input::Users(ids) => Box::new(Cursor::new(format!("user_id\n{}\n", ids.join("\n")))),
    })
}

/// Returns the file, and the line of the row at an offset; the file alone if it cannot be read again.
fn place(input: &Input, offset: u64) -> String {
    let line = content(input).ok();
    let line = line.and_then(|content| csv_line::line_at(content, offset).ok());
    let name = input.name();
    line.map_or_else(|| name.clone(), |line| format!("{name}:{line}"))
}

fn open(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|error| {
        let missing = error.kind() == io::ErrorKind::NotFound;
        let error = Error::from_cause(ErrorKind::Usage, error)
            .context(format!("cannot read {}", path.display()));
        if missing {
            error.hint("`pushctl generate AUDIENCE` writes audience files")
        } else {
            error
        }
    })?;
    if path.is_dir() {
        return Err(Error::usage(format!(
            "{} is a directory, not an audience file",
            path.display()
        )));
    }
    Ok(file)
}

fn user_column(name: &str, columns: &[String]) -> Result<usize> {
    let found = USER_COLUMNS
        .iter()
        .find_map(|wanted| columns.iter().position(|column| column == wanted));
    found.ok_or_else(|| {
        let error = Error::usage(format!(
            "{name}:1: no user column; the columns are {}",
            columns.join(", ")
        ))
        .hint(format!(
            "name the user column one of {}",
            USER_COLUMNS.join(", ")
        ));
        let alike = columns
            .iter()
            .find(|column| nearest(column, USER_COLUMNS).is_some());
        match alike {
            Some(column) => error.hint(format!("is it {column:?}?")),
            None => error,
        }
    })
}

fn wrong(input: &Input, error: &csv::Error) -> Error {
    csv_input::explain(error, &input.name(), || content(input).ok())
}
