//! A send as commands conduct it: the lease on its occurrence, the record of its run, what is said and how it ends.

use serde_json::json;
use tokio::time::Instant;

use crate::delivery;
use crate::delivery::dry_run::{Asking, rehearse};
use crate::delivery::send::{SendContext, Sent, carry_out, time_for};
use crate::delivery::{
    Addresses, Order, Reach, SendPlan, SendResult, Summary, TokenCounts, TokenReader, fits,
};
use crate::error::{Context as _, Error, Result};
use crate::exit::Kind;
use crate::report::{counted, send as report};
use crate::settings::Origin;
use crate::settings::logging::LogFormat;
use crate::state::{Begun, Lease, NewRun, Run, RunStatus, Store, Taking};
use crate::ui::{Document, Loudness};

use super::confirm;
use super::connect;
use super::connect::LogWatch;
use super::context::CommandContext;
use super::message_args::hosts;
use super::services;

/// A send that is ready to begin.
pub(super) struct Sending {
    pub(super) order: Order,
    plan: SendPlan,
    addresses: Addresses,
    found: TokenCounts,
}

/// The name under which an occurrence is held by whoever sends it.
pub(super) fn lease_name(automation: &str, occurrence: &str) -> String {
    // The occurrence of an automation names it already.
    if occurrence.starts_with(&format!("{automation}@")) {
        return format!("occurrence/{occurrence}");
    }
    format!("occurrence/{automation}@{occurrence}")
}

/// What a recorded run of `send` was begun with.
pub(super) fn order_of(run: &Run) -> Result<Order> {
    let order = run.plan.get("order").cloned().unwrap_or_default();
    serde_json::from_value(order).kind(Kind::Usage, || format!("run {} is not a send", run.id))
}

/// What `send` asks a person.
pub(super) fn confirm(context: &CommandContext, sending: &Sending) -> Result<()> {
    let count = sending.plan.sendable().min(sending.found.with);
    if sending.order.reach == Reach::ValidateOnly {
        return Ok(());
    }
    let what = format!(
        "\"{}\" goes to the phones of up to {} ({})",
        sending.order.wording.title,
        counted(count, "people"),
        counted(sending.plan.rows, "rows")
    );
    confirm::confirm(context, &what, &format!("send {count}"))
}

impl Sending {
    /// Looks the tokens up; the source is closed when this returns.
    pub(super) async fn prepare(
        context: &CommandContext,
        order: Order,
        plan: SendPlan,
    ) -> Result<Self> {
        if plan.has_tokens {
            let found = TokenCounts {
                with: plan.rows,
                without: 0,
            };
            let addresses = Addresses::Column;
            return Ok(Self {
                order,
                plan,
                addresses,
                found,
            });
        }
        let source = connect::source(context, "send")?;
        let progress = context.ui.progress("rows");
        let looked_up = Addresses::look_up(
            &order,
            &plan,
            &source,
            (&context.budget, &context.interrupt),
            (&LogWatch(context.ui.clone()), progress.as_ref()),
        )
        .await;
        progress.finish();
        let (addresses, found) = looked_up?;
        Ok(Self {
            order,
            plan,
            addresses,
            found,
        })
    }

    /// Draws the plan of an order up again, for a run that goes on.
    pub(super) async fn again(context: &CommandContext, order: Order) -> Result<Self> {
        let progress = context.ui.progress("rows");
        let plan = SendPlan::draw_up(
            &order,
            &hosts(context)?,
            progress.as_ref(),
            &context.interrupt,
        );
        progress.finish();
        Self::prepare(context, order, plan?).await
    }

    /// Counts, and sends nothing.
    pub(super) async fn rehearse(mut self, context: &CommandContext) -> Result<Kind> {
        let store = services::store(context).await?;
        let cadence = services::cadence(context, &store)?;
        let asking = Asking::All {
            store: &store,
            cadence: &cadence,
            addresses: &mut self.addresses,
        };
        count(context, &self.order, &self.plan, asking).await
    }

    /// Records a run and sends; goes on with the one there is, if the occurrence has one that was not finished.
    pub(super) async fn begin(self, context: &CommandContext) -> Result<Kind> {
        // Whoever may not send should not leave a run behind.
        services::account(context)?;
        let store = services::store(context).await?;
        let lease = self.hold(context, &store).await?;
        fits(&self.order, &store).await?;
        let mode = match self.order.reach {
            Reach::Live => "live-send",
            Reach::ValidateOnly => "validate-only",
        };
        let new = NewRun {
            id: context.run_id.to_string(),
            automation: self.order.automation.clone(),
            occurrence: self.order.occurrence.clone(),
            mode: mode.to_owned(),
            begun_by: services::holder(context).who,
            plan: json!({ "order": self.order }),
        };
        let run = match store.begin_run(&new).await? {
            Begun::New(run) => run.id,
            Begun::Open(run) => {
                context.ui.say(format_args!(
                    "going on with run {}, which was not finished",
                    run.id
                ));
                run.id
            }
        };
        self.conduct(context, &store, &run, lease).await
    }

    /// Takes the occurrence's lease, or says who has it.
    pub(super) async fn hold(&self, context: &CommandContext, store: &Store) -> Result<Lease> {
        let name = lease_name(&self.order.automation, &self.order.occurrence);
        match store.take_lease(&name, &services::holder(context)).await? {
            Taking::Taken(lease) => Ok(lease),
            Taking::Held(held) => Err(held.error()),
        }
    }

