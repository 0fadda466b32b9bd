//! The catalogue of audiences: the built-in ones, and those of a directory, which replace built-in ones of the same
//! name.

use std::collections::BTreeMap;
use std::path::Path;

use super::definition::Definition;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::stray_files;
use crate::suggest::nearest;

const BUILT_IN: &[(&str, &str)] = &[
    ("layer2", include_str!("../../queries/layer2.sql")),
    ("layer3", include_str!("../../queries/layer3.sql")),
    ("nudges", include_str!("../../queries/nudges.sql")),
    ("showcase", include_str!("../../queries/showcase.sql")),
    ("waterfall", include_str!("../../queries/waterfall.sql")),
];

/// The query file of a new audience, with `NAME` in place of its name.
pub const STARTER: &str = include_str!("starter.sql");

/// The query files by audience name, parsed on demand: one broken file does not break the others.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    files: BTreeMap<String, File>,
    notes: Vec<String>,
}

#[derive(Debug, Clone)]
struct File {
    origin: String,
    text: Result<String, String>,
}

impl Catalogue {
    pub fn built_in() -> Self {
        let file = |name: &str, text: &str| File {
            origin: format!("queries/{name}.sql (built in)"),
            text: Ok(text.into()),
        };
        Self {
            files: BUILT_IN
                .iter()
                .map(|(name, text)| ((*name).into(), file(name, text)))
                .collect(),
            notes: Vec::new(),
        }
    }

    /// Returns the built-in audiences, replaced or joined by every `*.sql` of `directory`.
    ///
    /// A file that cannot be read concerns its own audience only.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn with_directory(directory: &Path) -> Result<Self> {
        let mut catalogue = Self::built_in();
        let listing = stray_files::list(directory, "sql").kind(ErrorKind::Usage, || {
            format!("cannot read the queries directory {}", directory.display())
        })?;
        for path in listing.files {
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else {
                continue;
            };
            let origin = path.display().to_string();
            let text = std::fs::read_to_string(&path)
                .map_err(|error| format!("cannot read the query file {origin}: {error}"));
            catalogue.files.insert(name.into(), File { origin, text });
        }
        catalogue.notes = listing.notes;
        Ok(catalogue)
    }

    /// Returns notes about entries of the directory that are passed over.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the names in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Returns one audience.
    ///
    /// # Errors
    /// The name is unknown (with the nearest one), or the file has an error (with its line).
    pub fn get(&self, name: &str) -> Result<Definition> {
        let Some(file) = self.files.get(name) else {
            let error = Error::usage(format!("there is no audience {name:?}"));
            return Err(match nearest(name, self.names()) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint(format!(
                    "there are: {}; --queries DIR adds your own",
                    self.names().collect::<Vec<_>>().join(", ")
                )),
            });
        };
        let text = file.text.as_ref().map_err(Error::usage)?;
        Definition::parse(name, &file.origin, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_audience_is_well_formed() {
        let catalogue = Catalogue::built_in();
        for name in catalogue.names() {
            catalogue.get(name).unwrap();
        }
    }

    #[test]
    fn a_misspelt_audience_gets_the_nearest_name() {
        let error = Catalogue::built_in().get("layer22").unwrap_err();
        assert_eq!(error.hints(), ["did you mean layer2?"]);
    }
}
