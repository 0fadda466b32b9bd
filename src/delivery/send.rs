//! One send from its first claim to its files; and again after a crash, which is the same.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::dead_tokens::DeadTokens;
use super::feeder::{Feeder, FeederState, PassResult, Recipients};
use super::outcome_files;
use super::preflight::{ask_history, connect, open_push};
use super::recorder::Traffic;
use super::shared_queue::{QueueTokens, TokenReader, wait_for_others};
use super::stop_reason::Stop;
use super::summary::OutcomeSums;
use super::{Addresses, InDoubt, Order, Reach, SendPlan, SendResult, Summary};
use crate::cadence::{Breakdown, Cadence, Exclusion, Layer, Rule};
use crate::clock::Clock;
use crate::count::{counted, several};
use crate::error::{Error, Kind, Result};
use crate::fcm::{self, Client, ServiceAccount};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::state::Store;
use crate::state::ledger::{LedgerPush, Recording, Sender};
use crate::state::process_id::ProcessId;

/// What a send may use.
pub struct SendContext<'a> {
    /// Where claims and outcomes are kept.
    pub store: &'a Store,
    /// Who has had enough.
    pub cadence: &'a Cadence,
    /// Who we are to the push service.
    pub account: &'a ServiceAccount,
    /// How it is talked to.
    pub service: &'a fcm::FcmSettings,
    /// Where outcome files go.
    pub outcomes: &'a Path,
    /// This process, as others see it.
    pub holder: &'a ProcessId,
    /// Civil time.
    pub clock: &'a Arc<dyn Clock>,
    /// Whether somebody wants it to end.
    pub interrupt: &'a Interrupt,
    /// Who wants to know how far it is.
    pub progress: &'a dyn Progress,
    /// When it must have ended, if it must.
    pub until: Option<Instant>,
    /// The way to tokens, for a send that is shared.
    pub reading: Option<TokenReader<'a>>,
}

/// What came of a send that began.
pub struct Sent {
    /// The sums.
    pub summary: Summary,
    /// What stopped it, or which messages failed; decides the exit status.
    pub error: Option<Error>,
}

/// What a send takes at least beside its messages: connecting, ramping up, waiting for the last answers.
const OVERHEAD: Duration = Duration::from_secs(600);

/// How long a send may take that nobody gave a deadline: thrice what its rate promises, and ten minutes.
pub fn time_for(rows: u64, rate: u32) -> Duration {
    OVERHEAD + Duration::from_secs(3 * rows / u64::from(rate.max(1)))
}

/// Sends. The caller has drawn up the plan, looked the tokens up, recorded the run, and holds the occurrence's lease.
///
/// # Errors
/// Nothing was claimed: the history or the push service could not be asked, or the push was begun with other words. What
/// goes wrong later is in [`Sent::error`].
pub async fn carry_out(
    order: &Order,
    plan: &SendPlan,
    addresses: &mut Addresses,
    run: &str,
    context: &SendContext<'_>,
) -> Result<Sent> {
    let mut sending = SendRun::open(order, Some(plan), run, context).await?;
    if order.shared {
        let passed = Box::pin(sending.share(addresses)).await?;
        return sending.conclude(passed).await;
    }
    let mut passed = sending.pass(Recipients::Send(addresses)).await?;
    let retry = order.in_doubt == InDoubt::Retry && passed.complete && passed.stop.is_none();
    if retry && sending.sums().await?.in_doubt > 0 {
        addresses.rewind()?;
        sending.again = true;
        sending.stage = "sending again what is in doubt";
        let notes = std::mem::take(&mut passed.notes);
        passed = sending.pass(Recipients::Send(addresses)).await?;
        passed.notes.splice(0..0, notes);
    }
    sending.conclude(passed).await
}

/// Joins a send that another process has entered into the queue.
///
/// # Errors
/// As [`carry_out`]; and there is no such push.
pub async fn join(order: &Order, run: &str, context: &SendContext<'_>) -> Result<Sent> {
    let mut sending = SendRun::open(order, None, run, context).await?;
    let passed = sending.take_from_queue().await?;
    sending.conclude(passed).await
}

struct SendRun<'a> {
    order: &'a Order,
    /// `None` for whoever has joined.
    plan: Option<&'a SendPlan>,
    run: &'a str,
    context: &'a SendContext<'a>,
    layer: Layer,
    push: LedgerPush,
    sender: Sender,
    client: Option<(Client, fcm::Reports)>,
    /// Somebody may have been claimed before.
    again: bool,
    dead: DeadTokens,
    notes: Vec<String>,
    /// When the history was found out of reach, where that stops nobody.
    away: Option<Instant>,
    began_at: jiff::Timestamp,
    traffic: Traffic,
    /// What the progress calls the next pass.
    stage: &'static str,
}

