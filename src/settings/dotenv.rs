//! Parses `.env` files: `NAME=value` lines, as container platforms and other tools write them.
//!
//! ```text
//! # a comment
//! export DATABASE_URL=postgres://reader:s3cret@db.example.com/shop   # from the first " #" on: a comment
//! LITERAL='no \escapes, no $expansion'
//! ESCAPED="two\nlines, a \" and a \\"
//! ```
//!
//! Quoted values may contain line breaks. Deliberately absent: `$NAME` expansion, which would change passwords.
//! The file may be that of another program: lines that are not understood are skipped, each with a note. Notes never
//! quote the line, because it may hold a secret.

use std::collections::BTreeMap;

/// An error and its line (from 1).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) line: usize,
    pub(super) message: &'static str,
}

/// Returns every variable of the file, of two with the same name the last; and the lines that are skipped.
pub(super) fn parse(text: &str) -> (BTreeMap<String, String>, Vec<Malformed>) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut variables, mut skipped) = (BTreeMap::new(), Vec::new());
    let mut rest = text;
    while !rest.is_empty() {
        let line = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let (this, next) = rest.split_once('\n').unwrap_or((rest, ""));
        match assignment(this, rest) {
            Ok(Some((name, value, after))) => {
                variables.insert(name.to_owned(), value);
                rest = after;
            }
            Ok(None) => rest = next,
            Err(message) => {
                skipped.push(Malformed { line, message });
                rest = next;
            }
        }
    }
    (variables, skipped)
}

/// Returns the variable of a line with what follows it; none for an empty line or a comment.
fn assignment<'t>(
    line: &'t str,
    rest: &'t str,
) -> Result<Option<(&'t str, String, &'t str)>, &'static str> {
    let assignment = line.trim_start();
    if assignment.trim_end().is_empty() || assignment.starts_with('#') {
        return Ok(None);
    }
    let assignment = assignment.strip_prefix("export ").unwrap_or(assignment);
    let (name, value) = assignment.split_once('=').ok_or("expected NAME=value")?;
    let name = name.trim();
    if !is_name(name) {
        return Err(
            "a name consists of letters, digits and underscores, and does not begin with a digit",
        );
    }
    // The value may continue on the next line.
    let (value, after) = read_value(&rest[line.len() - value.len()..])?;
    if value.contains(['\0', char::REPLACEMENT_CHARACTER]) {
        return Err("the value is not UTF-8, or has a NUL");
    }
    Ok(Some((name, value, after)))
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .chars()
            .all(|each| each.is_ascii_alphanumeric() || each == '_')
}

/// Returns the value at the beginning of `text`, and what follows its line.
fn read_value(text: &str) -> Result<(String, &str), &'static str> {
    let text = text.trim_start_matches([' ', '\t']);
    let (value, after) = match text.as_bytes().first() {
        Some(b'\'') => {
            let inside = &text[1..];
            let end = inside.find('\'').ok_or("the quote ' is not closed")?;
            (inside[..end].to_owned(), &inside[end + 1..])
        }
        Some(b'"') => double_quoted(&text[1..])?,
        _ => return Ok(unquoted(text)),
    };
    let (trailing, next) = after.split_once('\n').unwrap_or((after, ""));
    let trailing = trailing.trim();
    if !trailing.is_empty() && !trailing.starts_with('#') {
        return Err("unexpected text after the closing quote");
    }
    Ok((value, next))
}

fn unquoted(text: &str) -> (String, &str) {
    let (line, next) = text.split_once('\n').unwrap_or((text, ""));
    let is_comment = |at: &usize| *at == 0 || line[..*at].ends_with([' ', '\t']);
    let end = line.match_indices('#').map(|(at, _)| at).find(is_comment);
    (line[..end.unwrap_or(line.len())].trim().to_owned(), next)
}

fn double_quoted(text: &str) -> Result<(String, &str), &'static str> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => match characters.next().map(|(_, escaped)| escaped) {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(same @ ('"' | '\\' | '$' | '`' | '\'')) => value.push(same),
                Some('\n') => {}
                // Kept: a Windows path or a pattern with single backslashes.
                Some(other) => value.extend(['\\', other]),
                None => break,
            },
            other => value.push(other),
        }
    }
    Err("the quote \" is not closed")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_read_as_written_whatever_their_quotes() {
        let text = "\u{feff}# head\r\n\nA=1\r\nexport B = two words  # said\nC='a # b $HOME \\n'\nD=\"x\\ny \\\"z\\\"\" # end\nE=\nF=p#a$s\nG=\"-----BEGIN\nkey=\n-----END\"\nA=2";
        let (read, skipped) = parse(text);
        assert_eq!(skipped, []);
        let pairs: Vec<(&str, &str)> = read
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("A", "2"),
                ("B", "two words"),
                ("C", "a # b $HOME \\n"),
                ("D", "x\ny \"z\""),
                ("E", ""),
                ("F", "p#a$s"),
                ("G", "-----BEGIN\nkey=\n-----END"),
            ]
        );
    }

    #[test]
    fn a_line_that_is_not_understood_is_skipped_with_its_line_and_without_its_value() {
        for (text, line, message) in [
            ("A=1\nhunter2\nZ=9", 2, "expected NAME=value"),
            ("A=1\nB=\"hunter2\nZ=9", 2, "the quote \" is not closed"),
            ("A=1\n\nB='hunter2\nZ=9", 3, "the quote ' is not closed"),
            (
                "A=1\nB='x'hunter2\nZ=9",
                2,
                "unexpected text after the closing quote",
            ),
            (
                "A=1\n1B=hunter2\nZ=9",
                2,
                "a name consists of letters, digits and underscores, and does not begin with a digit",
            ),
            (
                "A=1\nB-C: hunter2=\nZ=9",
                2,
                "a name consists of letters, digits and underscores, and does not begin with a digit",
            ),
            (
                "A=1\nB=hunter2\u{fffd}\nZ=9",
                2,
                "the value is not UTF-8, or has a NUL",
            ),
        ] {
            let (read, skipped) = parse(text);
            assert_eq!(skipped, [Malformed { line, message }], "{text}");
            assert_eq!(
                (read["A"].as_str(), read["Z"].as_str()),
                ("1", "9"),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn no_text_stops_it_and_no_note_quotes_a_line(text in "([A-Z]{1,2}=|export )?[\"' a-c=\\n\\\\#$\0é]{0,20}\n?[ -~]{0,20}") {
            let (_, skipped) = parse(&text);
            prop_assert!(skipped.iter().all(|one| one.line <= text.matches('\n').count() + 1));
        }
    }
}
