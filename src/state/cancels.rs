//! Cancels and pauses: who, when and why.
//!
//! A cancel concerns the runs that were open when it was given, never later ones: each run remembers how many cancels
//! there had been when it began, so no two machines' clocks are compared. A pause concerns occurrences to come.

use jiff::Timestamp;

use super::runs::{Run, RunFilter, RunStatus};
use super::store::Store;
use super::value::{Row, params};
use crate::error::Result;

/// What is to be stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CancelTarget {
    /// One run, by its id.
    Run(String),
    /// The open runs of an automation.
    Automation(String),
    /// Every open run.
    All,
}

/// A cancel as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    /// What was to be stopped.
    pub target: CancelTarget,
    /// Who said so.
    pub who: String,
    /// When.
    pub at: Timestamp,
    /// Why, if it was said.
    pub reason: Option<String>,
}

/// An automation that is held from its next occurrence on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// Its name.
    pub automation: String,
    /// Who said so.
    pub who: String,
    /// When.
    pub at: Timestamp,
    /// Why, if it was said.
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
    /// Records a cancel; the open runs that it stops.
    pub async fn cancel(
        &self,
        target: &CancelTarget,
        who: &str,
        reason: Option<&str>,
    ) -> Result<Vec<Run>> {
        // Recorded before anything is looked at: a run that begins meanwhile is either listed or was begun later.
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

    /// The first cancel that concerns a run. Cheap: for looking every moment.
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

    /// Holds an automation. False if it is held already: the first pause stays.
    pub async fn pause(&self, automation: &str, who: &str, reason: Option<&str>) -> Result<bool> {
        let sql = "INSERT INTO pushctl.pauses (automation, who, reason, at) VALUES ($1, $2, $3, $4)
                   ON CONFLICT DO NOTHING";
        Ok(self
            .execute(sql, params![automation, who, reason, self.now()])
            .await?
            > 0)
    }

    /// Lets an automation go on. False if it was not held.
    pub async fn unpause(&self, automation: &str) -> Result<bool> {
        let sql = "DELETE FROM pushctl.pauses WHERE automation = $1";
        Ok(self.execute(sql, params![automation]).await? > 0)
    }

    /// What is held, by name.
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
