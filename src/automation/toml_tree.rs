//! A TOML file as a tree of keys and values with their byte spans, parsed past its syntax errors.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Findings, SourceText};
use crate::snippet::floor_char_boundary;

/// A value and its place.
pub(super) type Node<'s> = Spanned<DeValue<'s>>;

/// The rule for unclosed brackets: the text after one is misplaced, and gets no findings of its own.
pub(super) const UNCLOSED: &str = "unclosed";

/// Parses a file as far as possible; syntax errors become findings. Dates and times become text.
pub(super) fn parse<'s>(source: &'s SourceText, findings: &mut Findings<'s>) -> Node<'s> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    let mut lines = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or_default();
        let line = source.text[..span.start.min(source.text.len())]
            .matches('\n')
            .count();
        // The parser reports one mistake several times on its line.
        if !lines.contains(&line) {
            lines.push(line);
            let span = visible_span(&source.text, span);
            let (message, hint) = in_words(error.message(), &source.text, &span);
            if is_inside_brackets(error.message()) {
                findings.error(UNCLOSED, &span, message).maybe_hint(hint);
                break;
            }
            findings.error("syntax", &span, message).maybe_hint(hint);
        }
    }
    let mut root = Spanned::new(table.span(), DeValue::Table(table.into_inner()));
    times_to_text(root.get_mut());
    root
}

/// Returns the value under a key of a table.
pub(super) fn get<'a, 's>(table: &'a Node<'s>, key: &str) -> Option<&'a Node<'s>> {
    table.get_ref().as_table()?.get(key)
}

/// Returns the span of a key of a table.
pub(super) fn key_span(table: &Node<'_>, key: &str) -> Option<Range<usize>> {
    let (key, _) = table.get_ref().as_table()?.get_key_value(key)?;
    Some(key.span())
}

/// Returns the text under a key of a table, and its span.
pub(super) fn text<'a>(table: &'a Node<'_>, key: &str) -> Option<(&'a str, Range<usize>)> {
    let node = get(table, key)?;
    Some((node.get_ref().as_str()?, node.span()))
}

/// Returns the whole number under a key of a table, and its span.
pub(super) fn integer(table: &Node<'_>, key: &str) -> Option<(i64, Range<usize>)> {
    let node = get(table, key)?;
    Some((integer_value(node)?, node.span()))
}

/// Returns the entries of an array under a key of a table.
pub(super) fn entries<'a, 's>(
    table: &'a Node<'s>,
    key: &str,
) -> impl Iterator<Item = &'a Node<'s>> {
    let array = get(table, key).and_then(|node| node.get_ref().as_array());
    array.into_iter().flat_map(|array| array.iter())
}

