//! One send: prepares, begins, resumes or joins it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::context::RunContext;
use super::gates::{Override, Overrides, Road};
use super::services;
use super::session::{Opening, RecordedRun, RunSession};
use crate::automation::AutomationFile;
use crate::cadence::{Cadence, Layer};
use crate::delivery::dry_run::{self, DryRunSources};
use crate::delivery::send;
use crate::delivery::send::{SendContext, Sent, send_all, time_for};
use crate::delivery::{
    Order, Reach, SendPlan, SendResult, SendRunPlan, SourceReader, Summary, SuppressedTokens,
    TokenLookup, WhileSending, check_texts,
};
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::fcm::{self, Login};
use crate::interrupt::Interrupt;
use crate::pipeline::safeguards::{AudienceFacts, apply_overrides, check_audience, while_sending};
use crate::pipeline::{NoResult, as_json};
use crate::settings::HistoryKind;
use crate::source::Source;
use crate::state::{NewRun, Run, RunStatus, Store};

/// Longer than a send waits for the answers of its messages in flight.
const WIND_DOWN: std::time::Duration = std::time::Duration::from_secs(15);
/// How often a send that waits for the end of the quiet hours checks for a cancel.
const CANCEL_INTERVAL: std::time::Duration = std::time::Duration::from_secs(2);

/// A send that is ready to begin.
pub struct PreparedSend {
    /// The message, the audience and the limits.
    pub order: Order,
    /// The checked file.
    pub plan: SendPlan,
    /// The automation, as its file is when the send begins.
    pub automation: Option<AutomationFile>,
    /// The tokens of each recipient, as the source has them.
    tokens: TokenLookup,
    /// Tokens that are not tried.
    suppressed: Arc<SuppressedTokens>,
    /// The source; `None` where none is configured, and the file has a token column.
    source: Option<Source>,
}

impl PreparedSend {
    /// Looks up the tokens of an order. The connection to the source is closed when this returns.
    pub async fn prepare(
        context: &RunContext<'_>,
        store: &Store,
        (order, plan): (Order, SendPlan),
        automation: Option<AutomationFile>,
    ) -> Result<Self> {
        let source = if plan.has_tokens {
            services::source_if_any(context)?
        } else {
            Some(services::source(context)?)
        };
        let period = context.settings.dead_tokens.suppress;
        let suppressed = SuppressedTokens::read(store, &order, period).await?;
        let asked = (&order, &plan);
        let tokens = look_up(context, asked, source.as_ref(), &suppressed).await?;
        Ok(Self {
            order,
            plan,
            automation,
            tokens,
            suppressed,
            source,
        })
    }

    /// Checks the file of an order.
    pub fn plan(
        context: &RunContext<'_>,
        order: &Order,
        overrides: &Overrides,
    ) -> Result<SendPlan> {
        let progress = context.reporter.progress();
        let plan = SendPlan::prepare(
            order,
            overrides,
            &services::hosts(context.settings)?,
            progress.as_ref(),
            context.interrupt,
        );
        progress.finish();
        plan
    }

    /// Returns how many messages are sent at most.
    pub fn count(&self) -> u64 {
        self.plan.sendable.min(self.tokens.found().with)
    }

    /// Counts the messages that a live send would send now, and sends none.
    pub async fn dry_run(&mut self, context: &RunContext<'_>, store: &Store) -> Result<Summary> {
        let cadence = services::cadence(context.settings, store)?;
        let sources = DryRunSources::All {
            store,
            cadence: &cadence,
            tokens: &mut self.tokens,
        };
        count(context, (&self.order, &self.plan), sources).await
    }

    /// Counts the recipients that the notification history excludes.
    pub async fn count_excluded(&mut self, context: &RunContext<'_>, store: &Store) -> Result<u64> {
        let cadence = services::cadence(context.settings, store)?;
        if cadence.is_off() {
            return Ok(0);
        }
        // A dry run may continue without the history; the count would then be a wrong 0.
        cadence.screen(Layer::new(self.order.layer)?).await?;
        let summary = self.dry_run(context, store).await?;
        self.tokens.rewind()?;
        Ok(summary.excluded)
    }

