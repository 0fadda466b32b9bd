//! One send from its first claim to its outcome files. A send is resumed after a crash by the same steps.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::conclusion::{breakdown_note, copy_of, end, with_missing_files};
use super::dead_tokens_command;
use super::eligibility::{asked_in_haste, asked_in_time};
use super::groups::VariantSplit;
use super::outcome_files;
use super::outcome_files::WrittenFiles;
use super::outcomes_directory as directory;
use super::overlap;
use super::preflight::{HistoryCheck, check_history, connect, open_push};
use super::recorder::Traffic;
use super::row_loop;
use super::row_loop::{PassResult, Recipients};
pub use super::send_context::SendContext;
use super::send_pass::{SendPass, SharedState, reserve};
use super::summary::OutcomeSums;
use super::token_lists::TokenLists;
use super::while_sending::Stop;
use super::{InDoubt, Order, Reach, SendPlan, Summary, TokenLookup};
use crate::cadence::{AppliedRule, Exclusion, Layer, Synced};
use crate::count::counted;
use crate::error::{Error, Result};
use crate::fcm::{self, Client};
use crate::guards::Guard;
use crate::state::ledger::{LedgerPush, Recording, Sender, UserKey};

/// The result of a send that began.
pub struct Sent {
    /// The counts.
    pub summary: Summary,
    /// The reason for a stop, or the failed messages; decides the exit status.
    pub error: Option<Error>,
    /// The end of the quiet hours for which it stopped.
    pub paused_until: Option<Timestamp>,
}

/// The time that a send takes beside its messages: connecting, ramping up, waiting for the last answers.
const OVERHEAD: Duration = Duration::from_secs(600);

/// Returns the time budget of a send without a deadline: three times what its rate needs, and ten minutes.
pub fn time_for(rows: u64, rate: u32) -> Duration {
    OVERHEAD + Duration::from_secs(3 * rows / u64::from(rate.max(1)))
}

/// Sends to every recipient of the order. The caller has prepared the plan, looked up the tokens, recorded the run, and
/// holds the lease of the occurrence.
///
/// # Errors
/// Nothing was claimed: the history or the push service does not answer, or the push was begun with other texts. Later
/// errors are in [`Sent::error`].
pub async fn send_all(
    order: &Order,
    plan: &SendPlan,
    tokens: &mut TokenLookup,
    run: &str,
    context: &SendContext<'_>,
) -> Result<Sent> {
    let mut sending = SendRun::open(order, Some(plan), run, context).await?;
    if let Some(stop) = sending.check_overlap(plan).await? {
        return sending.conclude(PassResult::of_none(stop)).await;
    }
    if order.shared {
        let passed = Box::pin(sending.pass(Recipients::Share(tokens))).await?;
        return Ok(with_notes(sending.conclude(passed).await?, tokens));
    }
    let mut passed = sending.pass(Recipients::Send(tokens)).await?;
    let retry = order.in_doubt == InDoubt::Retry && passed.complete && passed.stop.is_none();
    if retry && sending.sums().await?.in_doubt > 0 {
        tokens.rewind()?;
        sending.again = true;
        sending.stage = "sending again what is in doubt";
        let notes = std::mem::take(&mut passed.notes);
        passed = sending.pass(Recipients::Send(tokens)).await?;
        passed.notes.splice(0..0, notes);
    }
    Ok(with_notes(sending.conclude(passed).await?, tokens))
}

/// Adds the notes about the tokens, which are last.
fn with_notes(mut sent: Sent, tokens: &TokenLookup) -> Sent {
    sent.summary.notes.extend(tokens.notes());
    sent
}

/// Joins a send that another process has entered into the queue.
///
/// # Errors
/// As [`send_all`]; and there is no such push.
pub async fn join(order: &Order, run: &str, context: &SendContext<'_>) -> Result<Sent> {
    let mut sending = SendRun::open(order, None, run, context).await?;
    let passed = Box::pin(sending.pass(Recipients::Join)).await?;
    sending.conclude(passed).await
}

