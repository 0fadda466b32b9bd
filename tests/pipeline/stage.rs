//! A stage for runs: a source with fans, a state store, the stand-in, and starts as the command makes them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pushctl::audience::Catalogue;
use pushctl::audience::history::HistorySource;
use pushctl::automation::Automation;
use pushctl::budget::Budget;
use pushctl::cadence::{self, Cadence};
use pushctl::clock::Clock;
use pushctl::csv_writer::LineEnding;
use pushctl::error::{Error, ErrorKind, Result};
use pushctl::fcm::{self, Credentials, Login};
use pushctl::interrupt::Interrupt;
use pushctl::pipeline::driver::{DriveOptions, DriveResult, drive};
use pushctl::pipeline::select_occurrence;
use pushctl::pipeline::select_occurrence::SelectedOccurrence;
use pushctl::pipeline::step::Lateness;
use pushctl::pipeline::{Mode, Phase, PipelineContext, Retention, RunPlan, Times};
use pushctl::progress::{Progress, Silent};
use pushctl::run::context::Reporter;
use pushctl::run::gates::Road;
use pushctl::run::session::{Opening, RecordedRun, RunSession};
use pushctl::settings::{DeadTokenSettings, MessageSettings};
use pushctl::source::{self, Purpose, Source, Watch};
use pushctl::state::process_id::ProcessId;
use pushctl::state::{Location, NewRun, Run, RunFilter, RunStatus, Store};
use pushctl::template::link::AllowedHosts;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::checked;
use crate::support::fcm::ledger::Fate;
use crate::support::fcm::script::Script;
use crate::support::fcm::{Options, StandIn};
use crate::support::postgres::{Database, Postgres};
use crate::support::store::{Hand, Place, address};

/// The test user.
pub(crate) const TESTER: &str = "00000000-0000-4000-8000-0000000fffff";

/// Two files: fans with an even number have, the others want.
pub(crate) const QUERY: &str = "\
--| title = \"Fans\"
--| order = \"user_id\"
--| [[files]]
--| stem = \"haves\"
--| when = \"has\"
--| columns = [\"user_id\", \"username\", \"bio\"]
--| [[files]]
--| stem = \"wants\"
--| when = \"NOT has\"
--| columns = [\"user_id\", \"username\", \"bio\"]
SELECT id AS user_id, username, bio, right(username, 1) IN ('0', '2', '4', '6', '8') AS has
FROM users WHERE username LIKE 'fan%'
";

/// The stage of one test; children of the test work on it too.
pub(super) struct Stage {
    pub(super) site: Site,
    pub(super) stand_in: StandIn,
    place: Place,
    _directory: TempDir,
}

/// The stage as a child process reads it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Site {
    pub(super) directory: PathBuf,
    pub(super) output: PathBuf,
    state: String,
    market: String,
    service: String,
    /// The automation's file.
    pub(super) text: String,
    /// Messages a second.
    pub(super) rate: u32,
}

/// The result of a start.
#[derive(Debug)]
pub(super) enum StartOutcome {
    /// Nothing is due, or the run is over already.
    Nothing,
    /// The state of the run.
    To(DriveResult),
}

/// The automation of the stage: haves, and after some minutes wants. A waiting run reads the store every two seconds,
/// so the waits are short.
pub(super) fn text(delay: u16, safeguards: &str) -> String {
    let mut text = format!(
        "name = \"daily\"\nenabled = true\n[schedule]\nsend_at = \"13:33\"\ntimezone = \"America/Chicago\"\nfrequency = \"daily\"\nlead_minutes = 2\n[window]\ncancel_minutes = 1\n[audience]\nname = \"fans\"\n[test]\nuser_ids = [\"{TESTER}\"]\n[safeguards]\n{safeguards}\n"
    );
    for (file, delay) in [("haves", 0), ("wants", delay)] {
        let _ = write!(
            text,
            "[[push]]\naudience_file = \"{file}\"\nlayer = 3\ntitle = \"Hello [[var:username]]\"\nbody = \"[[var:bio]]\"\ndelay_minutes = {delay}\n"
        );
    }
    text
}

/// Returns the tokens of the fans that were reached, sorted, and asserts that each was reached once.
pub(super) fn reached(stand_in: &StandIn) -> Vec<String> {
    let accepted = stand_in.accepted().into_iter();
    let mut tokens: Vec<String> = accepted
        .filter(|one| one.fate != Fate::Validated && one.token != "token-tester")
        .map(|one| one.token)
        .collect();
    tokens.sort_unstable();
    let twice = tokens.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None, "reached twice");
    tokens
}

/// Returns how many test pushes arrived.
pub(super) fn tests(stand_in: &StandIn) -> usize {
    let accepted = stand_in.accepted();
    let tests = accepted.iter().filter(|one| one.token == "token-tester");
    tests.count()
}

