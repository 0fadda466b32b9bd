//! A send that several processes share: one enters all recipients into the queue of the state store, each takes from
//! it.
//!
//! A queued message is complete except for its token, because tokens are never stored in clear. So a process takes only
//! recipients whose token it knows, and claims exactly these:
//!
//! - The process with the audience file reads it a second time, with tokens newly read from the source. It alone
//!   decides
//!   that a recipient has no token.
//! - A process that joins pages through the queue from its end, asks the source about a page, and takes from it whose
//!   queued
//!   token is theirs, and whose account is deleted. All others (the token changed, or is only in the file) it
//!   leaves to the process with the file.
//!
//! A process that joins runs until the process with the file has ended, which the lease of the occurrence shows; if
//! that process is dead, until there is no recipient left that it may take. Recipients whom no process took wait for
//! `pushctl resume`. A recipient's further devices are not sent to.
//!
//! The rate is that of the send: the living senders share it equally.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use super::claim_batch::add_excluded;
use super::eligibility::{AudienceRecipient, select_eligible};
use super::feeder::{Feeder, RATE_CHECK, STOP_CHECK};
use super::send_pass::{SendPass, SubmittedMessage};
use super::token_lookup::fresh_budget;
use super::token_query::{BATCH, TokenProblem, TokenQuery, Tokens, ask, read_source};
use super::{Devices, SourceReader, lease_name};
use crate::cadence::Screen;
use crate::error::Result;
use crate::fcm::{Composer, SendJob};
use crate::state::ledger::{
    Answer, Dismissal, Ending, Guard, Queued, Standing, Taken, TokenHash, UserKey, Waiting, Wanted,
    Words,
};

/// The empty token of a queued message.
const EMPTY_TOKEN: &[u8] = b"\"token\":\"\"";
/// The maximum of recipients taken from the queue at once.
const GROUP: usize = 500;
/// The time in which a page of the queue is sent. A short one, so that looked-up tokens stay valid and few recipients
/// are looked up in vain because another process takes them.
const PAGE: Duration = Duration::from_secs(30);
/// The pause if the queue holds only recipients whom this process may not take.
const IDLE: Duration = Duration::from_secs(3);

/// A recipient who may wait in the queue, with the token or the reason for its absence.
struct Known {
    user: UserKey,
    token: std::result::Result<String, TokenProblem>,
}

/// Enters a batch into the queue, except for recipients who are in the ledger for this push already.
pub(super) async fn enter_batch(
    feeder: &mut Feeder<'_>,
    composer: &mut Composer,
    batch: Vec<AudienceRecipient>,
) -> Result<()> {
    let pass = feeder.pass;
    let mut screened = select_eligible(feeder, composer, batch).await?;
    add_excluded(feeder, composer, &mut screened).await?;
    pass.dismiss(std::mem::take(&mut screened.dismissed))
        .await?;
    let mut queued = Vec::with_capacity(screened.ready.len());
    let mut taken = Vec::with_capacity(screened.ready.len());
    for one in screened.ready {
        let variant = pass.variants.place(&one.recipient.user);
        let Ok(payload) = composer.compose("", &one.recipient.row, variant) else {
            continue;
        };
        taken.push(Dismissal::skipped(
            one.recipient.user.clone(),
            "token-taken",
        ));
        queued.push(Queued {
            token: one
                .recipient
                .tokens
                .first()
                .map(|token| TokenHash::of(token)),
            user: one.recipient.user,
            counted: one.counted,
            payload: payload.to_vec(),
        });
    }
    let entered = queued.len() as u64;
    pass.store.enqueue(pass.push, queued).await?;
    pass.progress.advance(entered);
    // A recipient who is not in the queue now shares a token with one who is.
    pass.store.dismiss(pass.push, pass.sender, taken).await
}

/// Takes the recipients of a batch who still wait in the queue. Returns false if the send stopped before the end.
pub(super) async fn take_batch(
    feeder: &mut Feeder<'_>,
    batch: Vec<AudienceRecipient>,
) -> Result<bool> {
    let known = batch.into_iter().map(|recipient| Known {
        user: recipient.user,
        token: recipient.tokens.into_iter().next().ok_or(recipient.problem),
    });
    take_known(feeder, known.collect()).await
}

