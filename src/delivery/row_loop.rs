//! The loop of a send: read a batch, select the eligible, claim a group, submit it; and stop when there is a reason to.
//!
//! Claims run ahead of answers by a second's worth of messages at most, and ahead of what has left by what leaves while
//! a group is claimed (`lead`), so that a crash leaves few in doubt beside what was on the wire. A stop lets nothing
//! more leave, and waits for the answers of what has left.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use csv::StringRecord;
use tokio::time::{Instant, sleep};

use super::claim_batch::{BATCH, cancel_rest, send_batch};
use super::eligibility::AudienceRecipient;
use super::feeder::{Feeder, STOP_CHECK};
use super::recorder::{Traffic, record_all};
use super::send_pass::SendPass;
use super::shared_queue::{Others, cancel_queue, enter_batch, join, take_batch, wait_for_others};
use super::token_lists::TokenLists;
use super::token_lookup::Audience;
use super::while_sending::Stop;
use super::{AudienceReader, InDoubt, Reach, SendPlan, TokenLookup};
use crate::cadence::Breakdown;
use crate::error::{Error, ErrorKind, Result};
use crate::fcm::{Composer, Delivery, HaltCause, Reports};
use crate::state::ledger::UserKey;

/// The work of a pass.
pub(super) enum Recipients<'w> {
    /// Claim and send to every row.
    Send(&'w mut TokenLookup),
    /// Enter every row into the queue, and take from it together with those that join.
    Share(&'w mut TokenLookup),
    /// Take from the queue.
    Join,
}

/// The handling of a batch of rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Handling {
    /// Claim, and send.
    Send,
    /// Enter into the queue.
    Enter,
    /// Take from the queue, and send.
    Take,
}

/// The result of a pass.
pub(super) struct PassResult {
    /// Every row was taken.
    pub(super) complete: bool,
    pub(super) stop: Option<Stop>,
    pub(super) notes: Vec<String>,
    /// The messages by outcome.
    pub(super) traffic: Traffic,
    /// The recipients who are in several rows, and the number of their rows beyond the first.
    pub(super) repeated: HashMap<UserKey, u64>,
    /// The counts of excluded recipients as the history reports them.
    pub(super) breakdown: Breakdown,
}

impl PassResult {
    /// Returns the result of a pass that did not begin.
    pub(super) fn of_none(stop: Stop) -> Self {
        Self {
            complete: false,
            stop: Some(stop),
            notes: Vec::new(),
            traffic: Traffic::default(),
            repeated: HashMap::new(),
            breakdown: Breakdown::default(),
        }
    }
}

/// Goes once over the audience: every recipient who was not claimed before is claimed and sent to. Returns when every
/// message that left is answered or given up.
pub(super) async fn run(
    pass: &SendPass<'_>,
    work: Recipients<'_>,
    history_failed: Option<Instant>,
    reports: &mut Reports,
    lists: &mut TokenLists,
) -> Result<PassResult> {
    let window = Arc::clone(&pass.shared.window);
    let _sending = pass
        .interrupt
        .sending(pass.run, move || window.unrecorded());
    let mut feeder = Feeder::new(pass, history_failed);
    let mut complete = false;
    let feeding = async {
        match feed(&mut feeder, work).await {
            Ok(all) => complete = all,
            Err(error) => pass.stop(Stop::Failed(error)),
        }
        pass.client.close();
        // Most messages may still wait to leave: a stop is obeyed until the last answer.
        if let Err(error) = feeder.until_stopped().await {
            pass.stop(Stop::Failed(error));
        }
        pass.client.stop();
        sleep(pass.time_for_answers()).await;
        pass.client.abandon();
    };
    let traffic = record_while(Box::pin(feeding), record_all(pass, reports, lists)).await?;
    let halt = pass.client.halted();
    let halt = halt.filter(|halt| halt.cause != HaltCause::Asked);
    Ok(PassResult {
        complete,
        stop: pass.take_stop().or(halt.map(Stop::Halted)),
        notes: feeder.notes,
        traffic,
        repeated: feeder.repeated,
        breakdown: feeder.breakdown,
    })
}

/// Runs both, until the recording ends.
async fn record_while(
    feeding: impl Future<Output = ()>,
    recording: impl Future<Output = Result<Traffic>>,
) -> Result<Traffic> {
    let (mut feeding, mut recording) = (std::pin::pin!(feeding), std::pin::pin!(recording));
    let mut fed = false;
    loop {
        tokio::select! {
            () = &mut feeding, if !fed => fed = true,
            done = &mut recording => return done,
        }
    }
}

/// Returns false if the send stopped before the end.
async fn feed(feeder: &mut Feeder<'_>, work: Recipients<'_>) -> Result<bool> {
    match (work, feeder.pass.plan, feeder.pass.source_reader) {
        (Recipients::Send(tokens), Some(plan), _) => {
            Ok(feed_rows(feeder, (plan, tokens), Handling::Send).await?
                && wait_for_earlier_sender(feeder).await?)
        }
        (Recipients::Share(tokens), Some(plan), _) => share(feeder, plan, tokens).await,
        (Recipients::Join, _, Some(source_reader)) => join(feeder, source_reader).await,
        _ => Err(Error::new(
            ErrorKind::Bug,
            "a send of rows without a plan, or of a queue without a way to the source",
        )),
    }
}

