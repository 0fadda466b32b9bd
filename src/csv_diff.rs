//! Compares two CSV files row by row: by a key, or without one as sets in which equal rows count as often as they
//! occur.
//!
//! The first file is read once into a sorted list of its keys' hashes, each with a hash of the row and the row's
//! offset: 40 bytes a row, independent of its length. The second file is streamed; where a row differs, the first is
//! read again at that row's offset. Columns are matched by name; a column that only one file has is listed and not
//! compared. Line endings, a BOM and needless quotes make no difference.
//!
//! Values are compared as text: `1` and `1.0` are different.

mod table;

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::Path;

use csv::StringRecord;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};
use table::CsvTable;

#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The columns that identify a row in both files; none: all columns that are compared.
    pub key: Vec<String>,
    /// Columns that are not compared.
    pub ignore: Vec<String>,
    /// Columns of the first file that have another name in the second. Key and ignored columns have the second's.
    pub rename: Vec<Renamed>,
    /// How many rows of each kind are kept as examples.
    pub examples: usize,
}

/// A column with another name in the second file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Renamed {
    /// Its name in the first file.
    pub a: String,
    /// Its name in the second.
    pub b: String,
}

/// How two files differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CsvDiff {
    pub a: Side,
    pub b: Side,
    /// The columns of the key; without one, all columns that are compared.
    pub key: Vec<String>,
    /// Whether no key was given: a row is the same only if all its compared columns are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub without_key: bool,
    /// The columns that were left out on request.
    pub ignored: Vec<String>,
    /// The columns that have another name in the second file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub renamed: Vec<Renamed>,
    /// Rows of both files that are equal.
    pub same: u64,
    /// Rows of the second file whose key the first does not have.
    pub added: u64,
    /// Rows of the first file whose key the second does not have.
    pub removed: u64,
    /// Rows of both files that differ.
    pub changed: u64,
    /// Cells that differ, in those rows.
    pub changed_cells: u64,
    /// The same, column by column, for the columns in which any differ.
    pub changed_by_column: Vec<ColumnCount>,
    /// Whether the rows of both files come in the same order.
    pub same_order: bool,
    /// The first of each kind.
    pub examples: Examples,
}

/// One of the files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Side {
    /// Its path, as given.
    pub path: String,
    /// Its rows, without the header.
    pub rows: u64,
    /// Columns that the other does not have.
    pub own_columns: Vec<String>,
}

/// How many cells of a column differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ColumnCount {
    pub column: String,
    pub cells: u64,
}

/// Rows to look at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Examples {
    /// Keys that only the second file has, in its order.
    pub added: Vec<Vec<String>>,
    /// Keys that only the first file has, in its order.
    pub removed: Vec<Vec<String>>,
    /// Rows that differ, in the order of the second file.
    pub changed: Vec<ChangedRow>,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedRow {
    /// The values of the key's columns.
    pub key: Vec<String>,
    /// The cells that differ.
    pub cells: Vec<ChangedCell>,
}

/// A cell that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedCell {
    pub column: String,
    /// Its value in the first file.
    pub a: String,
    /// Its value in the second.
    pub b: String,
}

impl CsvDiff {
    /// Returns whether no row was added, removed or changed and both files have the same columns. Order does not count.
    pub fn is_same(&self) -> bool {
        self.added + self.removed + self.changed == 0
            && self.a.own_columns.is_empty()
            && self.b.own_columns.is_empty()
    }
}

/// Compares two files.
///
/// # Errors
/// A usage error if a file cannot be read, a column is missing, a key occurs twice, or a row is ragged or not UTF-8
/// (with its line).
pub fn diff(a: &Path, b: &Path, options: &Options) -> Result<CsvDiff> {
    let mut first = CsvTable::open(a)?;
    let mut second = CsvTable::open(b)?;
    for column in &options.rename {
        first.rename(&column.a, &column.b)?;
        second.needed(&column.b)?;
    }
    let columns = Columns::of(&first, &second, options)?;
    let mut known = index(&mut first, &columns)?;
    let mut result = CsvDiff::empty(&first, &second, &columns, options);
    result.a.rows = known.len() as u64;
    if options.key.is_empty() {
        match_rows(&mut known, &mut second, &columns, options, &mut result)?;
    } else {
        refuse_duplicate(&known, &mut first, &columns)?;
        match_keys(
            &mut known,
            [&mut first, &mut second],
            &columns,
            options,
            &mut result,
        )?;
    }
    let gone = known.iter().filter(|row| row.matched.is_none());
    let mut gone: Vec<u64> = gone.map(|row| row.offset).collect();
    gone.sort_unstable();
    result.removed = gone.len() as u64;
    for offset in gone.into_iter().take(options.examples) {
        first.read_at(offset)?;
        result.examples.removed.push(first.values(&columns.key_a));
    }
    Ok(result)
}

