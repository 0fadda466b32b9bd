//! Durable records of runs and their phases.
//!
//! A run is open until [`Store::end_run`]. Whether a process works on an open run is shown by its lease, not recorded
//! here, so nothing needs repair after a crash.

use jiff::Timestamp;
use serde_json::Value as Json;

use super::store::{Backend, Store};
use super::value::{Row, Value, params};
use crate::error::{Error, ErrorKind, Result};

/// A run to begin.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// The run's id: unique, and shown in messages.
    pub id: String,
    /// The automation's name, or a generated name for sends without an automation.
    pub automation: String,
    /// The occurrence's instant as text; a send without an automation has an occurrence of its own.
    pub occurrence: String,
    /// `live-send`, `real-dry-run`, …
    pub mode: String,
    /// The actor: `alice@worker-1`.
    pub begun_by: String,
    /// Everything that a resume needs after a crash. Never a secret.
    pub plan: Json,
}

/// A recorded run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub id: String,
    pub automation: String,
    pub occurrence: String,
    pub mode: String,
    pub begun_by: String,
    pub begun_at: Timestamp,
    pub plan: Json,
    /// [`RunStatus::Open`] until it ends.
    pub status: RunStatus,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The summary, once it ended.
    pub summary: Option<Json>,
}

/// The status of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunStatus {
    /// It runs, waits for its next phase, or was interrupted and can be resumed.
    Open,
    /// It completed.
    Done,
    /// It completed, with failed recipients.
    Partial,
    /// It failed.
    Failed,
    /// A guard refused it.
    Refused,
    /// It was cancelled.
    Cancelled,
}

/// The result of beginning a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// A new run was recorded.
    New(Run),
    /// The occurrence has an open run already, which should be resumed instead.
    Open(Run),
}

/// The result of beginning a run that must be the only open live run of its automation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BegunAlone {
    /// The run was recorded, or the occurrence's open run was found.
    Begun(Box<Begun>),
    /// Another live run of the automation is open; nothing was recorded.
    Other(Box<Run>),
}

/// The mode of which an automation has at most one open run.
const LIVE: &str = "live-send";
/// With the automation's hash, the lock that makes live runs of an automation begin one after another in PostgreSQL.
const IN_TURN: &str = "SELECT pg_advisory_xact_lock(1886745448, hashtext($1))";

/// Selects runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    pub automation: Option<String>,
    pub occurrence: Option<String>,
    pub status: Option<RunStatus>,
    /// Only runs that began before this instant: the next page.
    pub before: Option<Timestamp>,
    /// Only runs that began at this instant or later.
    pub since: Option<Timestamp>,
    /// The largest number of runs; 0 for all.
    pub limit: u32,
}

/// An attempt of a phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseRecord {
    /// `generate`, `test`, `window`, `send`, `cleanup`.
    pub phase: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    pub begun_at: Timestamp,
    /// `None` while it lasts, and also after a crash.
    pub ended_at: Option<Timestamp>,
    /// `done`, `failed`, …
    pub result: Option<String>,
    /// The data that the next phase needs.
    pub detail: Option<Json>,
}

macro_rules! run_columns {
    () => {
        "id, automation, occurrence, mode, begun_by, begun_at, plan, status, ended_at, summary"
    };
}

impl RunStatus {
    const WORDS: [(Self, &'static str); 6] = [
        (Self::Open, "open"),
        (Self::Done, "done"),
        (Self::Partial, "partial"),
        (Self::Failed, "failed"),
        (Self::Refused, "refused"),
        (Self::Cancelled, "cancelled"),
    ];

    /// Returns the word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(status, _)| *status == self)
            .map_or("open", |(_, word)| word)
    }

    /// Returns the status for a stored word.
    pub fn parse_word(word: &str) -> Option<Self> {
        Self::WORDS
            .iter()
            .find(|(_, known)| *known == word)
            .map(|(status, _)| *status)
    }
}

