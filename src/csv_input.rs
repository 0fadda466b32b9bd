//! CSV from outside, read strictly: RFC 4180 and nothing else, so that no row is swallowed or garbled.
//!
//! The `csv` crate accepts every text: a quote inside an unquoted field, text after a closing quote, and a quote that
//! is never closed, which makes one field of the rest of the file. [`Strict`] looks at the bytes on their way to that
//! crate and ends the reading at the first one that RFC 4180 does not allow. [`header`] checks the names of the
//! columns, and [`explain`] makes an error with file, line and row of either's.

use std::collections::HashSet;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom};

use csv::StringRecord;
use memchr::{memchr, memchr_iter, memchr2, memchr3};

use crate::count::counted;
use crate::csv_line;
use crate::error::{Error, ErrorKind, Result};

/// A quoted field with this many lines that look like rows has swallowed rows.
const SWALLOWED: u32 = 3;

/// Content that ends with an error where it is not CSV.
pub struct Strict<R> {
    content: R,
    state: State,
    /// The last byte outside quotes; a line break at the beginning.
    last: u8,
    offset: u64,
    /// Commas of the first line, and whether it is complete.
    header: (u32, bool),
    quoted: Quoted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Outside,
    /// Behind a CR outside quotes.
    Return,
    Inside,
    /// Behind a quote inside quotes: the field ends, or the quote is one of two.
    Quote,
}

/// A quoted field so far.
#[derive(Default)]
struct Quoted {
    began: u64,
    /// Commas since the last line break in it.
    commas: u32,
    /// Its lines behind the first.
    lines: u32,
    /// Whether each of those has the commas of a row.
    alike: bool,
}

/// What RFC 4180 does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Utf16,
    Nul,
    LoneReturn,
    QuoteInside,
    TextBehind,
    Unclosed,
    Swallowed,
}

/// A fault and the byte it begins at.
#[derive(Debug)]
struct Malformed {
    fault: Fault,
    offset: u64,
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self.fault {
            Fault::Utf16 => "the file is UTF-16",
            Fault::Nul => "there is a NUL byte: the file is UTF-16, or no text",
            Fault::LoneReturn => "a line ends in CR alone",
            Fault::QuoteInside => "there is a quote inside a field that does not begin with one",
            Fault::TextBehind => "text follows the quote that closes a field",
            Fault::Unclosed => "the quote that opens here is never closed",
            Fault::Swallowed => {
                "the quoted field that begins here contains whole rows: its closing quote is missing"
            }
        })
    }
}

impl std::error::Error for Malformed {}

impl Fault {
    fn hint(self) -> &'static str {
        match self {
            Self::Utf16 | Self::Nul => "save the file as UTF-8",
            Self::LoneReturn => {
                "end lines with LF or CRLF; put a field with a line break in quotes"
            }
            Self::QuoteInside | Self::TextBehind => {
                "put the whole field in quotes, without blanks around them, and write a quote inside it twice: \
                 \"say \"\"hi\"\"\", not \"say \\\"hi\\\"\""
            }
            Self::Unclosed | Self::Swallowed => {
                "close the quote, or remove it; inside a quoted field a quote is written twice"
            }
        }
    }
}

impl<R> Strict<R> {
    pub fn new(content: R) -> Self {
        Self {
            content,
            state: State::Outside,
            last: b'\n',
            offset: 0,
            header: (0, false),
            quoted: Quoted::default(),
        }
    }

    pub fn into_inner(self) -> R {
        self.content
    }

    /// Looks at the next bytes.
    fn check(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let mut at = 0;
        if self.offset == 0 {
            if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
                return Err(self.malformed(Fault::Utf16, 0));
            }
            if bytes.starts_with(b"\xef\xbb\xbf") {
                at = 3;
            }
        }
        while at < bytes.len() {
            at = match self.state {
                State::Outside => self.outside(bytes, at)?,
                State::Inside => self.inside(bytes, at)?,
                State::Return if bytes[at] == b'\n' => {
                    self.header.1 = true;
                    self.leave(b'\n', at)
                }
                State::Return => return Err(self.malformed(Fault::LoneReturn, at)),
                State::Quote => match bytes[at] {
                    b'"' => {
                        self.state = State::Inside;
                        at + 1
                    }
                    b'\r' => {
                        self.state = State::Return;
                        at + 1
                    }
                    end @ (b',' | b'\n') => {
                        self.header.0 += u32::from(end == b',' && !self.header.1);
                        self.header.1 |= end == b'\n';
                        self.leave(end, at)
                    }
                    _ => return Err(self.malformed(Fault::TextBehind, at)),
                },
            };
        }
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Passes over text outside quotes; returns where something else begins.
    fn outside(&mut self, bytes: &[u8], from: usize) -> Result<usize, Malformed> {
        let found = memchr3(b'"', b'\r', 0, &bytes[from..]).map(|length| from + length);
        let end = found.unwrap_or(bytes.len());
        self.count_header(&bytes[from..end]);
        if end > from {
            self.last = bytes[end - 1];
        }
        let Some(at) = found else {
            return Ok(end);
        };
        match bytes[at] {
            b'\r' => self.state = State::Return,
            b'"' if matches!(self.last, b',' | b'\n') => {
                self.state = State::Inside;
                self.quoted = Quoted {
                    began: self.offset + at as u64,
                    alike: self.header.1 && self.header.0 > 0,
                    ..Quoted::default()
                };
            }
            b'"' => return Err(self.malformed(Fault::QuoteInside, at)),
            _ => return Err(self.malformed(Fault::Nul, at)),
        }
        Ok(at + 1)
    }