/// Compares each row of the second file with the row of its key.
fn match_keys(
    known: &mut [KeyedRow],
    [first, second]: [&mut CsvTable; 2],
    columns: &Columns,
    options: &Options,
    result: &mut CsvDiff,
) -> Result<()> {
    let mut added: HashMap<KeyHash, u64> = HashMap::new();
    let mut cells = vec![0_u64; columns.compared.len()];
    let mut latest = 0;
    while second.next_row()? {
        result.b.rows += 1;
        let key = key_hash(&second.row, &columns.key_b);
        let place = known.binary_search_by_key(&key, |row| row.key);
        let Some(row) = place.ok().and_then(|place| known.get_mut(place)) else {
            result.added += 1;
            if let Some(earlier) = added.insert(key, second.offset()) {
                return Err(second.duplicate(earlier, &columns.key_b));
            }
            if result.examples.added.len() < options.examples {
                result.examples.added.push(second.values(&columns.key_b));
            }
            continue;
        };
        if let Some(earlier) = std::mem::replace(&mut row.matched, NonZeroU64::new(second.offset()))
        {
            return Err(second.duplicate(earlier.get(), &columns.key_b));
        }
        result.same_order &= row.offset >= latest;
        latest = latest.max(row.offset);
        if row.hash == row_hash(&second.row, columns.compared.iter().map(|column| column.b)) {
            result.same += 1;
            continue;
        }
        first.read_at(row.offset)?;
        let changed = columns.changed(&first.row, &second.row);
        result.changed += 1;
        result.changed_cells += changed.len() as u64;
        for index in &changed {
            cells[*index] += 1;
        }
        if result.examples.changed.len() < options.examples {
            result.examples.changed.push(ChangedRow {
                key: second.values(&columns.key_b),
                cells: columns.cells(&changed, &first.row, &second.row),
            });
        }
    }
    result.changed_by_column = columns.counts(&cells);
    Ok(())
}

/// Finds an equal row of the first file for each row of the second; each row counts once.
fn match_rows(
    known: &mut [KeyedRow],
    second: &mut CsvTable,
    columns: &Columns,
    options: &Options,
    result: &mut CsvDiff,
) -> Result<()> {
    let mut latest = 0;
    while second.next_row()? {
        result.b.rows += 1;
        let key = key_hash(&second.row, &columns.key_b);
        // Of equal rows, those that are matched come first: the rows are matched in their order.
        let place = known.partition_point(|row| (row.key, row.matched.is_none()) < (key, true));
        let Some(row) = known.get_mut(place).filter(|row| row.key == key) else {
            result.added += 1;
            if result.examples.added.len() < options.examples {
                result.examples.added.push(second.values(&columns.key_b));
            }
            continue;
        };
        row.matched = NonZeroU64::new(second.offset());
        result.same += 1;
        result.same_order &= row.offset >= latest;
        latest = latest.max(row.offset);
    }
    Ok(())
}

/// Reads all rows of the first file, in the order of their keys' hashes.
fn index(table: &mut CsvTable, columns: &Columns) -> Result<Vec<KeyedRow>> {
    let mut known = Vec::new();
    while table.next_row()? {
        known.push(KeyedRow {
            key: key_hash(&table.row, &columns.key_a),
            hash: row_hash(&table.row, columns.compared.iter().map(|pair| pair.a)),
            offset: table.offset(),
            matched: None,
        });
    }
    known.sort_unstable_by_key(|row| (row.key, row.offset));
    Ok(known)
}

fn refuse_duplicate(known: &[KeyedRow], table: &mut CsvTable, columns: &Columns) -> Result<()> {
    let twice = known.windows(2).filter(|pair| pair[0].key == pair[1].key);
    let Some(pair) = twice.min_by_key(|pair| pair[1].offset) else {
        return Ok(());
    };
    table.read_at(pair[1].offset)?;
    Err(table.duplicate(pair[0].offset, &columns.key_a))
}