impl Store {
    /// Records a new run, unless its occurrence has an open one. Only cancels from now on concern it.
    pub async fn begin_run(&self, new: &NewRun) -> Result<Begun> {
        let sql = "INSERT INTO pushctl.runs
                       (id, automation, occurrence, mode, begun_by, begun_at, plan, status, cancels_seen)
                   SELECT $1, $2, $3, $4, $5, $6, $7, 'open', coalesce(max(id), 0) FROM pushctl.cancels
                   WHERE true
                   ON CONFLICT DO NOTHING";
        let values = params![
            &new.id,
            &new.automation,
            &new.occurrence,
            &new.mode,
            &new.begun_by,
            self.now(),
            &new.plan
        ];
        self.execute(sql, values).await?;
        self.begun(new).await
    }

    /// Like [`Store::begin_run`], unless another live run of the automation is open. Of several processes that begin
    /// one at the same time, one succeeds: check and insertion are one statement, and PostgreSQL runs them one after
    /// another.
    pub async fn begin_run_alone(&self, new: &NewRun) -> Result<BegunAlone> {
        let sql = "INSERT INTO pushctl.runs
                       (id, automation, occurrence, mode, begun_by, begun_at, plan, status, cancels_seen)
                   SELECT $1, $2, $3, $4, $5, $6, $7, 'open', (SELECT coalesce(max(id), 0) FROM pushctl.cancels)
                   WHERE NOT EXISTS (SELECT 1 FROM pushctl.runs o
                                     WHERE o.automation = $2 AND o.occurrence <> $3
                                       AND o.mode = $8 AND o.ended_at IS NULL)
                   ON CONFLICT DO NOTHING";
        let values = params![
            &new.id,
            &new.automation,
            &new.occurrence,
            &new.mode,
            &new.begun_by,
            self.now(),
            &new.plan,
            LIVE
        ];
        let begun = self.in_turn(&new.automation, sql, values).await?;
        let other = self.other_live_run(&new.automation, &new.occurrence);
        match other.await? {
            Some(other) if begun == 0 => Ok(BegunAlone::Other(Box::new(other))),
            _ => Ok(BegunAlone::Begun(Box::new(self.begun(new).await?))),
        }
    }

    /// Executes a statement about the open runs of an automation while no other process does.
    async fn in_turn(
        &self,
        automation: &str,
        sql: &'static str,
        values: Vec<Value>,
    ) -> Result<u64> {
        let mut statements = Vec::new();
        // SQLite allows only one writer at a time.
        if matches!(&*self.backend, Backend::Postgres(_)) {
            statements.push((IN_TURN.into(), params![automation]));
        }
        statements.push((sql.into(), values));
        let changed = self.transact(statements).await?;
        Ok(changed.last().copied().unwrap_or(0))
    }

    /// Returns the open live run of another occurrence of the automation.
    pub async fn other_live_run(&self, automation: &str, occurrence: &str) -> Result<Option<Run>> {
        let open = RunFilter {
            automation: Some(automation.to_owned()),
            status: Some(RunStatus::Open),
            ..RunFilter::default()
        };
        let open = self.runs(&open).await?.into_iter();
        let mut others = open.filter(|run| run.mode == LIVE && run.occurrence != occurrence);
        Ok(others.next())
    }

    async fn begun(&self, new: &NewRun) -> Result<Begun> {
        if let Some(run) = self.run(&new.id).await? {
            return Ok(Begun::New(run));
        }
        let open = RunFilter {
            automation: Some(new.automation.clone()),
            occurrence: Some(new.occurrence.clone()),
            status: Some(RunStatus::Open),
            ..RunFilter::default()
        };
        let open = self.runs(&open).await?.into_iter().next();
        open.map(Begun::Open).ok_or_else(|| {
            Error::new(
                ErrorKind::Locked,
                format!(
                    "another process ended the run of {} at the same moment",
                    new.occurrence
                ),
            )
        })
    }

    /// Ends a run. Returns false if it had ended already: the first status is kept.
    pub async fn end_run(&self, id: &str, status: RunStatus, summary: &Json) -> Result<bool> {
        let sql = "UPDATE pushctl.runs SET status = $1, ended_at = $2, summary = $3
                   WHERE id = $4 AND ended_at IS NULL";
        let values = params![status.as_str(), self.now(), summary, id];
        Ok(self.execute(sql, values).await? > 0)
    }