    fn inside(&mut self, bytes: &[u8], from: usize) -> Result<usize, Malformed> {
        let found = memchr2(b'"', 0, &bytes[from..]).map(|length| from + length);
        let end = found.unwrap_or(bytes.len());
        self.count_lines(&bytes[from..end])?;
        match found {
            Some(at) if bytes[at] == b'"' => self.state = State::Quote,
            Some(at) => return Err(self.malformed(Fault::Nul, at)),
            None => return Ok(end),
        }
        Ok(end + 1)
    }

    /// Counts the rows that a quoted field seems to contain.
    fn count_lines(&mut self, mut part: &[u8]) -> Result<(), Malformed> {
        while self.quoted.alike {
            let line = memchr(b'\n', part);
            if line.is_none() && self.quoted.lines == 0 {
                break;
            }
            let end = line.unwrap_or(part.len());
            if self.quoted.lines > 0 {
                let commas = memchr_iter(b',', &part[..end]).count();
                self.quoted.commas += u32::try_from(commas).unwrap_or(u32::MAX);
            }
            let Some(end) = line else {
                break;
            };
            self.quoted.alike = self.quoted.lines == 0 || self.quoted.commas == self.header.0;
            if self.quoted.alike && self.quoted.lines == SWALLOWED {
                return Err(Malformed {
                    fault: Fault::Swallowed,
                    offset: self.quoted.began,
                });
            }
            self.quoted.lines += 1;
            self.quoted.commas = 0;
            part = &part[end + 1..];
        }
        Ok(())
    }

    fn count_header(&mut self, part: &[u8]) {
        if self.header.1 {
            return;
        }
        let line = memchr(b'\n', part);
        let end = line.unwrap_or(part.len());
        let commas = memchr_iter(b',', &part[..end]).count();
        self.header.0 += u32::try_from(commas).unwrap_or(u32::MAX);
        self.header.1 = line.is_some();
    }

    fn leave(&mut self, last: u8, at: usize) -> usize {
        self.state = State::Outside;
        self.last = last;
        at + 1
    }

    fn malformed(&self, fault: Fault, at: usize) -> Malformed {
        let offset = self.offset + at as u64;
        Malformed { fault, offset }
    }

    fn check_end(&self) -> Result<(), Malformed> {
        match self.state {
            State::Outside | State::Quote => Ok(()),
            State::Return => Err(Malformed {
                fault: Fault::LoneReturn,
                offset: self.offset.saturating_sub(1),
            }),
            State::Inside => Err(Malformed {
                fault: Fault::Unclosed,
                offset: self.quoted.began,
            }),
        }
    }
}

impl<R: Read> Read for Strict<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = self.content.read(buffer)?;
        // The mark of an encoding comes whole.
        while self.offset == 0 && count > 0 && count < 3.min(buffer.len()) {
            match self.content.read(&mut buffer[count..])? {
                0 => break,
                more => count += more,
            }
        }
        let checked = if count == 0 && !buffer.is_empty() {
            self.check_end()
        } else {
            self.check(&buffer[..count])
        };
        checked.map_err(|found| io::Error::new(io::ErrorKind::InvalidData, found))?;
        Ok(count)
    }
}

/// To the beginning of a record.
impl<R: Seek> Seek for Strict<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.offset = self.content.seek(to)?;
        self.state = State::Outside;
        self.last = b'\n';
        Ok(self.offset)
    }
}

