//! The line of a file that a CSV record begins in: the header is line 1, a line break inside quotes begins a line too,
//! and so does an empty line between records. LF, CRLF and a lone CR each end a line, as editors count them.
//!
//! The `csv` crate's own count is behind by one where lines end in CRLF, and by the empty lines in front of a record;
//! its byte offsets are right. So this counts the lines again, which only errors and samples need.

use std::io::{self, BufRead, BufReader, Read};

/// Returns the line of the record that begins at an offset, or at the line breaks there.
pub fn line_at(content: impl Read, offset: u64) -> io::Result<u64> {
    Ok(lines_at(content, &[offset])?[0])
}

/// Returns the line of each record, of which the offsets are given in any order, in one pass over the content.
pub fn lines_at(content: impl Read, offsets: &[u64]) -> io::Result<Vec<u64>> {
    let mut order: Vec<usize> = (0..offsets.len()).collect();
    order.sort_unstable_by_key(|place| offsets[*place]);
    let mut order = order.into_iter().peekable();
    let mut lines = vec![0; offsets.len()];
    let mut content = BufReader::with_capacity(1 << 16, content);
    let (mut line, mut passed, mut after_cr) = (1, 0, false);
    while order.peek().is_some() {
        let buffer = content.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        for byte in buffer {
            let is_break = matches!(byte, b'\r' | b'\n');
            // A record begins behind the line breaks that its offset may point at.
            while !is_break && let Some(place) = order.next_if(|place| offsets[*place] <= passed) {
                lines[place] = line;
            }
            line += u64::from(is_break && !(*byte == b'\n' && after_cr));
            after_cr = *byte == b'\r';
            passed += 1;
        }
        let length = buffer.len();
        content.consume(length);
    }
    order.for_each(|place| lines[place] = line);
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the line that each record of a text names, and the counted one.
    fn named_and_counted(text: &str) -> Vec<(u64, u64)> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(text.as_bytes());
        let mut record = csv::StringRecord::new();
        let (mut named, mut offsets) = (Vec::new(), Vec::new());
        while reader.read_record(&mut record).expect("CSV") {
            named.push(record[0].parse().expect("a line"));
            offsets.push(record.position().expect("a position").byte());
        }
        let all = lines_at(text.as_bytes(), &offsets).expect("lines");
        for (offset, line) in offsets.iter().zip(&all) {
            assert_eq!(line_at(text.as_bytes(), *offset).expect("a line"), *line);
        }
        named.into_iter().zip(all).collect()
    }

    #[test]
    fn a_record_is_on_the_line_that_an_editor_shows() {
        let lf = "1,header\n2,a\n3,\"two\nlines\"\n5,b\n\n\n8,c\n9,\"x\n\n\ny\"\n13,no end";
        for ending in ["\n", "\r\n", "\r"] {
            let text = lf.replace('\n', ending);
            let lines = named_and_counted(&text);
            assert_eq!(lines.len(), 7, "{text:?}");
            for (named, counted) in lines {
                assert_eq!(counted, named, "{text:?}");
            }
        }
    }
}
