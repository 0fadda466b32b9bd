//! Templates against an independent model: the old grammar as a regular expression.

use proptest::prelude::*;
use pushctl::template::{Fault, Skip, Template};
use regex::{Captures, Regex};

const COLUMNS: [&str; 4] = ["name", "_", "a1", "Shoe_Size"];

/// Pieces that meet in every wrong way.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "[[var:name]]",
        "[[var:_]]",
        "[[var:a1]]",
        "[[var:Shoe_Size]]",
        "[[var:",
        "[[",
        "]]",
        "[",
        "]",
        "var:",
        "name",
        "a1",
        "1",
        " ",
        "é",
        "👟",
        "|",
        "\"",
        "\\",
        "\n",
        "[[name]]",
        "[[var:1a]]",
        "[[var: name]]",
        "[[\"",
        "\"]]",
        "[[VAR:name]]",
        "{{name}}",
        "$0",
    ])
}

fn source() -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..12).prop_map(|pieces| pieces.concat())
}

/// Never empty: holes have a test of their own.
fn values() -> impl Strategy<Value = Vec<String>> {
    let value = prop_oneof![
        "[a-zé👟]{1,8}",
        Just("[[var:name]]".to_owned()),
        Just("]]".to_owned()),
        Just("$1".to_owned()),
    ];
    prop::collection::vec(value, COLUMNS.len())
}

fn render(source: &str, values: &[String]) -> Result<String, Skip> {
    let template = Template::parse(source).expect("a sound template");
    let bound = template.bind(&COLUMNS).expect("known columns");
    let mut out = String::new();
    bound.render(values, &mut out).map(|()| out)
}

proptest! {
    #[test]
    fn without_filters_a_template_means_what_the_old_grammar_meant(source in source(), values in values()) {
        let old = Regex::new(r"\[\[var:([a-zA-Z_][a-zA-Z0-9_]*)\]\]").unwrap();
        let addition = Regex::new("\\[\\[(var:)?(\"|[a-zA-Z_][a-zA-Z0-9_]*\\|)").unwrap();
        prop_assume!(!addition.is_match(&source));
        let known = old.captures_iter(&source).all(|found| COLUMNS.contains(&&found[1]));
        prop_assume!(known);
        let expected = old.replace_all(&source, |found: &Captures<'_>| {
            let place = COLUMNS.iter().position(|column| *column == &found[1]).unwrap();
            values[place].clone()
        });
        match Template::parse(&source) {
            Ok(_) => prop_assert_eq!(render(&source, &values).unwrap(), expected),
            Err(flaw) => {
                let is_expected = matches!(flaw.fault, Fault::Unclosed | Fault::NearVariable { .. });
                prop_assert!(is_expected);
                // Something other than a variable is there, so the text was never going to be what was meant.
                let rest = old.replace_all(&source, "");
                prop_assert!(["[[", "{{", "var:"].iter().any(|sign| rest.to_lowercase().contains(sign)));
                prop_assert!(!source[flaw.span].is_empty());
            }
        }
    }

    #[test]
    fn no_text_makes_the_parser_fall_over(source in "[\\[\\]var:|a-c\"\\\\,0-9 é]{0,40}") {
        let _ = Template::parse(&source);
    }

    #[test]
    fn a_grouped_number_is_the_same_number(number in any::<i64>()) {
        let out = render("[[var:name|number]]", &[number.to_string(), "x".into(), "x".into(), "x".into()]).unwrap();
        prop_assert_eq!(out.replace(',', ""), number.to_string());
        let groups: Vec<&str> = out.trim_start_matches('-').split(',').collect();
        prop_assert!(groups[1..].iter().all(|group| group.len() == 3));
        prop_assert!((1..=3).contains(&groups[0].len()));
    }

    #[test]
    fn an_encoded_value_decodes_to_itself(value in "\\PC{1,20}") {
        prop_assume!(!value.trim().is_empty());
        let out = render("[[var:name|urlencode]]", &[value.clone(), "x".into(), "x".into(), "x".into()]).unwrap();
        prop_assert!(out.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
        let url = reqwest::Url::parse(&format!("https://example.com/?q={out}")).unwrap();
        let (_, decoded) = url.query_pairs().next().unwrap();
        prop_assert_eq!(decoded, value);
    }
}

fn one(source: &str, value: &str) -> Result<String, Skip> {
    let row = [value, "x", "x", "x"].map(str::to_owned);
    render(source, &row)
}

#[test]
fn filters_are_applied_from_left_to_right() {
    for (source, value, expected) in [
        ("Hi [[var:name|default:\"there\"]]!", "", "Hi there!"),
        ("Hi [[var:name|default:\"there\"]]!", "  ", "Hi there!"),
        ("Hi [[var:name|default:\"there\"]]!", "Ana", "Hi Ana!"),
        (
            "[[var:name|default:\"say \\\"hi\\\" \\\\ ]]\"]]",
            "",
            "say \"hi\" \\ ]]",
        ),
        ("[[var:name|number]]", "1234567", "1,234,567"),
        ("[[var:name|number|default:\"many\"]]", "", "many"),
        (
            "[[var:name]] [[var:name|plural:\"person\",\"people\"]]",
            "1",
            "1 person",
        ),
        (
            "[[var:name|number]] [[var:name|plural:\"person\",\"people\"]]",
            "1200",
            "1,200 people",
        ),
        (
            "[[var:name|number|plural:\"person\",\"people\"]]",
            "1200",
            "people",
        ),
        ("[[var:name|truncate:8]]", "Jordan 4 Retro", "Jordan…"),
        (
            "[[var:name|truncate:7|urlencode]]",
            "Jordan 4 Retro",
            "Jordan%E2%80%A6",
        ),
        ("[[var:name|default:\"a b\"|urlencode]]", "", "a%20b"),
        ("[[var:name| default: \"there\" | truncate: 3 ]]", "", "th…"),
    ] {
        assert_eq!(one(source, value).unwrap(), expected, "{source}");
    }
}

#[test]
fn a_hole_skips_the_row_and_names_the_column() {
    for source in [
        "Hi [[var:name]]",
        "[[var:name|truncate:4]]",
        "[[var:name|default:\"\"]]",
        "[[var:name|number]]",
    ] {
        let skip = one(source, " ").unwrap_err();
        assert_eq!(
            skip,
            Skip::Empty {
                column: "name".into()
            },
            "{source}"
        );
    }
}

#[test]
fn a_value_that_is_no_number_skips_the_row_where_a_number_is_needed() {
    for source in ["[[var:name|number]]", "[[var:name|plural:\"a\",\"b\"]]"] {
        let skip = one(source, "many").unwrap_err();
        assert_eq!(
            skip,
            Skip::NotANumber {
                column: "name".into()
            },
            "{source}"
        );
    }
}