/// Returns the names of the columns, without blanks around them.
///
/// # Errors
/// There are none, one is empty or twice there, or something else than a comma separates them.
pub fn header(name: &str, record: &StringRecord) -> Result<StringRecord> {
    let mut columns = record.clone();
    columns.trim();
    if columns.iter().all(str::is_empty) {
        return Err(Error::usage(format!(
            "{name} is empty: it has no header line"
        )));
    }
    let first = columns.get(0).unwrap_or_default();
    if first.len() <= 5 && first.to_ascii_lowercase().starts_with("sep=") {
        return Err(Error::usage(format!(
            "{name}:1: the first line is {first:?}, which only spreadsheet programs understand"
        ))
        .hint("remove it; the first line holds the names of the columns, separated by commas"));
    }
    for (separator, called) in [(';', "semicolons"), ('\t', "tabs"), ('|', "|")] {
        let found: usize = record
            .iter()
            .map(|one| one.matches(separator).count())
            .sum();
        if found >= columns.len() {
            return Err(Error::usage(format!(
                "{name}:1: {called} separate the columns, and not commas"
            ))
            .hint("save the file as CSV with commas, in UTF-8"));
        }
    }
    let mut seen = HashSet::new();
    for (place, column) in columns.iter().enumerate() {
        if column.is_empty() {
            return Err(
                Error::usage(format!("{name}:1: column {} has no name", place + 1))
                    .hint("name it, or remove the column"),
            );
        }
        if !seen.insert(column) {
            return Err(
                Error::usage(format!("{name}:1: two columns are called \"{column}\""))
                    .hint("rename one of them, or remove it"),
            );
        }
    }
    Ok(columns)
}

/// Returns an error of the reader, with file, line and row. `content` opens the file again, to count its lines.
pub fn explain<R: Read>(error: &csv::Error, name: &str, content: impl Fn() -> Option<R>) -> Error {
    let at = |offset: u64| {
        let line = content().and_then(|content| csv_line::line_at(content, offset).ok());
        line.map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"))
    };
    let start = |position: Option<&csv::Position>| at(position.map_or(0, csv::Position::byte));
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            pos,
            expected_len,
            len,
        } => Error::usage(format!(
            "{}: this row has {}, the header has {expected_len}",
            start(pos.as_ref()),
            counted(*len, "fields")
        ))
        .hint("put a field with a comma, a quote or a line break in quotes"),
        csv::ErrorKind::Utf8 { pos, err } => Error::usage(format!(
            "{}: field {} is not UTF-8",
            start(pos.as_ref()),
            err.field() + 1
        ))
        .hint("save the file as UTF-8, and not as Latin-1 or Windows-1252"),
        csv::ErrorKind::Io(cause) => explain_io(cause, name, content),
        _ => Error::usage(format!("{name}: {error}")),
    }
}

/// Returns an error of [`Strict`], with file, line and row.
pub fn explain_io<R: Read>(
    error: &io::Error,
    name: &str,
    content: impl Fn() -> Option<R>,
) -> Error {
    let Some(found) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Malformed>())
    else {
        return Error::new(ErrorKind::Failed, error).context(format!("cannot read {name}"));
    };
    let line = content().and_then(|content| csv_line::line_at(content, found.offset).ok());
    let place = match (line, content().map(|content| row_at(content, found.offset))) {
        (Some(line), Some(1..)) if found.fault == Fault::Utf16 => format!("{name}:{line}"),
        (Some(line), Some(row @ 1..)) => format!("{name}:{line} (row {row})"),
        (Some(line), _) => format!("{name}:{line}"),
        (None, _) => name.to_owned(),
    };
    Error::usage(format!("{place}: {found}")).hint(found.fault.hint())
}

