//! `run-pipeline` and the commands around it, as a user types them: a sandbox with automations, a source, a store, the
//! stand-in.
//!
//! The program's clock is the machine's, so an occurrence is laid around the present instant: one that was due a minute
//! ago and has no window goes from its audience to its phones in one start.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use pushctl::clock::System;
use pushctl::state::{Location, Run, RunFilter, Store};

use super::stage::{QUERY, TESTER, people, reached, tests};
use crate::support::cli::{Outcome, Sandbox};
use crate::support::fcm::StandIn;
use crate::support::fcm::script::Script;
use crate::support::postgres::{Database, Postgres};
use crate::support::store::{Place, address};

pub(crate) struct Office {
    pub(crate) sandbox: Sandbox,
    pub(crate) stand_in: StandIn,
    pub(crate) market: Database,
    pub(crate) place: Place,
    variables: BTreeMap<String, String>,
    /// Whether permissions of files hold for the program, too, where the test runs as root.
    restricted: bool,
}

/// An automation's file; its fields are what tests change.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) name: &'static str,
    pub(crate) enabled: bool,
    /// Minutes from now until people are to receive it.
    pub(crate) due_in: i64,
    pub(crate) lead: u16,
    pub(crate) window: u16,
    pub(crate) lateness: u16,
    /// More keys of `[audience]`.
    pub(crate) audience: &'static str,
    pub(crate) safeguards: String,
    pub(crate) test: String,
    pub(crate) notify: String,
    pub(crate) title: &'static str,
    /// More of each push.
    pub(crate) push: &'static str,
}

impl Default for File {
    fn default() -> Self {
        Self {
            name: "daily",
            enabled: true,
            due_in: -1,
            lead: 60,
            window: 0,
            lateness: 30,
            audience: "",
            safeguards: String::new(),
            test: format!("user_ids = [\"{TESTER}\"]"),
            notify: String::new(),
            title: "Hello [[var:username]]",
            push: "",
        }
    }
}

impl File {
    /// One that waits in its window: due in so many minutes, all of which are its window.
    pub(crate) fn waiting(due_in: u16) -> Self {
        Self {
            due_in: due_in.into(),
            window: due_in,
            ..Self::default()
        }
    }

    fn text(&self) -> String {
        let send_at = Timestamp::now() + SignedDuration::from_mins(self.due_in);
        let Self {
            name,
            enabled,
            lead,
            window,
            lateness,
            audience,
            safeguards,
            test,
            notify,
            title,
            push,
            ..
        } = self;
        // A test may start it on several roads on one day, which is not what an overlap is about.
        let overlap = if safeguards.contains("overlap") {
            ""
        } else {
            "max_overlap_percent = 100"
        };
        let mut text = format!(
            "name = \"{name}\"\nenabled = {enabled}\n[schedule]\nsend_at = \"{}\"\ntimezone = \"UTC\"\nfrequency = \"daily\"\nlead_minutes = {lead}\nmax_lateness_minutes = {lateness}\n[audience]\nname = \"fans\"\n{audience}\n[test]\n{test}\n[window]\ncancel_minutes = {window}\n[safeguards]\n{safeguards}\n{overlap}\n[notify]\n{notify}\n",
            send_at.strftime("%H:%M")
        );
        for file in ["haves", "wants"] {
            let _ = write!(
                text,
                "[[push]]\naudience_file = \"{file}\"\nlayer = 3\ntitle = \"{title}\"\nbody = \"[[var:bio]]\"\n{push}\n"
            );
        }
        text
    }
}

impl Office {
    pub(crate) fn new(fans: u32, script: Script) -> Self {
        Self::at(Place::sqlite(), fans, script)
    }