    /// Records a run and sends. If the occurrence has an open run, it is continued.
    pub async fn begin(
        mut self,
        context: &RunContext<'_>,
        store: &Store,
        overrides: Option<&Override>,
    ) -> Result<Sent> {
        // Without a log-in nothing can be sent, and no run should be recorded.
        services::login(context.settings)?;
        let road = match self.automation {
            Some(_) => Road::SendAutomation,
            None => Road::Send,
        };
        let mode = match self.order.reach {
            Reach::Live => "live-send",
            Reach::ValidateOnly => "validate-only",
        };
        let plan = SendRunPlan {
            order: self.order.clone(),
            automation: self.automation.clone(),
            others: serde_json::Map::new(),
        };
        let plan = plan_as_json(&plan)?;
        let new = NewRun {
            id: context.id.clone(),
            automation: self.order.automation.clone(),
            occurrence: self.order.occurrence.clone(),
            mode: mode.to_owned(),
            begun_by: context.holder.who.clone(),
            plan,
        };
        let order = self.order.clone();
        let is_off = services::cadence(context.settings, store)?.is_off();
        let ids = self.plan.check_user_ids(&self.order, is_off).map(drop);
        let session = session(context, store, road, overrides);
        let work = async |recorded: RecordedRun| {
            if !recorded.is_new {
                context.reporter.say(&format!(
                    "continuing run {}, which was not finished",
                    recorded.run.id
                ));
            }
            self.deliver(context, store, &recorded).await
        };
        let before = async || {
            check_texts(&order, store).await?;
            ids
        };
        session.run(Opening::Begin(&new), before, work).await
    }

    /// Continues a recorded run, or sends the messages in doubt of one that is over again.
    pub async fn resume(
        mut self,
        context: &RunContext<'_>,
        store: &Store,
        run: &Run,
        overrides: Option<&Override>,
    ) -> Result<Sent> {
        let is_over = !matches!(run.status, RunStatus::Open | RunStatus::Refused);
        let (road, opening) = if is_over {
            (Road::InDoubtRetry, Opening::Finished(run))
        } else {
            (Road::Resume, Opening::Reopen(run))
        };
        // Overrides of the run itself do not count when messages in doubt are sent again.
        let mut counting = Overrides(overrides.cloned().into_iter().collect());
        if !is_over {
            counting.0.extend(Overrides::of(&run.plan).0);
        }
        let allowed = self.check_safeguards(&counting);
        let work = async |recorded: RecordedRun| {
            self.record_rate(store, &recorded.run).await?;
            let sent = self.deliver(context, store, &recorded).await?;
            if is_over {
                correct(store, &recorded.run, &sent).await?;
            }
            Ok(sent)
        };
        let session = session(context, store, road, overrides);
        let before = async || allowed;
        session.run(opening, before, work).await
    }

    /// Records the rate of this start as that of the run: processes that joined read it there.
    async fn record_rate(&self, store: &Store, run: &Run) -> Result<()> {
        let mut recorded = SendRunPlan::of(run)?;
        if recorded.order.rate == self.order.rate {
            return Ok(());
        }
        recorded.order.rate = self.order.rate;
        store.amend_plan(&run.id, &plan_as_json(&recorded)?).await
    }

    /// Refuses a file with more rows, or more skipped rows, than its automation allows. The total of all files of the
    /// automation is not known here, so `min_audience` and `max_change_percent` are not checked.
    fn check_safeguards(&self, overrides: &Overrides) -> Result<()> {
        let Some(file) = &self.automation else {
            return Ok(());
        };
        let mut safeguards = apply_overrides(file.clone(), overrides).safeguards;
        safeguards.min_audience = 0;
        let skipped = self.plan.skipped.values().sum();
        let facts = AudienceFacts {
            rows: self.plan.rows,
            rows_before: None,
            skipped: vec![(self.order.input.name(), self.plan.rows, skipped)],
        };
        check_audience(&safeguards, &facts).error(&file.name)
    }

    /// Sends, and waits for the end of the quiet hours if the automation says so. The lease is held.
    async fn deliver(
        &mut self,
        context: &RunContext<'_>,
        store: &Store,
        recorded: &RecordedRun,
    ) -> Result<Sent> {
        let services = SendServices::new(context, store)?;
        // Accepted pushes that an earlier send could not record in the history. If this fails again, the send reports
        // it.
        let syncing = services.cadence.sync(&context.holder);
        let _ = context.interrupt.or(syncing).await;
        let source = self.source.clone();
        let suppressed = Arc::clone(&self.suppressed);
        let run = &recorded.run;
        let gate = gate(run, &recorded.overrides);
        loop {
            let attempt = store.begin_phase(&run.id, "send").await?;
            let progress = context.reporter.progress();
            let send_context = SendContext {
                until: Some(self.until(context)),
                source_reader: source
                    .as_ref()
                    .map(|source| source_reader(context, source, &suppressed)),
                ..services.send_context(
                    context,
                    store,
                    progress.as_ref(),
                    (&gate, &recorded.overrides),
                )
            };
            let sent = Box::pin(send_all(
                &self.order,
                &self.plan,
                &mut self.tokens,
                &run.id,
                &send_context,
            ))
            .await;
            progress.finish();
            let sent = ended(store, &run.id, attempt, sent).await?;
            match sent.paused_until {
                Some(until) => {
                    wait(context, store, &run.id, until).await?;
                    // A recipient may have another device by now, or none.
                    let asked = (&self.order, &self.plan);
                    self.tokens = look_up(context, asked, source.as_ref(), &suppressed).await?;
                }
                None => return Ok(sent),
            }
        }
    }