/// Returns the row that an offset is in; 0 for the header.
fn row_at(content: impl Read, offset: u64) -> u64 {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(content.take(offset + 1));
    let mut record = csv::ByteRecord::new();
    let mut records = 0;
    while reader.read_byte_record(&mut record).unwrap_or(false) {
        records += 1;
    }
    records.max(1) - 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::bytes::Regex;

    use super::*;

    /// Returns the fault of a text that is read in parts of this size.
    fn fault(text: &[u8], part: usize) -> Option<(Fault, u64)> {
        let mut strict = Strict::new(text);
        let mut buffer = vec![0; part];
        loop {
            match strict.read(&mut buffer) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) => {
                    let found = error
                        .get_ref()
                        .and_then(|one| one.downcast_ref::<Malformed>());
                    return found.map(|found| (found.fault, found.offset));
                }
            }
        }
    }

    /// A file, and its first fault with the line.
    type Case = (&'static [u8], Option<(Fault, u64)>);

    #[test]
    fn each_kind_of_fault_is_found_where_it_begins() {
        let rows = "2,t2,\"Ann\n".to_owned() + &"3,t3,Bob\n".repeat(9_000) + "4,t4,\"x\"\n";
        let table: [Case; 21] = [
            (b"a,b\n1,2\n", None),
            (b"a,b\r\n1,\"x\r\ny, \"\"z\"\"\"\r\n", None),
            (b"\xef\xbb\xbf\"a\",\"b\"\n", None),
            (b"a\n\"\"\n\n", None),
            (
                b"a,b\n1,\"say \\\"hi\\\"\"\n",
                Some((Fault::TextBehind, 13)),
            ),
            (b"a,b\n1,x\"y\n", Some((Fault::QuoteInside, 7))),
            (b"a,b\n1, \"y\"\n", Some((Fault::QuoteInside, 7))),
            (b"a,b\n1,5\" rim\n", Some((Fault::QuoteInside, 7))),
            (b"a,b\n1,\"x\"y\n", Some((Fault::TextBehind, 9))),
            (b"a,b\n1,\"x\" \n", Some((Fault::TextBehind, 9))),
            (b"a,b\n1,\"x\n2,y\n", Some((Fault::Unclosed, 6))),
            (b"a,b\n1,\"", Some((Fault::Unclosed, 6))),
            (b"a,b\r1,2\r", Some((Fault::LoneReturn, 4))),
            (b"a,b\n1,2\r", Some((Fault::LoneReturn, 7))),
            (b"a,b\n1,x\ry\n", Some((Fault::LoneReturn, 8))),
            (b"a,b\n1,\"x\ry\"\n", None),
            (b"a,b\n1,\0\n", Some((Fault::Nul, 6))),
            (b"a,b\n1,\"\0\"\n", Some((Fault::Nul, 7))),
            (b"\xff\xfea\0,\0", Some((Fault::Utf16, 0))),
            (b"a\0,\0b\0", Some((Fault::Nul, 1))),
            (b"\xfe\xff\0a", Some((Fault::Utf16, 0))),
        ];
        for part in [1, 2, 3, 7, 1 << 16] {
            for (text, expected) in table {
                let shown = String::from_utf8_lossy(text);
                // No reader has a buffer that a byte-order mark does not fit in.
                let tiny = part < 3 && matches!(text[0], 0xef | 0xff | 0xfe);
                if !tiny {
                    assert_eq!(fault(text, part), expected, "{shown:?} by {part}");
                }
            }
            let swallowed = format!("a,b,c\n{rows}");
            assert_eq!(
                fault(swallowed.as_bytes(), part),
                Some((Fault::Swallowed, 11))
            );
        }
    }

    #[test]
    fn a_header_that_cannot_be_meant_is_refused() {
        for (columns, expected) in [
            (&["user_id", " name "][..], None),
            (&["a;b", "c"], None),
            (&[""], Some("it has no header line")),
            (&["", " "], Some("it has no header line")),
            (&["user_id", ""], Some("column 2 has no name")),
            (&["a", "b", " a"], Some("two columns are called \"a\"")),
            (&["user_id;name"], Some("semicolons separate")),
            (&["user_id;name;x", "y"], Some("semicolons separate")),
            (&["user_id\tname"], Some("tabs separate")),
            (&["user_id|name"], Some("| separate")),
            (&["sep=;"], Some("the first line is \"sep=;\"")),
            (&["SEP=", ""], Some("the first line is \"SEP=\"")),
        ] {
            let read = header("f.csv", &StringRecord::from(columns));
            match (read, expected) {
                (Ok(read), None) => assert!(read.iter().all(|one| one == one.trim())),
                (Err(error), Some(expected)) => {
                    assert!(error.to_string().contains(expected), "{columns:?}: {error}");
                }
                (read, _) => panic!("{columns:?}: {read:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn what_the_csv_crate_writes_is_accepted(
            rows in prop::collection::vec(prop::collection::vec("[a ;,\"\\\\é\r\n]{0,6}", 3), 1..6),
            crlf in any::<bool>(), always in any::<bool>(), part in 1_usize..40,
        ) {
            let mut writer = csv::WriterBuilder::new()
                .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
                .quote_style(if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary })
                .from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).unwrap();
            }
            let text = writer.into_inner().unwrap();
            prop_assert_eq!(fault(&text, part), None);
        }

        #[test]
        fn exactly_rfc_4180_is_accepted(text in "[a,\"\r\n\0]{0,24}", part in 3_usize..30) {
            let grammar = Regex::new(
                r#"\A(?:(?:"(?:[^"\x00]|"")*"|[^",\r\n\x00]*)(?:,|\r?\n|\z))*\z"#).unwrap();
            let found = fault(text.as_bytes(), part);
            prop_assume!(found.is_none_or(|(fault, _)| fault != Fault::Swallowed));
            prop_assert_eq!(found.is_none(), grammar.is_match(text.as_bytes()), "{:?}", text);
        }
    }
}