struct SendRun<'a> {
    order: &'a Order,
    /// `None` in a process that joined.
    plan: Option<&'a SendPlan>,
    run: &'a str,
    context: &'a SendContext<'a>,
    layer: Layer,
    push: LedgerPush,
    /// The beginning of the names of its outcome files.
    stem: String,
    sender: Sender,
    client: Option<(Client, fcm::Reports)>,
    /// Recipients may have been claimed before.
    again: bool,
    lists: TokenLists,
    notes: Vec<String>,
    /// The rules that apply.
    rules: Vec<AppliedRule>,
    /// When the history did not answer, where the send goes on without it.
    away: Option<Instant>,
    began_at: jiff::Timestamp,
    traffic: Traffic,
    /// The name of the next pass in the progress display.
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
        let is_lifted = |guard| context.overrides.lift(guard);
        if !is_lifted(Guard::Outcomes) {
            directory::check_writable(context.outcomes, plan.map_or(0, |plan| plan.rows))?;
        }
        if !is_lifted(Guard::StateStore) {
            directory::check_store(context.outcomes, context.store).await?;
        }
        let is_off = context.cadence.is_off();
        let invalid_ids = plan
            .map(|plan| plan.check_user_ids(order, is_off))
            .transpose()?;
        let HistoryCheck {
            mut notes,
            rules,
            away,
        } = match order.reach {
            Reach::Live => check_history(order, layer, context).await?,
            Reach::ValidateOnly => HistoryCheck::default(),
        };
        notes.extend(invalid_ids.flatten());
        let client = connect(order, plan, context).await?;
        let push = open_push(order, run, context).await?;
        context.store.settle(&push).await?;
        let again = !context.store.tally(&push).await?.is_empty();
        let sender = context.store.enlist(run, context.holder).await?;
        let this_send = (run, sender.id(), context.clock.now());
        let anew = is_lifted(Guard::StateStore);
        match directory::note(context.outcomes, context.store, this_send, anew).await {
            Err(error) if !is_lifted(Guard::Outcomes) => return Err(error),
            _ => {}
        }
        let mut stem = order.file_stem(run);
        if plan.is_none() {
            let _ = write!(stem, ".joined-{}", context.holder.pid);
        }
        let lists = TokenLists::of(context.outcomes, &stem).and_of(order.file_stem(&push.run));
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
            lists,
            stem,
            notes,
            rules,
            away,
            began_at: context.clock.now(),
            traffic: Traffic::default(),
            stage: "sending",
        })
    }

    /// Returns the reason to stop if too many recipients had the push lately; fewer are noted. A push that was begun
    /// was checked then.
    async fn check_overlap(&mut self, plan: &SendPlan) -> Result<Option<Stop>> {
        if self.again || self.order.reach != Reach::Live {
            return Ok(None);
        }
        let Some(overlap) = overlap::measure(self.order, plan, self.context.store).await? else {
            return Ok(None);
        };
        if overlap.is_refused() && !self.context.overrides.lift(Guard::Overlap) {
            return Ok(Some(Stop::Overlap(overlap.text())));
        }
        self.notes.push(overlap.text());
        self.context.progress.note(&overlap.text());
        Ok(None)
    }

    async fn pass(&mut self, work: Recipients<'_>) -> Result<PassResult> {
        let SendContext { progress, .. } = *self.context;
        let (client, mut reports) = match self.client.take() {
            Some(client) => client,
            None => connect(self.order, self.plan, self.context).await?,
        };
        client.send_under(self.sender.expiry());
        // The share of the queue that this process takes is unknown until the queue is empty.
        let (stage, total) = match &work {
            Recipients::Send(_) => (self.stage, self.plan.map(|plan| plan.rows)),
            Recipients::Share(_) => ("entering into the queue", self.plan.map(|plan| plan.rows)),
            Recipients::Join => (self.stage, None),
        };
        progress.stage(stage);
        progress.total(total);
        let rate = self.order.rate.unwrap_or(self.context.service.rate);
        let pass = SendPass {
            order: self.order,
            plan: self.plan,
            push: &self.push,
            layer: self.layer,
            run: self.run,
            store: self.context.store,
            sender: &self.sender,
            rate,
            own_rate: self.context.own_rate.map_or(f64::INFINITY, f64::from),
            source_reader: self.context.source_reader.as_ref(),
            cadence: (self.order.reach == Reach::Live).then_some(self.context.cadence),
            client: &client,
            interrupt: self.context.interrupt,
            progress,
            until: self.context.until,
            reserve: reserve(self.context.budget),
            budget: self.context.budget,
            gate: self.context.gate,
            clock: self.context.clock,
            variants: VariantSplit::of(self.order),
            again: self.again,
            shared: SharedState::new(rate),
        };
        let passed = row_loop::run(&pass, work, self.away, &mut reports, &mut self.lists).await?;
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
        let store = self.context.store;
        let sums = self.sums().await?;
        let further = store.further_devices(&self.push).await?;
        self.notes.append(&mut passed.notes);
        self.sync_history().await?;
        let ours = self.sender.is_alive(store).await?;
        let (written, missing) = if ours {
            match self.write_files(&passed.repeated).await {
                Ok((written, incomplete)) => (Some(written), incomplete),
                Err(error) => (None, Some(error)),
            }
        } else {
            self.notes.push(
                "another process has taken over this send and writes the outcome files; this process wrote none"
                    .to_owned(),
            );
            (None, None)
        };
        let (files, variants) = written
            .map(|written| (written.files, written.variants))
            .unzip();
        if let Some(list) = files
            .as_ref()
            .and_then(|files| files.dead_tokens.as_deref())
        {
            self.hand_over_dead_tokens(list).await;
        }
        self.sender.leave().await?;
        if self.traffic.messages() == 0 && self.push.run != self.run && passed.stop.is_none() {
            self.notes.push(format!(
                "nothing was sent: run {} has sent this push to every recipient; to send it again, use another --occurrence",
                self.push.run
            ));
        }
        if !self.again && sums.excluded.contains_key(Exclusion::Unattributed.key()) {
            self.notes.push(breakdown_note(&passed.breakdown));
        }
        let (ended, error) = end(&passed, &sums, self.run);
        let files_error = missing.as_ref().map(|missing| format!("{missing:#}"));
        let error = with_missing_files(error, missing);
        let repeated = passed.repeated.values().sum();
        let people = sums.claims() - further + repeated;
        let rows = self.plan.map_or(people, |plan| plan.rows);
        let ended_at = self.context.clock.now();
        let mut summary = Summary {
            ended,
            reason: error.as_ref().map(|error| format!("{error:#}")),
            files_error,
            rows,
            repeated,
            further_devices: further,
            not_attempted: rows.saturating_sub(people),
            others: people.saturating_sub(rows),
            cadence: self.context.cadence.name().to_owned(),
            variants: variants.unwrap_or_default(),
            cadence_rules: self.rules,
            notes: self.notes,
            ended_at,
            seconds: ended_at.duration_since(self.began_at).as_secs_f64(),
            messages: self.traffic.messages(),
            messages_per_second: self.traffic.answers_per_second().unwrap_or_default(),
            files,
            ..Summary::blank(self.order, self.run, self.began_at)
        };
        summary.add(&sums);
        let paused_until = match passed.stop {
            Some(Stop::Quiet { until, .. }) => until,
            _ => None,
        };
        Ok(Sent {
            summary,
            error,
            paused_until,
        })
    }

    /// Writes the outcome files. The error beside them says that the list of dead tokens is incomplete.
    async fn write_files(
        &mut self,
        repeated: &HashMap<UserKey, u64>,
    ) -> Result<(WrittenFiles, Option<Error>)> {
        let (store, outcomes) = (self.context.store, self.context.outcomes);
        let split = VariantSplit::of(self.order);
        let push = (store, &self.push, &split);
        let written = outcome_files::write(outcomes, &self.stem, push, repeated, &self.lists).await;
        let written = written.map_err(|error| {
            outcome_files::missing_files_error(&error, outcomes, &self.stem, self.run)
        })?;
        let lists = TokenLists::of(outcomes, &self.stem);
        let lists = std::mem::replace(&mut self.lists, lists);
        let failure = lists.failure().map(copy_of);
        lists.forget();
        // Dead tokens that another process found are in its own list.
        if written.by_hash == 0 || self.order.shared {
            return Ok((written, None));
        }
        let message = format!(
            "{} dead tokens are known by their hash only; they are in the SQL file, and not in the list",
            written.by_hash
        );
        let incomplete = failure.map(|failure| failure.context(&message));
        if incomplete.is_none() && self.traffic.messages() > 0 {
            self.notes.push(message);
        }
        Ok((written, incomplete))
    }

    /// Runs the command that gets the dead tokens. A send that sent nothing has found none.
    async fn hand_over_dead_tokens(&mut self, list: &Path) {
        let SendContext {
            dead_tokens_command: Some(command),
            budget,
            interrupt,
            ..
        } = *self.context
        else {
            return;
        };
        if self.traffic.messages() == 0 || self.order.reach != Reach::Live {
            return;
        }
        if interrupt.fired().is_some() {
            self.notes
                .push("dead_tokens.command was not run: the send was interrupted".to_owned());
            return;
        }
        let note = dead_tokens_command::run(command, list, self.run, budget).await;
        self.notes.extend(note);
    }

    /// Records accepted messages in a notification history elsewhere. Those that it does not take now are kept, and
    /// count in cadence meanwhile.
    async fn sync_history(&mut self) -> Result<()> {
        if self.push.recording != Recording::Elsewhere {
            return Ok(());
        }
        let syncing = self.context.cadence.sync(self.context.holder);
        let synced = if self.context.interrupt.fired().is_some() {
            asked_in_haste(self.context.budget, syncing).await
        } else {
            asked_in_time(self.order, self.context.budget, syncing).await
        };
        let synced = match synced {
            Ok(synced) => synced,
            Err(error) if error.is_retryable() => Synced {
                left: self.context.store.owed_count().await?,
                failure: Some(error),
                ..Synced::default()
            },
            Err(error) => return Err(error),
        };
        if synced.left > 0 {
            let why = synced
                .failure
                .map(|error| format!("{error:#}"))
                .or_else(|| synced.set_aside.into_keys().next())
                .map(|reason| format!(" ({reason})"))
                .unwrap_or_default();
            self.notes.push(format!(
                "not recorded in the notification history yet: {}{why}; `pushctl sync` records the rest",
                counted(synced.left, "pushes")
            ));
        }
        Ok(())
    }
}
