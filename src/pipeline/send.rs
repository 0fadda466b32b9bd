//! The live phase: each push in turn, to exactly the file that was tested.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::driver::Driver;
use super::plan::{GeneratedFiles, OneFile};
use super::{Mode, PhaseRecords};
use crate::automation::file;
use crate::budget::Budget;
use crate::delivery::dry_run::{Asking, rehearse};
use crate::delivery::send::{self, Sent, carry_out};
use crate::delivery::{
    Addresses, CadenceFailure, Devices, InDoubt, Input, Order, Reach, SendPlan, SendResult, Summary,
};
use crate::error::{Context as _, Error, Kind, Result};
use crate::progress::Silent;
use crate::template::push::Wording;

impl Driver<'_> {
    /// Sends a push; what stopped it, if it did not get to the end.
    pub(super) async fn send(
        &self,
        place: usize,
        records: &PhaseRecords,
    ) -> Result<(Value, Option<Error>)> {
        let files = records.files()?;
        let Some(file) = files.pushes.get(place).and_then(|push| push.live.as_ref()) else {
            let nobody = json!({ "rows": 0, "ended": "done", "notes": ["nobody is in this file"] });
            return Ok((nobody, None));
        };
        self.have_file(&files, file).await?;
        let order = self.order(place, &files, file);
        if self.plan.mode == Mode::RealDryRun {
            return Ok((as_json(&self.rehearse(&order).await?)?, None));
        }
        let Sent { summary, error } = self.deliver(&order).await?;
        // Messages that failed do not keep the next push from being sent.
        let stopped = !matches!(summary.ended, SendResult::Done | SendResult::Partial);
        Ok((as_json(&summary)?, error.filter(|_| stopped)))
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
                sha256: Some(file.sha256.clone()),
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
    pub(super) async fn deliver(&self, order: &Order) -> Result<Sent> {
        let context = self.context;
        let account = context
            .account
            .ok_or_else(|| Error::usage("there is no service account to send with"))?;
        let (plan, mut addresses) = self.addressed(order).await?;
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
            reading: None,
        };
        Box::pin(carry_out(order, &plan, &mut addresses, &self.run.id, &ways)).await
    }

    pub(super) async fn rehearse(&self, order: &Order) -> Result<Summary> {
        let context = self.context;
        let named = (self.run.id.as_str(), context.clock.now());
        if context.offline {
            let plan = SendPlan::draw_up(order, context.hosts, &Silent, context.interrupt)?;
            return rehearse(order, &plan, Asking::Nothing, context.progress, named).await;
        }
        let (plan, mut addresses) = self.addressed(order).await?;
        let asking = Asking::All {
            store: context.store,
            cadence: context.cadence,
            addresses: &mut addresses,
        };
        rehearse(order, &plan, asking, context.progress, named).await
    }

    async fn addressed(&self, order: &Order) -> Result<(SendPlan, Addresses)> {
        let context = self.context;
        let plan = SendPlan::draw_up(order, context.hosts, &Silent, context.interrupt)?;
        if plan.has_tokens {
            return Ok((plan, Addresses::Column));
        }
        let budget = Budget::start(context.deadline);
        let talk = (context.watch, context.progress);
        let limits = (&budget, context.interrupt);
        let (addresses, _) = Addresses::look_up(order, &plan, context.source, limits, talk).await?;
        Ok((plan, addresses))
    }
}

fn as_json(summary: &Summary) -> Result<Value> {
    serde_json::to_value(summary).kind(Kind::Bug, || "a summary that is no JSON")
}
