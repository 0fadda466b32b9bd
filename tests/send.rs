//! `send` and `resume` through the program itself: a real source, a real store, the stand-in of the push service.

mod answers;
mod at_rest;
mod crash;
pub(crate) mod deadline;
mod files;
mod guards;
mod history;
mod joining;
mod message;
mod modes;
mod overlap;
mod proxies;
mod published;
mod recipients;
mod rehearsals;
mod secrets;
mod shared;
mod shown;
mod side_files;
mod signals;
mod sources;
mod store_refusals;
mod sums;
mod suppressed;
mod suspended;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pushctl::clock::{Clock, System};
use pushctl::state::{Location, Store};
use serde_json::Value;

use self::sums::{check, number};
use crate::support::cli::{Outcome, Sandbox};
use crate::support::fcm::StandIn;
use crate::support::fcm::ledger::Fate;
use crate::support::fcm::script::Script;
use crate::support::postgres::{Database, Postgres};
use crate::support::store::{Hand, address};

/// The default arguments of a send.
const DEFAULTS: [(&str, &str); 4] = [
    ("--audience", "a.csv"),
    ("--layer", "1"),
    ("--title", "Hello"),
    ("--body", "A buyer wants your shoes"),
];

/// Where pushctl sends from: a sandbox, the push service, a state store.
pub(crate) struct Office {
    pub(crate) sandbox: Sandbox,
    pub(crate) stand_in: StandIn,
    /// The database of the state store, if it has one.
    state: Option<Database>,
    variables: BTreeMap<String, String>,
}

/// Where state is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Sqlite,
    Postgres,
}

pub(crate) const BOTH: [Kept; 2] = [Kept::Sqlite, Kept::Postgres];

/// A send that wrote a summary.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) outcome: Outcome,
    pub(crate) summary: Value,
    pub(crate) rows: Vec<Row>,
}

/// A line of the outcome file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Row {
    #[serde(rename = "user_id")]
    pub(crate) user: String,
    pub(crate) outcome: String,
    pub(crate) code: String,
    pub(crate) message_name: String,
    pub(crate) attempts: u32,
    pub(crate) ms: u64,
}

impl Office {
    /// State in a file, a service that plays `script`.
    pub(crate) fn playing(script: Script) -> Self {
        Self::keeping(Kept::Sqlite, script)
    }

    pub(crate) fn keeping(kept: Kept, script: Script) -> Self {
        Self::with(kept, StandIn::playing(script))
    }

    pub(crate) fn with(kept: Kept, stand_in: StandIn) -> Self {
        Self::at(
            stand_in,
            (kept == Kept::Postgres).then(|| state_database(Postgres::shared())),
        )
    }

    /// State in a cluster of one's own.
    pub(crate) fn keeping_in(cluster: &Postgres, stand_in: StandIn) -> Self {
        let state = state_database(cluster);
        // What was committed a moment ago is not on the disk, in these clusters, and would be lost by a crash.
        state.execute("CHECKPOINT");
        Self::at(stand_in, Some(state))
    }