    /// Reopens a run that a guard refused; earlier cancels do not concern it. Returns false if no guard had refused it,
    /// or if its occurrence has another open run.
    pub async fn reopen_run(&self, id: &str) -> Result<bool> {
        let sql = "UPDATE pushctl.runs SET status = 'open', ended_at = NULL, summary = NULL,
                       cancels_seen = (SELECT coalesce(max(id), 0) FROM pushctl.cancels)
                   WHERE id = $1 AND status = 'refused'
                     AND NOT EXISTS (SELECT 1 FROM pushctl.runs o
                                     WHERE o.automation = pushctl.runs.automation
                                       AND o.occurrence = pushctl.runs.occurrence AND o.status = 'open')";
        Ok(self.execute(sql, params![id]).await? > 0)
    }

    /// Like [`Store::reopen_run`]; also returns false if another live run of the automation is open.
    pub async fn reopen_run_alone(&self, run: &Run) -> Result<bool> {
        let sql = "UPDATE pushctl.runs SET status = 'open', ended_at = NULL, summary = NULL,
                       cancels_seen = (SELECT coalesce(max(id), 0) FROM pushctl.cancels)
                   WHERE id = $1 AND status = 'refused'
                     AND NOT EXISTS (SELECT 1 FROM pushctl.runs o
                                     WHERE o.automation = $2 AND o.ended_at IS NULL
                                       AND (o.mode = $3 OR o.occurrence = $4))";
        let values = params![&run.id, &run.automation, LIVE, &run.occurrence];
        Ok(self.in_turn(&run.automation, sql, values).await? > 0)
    }

    /// Replaces the plan of a run, to add overrides to it or to change its rate.
    pub async fn amend_plan(&self, id: &str, plan: &Json) -> Result<()> {
        let sql = "UPDATE pushctl.runs SET plan = $1 WHERE id = $2";
        self.execute(sql, params![plan, id]).await.map(drop)
    }

    /// Corrects the status of an ended run, after messages in doubt got an outcome.
    pub async fn correct_run(&self, id: &str, status: RunStatus, summary: &Json) -> Result<()> {
        let sql = "UPDATE pushctl.runs SET status = $1, summary = $2
                   WHERE id = $3 AND ended_at IS NOT NULL AND status IN ('done', 'partial')";
        let values = params![status.as_str(), summary, id];
        self.execute(sql, values).await.map(drop)
    }

    /// Returns the run with this id.
    pub async fn run(&self, id: &str) -> Result<Option<Run>> {
        let sql = concat!(
            "SELECT ",
            run_columns!(),
            " FROM pushctl.runs WHERE id = $1"
        );
        let rows = self.query(sql, params![id]).await?;
        rows.first().map(run).transpose()
    }