impl<'a> SendRun<'a> {
    async fn open(
        order: &'a Order,
        plan: Option<&'a SendPlan>,
        run: &'a str,
        context: &'a SendContext<'a>,
    ) -> Result<Self> {
        let layer = Layer::new(order.layer)?;
        let (notes, away) = match order.reach {
            Reach::Live => ask_history(order, layer, context).await?,
            Reach::ValidateOnly => (Vec::new(), None),
        };
        let client = connect(order, plan, context).await?;
        let push = open_push(order, run, context).await?;
        context.store.settle(&push).await?;
        let again = !context.store.tally(&push).await?.is_empty();
        let sender = context.store.enlist(run, context.holder).await?;
        Ok(Self {
            order,
            plan,
            run,
            context,
            layer,
            push,
            sender,
            client: Some(client),
            again,
            dead: DeadTokens::of(context.outcomes, &order.file_stem(run)),
            notes,
            away,
            began_at: context.clock.now(),
            traffic: Traffic::default(),
            stage: "sending",
        })
    }

    /// Enters everybody into the queue, and takes from it until nobody is left and everybody who joined is done.
    async fn share(&mut self, addresses: &mut Addresses) -> Result<PassResult> {
        let context = self.context;
        let entered = self.pass(Recipients::Enter(addresses)).await?;
        if !entered.complete {
            return Ok(entered);
        }
        if self.order.in_doubt == InDoubt::Retry {
            context.store.requeue(&self.push).await?;
        }
        let mut passed = self.take_from_queue().await?;
        loop {
            let waited = (context.store, &self.push, self.run);
            if !passed.complete || !wait_for_others(waited, context.interrupt).await? {
                break;
            }
            passed = self.take_from_queue().await?;
        }
        passed.repeated = entered.repeated;
        passed.notes.splice(0..0, entered.notes);
        Ok(passed)
    }

    async fn take_from_queue(&mut self) -> Result<PassResult> {
        let reading =
            self.context.reading.as_ref().ok_or_else(|| {
                Error::new(Kind::Bug, "a shared send without a way to the source")
            })?;
        let queue = (self.context.store, &self.push);
        let mut tokens = QueueTokens::look_up(queue, reading, self.context.interrupt).await?;
        self.pass(Recipients::Queue(&mut tokens)).await
    }

    async fn pass(&mut self, work: Recipients<'_>) -> Result<PassResult> {
        let SendContext { progress, .. } = *self.context;
        let (client, mut reports) = match self.client.take() {
            Some(client) => client,
            None => connect(self.order, self.plan, self.context).await?,
        };
        // How much of a queue this process takes is known when it is empty.
        let (stage, total) = match &work {
            Recipients::Send(_) => (self.stage, self.plan.map(|plan| plan.rows)),
            Recipients::Enter(_) => ("entering into the queue", self.plan.map(|plan| plan.rows)),
            Recipients::Queue(_) => (self.stage, None),
        };
        progress.stage(stage);
        progress.total(total);
        let rate = self.order.rate.unwrap_or(self.context.service.rate);
        let feeder = Feeder {
            order: self.order,
            plan: self.plan,
            push: &self.push,
            layer: self.layer,
            run: self.run,
            store: self.context.store,
            sender: &self.sender,
            rate,
            cadence: (self.order.reach == Reach::Live).then_some(self.context.cadence),
            client: &client,
            interrupt: self.context.interrupt,
            progress,
            until: self.context.until,
            again: self.again,
            state: FeederState::new(rate, self.away),
        };
        let passed = feeder.pass(work, &mut reports, &mut self.dead).await?;
        self.traffic = self.traffic.and(passed.traffic);
        Ok(passed)
    }

    async fn sums(&self) -> Result<OutcomeSums> {
        Ok(OutcomeSums::of(
            &self.context.store.tally(&self.push).await?,
        ))
    }

