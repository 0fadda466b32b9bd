//! The documents say what is true: links resolve, examples work, and every setting, key and exit status is listed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::deploy::assert_understood;
use crate::support::cli::Sandbox;

mod markdown;
mod paths;
mod words;

use markdown::{anchors, blocks, links, prose, shell_commands};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document by its path in the repository.
fn documents() -> BTreeMap<PathBuf, String> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap();
    let docs = docs.map(|entry| Path::new("docs").join(entry.unwrap().file_name()));
    let others = ["README.md", "CHANGELOG.md", "deploy/README.md"];
    docs.chain(others.map(PathBuf::from))
        .map(|path| {
            let text = std::fs::read_to_string(root().join(&path)).unwrap();
            (path, text)
        })
        .collect()
}

fn document(path: &str) -> String {
    documents().remove(Path::new(path)).unwrap()
}

#[test]
fn every_link_and_anchor_resolves() {
    let documents = documents();
    let mut broken = Vec::new();
    let mut checked = 0;
    for (path, text) in &documents {
        for link in links(&prose(text)) {
            if link.contains("://") {
                continue;
            }
            checked += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => path.clone(),
                _ => normal(&path.parent().unwrap().join(file)),
            };
            let exists = root().join(&target).exists();
            let anchor_exists = anchor.is_empty()
                || documents
                    .get(&target)
                    .is_some_and(|text| anchors(text).contains(&anchor.to_owned()));
            if !exists || !anchor_exists {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(checked > 50, "only {checked} links were found");
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            std::path::Component::ParentDir => assert!(out.pop(), "{}", path.display()),
            std::path::Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

#[test]
fn the_readme_is_short_and_links_every_document() {
    let readme = document("README.md");
    let lines = readme.lines().count();
    assert!(lines < 250, "{lines} lines");
    let linked = links(&prose(&readme));
    for path in documents().keys() {
        let is_linked = linked.iter().any(|link| Path::new(link) == path);
        let elsewhere = ["README.md", "deploy/README.md"];
        assert!(
            is_linked || elsewhere.contains(&path.to_str().unwrap()),
            "README.md does not link {}",
            path.display()
        );
    }
}

#[test]
fn every_command_line_is_one_that_pushctl_understands() {
    let mut checked = 0;
    for (path, text) in documents() {
        for block in blocks(&text, "sh") {
            for mut words in shell_commands(&block) {
                // The audience that query-files.md has just written.
                for word in &mut words {
                    *word = word.replace("collectors", "layer2");
                }
                assert_understood(&path.display().to_string(), &words);
                checked += 1;
            }
        }
    }
    assert!(checked > 60, "only {checked} commands were found");
}

#[test]
fn every_automation_in_an_example_passes_the_check() {
    let mut checked = 0;
    for (path, text) in documents() {
        let examples = blocks(&text, "toml")
            .into_iter()
            .chain(here_documents(&text));
        for example in examples.filter(|example| example.contains("[[push]]")) {
            let sandbox = Sandbox::new();
            sandbox.write("here/automations/example.toml", &example);
            let outcome = sandbox.run(&["check"]);
            assert_eq!(outcome.status, 0, "{}: {outcome}", path.display());
            assert!(
                !outcome.stderr.contains("warning"),
                "{}: {outcome}",
                path.display()
            );
            checked += 1;
        }
    }
    assert_eq!(checked, 2);
}

/// The files that the shell examples write with `<<'TOML'`.
fn here_documents(text: &str) -> Vec<String> {
    text.split("<<'TOML'\n")
        .skip(1)
        .map(|rest| rest.split("\nTOML\n").next().unwrap().to_owned())
        .collect()
}

#[test]
fn the_example_of_a_configuration_is_read_without_a_complaint() {
    let text = document("docs/configuration.md");
    let examples = blocks(&text, "toml");
    assert_eq!(examples.len(), 1);
    let sandbox = Sandbox::new();
    sandbox.config(&examples[0]);
    let outcome = sandbox.run(&["config", "show", "--json"]);
    assert_eq!(outcome.status, 0, "{outcome}");
    assert_eq!(outcome.stderr, "");
}

#[test]
fn the_example_of_a_query_file_is_an_audience() {
    let text = document("docs/query-files.md");
    let examples = blocks(&text, "sql");
    assert_eq!(examples.len(), 1);
    let sandbox = Sandbox::new();
    sandbox.write("here/queries/example.sql", &examples[0]);
    let outcome = sandbox.run(&["audiences", "example", "--queries", "queries"]);
    assert_eq!(outcome.status, 0, "{outcome}");
}

#[test]
fn every_setting_is_listed_with_its_variables_and_its_default() {
    let text = document("docs/configuration.md");
    let shown = Sandbox::new().run(&["config", "show", "--json"]).json();
    let settings = shown["settings"].as_array().unwrap();
    assert!(settings.len() > 40, "{shown}");
    for setting in settings {
        let name = format!("| `{}` |", setting["name"].as_str().unwrap());
        let row = text.lines().find(|line| line.starts_with(&name));
        let row = row.unwrap_or_else(|| panic!("docs/configuration.md has no row {name}"));
        for variable in setting["variables"].as_array().unwrap() {
            let variable = variable.as_str().unwrap();
            assert!(row.contains(&format!("`{variable}`")), "{variable}: {row}");
        }
        // The actor's default is the machine's.
        if setting["origin"] == "default" && setting["name"] != "actor" {
            let default = setting["value"].as_str().unwrap();
            assert!(row.contains(&format!("`{default}`")), "{default}: {row}");
        }
    }
}

#[test]
fn every_key_of_an_automation_is_listed() {
    let text = document("docs/automations.md");
    let schema = Sandbox::new().run(&["schema", "automation"]).json();
    for (name, value) in schema["properties"].as_object().unwrap() {
        let inner = value["properties"]
            .as_object()
            .or_else(|| value["items"]["properties"].as_object());
        let Some(inner) = inner else {
            assert!(text.contains(&format!("| `{name}`")), "{name}");
            continue;
        };
        let heads = [format!("| `[{name}]` |"), format!("| `[[{name}]]` |")];
        let table = text
            .split("\n\n")
            .find(|part| heads.iter().any(|head| part.starts_with(head)));
        let table = table.unwrap_or_else(|| panic!("docs/automations.md has no table [{name}]"));
        for key in inner.keys() {
            assert!(table.contains(&format!("`{key}`")), "[{name}] {key}");
        }
    }
}

#[test]
fn every_exit_status_is_listed() {
    let text = document("docs/troubleshooting.md");
    for (kind, status, _) in pushctl::exit::TABLE {
        assert!(
            text.lines()
                .any(|line| line.starts_with(&format!("| {status} |"))),
            "{kind:?} {status}"
        );
    }
}

#[test]
fn every_guard_of_the_table_has_a_section_and_a_cell_for_each_start() {
    let text = document("docs/guarantees.md");
    let sections = anchors(&text);
    let rows: Vec<&str> = text
        .lines()
        .skip_while(|line| !line.starts_with("| guard |"))
        .take_while(|line| line.starts_with('|'))
        .collect();
    let cells = |row: &str| row.matches(" | ").count();
    assert!(rows.len() > 15, "{rows:?}");
    for row in &rows[2..] {
        assert_eq!(cells(row), cells(rows[0]), "{row}");
        let link = links(row);
        assert!(sections.contains(&link[0].trim_start_matches('#').to_owned()));
    }
}

/// The messages that the table explains, each in the words that the program has for it.
#[test]
fn every_message_in_the_table_of_troubleshooting_exists() {
    let text = document("docs/troubleshooting.md");
    let table = text.split("## Messages").nth(1).unwrap();
    let source: String = words::all(&["src"])
        .into_iter()
        .map(|(_, text)| text)
        .collect();
    // A message may go over several lines.
    let source = regex::Regex::new(r"\\\n\s*")
        .unwrap()
        .replace_all(&source, "");
    // Those of the system.
    let others = ["Too many open files", "File too large"];
    let quoted = regex::Regex::new(r"\*([^*|]+)\*").unwrap();
    let parts = quoted
        .captures_iter(table)
        .flat_map(|found| found.get(1).unwrap().as_str().split('…'));
    let missing: Vec<&str> = parts
        .map(str::trim)
        .filter(|part| !source.contains(part) && !others.contains(part))
        .collect();
    assert_eq!(missing, [""; 0]);
}