    pub(crate) fn at(place: Place, fans: u32, script: Script) -> Self {
        let stand_in = StandIn::playing(script);
        let sandbox = Sandbox::new();
        sandbox.write("home/account.json", &stand_in.service_account().to_string());
        let authority = String::from_utf8(stand_in.authority_pem().to_vec()).unwrap();
        sandbox.write("home/ca.pem", &authority);
        sandbox.write("here/queries/fans.sql", QUERY);
        let market = Postgres::shared().database("office");
        people(&market, fans);
        let home = |name: &str| sandbox.home().join(name).display().to_string();
        let variables = [
            ("DATABASE_URL", market.url()),
            ("GOOGLE_APPLICATION_CREDENTIALS", home("account.json")),
            ("PUSHCTL_PUSH_URL", stand_in.base_url()),
            ("PUSHCTL_PUSH_CA", home("ca.pem")),
            ("PUSHCTL_QUERIES", "queries".to_owned()),
            ("PUSHCTL_STATE_URL", place.setting()),
            ("USER", "alice".to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        Self {
            sandbox,
            stand_in,
            market,
            place,
            variables: variables.into(),
            restricted: false,
        }
    }

    /// One whose program may do only what the permissions of files allow.
    pub(crate) fn restricted(fans: u32) -> Self {
        Self {
            restricted: true,
            ..Self::new(fans, Script::default())
        }
    }

    /// Sets a variable.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.insert(name.to_owned(), value.into());
    }

    pub(crate) fn file(&self, file: &File) {
        let path = format!("here/automations/{}.toml", file.name);
        self.sandbox.write(&path, &file.text());
    }

    /// A command that is not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.sandbox.command(arguments);
        if self.restricted && std::fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0) {
            let program = command.get_program().to_owned();
            let mut without = std::process::Command::new("/usr/bin/setpriv");
            without
                .arg("--bounding-set=-dac_override,-dac_read_search")
                .arg(program)
                .args(arguments)
                .env_clear()
                .env("HOME", self.sandbox.home())
                .current_dir(self.sandbox.here());
            command = without;
        }
        command.envs(&self.variables).stdin(Stdio::null());
        command
    }

    /// Any command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        let output = self.command(arguments).output().expect("pushctl starts");
        self.sandbox.outcome(&output)
    }

    /// A command that ends with this status.
    pub(crate) fn ends(&self, arguments: &[&str], status: i32) -> Outcome {
        let outcome = self.run(arguments);
        assert_eq!(outcome.status, status, "{arguments:?}\n{outcome}");
        outcome
    }

    /// `run-pipeline daily --tick --json`.
    pub(crate) fn tick(&self, status: i32) -> Outcome {
        self.ends(&["run-pipeline", "daily", "--tick", "--json"], status)
    }

    /// A command under way.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("pushctl starts")
    }

    /// What came of a command that was under way.
    pub(crate) fn ended(&self, child: Child) -> Outcome {
        self.sandbox
            .outcome(&child.wait_with_output().expect("it ends"))
    }

    /// Returns the tokens of the fans that were reached, sorted, and asserts that each was reached once.
    pub(crate) fn reached(&self) -> Vec<String> {
        reached(&self.stand_in)
    }

    /// How many test pushes arrived.
    pub(crate) fn tests(&self) -> usize {
        tests(&self.stand_in)
    }

    /// Runs, newest first.
    pub(crate) fn runs(&self) -> Vec<Run> {
        let every = RunFilter::default();
        self.in_store(async |store| store.runs(&every).await.unwrap())
    }

    /// Work on the state store as one more process would do it.
    pub(crate) fn in_store<T>(&self, work: impl AsyncFnOnce(Store) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let location = match self.place.file() {
            Some(file) => Location::Embedded(file),
            None => Location::Postgres(Box::new(address(&self.place.setting()))),
        };
        runtime.block_on(async {
            let store = Store::open(&location, Arc::new(System)).await.unwrap();
            work(store).await
        })
    }
}

/// Waits until something is so, for half a minute at most.
pub(crate) fn until(is_so: impl FnMut() -> bool) {
    within(Duration::from_secs(30), is_so);
}

/// The same for as long as this.
pub(crate) fn within(limit: Duration, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < limit, "it never is so");
        std::thread::sleep(Duration::from_millis(10));
    }
}
