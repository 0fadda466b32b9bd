//! Compares two CSV files row by row by a key.
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
    /// The columns that identify a row in both files.
    pub key: Vec<String>,
    /// Columns that are not compared.
    pub ignore: Vec<String>,
    /// How many rows of each kind are kept as examples.
    pub examples: usize,
}

/// How two files differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CsvDiff {
    pub a: Side,
    pub b: Side,
    /// The columns of the key.
    pub key: Vec<String>,
    /// The columns that were left out on request.
    pub ignored: Vec<String>,
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
    let columns = Columns::of(&first, &second, options)?;
    let mut known = index(&mut first, &columns)?;
    let mut result = CsvDiff::empty(&first, &second, &columns, options);
    result.a.rows = known.len() as u64;
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
    let twice = known.windows(2).filter(|pair| pair[0].key == pair[1].key);
    if let Some(pair) = twice.min_by_key(|pair| pair[1].offset) {
        table.read_at(pair[1].offset)?;
        return Err(table.duplicate(pair[0].offset, &columns.key_a));
    }
    Ok(known)
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
            key: options.key.clone(),
            ignored: options.ignore.clone(),
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
        if options.key.is_empty() {
            return Err(Error::usage("no key column is given")
                .hint("pass the columns that identify a row, like --key user_id"));
        }
        let places = |table: &CsvTable| -> Result<Vec<usize>> {
            options.key.iter().map(|name| table.needed(name)).collect()
        };
        let (key_a, key_b) = (places(first)?, places(second)?);
        for name in &options.ignore {
            if second.column(name).is_none() {
                first.needed(name)?;
            }
        }
        let compared = first.columns().enumerate().filter_map(|(a, name)| {
            let skipped = options
                .key
                .iter()
                .chain(&options.ignore)
                .any(|skipped| skipped == name);
            let b = second.column(name).filter(|_| !skipped)?;
            Some(RowPair {
                name: name.to_owned(),
                a,
                b,
            })
        });
        Ok(Self {
            key_a,
            key_b,
            compared: compared.collect(),
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
