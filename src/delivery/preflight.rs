//! What stands before the first claim: the history answers, the push service is reached, the push has the words it was
//! begun with.

use std::sync::Arc;

use tokio::time::Instant;

use super::send_context::SendContext;
use super::{CadenceFailure, Order, Reach, SendPlan, eligibility};
use crate::cadence::{Layer, Unapplied};
use crate::error::{Error, ErrorKind, Result};
use crate::fcm::{self, Client};
use crate::guards::Guard;
use crate::interrupt::Interrupt;
use crate::state::Store;
use crate::state::ledger::{LedgerPush, NewPush, Recording, Words};
use crate::template::push::Wording;

/// Proves that the history answers, and says which rules do not hold. Where it need not answer, when it did not.
pub(super) async fn check_history(
    order: &Order,
    layer: Layer,
    context: &SendContext<'_>,
) -> Result<(Vec<String>, Option<Instant>)> {
    let mut notes = Vec::new();
    if context.cadence.is_off() {
        notes.push("cadence is off: nobody is held back, and nothing is recorded".to_owned());
    }
    if let Some(place) = context.cadence.place() {
        let stage = format!("connecting to the notification history {place}");
        context.progress.stage(&stage);
    }
    match context.cadence.screen(layer).await {
        Ok(screen) => notes.extend(screen.unapplied().iter().map(Unapplied::to_string)),
        Err(error) if order.cadence_failure == CadenceFailure::Send => {
            notes.push(eligibility::sent_anyway(&error));
            return Ok((notes, Some(Instant::now())));
        }
        Err(error) => {
            return Err(error
                .context("the notification history cannot be asked, so nobody is sent to")
                .hint("--cadence-failure send would send without asking"));
        }
    }
    Ok((notes, None))
}

pub(super) async fn connect(
    order: &Order,
    plan: Option<&SendPlan>,
    context: &SendContext<'_>,
) -> Result<(Client, fcm::Reports)> {
    let stage = format!("connecting to the push service {}", context.service.place());
    context.progress.stage(&stage);
    let mut settings = context.service.clone();
    settings.rate = order.rate.unwrap_or(settings.rate);
    settings.expected = plan.map(SendPlan::sendable);
    settings.limits.failure_rate = order.max_failure_rate;
    if context.overrides.lift(Guard::Failures) {
        settings.limits = fcm::Limits::off();
    }
    let connected = Client::connect(settings, context.account.clone(), Arc::clone(context.clock));
    tokio::select! {
        kind = context.interrupt.wait() => Err(Interrupt::error(kind)),
        connected = connected => connected,
    }
}

pub(super) async fn open_push(
    order: &Order,
    run: &str,
    context: &SendContext<'_>,
) -> Result<LedgerPush> {
    let push = context
        .store
        .open_push(&NewPush {
            automation: order.automation.clone(),
            occurrence: order.occurrence.clone(),
            number: order.number,
            run: run.to_owned(),
            layer: order.layer,
            recording: match order.reach {
                Reach::Live => context.cadence.recording(),
                Reach::ValidateOnly => Recording::Nowhere,
            },
            words: words(order),
            audience: order.input.stem(),
        })
        .await?;
    same_words(order, &push, context.store).await?;
    Ok(push)
}

/// Refuses an order whose push was begun with other words. To be asked before a run is recorded for it, too: one that can
/// never send should not stay behind.
pub async fn fits(order: &Order, store: &Store) -> Result<()> {
    let pushes = store.pushes(&order.automation, &order.occurrence).await?;
    match pushes.iter().find(|push| push.number == order.number) {
        Some(push) => same_words(order, push, store).await,
        None => Ok(()),
    }
}

/// The ledger knows title, body and link; the rest stands in the plan of the run that began.
async fn same_words(order: &Order, push: &LedgerPush, store: &Store) -> Result<()> {
    let begun = store.run(&push.run).await?;
    let begun = begun.and_then(|run| run.plan.pointer("/order/wording").cloned());
    let begun = begun.and_then(|wording| serde_json::from_value::<Wording>(wording).ok());
    let same = push.words == words(order) && begun.is_none_or(|begun| begun == order.wording);
    if same && push.layer == order.layer {
        return Ok(());
    }
    let (number, occurrence, run) = (order.number, &order.occurrence, &push.run);
    Err(Error::new(
        ErrorKind::Refused,
        format!(
            "push {number} of {occurrence} was begun by run {run} with other words or another layer"
        ),
    )
    .hint("send it under another --occurrence, or with the words it was begun with"))
}

fn words(order: &Order) -> Words {
    Words {
        title: order.wording.title.clone(),
        body: order.wording.body.clone(),
        deep_link: order.wording.deep_link.clone(),
    }
}
