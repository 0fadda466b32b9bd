//! Distributes an audience's rows to its files: a stream in, a CSV per file out, with constant memory.

use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;

use super::definition::Definition;
use super::statement;
use crate::atomic_publish::Staging;
use crate::csv_writer;
use crate::csv_writer::{LineEnding, Writer, Written};
use crate::error::{Error, ErrorKind, Result};

/// The destination of the rows.
#[derive(Debug)]
pub enum Destination<'a> {
    /// Every file into a staging directory, to be published together.
    Staged(&'a Staging),
    /// One file, by index, into an unnamed temporary file; the others are only counted.
    Spooled(usize),
    /// Rows are only counted.
    Counted,
}

/// Takes the rows of one run of an audience.
#[derive(Debug)]
pub struct AudienceFiles<'a> {
    destination: &'a Destination<'a>,
    ending: LineEnding,
    limit: u64,
    outputs: Vec<StagedOutput>,
    ranges: Vec<Range<usize>>,
    record: Vec<u8>,
    sharing: Option<Sharing>,
}

/// The users that the files partition: all who pass the stages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Base {
    pub people: u64,
    /// Users with rows in more than one file.
    pub repeated: u64,
}

/// Counts for the partition proof. It also sees rows that no file takes; a user's rows are adjacent.
#[derive(Debug)]
struct Sharing {
    /// The place of `user_id` in the union of columns.
    user: usize,
    previous: Vec<u8>,
    base: Base,
}

#[derive(Debug)]
struct StagedOutput {
    columns: Vec<String>,
    /// The index of each of its columns in the union of columns.
    places: Vec<usize>,
    /// Whether the row without the file's index is the record unchanged.
    verbatim: bool,
    writer: Option<Writer>,
    rows: u64,
    /// The second record, or the first of one: the source of the test rows' product columns.
    sample: Vec<u8>,
}

/// A file after its last row.
#[derive(Debug)]
pub struct Filled {
    /// The number of its rows, also with [`Destination::Counted`].
    pub rows: u64,
    /// Size and hash, if it was written.
    pub written: Option<(File, Written)>,
    /// Fields of the record for the product columns of test rows.
    pub sample: Option<Vec<Vec<u8>>>,
}

/// Returns the name of a production file in the staging directory.
pub fn staged_name(index: usize) -> String {
    format!("{index}.csv")
}

/// Returns the name of a test file in the staging directory.
pub(super) fn staged_test_name(index: usize) -> String {
    format!("{index}.test.csv")
}

impl<'a> AudienceFiles<'a> {
    /// Begins empty files for one pass over the rows. `limit` is the maximum of rows per file.
    pub fn new(
        definition: &Definition,
        destination: &'a Destination<'a>,
        ending: LineEnding,
        limit: Option<u64>,
    ) -> Self {
        let union = statement::columns(definition);
        let output = |file: &super::header::OutputFile| {
            let columns: Vec<String> = file.column_names().map(str::to_owned).collect();
            let place = |name: &String| union.iter().position(|column| column.name == name);
            let places: Vec<usize> = columns.iter().filter_map(place).collect();
            StagedOutput {
                verbatim: places.iter().copied().eq(0..union.len()),
                columns,
                places,
                writer: None,
                rows: 0,
                sample: Vec::new(),
            }
        };
        Self {
            destination,
            ending,
            limit: limit.unwrap_or(u64::MAX),
            outputs: definition.header.files.iter().map(output).collect(),
            ranges: Vec::new(),
            record: Vec::new(),
            sharing: definition.header.partition.then(|| Sharing {
                user: union
                    .iter()
                    .position(|column| column.name == "user_id")
                    .unwrap_or(0),
                previous: Vec::new(),
                base: Base::default(),
            }),
        }
    }

    /// Returns the users that the files partition, for an audience that declares `partition`.
    pub fn base(&self) -> Option<Base> {
        self.sharing.as_ref().map(|sharing| sharing.base)
    }

    /// Takes one row of [`statement::audience`] as COPY yields it: the file's index, the union of
    /// columns, a line feed.
    pub fn take(&mut self, row: &[u8]) -> Result<()> {
        let (index, fields) = split_index(row).ok_or_else(|| {
            Error::new(
                ErrorKind::Bug,
                format!(
                    "unexpected format of a row: {:?}",
                    String::from_utf8_lossy(row)
                ),
            )
        })?;
        if let Some(sharing) = &mut self.sharing {
            csv_writer::fields(fields, &mut self.ranges);
            let user = &fields[self.ranges[sharing.user].clone()];
            if sharing.previous == user {
                sharing.base.repeated += 1;
            } else {
                sharing.base.people += 1;
                sharing.previous.clear();
                sharing.previous.extend_from_slice(user);
            }
        }
        let Some(index) = index else { return Ok(()) };
        let Some(output) = self.outputs.get_mut(index) else {
            return Err(Error::new(
                ErrorKind::Bug,
                format!("a row belongs to file {index}, which does not exist"),
            ));
        };
        if output.rows >= self.limit {
            return Ok(());
        }
        output.rows += 1;
        let record = if output.verbatim {
            fields
        } else {
            csv_writer::fields(fields, &mut self.ranges);
            self.record.clear();
            for (nth, place) in output.places.iter().enumerate() {
                if nth > 0 {
                    self.record.push(b',');
                }
                self.record
                    .extend_from_slice(&fields[self.ranges[*place].clone()]);
            }
            &self.record
        };
        if output.rows <= 2 {
            output.sample = record.to_vec();
        }
        if output.writer.is_none() {
            output.writer = open(self.destination, index, &output.columns, self.ending)?;
        }
        match &mut output.writer {
            Some(writer) => writer.record(record),
            None => Ok(()),
        }
    }

    /// Returns the number of rows that the files took.
    pub fn rows(&self) -> u64 {
        self.outputs.iter().map(|output| output.rows).sum()
    }

    pub fn finish(self) -> Result<Vec<Filled>> {
        let finish = |output: StagedOutput| {
            let mut ranges = Vec::new();
            csv_writer::fields(&output.sample, &mut ranges);
            let sample = ranges
                .into_iter()
                .map(|range| output.sample[range].to_vec())
                .collect();
            Ok(Filled {
                rows: output.rows,
                written: output.writer.map(Writer::finish).transpose()?,
                sample: (output.rows > 0).then_some(sample),
            })
        };
        self.outputs.into_iter().map(finish).collect()
    }
}

fn open(
    destination: &Destination<'_>,
    index: usize,
    columns: &[String],
    ending: LineEnding,
) -> Result<Option<Writer>> {
    let (file, path) = match destination {
        Destination::Staged(staging) => staging.create(&staged_name(index))?,
        Destination::Spooled(chosen) if *chosen == index => {
            let directory = std::env::temp_dir();
            let file = tempfile::tempfile_in(&directory)
                .map_err(|error| csv_writer::cannot_write(&directory, error))?;
            (file, directory)
        }
        Destination::Spooled(_) | Destination::Counted => return Ok(None),
    };
    let path: PathBuf = path;
    Writer::begin(file, &path, columns.iter().map(String::as_str), ending).map(Some)
}

/// Returns the file's index before the first comma, if a file takes the row, and the rest without its line feed.
fn split_index(row: &[u8]) -> Option<(Option<usize>, &[u8])> {
    let row = row.strip_suffix(b"\n")?;
    let comma = memchr::memchr(b',', row)?;
    let index = match &row[..comma] {
        b"" => None,
        digits => Some(std::str::from_utf8(digits).ok()?.parse().ok()?),
    };
    Some((index, &row[comma + 1..]))
}
