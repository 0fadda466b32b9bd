//! CSV files as pushctl writes them: RFC 4180, UTF-8 without BOM, a header line, NULL as an empty field.
//!
//! Records come from `COPY … (FORMAT csv)`; the writer adds the line ending, counts and hashes them. A line break
//! inside quotes is data and stays unchanged.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind, Result};

/// Bytes buffered before a write: COPY yields one small chunk a row.
const BUFFER: usize = 256 * 1024;

/// The line ending of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LineEnding {
    /// `\r\n`, as RFC 4180 has it.
    #[default]
    Crlf,
    /// `\n`.
    Lf,
}

impl LineEnding {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Crlf => b"\r\n",
            Self::Lf => b"\n",
        }
    }
}

/// A file being written.
#[derive(Debug)]
pub struct Writer {
    out: BufWriter<File>,
    path: PathBuf,
    ending: LineEnding,
    digest: Sha256,
    bytes: u64,
    rows: u64,
}

/// The size and hash of a finished file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Records, without the header.
    pub rows: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 of the whole content, in hexadecimal.
    pub sha256: String,
}

impl Writer {
    /// Begins a file with its header line. `path` is only for messages.
    pub fn begin<'a>(
        file: File,
        path: &Path,
        columns: impl IntoIterator<Item = &'a str>,
        ending: LineEnding,
    ) -> Result<Self> {
        let mut writer = Self {
            out: BufWriter::with_capacity(BUFFER, file),
            path: path.into(),
            ending,
            digest: Sha256::new(),
            bytes: 0,
            rows: 0,
        };
        writer.put(&header(columns))?;
        Ok(writer)
    }

    /// Adds one record: its fields, quoted where needed and separated by commas, without a line ending.
    pub fn record(&mut self, record: &[u8]) -> Result<()> {
        self.rows += 1;
        self.put(record)
    }

    /// Flushes and syncs to the disk, and returns the file.
    pub fn finish(mut self) -> Result<(File, Written)> {
        let path = self.path.clone();
        let failed = |error| cannot_write(&path, error);
        self.out.flush().map_err(failed)?;
        let file = self
            .out
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        let written = Written {
            rows: self.rows,
            bytes: self.bytes,
            sha256: hex(&self.digest.finalize()),
        };
        Ok((file, written))
    }

    fn put(&mut self, record: &[u8]) -> Result<()> {
        for part in [record, self.ending.bytes()] {
            self.out
                .write_all(part)
                .map_err(|error| cannot_write(&self.path, error))?;
            self.digest.update(part);
            self.bytes += part.len() as u64;
        }
        Ok(())
    }
}

/// Returns the header line without its ending, quoted as COPY quotes.
fn header<'a>(columns: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
    let mut line = Vec::new();
    for (index, column) in columns.into_iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        if column.is_empty() || column.contains([',', '"', '\n', '\r']) {
            line.extend_from_slice(format!("\"{}\"", column.replace('"', "\"\"")).as_bytes());
        } else {
            line.extend_from_slice(column.as_bytes());
        }
    }
    line
}

/// Finds where each field of a record begins and ends, its quotes included. Appends to `fields`, which is
/// cleared first and reused for every record.
pub fn fields(record: &[u8], fields: &mut Vec<std::ops::Range<usize>>) {
    fields.clear();
    let mut start = 0;
    let mut quoted = false;
    for at in memchr::memchr2_iter(b',', b'"', record) {
        if record[at] == b'"' {
            quoted = !quoted;
        } else if !quoted {
            fields.push(start..at);
            start = at + 1;
        }
    }
    fields.push(start..record.len());
}

/// Returns the error of a failed write, with a hint for its cause.
pub fn cannot_write(path: &Path, error: std::io::Error) -> Error {
    use std::io::ErrorKind as Io;
    let hint = match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => {
            Some("the disk is full: make room, or choose another --output")
        }
        Io::ReadOnlyFilesystem => Some("the file system is read-only: choose another --output"),
        Io::PermissionDenied => Some("this user may not write there: choose another --output"),
        Io::NotADirectory => Some("a part of that path is a file: choose another --output"),
        _ => None,
    };
    let failure = Error::from_cause(ErrorKind::Failed, error)
        .context(format!("cannot write {}", path.display()));
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(record: &str) -> Vec<&str> {
        let mut ranges = Vec::new();
        fields(record.as_bytes(), &mut ranges);
        ranges.into_iter().map(|range| &record[range]).collect()
    }

    #[test]
    fn quotes_hide_commas_and_doubled_quotes() {
        assert_eq!(
            split("1,\"a,\"\"b\"\"\",,x"),
            ["1", "\"a,\"\"b\"\"\"", "", "x"]
        );
        assert_eq!(split(""), [""]);
    }

    proptest::proptest! {
        #[test]
        fn fields_are_what_a_csv_reader_sees(texts in proptest::collection::vec("[a,\"\n\r é]{0,6}", 1..6)) {
            let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
            writer.write_record(&texts).unwrap();
            let line = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            let seen: Vec<String> = split(line.strip_suffix('\n').unwrap())
                .into_iter()
                .map(|field| field[1..field.len() - 1].replace("\"\"", "\""))
                .collect();
            assert_eq!(seen, texts);
        }
    }
}