/// Returns a whole number in any of TOML's notations; none if it does not fit.
pub(super) fn integer_value(node: &Node<'_>) -> Option<i64> {
    let integer = node.get_ref().as_integer()?;
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// Returns a whole number or a fraction.
pub(super) fn number_value(node: &Node<'_>) -> Option<f64> {
    match node.get_ref() {
        DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
            .ok()?
            .to_string()
            .parse()
            .ok(),
        DeValue::Float(float) => float.as_str().parse().ok(),
        _ => None,
    }
}

/// Returns the type of a value, for messages.
pub(super) fn type_name(node: &Node<'_>) -> &'static str {
    match node.get_ref() {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Returns the span of a part of a text value, found in its source so that escapes elsewhere do not matter;
/// the span of the whole value if the part is not found literally.
pub(super) fn part_of(source: &SourceText, value: &Range<usize>, part: &str) -> Range<usize> {
    let raw = source.text.get(value.clone()).unwrap_or_default();
    match raw.find(part) {
        Some(at) if !part.is_empty() => value.start + at..value.start + at + part.len(),
        _ => value.clone(),
    }
}

fn times_to_text(value: &mut DeValue<'_>) {
    match value {
        DeValue::Datetime(time) => *value = DeValue::String(time.to_string().into()),
        DeValue::Array(array) => {
            for entry in array.iter_mut() {
                times_to_text(entry.get_mut());
            }
        }
        DeValue::Table(table) => {
            for (_, entry) in table.iter_mut() {
                times_to_text(entry.get_mut());
            }
        }
        _ => {}
    }
}

/// Returns a top-level text of a file without checking the rest.
pub(super) fn top_text(source: &SourceText, key: &str) -> Option<String> {
    let (table, _) = DeTable::parse_recoverable(&source.text);
    Some(table.get_ref().get(key)?.get_ref().as_str()?.to_owned())
}

fn is_inside_brackets(message: &str) -> bool {
    message.contains("inline table") || message.contains("missing comma")
}

/// At the end of a line the parser's span is empty: then the last character before it is shown.
fn visible_span(text: &str, span: Range<usize>) -> Range<usize> {
    if !span.is_empty() {
        return span;
    }
    let end = floor_char_boundary(text, span.start);
    let line = text[..end].rfind('\n').map_or(0, |at| at + 1);
    let before = text[line..end].trim_end();
    let last = before.char_indices().next_back();
    last.map_or(span, |(at, letter)| {
        line + at..line + at + letter.len_utf8()
    })
}

/// Returns the parser's message in plain words, and a hint.
fn in_words(message: &str, text: &str, span: &Range<usize>) -> (String, Option<String>) {
    let said = message.lines().next().unwrap_or_default();
    let found = text.get(span.clone()).unwrap_or_default();
    let line = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let before = text[line..span.start].trim();
    let begins = |beginning: &str| said.starts_with(beginning);
    match said {
        "duplicate key" => given_twice(found, before),
        _ if begins("key with no value") => (
            "`=` is missing after the key".to_owned(),
            (found == ":").then(|| "TOML writes `key = value`".to_owned()),
        ),
        _ if begins("invalid key-value pair") => (
            "this line is not TOML".to_owned(),
            Some("a line is `key = value`, `[table]`, or a comment after `#`".to_owned()),
        ),
        _ if is_inside_brackets(said) => (
            "a bracket before this is not closed, or a comma is missing".to_owned(),
            Some("the text after it was not checked".to_owned()),
        ),
        _ if found == "=" => ("a value is missing after `=`".to_owned(), None),
        _ if begins("string values must be quoted") || begins("invalid boolean") => (
            format!("`{found}` is not a TOML value"),
            Some(as_value(found)),
        ),
        _ if begins("invalid basic string") => (
            "the text is not closed".to_owned(),
            Some("it needs a `\"` at its end; a `\"` inside it is written `\\\"`".to_owned()),
        ),
        _ if begins("invalid literal string") => (
            "the text is not closed".to_owned(),
            Some("it begins with `'` and needs a `'` at its end".to_owned()),
        ),
        _ if begins("invalid multi-line") => (
            "a text that begins in an earlier line is not closed".to_owned(),
            Some("it needs the same three quotes at its end".to_owned()),
        ),
        _ if begins("unclosed array table") => (
            "the table's name is not closed: `]]` is missing".to_owned(),
            None,
        ),
        _ if begins("unclosed table") => (
            "the table's name is not closed: `]` is missing".to_owned(),
            None,
        ),
        _ if begins("invalid time") || begins("invalid date") => (
            format!("`{found}` is not a TOML value"),
            Some(as_value(found)),
        ),
        _ => (said.to_owned(), None),
    }
}

/// Returns the message for an unquoted word; `before` is the text of the line before it.
fn given_twice(name: &str, before: &str) -> (String, Option<String>) {
    match before {
        "[[" => (
            format!("[[{name}]] cannot follow a `{name}` that is not a list of tables"),
            Some(format!("write [[{name}]] in both places")),
        ),
        "[" => (
            format!("the table [{name}] appears twice"),
            Some("put all its keys under one of the two".to_owned()),
        ),
        _ => (format!("`{name}` appears twice in the same table"), None),
    }
}

/// Returns the correction of a word without quotes.
fn as_value(word: &str) -> String {
    match word.to_lowercase().as_str() {
        "true" | "yes" | "on" => "write true".to_owned(),
        "false" | "no" | "off" => "write false".to_owned(),
        _ => format!("a text needs quotes: \"{word}\""),
    }
}