impl CsvDiff {
    fn empty(first: &CsvTable, second: &CsvTable, columns: &Columns, options: &Options) -> Self {
        let side = |table: &CsvTable, other: &CsvTable| Side {
            path: table.path.clone(),
            rows: 0,
            own_columns: table
                .columns()
                .filter(|name| !columns.ignored(name) && other.column(name).is_none())
                .map(str::to_owned)
                .collect(),
        };
        Self {
            a: side(first, second),
            b: side(second, first),
            key: columns.key.clone(),
            without_key: options.key.is_empty(),
            ignored: options.ignore.clone(),
            renamed: options.rename.clone(),
            same: 0,
            added: 0,
            removed: 0,
            changed: 0,
            changed_cells: 0,
            changed_by_column: Vec::new(),
            same_order: true,
            examples: Examples::default(),
        }
    }
}

/// 128 bits of SHA-256.
type KeyHash = [u64; 2];

/// A row of the first file.
struct KeyedRow {
    key: KeyHash,
    hash: u64,
    offset: u64,
    /// The offset of its row in the second file. No row begins at 0: the header does.
    matched: Option<NonZeroU64>,
}

/// Which columns are compared with which.
struct Columns {
    /// The names of the key's columns.
    key: Vec<String>,
    key_a: Vec<usize>,
    key_b: Vec<usize>,
    compared: Vec<RowPair>,
    ignored: Vec<String>,
}

/// A column of both files, and its place in each.
struct RowPair {
    name: String,
    a: usize,
    b: usize,
}

impl Columns {
    fn of(first: &CsvTable, second: &CsvTable, options: &Options) -> Result<Self> {
        for name in &options.ignore {
            if second.column(name).is_none() {
                first.needed(name)?;
            }
        }
        let is_ignored = |name: &str| options.ignore.iter().any(|ignored| ignored == name);
        let is_key = |name: &str| options.key.iter().any(|key| key == name);
        let compared = first.columns().enumerate().filter_map(|(a, name)| {
            let b = second
                .column(name)
                .filter(|_| !is_ignored(name) && !is_key(name))?;
            Some(RowPair {
                name: name.to_owned(),
                a,
                b,
            })
        });
        let mut compared: Vec<RowPair> = compared.collect();
        let key = if options.key.is_empty() {
            if compared.is_empty() {
                let error = Error::usage(format!(
                    "{} and {} have no column in common that can be compared",
                    first.path, second.path
                ));
                return Err(error.hint("--rename OLD=NEW compares columns of different names"));
            }
            std::mem::take(&mut compared)
                .into_iter()
                .map(|pair| pair.name)
                .collect()
        } else {
            options.key.clone()
        };
        let places = |table: &CsvTable| -> Result<Vec<usize>> {
            key.iter().map(|name| table.needed(name)).collect()
        };
        let (key_a, key_b) = (places(first)?, places(second)?);
        Ok(Self {
            key,
            key_a,
            key_b,
            compared,
            ignored: options.ignore.clone(),
        })
    }

    fn ignored(&self, name: &str) -> bool {
        self.ignored.iter().any(|ignored| ignored == name)
    }

    /// Returns which of the compared columns differ.
    fn changed(&self, a: &StringRecord, b: &StringRecord) -> Vec<usize> {
        let pairs = self.compared.iter().enumerate();
        pairs
            .filter(|(_, pair)| a.get(pair.a) != b.get(pair.b))
            .map(|(index, _)| index)
            .collect()
    }

    fn cells(&self, changed: &[usize], a: &StringRecord, b: &StringRecord) -> Vec<ChangedCell> {
        let cell = |record: &StringRecord, place| record.get(place).unwrap_or_default().to_owned();
        let pairs = changed.iter().filter_map(|index| self.compared.get(*index));
        pairs
            .map(|pair| ChangedCell {
                column: pair.name.clone(),
                a: cell(a, pair.a),
                b: cell(b, pair.b),
            })
            .collect()
    }

    fn counts(&self, cells: &[u64]) -> Vec<ColumnCount> {
        let counted = self
            .compared
            .iter()
            .zip(cells)
            .filter(|(_, cells)| **cells > 0);
        counted
            .map(|(pair, cells)| ColumnCount {
                column: pair.name.clone(),
                cells: *cells,
            })
            .collect()
    }
}

fn key_hash(row: &StringRecord, places: &[usize]) -> KeyHash {
    let digest = digest(row, places.iter().copied());
    [word(&digest, 0), word(&digest, 8)]
}

fn row_hash(row: &StringRecord, places: impl Iterator<Item = usize>) -> u64 {
    word(&digest(row, places), 0)
}

fn word(digest: &[u8; 32], from: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|place| digest[from + place]))
}

fn digest(row: &StringRecord, places: impl Iterator<Item = usize>) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for place in places {
        let value = row.get(place).unwrap_or_default();
        hasher.update((value.len() as u64).to_le_bytes());
        hasher.update(value);
    }
    hasher.finalize().into()
}