    async fn conclude(mut self, mut passed: PassResult) -> Result<Sent> {
        self.context.progress.finish();
        let SendContext {
            store, outcomes, ..
        } = *self.context;
        let sums = self.sums().await?;
        let further = store.further_devices(&self.push).await?;
        self.notes.append(&mut passed.notes);
        self.tell_history().await?;
        self.sender.leave().await?;
        let mut stem = self.order.file_stem(self.run);
        if self.plan.is_none() {
            let _ = write!(stem, ".joined-{}", self.context.holder.pid);
        }
        let files = outcome_files::write(
            outcomes,
            &stem,
            (store, &self.push),
            &passed.repeated,
            self.dead,
        );
        let files = match files.await {
            Ok(files) => Some(files),
            Err(error) => {
                self.notes
                    .push(format!("the outcome files could not be written: {error:#}"));
                None
            }
        };
        if self.traffic.messages() == 0 && self.push.run != self.run && passed.stop.is_none() {
            self.notes.push(format!(
                "nothing was sent: run {} had sent this push to all of them; another --occurrence would send it again",
                self.push.run
            ));
        }
        if !self.again && sums.excluded.contains_key(Exclusion::Unattributed.key()) {
            self.notes.push(said_by_the_service(&passed.breakdown));
        }
        let (ended, error) = end(&passed, &sums, self.run);
        let repeated = passed.repeated.values().sum();
        let people = sums.claims() - further + repeated;
        let rows = self.plan.map_or(people, |plan| plan.rows);
        let ended_at = self.context.clock.now();
        let mut summary = Summary {
            ended,
            reason: error.as_ref().map(|error| format!("{error:#}")),
            rows,
            repeated,
            further_devices: further,
            not_attempted: rows.saturating_sub(people),
            others: people.saturating_sub(rows),
            cadence: self.context.cadence.name().to_owned(),
            notes: self.notes,
            ended_at,
            seconds: ended_at.duration_since(self.began_at).as_secs_f64(),
            messages: self.traffic.messages(),
            messages_per_second: self.traffic.answers_per_second().unwrap_or_default(),
            files,
            ..Summary::blank(self.order, self.run, self.began_at)
        };
        summary.add(&sums);
        Ok(Sent { summary, error })
    }

    /// Hands what was accepted to a history elsewhere. Whatever it does not take now is owed to it, and counts meanwhile.
    async fn tell_history(&mut self) -> Result<()> {
        if self.push.recording != Recording::Elsewhere {
            return Ok(());
        }
        let synced = self.context.cadence.sync(self.context.holder).await?;
        if synced.left > 0 {
            let why = synced
                .failure
                .map(|error| format!(" ({error:#})"))
                .unwrap_or_default();
            self.notes.push(format!(
                "the notification history has not been told of {}{why}; nothing is lost: `pushctl sync` tells it",
                counted(synced.left, "pushes")
            ));
        }
        Ok(())
    }
}

/// A service that says how many it held back by which rule, and not whom, leaves the ledger without the rules.
fn said_by_the_service(breakdown: &Breakdown) -> String {
    let rules = Rule::ALL.map(|rule| (rule.key(), breakdown.of(Exclusion::Rule(rule))));
    let said: Vec<String> = rules
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(key, count)| format!("{key} {}", crate::count::number(*count)))
        .collect();
    format!(
        "the cadence service does not say who is held back by which rule; of all it held back it says: {}",
        said.join(", ")
    )
}

/// How it ended, and the error to end with.
fn end(passed: &PassResult, sums: &OutcomeSums, run: &str) -> (SendResult, Option<Error>) {
    let resume = format!("`pushctl resume {run}` goes on with the rest; nobody is sent to twice");
    match &passed.stop {
        Some(Stop::Interrupted(kind)) => (
            SendResult::Stopped,
            Some(Interrupt::error(*kind).hint(resume)),
        ),
        Some(Stop::Cancelled(cancellation)) => {
            let why = cancellation.reason.as_ref().map(|why| format!(": {why}"));
            let message = format!(
                "cancelled by {}{}",
                cancellation.who,
                why.unwrap_or_default()
            );
            (
                SendResult::Cancelled,
                Some(Error::new(Kind::Cancelled, message)),
            )
        }
        Some(Stop::Halted(halt)) => {
            let error = halt.error();
            let ended = if error.kind() == Kind::Refused {
                SendResult::Refused
            } else {
                SendResult::Stopped
            };
            (ended, Some(error.hint(resume)))
        }
        Some(Stop::OutOfTime) => {
            let error = Error::new(
                Kind::Unreachable,
                "the deadline ended before the last message",
            );
            (
                SendResult::Stopped,
                Some(error.hint(resume).hint("raise --deadline, or --rate")),
            )
        }
        Some(Stop::Failed(error)) => (SendResult::Stopped, Some(again(error).hint(resume))),
        None => {
            let failed: u64 = sums.failed.values().sum();
            let counts = [(failed, "failed"), (sums.in_doubt, "in doubt")];
            if failed + sums.in_doubt == 0 {
                return (SendResult::Done, None);
            }
            let all = sums.messages();
            let told = format!("of {} {}", counted(all, "messages"), several(&counts));
            (SendResult::Partial, Some(Error::new(Kind::Partial, told)))
        }
    }
}

/// The same error once more: it is told in the summary, and at the end.
fn again(error: &Error) -> Error {
    let same = Error::new(error.kind(), format!("{error:#}")).context("the send stopped");
    error.hints().iter().fold(same, Error::hint)
}
