//! Writes CSV by RFC 4180 with `PostgreSQL`'s quoting: a field is quoted if it contains a comma, a quote, CR or LF, or
//! if it is the empty string, which separates it from NULL.

use super::Field;

/// The line ending of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnding {
    Crlf,
    Lf,
}

/// Writes header and rows as one document.
pub(crate) fn document(columns: &[&str], rows: &[Vec<Field>], line_ending: LineEnding) -> Vec<u8> {
    let header: Vec<Field> = columns
        .iter()
        .map(|name| Some((*name).to_owned()))
        .collect();
    let mut text = String::new();
    for row in std::iter::once(&header).chain(rows) {
        let fields: Vec<String> = row.iter().map(field).collect();
        text.push_str(&fields.join(","));
        text.push_str(match line_ending {
            LineEnding::Crlf => "\r\n",
            LineEnding::Lf => "\n",
        });
    }
    text.into_bytes()
}

fn field(value: &Field) -> String {
    match value {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains([',', '"', '\r', '\n']) => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text.clone(),
    }
}
