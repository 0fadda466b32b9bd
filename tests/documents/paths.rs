//! The paths and names that the documents mention exist.

use std::path::Path;

use super::{document, documents, root};

/// The parts of a text between backquotes.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Whether it is a path in the repository, and not a pattern such as `queries/NAME.sql`.
fn is_path(text: &str) -> bool {
    let roots = [
        "src/",
        "tests/",
        "queries/",
        "benches/",
        "completions/",
        ".ci/",
    ];
    let is_pattern = ["NAME", "NNNN", "*", "{"]
        .iter()
        .any(|part| text.contains(part));
    roots.iter().any(|root| text.starts_with(root)) && !is_pattern && !text.contains(' ')
}

#[test]
fn every_path_in_the_documents_exists() {
    let mut checked = 0;
    for (name, text) in documents() {
        if name == Path::new("CHANGELOG.md") {
            continue;
        }
        for path in text.lines().flat_map(quoted).filter(|text| is_path(text)) {
            checked += 1;
            let exists = root().join(path).exists();
            assert!(exists, "{} names {path}", name.display());
        }
    }
    assert!(checked > 20, "only {checked} paths were found");
}

#[test]
fn every_name_in_the_table_of_where_to_start_is_in_its_file() {
    let text = document("docs/CONTRIBUTING.md");
    let rows = text
        .lines()
        .skip_while(|line| !line.starts_with("| change |"))
        .skip(2);
    let mut checked = 0;
    for row in rows.take_while(|line| line.starts_with('|')) {
        let mut quoted = quoted(row);
        let (Some(name), Some(path)) = (quoted.next(), quoted.next()) else {
            continue;
        };
        // Where the file comes first, the row names no single item of it.
        if is_path(name) {
            continue;
        }
        let code = std::fs::read_to_string(root().join(path)).unwrap();
        let declared = ["fn", "enum", "struct", "static", "const"]
            .iter()
            .any(|kind| code.contains(&format!("{kind} {name}")));
        assert!(declared, "{path} declares no {name}");
        checked += 1;
    }
    assert!(checked >= 7, "only {checked} names were found");
}
