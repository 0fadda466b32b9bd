//! Cancels and pauses, with actor, time and reason.
//!
//! A cancel concerns the runs that were open when it was recorded, never later ones: each run stores how many cancels
//! existed when it began, so no clocks of two machines are compared. A pause concerns future occurrences.

use jiff::Timestamp;

use super::runs::{Run, RunFilter, RunStatus};
use super::store::Store;
use super::value::{Row, params};
use crate::error::Result;

/// The runs that a cancel stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelTarget {
    /// One run, by its id.
    Run(String),
    /// The open runs of an automation.
    Automation(String),
    /// Every open run.
    All,
}

/// A recorded cancel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    /// The runs to stop.
    pub target: CancelTarget,
    /// The actor.
    pub who: String,
    pub at: Timestamp,
    pub reason: Option<String>,
}

/// A recorded pause: the automation starts no occurrence until it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    pub automation: String,
    /// The actor.
    pub who: String,
    pub at: Timestamp,
    pub reason: Option<String>,
}

impl CancelTarget {
    fn scope(&self) -> (&'static str, &str) {
        match self {
            Self::Run(id) => ("run", id),
            Self::Automation(name) => ("automation", name),
            Self::All => ("all", ""),
        }
    }

    fn concerns(&self, run: &Run) -> bool {
        match self {
            Self::Run(id) => *id == run.id,
            Self::Automation(name) => *name == run.automation,
            Self::All => true,
        }
    }
}

impl Store {
    /// Records a cancel. Returns the open runs that it stops.
    pub async fn cancel(
        &self,
        target: &CancelTarget,
        who: &str,
        reason: Option<&str>,
    ) -> Result<Vec<Run>> {
        // The cancel is recorded first: a run that begins meanwhile is either listed below or counts as later.
        let (scope, name) = target.scope();
        let sql = "INSERT INTO pushctl.cancels (scope, target, who, reason, at) VALUES ($1, $2, $3, $4, $5)";
        self.execute(sql, params![scope, name, who, reason, self.now()])
            .await?;
        let open = RunFilter {
            status: Some(RunStatus::Open),
            ..RunFilter::default()
        };
        let mut stopped = self.runs(&open).await?;
        stopped.retain(|run| target.concerns(run));
        Ok(stopped)
    }

    /// Returns the first cancel that concerns a run. Cheap enough to poll.
    pub async fn cancellation(&self, run: &str) -> Result<Option<Cancellation>> {
        let sql = "SELECT c.scope, c.target, c.who, c.at, c.reason
                   FROM pushctl.runs r JOIN pushctl.cancels c ON c.id > r.cancels_seen
                   WHERE r.id = $1
                     AND (c.scope = 'all'
                          OR (c.scope = 'automation' AND c.target = r.automation)
                          OR (c.scope = 'run' AND c.target = r.id))
                   ORDER BY c.id LIMIT 1";
        let rows = self.query(sql, params![run]).await?;
        rows.first().map(cancellation).transpose()
    }

    /// Pauses an automation. Returns false if it is paused already: the first pause is kept.
    pub async fn pause(&self, automation: &str, who: &str, reason: Option<&str>) -> Result<bool> {
        let sql = "INSERT INTO pushctl.pauses (automation, who, reason, at) VALUES ($1, $2, $3, $4)
                   ON CONFLICT DO NOTHING";
        Ok(self
            .execute(sql, params![automation, who, reason, self.now()])
            .await?
            > 0)
    }

    /// Ends a pause. Returns false if the automation was not paused.
    pub async fn unpause(&self, automation: &str) -> Result<bool> {
        let sql = "DELETE FROM pushctl.pauses WHERE automation = $1";
        Ok(self.execute(sql, params![automation]).await? > 0)
    }

    /// Returns the pauses, ordered by automation.
    pub async fn pauses(&self) -> Result<Vec<Pause>> {
        let sql = "SELECT automation, who, at, reason FROM pushctl.pauses ORDER BY automation";
        self.query(sql, params![])
            .await?
            .iter()
            .map(pause)
            .collect()
    }
}

fn cancellation(row: &Row) -> Result<Cancellation> {
    let target = row.text(1)?;
    Ok(Cancellation {
        target: match row.text(0)?.as_str() {
            "run" => CancelTarget::Run(target),
            "automation" => CancelTarget::Automation(target),
            _ => CancelTarget::All,
        },
        who: row.text(2)?,
        at: row.time(3)?,
        reason: row.opt_text(4)?,
    })
}

fn pause(row: &Row) -> Result<Pause> {
    Ok(Pause {
        automation: row.text(0)?,
        who: row.text(1)?,
        at: row.time(2)?,
        reason: row.opt_text(3)?,
    })
}
