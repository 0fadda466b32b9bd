//! The names of a run's files.

use jiff::{Timestamp, ToSpan, tz::TimeZone};

use super::definition::Definition;
use super::parameters::{Values, fill};

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
