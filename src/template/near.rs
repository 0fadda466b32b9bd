//! Text that looks like a variable and is none: of this grammar written wrongly, or of another program's. It is an
//! error, because a phone would show it.

use std::ops::Range;

use super::parse::name_length;
use super::{Fault, Flaw};

/// Characters that people put in front of a variable, or that look like those.
const BRACKETS: &[char] = &['[', '{', '<', '［', '｛', '【', '〚', '⟦', '「'];

/// What encloses a variable in other programs.
const FOREIGN: &[(&str, &str)] = &[
    ("{{", "}}"),
    ("${", "}"),
    ("{%", "%}"),
    ("<%", "%>"),
    ("#{", "}"),
    ("%{", "}"),
    ("*|", "|*"),
];

/// Returns a part of a template that holds no `[[`, if it holds no near variable either.
pub(super) fn checked(source: &str, part: Range<usize>) -> Result<&str, Flaw> {
    let text = &source[part.clone()];
    match foreign(text).or_else(|| misplaced(text)) {
        Some((found, name)) => {
            let span = part.start + found.start..part.start + found.end;
            Err(flaw(source, span, name))
        }
        None => Ok(text),
    }
}

/// Returns the flaw of `[[…]]` that is no variable.
pub(super) fn bracketed(source: &str, span: Range<usize>) -> Flaw {
    let inside = source[span.clone()]
        .trim_start_matches('[')
        .trim_end_matches(']');
    let name = after_var(inside.trim()).unwrap_or(inside).trim().to_owned();
    flaw(source, span, &name)
}

fn flaw(source: &str, span: Range<usize>, name: &str) -> Flaw {
    let fault = Fault::NearVariable {
        written: source[span.clone()].to_owned(),
        meant: meant(name),
    };
    Flaw { span, fault }
}

/// Returns how a variable of this name, with its filters, is written.
fn meant(name: &str) -> Option<String> {
    let (name, filters) = name.split_once('|').unwrap_or((name, ""));
    let name = name
        .trim()
        .trim_matches(['"', '\'', '“', '”', '„', '‘', '’']);
    let bar = if filters.is_empty() { "" } else { "|" };
    let filters = filters.trim().replace(['“', '”', '„'], "\"");
    if name.is_empty() || name.len() > 60 || name.contains(['"', '\\', '[', ']', '\n']) {
        None
    } else if name_length(name) == name.len() {
        Some(format!("[[var:{name}{bar}{filters}]]"))
    } else {
        Some(format!("[[var:\"{name}\"{bar}{filters}]]"))
    }
}

/// Finds a variable of another program.
fn foreign(text: &str) -> Option<(Range<usize>, &str)> {
    let first = |(open, close): &(&str, &str)| {
        let start = text.find(open)?;
        let inside = start + open.len();
        let length = text[inside..].find(close)?;
        let name = text[inside..inside + length].trim();
        let name = match *open {
            "{%" => "",
            _ => after_var(name)
                .unwrap_or(name)
                .trim_start_matches('=')
                .trim(),
        };
        Some((start..inside + length + close.len(), name))
    };
    FOREIGN
        .iter()
        .filter_map(first)
        .min_by_key(|(span, _)| span.start)
}

/// Finds `var:name` with other brackets than `[[` and `]]`, or with fewer.
fn misplaced(text: &str) -> Option<(Range<usize>, &str)> {
    let bytes = text.as_bytes();
    let places = (0..bytes.len().saturating_sub(2))
        .filter(|at| bytes[*at..*at + 3].eq_ignore_ascii_case(b"var"));
    for at in places {
        let Some(rest) = after_var(&text[at..]) else {
            continue;
        };
        let name = &rest[..name_length(rest)];
        let before = text[..at].trim_end();
        let end = text.len() - rest.len() + name.len();
        let behind = text[end..].trim_start();
        let is_opened = before.ends_with(BRACKETS);
        let is_closed = ["]]", "}}", "］］"]
            .iter()
            .any(|close| behind.starts_with(close));
        if !name.is_empty() && (is_opened || is_closed) {
            let start = if is_opened {
                before.trim_end_matches(BRACKETS).len()
            } else {
                at
            };
            return Some((start..end, name));
        }
    }
    None
}

