//! The names of a run's files.

use std::collections::BTreeMap;

use jiff::{Timestamp, ToSpan, tz::TimeZone};

use super::definition::Definition;
use super::parameters::{self, Values, fill};
use crate::error::{Error, Result};
use crate::snippet::is_unsafe;

/// The suffix of every file name of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suffix {
    /// The second in which the run began, UTC; a later one if a file of that name exists.
    Time(Timestamp),
    /// A fixed text, so that a run replaces the files of the previous one.
    Fixed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamePart {
    /// `{stem}_{time}.csv`
    Production,
    /// `{stem}_TEST_{time}.csv`
    Test,
}

impl Suffix {
    fn text(&self) -> String {
        match self {
            Self::Time(at) => at
                .to_zoned(TimeZone::UTC)
                .strftime("%Y%m%d_%H%M%S")
                .to_string(),
            Self::Fixed(text) => text.clone(),
        }
    }

    /// Returns the suffix one second later; `None` for a fixed text.
    pub fn next(&self) -> Option<Self> {
        match self {
            Self::Time(at) => at.checked_add(1.second()).ok().map(Self::Time),
            Self::Fixed(_) => None,
        }
    }
}

/// Returns the stem of a file with the run's parameters in it.
pub fn stem(definition: &Definition, index: usize, values: &Values) -> String {
    let stem = definition
        .header
        .files
        .get(index)
        .map_or("", |file| file.stem.get_ref());
    fill(stem, values)
}

/// Returns the values of a run's parameters. A file name with them in it stays in the output directory.
///
/// # Errors
/// A value does not fit its parameter, or the name of a file.
pub fn values(definition: &Definition, given: &BTreeMap<String, String>) -> Result<Values> {
    let values = parameters::resolve(&definition.name, &definition.parameters, given)?;
    for index in 0..definition.header.files.len() {
        let stem = stem(definition, index, &values);
        if let Some(reason) = fault(&stem) {
            return Err(Error::usage(format!(
                "{}: the file stem {stem:?} {reason}",
                definition.origin
            ))
            .hint("choose another value for the parameter in it"));
        }
    }
    Ok(values)
}

/// Returns why a stem cannot begin the name of a file, on this system or one that the file is copied to.
pub(super) fn fault(stem: &str) -> Option<&'static str> {
    // What follows is a marker, a time and an extension.
    const LONGEST: usize = 200;
    const DEVICES: &[&str] = &["con", "prn", "aux", "nul", "com", "lpt"];
    let first = stem
        .split('.')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let is_device = DEVICES.iter().any(|device| {
        let number = first.strip_prefix(device);
        let is_numbered = matches!(*device, "com" | "lpt");
        number.is_some_and(|number| {
            !is_numbered && number.is_empty()
                || is_numbered
                    && number.len() == 1
                    && number != "0"
                    && number.bytes().all(|b| b.is_ascii_digit())
        })
    });
    if stem.trim().is_empty() {
        Some("is empty")
    } else if stem.contains(['/', '\\']) {
        Some("contains a separator of directories")
    } else if stem.chars().any(is_unsafe) {
        Some("contains a control character")
    } else if stem.starts_with(['.', '-', '#']) || stem.contains("..") {
        Some("begins with a dot, a hyphen or #, or contains two dots")
    } else if stem.trim() != stem || stem.contains([':', '*', '?', '"', '<', '>', '|']) {
        Some("contains a character that file names cannot have everywhere")
    } else if is_device {
        Some("is the name of a device on Windows")
    } else if stem.len() > LONGEST {
        Some("is longer than 200 bytes")
    } else {
        None
    }
}

/// Returns the name of one file.
pub fn file(definition: &Definition, stem: &str, part: NamePart, suffix: &Suffix) -> String {
    let separator = &definition.header.name_separator;
    let (marker, suffix) = (&definition.header.test_marker, suffix.text());
    let mut name = stem.to_owned();
    if part == NamePart::Test {
        name.extend([separator, marker.as_str()]);
    }
    if !suffix.is_empty() {
        name.extend([separator, suffix.as_str()]);
    }
    name + ".csv"
}

/// Returns the name of the manifest.
pub fn manifest(audience: &str, suffix: &Suffix) -> String {
    match suffix.text() {
        text if text.is_empty() => format!("{audience}.manifest.json"),
        text => format!("{audience}_{text}.manifest.json"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_that_leads_elsewhere_or_cannot_be_a_name_is_refused() {
        for stem in [
            "",
            " ",
            "../x",
            "a/b",
            "/etc/x",
            "a\\b",
            "..",
            "a..b",
            ".x",
            "-x",
            "#x",
            "a\nb",
            "a\0b",
            "a\u{202e}b",
            "con",
            "NUL.x",
            "com1",
            "a:b",
            "a*",
            "x ",
            &"é".repeat(101),
        ] {
            assert!(fault(stem).is_some(), "{stem:?}");
        }
        for stem in [
            "trending-closet-items",
            "haves_0b54ae58",
            "Léa's",
            "a.b",
            "com",
            "console",
            "x y",
        ] {
            assert_eq!(fault(stem), None, "{stem:?}");
        }
    }

    #[test]
    fn names_are_those_that_other_systems_look_for() {
        let catalogue = super::super::catalogue::Catalogue::built_in();
        let at = Suffix::Time("2026-11-10T06:08:56Z".parse().unwrap());
        let waterfall = catalogue.get("waterfall").unwrap();
        assert_eq!(
            file(&waterfall, "no-bio-new-user", NamePart::Production, &at),
            "no-bio-new-user-20261110_060856.csv"
        );
        assert_eq!(
            file(&waterfall, "no-bio-new-user", NamePart::Test, &at),
            "no-bio-new-user-test-20261110_060856.csv"
        );
        let layer2 = catalogue.get("layer2").unwrap();
        assert_eq!(
            file(&layer2, "a", NamePart::Test, &at),
            "a_TEST_20261110_060856.csv"
        );
        assert_eq!(
            file(&layer2, "a", NamePart::Test, &Suffix::Fixed(String::new())),
            "a_TEST.csv"
        );
        assert_eq!(
            manifest("layer2", &at),
            "layer2_20261110_060856.manifest.json"
        );
    }
}