impl Stage {
    pub(super) fn new(place: Place, fans: u32, script: Script) -> Self {
        let options = Options {
            script,
            any_date: true,
            ..Options::default()
        };
        let stand_in = StandIn::start(&options).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let here = directory.path().to_owned();
        std::fs::create_dir(here.join("queries")).unwrap();
        std::fs::write(here.join("queries/fans.sql"), QUERY).unwrap();
        let account = stand_in.service_account().to_string();
        std::fs::write(here.join("account.json"), account).unwrap();
        std::fs::write(here.join("ca.pem"), stand_in.authority_pem()).unwrap();
        let market = Postgres::shared().database("fans");
        people(&market, fans);
        let site = Site {
            output: here.join("generated"),
            directory: here,
            state: place.setting(),
            market: market.url(),
            service: stand_in.base_url(),
            text: text(0, ""),
            rate: 5_000,
        };
        Self {
            site,
            stand_in,
            place,
            _directory: directory,
        }
    }

    /// Lets time pass for leases, which PostgreSQL measures by its own clock.
    pub(super) fn let_leases_age(&self, time: Duration) {
        self.place.let_pass(time);
    }

    /// Returns the tokens of the fans that were reached, sorted, and asserts that each was reached once.
    pub(super) fn reached(&self) -> Vec<String> {
        reached(&self.stand_in)
    }

    /// Returns how many test pushes arrived.
    pub(super) fn tests(&self) -> usize {
        tests(&self.stand_in)
    }

    /// Returns whether the only run has begun a phase.
    pub(super) async fn has_begun(&self, phase: &str) -> bool {
        let (_, phases) = self.only_run().await;
        let begins = format!("{phase}@");
        phases.iter().any(|line| line.starts_with(&begins))
    }

    /// Returns the only run, with its phases as `phase@time:result`.
    pub(super) async fn only_run(&self) -> (Run, Vec<String>) {
        let store = self.site.store(hand(super::NOON)).await.unwrap();
        let runs = store.runs(&RunFilter::default()).await.unwrap();
        assert_eq!(runs.len(), 1, "{runs:#?}");
        let phases = store.phases(&runs[0].id).await.unwrap();
        let zone = jiff::tz::TimeZone::get("America/Chicago").unwrap();
        let line = |phase: &pushctl::state::PhaseRecord| {
            let at = phase.begun_at.to_zoned(zone.clone());
            let result = phase.result.as_deref().unwrap_or("open");
            format!("{}@{}:{result}", phase.phase, at.strftime("%H:%M"))
        };
        let mut lines: Vec<String> = phases.iter().map(line).collect();
        lines.sort_unstable();
        (runs.into_iter().next().unwrap(), lines)
    }
}

/// Creates a test user, and fans with a device each.
pub(crate) fn people(market: &Database, fans: u32) {
    market.execute(&format!(
        "INSERT INTO users (id, username, first_name, bio) VALUES ('{TESTER}', 'tester', 'T', 'bio');
         INSERT INTO users (id, username, first_name, bio)
             SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'fan-' || n, 'F', 'likes shoes'
             FROM generate_series(1, {fans}) AS n;
         INSERT INTO devices (user_id, fingerprint, token)
             SELECT id, username, 'token-' || username FROM users"
    ));
}

pub(super) fn hand(instant: &str) -> Arc<dyn Clock> {
    Arc::new(Hand::at(instant))
}

/// Returns an instant of the day of [`super::NOON`], in the time zone of Chicago.
pub(super) fn today(time: &str) -> String {
    format!("2026-11-21T{time}-06:00")
}

pub(super) const TICK: DriveOptions = DriveOptions {
    wait_for_due: false,
    until: None,
    lateness: Lateness::Counts,
};
pub(super) const WAIT: DriveOptions = DriveOptions {
    wait_for_due: true,
    ..TICK
};

impl Site {
    pub(super) async fn store(&self, clock: Arc<dyn Clock>) -> Result<Store> {
        let location = if self.state.contains("://") {
            Location::Postgres(Box::new(address(&self.state)))
        } else {
            Location::Embedded(self.state.clone().into())
        };
        Store::open(&location, clock).await
    }

    pub(super) fn automation(&self) -> Automation {
        checked(self.text.clone(), &self.catalogue())
    }

    fn catalogue(&self) -> Catalogue {
        Catalogue::with_directory(&self.directory.join("queries")).unwrap()
    }

    /// Starts the due occurrence under its lease, as the command does.
    pub(super) async fn start(
        &self,
        options: DriveOptions,
        clock: Arc<dyn Clock>,
    ) -> Result<StartOutcome> {
        self.start_as("alice@worker-1", options, clock, Interrupt::never())
            .await
    }

