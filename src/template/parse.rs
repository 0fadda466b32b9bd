//! The template parser. Positions are bytes of the source.

use super::filter::{self, Filter};
use super::near;
use super::{Fault, Flaw, Part, Template};

const OPEN: &str = "[[";
const CLOSE: &str = "]]";
const VARIABLE: &str = "[[var:";

pub(super) fn parse(source: &str) -> Result<Template, Flaw> {
    let mut template = Template { parts: Vec::new() };
    let (mut text, mut at) = (0, 0);
    while let Some(open) = next_open(source, at) {
        template.add_text(near::checked(source, text..open)?);
        (text, at) = if let Some((literal, end)) = literal(source, open) {
            template.add_text(&literal);
            (end, end)
        } else if let Some((column, filters, end)) = variable(source, open)? {
            template.parts.push(Part::Variable { column, filters });
            (end, end)
        } else {
            return Err(near::bracketed(source, open..closed(source, open)?));
        };
    }
    template.add_text(near::checked(source, text..source.len())?);
    Ok(template)
}

impl Template {
    /// Adds a text; two in a row are one.
    fn add_text(&mut self, text: &str) {
        match self.parts.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(before)) => before.push_str(text),
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }
}

/// Returns the text that stands for itself in `[["text"]]`, with the position behind it.
fn literal(source: &str, open: usize) -> Option<(String, usize)> {
    let mut scanner = Scanner {
        source,
        open,
        at: open + OPEN.len(),
    };
    let text = scanner.quoted()?;
    scanner.take(CLOSE).then_some((text, scanner.at))
}

/// Returns the next `[[`; of a run of brackets, the last two.
fn next_open(source: &str, from: usize) -> Option<usize> {
    let open = from + source[from..].find(OPEN)?;
    let run = source[open..]
        .bytes()
        .take_while(|byte| *byte == b'[')
        .count();
    Some(open + run - OPEN.len())
}

/// Returns a variable that starts at `open`, with the position behind it; none if what stands there is no variable.
fn variable(source: &str, open: usize) -> Result<Option<(String, Vec<Filter>, usize)>, Flaw> {
    let Some(rest) = source[open..].strip_prefix(VARIABLE) else {
        return Ok(None);
    };
    let mut scanner = Scanner {
        source,
        open,
        at: open + VARIABLE.len(),
    };
    let name = if rest.starts_with('"') {
        scanner.quoted()
    } else {
        let length = name_length(rest);
        scanner.at += length;
        (length > 0).then(|| rest[..length].to_owned())
    };
    let is_complete = scanner.rest().starts_with(CLOSE) || scanner.rest().starts_with('|');
    let Some(name) = name.filter(|name| !name.is_empty() && is_complete) else {
        return Ok(None);
    };
    let filters = scanner.filters()?;
    Ok(Some((name, filters, scanner.at)))
}

/// Bytes of the column name at the start of `text`.
pub(super) fn name_length(text: &str) -> usize {
    let start = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    if !text.bytes().next().is_some_and(start) {
        return 0;
    }
    text.bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        .count()
}

/// Returns the position behind the `]]` that closes `open` before anything else is opened.
fn closed(source: &str, open: usize) -> Result<usize, Flaw> {
    let inside = open + OPEN.len();
    let until = source[inside..].find(OPEN).unwrap_or(source.len() - inside);
    match source[inside..inside + until].find(CLOSE) {
        Some(close) => Ok(inside + close + CLOSE.len()),
        None => Err(Flaw {
            span: open..inside + until,
            fault: Fault::Unclosed,
        }),
    }
}

/// Reads the filters of one variable.
struct Scanner<'s> {
    source: &'s str,
    open: usize,
    at: usize,
}