/// Waits until no earlier sender of the push that may still be alive has a claim without an outcome: a process that was
/// suspended and woken is one. Its claims are then answered or in doubt, so the sums of this send are final. Returns
/// false if the send stopped before.
async fn wait_for_earlier_sender(feeder: &mut Feeder<'_>) -> Result<bool> {
    let pass = feeder.pass;
    let mut is_noted = false;
    while pass.again
        && pass
            .store
            .has_claims_of_others(pass.push, pass.sender)
            .await?
    {
        if !is_noted {
            is_noted = true;
            pass.progress
                .note("waiting for the last answers of another process that sends this push");
        }
        feeder.pause(STOP_CHECK).await;
        if feeder.should_stop().await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Enters all recipients into the queue, and takes from it until it is empty and every process that joined is done.
/// Returns false if the send stopped before.
async fn share(feeder: &mut Feeder<'_>, plan: &SendPlan, tokens: &mut TokenLookup) -> Result<bool> {
    let pass = feeder.pass;
    if !feed_rows(feeder, (plan, tokens), Handling::Enter).await? {
        return Ok(false);
    }
    if pass.order.in_doubt == InDoubt::Retry {
        pass.store.requeue(pass.push).await?;
    }
    // How much of the queue this process takes is known when it is empty.
    pass.progress.stage("sending");
    pass.progress.total(None);
    let mut some_were_left = false;
    loop {
        tokens.rewind()?;
        tokens.expire();
        let before = feeder.taken;
        if !feed_rows(feeder, (plan, tokens), Handling::Take).await? {
            return Ok(false);
        }
        let is_idle = feeder.taken == before;
        match wait_for_others(feeder).await? {
            Others::Stopped => {
                cancel_queue(pass).await?;
                return Ok(false);
            }
            Others::Done => return Ok(true),
            // A recipient who still waits after a pass is not in this file.
            Others::Left(left) if some_were_left && is_idle => {
                feeder.notes.push(format!(
                    "{left} recipients of another file still wait in the queue of this push"
                ));
                return Ok(true);
            }
            // Returned by a process that stopped.
            Others::Left(_) => some_were_left = true,
        }
    }
}

async fn feed_rows(
    feeder: &mut Feeder<'_>,
    (plan, tokens): (&SendPlan, &mut TokenLookup),
    handling: Handling,
) -> Result<bool> {
    let pass = feeder.pass;
    let mut reader = AudienceReader::open(&pass.order.input)?;
    let delivery = match pass.order.reach {
        Reach::Live => Delivery::Live,
        Reach::ValidateOnly => Delivery::ValidateOnly,
    };
    let mut composer = Composer::new(plan.push.clone(), delivery, Some(pass.order.collapse()));
    let mut left = plan.rows;
    let mut seen = HashSet::new();
    while left > 0 {
        let now = pass.clock.now();
        composer.set_time(now, pass.gate.next_quiet(now));
        let asked = renew(pass, plan, tokens).await;
        if feeder.should_stop().await? {
            if handling != Handling::Take {
                cancel_rest(feeder, &mut reader, left, &mut seen).await?;
            }
            if handling != Handling::Send {
                cancel_queue(pass).await?;
            }
            return Ok(false);
        }
        asked?;
        let batch = read(
            feeder,
            &mut reader,
            tokens,
            &mut left,
            (&mut seen, handling),
        )?;
        let rest = match handling {
            Handling::Send => send_batch(feeder, &mut composer, batch).await?,
            Handling::Enter => {
                enter_batch(feeder, &mut composer, batch).await?;
                Vec::new()
            }
            Handling::Take => {
                if !take_batch(feeder, batch).await? {
                    cancel_queue(pass).await?;
                    return Ok(false);
                }
                Vec::new()
            }
        };
        if !rest.is_empty() {
            pass.cancel(rest).await?;
            cancel_rest(feeder, &mut reader, left, &mut seen).await?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// Looks up the tokens of the next rows, if the known tokens are too old or missing.
async fn renew(pass: &SendPass<'_>, plan: &SendPlan, tokens: &mut TokenLookup) -> Result<()> {
    let order = pass.order;
    let rate = (pass.rate, pass.until);
    tokens
        .renew(
            Audience { order, plan },
            BATCH as u64,
            pass.source_reader,
            pass.interrupt,
            rate,
        )
        .await
        .map_err(|error| {
            error.context(
                "the source does not answer another token look-up, so no further message is sent",
            )
        })
}

/// Returns the recipients of the next rows, each once.
fn read(
    feeder: &mut Feeder<'_>,
    reader: &mut AudienceReader,
    tokens: &mut TokenLookup,
    left: &mut u64,
    (seen, handling): (&mut HashSet<UserKey>, Handling),
) -> Result<Vec<AudienceRecipient>> {
    let mut people = Vec::with_capacity(BATCH);
    while people.len() < BATCH && *left > 0 {
        let mut row = StringRecord::new();
        reader.next_of(&mut row, *left)?;
        *left -= 1;
        let tokens = tokens.next(reader, &row)?;
        let user = UserKey::of(reader.user(&row));
        // Repeated rows were counted when the recipients were entered.
        let is_repeated = match handling {
            Handling::Take => feeder.is_in_earlier_row(&user, seen),
            Handling::Send | Handling::Enter => feeder.is_repeated(&user, seen),
        };
        if !is_repeated {
            people.push(AudienceRecipient::new(row, user, tokens));
        } else if handling != Handling::Take {
            feeder.pass.progress.advance(1);
        }
    }
    Ok(people)
}
