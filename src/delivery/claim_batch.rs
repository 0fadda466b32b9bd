//! Sends a batch: records the excluded recipients, claims the others group by group, and submits the won claims.

use std::collections::HashSet;

use csv::StringRecord;

use super::eligibility::{AudienceRecipient, EligibleRow, ScreenedBatch, select_eligible};
use super::feeder::Feeder;
use super::send_pass::{SendPass, SubmittedMessage};
use super::{AudienceReader, InDoubt};
use crate::error::Result;
use crate::fcm::Composer;
use crate::state::ledger::{
    Basis, Candidate, Claim, Claimed, Counted, Device, Dismissal, Ending, Guard, Limit, Standing,
    TokenHash, UserKey, Words,
};

/// Rows read, and asked the history about, at once.
pub(super) const BATCH: usize = 4_000;
/// The maximum of claims in a durable commit.
const GROUP: usize = 1_000;

/// Sends a batch. Returns the remaining recipients if the send stopped.
pub(super) async fn send_batch(
    feeder: &mut Feeder<'_>,
    composer: &mut Composer,
    batch: Vec<AudienceRecipient>,
) -> Result<Vec<UserKey>> {
    let pass = feeder.pass;
    let mut screened = select_eligible(feeder, composer, batch).await?;
    add_excluded(feeder, composer, &mut screened).await?;
    pass.dismiss(std::mem::take(&mut screened.dismissed))
        .await?;
    let mut ready = std::mem::take(&mut screened.ready);
    while !ready.is_empty() {
        let Some(group) = feeder.wait_for_room(ready.len().min(GROUP)).await? else {
            return Ok(ready.into_iter().map(|one| one.recipient.user).collect());
        };
        let rest = ready.split_off(group);
        let answers = claim(pass, &ready, &screened.guard).await?;
        let won = |one: &Claimed| matches!(one, Claimed::Won(_));
        feeder.claimed(answers.iter().filter(|one| won(one)).count());
        // Without delay: a claim whose message has not left is in doubt after a crash.
        submit(feeder, composer, (ready, answers), &screened).await?;
        ready = rest;
    }
    Ok(Vec::new())
}

/// Adds the recipients whom the history excludes to the dismissed. Where this push was begun before, some of them were
/// claimed then: a claim under a guard that admits no recipient finds these. A message in doubt to them is not sent
/// again, unless another device of theirs has it: then a history elsewhere excludes them because of this same push.
pub(super) async fn add_excluded(
    feeder: &mut Feeder<'_>,
    composer: &mut Composer,
    screened: &mut ScreenedBatch<'_>,
) -> Result<()> {
    let pass = feeder.pass;
    let excluded = std::mem::take(&mut screened.excluded);
    if !pass.again {
        screened
            .dismissed
            .extend(excluded.into_iter().map(|(_, dismissal)| dismissal));
        return Ok(());
    }
    let admits_none = Guard {
        limits: vec![Limit {
            layers: u32::MAX,
            since: pass.push.opened_at,
            at_most: 0,
        }],
        basis: Basis::Here,
    };
    let candidates = excluded
        .iter()
        .map(|(recipient, _)| candidate(recipient, Counted::default()))
        .collect();
    let answers = pass
        .store
        .claim(pass.push, pass.sender, candidates, &admits_none)
        .await?;
    for ((recipient, dismissal), answer) in excluded.into_iter().zip(answers) {
        match answer {
            Claimed::Before(devices) if has_arrived(&devices) => {
                resend_in_doubt(feeder, composer, &recipient, &devices).await?;
            }
            Claimed::Before(devices) => {
                pass.progress.advance(1);
                if pass.order.in_doubt == InDoubt::Retry && doubted(&devices).next().is_some() {
                    feeder.note_once("some messages stay in doubt: the notification history excludes their recipients by now");
                }
            }
            _ => screened.dismissed.push(dismissal),
        }
    }
    Ok(())
}

/// Returns whether the push service accepted a message to one of a recipient's devices.
fn has_arrived(devices: &[Device]) -> bool {
    let mut devices = devices.iter();
    devices.any(|device| device.standing == Standing::Ended(Ending::Accepted))
}

/// Returns the devices to which a message is in doubt.
fn doubted(devices: &[Device]) -> impl Iterator<Item = &Device> {
    let devices = devices.iter();
    devices.filter(|device| device.standing == Standing::Ended(Ending::InDoubt))
}

async fn claim(pass: &SendPass<'_>, ready: &[EligibleRow], guard: &Guard) -> Result<Vec<Claimed>> {
    let candidates = ready
        .iter()
        .map(|one| candidate(&one.recipient, one.counted))
        .collect();
    pass.store
        .claim(pass.push, pass.sender, candidates, guard)
        .await
}

