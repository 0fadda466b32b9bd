//! A send that several processes share: one enters everybody into the queue of the state store, each takes from it.
//!
//! What is queued is the whole message but its token: nothing of the kind is stored in clear. Whoever takes from the queue
//! looks the tokens up in the source itself, all at once before it begins, and keeps them in a temporary file without a
//! name, in the order of the queue: a claim's number (eight bytes), the token's length (two) and its text. Only a token
//! whose hash is the queued one is used. A person's further devices are not sent to.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};

use serde_json::Value;
use tokio::time::sleep;
use uuid::Uuid;

use super::Devices;
use super::eligibility::Person;
use super::feeder::{Feeder, lead};
use super::recorder::SubmittedMessage;
use super::stop_reason::LOOK;
use super::token_lookup::{BATCH, ask};
use crate::budget::Budget;
use crate::cadence::Screen;
use crate::error::{Context as _, Kind, Result};
use crate::fcm::{Composer, SendJob};
use crate::interrupt::Interrupt;
use crate::source::{Source, Watch};
use crate::state::Store;
use crate::state::ledger::{
    Answer, Dismissal, Ending, Guard, LedgerPush, Queued, Recipient, Standing, Taken, TokenHash,
    Words,
};

/// The place of the token in a message that has none yet.
const HOLE: &[u8] = b"\"token\":\"\"";
/// Taken from the queue at once at most.
const GROUP: usize = 500;
const CANNOT: &str = "cannot keep tokens in a temporary file";

/// How a process that shares a send reaches the source.
pub struct TokenReader<'a> {
    /// Where tokens are.
    pub source: &'a Source,
    /// For one look-up.
    pub budget: &'a Budget,
    /// Is told how the connecting goes.
    pub watch: &'a dyn Watch,
}

/// The tokens of a queue, in its order.
pub(super) struct QueueTokens {
    spool: BufReader<File>,
    /// The last that was read, if it is of somebody who is still to come.
    ahead: Option<(i64, String)>,
}

impl QueueTokens {
    /// Looks up everybody who waits in the queue now.
    pub(super) async fn look_up(
        (store, push): (&Store, &LedgerPush),
        reading: &TokenReader<'_>,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let mut spool = tempfile::tempfile().kind(Kind::Failed, || CANNOT)?;
        reading
            .source
            .read(reading.budget, interrupt, reading.watch, async |snapshot| {
                spool
                    .set_len(0)
                    .and_then(|()| spool.rewind())
                    .kind(Kind::Failed, || CANNOT)?;
                let mut out = BufWriter::new(&mut spool);
                let mut after = 0;
                let page = u32::try_from(BATCH).unwrap_or(u32::MAX);
                loop {
                    let waiting = store.recipients(push, after, page).await?;
                    let Some(last) = waiting.last() else { break };
                    after = last.claim;
                    let users: Vec<Option<Uuid>> = waiting.iter().map(queued_user).collect();
                    let tokens = ask(snapshot, &users, Devices::All).await?;
                    for one in &waiting {
                        if let Some(token) = token_of(one, &tokens) {
                            write(&mut out, one.claim, token)?;
                        }
                    }
                }
                out.flush().kind(Kind::Failed, || CANNOT)
            })
            .await?;
        spool
            .seek(SeekFrom::Start(0))
            .kind(Kind::Failed, || CANNOT)?;
        Ok(Self {
            spool: BufReader::with_capacity(1 << 16, spool),
            ahead: None,
        })
    }

    /// The token of a claim; claims are asked for in order.
    fn of(&mut self, claim: i64) -> Result<Option<String>> {
        loop {
            match self.ahead.take() {
                Some((number, token)) if number == claim => return Ok(Some(token)),
                Some(later) if later.0 > claim => {
                    self.ahead = Some(later);
                    return Ok(None);
                }
                _ => {}
            }
            match read(&mut self.spool) {
                Ok(next) => self.ahead = Some(next),
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error).kind(Kind::Failed, || CANNOT),
            }
        }
    }
}

fn queued_user(one: &Recipient) -> Option<Uuid> {
    (one.standing == Standing::Queued)
        .then(|| one.user.uuid())
        .flatten()
}

fn token_of<'t>(one: &Recipient, tokens: &'t HashMap<Uuid, Vec<String>>) -> Option<&'t String> {
    let theirs = tokens.get(&queued_user(one)?)?;
    theirs
        .iter()
        .find(|token| one.token == Some(TokenHash::of(token)))
}

fn write(out: &mut BufWriter<&mut File>, claim: i64, token: &str) -> Result<()> {
    let length = u16::try_from(token.len()).unwrap_or(u16::MAX);
    out.write_all(&claim.to_le_bytes())
        .and_then(|()| out.write_all(&length.to_le_bytes()))
        .and_then(|()| out.write_all(&token.as_bytes()[..usize::from(length)]))
        .kind(Kind::Failed, || CANNOT)
}

fn read(spool: &mut BufReader<File>) -> std::io::Result<(i64, String)> {
    let (mut claim, mut length) = ([0; 8], [0; 2]);
    spool.read_exact(&mut claim)?;
    spool.read_exact(&mut length)?;
    let mut token = vec![0; usize::from(u16::from_le_bytes(length))];
    spool.read_exact(&mut token)?;
    let token = String::from_utf8_lossy(&token).into_owned();
    Ok((i64::from_le_bytes(claim), token))
}