/// Takes part in a send that another process has begun. Returns false if it stopped before the queue was done.
pub(super) async fn join(
    feeder: &mut Feeder<'_>,
    source_reader: &SourceReader<'_>,
) -> Result<bool> {
    let pass = feeder.pass;
    feeder.share_rate().await?;
    // The others slow down before this one begins.
    sleep(RATE_CHECK * 2).await;
    loop {
        // Called first: what its holder entered before it ended is seen by the sweep that follows.
        let file_process_lives = file_process_lives(pass).await?;
        let (place, of) = pass
            .store
            .place_among_senders(pass.run, pass.sender)
            .await?;
        let before = feeder.taken;
        let mut left = sweep(feeder, source_reader, (place, of)).await?;
        if feeder.taken == before && of > 1 && left.is_some() {
            left = sweep(feeder, source_reader, (0, 1)).await?;
        }
        let is_idle = feeder.taken == before;
        match left {
            // Another process that joined is still sending, and may return what it took.
            Some(_) if is_idle && !file_process_lives && has_unanswered(pass).await? => {
                feeder.pause(STOP_CHECK).await;
            }
            Some(0) if is_idle && !file_process_lives => return Ok(true),
            Some(left) if is_idle && !file_process_lives => {
                feeder.notes.push(format!(
                    "{left} recipients still wait in the queue, because their token is not the one they were entered with; `pushctl resume {}` sends to them",
                    pass.run
                ));
                return Ok(true);
            }
            Some(0) if is_idle => feeder.pause(STOP_CHECK).await,
            // They are left to the process with the file; asking more often does not help.
            Some(_) if is_idle => feeder.pause(IDLE).await,
            Some(_) | None => {}
        }
        if feeder.should_stop().await? {
            cancel_queue(pass).await?;
            return Ok(false);
        }
    }
}

/// Reads the queue once, from its end, page by page: looks tokens up, and takes the recipients it may. Returns how many
/// it left; `None` if the send stopped.
async fn sweep(
    feeder: &mut Feeder<'_>,
    source_reader: &SourceReader<'_>,
    part: (u32, u32),
) -> Result<Option<u64>> {
    let pass = feeder.pass;
    let mut before = i64::MAX;
    let mut left = 0;
    loop {
        let rate = pass.client.progress().rate;
        let page = pass
            .store
            .waiting(pass.push, before, page_size(rate), part)
            .await?;
        let Some(last) = page.last() else {
            return Ok(Some(left));
        };
        before = last.claim;
        let count = page.len();
        let known = match look_up_page(feeder, source_reader, page).await {
            Ok(known) => known,
            Err(error) => {
                let stopped = feeder.should_stop().await?;
                return if stopped { Ok(None) } else { Err(error) };
            }
        };
        left += (count - known.len()) as u64;
        if !take_known(feeder, known).await? {
            return Ok(None);
        }
    }
}

/// Looks up the tokens of a page of the queue. Returns only the recipients that this process may decide on.
async fn look_up_page(
    feeder: &mut Feeder<'_>,
    source_reader: &SourceReader<'_>,
    page: Vec<Waiting>,
) -> Result<Vec<Known>> {
    let pass = feeder.pass;
    let asked: Vec<TokenQuery> = page
        .iter()
        .map(|one| TokenQuery {
            user: one.user.uuid(),
            token: None,
        })
        .collect();
    let budget = fresh_budget(source_reader.budget, pass.until);
    let source_reader = SourceReader {
        budget: &budget,
        ..*source_reader
    };
    let answers = read_source(&source_reader, pass.interrupt, async |snapshot| {
        ask(snapshot, &asked, Devices::All, source_reader.suppressed).await
    });
    let (answers, _) = answers.await?;
    let known = page.into_iter().zip(answers).filter_map(|(one, tokens)| {
        let token = certain_token(&one, tokens)?;
        Some(Known {
            user: one.user,
            token,
        })
    });
    Ok(known.collect())
}

/// Takes those of `known` who still wait, group by group, and submits their messages. Returns false if the send
/// stopped.
async fn take_known(feeder: &mut Feeder<'_>, mut known: Vec<Known>) -> Result<bool> {
    let pass = feeder.pass;
    while !known.is_empty() {
        let Some(group) = feeder.wait_for_room(known.len().min(GROUP)).await? else {
            return Ok(false);
        };
        let rest = known.split_off(known.len().min(group));
        let screen = match pass.cadence {
            Some(cadence) => Some(cadence.screen(pass.layer).await?),
            None => None,
        };
        let guard = screen.as_ref().map_or_else(Guard::none, Screen::guard);
        let wanted = known.iter().map(|one| Wanted {
            user: one.user.clone(),
            token: one.token.as_deref().ok().map(TokenHash::of),
        });
        let won = pass
            .store
            .take_these(pass.push, pass.sender, wanted.collect(), &guard)
            .await?;
        feeder.claimed(won.len());
        feeder.taken += won.len() as u64;
        let mut known_tokens: HashMap<UserKey, _> =
            known.into_iter().map(|one| (one.user, one.token)).collect();
        let mut jobs = Vec::with_capacity(won.len());
        let mut skipped = Vec::new();
        for one in won {
            let token = known_tokens
                .remove(&one.user)
                .unwrap_or(Err(TokenProblem::NoToken));
            match sendable(&one, token, screen.as_ref()) {
                Ok(token) => jobs.push(take_from_queue(pass, one, token)),
                Err(code) => skipped.push(not_sent(&one, Ending::Skipped, code)),
            }
        }
        pass.shared.window.return_room(group, jobs.len());
        pass.client.submit_all(jobs).await;
        pass.progress.advance(skipped.len() as u64);
        pass.store.record(pass.push, skipped).await?;
        known = rest;
    }
    Ok(true)
}

fn take_from_queue(pass: &SendPass<'_>, one: Taken, token: String) -> SendJob {
    let words = words_of(&one.payload);
    let body = insert_token(&one.payload, &token);
    let message = SubmittedMessage {
        claim: one.claim,
        user: one.user,
        token,
        words,
        ends_row: true,
    };
    pass.job(message, body)
}

