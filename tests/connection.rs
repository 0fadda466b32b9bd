//! Connecting to the source: what works, and how everything that does not ends.
//!
//! Every failure is held to the same standard by [`Told::check`]: it ends inside its deadline with the right kind, says
//! what happened and what to do, and neither the error nor the log at its most talkative holds a secret.

mod addresses;
mod certificates;
mod endings;
mod hosts;
mod pooler;
mod refusals;
mod silence;
mod snapshots;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pushctl::budget::Budget;
use pushctl::error::{Error, ErrorKind, Result};
use pushctl::interrupt::Interrupt;
use pushctl::postgres::address::Inputs;
use pushctl::postgres::{Address, RetryLimits};
use pushctl::settings::secret::Secret;
use pushctl::source::{Purpose, Snapshot, Source, Watch};
use tracing_subscriber::fmt::MakeWriter;

use crate::support::postgres::ROLES;

/// What the table is measured with.
const DEADLINE: Duration = Duration::from_secs(5);

/// A busy machine wakes late. What is without a deadline takes for ever, and is caught all the same.
const GRACE: Duration = Duration::from_secs(5);

/// What an address is made from, owned.
#[derive(Default)]
struct Surroundings {
    url: Option<Secret>,
    environment: BTreeMap<&'static str, String>,
    home: Option<PathBuf>,
    config: BTreeMap<String, String>,
}

impl Surroundings {
    fn url(url: impl Into<String>) -> Self {
        Self {
            url: Some(Secret::new(url)),
            ..Self::default()
        }
    }

    fn variables<const N: usize>(variables: [(&'static str, String); N]) -> Self {
        Self {
            environment: variables.into(),
            ..Self::default()
        }
    }

    fn home(mut self, home: &Path) -> Self {
        self.home = Some(home.to_owned());
        self
    }

    fn variable(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.insert(name, value.into());
        self
    }

    fn config(mut self, key: &str, value: impl Into<String>) -> Self {
        self.config.insert(key.to_owned(), value.into());
        self
    }

    fn address(&self) -> Result<Address> {
        Address::resolve(&Inputs {
            url: self.url.as_ref(),
            url_origin: "--database-url",
            environment: &|name| self.environment.get(name).cloned(),
            home: self.home.as_deref(),
            config: &self.config,
        })
    }

    fn source(&self) -> Source {
        source(self.address().unwrap_or_else(|error| panic!("{error:#}")))
    }
}

fn source(address: Address) -> Source {
    let purpose = Purpose {
        command: "generate".to_owned(),
        run: "run-7".to_owned(),
    };
    Source::new(address, RetryLimits::default(), purpose)
}

/// A source at this URL.
fn at(url: impl Into<String>) -> Source {
    Surroundings::url(url).source()
}

/// Long enough for everything that is meant to work in the end, on however busy a machine.
const AMPLE: Duration = Duration::from_secs(60);

/// What came of an attempt to read.
struct Told<T> {
    outcome: Result<T>,
    took: Duration,
    attempts: u32,
    log: String,
}

/// Reads with the usual deadline, catching everything that is logged.
async fn read<T>(source: &Source, work: impl AsyncFnMut(&Snapshot) -> Result<T>) -> Told<T> {
    read_until(source, DEADLINE, &Interrupt::never(), work).await
}

/// Reads with all the time in the world.
async fn read_patiently<T>(
    source: &Source,
    work: impl AsyncFnMut(&Snapshot) -> Result<T>,
) -> Told<T> {
    read_until(source, AMPLE, &Interrupt::never(), work).await
}

async fn read_until<T>(
    source: &Source,
    deadline: Duration,
    interrupt: &Interrupt,
    work: impl AsyncFnMut(&Snapshot) -> Result<T>,
) -> Told<T> {
    let attempts = Attempts::default();
    let started = Instant::now();
    let (outcome, log) =
        logged(source.read(&Budget::start(deadline), interrupt, &attempts, work)).await;
    let attempts = *attempts.0.lock().unwrap();
    Told {
        outcome,
        took: started.elapsed(),
        attempts,
        log,
    }
}

/// The simplest thing to read.
async fn select_one(snapshot: &Snapshot) -> Result<String> {
    let answer = snapshot.query("SELECT 1 AS one").await?;
    Ok(answer.rows[0][0].clone().unwrap_or_default())
}

impl<T> Told<T> {
    /// It worked.
    fn value(self) -> T {
        let Self { outcome, log, .. } = self;
        no_secret(&log);
        outcome.unwrap_or_else(|error| panic!("{error:#}\n{log}"))
    }

    /// It failed as it should: this kind, these words somewhere in the messages, and these in the hints.
    #[track_caller]
    fn check(self, kind: ErrorKind, words: &str, advice: &str) -> Error {
        let Self {
            outcome, took, log, ..
        } = self;
        let Err(error) = outcome else {
            panic!("it worked, and should not have:\n{log}")
        };
        let (text, hints) = (format!("{error:#}"), error.hints().join("\n"));
        assert!(took <= DEADLINE + GRACE, "it took {took:?}: {text}");
        assert_eq!(error.kind(), kind, "{text}");
        assert!(text.contains(words), "{text:?} does not say {words:?}");
        assert!(
            hints.contains(advice),
            "{hints:?} does not advise {advice:?} ({text})"
        );
        no_secret(&format!("{text}\n{hints}\n{error:?}\n{log}"));
        error
    }
}

/// None of the passwords, nor any as it is written in a URL.
#[track_caller]
fn no_secret(text: &str) {
    for (_, password) in ROLES {
        assert!(!text.contains(password), "{password} is in {text}");
    }
    for piece in ["wrong-password", "p%40ss", "hunter2"] {
        assert!(!text.contains(piece), "{piece} is in {text}");
    }
}

#[derive(Default)]
struct Attempts(Mutex<u32>);

impl Watch for Attempts {
    fn attempt(&self, attempt: u32) {
        *self.0.lock().unwrap() = attempt;
    }
}

/// Runs `work` with everything that is logged, at any level, caught.
async fn logged<T>(work: impl Future<Output = T>) -> (T, String) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let outcome = {
        let _guard = tracing::subscriber::set_default(subscriber);
        work.await
    };
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    (outcome, text)
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