    /// Returns the end of a given deadline; without one, an instant that leaves time for every message.
    fn until(&self, context: &RunContext<'_>) -> Instant {
        let time = time_for(self.plan.rows, self.order.rate.unwrap_or(1));
        let end = context.budget.deadline();
        end.unwrap_or_else(|| Instant::now() + time)
    }
}

/// Counts the messages that a live send could send, from the file alone.
pub async fn dry_run_offline(
    context: &RunContext<'_>,
    order: &Order,
    plan: &SendPlan,
) -> Result<Summary> {
    let sources = DryRunSources::Nothing {
        cadence_is_off: context.settings.cadence.kind() == HistoryKind::Off,
    };
    count(context, (order, plan), sources).await
}

async fn count(
    context: &RunContext<'_>,
    (order, plan): (&Order, &SendPlan),
    sources: DryRunSources<'_>,
) -> Result<Summary> {
    let named = (context.id.as_str(), context.clock.now());
    let progress = context.reporter.progress();
    let summary = dry_run::count(order, plan, sources, progress.as_ref(), named).await;
    progress.finish();
    summary
}

async fn look_up(
    context: &RunContext<'_>,
    (order, plan): (&Order, &SendPlan),
    source: Option<&Source>,
    suppressed: &Arc<SuppressedTokens>,
) -> Result<TokenLookup> {
    let Some(source) = source else {
        return Ok(TokenLookup::unchecked(plan, Arc::clone(suppressed)));
    };
    let progress = context.reporter.progress();
    let (interrupt, shown) = (context.interrupt, progress.as_ref());
    let source_reader = source_reader(context, source, suppressed);
    let tokens = TokenLookup::look_up(order, plan, &source_reader, interrupt, shown).await;
    progress.finish();
    tokens
}

/// Joins a send that another process has begun.
pub async fn join(
    context: &RunContext<'_>,
    store: &Store,
    (run, order): (&Run, &Order),
    overrides: Option<&Override>,
) -> Result<Sent> {
    let services = SendServices::new(context, store)?;
    let source = services::source(context)?;
    let period = context.settings.dead_tokens.suppress;
    let suppressed = SuppressedTokens::read(store, order, period).await?;
    let work = async |recorded: RecordedRun| {
        let gate = gate(&recorded.run, &recorded.overrides);
        loop {
            let progress = context.reporter.progress();
            let send_context = SendContext {
                own_rate: context.settings.push.rate.given(),
                until: context.budget.deadline(),
                source_reader: Some(source_reader(context, &source, &suppressed)),
                ..services.send_context(
                    context,
                    store,
                    progress.as_ref(),
                    (&gate, &recorded.overrides),
                )
            };
            let sent = Box::pin(send::join(order, &run.id, &send_context)).await;
            progress.finish();
            let sent = sent?;
            match sent.paused_until {
                Some(until) => wait(context, store, &run.id, until).await?,
                None => return Ok(sent),
            }
        }
    };
    session(context, store, Road::Join, overrides)
        .run(Opening::Join(run), async || Ok(()), work)
        .await
}

fn session<'a>(
    context: &'a RunContext<'_>,
    store: &'a Store,
    road: Road,
    overrides: Option<&'a Override>,
) -> RunSession<'a> {
    RunSession {
        store,
        holder: &context.holder,
        reporter: context.reporter,
        now: context.clock.now(),
        road,
        overrides,
        wind_down: WIND_DOWN,
    }
}

/// Returns the limits that are checked before each batch. A send without an automation has none.
fn gate(run: &Run, overrides: &Overrides) -> WhileSending {
    let automation = SendRunPlan::of(run).ok().and_then(|plan| plan.automation);
    automation.map_or_else(WhileSending::default, |file| {
        while_sending(&apply_overrides(file, overrides), None)
    })
}