    fn at(stand_in: StandIn, state: Option<Database>) -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("home/account.json", &stand_in.service_account().to_string());
        let authority = String::from_utf8(stand_in.authority_pem().to_vec()).unwrap();
        sandbox.write("home/ca.pem", &authority);
        let home = |name: &str| sandbox.home().join(name).display().to_string();
        let state_url = state.as_ref().map_or_else(|| home("state.db"), state_url);
        let variables = [
            ("GOOGLE_APPLICATION_CREDENTIALS", home("account.json")),
            ("PUSHCTL_PUSH_URL", stand_in.base_url()),
            ("PUSHCTL_PUSH_CA", home("ca.pem")),
            ("PUSHCTL_PUSH_BACKOFF", "200ms".to_owned()),
            ("PUSHCTL_PUSH_QUOTA_PAUSE", "400ms".to_owned()),
            ("PUSHCTL_PUSH_PATIENCE", "3s".to_owned()),
            ("PUSHCTL_STATE_URL", state_url),
            ("USER", "alice".to_owned()),
        ];
        let variables = variables
            .map(|(name, value)| (name.to_owned(), value))
            .into();
        Self {
            sandbox,
            stand_in,
            state,
            variables,
        }
    }

    /// Sets a variable.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.insert(name.to_owned(), value.into());
    }

    /// From now on, nothing listens at the push service's address.
    pub(crate) fn lose_push_service(&mut self) {
        let port = crate::support::programs::closed_port();
        self.set("PUSHCTL_PUSH_URL", format!("https://127.0.0.1:{port}"));
    }

    /// Writes `a.csv`.
    pub(crate) fn audience(&self, text: &str) {
        self.sandbox.write("here/a.csv", text);
    }

    /// Any command.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output().expect("pushctl starts");
        self.sandbox.outcome(&output)
    }

    /// `send` with defaults for what is not said, confirmed; its summary is checked.
    pub(crate) fn send(&self, arguments: &[&str]) -> Sent {
        self.sent(self.run(&order(arguments)))
    }

    /// `resume`, checked likewise.
    pub(crate) fn resume(&self, run: &str, arguments: &[&str]) -> Sent {
        self.sent(self.run(&[&["resume", run, "--yes", "--json"], arguments].concat()))
    }

    /// `send` that ends before it has a summary.
    pub(crate) fn refused(&self, arguments: &[&str], status: i32) -> String {
        let outcome = self.run(&order(arguments));
        assert_eq!(outcome.status, status, "{outcome}");
        assert_eq!(outcome.json()["error"]["exit_status"], status, "{outcome}");
        outcome.stderr
    }

    /// `send` under way.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        self.spawn(&order(arguments))
    }

    /// A command under way.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("pushctl starts")
    }

    /// What came of a send that was under way.
    pub(crate) fn ended(&self, child: Child) -> Outcome {
        self.sandbox
            .outcome(&child.wait_with_output().expect("it ends"))
    }

    /// Reads and checks the summary.
    pub(crate) fn sent(&self, outcome: Outcome) -> Sent {
        let summary = outcome.json();
        let name = summary["files"]["outcomes"].as_str();
        let name = name.and_then(|path| Some(path.rsplit_once('/')?.1));
        let rows = name.map_or_else(Vec::new, |name| self.lines(name));
        check(&summary, &rows);
        Sent {
            outcome,
            summary,
            rows,
        }
    }

    /// A file of outcomes; empty where nothing was written.
    fn lines(&self, name: &str) -> Vec<Row> {
        let path = self.outcomes(name);
        let Ok(reader) = csv::Reader::from_path(path) else {
            return Vec::new();
        };
        reader.into_deserialize().map(Result::unwrap).collect()
    }

    /// A file in the directory of outcomes.
    pub(crate) fn outcomes(&self, name: &str) -> std::path::PathBuf {
        self.sandbox.here().join("outcomes").join(name)
    }

    /// The tokens that messages were accepted for, sorted; none twice.
    pub(crate) fn delivered(&self) -> Vec<String> {
        let accepted = self.stand_in.accepted();
        let mut tokens: Vec<String> = accepted
            .into_iter()
            .filter(|one| one.fate != Fate::Validated)
            .map(|one| one.token)
            .collect();
        tokens.sort_unstable();
        let twice = tokens.windows(2).find(|pair| pair[0] == pair[1]);
        assert_eq!(twice, None, "sent to twice");
        assert_eq!(self.stand_in.refused(), 0, "malformed requests");
        tokens
    }

    /// Waits until the service has accepted so many.
    pub(crate) fn wait_for(&self, accepted: usize) {
        until(|| self.stand_in.accepted().len() >= accepted);
    }

    /// Work on the state store as one more process would do it.
    pub(crate) fn in_store<T>(&self, work: impl AsyncFnOnce(Store) -> T) -> T {
        self.with_clock(Arc::new(System), work)
    }

    /// As on a machine whose clock is so far behind.
    pub(crate) fn on_another_machine<T>(
        &self,
        behind: Duration,
        work: impl AsyncFnOnce(Store) -> T,
    ) -> T {
        let there = jiff::Timestamp::now() - behind;
        self.with_clock(Arc::new(Hand::at(&there.to_string())), work)
    }

    fn with_clock<T>(&self, clock: Arc<dyn Clock>, work: impl AsyncFnOnce(Store) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let location = match &self.state {
            Some(database) => Location::Postgres(Box::new(address(&state_url(database)))),
            None => Location::Embedded(self.sandbox.home().join("state.db")),
        };
        runtime.block_on(async {
            let store = Store::open(&location, clock).await.unwrap();
            work(store).await
        })
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.sandbox.command(arguments);
        command.envs(&self.variables).stdin(Stdio::null());
        command
    }
}

impl Sent {
    pub(crate) fn status(&self) -> i32 {
        self.outcome.status
    }

    pub(crate) fn run(&self) -> &str {
        self.summary["run"].as_str().unwrap()
    }

    /// Asserts the exit status and the number of accepted messages.
    #[track_caller]
    pub(crate) fn accepted(&self, status: i32, count: u64) {
        let both = (self.status(), self.count("accepted"));
        assert_eq!(both, (status, count), "{}", self.outcome);
    }

    /// A number of the summary.
    pub(crate) fn count(&self, name: &str) -> u64 {
        number(&self.summary[name])
    }

    /// Users with their outcome and code, sorted by user.
    pub(crate) fn outcomes(&self) -> Vec<(&str, &str, &str)> {
        let rows = self.rows.iter();
        let mut outcomes: Vec<_> = rows
            .map(|row| (&*row.user, &*row.outcome, &*row.code))
            .collect();
        outcomes.sort_unstable();
        outcomes
    }
}

/// `send` with defaults for what is not said, confirmed.
pub(crate) fn order<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    let said = |flag: &str| arguments.contains(&flag);
    let mut all = vec!["send"];
    if !said("--no-yes") {
        all.push("--yes");
    }
    if !said("-q") {
        all.push("--json");
    }
    for (flag, value) in DEFAULTS {
        let instead = flag == "--audience" && said("--users");
        if !said(flag) && !instead {
            all.extend([flag, value]);
        }
    }
    all.extend(arguments.iter().filter(|argument| **argument != "--no-yes"));
    all
}

/// The `n`th person's id.
pub(crate) fn id(n: u64) -> String {
    uuid::Uuid::from_u64_pair(0xa0ee_bc99_9c0b_4ef8, 0xbb6d_0000_0000_0000 + n).to_string()
}

/// A file of people with a name and a token of their own.
pub(crate) fn people(numbers: impl IntoIterator<Item = u64>) -> String {
    let mut text = "user_id,name,token\n".to_owned();
    for n in numbers {
        let _ = writeln!(text, "{},Ana {n},t-{n}", id(n));
    }
    text
}

/// The tokens of such people, sorted.
pub(crate) fn tokens(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    let mut tokens: Vec<String> = numbers.into_iter().map(|n| format!("t-{n}")).collect();
    tokens.sort_unstable();
    tokens
}

/// Asks until it is so; a minute is more than enough for anything here.
pub(crate) fn until(mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(60), "it never was");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn state_database(cluster: &Postgres) -> Database {
    let database = cluster.database("state");
    database.execute(&format!(
        "GRANT CREATE ON DATABASE {} TO tls_only",
        database.name
    ));
    database
}

pub(crate) fn state_url(database: &Database) -> String {
    database.url_with("tls_only", "sslmode=require")
}