/// Returns what follows `var:`, however that is written.
fn after_var(text: &str) -> Option<&str> {
    let rest = text
        .get(..3)
        .filter(|word| word.eq_ignore_ascii_case("var"))
        .map(|word| text[word.len()..].trim_start())?;
    rest.strip_prefix([':', '：', '=']).map(str::trim_start)
}

#[cfg(test)]
mod tests {
    use super::super::{Fault, Template};

    #[test]
    fn every_kind_of_near_variable_is_refused_with_the_right_form() {
        for (source, written, meant) in [
            ("[[ var:name ]]", "[[ var:name ]]", Some("[[var:name]]")),
            ("[[var: name]]", "[[var: name]]", Some("[[var:name]]")),
            ("[[var:name ]]", "[[var:name ]]", Some("[[var:name]]")),
            ("[[VAR:name]]", "[[VAR:name]]", Some("[[var:name]]")),
            ("[[Var :name]]", "[[Var :name]]", Some("[[var:name]]")),
            ("[[var=name]]", "[[var=name]]", Some("[[var:name]]")),
            ("[[var：name]]", "[[var：name]]", Some("[[var:name]]")),
            ("[[name]]", "[[name]]", Some("[[var:name]]")),
            (
                "[[First Name]]",
                "[[First Name]]",
                Some("[[var:\"First Name\"]]"),
            ),
            (
                "[[var:First Name]]",
                "[[var:First Name]]",
                Some("[[var:\"First Name\"]]"),
            ),
            ("[[var:1a]]", "[[var:1a]]", Some("[[var:\"1a\"]]")),
            (
                "[[var:“First Name”]]",
                "[[var:“First Name”]]",
                Some("[[var:\"First Name\"]]"),
            ),
            (
                "[[name|default:“you”]]",
                "[[name|default:“you”]]",
                Some("[[var:name|default:\"you\"]]"),
            ),
            (
                "[[ var:n |number]]",
                "[[ var:n |number]]",
                Some("[[var:n|number]]"),
            ),
            ("[[]]", "[[]]", None),
            ("[[var:]]", "[[var:]]", None),
            ("Hi {{name}}!", "{{name}}", Some("[[var:name]]")),
            ("Hi {{ var:name }}!", "{{ var:name }}", Some("[[var:name]]")),
            ("Hi ${name}", "${name}", Some("[[var:name]]")),
            ("Hi {% if x %}", "{% if x %}", None),
            ("Hi <%= name %>", "<%= name %>", Some("[[var:name]]")),
            ("Hi [var:name]", "[var:name", Some("[[var:name]]")),
            ("Hi [ var:name ]", "[ var:name", Some("[[var:name]]")),
            ("Hi {var:name}", "{var:name", Some("[[var:name]]")),
            ("Hi ［［var:name］］", "［［var:name", Some("[[var:name]]")),
            ("Hi [\u{200b}[var:name]]", "[var:name", Some("[[var:name]]")),
            ("Hi var:name]]", "var:name", Some("[[var:name]]")),
            ("[[var:a]] [[b]]", "[[b]]", Some("[[var:b]]")),
        ] {
            let flaw = Template::parse(source).expect_err(source);
            let Fault::NearVariable {
                written: found,
                meant: right,
            } = &flaw.fault
            else {
                panic!("{source}: {:?}", flaw.fault);
            };
            assert_eq!(
                (found.as_str(), right.as_deref()),
                (written, meant),
                "{source}"
            );
            assert_eq!(&source[flaw.span.clone()], written, "{source}");
            assert!(flaw.to_string().contains(written), "{flaw}");
        }
    }

    #[test]
    fn what_is_no_variable_is_sent_as_it_stands() {
        for source in [
            "[new] 50% {off}",
            "a ]] b",
            "$5 {\"a\":{\"b\":1}}",
            "5 < 6 > 4",
            "save var: 3",
            "https://tradeblock.us/?a[]=1",
            "{name}",
        ] {
            let template = Template::parse(source).expect(source);
            let columns: [&str; 0] = [];
            let mut out = String::new();
            let row: &[&str] = &[];
            let bound = template.bind(&columns).expect("no column");
            bound.render(row, &mut out).expect("rendered");
            assert_eq!(out, source);
        }
    }
}
