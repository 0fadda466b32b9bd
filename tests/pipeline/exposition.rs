//! A strict reader of Prometheus' text format: what it does not know fails the test.

use std::collections::{BTreeMap, BTreeSet};

/// The samples of a text, by name and labels.
pub(crate) struct Exposition(BTreeMap<(String, BTreeMap<String, String>), f64>);

impl Exposition {
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter();
        let labels = labels.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.0.get(&(name.to_owned(), labels.collect())).copied()
    }
}

/// Reads a text. Each metric has one HELP, then one TYPE, then its samples, none twice, and is not continued later.
pub(crate) fn parsed(text: &str) -> Exposition {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut samples = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let help = line
            .strip_prefix("# HELP ")
            .unwrap_or_else(|| panic!("no HELP: {line}"));
        let (name, help) = help.split_once(' ').unwrap();
        assert!(is_name(name) && !help.is_empty(), "{line}");
        assert!(seen.insert(name.to_owned()), "{name} comes twice");
        let kind = lines
            .next()
            .and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")));
        let kind = kind.unwrap_or_else(|| panic!("{name} has no TYPE"));
        assert!(["gauge", "counter"].contains(&kind), "{kind}");
        assert_eq!(kind == "counter", name.ends_with("_total"), "{name}");
        for other in ["minutes", "milliseconds", "hours", "percent"] {
            assert!(!name.contains(other), "{name} has no base unit");
        }
        let mut count = 0;
        while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
            let (labels, value) = sample(name, line);
            let is_new = samples.insert((name.to_owned(), labels), value).is_none();
            assert!(is_new, "twice: {line}");
            count += 1;
        }
        assert!(count > 0, "{name} has no sample");
    }
    Exposition(samples)
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.starts_with("pushctl_") && name.bytes().all(fits)
}

fn sample(name: &str, line: &str) -> (BTreeMap<String, String>, f64) {
    let rest = line
        .strip_prefix(name)
        .unwrap_or_else(|| panic!("not of {name}: {line}"));
    let (labels, value) = match rest.strip_prefix('{') {
        None => (BTreeMap::new(), rest),
        Some(rest) => labels(rest),
    };
    let value = value
        .strip_prefix(' ')
        .unwrap_or_else(|| panic!("no value: {line}"));
    (
        labels,
        value
            .parse()
            .unwrap_or_else(|_| panic!("no number: {line}")),
    )
}

fn labels(mut rest: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    loop {
        let (name, after) = rest.split_once("=\"").unwrap();
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{name}"
        );
        let mut value = String::new();
        let mut letters = after.char_indices();
        let end = loop {
            match letters.next().expect("the label ends") {
                (at, '"') => break at + 1,
                (_, '\\') => value.push(match letters.next().unwrap().1 {
                    'n' => '\n',
                    letter @ ('\\' | '"') => letter,
                    other => panic!("unknown escape {other}"),
                }),
                (_, letter) => value.push(letter),
            }
        };
        assert!(
            labels.insert(name.to_owned(), value).is_none(),
            "{name} comes twice"
        );
        match after[end..].strip_prefix(',') {
            Some(next) => rest = next,
            None => return (labels, after[end..].strip_prefix('}').unwrap()),
        }
    }
}
