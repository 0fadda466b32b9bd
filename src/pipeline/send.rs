//! The live phase: each push in turn, to exactly the file that was tested.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::driver::Driver;
use super::plan::{GeneratedFiles, OneFile};
use super::safeguards::while_sending;
use super::step::{self, Lateness};
use super::{Mode, PhaseRecords};
use crate::automation::file;
use crate::budget::Budget;
use crate::delivery::dry_run::{self, DryRunSources};
use crate::delivery::send::{self, Sent, send_all};
use crate::delivery::{
    CadenceFailure, Devices, InDoubt, Input, Order, Reach, SendPlan, SendResult, SourceReader,
    Summary, TokenLookup, WhileSending,
};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::guards::Guard;
use crate::progress::Silent;
use crate::template::push::Wording;

/// How far a push came.
pub(super) enum Sending {
    /// To its end.
    Done,
    /// To the beginning of quiet hours that are waited for.
    Paused,
    /// It was stopped.
    Stopped(Error),
}

impl Driver<'_> {
    /// Sends a push.
    pub(super) async fn send(
        &self,
        place: usize,
        records: &PhaseRecords,
        lateness: Lateness,
    ) -> Result<(Value, Sending)> {
        let files = records.files()?;
        let Some(file) = files.pushes.get(place).and_then(|push| push.live.as_ref()) else {
            let nobody = json!({ "rows": 0, "ended": "done", "notes": ["nobody is in this file"] });
            return Ok((nobody, Sending::Done));
        };
        self.have_file(&files, file).await?;
        let order = self.order(place, &files, file);
        if self.plan.mode == Mode::RealDryRun {
            return Ok((as_json(&self.rehearse(&order).await?)?, Sending::Done));
        }
        let latest = match lateness {
            Lateness::Counts => Some(step::latest(self.plan, records, place)),
            Lateness::Waived => None,
        };
        let gate = while_sending(&self.plan.automation, latest);
        let Sent {
            summary,
            error,
            paused_until,
        } = self.deliver(&order, &gate).await?;
        // Messages that failed do not keep the next push from being sent; the next step waits for the quiet hours' end.
        let over = matches!(summary.ended, SendResult::Done | SendResult::Partial);
        let sending = match error {
            _ if paused_until.is_some() => Sending::Paused,
            Some(error) if !over => Sending::Stopped(error),
            _ => Sending::Done,
        };
        Ok((as_json(&summary)?, sending))
    }

    /// What a push of the automation asks for.
    pub(super) fn order(&self, place: usize, files: &GeneratedFiles, file: &OneFile) -> Order {
        let automation = &self.plan.automation;
        let push = &automation.push[place];
        Order {
            automation: self.run.automation.clone(),
            occurrence: self.run.occurrence.clone(),
            number: u32::try_from(place + 1).unwrap_or(u32::MAX),
            layer: u32::from(push.layer),
            input: Input::File {
                path: files.directory.join(&file.name),
                sha256: (!self.overrides.lift(Guard::Audience)).then(|| file.sha256.clone()),
            },
            limit: None,
            wording: Wording {
                title: push.title.clone(),
                body: push.body.clone(),
                deep_link: push.deep_link.clone(),
                data: push.data.clone(),
            },
            devices: Devices::Latest,
            reach: Reach::Live,
            in_doubt: InDoubt::Keep,
            cadence_failure: match automation.safeguards.cadence_failure {
                file::CadenceFailure::Abort => CadenceFailure::Abort,
                file::CadenceFailure::Send => CadenceFailure::Send,
            },
            holdout_percent: automation.safeguards.holdout_percent,
            max_failure_rate: automation.safeguards.max_failure_rate,
            shared: false,
            rate: None,
        }
    }

    /// Sends an order under this run.
    pub(super) async fn deliver(&self, order: &Order, gate: &WhileSending) -> Result<Sent> {
        let context = self.context;
        let account = context
            .account
            .ok_or_else(|| Error::usage("there is no service account to send with"))?;
        let budget = Budget::start(context.deadline);
        let (plan, mut tokens) = self.looked_up(order, &self.reading(&budget)).await?;
        let _ = context.cadence.sync(context.holder).await;
        let ways = send::SendContext {
            store: context.store,
            cadence: context.cadence,
            account,
            service: context.service,
            outcomes: context.outcomes,
            holder: context.holder,
            clock: context.clock,
            interrupt: context.interrupt,
            progress: context.progress,
            until: Some(Instant::now() + send::time_for(plan.rows, context.service.rate)),
            reading: Some(self.reading(&budget)),
            gate,
            overrides: self.overrides,
        };
        Box::pin(send_all(order, &plan, &mut tokens, &self.run.id, &ways)).await
    }

    pub(super) async fn rehearse(&self, order: &Order) -> Result<Summary> {
        let context = self.context;
        let named = (self.run.id.as_str(), context.clock.now());
        if context.offline {
            let plan = self.planned(order)?;
            let asking = DryRunSources::Nothing {
                cadence_is_off: context.cadence.is_off(),
            };
            return dry_run::count(order, &plan, asking, context.progress, named).await;
        }
        let budget = Budget::start(context.deadline);
        let (plan, mut tokens) = self.looked_up(order, &self.reading(&budget)).await?;
        let asking = DryRunSources::All {
            store: context.store,
            cadence: context.cadence,
            tokens: &mut tokens,
        };
        dry_run::count(order, &plan, asking, context.progress, named).await
    }

    fn reading<'b>(&'b self, budget: &'b Budget) -> SourceReader<'b> {
        SourceReader {
            source: self.context.source,
            budget,
            watch: self.context.watch,
        }
    }

    fn planned(&self, order: &Order) -> Result<SendPlan> {
        let context = self.context;
        SendPlan::prepare(
            order,
            self.overrides,
            context.hosts,
            &Silent,
            context.interrupt,
        )
    }

    async fn looked_up(
        &self,
        order: &Order,
        reading: &SourceReader<'_>,
    ) -> Result<(SendPlan, TokenLookup)> {
        let context = self.context;
        let plan = self.planned(order)?;
        let (interrupt, progress) = (context.interrupt, context.progress);
        let tokens = TokenLookup::look_up(order, &plan, reading, interrupt, progress).await?;
        Ok((plan, tokens))
    }
}

fn as_json(summary: &Summary) -> Result<Value> {
    serde_json::to_value(summary).kind(ErrorKind::Bug, || "a summary that is no JSON")
}