/// Submits the won claims of a group, and records the reasons for the others.
async fn submit(
    feeder: &mut Feeder<'_>,
    composer: &mut Composer,
    (ready, answers): (Vec<EligibleRow>, Vec<Claimed>),
    screened: &ScreenedBatch<'_>,
) -> Result<()> {
    let pass = feeder.pass;
    let asked = ready.len();
    let mut jobs = Vec::with_capacity(asked);
    let mut dismissed = Vec::new();
    let mut dismiss = |user: UserKey, code: &str| {
        let (ending, code) = (Ending::Skipped, code.to_owned());
        dismissed.push(Dismissal { user, ending, code });
    };
    for (mut one, answer) in ready.into_iter().zip(answers) {
        match answer {
            Claimed::Won(won) => {
                for (place, device) in won.iter().enumerate() {
                    let token = &one.recipient.tokens[device.token];
                    let body = if device.token == 0 {
                        one.body.clone()
                    } else {
                        let variant = pass.variants.place(&one.recipient.user);
                        match composer.compose(token, &one.recipient.row, variant) {
                            Ok(body) => body,
                            Err(_) => continue,
                        }
                    };
                    let words = one.words.take().filter(|_| place == 0);
                    let message =
                        submitted_message(device.claim, &one.recipient, token, words, place == 0);
                    jobs.push(pass.job(message, body));
                }
            }
            Claimed::Before(devices) => {
                resend_in_doubt(feeder, composer, &one.recipient, &devices).await?;
            }
            Claimed::Repeated => pass.progress.advance(1),
            Claimed::TokenTaken => dismiss(one.recipient.user, "token-taken"),
            Claimed::Over(limit) => {
                let screen = screened.screen.as_ref();
                let key = screen.map_or("cadence", |screen| screen.exclusion(limit).key());
                dismiss(one.recipient.user, key);
            }
        }
    }
    pass.shared.window.return_room(asked, jobs.len());
    pass.client.submit_all(jobs).await;
    pass.dismiss(dismissed).await
}

/// Handles a recipient who was claimed before: sends the messages in doubt again, if the order says so.
pub(super) async fn resend_in_doubt(
    feeder: &mut Feeder<'_>,
    composer: &mut Composer,
    recipient: &AudienceRecipient,
    devices: &[Device],
) -> Result<()> {
    let pass = feeder.pass;
    pass.progress.advance(1);
    if pass.order.in_doubt == InDoubt::Keep {
        return Ok(());
    }
    let known = |device: &&Device| {
        recipient
            .tokens
            .iter()
            .any(|token| device.token == Some(TokenHash::of(token)))
    };
    let doubted: Vec<Device> = doubted(devices).filter(known).cloned().collect();
    if doubted.is_empty() {
        return Ok(());
    }
    let claims = pass.store.retry(pass.sender, &doubted).await?;
    let variant = pass.variants.place(&recipient.user);
    let mut jobs = Vec::new();
    for (device, claim) in doubted.iter().filter_map(|device| {
        let claim = claims.iter().find(|claim| claim.id == device.claim.id)?;
        Some((device, *claim))
    }) {
        let token = recipient
            .tokens
            .iter()
            .find(|token| device.token == Some(TokenHash::of(token)));
        if let Some(token) = token
            && let Ok(body) = composer.compose(token, &recipient.row, variant)
        {
            let words = pass.own_words(composer);
            let message = submitted_message(claim, recipient, token, words, false);
            jobs.push(pass.job(message, body));
        }
    }
    pass.shared.window.return_room(0, jobs.len());
    pass.client.submit_all(jobs).await;
    Ok(())
}

pub(super) async fn cancel_rest(
    feeder: &mut Feeder<'_>,
    reader: &mut AudienceReader,
    mut left: u64,
    seen: &mut HashSet<UserKey>,
) -> Result<()> {
    let pass = feeder.pass;
    let mut row = StringRecord::new();
    while left > 0 && pass.is_cancelled() {
        let mut users = Vec::with_capacity(BATCH);
        while users.len() < BATCH && left > 0 {
            reader.next_of(&mut row, left)?;
            left -= 1;
            let user = UserKey::of(reader.user(&row));
            if !feeder.is_repeated(&user, seen) {
                users.push(user);
            }
        }
        pass.cancel(users).await?;
    }
    Ok(())
}

fn submitted_message(
    claim: Claim,
    recipient: &AudienceRecipient,
    token: &str,
    words: Option<Words>,
    ends_row: bool,
) -> SubmittedMessage {
    SubmittedMessage {
        claim,
        user: recipient.user.clone(),
        token: token.to_owned(),
        words,
        ends_row,
    }
}

fn candidate(recipient: &AudienceRecipient, counted: Counted) -> Candidate {
    Candidate {
        user: recipient.user.clone(),
        tokens: recipient
            .tokens
            .iter()
            .map(|token| TokenHash::of(token))
            .collect(),
        counted,
    }
}
