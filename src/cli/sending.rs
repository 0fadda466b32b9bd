//! A send as commands conduct it: the lease on its occurrence, the record of its run, what is said and how it ends.

use serde_json::json;
use tokio::time::Instant;

use crate::delivery;
use crate::delivery::dry_run::{DryRunHistory, rehearse};
pub(super) use crate::delivery::lease_name;
use crate::delivery::send::{SendContext, Sent, carry_out, time_for};
use crate::delivery::{Order, Reach, Reading, SendPlan, SendResult, Summary, TokenLookup, fits};
use crate::error::{Context as _, Error, Result};
use crate::exit::Kind;
use crate::report::{number, send as report};
use crate::settings::logging::LogFormat;
use crate::settings::{self, HistoryKind, Origin};
use crate::source::Source;
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
    tokens: TokenLookup,
    source: Option<Source>,
}

/// What a recorded run of `send` was begun with.
pub(super) fn order_of(run: &Run) -> Result<Order> {
    let order = run.plan.get("order").cloned().unwrap_or_default();
    serde_json::from_value(order).kind(Kind::Usage, || format!("run {} is not a send", run.id))
}

/// What `send` asks a person.
pub(super) fn confirm(context: &CommandContext, sending: &Sending) -> Result<()> {
    let count = sending.plan.sendable().min(sending.tokens.found().with);
    if sending.order.reach == Reach::ValidateOnly {
        return Ok(());
    }
    let what = format!(
        "\"{}\" goes to the phones of up to {} people ({} rows)",
        sending.order.wording.title,
        number(count),
        number(sending.plan.rows)
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
        let source = if plan.has_tokens {
            connect::source_if_any(context, "send")?
        } else {
            Some(connect::source(context, "send")?)
        };
        let tokens = match &source {
            None => TokenLookup::unasked(&plan),
            Some(source) => {
                let reading = Reading {
                    source,
                    budget: &context.budget,
                    watch: &LogWatch(context.ui.clone()),
                };
                let progress = context.ui.progress("rows");
                let (interrupt, shown) = (&context.interrupt, progress.as_ref());
                let tokens = TokenLookup::look_up(&order, &plan, &reading, interrupt, shown).await;
                progress.finish();
                tokens?
            }
        };
        Ok(Self {
            order,
            plan,
            tokens,
            source,
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
        let in_file = matches!(context.settings.state, settings::StateSettings::File(_));
        let kind = context.settings.cadence.kind();
        let near = if kind == HistoryKind::Embedded && in_file {
            let store = services::store(context).await?;
            Some(services::cadence(context, &store)?)
        } else {
            None
        };
        let cadence = match &near {
            Some(cadence) => DryRunHistory::By(cadence),
            None if kind == HistoryKind::Off => DryRunHistory::Off,
            None => DryRunHistory::NotAsked,
        };
        let run = context.run_id.to_string();
        let named = (run.as_str(), context.clock.now());
        let summary = rehearse(&self.order, &self.plan, &mut self.tokens, &cadence, named);
        tell(context, &summary.await?)?;
        Ok(Kind::Done)
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
            reading: self.source.as_ref().map(|source| Reading {
                source,
                budget: &context.budget,
                watch: &watch,
            }),
        };
        let sent = Box::pin(carry_out(
            &self.order,
            &self.plan,
            &mut self.tokens,
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
        if is_given(context, "deadline") {
            return context.budget.end();
        }
        Instant::now() + time_for(self.plan.rows, self.order.rate.unwrap_or(1))
    }
}

/// Whether anything but the default says what a setting is.
fn is_given(context: &CommandContext, name: &str) -> bool {
    let mut resolved = context.settings.resolved.iter();
    resolved.any(|one| one.key.name == name && one.origin != Origin::Default)
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
    let mut service = services::push_settings(context);
    if !is_given(context, "push.rate") {
        // Its part of the send's rate is all that limits it.
        service.rate = order.rate.unwrap_or(service.rate);
    }
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
        until: is_given(context, "deadline").then(|| context.budget.end()),
        reading: Some(Reading {
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
