//! `pushctl doctor`: for each thing that can be wrong, the step that fails, what it says to do next, the exit status.

mod connection;
mod parts;
mod privileges;
mod shown;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::cli::{Outcome, Sandbox};
use crate::support::fcm::StandIn;
use crate::support::fcm::script::Script;
use crate::support::postgres::{Database, Postgres, at_port};

/// A whole installation: a source, a state store in a file, the stand-in of the push service.
struct Installation {
    sandbox: Sandbox,
    variables: BTreeMap<String, String>,
    stand_in: StandIn,
}

/// What the doctor reports.
struct Examined {
    outcome: Outcome,
    document: Value,
    took: Duration,
}

impl Installation {
    fn of(source: &str) -> Self {
        Self::with(source, StandIn::playing(Script::default()))
    }

    fn with(source: &str, stand_in: StandIn) -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("home/account.json", &stand_in.service_account().to_string());
        let authority = String::from_utf8(stand_in.authority_pem().to_vec()).unwrap();
        sandbox.write("home/ca.pem", &authority);
        let home = |name: &str| sandbox.home().join(name).display().to_string();
        let variables = [
            ("DATABASE_URL", source.to_owned()),
            ("GOOGLE_APPLICATION_CREDENTIALS", home("account.json")),
            ("PUSHCTL_PUSH_URL", stand_in.base_url()),
            ("PUSHCTL_PUSH_CA", home("ca.pem")),
            ("PUSHCTL_STATE_URL", home("state.db")),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        Self {
            sandbox,
            variables: variables.into(),
            stand_in,
        }
    }

    fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(arguments);
        command.envs(&self.variables);
        command
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output().unwrap();
        self.sandbox.outcome(&output)
    }

    fn examine(&self, arguments: &[&str]) -> Examined {
        self.examined(&mut self.command(&["doctor", "--json"]), arguments)
    }

    fn examined(&self, command: &mut Command, arguments: &[&str]) -> Examined {
        let began = Instant::now();
        let output = command.args(arguments).output().unwrap();
        let outcome = self.sandbox.outcome(&output);
        Examined {
            document: outcome.json(),
            outcome,
            took: began.elapsed(),
        }
    }
}

impl Examined {
    /// The step, by section and name.
    fn step(&self, section: &str, name: &str) -> &Value {
        let sections = self.document["sections"].as_array().unwrap();
        let found = sections.iter().find(|found| found["name"] == section);
        let steps = found.unwrap_or_else(|| panic!("no section {section}: {}", self.outcome));
        let steps = steps["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["name"] == name);
        step.unwrap_or_else(|| panic!("no step {section} {name}: {}", self.outcome))
    }

    fn is(&self, section: &str, name: &str, status: &str) -> &Self {
        let step = self.step(section, name);
        assert_eq!(step["status"], status, "{section} {name}: {step:#}");
        self
    }

    /// Checks a step that failed first: its words, its advice, and the exit status.
    #[track_caller]
    fn fails(&self, section: &str, name: &str, says: &str, hint: &str, status: i32) -> &Self {
        self.is(section, name, "failed");
        let step = self.step(section, name);
        let seen = step["seen"].as_str().unwrap();
        assert!(seen.contains(says), "{says} is not in: {seen}");
        let hints = step["hints"].to_string();
        assert!(hints.contains(hint), "{hint} is not in: {hints}");
        assert_eq!(self.outcome.status, status, "{}", self.outcome);
        assert_eq!(self.document["exit_status"], status);
        assert_eq!(self.document["ok"], false);
        self
    }

    /// Checks a step that is skipped because of another.
    fn skips(&self, section: &str, name: &str, because: &str) -> &Self {
        self.is(section, name, "skipped");
        assert_eq!(self.step(section, name)["because"], because);
        self
    }

    fn all_well(&self) -> &Self {
        assert_eq!(self.outcome.status, 0, "{}", self.outcome);
        assert_eq!(self.document["counts"]["failed"], 0);
        self
    }
}

fn source() -> Database {
    Postgres::shared().database("doctor")
}

/// The URL of a database through another port.
fn through(database: &Database, port: u16) -> String {
    at_port(&database.url(), port)
}

#[test]
fn where_all_is_well_every_step_is_ok_and_nothing_is_left_behind() {
    let database = source();
    let installation = Installation::of(&database.url());
    let examined = installation.examine(&[]);
    examined.all_well();
    for step in [
        "configuration",
        "name",
        "tcp",
        "tls",
        "log-in",
        "query",
        "connections",
        "clock",
        "audience layer2",
        "audience layer3",
        "audience showcase",
        "audience waterfall",
        "audience nudges",
        "send",
    ] {
        examined.is("source", step, "ok");
    }
    for step in ["credentials", "connection", "token", "message", "clock"] {
        examined.is("push", step, "ok");
    }
    let tables = &examined.step("source", "audience layer2")["details"]["tables"];
    assert!(tables.to_string().contains("public.offers"), "{tables}");
    let tls = &examined.step("source", "tls")["details"];
    assert!(
        tls["version"].as_str().unwrap().starts_with("TLSv1."),
        "{tls}"
    );
    assert!(tls["names"].to_string().contains("db.example.com"), "{tls}");
    assert!(tls["days_left"].as_i64().unwrap() > 20, "{tls}");
    let connections = &examined.step("source", "connections")["details"];
    assert_eq!(connections["maximum"], 80);
    assert!(
        connections["applications"].to_string().contains("pushctl/"),
        "{connections}"
    );
    assert!(
        !examined.outcome.stdout.contains("p@ss"),
        "{}",
        examined.outcome
    );
    assert!(
        !examined.outcome.stdout.contains("p%40ss"),
        "{}",
        examined.outcome
    );
    // Neither the store nor a directory was made.
    assert!(!installation.sandbox.home().join("state.db").exists());
    let here = std::fs::read_dir(installation.sandbox.here()).unwrap();
    assert_eq!(here.count(), 0);
    let sent = installation.stand_in.accepted();
    assert!(
        sent.iter()
            .all(|message| message.fate != crate::support::fcm::ledger::Fate::Answered),
        "{sent:?}"
    );
}

#[test]
fn the_document_follows_its_schema() {
    let schema = Sandbox::new().run(&["schema", "doctor"]).json();
    let step = &schema["$defs"]["Step"]["properties"];
    let examined = Installation::of(&source().url()).examine(&[]);
    let sections = examined.document["sections"].as_array().unwrap();
    let steps = sections
        .iter()
        .flat_map(|section| section["steps"].as_array().unwrap());
    let mut seen = 0;
    for key in steps.flat_map(|step| step.as_object().unwrap().keys()) {
        assert!(step.get(key).is_some(), "{key} is not in {step:#}");
        seen += 1;
    }
    assert!(seen > 60, "{seen}");
    for key in examined.document.as_object().unwrap().keys() {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
    assert_eq!(examined.document["schema_version"], 1);
}
