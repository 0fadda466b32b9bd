//! The send phase: each push in turn, to the same file that was tested.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::file_handoff::fetch_file;
use super::plan::{GeneratedFile, GeneratedFiles};
use super::results::as_json;
use super::safeguards::while_sending;
use super::step::{self, Lateness};
use super::{Mode, PhaseContext, PhaseRecords};
use crate::automation::file;
use crate::delivery::dry_run::{self, DryRunSources};
use crate::delivery::overlap::OverlapLimit;
use crate::delivery::send::{SendContext, Sent, send_all, time_for};
use crate::delivery::{
    CadenceFailure, Devices, InDoubt, Input, Order, Reach, SendPlan, SendResult, SourceReader,
    Summary, SuppressedTokens, TokenLookup, WhileSending,
};
use crate::error::{Error, Result};
use crate::guards::Guard;
use crate::progress::Silent;

/// The state of a push after an attempt.
pub(super) enum PushState {
    Done,
    /// It waits for the end of the quiet hours.
    Paused,
    /// It stopped with this error.
    Stopped(Error),
}

/// Sends a push.
pub(super) async fn run(
    phase: &PhaseContext<'_>,
    place: usize,
    records: &PhaseRecords,
    lateness: Lateness,
) -> Result<(Value, PushState)> {
    let files = records.files()?;
    let Some(file) = files.pushes.get(place).and_then(|push| push.live.as_ref()) else {
        let empty = json!({ "rows": 0, "ended": "done", "notes": ["no recipients for this push"] });
        return Ok((empty, PushState::Done));
    };
    fetch_file(phase, &files, file).await?;
    let order = order(phase, place, &files, file);
    if phase.plan.mode == Mode::RealDryRun {
        return Ok((
            as_json(&dry_run_push(phase, &order).await?)?,
            PushState::Done,
        ));
    }
    let latest = match lateness {
        Lateness::Counts => Some(step::latest(phase.plan, records, place)),
        Lateness::Waived => None,
    };
    let gate = while_sending(&phase.plan.automation, latest);
    let Sent {
        summary,
        error,
        paused_until,
    } = deliver(phase, &order, &gate).await?;
    // Failed messages do not hold back the next push. The next step waits for the end of the quiet hours.
    let over = matches!(summary.ended, SendResult::Done | SendResult::Partial);
    let state = match error {
        _ if paused_until.is_some() => PushState::Paused,
        Some(error) if !over => PushState::Stopped(error),
        _ => PushState::Done,
    };
    Ok((as_json(&summary)?, state))
}

/// Returns the order of a push of the automation.
pub(super) fn order(
    phase: &PhaseContext<'_>,
    place: usize,
    files: &GeneratedFiles,
    file: &GeneratedFile,
) -> Order {
    let automation = &phase.plan.automation;
    let push = &automation.push[place];
    let times = &phase.plan.times;
    let sent = times.send_at.to_zoned(times.zone());
    Order {
        automation: phase.run.automation.clone(),
        occurrence: phase.run.occurrence.clone(),
        number: u32::try_from(place + 1).unwrap_or(u32::MAX),
        layer: u32::from(push.layer),
        input: Input::File {
            path: files.directory.join(&file.name),
            sha256: (!phase.overrides.lift(Guard::Audience)).then(|| file.sha256.clone()),
        },
        limit: None,
        wording: push.wording(&sent, phase.context.message),
        devices: Devices::Latest,
        reach: Reach::Live,
        in_doubt: InDoubt::Keep,
        cadence_failure: match automation.safeguards.cadence_failure {
            file::CadenceFailure::Abort => CadenceFailure::Abort,
            file::CadenceFailure::Send => CadenceFailure::Send,
        },
        holdout_percent: automation.safeguards.holdout_percent,
        max_failure_rate: automation.safeguards.max_failure_rate,
        overlap: Some(OverlapLimit::of(automation, phase.context.clock.now())),
        shared: false,
        rate: None,
    }
}

/// Sends an order as part of this run.
pub(super) async fn deliver(
    phase: &PhaseContext<'_>,
    order: &Order,
    gate: &WhileSending,
) -> Result<Sent> {
    let context = phase.context;
    let login = context
        .login
        .ok_or_else(|| Error::usage("there are no credentials to send with"))?;
    let period = context.dead_tokens.suppress;
    let suppressed = SuppressedTokens::read(context.store, order, period).await?;
    let source_reader = source_reader(phase, &suppressed);
    let (plan, mut tokens) = plan_and_tokens(phase, order, &source_reader).await?;
    let syncing = context.cadence.sync(context.holder);
    let _ = context.interrupt.or(syncing).await;
    let time = time_for(plan.rows, context.service.rate);
    let deadline = context.budget.deadline();
    let until = deadline.unwrap_or_else(|| Instant::now() + time);
    let ways = SendContext {
        store: context.store,
        cadence: context.cadence,
        login,
        service: context.service,
        own_rate: None,
        outcomes: context.outcomes,
        dead_tokens_command: context.dead_tokens.command.as_deref(),
        holder: context.holder,
        clock: context.clock,
        interrupt: context.interrupt,
        progress: context.progress,
        until: Some(until),
        budget: context.budget,
        source_reader: Some(source_reader),
        gate,
        overrides: phase.overrides,
    };
    Box::pin(send_all(order, &plan, &mut tokens, &phase.run.id, &ways)).await
}

/// Counts the messages of an order and sends none.
pub(super) async fn dry_run_push(phase: &PhaseContext<'_>, order: &Order) -> Result<Summary> {
    let context = phase.context;
    let named = (phase.run.id.as_str(), context.clock.now());
    if context.offline {
        let plan = plan_of(phase, order)?;
        let sources = DryRunSources::Nothing {
            cadence_is_off: context.cadence.is_off(),
        };
        return dry_run::count(order, &plan, sources, context.progress, named).await;
    }
    let period = context.dead_tokens.suppress;
    let suppressed = SuppressedTokens::read(context.store, order, period).await?;
    let source_reader = source_reader(phase, &suppressed);
    let (plan, mut tokens) = plan_and_tokens(phase, order, &source_reader).await?;
    let sources = DryRunSources::All {
        store: context.store,
        cadence: context.cadence,
        tokens: &mut tokens,
    };
    dry_run::count(order, &plan, sources, context.progress, named).await
}

fn source_reader<'b>(
    phase: &PhaseContext<'b>,
    suppressed: &'b Arc<SuppressedTokens>,
) -> SourceReader<'b> {
    SourceReader {
        source: phase.context.source,
        budget: phase.context.budget,
        watch: phase.context.watch,
        suppressed,
    }
}

fn plan_of(phase: &PhaseContext<'_>, order: &Order) -> Result<SendPlan> {
    let context = phase.context;
    SendPlan::prepare(
        order,
        phase.overrides,
        context.hosts,
        &Silent,
        context.interrupt,
    )
}

async fn plan_and_tokens(
    phase: &PhaseContext<'_>,
    order: &Order,
    source_reader: &SourceReader<'_>,
) -> Result<(SendPlan, TokenLookup)> {
    let context = phase.context;
    let plan = plan_of(phase, order)?;
    let (interrupt, progress) = (context.interrupt, context.progress);
    let tokens = TokenLookup::look_up(order, &plan, source_reader, interrupt, progress).await?;
    Ok((plan, tokens))
}
