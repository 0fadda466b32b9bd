//! The steps before the first claim: the history answers, the push service is connected, and the texts are those that
//! the push was begun with.

use std::sync::Arc;

use tokio::time::Instant;

use super::send_context::SendContext;
use super::{CadenceFailure, Order, Reach, SendPlan, SendRunPlan, eligibility};
use crate::cadence::{AppliedRule, Layer, Unapplied};
use crate::error::{Error, ErrorKind, Result};
use crate::fcm::{self, Client};
use crate::guards::Guard;
use crate::state::Store;
use crate::state::ledger::{LedgerPush, NewPush, Recording, Words};

/// The notification history before a send.
#[derive(Default)]
pub(super) struct HistoryCheck {
    /// Notes on rules that do not apply.
    pub(super) notes: Vec<String>,
    /// The rules that apply.
    pub(super) rules: Vec<AppliedRule>,
    /// When it did not answer, where the send goes on without it.
    pub(super) away: Option<Instant>,
}

/// Checks that the history answers.
pub(super) async fn check_history(
    order: &Order,
    layer: Layer,
    context: &SendContext<'_>,
) -> Result<HistoryCheck> {
    let mut checked = HistoryCheck::default();
    if context.cadence.is_off() {
        checked.notes.push("cadence is off: no recipient is excluded, and no push is recorded in the notification history".to_owned());
    }
    if let Some(place) = context.cadence.place() {
        let stage = format!("connecting to the notification history {place}");
        context.progress.stage(&stage);
    }
    let asked = eligibility::asked_in_time(order, context.budget, context.cadence.screen(layer));
    match context.interrupt.or(asked).await {
        Ok(screen) => {
            let unapplied = screen.unapplied();
            let unapplied = unapplied.iter().map(Unapplied::to_string);
            checked.notes.extend(unapplied);
            checked.rules = screen.applied();
        }
        Err(error)
            if order.cadence_failure == CadenceFailure::Send
                && context.interrupt.fired().is_none() =>
        {
            checked.notes.push(eligibility::sent_anyway(&error));
            checked.away = Some(Instant::now());
        }
        Err(error) => {
            return Err(error
                .context("the notification history does not answer, so no message is sent")
                .hint("--cadence-failure send sends without asking it"));
        }
    }
    Ok(checked)
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
    settings.expected = plan.map(|plan| plan.sendable);
    settings.limits.failure_rate = order.max_failure_rate;
    if context.overrides.lift(Guard::Failures) {
        settings.limits = fcm::Limits::off();
    }
    let connected = Client::connect(settings, context.login.clone(), Arc::clone(context.clock));
    context.interrupt.or(connected).await
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
    compare_texts(order, &push, context.store).await?;
    Ok(push)
}

/// Refuses an order whose push was begun with other texts. Called before a run is recorded, so that no run stays open
/// that can never send.
pub async fn check_texts(order: &Order, store: &Store) -> Result<()> {
    let pushes = store.pushes(&order.automation, &order.occurrence).await?;
    match pushes.iter().find(|push| push.number == order.number) {
        Some(push) => compare_texts(order, push, store).await,
        None => Ok(()),
    }
}

/// Refuses other texts than those the push was begun with. The ledger has title, body and link; the rest is in the plan
/// of the run that began it.
async fn compare_texts(order: &Order, push: &LedgerPush, store: &Store) -> Result<()> {
    let begun = store.run(&push.run).await?;
    let begun = begun.and_then(|run| SendRunPlan::of(&run).ok());
    let same = push.words == words(order)
        && begun.is_none_or(|begun| begun.order.wording == order.wording);
    if same && push.layer == order.layer {
        return Ok(());
    }
    let (number, occurrence, run) = (order.number, &order.occurrence, &push.run);
    Err(Error::new(
        ErrorKind::Refused,
        format!(
            "push {number} of {occurrence} was begun by run {run} with other texts or another layer"
        ),
    )
    .hint("send it under another --occurrence, or with the texts of that run"))
}

pub(super) fn words(order: &Order) -> Words {
    Words {
        title: order.wording.title.clone(),
        body: order.wording.body.clone(),
        deep_link: order.wording.deep_link.clone(),
    }
}