/// The services that every pass of a send uses.
struct SendServices {
    login: Login,
    cadence: Cadence,
    service: fcm::FcmSettings,
}

impl SendServices {
    fn new(context: &RunContext<'_>, store: &Store) -> Result<Self> {
        Ok(Self {
            login: services::login(context.settings)?,
            cadence: services::cadence(context.settings, store)?,
            service: services::push_settings(context),
        })
    }

    fn send_context<'m>(
        &'m self,
        context: &'m RunContext<'_>,
        store: &'m Store,
        progress: &'m dyn crate::progress::Progress,
        (gate, overrides): (&'m WhileSending, &'m Overrides),
    ) -> SendContext<'m> {
        SendContext {
            store,
            cadence: &self.cadence,
            login: &self.login,
            service: &self.service,
            own_rate: None,
            outcomes: &context.settings.push.outcomes,
            dead_tokens_command: context.settings.dead_tokens.command.as_deref(),
            holder: &context.holder,
            clock: context.clock,
            interrupt: context.interrupt,
            progress,
            until: None,
            budget: context.budget,
            source_reader: None,
            gate,
            overrides,
        }
    }
}

fn source_reader<'m>(
    context: &'m RunContext<'_>,
    source: &'m Source,
    suppressed: &'m Arc<SuppressedTokens>,
) -> SourceReader<'m> {
    SourceReader {
        source,
        budget: context.budget,
        watch: context.reporter,
        suppressed,
    }
}

/// Waits for the end of the quiet hours, or for a cancel, which the next pass records.
async fn wait(context: &RunContext<'_>, store: &Store, run: &str, until: Timestamp) -> Result<()> {
    context
        .reporter
        .say(&format!("quiet hours: sending continues at {until:.0}"));
    store.rest().await;
    loop {
        let left = until.duration_since(context.clock.now());
        if !left.is_positive() {
            return Ok(());
        }
        tokio::select! {
            kind = context.interrupt.wait() => return Err(Interrupt::error(kind)),
            () = context.clock.sleep(left.unsigned_abs().min(CANCEL_INTERVAL)) => {}
        }
        if store.cancellation(run).await?.is_some() {
            // The next pass records the recipients that were not reached.
            return Ok(());
        }
        store.rest().await;
    }
}

/// Records how a pass ended. A send that stopped and can be resumed stays open.
async fn ended(store: &Store, run: &str, attempt: u32, sent: Result<Sent>) -> Result<Sent> {
    let sent = match sent {
        Ok(sent) => sent,
        Err(error) => {
            let detail = NoResult::of(&error);
            // The error of the send matters more than a failure to record it.
            let _ = store
                .end_phase(run, "send", attempt, "failed", &detail)
                .await;
            return Err(error);
        }
    };
    let summary = as_json(&sent.summary)?;
    let (result, status) = match sent.summary.ended {
        SendResult::Done => ("done", Some(RunStatus::Done)),
        SendResult::Partial => ("partial", Some(RunStatus::Partial)),
        SendResult::Refused => ("refused", Some(RunStatus::Refused)),
        SendResult::Cancelled => ("cancelled", Some(RunStatus::Cancelled)),
        SendResult::Stopped | SendResult::DryRun => ("stopped", None),
    };
    let recorded = async {
        store
            .end_phase(run, "send", attempt, result, &summary)
            .await?;
        if let Some(status) = status {
            store.end_run(run, status, &summary).await?;
        }
        Ok(())
    };
    match (recorded.await, sent.error) {
        // The error of the work matters more than that of its record.
        (Err(_), Some(error)) | (Err(error), None) => Err(error),
        (Ok(()), error) => Ok(Sent { error, ..sent }),
    }
}

/// Corrects the status of a run that was over: its messages in doubt have an answer now.
async fn correct(store: &Store, run: &Run, sent: &Sent) -> Result<()> {
    let status = match sent.summary.ended {
        SendResult::Done => RunStatus::Done,
        SendResult::Partial => RunStatus::Partial,
        _ => return Ok(()),
    };
    store
        .correct_run(&run.id, status, &as_json(&sent.summary)?)
        .await
}

fn plan_as_json(plan: &SendRunPlan) -> Result<Value> {
    serde_json::to_value(plan).kind(
        ErrorKind::Bug,
        || "the plan of a send cannot be written as JSON",
    )
}

/// Returns the error of a run that has nothing left to do.
pub fn nothing_left(run: &Run) -> Error {
    Error::new(
        ErrorKind::Nothing,
        format!(
            "run {} is {}: nothing is left to do",
            run.id,
            run.status.as_str()
        ),
    )
}
