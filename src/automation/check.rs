//! `pushctl check`: all checks of an automation file that need no network.
//!
//! A file is parsed past its syntax errors, compared with the format's JSON Schema, and then the meaning of each
//! table is checked. A check ignores missing keys and wrong types: the structure check has reported them.

mod audience;
mod pushes;
mod safety;
mod times;

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::Timestamp;
use serde::Deserialize as _;
use uuid::Uuid;

use super::Automation;
use super::diagnostic::{Diagnostic, Findings, SourceText};
use super::file::{AutomationFile, json_schema};
use super::render::CheckReport;
use super::schema_check;
use super::toml_tree;
use super::toml_tree::Node;
use crate::audience::Catalogue;
use crate::template::link::AllowedHosts;

/// The context of the checks.
#[derive(Debug, Clone)]
pub struct Against<'a> {
    /// The audiences there are.
    pub catalogue: &'a Catalogue,
    /// Hosts that deep links may lead to, with their subdomains.
    pub link_hosts: &'a AllowedHosts,
    /// The configuration's test users, for files that name none.
    pub test_users: &'a [String],
    /// The present: clock changes within a year are reported.
    pub now: Timestamp,
    /// Whether the automations are started by a platform that may start a job up to
    /// [`START_JITTER`](super::scheduler_export::START_JITTER) late.
    pub starts_late: bool,
}

/// The result of the checks.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Errors and warnings.
    pub report: CheckReport,
    /// The automations of the files without an error, in the order of the files.
    pub automations: Vec<Automation>,
}

impl Checked {
    /// Adds findings about unreadable files before the others.
    #[must_use]
    pub fn with_unreadable(mut self, mut findings: Vec<Diagnostic>) -> Self {
        let files = self.report.files + findings.len();
        findings.append(&mut self.report.findings);
        self.report = CheckReport::new(files, findings);
        self
    }
}

/// Checks each file, and names across all files.
pub fn check(sources: &[SourceText], against: &Against<'_>) -> Checked {
    let schema = json_schema();
    let mut findings = Vec::new();
    let mut automations = Vec::new();
    let mut names = Names::default();
    for source in sources {
        let mut found = Findings::of(source);
        let root = toml_tree::parse(source, &mut found);
        let syntax = found.has_errors();
        schema_check::compare(&root, &schema, &mut found);
        let mut reading = CheckedFile {
            root: &root,
            against,
            findings: &mut found,
        };
        reading.name(&mut names);
        let schedule = reading.schedule();
        reading.audience_and_pushes();
        reading.test();
        reading.safeguards(schedule.as_ref());
        reading.notify();
        if syntax {
            drop_consequences(&mut found);
        }
        if let Some(schedule) = schedule
            && !found.has_errors()
            && let Some(file) = typed(root, &mut found)
        {
            let path = source.path.clone();
            automations.push(Automation {
                path,
                file,
                schedule,
            });
        }
        findings.extend(found.into_sorted());
    }
    Checked {
        report: CheckReport::new(sources.len(), findings),
        automations,
    }
}

/// The first file that uses each name.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

/// One file for the checks of its tables.
struct CheckedFile<'c, 's> {
    root: &'c Node<'s>,
    against: &'c Against<'c>,
    findings: &'c mut Findings<'s>,
}

impl<'c, 's> CheckedFile<'c, 's> {
    fn table(&self, name: &str) -> Option<&'c Node<'s>> {
        toml_tree::get(self.root, name)
    }

    fn name(&mut self, names: &mut Names) {
        let Some((name, span)) = toml_tree::text(self.root, "name") else {
            return;
        };
        if name.is_empty() {
            return;
        }
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if !name.chars().all(fits)
            || !name.starts_with(|letter: char| letter.is_ascii_alphanumeric())
        {
            self.findings
                .error(
                    "name",
                    &span,
                    format!("\"{name}\" cannot be an automation's name"),
                )
                .hint("use letters, digits, `-`, `_` and `.`, with a letter or digit first");
        } else if name.parse::<Uuid>().is_ok() {
            self.findings
                .error("name", &span, "the name looks like the id of a run");
        }
        let path = &self.findings.source().path;
        if let Some(first) = names.0.get(name) {
            let message = format!("the name `{name}` is already used by {first}");
            self.findings.error("duplicate-name", &span, message);
        } else {
            names.0.insert(name.to_owned(), path.clone());
        }
    }

    /// Empty test users are an error where a test is required: that safeguard cannot be passed by accident.
    fn test(&mut self) {
        let table = self.table("test");
        let required = table
            .and_then(|table| toml_tree::get(table, "required"))
            .is_none_or(|node| node.get_ref().as_bool() != Some(false));
        let listed = table.and_then(|table| toml_tree::get(table, "user_ids"));
        if let Some(users) = listed.and_then(|node| node.get_ref().as_array()) {
            let mut seen = Vec::new();
            for user in users {
                self.test_user(user, &mut seen);
            }
        }
        let (is_empty, span) = match listed {
            Some(node) => (
                node.get_ref()
                    .as_array()
                    .is_some_and(|users| users.is_empty()),
                node.span(),
            ),
            None => (
                self.against.test_users.is_empty(),
                table.map_or(self.root.span(), Node::span),
            ),
        };
        if required && is_empty {
            self.findings
                .error("no-test-users", &span, "a test push is required, and there is no test user")
                .hint("set [test] user_ids, or test_users in the configuration; required = false sends without a test");
        }
    }

    fn test_user<'a>(&mut self, user: &'a Node<'_>, seen: &mut Vec<&'a str>) {
        let Some(id) = user.get_ref().as_str() else {
            return;
        };
        if id.parse::<Uuid>().is_err() {
            self.findings
                .error(
                    "test-user",
                    &user.span(),
                    format!("\"{id}\" is not a user id"),
                )
                .hint("user ids are UUIDs");
        } else if seen.contains(&id) {
            self.findings.warning(
                "test-user",
                &user.span(),
                format!("\"{id}\" is listed twice"),
            );
        }
        seen.push(id);
    }
}

/// Drops findings that follow from a line that could not be read: its key is not missing.
fn drop_consequences(findings: &mut Findings<'_>) {
    let unread = findings.lines_with("syntax");
    let unclosed = findings.lines_with(toml_tree::UNCLOSED).first().copied();
    findings.retain(|finding| match finding.code {
        "syntax" | toml_tree::UNCLOSED => true,
        "missing" | "no-test-users" => false,
        _ if unclosed.is_some_and(|line| finding.place.line >= line) => false,
        _ => !unread.contains(&finding.place.line),
    });
}

/// Returns the file as its types. The earlier checks report everything that fails here; anything else becomes a
/// finding.
fn typed(root: Node<'_>, findings: &mut Findings<'_>) -> Option<AutomationFile> {
    let span: Range<usize> = root.span();
    let read = AutomationFile::deserialize(toml::de::ValueDeserializer::from(root));
    match read {
        Ok(file) => Some(file),
        Err(error) => {
            let span = error.span().unwrap_or(span);
            findings.error("format", &span, error.message());
            None
        }
    }
}
