//! How a run ends: what is recorded of it, and what is told.

use serde_json::{Value, json};

use super::driver::{Driver, Ending};
use super::plan::push_word;
use super::{Phase, Records};
use crate::error::{Error, Kind, Result};
use crate::state::RunStatus;

impl Driver<'_> {
    /// Every phase is done.
    pub(super) async fn conclude(&self, records: &Records) -> Result<Ending> {
        let pushes = self.pushes(records);
        let is_partial = pushes.iter().any(|push| push["ended"] == "partial");
        let (status, error) = if is_partial {
            let error = Error::new(Kind::Partial, "some messages failed");
            (RunStatus::Partial, Some(error))
        } else {
            (RunStatus::Done, None)
        };
        self.close(status, error, records).await
    }

    /// It ends for good, before everything was done.
    pub(super) async fn fail(&self, error: Error) -> Result<Ending> {
        let status = match error.kind() {
            Kind::Cancelled => RunStatus::Cancelled,
            Kind::Refused => RunStatus::Refused,
            _ => RunStatus::Failed,
        };
        let records = Records(self.means.store.phases(&self.run.id).await?);
        self.close(status, Some(error), &records).await
    }

    async fn close(
        &self,
        status: RunStatus,
        error: Option<Error>,
        records: &Records,
    ) -> Result<Ending> {
        let summary = self.summary(status, error.as_ref(), records);
        self.means
            .store
            .end_run(&self.run.id, status, &summary)
            .await?;
        // What a safeguard stopped may go on, from any machine.
        if status != RunStatus::Refused {
            self.means.store.forget_files(&self.run.id).await?;
        }
        self.tell_end(status, error.as_ref(), &summary).await;
        self.means.progress.finish();
        Ok(Ending::Over {
            status,
            summary,
            error,
        })
    }

    fn pushes(&self, records: &Records) -> Vec<Value> {
        let count = self.course.automation.push.len();
        let last = |place: usize| {
            let word = push_word(place);
            let record = records.0.iter().rev().find(|record| record.phase == word)?;
            record.detail.clone()
        };
        (0..count).filter_map(last).collect()
    }

    fn summary(&self, status: RunStatus, error: Option<&Error>, records: &Records) -> Value {
        let detail = |phase: Phase| {
            let record = records
                .0
                .iter()
                .rev()
                .find(|record| record.phase == phase.word());
            record.and_then(|record| record.detail.clone())
        };
        json!({
            "run": self.run.id,
            "automation": self.run.automation,
            "occurrence": self.run.occurrence,
            "mode": self.course.mode,
            "status": status.word(),
            "reason": error.map(|error| format!("{error:#}")),
            "audience": detail(Phase::Generate),
            "test": detail(Phase::Test),
            "pushes": self.pushes(records),
            "cleanup": detail(Phase::Cleanup),
        })
    }
}