    pub(super) async fn start_as(
        &self,
        who: &str,
        options: DriveOptions,
        clock: Arc<dyn Clock>,
        interrupt: Interrupt,
    ) -> Result<StartOutcome> {
        let automation = self.automation();
        let store = self.store(Arc::clone(&clock)).await?;
        let due = if options.wait_for_due {
            select_occurrence::for_process(&automation, clock.now())
        } else {
            select_occurrence::for_tick(&automation, clock.now())
        };
        let (SelectedOccurrence::Occurrence(occurrence) | SelectedOccurrence::Missed(occurrence)) =
            due
        else {
            return Ok(StartOutcome::Nothing);
        };
        let new = NewRun {
            id: uuid::Uuid::now_v7().to_string(),
            automation: automation.name().to_owned(),
            occurrence: occurrence.id(automation.name()),
            mode: Mode::LiveSend.as_str().to_owned(),
            begun_by: who.to_owned(),
            plan: RunPlan {
                automation: automation.file,
                mode: Mode::LiveSend,
                times: Times::of(&occurrence),
            }
            .recorded()?,
        };
        let holder = ProcessId::this_process(who);
        let session = RunSession {
            store: &store,
            holder: &holder,
            reporter: &SilentReporter,
            now: clock.now(),
            road: if options.wait_for_due {
                Road::Pipeline
            } else {
                Road::Tick
            },
            overrides: None,
            wind_down: Duration::ZERO,
        };
        let over = async || self.over(&store, &new.occurrence).await;
        let work = async |recorded: RecordedRun| {
            self.drive(&recorded.run, options, &store, &holder, &clock, &interrupt)
                .await
        };
        match session.run(Opening::Begin(&new), over, work).await {
            Err(error) if error.kind() == ErrorKind::Nothing => Ok(StartOutcome::Nothing),
            came => came,
        }
    }

    async fn over(&self, store: &Store, occurrence: &str) -> Result<()> {
        let of_it = RunFilter {
            occurrence: Some(occurrence.to_owned()),
            ..RunFilter::default()
        };
        let before = store.runs(&of_it).await?;
        if before.iter().any(|run| run.status != RunStatus::Open) {
            return Err(Error::new(ErrorKind::Nothing, "the run is over already"));
        }
        Ok(())
    }

    async fn drive(
        &self,
        run: &Run,
        options: DriveOptions,
        store: &Store,
        holder: &ProcessId,
        clock: &Arc<dyn Clock>,
        interrupt: &Interrupt,
    ) -> Result<StartOutcome> {
        let cadence = Cadence::new(cadence::HistoryLocation::Embedded, store.clone())?;
        let purpose = Purpose {
            command: "run-pipeline".to_owned(),
            run: run.id.clone(),
        };
        let patience = source::RetryLimits::default();
        let source = Source::new(address(&self.market), patience, purpose);
        let account = Credentials::File(self.directory.join("account.json"));
        let login = Login::load(&account, None)?;
        let service = fcm::FcmSettings {
            base_url: self.service.clone(),
            trusted: Some(self.directory.join("ca.pem")),
            rate: self.rate,
            ..fcm::FcmSettings::default()
        };
        let context = PipelineContext {
            store,
            cadence: &cadence,
            offline: false,
            source: &source,
            history: &HistorySource::None,
            catalogue: &self.catalogue(),
            output: &self.output,
            ending: LineEnding::Crlf,
            test_users: &[],
            message: &MessageSettings::default(),
            hosts: &AllowedHosts::default(),
            login: Some(&login),
            service: &service,
            outcomes: &self.directory.join("outcomes"),
            retention: Retention {
                files: Duration::from_secs(30 * 86_400),
                records: Duration::from_secs(400 * 86_400),
            },
            dead_tokens: &DeadTokenSettings {
                suppress: Duration::ZERO,
                command: None,
            },
            holder,
            clock,
            interrupt,
            progress: &Silent,
            watch: &SilentReporter,
            budget: &Budget::open(Duration::from_secs(60)),
            notices: None,
        };
        drive(run, &context, options).await.map(StartOutcome::To)
    }
}

/// Shows nothing.
struct SilentReporter;

impl Watch for SilentReporter {}

impl Reporter for SilentReporter {
    fn say(&self, _text: &str) {}

    fn warn(&self, _text: &str) {}

    fn progress(&self) -> Arc<dyn Progress> {
        Arc::new(Silent)
    }
}

impl StartOutcome {
    /// Returns the final status, if the run is over.
    pub(super) fn status(&self) -> Option<RunStatus> {
        match self {
            Self::To(DriveResult::Over(run)) => RunStatus::parse_word(&run.summary.status),
            _ => None,
        }
    }

    /// Returns the next phase and when it is due.
    pub(super) fn waiting(&self) -> Option<(Timestamp, Phase)> {
        match self {
            Self::To(DriveResult::Waiting(at, phase)) => Some((*at, *phase)),
            _ => None,
        }
    }
}