impl Scanner<'_> {
    /// Returns all filters, and the `]]` behind them.
    fn filters(&mut self) -> Result<Vec<Filter>, Flaw> {
        let mut filters = Vec::new();
        let mut last = self.at;
        while !self.take(CLOSE) {
            if !self.take("|") {
                return Err(self.stuck(last));
            }
            self.spaces();
            last = self.at;
            filters.push(self.filter()?);
            if filter::default_before_number(&filters) {
                return Err(self.flaw(self.open, Fault::DefaultNotANumber));
            }
        }
        Ok(filters)
    }

    fn filter(&mut self) -> Result<Filter, Flaw> {
        let start = self.at;
        let length = name_length(self.rest());
        if length == 0 {
            return Err(self.stuck(start));
        }
        let name = self.rest()[..length].to_owned();
        self.at += length;
        self.spaces();
        let mut arguments = Vec::new();
        if self.take(":") {
            arguments.push(self.argument(start)?);
            while self.take(",") {
                arguments.push(self.argument(start)?);
            }
        }
        Filter::named(&name, &arguments).map_err(|fault| self.flaw(start, fault))
    }

    /// `"text"` or digits.
    fn argument(&mut self, filter: usize) -> Result<String, Flaw> {
        self.spaces();
        if self.rest().starts_with('"') {
            let value = self.quoted();
            let value = value.ok_or_else(|| self.flaw(filter, Fault::Unclosed))?;
            self.spaces();
            return Ok(value);
        }
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(self.stuck(filter));
        }
        let value = self.rest()[..digits].to_owned();
        self.at += digits;
        self.spaces();
        Ok(value)
    }

    /// Returns a text in quotes; none where none stands, or where it is not closed.
    fn quoted(&mut self) -> Option<String> {
        let inside = self.rest().strip_prefix('"')?;
        let mut value = String::new();
        let mut escaped = false;
        for (offset, letter) in inside.char_indices() {
            match letter {
                '\\' if !escaped => escaped = true,
                '"' if !escaped => {
                    self.at += offset + 2;
                    return Some(value);
                }
                _ => {
                    if escaped && !matches!(letter, '"' | '\\') {
                        value.push('\\');
                    }
                    escaped = false;
                    value.push(letter);
                }
            }
        }
        None
    }

    fn rest(&self) -> &str {
        &self.source[self.at..]
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    fn spaces(&mut self) {
        self.at += self.rest().bytes().take_while(|byte| *byte == b' ').count();
    }

    /// Returns the fault of an unreadable filter at `start`: it is not closed, or has a syntax error.
    fn stuck(&self, start: usize) -> Flaw {
        if let Err(unclosed) = closed(self.source, self.open) {
            return unclosed;
        }
        let word = &self.source[start..];
        let usage = filter::usage(&word[..name_length(word)]);
        self.flaw(start, Fault::Filter { usage })
    }

    fn flaw(&self, start: usize, fault: Fault) -> Flaw {
        Flaw {
            span: start..self.at.max(start),
            fault,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(source: &str) -> Fault {
        parse(source).expect_err("a flaw").fault
    }

    #[test]
    fn what_is_opened_and_never_closed_is_refused() {
        for source in [
            "Hi [[var:name",
            "Hi [[var:name]",
            "Hi [[var:name] and [[var:other]]",
            "Hi [[",
            "]] [[",
            "[[var:name|default:\"x\"",
            "[[var:name|default:\"x]]",
            "[[var:name|",
        ] {
            assert_eq!(fault(source), Fault::Unclosed, "{source}");
        }
    }

    #[test]
    fn an_unknown_filter_is_refused_with_the_nearest_name() {
        assert_eq!(
            fault("[[var:x|defualt:\"a\"]]"),
            Fault::UnknownFilter {
                name: "defualt".into(),
                nearest: Some("default")
            }
        );
        assert_eq!(
            fault("[[var:x|reverse]]"),
            Fault::UnknownFilter {
                name: "reverse".into(),
                nearest: None
            }
        );
    }

    #[test]
    fn a_filter_written_wrongly_is_refused_with_its_form() {
        for (source, form) in [
            ("[[var:x|default]]", "default:\"text\""),
            ("[[var:x|default:there]]", "default:\"text\""),
            ("[[var:x|plural:\"a\"]]", "plural:\"one\",\"many\""),
            ("[[var:x|truncate]]", "truncate:40"),
            ("[[var:x|truncate:0]]", "truncate:40"),
            ("[[var:x|number:1]]", "number"),
            ("[[var:x|number!]]", "number"),
        ] {
            let Fault::Filter { usage } = fault(source) else {
                panic!("{source}: {:?}", fault(source));
            };
            assert_eq!(usage, form, "{source}");
        }
    }

    #[test]
    fn a_default_that_is_no_number_may_not_stand_before_a_filter_that_needs_one() {
        assert_eq!(
            fault("[[var:x|default:\"some\"|number]]"),
            Fault::DefaultNotANumber
        );
        assert!(parse("[[var:x|default:\"0\"|number]]").is_ok());
        assert!(parse("[[var:x|number|default:\"some\"]]").is_ok());
    }

    #[test]
    fn the_span_of_a_flaw_is_what_is_to_blame() {
        let source = "Hi [[var:x|shout]]!";
        let flaw = parse(source).expect_err("a flaw");
        assert_eq!(&source[flaw.span], "shout");
    }

    #[test]
    fn a_text_in_quotes_stands_for_itself_and_a_name_in_quotes_is_any_column() {
        let template = parse(
            "[[\"[[\"]]sale[[\"]] \\\"{{x}}\\\"\"]] [[[var:a]]] [[var:\"First Name\"|truncate:3]]",
        )
        .expect("no flaw");
        assert_eq!(template.columns().collect::<Vec<_>>(), ["a", "First Name"]);
        assert_eq!(
            template.parts[0],
            Part::Text("[[sale]] \"{{x}}\" [".to_owned())
        );
    }
}