/// Records the waiting recipients of a cancelled run as cancelled.
pub(super) async fn cancel_queue(pass: &SendPass<'_>) -> Result<()> {
    let most = u32::try_from(GROUP).unwrap_or(u32::MAX);
    while pass.is_cancelled() {
        let none = Guard::none();
        let taken = pass.store.take(pass.push, pass.sender, most, &none).await?;
        if taken.is_empty() {
            break;
        }
        let cancelled = taken
            .iter()
            .map(|one| not_sent(one, Ending::Cancelled, "cancelled"));
        pass.store.record(pass.push, cancelled.collect()).await?;
    }
    Ok(())
}

/// Returns whether a living process still waits for an answer.
async fn has_unanswered(pass: &SendPass<'_>) -> Result<bool> {
    pass.store.settle(pass.push).await?;
    let tally = pass.store.tally(pass.push).await?;
    Ok(tally.iter().any(|row| row.standing == Standing::Unanswered))
}

/// Waits until every message of every process is answered or given up, or until recipients are back in the queue.
pub(super) async fn wait_for_others(feeder: &mut Feeder<'_>) -> Result<Others> {
    let pass = feeder.pass;
    loop {
        pass.store.settle(pass.push).await?;
        let tally = pass.store.tally(pass.push).await?;
        let count = |standing: Standing| -> u64 {
            let rows = tally.iter().filter(|row| row.standing == standing);
            rows.map(|row| row.count).sum()
        };
        match (count(Standing::Queued), count(Standing::Unanswered)) {
            (0, 0) => return Ok(Others::Done),
            (0, _) => {}
            (left, _) => return Ok(Others::Left(left)),
        }
        feeder.pause(STOP_CHECK).await;
        if feeder.should_stop().await? {
            return Ok(Others::Stopped);
        }
    }
}

/// Returns whether the process with the audience file lives.
async fn file_process_lives(pass: &SendPass<'_>) -> Result<bool> {
    let lease = lease_name(&pass.order.automation, &pass.order.occurrence);
    pass.store.is_held(&lease).await
}

/// The state of the other processes.
pub(super) enum Others {
    Done,
    /// The number of recipients who wait in the queue again.
    Left(u64),
    /// This process has to stop.
    Stopped,
}

/// Returns how many recipients are looked up at once.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is at most 100,000 a second"
)]
fn page_size(rate: f64) -> u32 {
    let most = u32::try_from(BATCH).unwrap_or(u32::MAX);
    ((rate * PAGE.as_secs_f64()) as u32).clamp(500, most)
}

/// Returns the token of a waiting recipient, or the reason for its absence; `None` where the process with the file
/// decides.
fn certain_token(
    one: &Waiting,
    tokens: Tokens,
) -> Option<std::result::Result<String, TokenProblem>> {
    match tokens {
        Err(TokenProblem::Deleted) => Some(Err(TokenProblem::Deleted)),
        Err(_) => None,
        Ok(tokens) => tokens
            .into_iter()
            .find(|token| one.token == Some(TokenHash::of(token)))
            .map(Ok),
    }
}

/// Returns the token to send to, or the code of the reason against it.
fn sendable(
    one: &Taken,
    token: std::result::Result<String, TokenProblem>,
    screen: Option<&Screen<'_>>,
) -> std::result::Result<String, &'static str> {
    if let Some(limit) = one.over {
        return Err(screen.map_or("cadence", |screen| screen.exclusion(limit).key()));
    }
    let token = token.map_err(TokenProblem::code)?;
    // Another recipient of the push has this token, so the queued token was not replaced by it.
    if one
        .token
        .is_some_and(|queued| queued != TokenHash::of(&token))
    {
        return Err("token-taken");
    }
    Ok(token)
}

fn not_sent(one: &Taken, ending: Ending, code: &str) -> Answer {
    Answer {
        claim: one.claim,
        ending,
        code: Some(code.to_owned()),
        message_name: None,
        attempts: 0,
        elapsed: Duration::ZERO,
        words: None,
    }
}

/// Returns the message with its token, which is escaped as JSON.
fn insert_token(payload: &[u8], token: &str) -> bytes::Bytes {
    let Some(at) = memchr::memmem::find(payload, EMPTY_TOKEN) else {
        return bytes::Bytes::copy_from_slice(payload);
    };
    let quoted = Value::String(token.to_owned()).to_string();
    let hole = at + EMPTY_TOKEN.len() - 2;
    [&payload[..hole], quoted.as_bytes(), &payload[hole + 2..]]
        .concat()
        .into()
}

/// Returns the texts of a queued message.
fn words_of(payload: &[u8]) -> Option<Words> {
    let message: Value = serde_json::from_slice(payload).ok()?;
    let text = |pointer: &str| Some(message.pointer(pointer)?.as_str()?.to_owned());
    Some(Words {
        title: text("/message/notification/title")?,
        body: text("/message/notification/body")?,
        deep_link: text("/message/data/url"),
    })
}
