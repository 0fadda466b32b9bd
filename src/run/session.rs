//! The lifecycle of a run, the same on every road: acquire the lease of the occurrence, record the run, work while the
//! lease is held, release it. A failure to release never hides the result of the work.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::sleep;

use super::context::Reporter;
use super::gates::{Guard, Override, Overrides, Road, Rule, rule};
use crate::delivery::{AD_HOC, lease_name};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::{Mode, Overdue, cancelled_by, close_run, overdue};
use crate::state::process_id::ProcessId;
use crate::state::{Begun, BegunAlone, Lease, NewRun, Run, RunStatus, Store, Taking};

/// The run that a session works on.
#[derive(Debug, Clone, Copy)]
pub enum Opening<'a> {
    /// A new run, or the open one of the same occurrence.
    Begin(&'a NewRun),
    /// An open run.
    Continue(&'a Run),
    /// An open run, or one that a guard refused.
    Reopen(&'a Run),
    /// A run that is over, whose messages in doubt are sent again.
    Finished(&'a Run),
    /// An open run that another process carries.
    Join(&'a Run),
}

/// A start of a run.
pub struct RunSession<'a> {
    /// The store of runs and leases.
    pub store: &'a Store,
    /// This process, as leases and records name it.
    pub holder: &'a ProcessId,
    /// Where messages for a person are shown.
    pub reporter: &'a dyn Reporter,
    /// The current time.
    pub now: Timestamp,
    /// How the run is started.
    pub road: Road,
    /// The guards that a person overrides with this start.
    pub overrides: Option<&'a Override>,
    /// The time that the work has to end by itself once the lease is lost. A send uses it to record the answers of its
    /// messages in flight: its own right to send ends with its lease, so no further message leaves meanwhile.
    pub wind_down: Duration,
}

/// A recorded run that this process works on.
#[derive(Debug)]
pub struct RecordedRun {
    /// The run, as it is recorded now.
    pub run: Run,
    /// Whether this start began it.
    pub is_new: bool,
    /// Every override of the run.
    pub overrides: Overrides,
}

/// Refuses while an automation is paused, unless that was overridden after the pause began.
pub async fn not_paused(store: &Store, automation: &str, overrides: &Overrides) -> Result<()> {
    let pauses = store.pauses().await?;
    let Some(pause) = pauses.into_iter().find(|one| one.automation == automation) else {
        return Ok(());
    };
    let lifted = overrides.lifting(Guard::Paused);
    if lifted.is_some_and(|lifted| lifted.at > pause.at) {
        return Ok(());
    }
    let why = pause.reason.map(|why| format!(": {why}"));
    Err(Error::new(
        ErrorKind::Refused,
        format!(
            "{automation} is paused by {} since {}{}",
            pause.who,
            pause.at,
            why.unwrap_or_default()
        ),
    )
    .hint(format!(
        "`pushctl resume {automation} --enable` ends the pause"
    ))
    .hint("--override paused --reason TEXT sends despite the pause, once"))
}

/// Returns the refusal of a start while another live run of the automation is open.
async fn another_is_open(store: &Store, run: &Run) -> Error {
    let lease = store
        .lease(&lease_name(&run.automation, &run.occurrence))
        .await;
    let carried_by = match lease {
        Ok(Some(held)) => format!("; {} carries it", held.holder),
        _ => String::new(),
    };
    Error::new(
        ErrorKind::Locked,
        format!(
            "{} already has an open run: {} ({}), begun by {}{carried_by}",
            run.automation, run.id, run.occurrence, run.begun_by
        ),
    )
    .hint(format!("`pushctl resume {}` continues it", run.id))
    .hint(format!("`pushctl cancel {}` ends it", run.id))
}

impl RunSession<'_> {
    /// Carries a run from the lease to its release. `before` is called while the lease is held and before anything is
    /// recorded: if it refuses, no run is recorded. `work` gets the recorded run.
    ///
    /// # Errors
    /// Another process holds the lease, a guard refuses, or the work fails.
    pub async fn run<T>(
        &self,
        opening: Opening<'_>,
        before: impl AsyncFnOnce() -> Result<()>,
        work: impl AsyncFnOnce(RecordedRun) -> Result<T>,
    ) -> Result<T> {
        let working = async {
            before().await?;
            work(self.record(opening).await?).await
        };
        self.store.check_writable().await?;
        let Some(lease) = self.acquire(opening).await? else {
            return Box::pin(working).await;
        };
        let lost = async {
            lease.lost().await;
            sleep(self.wind_down).await;
        };
        let result = tokio::select! {
            result = Box::pin(working) => result,
            () = lost => Err(lease_lost(&lease)),
        };
        // The result of the work matters more; a lease that cannot be released expires.
        let _ = lease.release().await;
        result
    }

    async fn acquire(&self, opening: Opening<'_>) -> Result<Option<Lease>> {
        let (automation, occurrence) = match opening {
            Opening::Begin(new) => (&new.automation, &new.occurrence),
            Opening::Continue(run) | Opening::Reopen(run) | Opening::Finished(run) => {
                (&run.automation, &run.occurrence)
            }
            Opening::Join(_) => return Ok(None),
        };
        let name = lease_name(automation, occurrence);
        match self.store.take_lease(&name, self.holder).await? {
            Taking::Taken(lease) => Ok(Some(lease)),
            Taking::Held(held) => Err(held.error()),
        }
    }

    async fn record(&self, opening: Opening<'_>) -> Result<RecordedRun> {
        if let Opening::Begin(new) = opening {
            return self.begin(new).await;
        }
        let (Opening::Continue(run)
        | Opening::Reopen(run)
        | Opening::Finished(run)
        | Opening::Join(run)) = opening
        else {
            return Err(Error::new(ErrorKind::Bug, "a session without a run"));
        };
        // Another process may have ended the run just before this one got the lease.
        let found = self.store.run(&run.id).await?;
        let run = found.ok_or_else(|| not_recorded(&run.id))?;
        let overrides = match opening {
            // Overrides of the run itself do not count when messages in doubt are sent again.
            Opening::Finished(_) => Overrides(self.overrides.cloned().into_iter().collect()),
            _ => self.all_overrides(&run),
        };
        self.not_paused((&run.automation, &run.mode), &overrides)
            .await?;
        match opening {
            Opening::Reopen(_) => self.reopen(&run, &overrides).await?,
            Opening::Join(_) => self.check_joinable(&run).await?,
            Opening::Begin(_) | Opening::Continue(_) | Opening::Finished(_) => {}
        }
        self.recorded(run, overrides, false).await
    }

    async fn begin(&self, new: &NewRun) -> Result<RecordedRun> {
        let mut overrides = Overrides::of(&new.plan);
        overrides.0.extend(self.overrides.cloned());
        self.not_paused((&new.automation, &new.mode), &overrides)
            .await?;
        let mut new = new.clone();
        overrides.write(&mut new.plan)?;
        let alone = rule(Guard::OpenRun, self.road) == Rule::Applies
            && new.mode == Mode::LiveSend.as_str()
            && new.automation != AD_HOC
            && !overrides.lift(Guard::OpenRun);
        let begun = if alone {
            self.close_overdue_runs(&new).await?;
            match self.store.begin_run_alone(&new).await? {
                BegunAlone::Begun(begun) => *begun,
                BegunAlone::Other(other) => return Err(another_is_open(self.store, &other).await),
            }
        } else {
            self.store.begin_run(&new).await?
        };
        match begun {
            Begun::New(run) => Ok(RecordedRun {
                run,
                is_new: true,
                overrides,
            }),
            Begun::Open(run) => {
                let overrides = self.all_overrides(&run);
                self.not_paused((&run.automation, &run.mode), &overrides)
                    .await?;
                self.recorded(run, overrides, false).await
            }
        }
    }

    /// Closes earlier runs of the automation that are too late to send or cancelled. Refuses if one can still send, or
    /// was interrupted in the middle of a push: it waits for a person or for its own next start.
    async fn close_overdue_runs(&self, new: &NewRun) -> Result<()> {
        while let Some(other) = self
            .store
            .other_live_run(&new.automation, &new.occurrence)
            .await?
        {
            let name = lease_name(&other.automation, &other.occurrence);
            let lease = match self.store.take_lease(&name, self.holder).await? {
                Taking::Taken(lease) => lease,
                Taking::Held(_) => return Err(another_is_open(self.store, &other).await),
            };
            let closed = self.close(&other).await;
            let _ = lease.release().await;
            if !closed? {
                return Err(another_is_open(self.store, &other).await);
            }
        }
        Ok(())
    }

    /// Closes a run that cannot send any more; returns false if it can.
    async fn close(&self, run: &Run) -> Result<bool> {
        let records = self.store.phases(&run.id).await?;
        let error = match self.store.cancellation(&run.id).await? {
            Some(cancel) => cancelled_by(&cancel),
            None => match overdue(run, records, self.now) {
                Overdue::For(error) => error,
                Overdue::No => return Ok(false),
            },
        };
        close_run(self.store, run, &error).await?;
        self.reporter.say(&format!(
            "run {} ({}) is closed: {error:#}",
            run.id, run.occurrence
        ));
        Ok(true)
    }

    async fn reopen(&self, run: &Run, overrides: &Overrides) -> Result<()> {
        if run.status != RunStatus::Refused {
            return Ok(());
        }
        let alone = run.mode == Mode::LiveSend.as_str()
            && run.automation != AD_HOC
            && !overrides.lift(Guard::OpenRun);
        let reopened = if alone {
            self.store.reopen_run_alone(run).await?
        } else {
            self.store.reopen_run(&run.id).await?
        };
        if reopened {
            return Ok(());
        }
        match self
            .store
            .other_live_run(&run.automation, &run.occurrence)
            .await?
        {
            Some(other) if alone => Err(another_is_open(self.store, &other).await),
            _ => Err(Error::new(
                ErrorKind::Locked,
                format!("another run of {} has begun", run.occurrence),
            )),
        }
    }

    async fn check_joinable(&self, run: &Run) -> Result<()> {
        let cancelled = self.store.cancellation(&run.id).await?.is_some();
        if run.status == RunStatus::Open && !cancelled {
            return Ok(());
        }
        let status = if cancelled {
            "cancelled"
        } else {
            run.status.as_str()
        };
        Err(Error::new(
            if cancelled {
                ErrorKind::Cancelled
            } else {
                ErrorKind::Nothing
            },
            format!("run {} is {status}: nothing is left to join", run.id),
        ))
    }

    /// Refuses a live run of a paused automation. Tests and dry runs are not held.
    async fn not_paused(
        &self,
        (automation, mode): (&str, &str),
        overrides: &Overrides,
    ) -> Result<()> {
        let holds = rule(Guard::Paused, self.road) == Rule::Applies;
        if !holds || automation == AD_HOC || mode != Mode::LiveSend.as_str() {
            return Ok(());
        }
        not_paused(self.store, automation, overrides).await
    }

    /// Returns the recorded overrides of a run and those of this start.
    fn all_overrides(&self, run: &Run) -> Overrides {
        let mut overrides = Overrides::of(&run.plan);
        overrides.0.extend(self.overrides.cloned());
        overrides
    }

    /// Adds the overrides of this start to the run, and returns it as it is recorded now.
    async fn recorded(&self, run: Run, overrides: Overrides, is_new: bool) -> Result<RecordedRun> {
        if self.overrides.is_some() {
            let mut plan = run.plan.clone();
            self.all_overrides(&run).write(&mut plan)?;
            self.store.amend_plan(&run.id, &plan).await?;
        }
        let found = self.store.run(&run.id).await?;
        Ok(RecordedRun {
            run: found.ok_or_else(|| not_recorded(&run.id))?,
            is_new,
            overrides,
        })
    }
}

fn not_recorded(id: &str) -> Error {
    Error::new(
        ErrorKind::Nothing,
        format!("run {id} is no longer in the state store"),
    )
}

fn lease_lost(lease: &Lease) -> Error {
    Error::new(
        ErrorKind::Locked,
        format!("another process took over {}", lease.name()),
    )
}