    /// Sends under a lease and a recorded run.
    pub(super) async fn conduct(
        mut self,
        context: &CommandContext,
        store: &Store,
        run: &str,
        lease: Lease,
    ) -> Result<Kind> {
        let account = services::account(context)?;
        let cadence = services::cadence(context, store)?;
        let service = services::push_settings(context);
        let holder = services::holder(context);
        // What an earlier send could not tell the history; if it cannot now either, the send itself will say so.
        let _ = cadence.sync(&holder).await;
        let source = if self.order.shared {
            Some(connect::source(context, "send")?)
        } else {
            None
        };
        let watch = LogWatch(context.ui.clone());
        let attempt = store.begin_phase(run, "send").await?;
        let progress = context.ui.progress("rows");
        let means = SendContext {
            store,
            cadence: &cadence,
            account: &account,
            service: &service,
            outcomes: &context.settings.push.outcomes,
            holder: &holder,
            clock: &context.clock,
            interrupt: &context.interrupt,
            progress: progress.as_ref(),
            until: Some(self.until(context)),
            reading: source.as_ref().map(|source| TokenReader {
                source,
                budget: &context.budget,
                watch: &watch,
            }),
        };
        let sent = Box::pin(carry_out(
            &self.order,
            &self.plan,
            &mut self.addresses,
            run,
            &means,
        ))
        .await;
        progress.finish();
        let result = match sent {
            Ok(sent) => {
                record(store, run, attempt, &sent).await?;
                tell(context, &sent.summary)?;
                match sent.error {
                    Some(error) => Err(error),
                    None => Ok(Kind::Done),
                }
            }
            Err(error) => {
                let detail = json!({ "error": format!("{error:#}") });
                store
                    .end_phase(run, "send", attempt, "failed", &detail)
                    .await?;
                Err(error)
            }
        };
        lease.release().await?;
        result
    }

    /// A deadline that was given holds; without one there is time for every message and more.
    fn until(&self, context: &CommandContext) -> Instant {
        let deadline = context
            .settings
            .resolved
            .iter()
            .find(|one| one.key.name == "deadline");
        if deadline.is_some_and(|one| one.origin != Origin::Default) {
            return context.budget.end();
        }
        Instant::now() + time_for(self.plan.rows, self.order.rate.unwrap_or(1))
    }
}

/// A dry run that asks nothing but the file.
pub(super) async fn rehearse_offline(
    context: &CommandContext,
    order: &Order,
    plan: &SendPlan,
) -> Result<Kind> {
    count(context, order, plan, Asking::Nothing).await
}

async fn count(
    context: &CommandContext,
    order: &Order,
    plan: &SendPlan,
    asking: Asking<'_>,
) -> Result<Kind> {
    let run = context.run_id.to_string();
    let named = (run.as_str(), context.clock.now());
    let progress = context.ui.progress("rows");
    let summary = rehearse(order, plan, asking, progress.as_ref(), named).await;
    progress.finish();
    tell(context, &summary?)?;
    Ok(Kind::Done)
}

/// Takes part in a send that another process has begun.
pub(super) async fn join(
    context: &CommandContext,
    store: &Store,
    run: &Run,
    order: &Order,
) -> Result<Kind> {
    let account = services::account(context)?;
    let cadence = services::cadence(context, store)?;
    let service = services::push_settings(context);
    let holder = services::holder(context);
    let source = connect::source(context, "send")?;
    let watch = LogWatch(context.ui.clone());
    let progress = context.ui.progress("rows");
    let means = SendContext {
        store,
        cadence: &cadence,
        account: &account,
        service: &service,
        outcomes: &context.settings.push.outcomes,
        holder: &holder,
        clock: &context.clock,
        interrupt: &context.interrupt,
        progress: progress.as_ref(),
        until: None,
        reading: Some(TokenReader {
            source: &source,
            budget: &context.budget,
            watch: &watch,
        }),
    };
    let sent = Box::pin(delivery::send::join(order, &run.id, &means)).await;
    progress.finish();
    let sent = sent?;
    tell(context, &sent.summary)?;
    sent.error.map_or(Ok(Kind::Done), Err)
}

/// The end of a send, as the store keeps it. What stopped and can go on stays open.
async fn record(store: &Store, run: &str, attempt: u32, sent: &Sent) -> Result<()> {
    let summary =
        serde_json::to_value(&sent.summary).kind(Kind::Bug, || "a summary that is no JSON")?;
    let (result, status) = match sent.summary.ended {
        SendResult::Done => ("done", Some(RunStatus::Done)),
        SendResult::Partial => ("partial", Some(RunStatus::Partial)),
        SendResult::Refused => ("refused", Some(RunStatus::Refused)),
        SendResult::Cancelled => ("cancelled", Some(RunStatus::Cancelled)),
        SendResult::Stopped | SendResult::Rehearsed => ("stopped", None),
    };
    store
        .end_phase(run, "send", attempt, result, &summary)
        .await?;
    if let Some(status) = status {
        store.end_run(run, status, &summary).await?;
    }
    Ok(())
}

/// The summary, as a document or for a person.
fn tell(context: &CommandContext, summary: &Summary) -> Result<()> {
    if !summary.adds_up() {
        context
            .ui
            .error(&Error::new(Kind::Bug, "the sums do not add up to the rows"));
    }
    if context.ui.document() == Document::Json {
        return context.ui.json(summary);
    }
    if context.ui.loudness() == Loudness::Quiet {
        return Ok(());
    }
    if context.settings.talk.log_format == LogFormat::Json {
        context.ui.say(report::line(summary));
        return Ok(());
    }
    context
        .ui
        .print(report::text(summary, context.ui.stdout_pen()))
}