    /// Returns runs, newest first.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>> {
        let sql = concat!(
            "SELECT ",
            run_columns!(),
            " FROM pushctl.runs
              WHERE (automation = CAST($1 AS TEXT) OR CAST($1 AS TEXT) IS NULL)
                AND (occurrence = CAST($2 AS TEXT) OR CAST($2 AS TEXT) IS NULL)
                AND (status = CAST($3 AS TEXT) OR CAST($3 AS TEXT) IS NULL)
                AND (begun_at < CAST($4 AS BIGINT) OR CAST($4 AS BIGINT) IS NULL)
                AND (begun_at >= CAST($5 AS BIGINT) OR CAST($5 AS BIGINT) IS NULL)
              ORDER BY begun_at DESC, id DESC LIMIT $6"
        );
        let limit = if filter.limit == 0 {
            i64::MAX
        } else {
            filter.limit.into()
        };
        let values = params![
            filter.automation.as_deref(),
            filter.occurrence.as_deref(),
            filter.status.map(RunStatus::as_str),
            filter.before,
            filter.since,
            limit
        ];
        self.query(sql, values).await?.iter().map(run).collect()
    }

    /// Returns runs whose ids begin with `prefix`, newest first, at most `limit`.
    pub async fn runs_beginning(&self, prefix: &str, limit: u32) -> Result<Vec<Run>> {
        let sql = concat!(
            "SELECT ",
            run_columns!(),
            " FROM pushctl.runs WHERE substr(id, 1, CAST($1 AS INTEGER)) = $2
              ORDER BY begun_at DESC, id DESC LIMIT $3"
        );
        let length = i64::try_from(prefix.chars().count()).unwrap_or(i64::MAX);
        let rows = self.query(sql, params![length, prefix, limit]).await?;
        rows.iter().map(run).collect()
    }

    /// Returns the number of live runs by automation and status.
    pub async fn live_run_counts(&self) -> Result<Vec<((String, RunStatus), u64)>> {
        let sql = "SELECT automation, status, count(*) FROM pushctl.runs WHERE mode = $1
                   GROUP BY automation, status ORDER BY automation, status";
        let rows = self.query(sql, params![LIVE]).await?;
        rows.iter()
            .map(|row| Ok(((row.text(0)?, known_status(&row.text(1)?)?), row.small(2)?)))
            .collect()
    }

    /// Returns the automations that have run, ordered by name.
    pub async fn automations(&self) -> Result<Vec<String>> {
        let sql = "SELECT DISTINCT automation FROM pushctl.runs ORDER BY automation";
        let rows = self.query(sql, params![]).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// Records that a phase begins. Returns the number of the attempt.
    pub async fn begin_phase(&self, run: &str, phase: &str) -> Result<u32> {
        let sql = "INSERT INTO pushctl.phases (run, phase, attempt, begun_at)
                   SELECT $1, $2, coalesce(max(attempt), 0) + 1, $3 FROM pushctl.phases
                   WHERE run = $1 AND phase = $2
                   RETURNING attempt";
        let rows = self.returning(sql, params![run, phase, self.now()]).await?;
        rows.first().map_or(Ok(1), |row| row.small(0))
    }

    /// Records that an attempt of a phase ended.
    pub async fn end_phase(
        &self,
        run: &str,
        phase: &str,
        attempt: u32,
        result: &str,
        detail: &Json,
    ) -> Result<()> {
        let sql = "UPDATE pushctl.phases SET ended_at = $1, result = $2, detail = $3
                   WHERE run = $4 AND phase = $5 AND attempt = $6";
        let values = params![self.now(), result, detail, run, phase, attempt];
        self.execute(sql, values).await.map(drop)
    }

    /// Returns a run's phases, in the order in which they began.
    pub async fn phases(&self, run: &str) -> Result<Vec<PhaseRecord>> {
        let sql = "SELECT phase, attempt, begun_at, ended_at, result, detail FROM pushctl.phases
                   WHERE run = $1 ORDER BY begun_at, phase, attempt";
        self.query(sql, params![run])
            .await?
            .iter()
            .map(phase)
            .collect()
    }
}

fn known_status(word: &str) -> Result<RunStatus> {
    RunStatus::parse_word(word).ok_or_else(|| {
        Error::new(
            ErrorKind::Failed,
            format!("the state store contains a run with the unknown status {word}"),
        )
    })
}

pub(super) fn run(row: &Row) -> Result<Run> {
    let status = row.text(7)?;
    Ok(Run {
        id: row.text(0)?,
        automation: row.text(1)?,
        occurrence: row.text(2)?,
        mode: row.text(3)?,
        begun_by: row.text(4)?,
        begun_at: row.time(5)?,
        plan: row.opt_json(6)?.unwrap_or(Json::Null),
        status: known_status(&status)?,
        ended_at: row.opt_time(8)?,
        summary: row.opt_json(9)?,
    })
}

fn phase(row: &Row) -> Result<PhaseRecord> {
    Ok(PhaseRecord {
        phase: row.text(0)?,
        attempt: row.small(1)?,
        begun_at: row.time(2)?,
        ended_at: row.opt_time(3)?,
        result: row.opt_text(4)?,
        detail: row.opt_json(5)?,
    })
}
