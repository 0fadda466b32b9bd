//! Every audience against an independent computation of it, over markets made to catch mistakes.
//!
//! [`handmade`] states by hand what must come of each edge case, and holds the computation to it; the others hold the
//! program to the computation, byte for byte.

mod agreement;
mod handmade;
mod history;
mod last_good;
mod membership;
mod options;
mod own;
mod parameters;
mod text;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::cli::{Outcome, Sandbox};
use crate::support::market::{AS_OF, Market, rfc3339};
use crate::support::oracle::facts::Facts;
use crate::support::oracle::tables::Tables;
use crate::support::oracle::{Layer2, Layer3, Nudges, Request, Showcase, Waterfall};
use crate::support::postgres::{Database, Postgres};

/// A market in a database, what its tables hold, and pushctl beside it.
struct Fair {
    market: Market,
    database: Database,
    tables: Tables,
    sandbox: Sandbox,
}

/// Files by name.
type Directory = BTreeMap<String, Vec<u8>>;

impl Fair {
    /// `market` in a database named after the test.
    fn of(name: &str, market: Market) -> Self {
        Self::in_database(Postgres::shared().database(name), market)
    }

    fn in_database(database: Database, market: Market) -> Self {
        market.load(&database);
        let sandbox = Sandbox::new();
        let users: Vec<String> = market
            .test_users
            .iter()
            .map(|user| format!("\"{user}\""))
            .collect();
        sandbox.config(&format!("test_users = [{}]\n", users.join(", ")));
        Self {
            tables: Tables::read(&database),
            market,
            database,
            sandbox,
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts::at(AS_OF, &self.tables)
    }

    /// Drops the database, so that a long campaign does not fill the disk.
    fn forget(self) {
        let Self { database, .. } = self;
        let name = &database.name;
        Postgres::shared()
            .admin()
            .execute(&format!("DROP DATABASE {name} WITH (FORCE)"));
    }

    /// pushctl with the database's address.
    fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(arguments, &[])
    }

    fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
        let url = self.database.url();
        let mut all = vec![("DATABASE_URL", url.as_str())];
        all.extend(variables);
        self.sandbox.run_with(arguments, &all)
    }

    /// `pushctl generate` at [`AS_OF`] into an empty directory under stable names: how it ended, and the files.
    fn generate(&self, audience: &str, arguments: &[String]) -> (Outcome, Directory) {
        self.generate_with(audience, arguments, &[])
    }

    fn generate_with(
        &self,
        audience: &str,
        arguments: &[String],
        variables: &[(&str, &str)],
    ) -> (Outcome, Directory) {
        let output = self.sandbox.here().join("out");
        let _ = fs::remove_dir_all(&output);
        let as_of = rfc3339(AS_OF);
        let mut command = vec!["generate", audience, "--as-of", &as_of];
        command.extend(["--name-suffix", "", "--output", "out"]);
        command.extend(arguments.iter().map(String::as_str));
        (self.run_with(&command, variables), files(&output))
    }

    /// Every audience at its default parameters.
    fn requests(&self) -> [Request; 5] {
        [
            Request::Layer2(Layer2::default()),
            Request::Layer3(Layer3::default()),
            Request::Showcase(Showcase::of(self.market.showcase)),
            Request::Waterfall(Waterfall::default()),
            Request::Nudges(Nudges::default()),
        ]
    }
}

/// What a directory holds; nothing, if there is none.
fn files(directory: &Path) -> Directory {
    let Ok(entries) = fs::read_dir(directory) else {
        return Directory::new();
    };
    entries
        .map(|entry| {
            let entry = entry.expect("a directory entry");
            let name = entry.file_name().into_string().expect("a name in UTF-8");
            (name, fs::read(entry.path()).expect("a file"))
        })
        .collect()
}

/// The first difference between two directories, in words.
fn difference(expected: &Directory, found: &Directory) -> Option<String> {
    let (expected_names, found_names) = (expected.keys(), found.keys());
    if !expected_names.clone().eq(found_names.clone()) {
        let [expected, found] = [expected_names, found_names]
            .map(|names| names.map(String::as_str).collect::<Vec<_>>().join(" "));
        return Some(format!(
            "files expected: {expected}\nfiles found:    {found}"
        ));
    }
    expected.iter().find_map(|(name, expected)| {
        let found = &found[name];
        let [expected_lines, found_lines] =
            [expected, found].map(|bytes| bytes.split_inclusive(|byte| *byte == b'\n'));
        let (rows, found_rows) = (expected_lines.clone().count(), found_lines.clone().count());
        let first = expected_lines
            .zip(found_lines)
            .find(|(expected, found)| expected != found);
        let shown = |line: &[u8]| format!("{:?}", String::from_utf8_lossy(line));
        match first {
            _ if expected == found => None,
            Some((expected, found)) => Some(format!(
                "{name} ({rows} lines expected, {found_rows} found)\nexpected: {}\nfound:    {}",
                shown(expected),
                shown(found)
            )),
            None => Some(format!("{name}: {rows} lines expected, {found_rows} found")),
        }
    })
}