impl Feeder<'_> {
    /// Enters a batch into the queue. Who stands in the ledger for this push already is left as they are.
    pub(super) async fn enter_batch(
        &self,
        composer: &mut Composer,
        batch: Vec<Person>,
    ) -> Result<()> {
        let mut sifted = self.sift(composer, batch).await?;
        self.exclude(composer, &mut sifted).await?;
        self.dismiss(std::mem::take(&mut sifted.dismissed)).await?;
        let mut queued = Vec::with_capacity(sifted.ready.len());
        let mut taken = Vec::with_capacity(sifted.ready.len());
        for one in sifted.ready {
            let Ok(payload) = composer.compose("", &one.person.row) else {
                continue;
            };
            taken.push(Dismissal {
                user: one.person.user.clone(),
                ending: Ending::Skipped,
                code: "token-taken".to_owned(),
            });
            queued.push(Queued {
                token: one.person.tokens.first().map(|token| TokenHash::of(token)),
                user: one.person.user,
                counted: one.counted,
                payload: payload.to_vec(),
            });
        }
        let entered = queued.len() as u64;
        self.store.enqueue(self.push, queued).await?;
        self.progress.advance(entered);
        // Whoever is not in the queue now shares a token with somebody who is.
        self.store.dismiss(self.push, self.sender, taken).await
    }

    /// Takes from the queue until it is empty; false if it stopped before.
    pub(super) async fn feed_queue(&self, tokens: &mut QueueTokens) -> Result<bool> {
        let group = lead(f64::from(self.rate)).min(GROUP);
        let most = u32::try_from(group).unwrap_or(1);
        loop {
            if !self.wait_for_room(group).await? {
                self.cancel_queue(most).await?;
                return Ok(false);
            }
            let screen = match self.cadence {
                Some(cadence) => Some(cadence.screen(self.layer).await?),
                None => None,
            };
            let guard = screen.as_ref().map_or_else(Guard::none, Screen::guard);
            let taken = self
                .store
                .take(self.push, self.sender, most, &guard)
                .await?;
            if taken.is_empty() {
                self.return_room(group, 0);
                return Ok(true);
            }
            let mut jobs = Vec::with_capacity(taken.len());
            let mut skipped = Vec::new();
            for one in taken {
                let code = one.over.map(|limit| {
                    screen
                        .as_ref()
                        .map_or("cadence", |screen| screen.exclusion(limit).key())
                });
                match (code, tokens.of(one.claim.id)?) {
                    (Some(code), _) => skipped.push(not_sent(&one, Ending::Skipped, code)),
                    (None, Some(theirs)) => jobs.push(self.take_from_queue(one, theirs)),
                    (None, None) => skipped.push(not_sent(&one, Ending::Skipped, "no-token")),
                }
            }
            self.progress.advance(skipped.len() as u64);
            self.store.record(self.push, skipped).await?;
            self.return_room(group, jobs.len());
            self.client.submit_all(jobs).await;
        }
    }

    fn take_from_queue(&self, one: Taken, token: String) -> SendJob {
        let words = words_of(&one.payload);
        let body = fill(&one.payload, &token);
        let flight = SubmittedMessage {
            claim: one.claim,
            user: one.user,
            token,
            words,
            ends_row: true,
        };
        self.take_off(flight, body)
    }

    /// Of a cancelled run everybody who still waits is recorded as such.
    async fn cancel_queue(&self, most: u32) -> Result<()> {
        while self.is_cancelled() {
            let nobody = Guard::none();
            let taken = self
                .store
                .take(self.push, self.sender, most, &nobody)
                .await?;
            if taken.is_empty() {
                break;
            }
            let cancelled = taken
                .iter()
                .map(|one| not_sent(one, Ending::Cancelled, "cancelled"));
            self.store.record(self.push, cancelled.collect()).await?;
        }
        Ok(())
    }
}

/// Waits until every other process that shares the send has its answers, or is dead. True if the queue has somebody
/// again, whom nobody is at work on.
pub(super) async fn wait_for_others(
    (store, push, run): (&Store, &LedgerPush, &str),
    interrupt: &Interrupt,
) -> Result<bool> {
    loop {
        store.settle(push).await?;
        let tally = store.tally(push).await?;
        let is = |standing: Standing| tally.iter().any(|row| row.standing == standing);
        if is(Standing::Queued) {
            return Ok(true);
        }
        let over = interrupt.fired().is_some() || store.cancellation(run).await?.is_some();
        if over || !is(Standing::Unanswered) {
            return Ok(false);
        }
        sleep(LOOK).await;
    }
}

fn not_sent(one: &Taken, ending: Ending, code: &str) -> Answer {
    Answer {
        claim: one.claim,
        ending,
        code: Some(code.to_owned()),
        message_name: None,
        attempts: 0,
        elapsed: std::time::Duration::ZERO,
        words: None,
    }
}

/// The message with its token. A token is printable ASCII; whatever else there might be is written as JSON wants it.
fn fill(payload: &[u8], token: &str) -> bytes::Bytes {
    let Some(at) = memchr::memmem::find(payload, HOLE) else {
        return bytes::Bytes::copy_from_slice(payload);
    };
    let quoted = Value::String(token.to_owned()).to_string();
    let hole = at + HOLE.len() - 2;
    [&payload[..hole], quoted.as_bytes(), &payload[hole + 2..]]
        .concat()
        .into()
}

/// What the person reads.
fn words_of(payload: &[u8]) -> Option<Words> {
    let message: Value = serde_json::from_slice(payload).ok()?;
    let text = |pointer: &str| Some(message.pointer(pointer)?.as_str()?.to_owned());
    Some(Words {
        title: text("/message/notification/title")?,
        body: text("/message/notification/body")?,
        deep_link: text("/message/data/url"),
    })
}
